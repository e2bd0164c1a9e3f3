//! The list of all keys.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use gantry_aws::Auth;
use gantry_aws::outbound::Rule;
use gantry_broker::protocol::HANDSHAKE_TIMEOUT_S;
use gantry_broker::rights::TokenAlgorithm;
use gantry_stomp::Dialect;
use gantry_websocket::{Compression, Origins};

use super::value::Given;
use super::{Config, ListenerConfig, LogFormat, LoginFrom, Secret};

/// One key.
pub(super) struct Key {
    /// With its section: `limits.frame_max`.
    pub(super) name: &'static str,
    /// As it would be written in the environment.
    pub(super) default: Cow<'static, str>,
    /// What it does, in one line.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documents are compared with it"))]
    pub(super) about: Cow<'static, str>,
    pub(super) kind: Kind,
}

/// What a key takes, and where it goes.
pub(super) enum Kind {
    Text(fn(&mut Config, String)),
    Names(fn(&mut Config, Vec<String>)),
    Algorithms(fn(&mut Config, Vec<TokenAlgorithm>)),
    Path(fn(&mut Config, Option<PathBuf>)),
    Flag(fn(&mut Config, bool)),
    Number(RangeInclusive<u64>, fn(&mut Config) -> &mut u64),
    Bytes(RangeInclusive<u64>, fn(&mut Config) -> &mut u64),
    Login(&'static [(&'static str, LoginFrom)]),
    Format(&'static [(&'static str, LogFormat)]),
    Compression(&'static [(&'static str, Compression)]),
    Dialect(&'static [(&'static str, Dialect)]),
    Auth(&'static [(&'static str, Auth)]),
    Accounts(fn(&mut Config) -> &mut Vec<(String, String)>),
    Rules(fn(&mut Config) -> &mut Vec<Rule>),
    UrlPaths(fn(&mut Config) -> &mut Vec<String>),
    Origins(fn(&mut Config) -> &mut Origins),
    Listener(&'static str, &'static str, bool),
}

impl Key {
    /// Its section, or nothing.
    pub(super) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Reads a value and puts it in its place.
    pub(super) fn set(&self, config: &mut Config, given: Given<'_>) -> Result<(), String> {
        match &self.kind {
            Kind::Text(put) => put(config, given.string()?),
            Kind::Names(put) => put(config, given.names()?),
            Kind::Algorithms(put) => put(config, given.algorithms()?),
            Kind::Path(put) => put(config, given.path()?),
            Kind::Flag(put) => put(config, given.flag()?),
            Kind::Number(range, place) => *place(config) = given.number(range)?,
            Kind::Bytes(range, place) => *place(config) = given.bytes(range)?,
            Kind::Login(choices) => config.tls.login_from = given.choice(choices)?,
            Kind::Format(choices) => config.log.format = given.choice(choices)?,
            Kind::Compression(choices) => config.websocket.compression = given.choice(choices)?,
            Kind::Dialect(choices) => config.stomp.dialect = given.choice(choices)?,
            Kind::Auth(choices) => config.aws.auth = given.choice(choices)?,
            Kind::Accounts(place) => *place(config) = given.accounts()?,
            Kind::Rules(place) => *place(config) = given.rules()?,
            Kind::UrlPaths(place) => *place(config) = given.url_paths()?,
            Kind::Origins(place) => *place(config) = given.origins()?,
            Kind::Listener(name, plain_name, tls) => {
                let address = given.address()?;
                match config.listeners.iter_mut().find(|listener| listener.name == *name) {
                    Some(listener) => listener.address = address,
                    None => config.listeners.push(ListenerConfig {
                        name,
                        plain_name,
                        tls: *tls,
                        proxy_protocol: false,
                        address,
                    }),
                }
            }
        }
        Ok(())
    }
}

/// A listener and its twin with TLS: names and default ports.
struct Listener {
    key: &'static str,
    port: Option<u16>,
    tls_key: &'static str,
    tls_port: Option<u16>,
    speaks: &'static str,
}

