//! The brokers that are compared: how each is started, and when it is ready.

mod elasticmq;
mod gantry;
mod mosquitto;
mod moto;
mod rabbitmq;
mod rumqttd;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use elasticmq::ElasticMq;
pub(crate) use gantry::Gantry;
pub(crate) use mosquitto::Mosquitto;
pub(crate) use moto::Moto;
pub(crate) use rabbitmq::RabbitMq;
pub(crate) use rumqttd::Rumqttd;

use crate::amqp::Connection;
use crate::error::{Fallible, fail};
use crate::mqtt;
use crate::process::Process;
use crate::sqs;
use crate::stomp;
use crate::web_stomp::{Over, Publisher};

/// How long a broker may take until it accepts a client.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// What clients speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// AMQP 0-9-1.
    #[default]
    Amqp,
    /// MQTT 3.1.1.
    Mqtt,
    /// The same over WebSocket.
    WebMqtt,
    /// STOMP 1.2.
    Stomp,
    /// The same over WebSocket.
    WebStomp,
    /// Amazon SQS: AWS JSON 1.0 over HTTP.
    Sqs,
    /// Amazon SNS, and the SQS beside it.
    Sns,
}

/// What a workload asks of a broker beyond its defaults.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings {
    /// What its clients speak.
    pub(crate) protocol: Protocol,
    /// Bodies of waiting messages leave memory above this, in bytes, where the broker has such a setting.
    pub(crate) memory_watermark_bytes: Option<u64>,
}

/// A broker that is installed.
pub(crate) trait Broker {
    /// Short name, the head of a column.
    fn name(&self) -> &'static str;
    /// Name and version.
    fn version(&self) -> Fallible<String>;
    /// Whether its clients can speak this.
    fn speaks(&self, protocol: Protocol) -> bool;
    /// The program's file, where it is one file.
    fn binary(&self) -> Option<&Path>;
    /// It keeps messages with the storage engine of this workspace, which can be measured alone.
    fn has_our_journal(&self) -> bool {
        false
    }
    /// How many requests may wait in it at once, where each costs it a thread.
    fn waiting_requests_max(&self) -> usize {
        usize::MAX
    }
    /// How many may receive from a queue at once, where more would be given the same messages.
    fn receivers_max(&self) -> usize {
        usize::MAX
    }
    /// Starts it on a data folder, which is empty or was left by an earlier start. Returns before it is ready.
    fn launch(&self, folder: &Path, settings: Settings) -> Fallible<Launched>;
}

/// A broker that was told to start.
pub(crate) struct Launched {
    /// The server's process.
    pub(crate) process: Process,
    /// Helpers that must run beside it; stopped after it.
    pub(crate) helpers: Vec<Process>,
    /// Where clients will connect.
    pub(crate) clients: Clients,
}

/// Where clients will connect.
pub(crate) enum Clients {
    /// At an address that was chosen for it.
    At(SocketAddr),
    /// At an address that it picks, and that this finds in what it says.
    Told(fn(said: &str) -> Fallible<Option<SocketAddr>>),
}

impl Clients {
    fn find(&self, process: &Process) -> Fallible<Option<SocketAddr>> {
        match self {
            Self::At(address) => Ok(Some(*address)),
            Self::Told(find) => find(&process.said()?),
        }
    }
}

/// A broker that accepts clients.
pub(crate) struct Running {
    /// The server's process.
    pub(crate) process: Process,
    /// Where clients connect.
    pub(crate) address: SocketAddr,
    /// From the start of the process to a client that is logged in.
    pub(crate) ready_after: Duration,
    protocol: Protocol,
    folder: PathBuf,
    _helpers: Vec<Process>,
}

impl Running {
    /// Starts a broker and waits until a client is logged in.
    pub(crate) fn start(broker: &dyn Broker, folder: &Path, settings: Settings) -> Fallible<Self> {
        Self::start_until(broker, folder, settings, |_| Ok(true))
    }

    /// As [`Running::start`], but ready is when `is_ready` says so too, which is asked where clients speak AMQP.
    pub(crate) fn start_until(
        broker: &dyn Broker,
        folder: &Path,
        settings: Settings,
        mut is_ready: impl FnMut(&mut Connection) -> Fallible<bool>,
    ) -> Fallible<Self> {
        let Launched { mut process, helpers, clients } = broker.launch(folder, settings)?;
        let deadline = process.started() + START_PATIENCE;
        let mut refusal = String::from("it tells no address");
        while Instant::now() < deadline {
            process.check_alive()?;
            if let Some(address) = clients.find(&process)? {
                let ready = match settings.protocol {
                    Protocol::Amqp => Connection::open(address).and_then(|mut client| is_ready(&mut client)),
                    Protocol::Mqtt => mqtt::Client::open(address, "bench-ready").map(|_| true),
                    Protocol::WebMqtt => mqtt::Client::open_web(address, "bench-ready").map(|_| true),
                    Protocol::Stomp => Publisher::open(address, Over::Tcp).map(|_| true),
                    Protocol::WebStomp => Publisher::open(address, Over::Web).map(|_| true),
                    Protocol::Sqs | Protocol::Sns => {
                        sqs::call(address, "ListQueues", &serde_json::json!({})).map(|_| true)
                    }
                };
                match ready {
                    Ok(true) => {
                        let ready_after = process.started().elapsed();
                        return Ok(Self {
                            process,
                            address,
                            ready_after,
                            protocol: settings.protocol,
                            folder: folder.to_owned(),
                            _helpers: helpers,
                        });
                    }
                    Ok(false) => refusal = String::from("what it should hold is not there"),
                    Err(error) => refusal = error.to_string(),
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        fail(format!("{} is not ready after {} s: {refusal}", broker.name(), START_PATIENCE.as_secs()))
    }

    /// Where it keeps its data.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A client that speaks AMQP.
    pub(crate) fn connect(&self) -> Fallible<Connection> {
        Connection::open(self.address)
    }

    /// A client that speaks MQTT, over WebSocket where that is what it was started for.
    pub(crate) fn connect_mqtt(&self, client_id: &str) -> Fallible<mqtt::Client> {
        match self.protocol {
            Protocol::WebMqtt => mqtt::Client::open_web(self.address, client_id),
            _ => mqtt::Client::open(self.address, client_id),
        }
    }

    /// A client that speaks STOMP.
    pub(crate) fn connect_stomp(&self) -> Fallible<stomp::Client> {
        stomp::Client::open(self.address)
    }
}
