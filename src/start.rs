//! Starting and stopping: where the parts of the program are put together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gantry_aws::Aws;
use gantry_broker::protocol::{Protocol, Shutdown, ShutdownTrigger};
use gantry_broker::rights::Login;
use gantry_broker::{Broker, BrokerOptions, Found};
use gantry_mqtt::Mqtt;
use gantry_storage::{DataDir, EmbeddedJournal, EmbeddedLogs, EmbeddedTable, JournalOptions, LogsOptions};
use tokio::time::timeout;

use crate::config::Config;
use crate::connections::Connections;
use crate::http::Http;
use crate::listener::{Bound, Listener, Service};
use crate::management::{self, Api, Health, Stage};
use crate::metrics::{self, Counting, Metrics};
use crate::process::{self, Started};
use crate::protocols::{Entry, PROTOCOLS, Parts, aws_settings, mqtt_settings, sources, stomp_settings};
use crate::tls::{Tls, TlsError};
use crate::tokens;
use crate::web;

/// How long connections that are cut have to be gone: they only need to be dropped.
const CUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// An address cannot be had.
    #[error("cannot listen for {name} at {address}: {source}")]
    Listen {
        /// The listener.
        name: &'static str,
        /// Where it should be.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The certificates cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The broker cannot be opened.
    #[error("{0}")]
    Broker(String),
}

/// The broker, opened, and what the program needs of it.
pub(crate) struct Opened {
    /// What protocols are made of.
    pub(crate) parts: Parts,
    /// Its numbers.
    pub(crate) sources: metrics::Sources,
    /// Tells it that connections go because the program stops.
    pub(crate) start_closing: Box<dyn FnOnce() + Send>,
    /// Flushes and closes it. Blocks.
    pub(crate) close: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

/// Above the watermark bodies leave memory; so many times as much, and publishers have to wait.
const MEMORY_LIMIT_WATERMARKS: u64 = 4;

/// Opens the broker on the data folder, recovery included. Blocks.
fn open(config: &Config) -> Result<Opened, String> {
    let data_dir = DataDir::lock(&config.data_dir).map_err(|error| error.to_string())?;
    let options = JournalOptions {
        segment_bytes: config.storage.segment_bytes,
        disk_free_min_bytes: config.storage.disk_free_min_bytes,
        on_fatal: Some(Arc::new(end_at_once)),
        ..JournalOptions::default()
    };
    let mut found = Found::default();
    let journal = EmbeddedJournal::open(&data_dir.journal(), options, &mut found).map_err(|error| error.to_string())?;
    let table = EmbeddedTable::open(&data_dir.tables()).map_err(|error| error.to_string())?;
    let options = LogsOptions { on_fatal: Some(Arc::new(end_at_once)), ..LogsOptions::default() };
    let logs = EmbeddedLogs::new(&data_dir.logs(), options);
    let watermark_bytes = config.limits.memory_watermark_bytes;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let options = BrokerOptions {
        memory_watermark_bytes: bytes(watermark_bytes),
        memory_limit_bytes: bytes(watermark_bytes.saturating_mul(MEMORY_LIMIT_WATERMARKS)),
        retained_bytes_max: bytes(config.limits.retained_bytes_max),
        deduplication_entries_max: bytes(config.limits.deduplication_entries_max),
        default_user: config.users.default_user.clone(),
        default_password: config.users.default_password.0.clone(),
        default_vhost: config.users.default_vhost.clone(),
        vhosts: config.aws.accounts.iter().map(|(_, vhost)| vhost.clone()).collect(),
        tokens: tokens::load(&config.jwt)?,
        login: Login { loopback_users: config.users.loopback_users.iter().cloned().collect() },
        sources: sources(),
        logs: Arc::new(logs),
        ..BrokerOptions::default()
    };
    let broker = Broker::open(options, Arc::new(journal), Arc::new(table), found).map_err(|error| error.to_string())?;
    let amqp091_stats = Arc::new(gantry_amqp091::Stats::default());
    let mqtt_stats = Arc::new(gantry_mqtt::Stats::default());
    // What it knows of sessions is read before anybody can ask for one.
    let mqtt = Mqtt::new(Arc::clone(&broker), mqtt_settings(config), Arc::clone(&mqtt_stats));
    let mqtt = Arc::new(mqtt.map_err(|error| error.to_string())?);
    let aws_stats = Arc::new(gantry_aws::Stats::default());
    let (aws, kept) = Aws::new(Arc::clone(&broker), aws_settings(config), Arc::clone(&aws_stats))
        .map_err(|error| error.to_string())?;
    // Nobody is given a receipt handle that a restart would make worthless.
    for pending in kept.into_iter().chain(aws.start()) {
        tokio::runtime::Handle::current().block_on(pending.wait()).map_err(|error| error.to_string())?;
    }
    let stomp_stats = Arc::new(gantry_stomp::Stats::default());
    let (counted, counted_queues) = (Arc::clone(&broker), Arc::clone(&broker));
    let counting = Counting {
        amqp091: Arc::clone(&amqp091_stats),
        mqtt: mqtt_stats,
        stomp: Arc::clone(&stomp_stats),
        aws: aws_stats,
    };
    let aws = Arc::new(aws);
    let (counted_deliveries, delivering) = (Arc::clone(&aws), Arc::clone(&aws));
    let (closing, closed, stopping) = (Arc::clone(&broker), Arc::clone(&broker), Arc::clone(&mqtt));
    Ok(Opened {
        parts: Parts {
            limits: config.limits,
            broker,
            amqp091_stats,
            mqtt,
            stomp: stomp_settings(config),
            stomp_stats,
            aws,
        },
        sources: metrics::Sources {
            totals: Box::new(move || metrics::Snapshot::of(&counted.totals(), &counting)),
            queues: Box::new(move || counted_queues.queue_counts()),
            deliveries: Box::new(move || counted_deliveries.delivery_counts()),
        },
        start_closing: Box::new(move || closing.start_closing()),
        close: Box::new(move || {
            stopping.stop();
            delivering.stop();
            let result = closed.close().map_err(|error| error.to_string());
            // Locked until nothing is written any more.
            drop(data_dir);
            result
        }),
    })
}

/// A write or a sync has failed: what the disk holds is not known any more, so nothing may be promised or tidied up. What was
/// confirmed is there at the next start.
fn end_at_once(reason: &str) {
    // The thread that writes the log will not get to it, and this line is not to be lost.
    eprintln!("gantry: the journal has failed, the broker ends: {reason}");
    std::process::exit(1);
}

/// The program while it runs.
pub(crate) struct Running {
    addresses: Vec<(&'static str, SocketAddr)>,
    health: Health,
    connections: Connections,
    http_connections: Connections,
    stop: ShutdownTrigger,
    cut: ShutdownTrigger,
    stop_timeout: Duration,
    start_closing: Box<dyn FnOnce() + Send>,
    close: Box<dyn FnOnce() -> Result<(), String> + Send>,
}

/// Starts everything that the configuration asks for. Returns once clients are served.
pub(crate) async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, PROTOCOLS, open).await
}

