//! Our own broker, as a user starts it: a configuration file and the program.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::error::{Fallible, fail};
use crate::process::Process;

/// What the log says before the address of a listener.
const LISTENING_AMQP: &str = "listening amqp ";
const LISTENING_MQTT: &str = "listening mqtt ";
const LISTENING_WEB_MQTT: &str = "listening web_mqtt ";
const LISTENING_STOMP: &str = "listening stomp ";
const LISTENING_WEB_STOMP: &str = "listening web_stomp ";
const LISTENING_AWS: &str = "listening aws ";
/// All listeners. A workload uses one of them.
const LISTENERS: [&str; 10] =
    ["amqp", "mqtt", "stomp", "openwire", "web_stomp", "web_mqtt", "ws", "aws", "management", "metrics"];
/// Room for the workload with the most connections.
const CONNECTIONS_MAX: u64 = 100_000;

/// The program `gantry`.
pub(crate) struct Gantry {
    program: PathBuf,
}

impl Gantry {
    /// The program in the file `program`.
    pub(crate) fn at(program: &Path) -> Fallible<Self> {
        match fs::canonicalize(program) {
            Ok(program) => Ok(Self { program }),
            Err(error) => fail(format!("{}: {error}; build it with `cargo build --release` first", program.display())),
        }
    }
}

impl Broker for Gantry {
    fn name(&self) -> &'static str {
        "gantry"
    }

    fn version(&self) -> Fallible<String> {
        let output = Command::new(&self.program).arg("--version").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("it tells no version").to_owned())
    }

    fn speaks(&self, _protocol: Protocol) -> bool {
        true
    }

    fn binary(&self) -> Option<&Path> {
        Some(&self.program)
    }

    fn has_our_journal(&self) -> bool {
        true
    }

    fn launch(&self, folder: &Path, settings: Settings) -> Fallible<Launched> {
        let config = folder.join("gantry.toml");
        let log = folder.join("gantry.log");
        // An address in the log of an earlier start is not this one's.
        let _none_before = fs::remove_file(&log);
        fs::write(&config, configuration(&folder.join("data"), settings))?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config);
        // The file alone says how it is to be; settings in this program's own environment would change it unseen.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GANTRY_")) {
            command.env_remove(name);
        }
        let process = Process::start(&mut command, &log)?;
        let clients = match settings.protocol {
            Protocol::Amqp => Clients::Told(|log| find_address(log, LISTENING_AMQP)),
            Protocol::Mqtt => Clients::Told(|log| find_address(log, LISTENING_MQTT)),
            Protocol::WebMqtt => Clients::Told(|log| find_address(log, LISTENING_WEB_MQTT)),
            Protocol::Stomp => Clients::Told(|log| find_address(log, LISTENING_STOMP)),
            Protocol::WebStomp => Clients::Told(|log| find_address(log, LISTENING_WEB_STOMP)),
            Protocol::Sqs | Protocol::Sns => Clients::Told(|log| find_address(log, LISTENING_AWS)),
        };
        Ok(Launched { process, helpers: Vec::new(), clients })
    }
}

fn configuration(data: &Path, settings: Settings) -> String {
    let mut text = format!("data_dir = {:?}\n\n[listeners]\n", data.display().to_string());
    let open = match settings.protocol {
        Protocol::Amqp => "amqp",
        Protocol::Mqtt => "mqtt",
        Protocol::WebMqtt => "web_mqtt",
        Protocol::Stomp => "stomp",
        Protocol::WebStomp => "web_stomp",
        Protocol::Sqs | Protocol::Sns => "aws",
    };
    for listener in LISTENERS {
        let address = if listener == open { "127.0.0.1:0" } else { "off" };
        text.push_str(&format!("{listener} = \"{address}\"\n"));
    }
    text.push_str(&format!("\n[limits]\nconnections_max = {CONNECTIONS_MAX}\n"));
    if let Some(bytes) = settings.memory_watermark_bytes {
        text.push_str(&format!("memory_watermark_bytes = {bytes}\n"));
    }
    text
}

fn find_address(log: &str, listening: &str) -> Fallible<Option<SocketAddr>> {
    let Some((_, rest)) = log.split_once(listening) else { return Ok(None) };
    // The line may be half written; an address is whole once something stands behind it.
    let Some(end) = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')) else { return Ok(None) };
    match rest[..end].parse() {
        Ok(address) => Ok(Some(address)),
        Err(error) => fail(format!("{listening}{}: {error}", &rest[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_the_log() {
        let line = "2026-01-01T00:00:00Z  INFO gantry: listening amqp 127.0.0.1:40001\n";
        assert_eq!(find_address(line, LISTENING_AMQP).unwrap(), Some(SocketAddr::from(([127, 0, 0, 1], 40001))));
        assert_eq!(find_address("listening amqp 127.0.0.1:400", LISTENING_AMQP).unwrap(), None);
        assert_eq!(find_address("listening mqtt 127.0.0.1:1883\n", LISTENING_AMQP).unwrap(), None);
    }
}
