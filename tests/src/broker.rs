//! A broker process of the test's own.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// How a broker is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGKILL: nothing is flushed and nobody is told.
    Kill,
    /// SIGTERM: clients are told and everything is flushed; the exit code must be 0.
    Stop,
}

/// A broker that listens on 127.0.0.1 and keeps its data in a folder which is deleted in the end. Dropping it kills it.
pub struct Broker {
    place: Place,
    address: String,
}

enum Place {
    Own(Box<Own>),
    External { url: String },
}

struct Own {
    folder: tempfile::TempDir,
    listeners: Vec<String>,
    process: Option<Child>,
    output: Arc<Mutex<String>>,
    addresses: Vec<(String, String)>,
}

/// What a broker is started with, beyond free ports and an empty folder.
#[derive(Default)]
pub struct Settings {
    tables: String,
    listeners: Vec<&'static str>,
    keeps_port: bool,
}

impl Settings {
    /// Adds tables to the configuration file, `"[storage]\nsegment_bytes = 65536\n"` for instance.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self.tables.push('\n');
        self
    }

    /// Opens another listener, by its name in the configuration, on a free port.
    #[must_use]
    pub fn listener(mut self, name: &'static str) -> Self {
        self.listeners.push(name);
        self
    }

    /// Keeps its ports over restarts, for clients that reconnect by themselves.
    #[must_use]
    pub fn keeps_port(mut self) -> Self {
        self.keeps_port = true;
        self
    }

    /// Starts the broker and returns once it listens.
    ///
    /// # Panics
    /// When it does not within [`PATIENCE`]; with its output.
    #[must_use]
    pub fn start(self) -> Broker {
        if let Ok(url) = std::env::var("GANTRY_E2E_URL") {
            let address = host_and_port(&url);
            return Broker { place: Place::External { url }, address };
        }
        let folder = tempfile::tempdir().expect("a folder for the broker");
        let mut listeners = vec!["amqp".to_owned()];
        listeners.extend(self.listeners.iter().map(|&name| name.to_owned()));
        let mut config = format!("data_dir = {:?}\n\n[listeners]\n", folder.path().join("data"));
        for name in &KNOWN_LISTENERS {
            let place = match listeners.iter().any(|wanted| wanted == name) {
                true if self.keeps_port => format!("127.0.0.1:{}", reserved_port()),
                true => "127.0.0.1:0".to_owned(),
                false => "off".to_owned(),
            };
            config.push_str(&format!("{name} = \"{place}\"\n"));
        }
        config.push('\n');
        config.push_str(&self.tables);
        std::fs::write(folder.path().join("gantry.toml"), config).expect("configuration written");
        let mut own = Own { folder, listeners, process: None, output: Arc::default(), addresses: Vec::new() };
        own.launch();
        let address = own.address("amqp").to_owned();
        Broker { place: Place::Own(Box::new(own)), address }
    }
}

/// Listeners that would otherwise take their default ports.
const KNOWN_LISTENERS: [&str; 20] = [
    "amqp",
    "amqp_tls",
    "mqtt",
    "mqtt_tls",
    "stomp",
    "stomp_tls",
    "openwire",
    "openwire_tls",
    "web_stomp",
    "web_stomp_tls",
    "web_mqtt",
    "web_mqtt_tls",
    "ws",
    "ws_tls",
    "aws",
    "aws_tls",
    "management",
    "management_tls",
    "metrics",
    "metrics_tls",
];

impl Broker {
    /// A broker as it is out of the box.
    #[must_use]
    pub fn start() -> Self {
        Settings::default().start()
    }

    /// Choices for a broker that is not as it is out of the box.
    #[must_use]
    pub fn settings() -> Settings {
        Settings::default()
    }

