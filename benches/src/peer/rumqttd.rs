//! rumqttd, where somebody has built it: `cargo install rumqttd --root target/peers`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::amqp::loopback;
use crate::error::Fallible;
use crate::process::{Process, free_port};

const PROGRAM: &str = "target/peers/bin/rumqttd";

/// The server.
pub(crate) struct Rumqttd {
    program: PathBuf,
}

impl Rumqttd {
    /// The server, if it is there.
    pub(crate) fn find() -> Option<Self> {
        fs::canonicalize(PROGRAM).ok().map(|program| Self { program })
    }
}

impl Broker for Rumqttd {
    fn name(&self) -> &'static str {
        "rumqttd"
    }

    fn version(&self) -> Fallible<String> {
        let output = Command::new(&self.program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("rumqttd").to_owned())
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Mqtt
    }

    fn binary(&self) -> Option<&Path> {
        Some(&self.program)
    }

    fn launch(&self, folder: &Path, _settings: Settings) -> Fallible<Launched> {
        let port = free_port()?;
        let config = folder.join("rumqttd.toml");
        let text = format!(
            "id = 0\n\n[router]\nid = 0\nmax_connections = 60000\nmax_outgoing_packet_count = 200\n\
             max_segment_size = 104857600\nmax_segment_count = 10\n\n[v4.1]\nname = \"v4-1\"\nlisten = \"127.0.0.1:{port}\"\n\
             next_connection_delay_ms = 0\n[v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 1048576\n\
             max_inflight_count = 1000\ndynamic_filters = true\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config).arg("-q");
        let process = Process::start(&mut command, &folder.join("rumqttd.log"))?;
        Ok(Launched { process, helpers: Vec::new(), clients: Clients::At(loopback(port)) })
    }
}
