//! RabbitMQ as the distribution installs it, with its defaults, no plugins but the one that a workload speaks to, and everything it writes in one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::amqp::loopback;
use crate::error::{Fallible, fail};
use crate::process::{Process, free_port};

/// The start script itself; what lies in PATH changes the user first and writes to the system's folders.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// The server.
pub(crate) struct RabbitMq {
    script: PathBuf,
}

impl RabbitMq {
    /// The server, if it is installed.
    pub(crate) fn find() -> Option<Self> {
        let script = PathBuf::from(SCRIPT);
        script.exists().then_some(Self { script })
    }
}

impl Broker for RabbitMq {
    fn name(&self) -> &'static str {
        "rabbitmq"
    }

    fn version(&self) -> Fallible<String> {
        let output = Command::new("dpkg-query").args(["-W", "-f=${Version}", "rabbitmq-server"]).output();
        let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Ok(format!("RabbitMQ {version}").trim().to_owned())
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        matches!(protocol, Protocol::Amqp | Protocol::Stomp | Protocol::WebStomp)
    }

    fn binary(&self) -> Option<&Path> {
        None
    }

    fn launch(&self, folder: &Path, settings: Settings) -> Fallible<Launched> {
        let amqp_port = free_port()?;
        let other_port = free_port()?;
        let names_port = free_port()?;
        let config = folder.join("rabbitmq.conf");
        let plugins = folder.join("enabled_plugins");
        let mut text = format!("listeners.tcp.1 = 127.0.0.1:{amqp_port}\n");
        let (plugin, port) = match settings.protocol {
            Protocol::WebStomp => {
                text.push_str("stomp.listeners.tcp = none\nweb_stomp.tcp.ip = 127.0.0.1\n");
                text.push_str(&format!("web_stomp.tcp.port = {other_port}\n"));
                ("rabbitmq_web_stomp", other_port)
            }
            Protocol::Stomp => {
                text.push_str(&format!("stomp.listeners.tcp.1 = 127.0.0.1:{other_port}\n"));
                ("rabbitmq_stomp", other_port)
            }
            _ => ("", amqp_port),
        };
        fs::write(&config, text)?;
        fs::write(&plugins, format!("[{plugin}].\n"))?;
        let names = start_names(names_port, folder)?;
        let mut command = Command::new(&self.script);
        command
            // With this the script becomes the server instead of waiting for it, so that the pid is the server's.
            .env("detached", "true")
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", "gantry-bench@localhost")
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("no-environment-file"))
            .env("RABBITMQ_CONFIG_FILE", config.with_extension(""))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins)
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_DIST_PORT", free_port()?.to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("ERL_EPMD_PORT", names_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        let process = Process::start(&mut command, &folder.join("rabbitmq.log"))?;
        Ok(Launched { process, helpers: vec![names], clients: Clients::At(loopback(port)) })
    }
}

/// Erlang's name server. The node would start one that outlives it; this one ends with the run.
fn start_names(port: u16, folder: &Path) -> Fallible<Process> {
    let mut command = Command::new("epmd");
    command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
    let mut process = Process::start(&mut command, &folder.join("epmd.log"))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(loopback(port)).is_err() {
        process.check_alive()?;
        if Instant::now() > deadline {
            return fail("epmd does not listen");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(process)
}
