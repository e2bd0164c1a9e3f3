//! ElasticMQ, where `make peers` has fetched it: its jars from Maven Central, and messages in memory only, as it comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Broker, Clients, Launched, Protocol, Settings};
use crate::amqp::loopback;
use crate::error::Fallible;
use crate::process::{Process, free_port};

const JARS: &str = "target/peers/elasticmq";
const SERVER_JAR: &str = "elasticmq-server_";

/// The server.
pub(crate) struct ElasticMq {
    jars: PathBuf,
    version: String,
}

impl ElasticMq {
    /// The server, if it is there.
    pub(crate) fn find() -> Option<Self> {
        let jars = fs::canonicalize(JARS).ok()?;
        let names = fs::read_dir(&jars).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        // elasticmq-server_2.13-1.7.1.jar: the version of Scala, and its own.
        let version = names
            .filter_map(|name| Some(name.strip_prefix(SERVER_JAR)?.strip_suffix(".jar")?.split_once('-')?.1.to_owned()))
            .next()?;
        Some(Self { jars, version })
    }
}

impl Broker for ElasticMq {
    fn name(&self) -> &'static str {
        "elasticmq"
    }

    fn version(&self) -> Fallible<String> {
        Ok(format!("ElasticMQ {} (in memory only)", self.version))
    }

    fn speaks(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Sqs
    }

    fn binary(&self) -> Option<&Path> {
        None
    }

    /// Its defaults, but for what would stop a run: memory for the queues, connections for all pollers, and time for those whose
    /// long poll ends late.
    fn launch(&self, folder: &Path, _settings: Settings) -> Fallible<Launched> {
        let port = free_port()?;
        let config = folder.join("elasticmq.conf");
        let text = format!(
            "node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}\n\
             rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = strict }}\n\
             rest-stats {{ enabled = false }}\n\
             pekko.http.server.max-connections = 50000\n\
             pekko.http.server.request-timeout = 120s\n\
             pekko.http.server.backlog = 1000\n"
        );
        fs::write(&config, text)?;
        let mut command = Command::new("java");
        command.arg("-Xmx4g").arg(format!("-Dconfig.file={}", config.display()));
        command.arg("-cp").arg(self.jars.join("*")).arg("org.elasticmq.server.Main");
        let process = Process::start(&mut command, &folder.join("elasticmq.log"))?;
        Ok(Launched { process, helpers: Vec::new(), clients: Clients::At(loopback(port)) })
    }
}