    /// `amqp://guest:guest@127.0.0.1:PORT/%2F`.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.place {
            Place::Own(_) => format!("amqp://guest:guest@{}/%2F", self.address),
            Place::External { url } => url.clone(),
        }
    }

    /// `mqtt://guest:guest@127.0.0.1:PORT` of a broker with the listener `mqtt`.
    ///
    /// # Panics
    /// When the broker was not started with it.
    #[must_use]
    pub fn mqtt_url(&self) -> String {
        format!("mqtt://guest:guest@{}", self.address_of("mqtt"))
    }

    /// `stomp://guest:guest@127.0.0.1:PORT` of a broker with the listener `stomp`.
    ///
    /// # Panics
    /// When the broker was not started with it.
    #[must_use]
    pub fn stomp_url(&self) -> String {
        format!("stomp://guest:guest@{}", self.address_of("stomp"))
    }

    /// `http://127.0.0.1:PORT` of a broker with the listener `aws`: what a client has in `AWS_ENDPOINT_URL`.
    ///
    /// # Panics
    /// When the broker was not started with it.
    #[must_use]
    pub fn aws_url(&self) -> String {
        match &self.place {
            Place::External { url } if url.starts_with("http:") => url.clone(),
            _ => format!("http://{}", self.address_of("aws")),
        }
    }

    /// `127.0.0.1:PORT` of the AMQP listener.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `127.0.0.1:PORT` of another listener, by its name in the configuration.
    ///
    /// # Panics
    /// When the broker was not started with it.
    #[must_use]
    pub fn address_of(&self, listener: &str) -> &str {
        match &self.place {
            Place::Own(own) => own.address(listener),
            Place::External { url } if url.starts_with(&format!("{listener}:")) => &self.address,
            Place::External { .. } => panic!("GANTRY_E2E_URL names no {listener} listener"),
        }
    }

    /// The broker's folder: `gantry.toml`, and `data/`.
    ///
    /// # Panics
    /// With an external broker.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match &self.place {
            Place::Own(own) => own.folder.path(),
            Place::External { .. } => panic!("the folder of GANTRY_E2E_URL is not known"),
        }
    }

    /// Whether this is the broker of `GANTRY_E2E_URL`: tests of gantry's own settings leave themselves out.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.place, Place::External { .. })
    }

    /// Whether [`Self::restart`] is possible: always, but for an external broker without `GANTRY_E2E_RESTART`.
    #[must_use]
    pub fn can_restart(&self) -> bool {
        !self.is_external() || std::env::var_os("GANTRY_E2E_RESTART").is_some()
    }

    /// Resident memory in bytes; `None` for an external broker.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        let Place::Own(own) = &self.place else { return None };
        let pid = own.process.as_ref()?.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Ends the broker and starts it again on the same data, and on another port unless it keeps its port.
    ///
    /// # Panics
    /// When it does not end, ends with a failure after [`Ending::Stop`], or does not come back.
    pub fn restart(&mut self, ending: Ending) {
        match &mut self.place {
            Place::Own(own) => {
                own.end(ending);
                own.launch();
                self.address = own.address("amqp").to_owned();
            }
            Place::External { .. } => {
                let command = std::env::var("GANTRY_E2E_RESTART").expect("GANTRY_E2E_RESTART");
                let how = if ending == Ending::Kill { "kill" } else { "stop" };
                let status = Command::new("sh").args(["-c", &format!("{command} {how}")]).status();
                assert!(status.expect("restart command").success(), "{command} {how} failed");
                crate::wait_until("the broker is back", || TcpStream::connect(&self.address).is_ok());
            }
        }
    }

    /// Everything that the broker has written to its standard output and error so far.
    #[must_use]
    pub fn output(&self) -> String {
        match &self.place {
            Place::Own(own) => own.output.lock().map(|text| text.clone()).unwrap_or_default(),
            Place::External { .. } => String::new(),
        }
    }

    /// Fails when the broker has ended by itself or has panicked anywhere.
    ///
    /// # Panics
    /// Then, with its output.
    pub fn assert_sound(&mut self) {
        if let Place::Own(own) = &mut self.place {
            let ended = own.process.as_mut().and_then(|process| process.try_wait().ok()).flatten();
            let output = own.output.lock().map(|text| text.clone()).unwrap_or_default();
            assert!(ended.is_none(), "the broker has ended ({ended:?}):\n{output}");
            assert!(!output.contains("panicked at"), "a task of the broker has panicked:\n{output}");
        }
    }
}