/// As [`start`], with these protocols and this way to open the broker.
pub(crate) async fn start_with(
    config: Config,
    protocols: &[Entry],
    open: impl FnOnce(&Config) -> Result<Opened, String> + Send + 'static,
) -> Result<Running, StartError> {
    let started = Started::now();
    raise_limits(&config);
    let handshake_timeout = Duration::from_secs(config.limits.handshake_timeout_s);
    let tls = Tls::load(&config.tls, handshake_timeout)?;
    let (http, bound) = bind(&config, protocols)?;

    let connections = Connections::new(config.limits.connections_max);
    let http_connections = Connections::new(config.limits.http_connections_max);
    let (stop, shutdown) = ShutdownTrigger::new();
    let (cut, cut_handle) = ShutdownTrigger::new();
    let (health, api) = (Health::default(), Api::default());
    let web_stats = Arc::new(gantry_websocket::Stats::default());
    let metrics = Metrics::new(started, connections.clone(), Arc::clone(&web_stats));
    let mut serving = Serving { addresses: Vec::new(), tls, handshake_timeout, shutdown, cut: cut_handle };

    // Who asks how far the start is gets an answer while the broker recovers.
    for listener in http {
        let protocol: Arc<dyn Protocol> = match listener.config().plain_name {
            METRICS => Arc::new(Http::new(METRICS, metrics::router(metrics.clone()), handshake_timeout)),
            _ => Arc::new(Http::new(MANAGEMENT, management::router(health.clone(), api.clone()), handshake_timeout)),
        };
        serving.add(listener, protocol, &http_connections)?;
    }

    let stop_timeout = Duration::from_secs(config.limits.shutdown_timeout_s);
    let (websocket, limits) = (config.websocket.clone(), config.limits);
    let opened = tokio::task::spawn_blocking(move || open(&config)).await;
    let Opened { parts, sources, start_closing, close } =
        opened.map_err(|panic| StartError::Broker(panic.to_string()))?.map_err(StartError::Broker)?;
    metrics.set_broker(sources);
    api.set_broker(Arc::clone(&parts.broker));

    let mut protocols: Vec<_> = protocols.iter().map(|(name, make)| (*name, make(&parts))).collect();
    protocols.extend(web::served(&protocols, &websocket, &limits, &web_stats));
    for listener in bound {
        let name = listener.config().plain_name;
        if let Some((_, protocol)) = protocols.iter().find(|(served, _)| *served == name) {
            serving.add(listener, protocol.clone(), &connections)?;
        }
    }
    health.set(Stage::Ready);
    tracing::info!("ready after {} ms", (started.uptime_s() * 1e3).round());
    let addresses = serving.addresses;
    Ok(Running { addresses, health, connections, http_connections, stop, cut, stop_timeout, start_closing, close })
}

