//! The configuration: a file, the environment over it, the command line over both.
//!
//! `keys.rs` is the one list of all keys with their defaults and ranges, `value.rs` reads what was written for one.
//! `gantry.example.toml` and `docs/configuration.md` are compared with that list by a test.

mod keys;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gantry_aws::Auth;
use gantry_aws::outbound::Rule;
use gantry_broker::rights::TokenAlgorithm;
use gantry_stomp::Dialect;
use gantry_websocket::{Compression, Origins};

use self::keys::{Key, keys};
use self::value::Given;

/// Everything that can be configured, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// All listeners that are known, in the order of their table, whether they are on or off.
    pub(crate) listeners: Vec<ListenerConfig>,
    /// Names of those that are behind a proxy, as they were given.
    pub(crate) proxied: Vec<String>,
    /// Certificates.
    pub(crate) tls: TlsConfig,
    /// The journal.
    pub(crate) storage: StorageConfig,
    /// Who there is on a new data folder.
    pub(crate) users: UsersConfig,
    /// Tokens in place of passwords.
    pub(crate) jwt: JwtConfig,
    /// WebSocket listeners.
    pub(crate) websocket: WebSocketConfig,
    /// Bounds.
    pub(crate) limits: Limits,
    /// MQTT.
    pub(crate) mqtt: MqttConfig,
    /// STOMP.
    pub(crate) stomp: StompConfig,
    /// AWS.
    pub(crate) aws: AwsConfig,
    /// Amazon SNS.
    pub(crate) sns: SnsConfig,
    /// Logs.
    pub(crate) log: LogConfig,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerConfig {
    /// Its name in the configuration and in the log, such as `amqp` or `amqp_tls`.
    pub(crate) name: &'static str,
    /// The name of the listener without TLS: the same protocol serves both.
    pub(crate) plain_name: &'static str,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// Whether a proxy says first whose connection it is.
    pub(crate) proxy_protocol: bool,
    /// `None` where it is off.
    pub(crate) address: Option<SocketAddr>,
}

/// The `[tls]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// PEM file with the certificate and its chain. Without it no TLS listener is bound.
    pub(crate) certificate: Option<PathBuf>,
    /// PEM file with its private key.
    pub(crate) key: Option<PathBuf>,
    /// PEM file with the authorities whose client certificates are accepted.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub(crate) client_required: bool,
    /// What of a client's certificate is its user name in SASL EXTERNAL.
    pub(crate) login_from: LoginFrom,
}

/// What of a client's certificate is its user name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LoginFrom {
    /// The whole subject.
    #[default]
    DistinguishedName,
    /// The common name.
    CommonName,
    /// The first subject alternative name that is a DNS name.
    SanDns,
    /// The first that is a mail address.
    SanEmail,
    /// The first that is a URI.
    SanUri,
    /// The first that is an IP address.
    SanIp,
}

/// The `[storage]` section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StorageConfig {
    /// Size of one file of the journal.
    pub(crate) segment_bytes: u64,
    /// Free space below which durable publishes are refused.
    pub(crate) disk_free_min_bytes: u64,
}

/// The `[users]` section: what a data folder starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UsersConfig {
    /// Name of the first user, an administrator with every permission.
    pub(crate) default_user: String,
    /// The password of that user.
    pub(crate) default_password: Secret,
    /// The first virtual host.
    pub(crate) default_vhost: String,
    /// Users who may come from this machine only.
    pub(crate) loopback_users: Vec<String>,
}

/// The `[jwt]` section: which tokens let in like passwords. Without a key or a secret none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JwtConfig {
    /// PEM file with public keys.
    pub(crate) key_file: Option<PathBuf>,
    /// File with a shared secret.
    pub(crate) secret_file: Option<PathBuf>,
    /// How tokens may be signed.
    pub(crate) algorithms: Vec<TokenAlgorithm>,
    /// What `iss` has to be; empty for anything.
    pub(crate) issuer: String,
    /// What `aud` has to be or contain; empty for nothing.
    pub(crate) audience: String,
    /// The claim that names the user.
    pub(crate) user_claim: String,
}

/// The `[websocket]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebSocketConfig {
    /// Where WebSocket is; other paths are not found.
    pub(crate) paths: Vec<String>,
    /// Which web pages may connect.
    pub(crate) origins: Origins,
    /// Whether messages may be compressed.
    pub(crate) compression: Compression,
}

