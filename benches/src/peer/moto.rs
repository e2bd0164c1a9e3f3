//! moto's server, where `make peers` has installed it. It closes the connection after each answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::amqp::loopback;
use crate::error::Fallible;
use crate::process::{Process, free_port};

const FOLDER: &str = "target/peers/moto";
/// A thread for each, which looks a hundred times a second.
const WAITING_REQUESTS_MAX: usize = 200;

/// The server.
pub(crate) struct Moto {
    folder: PathBuf,
}

impl Moto {
    /// The server, if it is there.
    pub(crate) fn find() -> Option<Self> {
        let folder = fs::canonicalize(FOLDER).ok()?;
        folder.join("bin/moto_server").exists().then_some(Self { folder })
    }
}

impl Broker for Moto {
    fn name(&self) -> &'static str {
        "moto"
    }

    fn version(&self) -> Fallible<String> {
        let ask = "import importlib.metadata as m; print(m.version('moto'))";
        let output = Command::new(self.folder.join("bin/python3")).args(["-c", ask]).output()?;
        Ok(format!("moto {} (in memory only)", String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        matches!(protocol, Protocol::Sqs | Protocol::Sns)
    }

    fn binary(&self) -> Option<&Path> {
        None
    }

    fn waiting_requests_max(&self) -> usize {
        WAITING_REQUESTS_MAX
    }

    fn receivers_max(&self) -> usize {
        1
    }

    fn launch(&self, folder: &Path, _settings: Settings) -> Fallible<Launched> {
        let port = free_port()?;
        let mut command = Command::new(self.folder.join("bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.current_dir(folder);
        let process = Process::start(&mut command, &folder.join("moto.log"))?;
        Ok(Launched { process, helpers: Vec::new(), clients: Clients::At(loopback(port)) })
    }
}
