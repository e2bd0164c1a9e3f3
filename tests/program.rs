//! The program as a process: command line, log, health, signals.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

/// Only management listens, at a free port: other tests run at the same time, and default ports are there once.
const MANAGEMENT_ONLY: &str = "[listeners]\namqp = 'off'\nmqtt = 'off'\nstomp = 'off'\nweb_stomp = 'off'\nweb_mqtt = 'off'\naws = 'off'\nmanagement = '127.0.0.1:0'\nmetrics = 'off'\n";

/// A process that is ended by its id when a test ends in whatever way.
struct Gantry {
    child: Child,
    log: BufReader<ChildStdout>,
}

impl Gantry {
    fn start(folder: &Path, config: &str, wrap: &[&str]) -> Self {
        let file = folder.join("test.toml");
        fs::write(&file, config).unwrap();
        let words = [wrap, &[GANTRY]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--config").arg(file).arg("--data-dir").arg(folder.join("data"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        Self { child, log }
    }

    /// The first line of the log with this in it.
    fn line(&mut self, with: &str) -> String {
        let mut line = String::new();
        while self.log.read_line(&mut line).unwrap() > 0 {
            if line.contains(with) {
                return line;
            }
            line.clear();
        }
        panic!("the log has ended without {with:?}");
    }

    /// Where a listener is, as the log has it.
    fn address(&mut self, name: &str) -> SocketAddr {
        let line = self.line(&format!("listening {name} "));
        line.trim_end().rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn rest_of_log(&mut self) -> String {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Gantry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn gantry(arguments: &[&str], folder: &Path) -> Output {
    Command::new(GANTRY).args(arguments).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn it_tells_its_version_and_what_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let version = gantry(&["--version"], folder.path());
    assert_eq!(text(&version.stdout), format!("gantry {}\n", env!("CARGO_PKG_VERSION")));
    let help = gantry(&["--help"], folder.path());
    for word in ["check", "--config", "--data-dir"] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
}

#[test]
fn check_tells_what_is_wrong_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let valid = gantry(&["check"], folder.path());
    assert_eq!((valid.status.code(), text(&valid.stdout)), (Some(0), "the configuration is valid\n"));

    fs::write(folder.path().join("gantry.toml"), "[listeners]\nampq = 'off'\n").unwrap();
    let unknown = gantry(&["check"], folder.path());
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(
        text(&unknown.stderr),
        "gantry: gantry.toml: unknown key listeners.ampq; the nearest one is listeners.amqp\n"
    );
    let started = gantry(&[], folder.path());
    assert_eq!((started.status.code(), started.stderr), (Some(1), unknown.stderr));

    fs::write(folder.path().join("tls.toml"), "[tls]\ncertificate = 'none.pem'\nkey = 'none.pem'\n").unwrap();
    let without = gantry(&["check", "--config", "tls.toml"], folder.path());
    assert_eq!(without.status.code(), Some(1));
    assert!(text(&without.stderr).starts_with("gantry: TLS: none.pem: "), "{}", text(&without.stderr));
    assert!(!folder.path().join("data").exists());
}

#[test]
fn it_becomes_ready_and_ends_at_a_signal_with_success() {
    for (signal, json) in [("TERM", false), ("INT", true)] {
        let folder = tempfile::tempdir().unwrap();
        let format = if json { "[log]\nformat = 'json'\n" } else { "" };
        let mut gantry = Gantry::start(folder.path(), &format!("{MANAGEMENT_ONLY}{format}"), &[]);
        let unbuilt = gantry.line("openwire: ");
        assert!(unbuilt.contains("openwire: not built yet, not bound"), "{unbuilt}");
        let listening = gantry.line("listening management 127.0.0.1:");
        assert_eq!(listening.starts_with('{'), json, "{listening}");
        assert!(!listening.contains('\u{1b}'), "no colours outside a terminal: {listening}");
        let address = listening.split("listening management ").nth(1).unwrap();
        let address = address.split(|c: char| c == '"' || c.is_whitespace()).next().unwrap().parse().unwrap();
        gantry.line("ready after ");
        assert!(get(address, "/health/ready").starts_with("HTTP/1.1 200"));
        assert!(get(address, "/health/live").starts_with("HTTP/1.1 200"));
        gantry.signal(signal);
        assert_eq!(gantry.exit_code(), Some(0));
        let rest = gantry.rest_of_log();
        assert!(rest.contains(&format!("SIG{signal}: stopping")) && rest.contains("stopped"), "{rest}");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{MANAGEMENT_ONLY}[limits]\nshutdown_timeout_s = 300\nhandshake_timeout_s = 300\n");
    let mut gantry = Gantry::start(folder.path(), &config, &[]);
    let address = gantry.address("management");
    gantry.line("ready after ");
    // A request that never ends is one that the shutdown waits for.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    slow.write_all(b"GET /health").unwrap();
    let mut other = TcpStream::connect(address).unwrap();
    other.write_all(b"GET /hea").unwrap();
    gantry.signal("TERM");
    gantry.line("SIGTERM: stopping");
    gantry.signal("INT");
    let code = gantry.exit_code();
    let rest = gantry.rest_of_log();
    assert_eq!(code, Some(130), "{rest}");
}

#[test]
fn an_address_that_is_taken_ends_the_start_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = MANAGEMENT_ONLY.replace("127.0.0.1:0", &address.to_string());
    let mut gantry = Gantry::start(folder.path(), &config, &[]);
    gantry.line(&format!("cannot listen for management at {address}: "));
    assert_eq!(gantry.exit_code(), Some(1));
}

#[test]
fn without_files_for_more_connections_it_neither_ends_nor_spins() {
    let folder = tempfile::tempdir().unwrap();
    let wrap = ["sh", "-c", "ulimit -n 40; exec \"$@\"", "sh"];
    let mut gantry = Gantry::start(folder.path(), MANAGEMENT_ONLY, &wrap);
    gantry.line("the system allows this process 40 open files");
    let address = gantry.address("management");
    gantry.line("ready after ");
    let before = cpu_ticks(gantry.child.id());
    let start = Instant::now();
    let many: Vec<_> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    gantry.line("cannot accept");
    // A loop that spins tells so again only after a second: wait for the second time.
    let second = gantry.line("cannot accept");
    let (spent, passed) = (cpu_ticks(gantry.child.id()) - before, start.elapsed());
    assert!(Duration::from_millis(10 * spent) < passed / 2, "{spent} ticks in {passed:?}: {second}");
    drop(many);
    assert!(get(address, "/health/live").starts_with("HTTP/1.1 200"));
    gantry.signal("TERM");
    assert_eq!(gantry.exit_code(), Some(0));
}

/// CPU time that a process has used, in hundredths of a second.
fn cpu_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let fields: Vec<_> = after_name.split_ascii_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