/// Something that is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The `[limits]` section. The ranges that `keys.rs` gives are those that the fields' users rely on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Longest body of a message.
    pub(crate) message_bytes_max: u64,
    /// Client connections of all protocols together.
    pub(crate) connections_max: u64,
    /// Connections of the management and metrics listeners together.
    pub(crate) http_connections_max: u64,
    /// Channels of an AMQP 0-9-1 connection; at most 65,535.
    pub(crate) channel_max: u64,
    /// Longest AMQP frame, its 8 bytes of framing included; at most 16 MiB.
    pub(crate) frame_max: u64,
    /// Bodies of waiting messages leave memory above it.
    pub(crate) memory_watermark_bytes: u64,
    /// Memory that retained messages may take.
    pub(crate) retained_bytes_max: u64,
    /// Deduplication ids that ordered queues may remember.
    pub(crate) deduplication_entries_max: u64,
    /// Proposed to AMQP clients; 0 is none; at most 65,535.
    pub(crate) heartbeat_s: u64,
    /// Time for the TLS handshake, and again for the protocol's login.
    pub(crate) handshake_timeout_s: u64,
    /// Time that connections have to end at a shutdown.
    pub(crate) shutdown_timeout_s: u64,
}

/// The `[mqtt]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MqttConfig {
    /// The topic exchange that topics are routing keys of.
    pub(crate) exchange: String,
    /// The virtual host of clients that name none.
    pub(crate) vhost: String,
    /// Largest packet of a client.
    pub(crate) packet_bytes_max: u64,
    /// Publishes and deliveries of QoS 1 and 2 that a client may have under way; at most 65,535.
    pub(crate) receive_max: u64,
    /// Topic aliases in each direction; at most 65,535.
    pub(crate) topic_alias_max: u64,
    /// Longest keep-alive; 0 for any.
    pub(crate) keep_alive_max_s: u64,
    /// Longest time that a session outlives its connection; 4,294,967,295 for any.
    pub(crate) session_expiry_max_s: u64,
    /// Sessions, with and without a connection.
    pub(crate) sessions_max: u64,
    /// Subscriptions of one session.
    pub(crate) subscriptions_max: u64,
    /// How often the topics below `$SYS` are looked at.
    pub(crate) sys_interval_s: u64,
}

/// The `[stomp]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StompConfig {
    /// How destinations and headers are read, by the listeners `stomp` and `web_stomp`.
    pub(crate) dialect: Dialect,
    /// The virtual host of clients that name none.
    pub(crate) vhost: String,
    /// Command and headers of a frame.
    pub(crate) header_bytes_max: u64,
    /// Headers of a frame.
    pub(crate) headers_max: u64,
    /// Shortest interval of heart-beats.
    pub(crate) heart_beat_min_ms: u64,
    /// Subscriptions of one connection.
    pub(crate) subscriptions_max: u64,
}

/// The `[aws]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AwsConfig {
    /// Whose requests need a signature.
    pub(crate) auth: Auth,
    /// The region of what is not signed for another one.
    pub(crate) region: String,
    /// Accounts and their virtual hosts, in order.
    pub(crate) accounts: Vec<(String, String)>,
    /// What URLs of queues begin with; empty for what a client has used.
    pub(crate) queue_url: String,
    /// The largest message.
    pub(crate) message_bytes_max: u64,
    /// Messages of a standard queue in flight.
    pub(crate) in_flight_max: u64,
    /// Messages of a FIFO queue in flight.
    pub(crate) in_flight_fifo_max: u64,
    /// Between two purges of a queue.
    pub(crate) purge_wait_s: u64,
    /// Between deleting a queue and creating another one of its name.
    pub(crate) recreate_wait_s: u64,
    /// Queues take messages of topics only where their policies say so.
    pub(crate) strict_policies: bool,
}