const MANAGEMENT: &str = "management";
const METRICS: &str = "metrics";

/// Listeners of HTTP, and those of protocols.
type AllBound = (Vec<Bound>, Vec<Bound>);

/// Takes the addresses of all listeners that somebody serves, and tells of the others.
fn bind(config: &Config, protocols: &[Entry]) -> Result<AllBound, StartError> {
    let (mut http, mut bound) = (Vec::new(), Vec::new());
    for listener in &config.listeners {
        let Some(address) = listener.address else { continue };
        let is_http = matches!(listener.plain_name, MANAGEMENT | METRICS);
        let is_built = |protocol: &str| protocols.iter().any(|(name, _)| *name == protocol);
        if !is_http && !is_built(listener.plain_name) && !web::is_served(listener.plain_name, is_built) {
            tracing::info!("{}: not built yet, not bound", listener.name);
            continue;
        }
        let taken = Bound::new(listener, address);
        let taken = taken.map_err(|source| StartError::Listen { name: listener.name, address, source })?;
        if is_http { http.push(taken) } else { bound.push(taken) }
    }
    Ok((http, bound))
}

fn raise_limits(config: &Config) {
    let limits = &config.limits;
    let connections_max = limits.connections_max + limits.http_connections_max;
    match process::raise_open_files_limit() {
        Some(files) if files < connections_max => tracing::warn!(
            "limits.connections_max and limits.http_connections_max are {connections_max} together, but the system allows this \
             process {files} open files"
        ),
        _ => {}
    }
}

/// Listeners that are being put to work.
struct Serving {
    addresses: Vec<(&'static str, SocketAddr)>,
    tls: Option<Tls>,
    handshake_timeout: Duration,
    shutdown: Shutdown,
    cut: Shutdown,
}

impl Serving {
    fn add(&mut self, bound: Bound, protocol: Arc<dyn Protocol>, connections: &Connections) -> Result<(), StartError> {
        let (name, is_tls) = (bound.config().name, bound.config().tls);
        let proxy_timeout = bound.config().proxy_protocol.then_some(self.handshake_timeout);
        let wanted = bound.config().address;
        let listener: Listener = bound.listen().map_err(|source| StartError::Listen {
            name,
            address: wanted.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            source,
        })?;
        self.addresses.push((listener.name(), listener.address()));
        let service = Service {
            protocol,
            tls: self.tls.clone().filter(|_| is_tls),
            proxy_timeout,
            connections: connections.clone(),
            shutdown: self.shutdown.clone(),
            cut: self.cut.clone(),
        };
        tokio::spawn(listener.serve(service));
        Ok(())
    }
}

impl Running {
    /// Where its listeners are.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests listen at port 0"))]
    pub(crate) fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// Stops accepting, lets connections end, closes the broker.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.health.set(Stage::Stopping);
        (self.start_closing)();
        self.stop.request();
        let gone = async {
            self.connections.none_left().await;
            self.http_connections.none_left().await;
        };
        tokio::pin!(gone);
        if timeout(self.stop_timeout, gone.as_mut()).await.is_err() {
            let left = self.connections.open() + self.http_connections.open();
            tracing::warn!("{left} connections did not end in {} s and are cut", self.stop_timeout.as_secs());
            self.cut.request();
            if timeout(CUT_TIMEOUT, gone).await.is_err() {
                tracing::error!("some connections cannot be cut");
            }
        }
        let close = self.close;
        tokio::task::spawn_blocking(close).await.map_err(|panic| panic.to_string())?
    }
}

#[cfg(test)]
mod tests;