impl Own {
    fn address(&self, listener: &str) -> &str {
        self.addresses
            .iter()
            .find_map(|(name, address)| (name == listener).then_some(address.as_str()))
            .unwrap_or_else(|| panic!("the broker was not started with the listener {listener}"))
    }

    /// Starts the process and waits for the line of each listener that was asked for.
    fn launch(&mut self) {
        let binary = binary();
        let mut child = Command::new(&binary)
            .arg("--config")
            .arg(self.folder.path().join("gantry.toml"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {} ({error}): build it first", binary.display()));
        let (heard, hear) = mpsc::channel();
        self.output = Arc::default();
        listen(child.stdout.take().expect("piped"), Arc::clone(&self.output), heard.clone());
        listen(child.stderr.take().expect("piped"), Arc::clone(&self.output), heard);
        self.process = Some(child);
        self.addresses.clear();
        let deadline = Instant::now() + PATIENCE;
        while self.addresses.len() < self.listeners.len() {
            match hear.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((name, address)) if self.listeners.contains(&name) => self.addresses.push((name, address)),
                Ok(_) => {}
                Err(_) => {
                    let output = self.output.lock().map(|text| text.clone()).unwrap_or_default();
                    panic!("the broker does not listen on {:?}:\n{output}", self.listeners);
                }
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        let Some(mut child) = self.process.take() else { return };
        match ending {
            Ending::Kill => {
                child.kill().expect("SIGKILL sent");
                child.wait().expect("ended");
            }
            Ending::Stop => {
                kill_process(Pid::from_child(&child), Signal::TERM).expect("SIGTERM sent");
                let deadline = Instant::now() + PATIENCE;
                let status = loop {
                    if let Some(status) = child.try_wait().expect("status") {
                        break status;
                    }
                    if Instant::now() > deadline {
                        child.kill().expect("SIGKILL sent");
                        panic!("the broker does not end within {PATIENCE:?} of SIGTERM");
                    }
                    std::thread::sleep(Duration::from_millis(5));
                };
                let output = self.output.lock().map(|text| text.clone()).unwrap_or_default();
                assert!(status.success(), "exit after SIGTERM: {status}\n{output}");
            }
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            // It may have ended already; there is nobody to tell.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let output = self.output.lock().map(|text| text.clone()).unwrap_or_default();
            let tail: Vec<&str> = output.lines().rev().take(60).collect();
            eprintln!("--- the broker's last lines");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Collects a stream's text and reports each `listening NAME ADDRESS` in it.
fn listen(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>, heard: mpsc::Sender<(String, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some((_, rest)) = line.split_once("listening ") {
                let mut words = rest.split(|c: char| c.is_whitespace() || c == '"');
                if let (Some(name), Some(address)) = (words.next(), words.next()) {
                    // Nobody hears it once the broker runs.
                    let _ = heard.send((name.to_owned(), address.to_owned()));
                }
            }
            if let Ok(mut text) = output.lock() {
                text.push_str(&line);
                text.push('\n');
            }
        }
    });
}

fn binary() -> PathBuf {
    std::env::var_os("GANTRY_BIN").map_or_else(|| workspace().join("target/release/gantry"), PathBuf::from)
}

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A free port below those which the system hands to outgoing connections: no client can take it during a restart.
#[must_use]
pub fn reserved_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 10_000 + u16::try_from(std::process::id() % 200).unwrap_or(0) * 100;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn host_and_port(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_owned()
}