/// The `[sns]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnsConfig {
    /// Subscriptions of a topic.
    pub(crate) subscriptions_max: u64,
    /// Those of them with a filter policy.
    pub(crate) filter_policies_max: u64,
    /// Endpoints that may be reached; all of them, where it is empty.
    pub(crate) outbound_allow: Vec<Rule>,
    /// Endpoints that may not be reached.
    pub(crate) outbound_deny: Vec<Rule>,
    /// Certificates that are trusted beside those of the operating system.
    pub(crate) ca_file: Option<PathBuf>,
    /// What speaks as Lambda does.
    pub(crate) lambda_url: String,
    /// What speaks as Firehose does.
    pub(crate) firehose_url: String,
    /// The access key that requests to both are signed with.
    pub(crate) access_key_id: String,
    /// Its secret.
    pub(crate) secret_access_key: Secret,
    /// What goes with a key that is good for a while only.
    pub(crate) session_token: Secret,
    /// Who takes mails.
    pub(crate) smtp_url: Secret,
    /// Whom they come from.
    pub(crate) mail_from: String,
    /// Who takes short messages.
    pub(crate) sms_url: Secret,
    /// What it gets.
    pub(crate) sms_body: String,
    /// What that is.
    pub(crate) sms_content_type: String,
    /// How it knows who sends.
    pub(crate) sms_authorization: Secret,
    /// Short messages go to numbers that were verified only.
    pub(crate) sms_sandbox: bool,
    /// Numbers that they come from.
    pub(crate) origination_numbers: Vec<String>,
    /// Apple's service.
    pub(crate) apns_url: String,
    /// Apple's service for apps in development.
    pub(crate) apns_sandbox_url: String,
    /// Google's service.
    pub(crate) fcm_url: String,
    /// Where Google gives tokens.
    pub(crate) fcm_token_url: String,
}

/// The `[log]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// What is logged: a level, or directives of tracing's `EnvFilter`.
    pub(crate) filter: String,
    /// How it is written.
    pub(crate) format: LogFormat,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// All that is wrong with a configuration, told at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            f.write_str(error)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The file that is read where none is named and it is there.
pub(crate) const DEFAULT_FILE: &str = "gantry.toml";

impl Config {
    /// Reads the file (the one named, which must be there, or [`DEFAULT_FILE`], which may be missing), and the variables of
    /// the environment that begin with `GANTRY_` over it.
    pub(crate) fn load(file: Option<&Path>, environment: &[(OsString, OsString)]) -> Result<Self, ConfigErrors> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ConfigErrors(vec![format!("{}: {error}", path.display())])),
        };
        Self::from_text(&text, &path.display().to_string(), environment)
    }

    /// As [`Config::load`], of a text; `name` is what errors call it.
    pub(crate) fn from_text(
        text: &str,
        name: &str,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, ConfigErrors> {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return Err(ConfigErrors(vec![format!("{name}: {}", error.to_string().trim_end())])),
        };
        let keys = keys();
        let mut reading = Reading { keys: &keys, config: Self::default(), given: BTreeSet::new(), errors: Vec::new() };
        for key in &keys {
            if let Err(wrong) = key.set(&mut reading.config, Given::Text(&key.default)) {
                reading.errors.push(format!("the default of {}: {wrong}", key.name));
            }
        }
        reading.table(name, "", &table);
        reading.environment(environment);
        reading.finish()
    }
}

/// A configuration that is being read.
struct Reading<'k> {
    keys: &'k [Key],
    config: Config,
    given: BTreeSet<&'static str>,
    errors: Vec<String>,
}

