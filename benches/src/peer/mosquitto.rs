//! Mosquitto as the distribution installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::amqp::loopback;
use crate::error::Fallible;
use crate::process::{Process, free_port};

const PROGRAM: &str = "/usr/sbin/mosquitto";

/// The server.
pub(crate) struct Mosquitto {
    program: PathBuf,
}

impl Mosquitto {
    /// The server, if it is installed.
    pub(crate) fn find() -> Option<Self> {
        let program = PathBuf::from(PROGRAM);
        program.exists().then_some(Self { program })
    }
}

impl Broker for Mosquitto {
    fn name(&self) -> &'static str {
        "mosquitto"
    }

    fn version(&self) -> Fallible<String> {
        let output = Command::new("dpkg-query").args(["-W", "-f=${Version}", "mosquitto"]).output();
        let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        Ok(format!("Mosquitto {version}").trim().to_owned())
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Mqtt
    }

    fn binary(&self) -> Option<&Path> {
        Some(&self.program)
    }

    /// Its defaults, but for what would have it drop messages of QoS 1 under load: more than 20 may be under way to a client,
    /// and any number may wait.
    fn launch(&self, folder: &Path, _settings: Settings) -> Fallible<Launched> {
        let port = free_port()?;
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 0\n\
             user root\nlog_type error\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config);
        let process = Process::start(&mut command, &folder.join("mosquitto.log"))?;
        Ok(Launched { process, helpers: Vec::new(), clients: Clients::At(loopback(port)) })
    }
}