/// The listeners. The ports are those of RabbitMQ, ActiveMQ, Amazon MQ and LocalStack.
const LISTENERS: [Listener; 10] = [
    Listener {
        key: "listeners.amqp",
        port: Some(5672),
        tls_key: "listeners.amqp_tls",
        tls_port: Some(5671),
        speaks: "AMQP 0-9-1 and AMQP 1.0",
    },
    Listener {
        key: "listeners.mqtt",
        port: Some(1883),
        tls_key: "listeners.mqtt_tls",
        tls_port: Some(8883),
        speaks: "MQTT 3.1, 3.1.1 and 5.0",
    },
    Listener {
        key: "listeners.stomp",
        port: Some(61613),
        tls_key: "listeners.stomp_tls",
        tls_port: Some(61614),
        speaks: "STOMP 1.0, 1.1 and 1.2",
    },
    Listener {
        key: "listeners.openwire",
        port: Some(61616),
        tls_key: "listeners.openwire_tls",
        tls_port: Some(61617),
        speaks: "OpenWire, and the others in ActiveMQ's dialect",
    },
    Listener {
        key: "listeners.web_stomp",
        port: Some(15674),
        tls_key: "listeners.web_stomp_tls",
        tls_port: Some(15673),
        speaks: "STOMP over WebSocket, path /ws",
    },
    Listener {
        key: "listeners.web_mqtt",
        port: Some(15675),
        tls_key: "listeners.web_mqtt_tls",
        tls_port: Some(15676),
        speaks: "MQTT over WebSocket, path /ws",
    },
    Listener {
        key: "listeners.ws",
        port: None,
        tls_key: "listeners.ws_tls",
        tls_port: Some(61619),
        speaks: "ActiveMQ's WebSocket endpoint",
    },
    Listener {
        key: "listeners.aws",
        port: Some(4566),
        tls_key: "listeners.aws_tls",
        tls_port: Some(4567),
        speaks: "SQS, SNS, Kinesis and Firehose",
    },
    Listener {
        key: "listeners.management",
        port: Some(15672),
        tls_key: "listeners.management_tls",
        tls_port: Some(15671),
        speaks: "health, and the management API",
    },
    Listener {
        key: "listeners.metrics",
        port: Some(15692),
        tls_key: "listeners.metrics_tls",
        tls_port: None,
        speaks: "Prometheus",
    },
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// The list, in the order of `gantry.example.toml`.
pub(super) fn keys() -> Vec<Key> {
    let mut keys = vec![key(
        "data_dir",
        "./data",
        "where everything is kept: created where missing, locked while in use",
        Kind::Path(|config, path| config.data_dir = path.unwrap_or_else(|| PathBuf::from("."))),
    )];
    keys.extend(listener_keys());
    keys.extend(tls_keys());
    keys.extend(storage_keys());
    keys.extend(user_keys());
    keys.extend(jwt_keys());
    keys.extend(websocket_keys());
    keys.extend(limit_keys());
    keys.extend(mqtt_keys());
    keys.extend(stomp_keys());
    keys.extend(aws_keys());
    keys.extend(sns_keys());
    keys.extend(log_keys());
    keys
}

fn key(name: &'static str, default: &'static str, about: &'static str, kind: Kind) -> Key {
    Key { name, default: default.into(), about: about.into(), kind }
}

fn listener_keys() -> Vec<Key> {
    let mut keys = Vec::new();
    let at = |port: Option<u16>| port.map_or("off".into(), |port| format!("0.0.0.0:{port}").into());
    let short = |key: &'static str| key.strip_prefix("listeners.").unwrap_or(key);
    for listener in &LISTENERS {
        keys.push(Key {
            name: listener.key,
            default: at(listener.port),
            about: listener.speaks.into(),
            kind: Kind::Listener(short(listener.key), short(listener.key), false),
        });
    }
    for listener in &LISTENERS {
        keys.push(Key {
            name: listener.tls_key,
            default: at(listener.tls_port),
            about: format!("the same as {}, over TLS", short(listener.key)).into(),
            kind: Kind::Listener(short(listener.tls_key), short(listener.key), true),
        });
    }
    keys.push(key(
        "listeners.proxy_protocol",
        "",
        "names of listeners where a proxy says first whose connection it is (PROXY protocol), with commas between",
        Kind::Names(|config, names| config.proxied = names),
    ));
    keys
}

fn tls_keys() -> [Key; 5] {
    [
        key(
            "tls.certificate",
            "",
            "PEM file: the certificate and its chain",
            Kind::Path(|config, path| config.tls.certificate = path),
        ),
        key("tls.key", "", "PEM file: its private key", Kind::Path(|config, path| config.tls.key = path)),
        key(
            "tls.client_ca",
            "",
            "PEM file: authorities whose client certificates are accepted",
            Kind::Path(|config, path| config.tls.client_ca = path),
        ),
        key(
            "tls.client_required",
            "false",
            "refuse a client that has no certificate",
            Kind::Flag(|config, flag| config.tls.client_required = flag),
        ),
        key(
            "tls.login_from",
            "distinguished_name",
            "the user that a client certificate stands for (SASL EXTERNAL)",
            Kind::Login(&[
                ("distinguished_name", LoginFrom::DistinguishedName),
                ("common_name", LoginFrom::CommonName),
                ("san_dns", LoginFrom::SanDns),
                ("san_email", LoginFrom::SanEmail),
                ("san_uri", LoginFrom::SanUri),
                ("san_ip", LoginFrom::SanIp),
            ]),
        ),
    ]
}

fn storage_keys() -> [Key; 2] {
    [
        key(
            "storage.segment_bytes",
            "64MiB",
            "size of one file of the journal; small ones are for tests",
            Kind::Bytes(64 * KIB..=GIB, |config| &mut config.storage.segment_bytes),
        ),
        key(
            "storage.disk_free_min_bytes",
            "256MiB",
            "free space below which durable publishes are refused; everything else goes on",
            Kind::Bytes(0..=TIB, |config| &mut config.storage.disk_free_min_bytes),
        ),
    ]
}

fn user_keys() -> [Key; 4] {
    [
        key(
            "users.default_user",
            "guest",
            "the user of a new data folder, with every permission",
            Kind::Text(|config, name| config.users.default_user = name),
        ),
        key(
            "users.default_password",
            "guest",
            "the password of that user",
            Kind::Text(|config, password| config.users.default_password = Secret(password)),
        ),
        key(
            "users.default_vhost",
            "/",
            "the virtual host of a new data folder",
            Kind::Text(|config, name| config.users.default_vhost = name),
        ),
        key(
            "users.loopback_users",
            "guest",
            "users who may connect from this machine only, with commas between them",
            Kind::Text(|config, names| {
                let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                config.users.loopback_users = names.map(str::to_owned).collect();
            }),
        ),
    ]
}

fn jwt_keys() -> [Key; 6] {
    [
        key(
            "jwt.key_file",
            "",
            "PEM file: public keys by which tokens in place of passwords are signed",
            Kind::Path(|config, path| config.jwt.key_file = path),
        ),
        key(
            "jwt.secret_file",
            "",
            "file: a secret of 32 bytes or more by which they are signed",
            Kind::Path(|config, path| config.jwt.secret_file = path),
        ),
        key(
            "jwt.algorithms",
            "",
            "how they may be signed, with commas between: HS256, RS256, PS256, ES256, EdDSA and the longer ones",
            Kind::Algorithms(|config, algorithms| config.jwt.algorithms = algorithms),
        ),
        key(
            "jwt.issuer",
            "",
            "what their issuer (iss) has to be; empty for anything",
            Kind::Text(|config, issuer| config.jwt.issuer = issuer),
        ),
        key(
            "jwt.audience",
            "",
            "what their audience (aud) has to be or contain; empty for tokens without one",
            Kind::Text(|config, audience| config.jwt.audience = audience),
        ),
        key(
            "jwt.user_claim",
            "sub",
            "the claim that names the user, who has to be one of the broker's",
            Kind::Text(|config, claim| config.jwt.user_claim = claim),
        ),
    ]
}

fn websocket_keys() -> [Key; 3] {
    [
        key(
            "websocket.paths",
            "/ws",
            "where WebSocket is, with commas between paths",
            Kind::UrlPaths(|config| &mut config.websocket.paths),
        ),
        key(
            "websocket.origins",
            "same-host",
            "web pages that may connect: same-host, https://app.example.com, *; with commas between them",
            Kind::Origins(|config| &mut config.websocket.origins),
        ),
        key(
            "websocket.compression",
            "none",
            "what clients are offered: none, or permessage-deflate, which costs memory and processor time",
            Kind::Compression(&[("none", Compression::None), ("permessage-deflate", Compression::PermessageDeflate)]),
        ),
    ]
}

fn limit_keys() -> [Key; 11] {
    // The handshake's default is a constant of the seam: protocols have it without a configuration.
    let handshake_timeout_s = Key {
        name: "limits.handshake_timeout_s",
        default: HANDSHAKE_TIMEOUT_S.to_string().into(),
        about: "seconds for the TLS handshake, and again for the login".into(),
        kind: Kind::Number(1..=300, |config| &mut config.limits.handshake_timeout_s),
    };
    [
        key(
            "limits.message_bytes_max",
            "128MiB",
            "longest body of a message",
            Kind::Bytes(KIB..=512 * MIB, |config| &mut config.limits.message_bytes_max),
        ),
        key(
            "limits.connections_max",
            "65536",
            "client connections of all protocols together",
            Kind::Number(1..=10_000_000, |config| &mut config.limits.connections_max),
        ),
        key(
            "limits.http_connections_max",
            "1024",
            "connections of management and metrics together",
            Kind::Number(1..=1_000_000, |config| &mut config.limits.http_connections_max),
        ),
        key(
            "limits.channel_max",
            "2047",
            "channels of an AMQP 0-9-1 connection",
            Kind::Number(1..=65_535, |config| &mut config.limits.channel_max),
        ),
        key(
            "limits.frame_max",
            "131072",
            "longest AMQP frame, in bytes",
            Kind::Bytes(4 * KIB..=16 * MIB, |config| &mut config.limits.frame_max),
        ),
        key(
            "limits.memory_watermark_bytes",
            "256MiB",
            "bodies of waiting messages leave memory above it",
            Kind::Bytes(MIB..=TIB, |config| &mut config.limits.memory_watermark_bytes),
        ),
        key(
            "limits.retained_bytes_max",
            "256MiB",
            "memory that retained messages may take; more are refused",
            Kind::Bytes(MIB..=TIB, |config| &mut config.limits.retained_bytes_max),
        ),
        key(
            "limits.deduplication_entries_max",
            "16777216",
            "deduplication ids that ordered queues may remember; beyond it their messages are refused",
            Kind::Number(1_000..=1_000_000_000, |config| &mut config.limits.deduplication_entries_max),
        ),
        key(
            "limits.heartbeat_s",
            "60",
            "seconds between heartbeats, as proposed to AMQP clients; 0 is none",
            Kind::Number(0..=65_535, |config| &mut config.limits.heartbeat_s),
        ),
        handshake_timeout_s,
        key(
            "limits.shutdown_timeout_s",
            "5",
            "seconds that connections have to end at a shutdown",
            Kind::Number(0..=300, |config| &mut config.limits.shutdown_timeout_s),
        ),
    ]
}

fn mqtt_keys() -> [Key; 10] {
    [
        key(
            "mqtt.exchange",
            "amq.topic",
            "the topic exchange that topics are routing keys of",
            Kind::Text(|config, name| config.mqtt.exchange = name),
        ),
        key(
            "mqtt.vhost",
            "/",
            "the virtual host of clients that name none (vhost:user)",
            Kind::Text(|config, name| config.mqtt.vhost = name),
        ),
        key(
            "mqtt.packet_bytes_max",
            "16MiB",
            "largest packet of a client",
            Kind::Bytes(KIB..=256 * MIB, |config| &mut config.mqtt.packet_bytes_max),
        ),
        key(
            "mqtt.receive_max",
            "1024",
            "messages of QoS 1 and 2 under way at the same time, in each direction of a connection",
            Kind::Number(1..=65_535, |config| &mut config.mqtt.receive_max),
        ),
        key(
            "mqtt.topic_alias_max",
            "16",
            "topic aliases in each direction of a connection",
            Kind::Number(0..=65_535, |config| &mut config.mqtt.topic_alias_max),
        ),
        key(
            "mqtt.keep_alive_max_s",
            "0",
            "longest keep-alive, which MQTT 5 clients are told; 0 is any",
            Kind::Number(0..=65_535, |config| &mut config.mqtt.keep_alive_max_s),
        ),
        key(
            "mqtt.session_expiry_max_s",
            "604800",
            "longest time that a session outlives its connection; 4294967295 is for ever",
            Kind::Number(0..=4_294_967_295, |config| &mut config.mqtt.session_expiry_max_s),
        ),
        key(
            "mqtt.sessions_max",
            "1000000",
            "sessions of MQTT clients, with and without a connection",
            Kind::Number(1..=100_000_000, |config| &mut config.mqtt.sessions_max),
        ),
        key(
            "mqtt.subscriptions_max",
            "10000",
            "subscriptions of one session",
            Kind::Number(1..=1_000_000, |config| &mut config.mqtt.subscriptions_max),
        ),
        key(
            "mqtt.sys_interval_s",
            "10",
            "how often the topics below $SYS are looked at, and published where they have changed",
            Kind::Number(1..=86_400, |config| &mut config.mqtt.sys_interval_s),
        ),
    ]
}

fn stomp_keys() -> [Key; 6] {
    [
        key(
            "stomp.dialect",
            "rabbitmq",
            "whose destinations and headers are read: rabbitmq or activemq",
            Kind::Dialect(&[("rabbitmq", Dialect::RabbitMq), ("activemq", Dialect::ActiveMq)]),
        ),
        key(
            "stomp.vhost",
            "/",
            "the virtual host of clients that name none (host)",
            Kind::Text(|config, name| config.stomp.vhost = name),
        ),
        key(
            "stomp.header_bytes_max",
            "64KiB",
            "command and headers of a frame together",
            Kind::Bytes(KIB..=MIB, |config| &mut config.stomp.header_bytes_max),
        ),
        key(
            "stomp.headers_max",
            "256",
            "headers of a frame",
            Kind::Number(16..=10_000, |config| &mut config.stomp.headers_max),
        ),
        key(
            "stomp.heart_beat_min_ms",
            "1000",
            "shortest interval of heart-beats that is agreed on",
            Kind::Number(1_000..=3_600_000, |config| &mut config.stomp.heart_beat_min_ms),
        ),
        key(
            "stomp.subscriptions_max",
            "10000",
            "subscriptions of one connection",
            Kind::Number(1..=1_000_000, |config| &mut config.stomp.subscriptions_max),
        ),
    ]
}

fn aws_keys() -> [Key; 10] {
    [
        key(
            "aws.auth",
            "loopback-open",
            "loopback-open: from this machine any key is the default user's; required: every request is signed",
            Kind::Auth(&[("loopback-open", Auth::LoopbackOpen), ("required", Auth::Required)]),
        ),
        key(
            "aws.region",
            "us-east-1",
            "the region of requests that are not signed for another one",
            Kind::Text(|config, name| config.aws.region = name),
        ),
        key(
            "aws.accounts",
            "",
            "accounts and their virtual hosts (\"111122223333=sales\"); empty: 000000000000 is users.default_vhost's. A user is \
             of the first that it may enter",
            Kind::Accounts(|config| &mut config.aws.accounts),
        ),
        key(
            "aws.queue_url",
            "",
            "what URLs of queues, and links of SNS, begin with, such as https://sqs.example.com; empty for the host that the client has used",
            Kind::Text(|config, url| config.aws.queue_url = url),
        ),
        key(
            "aws.message_bytes_max",
            "1MiB",
            "largest message, and messages of a batch together",
            Kind::Bytes(KIB..=MIB, |config| &mut config.aws.message_bytes_max),
        ),
        key(
            "aws.in_flight_max",
            "120000",
            "messages of a standard queue that are received and neither deleted nor visible again",
            Kind::Number(1..=100_000_000, |config| &mut config.aws.in_flight_max),
        ),
        key(
            "aws.in_flight_fifo_max",
            "20000",
            "the same of a FIFO queue",
            Kind::Number(1..=100_000_000, |config| &mut config.aws.in_flight_fifo_max),
        ),
        key(
            "aws.purge_wait_s",
            "60",
            "a queue may be purged once in so long, as in AWS; 0 for as often as you like",
            Kind::Number(0..=3_600, |config| &mut config.aws.purge_wait_s),
        ),
        key(
            "aws.recreate_wait_s",
            "0",
            "after a queue was deleted, nobody creates one of its name for so long; AWS has 60",
            Kind::Number(0..=3_600, |config| &mut config.aws.recreate_wait_s),
        ),
        key(
            "aws.strict_policies",
            "false",
            "a queue takes messages of topics only where its policy says so, as in AWS; false for those of its own account in any case",
            Kind::Flag(|config, flag| config.aws.strict_policies = flag),
        ),
    ]
}

fn sns_keys() -> [Key; 22] {
    [
        key(
            "sns.subscriptions_max",
            "100000",
            "subscriptions of a topic",
            Kind::Number(1..=10_000_000, |config| &mut config.sns.subscriptions_max),
        ),
        key(
            "sns.filter_policies_max",
            "10000",
            "subscriptions of a topic with a filter policy; AWS has 200 unless asked for more",
            Kind::Number(0..=10_000_000, |config| &mut config.sns.filter_policies_max),
        ),
        key(
            "sns.outbound_allow",
            "",
            "hosts (hooks.example.com, *.example.com) and networks (10.0.0.0/8) that subscriptions may reach; empty for all of them",
            Kind::Rules(|config| &mut config.sns.outbound_allow),
        ),
        key(
            "sns.outbound_deny",
            "",
            "those that they may not reach, beside link-local addresses and, for who subscribes from elsewhere, loopback",
            Kind::Rules(|config| &mut config.sns.outbound_deny),
        ),
        key(
            "sns.ca_file",
            "",
            "PEM file: authorities of endpoints that are trusted beside those of the operating system",
            Kind::Path(|config, path| config.sns.ca_file = path),
        ),
        key(
            "sns.lambda_url",
            "",
            "what speaks as Lambda does, such as https://lambda.{region}.amazonaws.com, for subscriptions of functions; empty for none",
            Kind::Text(|config, text| config.sns.lambda_url = text),
        ),
        key(
            "sns.firehose_url",
            "",
            "what speaks as Firehose does, such as https://firehose.{region}.amazonaws.com, for subscriptions of delivery streams; empty for none",
            Kind::Text(|config, text| config.sns.firehose_url = text),
        ),
        key(
            "sns.access_key_id",
            "",
            "access key that requests to both are signed with; empty for unsigned ones",
            Kind::Text(|config, text| config.sns.access_key_id = text),
        ),
        key(
            "sns.secret_access_key",
            "",
            "its secret",
            Kind::Text(|config, text| config.sns.secret_access_key = Secret(text)),
        ),
        key(
            "sns.session_token",
            "",
            "what goes with a key that is good for a while only; empty for none",
            Kind::Text(|config, text| config.sns.session_token = Secret(text)),
        ),
        key(
            "sns.smtp_url",
            "",
            "who takes mails: smtp://user:password@host:port, with ?tls=required for STARTTLS, or smtps://; empty for nobody",
            Kind::Text(|config, text| config.sns.smtp_url = Secret(text)),
        ),
        key(
            "sns.mail_from",
            "no-reply@localhost",
            "whom mails come from: an address, or a name and an address in angle brackets",
            Kind::Text(|config, text| config.sns.mail_from = text),
        ),
        key(
            "sns.sms_url",
            "",
            "the gateway that takes short messages; names in braces are filled in as in sms_body; empty for none",
            Kind::Text(|config, text| config.sns.sms_url = Secret(text)),
        ),
        key(
            "sns.sms_body",
            r#"{"to":"{phone_number}","text":"{message}","from":"{sender_id}","type":"{sms_type}","id":"{message_id}"}"#,
            "what it gets by POST; names in braces: phone_number, message, message_id, sender_id, sms_type, origination_number, max_price, entity_id, template_id",
            Kind::Text(|config, text| config.sns.sms_body = text),
        ),
        key(
            "sns.sms_content_type",
            "application/json",
            "what that is; it says how values are escaped: JSON, XML, application/x-www-form-urlencoded, or not at all",
            Kind::Text(|config, text| config.sns.sms_content_type = text),
        ),
        key(
            "sns.sms_authorization",
            "",
            "header authorization for the gateway; empty for none",
            Kind::Text(|config, text| config.sns.sms_authorization = Secret(text)),
        ),
        key(
            "sns.sms_sandbox",
            "false",
            "short messages go to phone numbers only that were verified, as in a new account of AWS",
            Kind::Flag(|config, flag| config.sns.sms_sandbox = flag),
        ),
        key(
            "sns.origination_numbers",
            "",
            "phone numbers that short messages may come from, for ListOriginationNumbers",
            Kind::Names(|config, names| config.sns.origination_numbers = names),
        ),
        key(
            "sns.apns_url",
            "https://api.push.apple.com",
            "Apple's service for mobile devices",
            Kind::Text(|config, text| config.sns.apns_url = text),
        ),
        key(
            "sns.apns_sandbox_url",
            "https://api.sandbox.push.apple.com",
            "the same for apps in development",
            Kind::Text(|config, text| config.sns.apns_sandbox_url = text),
        ),
        key(
            "sns.fcm_url",
            "https://fcm.googleapis.com",
            "Google's service for mobile devices",
            Kind::Text(|config, text| config.sns.fcm_url = text),
        ),
        key(
            "sns.fcm_token_url",
            "https://oauth2.googleapis.com/token",
            "where Google gives tokens to service accounts",
            Kind::Text(|config, text| config.sns.fcm_token_url = text),
        ),
    ]
}

fn log_keys() -> [Key; 2] {
    [
        key(
            "log.filter",
            "info",
            "error, warn, info, debug, trace, or tracing's directives; GANTRY_LOG goes before it",
            Kind::Text(|config, filter| config.log.filter = filter),
        ),
        key(
            "log.format",
            "text",
            "text or json",
            Kind::Format(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        ),
    ]
}