impl Reading<'_> {
    fn table(&mut self, source: &str, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let is_section = self.keys.iter().any(|key| key.section() == path);
            match value {
                toml::Value::Table(inner) if is_section => self.table(source, &path, inner),
                // The keys of a section that is not known are named one by one: each has a nearest known one.
                toml::Value::Table(inner) if !inner.is_empty() && !self.is_key(&path) => {
                    self.table(source, &path, inner);
                }
                _ if is_section => {
                    self.errors.push(format!("{source}: {path} is a section: write [{path}] and its keys below it"));
                }
                _ => self.set(source, &path, Given::Toml(value)),
            }
        }
    }

    fn environment(&mut self, environment: &[(OsString, OsString)]) {
        for (variable, value) in environment {
            let Some(variable) = variable.to_str().filter(|name| name.starts_with("GANTRY_")) else { continue };
            let path = variable["GANTRY_".len()..].replace("__", ".").to_lowercase();
            // Without a section it may be anyone's: Kubernetes gives every container variables such as
            // GANTRY_SERVICE_HOST where a service is called gantry.
            if !path.contains('.') && !self.is_key(&path) {
                continue;
            }
            match value.to_str() {
                Some(value) => self.set(variable, &path, Given::Text(value)),
                None => self.errors.push(format!("{variable}: is not UTF-8")),
            }
        }
    }

    fn is_key(&self, path: &str) -> bool {
        self.keys.iter().any(|key| key.name == path)
    }

    fn set(&mut self, source: &str, path: &str, value: Given<'_>) {
        let Some(key) = self.keys.iter().find(|key| key.name == path) else {
            let nearest = self.keys.iter().map(|key| key.name).min_by_key(|known| distance(path, known));
            self.errors
                .push(format!("{source}: unknown key {path}; the nearest one is {}", nearest.unwrap_or_default()));
            return;
        };
        match key.set(&mut self.config, value) {
            Ok(()) => {
                self.given.insert(key.name);
            }
            Err(wrong) => self.errors.push(format!("{source}: {path} {wrong}")),
        }
    }

    fn finish(mut self) -> Result<Config, ConfigErrors> {
        self.check_tls();
        self.check_jwt();
        self.check_proxied();
        self.check_addresses();
        if self.errors.is_empty() { Ok(self.config) } else { Err(ConfigErrors(self.errors)) }
    }

    fn check_tls(&mut self) {
        let tls = &self.config.tls;
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => self.errors.push("tls.certificate needs tls.key".into()),
            (None, Some(_)) => self.errors.push("tls.key needs tls.certificate".into()),
            _ => {}
        }
        if tls.client_ca.is_some() && tls.certificate.is_none() {
            self.errors.push("tls.client_ca needs tls.certificate".into());
        }
        if tls.client_required && tls.client_ca.is_none() {
            self.errors.push("tls.client_required needs tls.client_ca".into());
        }
        if tls.certificate.is_none() {
            for listener in self.config.listeners.iter_mut().filter(|listener| listener.tls) {
                let wanted = format!("listeners.{}", listener.name);
                if listener.address.is_some() && self.given.contains(wanted.as_str()) {
                    self.errors.push(format!("{wanted} is set, and needs tls.certificate and tls.key"));
                }
                listener.address = None;
            }
        }
    }

    fn check_proxied(&mut self) {
        for name in &self.config.proxied {
            match self.config.listeners.iter_mut().find(|listener| listener.name == name) {
                Some(listener) => listener.proxy_protocol = true,
                None => self.errors.push(format!("listeners.proxy_protocol has no listener {name:?}")),
            }
        }
    }

    /// An algorithm that is allowed by mistake would be a way in.
    fn check_jwt(&mut self) {
        let jwt = &self.config.jwt;
        if jwt.key_file.is_none() && jwt.secret_file.is_none() {
            if !jwt.algorithms.is_empty() {
                self.errors.push("jwt.algorithms needs jwt.key_file or jwt.secret_file".into());
            }
            return;
        }
        let (by_secret, by_key): (Vec<_>, Vec<_>) =
            jwt.algorithms.iter().copied().partition(|algorithm| algorithm.is_by_secret());
        for (file, key, algorithms, such) in [
            (&jwt.secret_file, "jwt.secret_file", by_secret, "HS256"),
            (&jwt.key_file, "jwt.key_file", by_key, "RS256 or ES256"),
        ] {
            match (file, algorithms.is_empty()) {
                (Some(_), true) => self.errors.push(format!("{key} needs jwt.algorithms, with one such as {such}")),
                (None, false) => self.errors.push(format!("jwt.algorithms has some that need {key}")),
                _ => {}
            }
        }
        if jwt.user_claim.is_empty() {
            self.errors.push("jwt.user_claim is the name of a claim, such as \"sub\"".into());
        }
    }

    fn check_addresses(&mut self) {
        let bound: Vec<_> = self.config.listeners.iter().filter_map(|l| Some((l.name, l.address?))).collect();
        for (n, (name, address)) in bound.iter().enumerate() {
            let clash = bound[..n].iter().find(|(_, other)| other == address && address.port() != 0);
            if let Some((other, _)) = clash {
                self.errors.push(format!("listeners.{other} and listeners.{name} are both at {address}"));
            }
        }
    }
}

/// How far a key is from a known one. A slip in the section weighs less than one in the key: `listener.amqp` is meant to be
/// `listeners.amqp`, and `limits.frame_max_bytes` is not `limits.memory_watermark_bytes`.
fn distance(unknown: &str, known: &str) -> usize {
    let whole = strsim::damerau_levenshtein(unknown, known);
    let leaf = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let (unknown_leaf, known_leaf) = (leaf(unknown), leaf(known));
    let contained = unknown_leaf.starts_with(&known_leaf) || known_leaf.starts_with(&unknown_leaf);
    let leaves = if contained { 0 } else { strsim::damerau_levenshtein(&unknown_leaf, &known_leaf) };
    whole + 3 * leaves
}

#[cfg(test)]
pub(crate) use self::tests::config;
