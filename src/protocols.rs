//! The protocols that are built in: one line each.

use std::num::NonZeroU16;
use std::sync::Arc;

use gantry_amqp091::Amqp091;
use gantry_aws::Aws;
use gantry_aws::outbound::Guard;
use gantry_broker::protocol::Protocol;
use gantry_broker::{Broker, Sources};
use gantry_mqtt::Mqtt;
use gantry_stomp::{Dialect, Stomp};

use crate::config::{Config, Limits};

/// What a protocol is made of.
pub(crate) struct Parts {
    /// The bounds that the configuration sets.
    pub(crate) limits: Limits,
    /// The broker that it serves.
    pub(crate) broker: Arc<Broker>,
    /// Where AMQP 0-9-1 counts.
    pub(crate) amqp091_stats: Arc<gantry_amqp091::Stats>,
    /// MQTT, which has one registry of sessions whatever clients come over.
    pub(crate) mqtt: Arc<Mqtt>,
    /// How STOMP is spoken.
    pub(crate) stomp: gantry_stomp::Settings,
    /// Where STOMP counts.
    pub(crate) stomp_stats: Arc<gantry_stomp::Stats>,
    /// AWS, which knows its queues' settings whether its clients use TLS or not.
    pub(crate) aws: Arc<Aws>,
}

/// The name of the listener whose clients it serves, with and without TLS, and how it is made.
pub(crate) type Entry = (&'static str, fn(&Parts) -> Arc<dyn Protocol>);

/// All of them. A listener that has none is not bound.
pub(crate) const PROTOCOLS: &[Entry] = &[
    ("amqp", amqp091),
    ("mqtt", |parts| Arc::clone(&parts.mqtt) as _),
    ("stomp", |parts| stomp(parts, parts.stomp.dialect)),
    ("aws", |parts| Arc::clone(&parts.aws) as _),
    // For listeners that others ride on, and none of its own.
    (STOMP_ACTIVEMQ, |parts| stomp(parts, Dialect::ActiveMq)),
];

/// STOMP in ActiveMQ's dialect, whatever is configured.
pub(crate) const STOMP_ACTIVEMQ: &str = "stomp in ActiveMQ's dialect";

/// The protocols that stored messages may have come by.
pub(crate) fn sources() -> Sources {
    Sources::new(vec![
        &gantry_amqp091::SOURCE,
        &gantry_mqtt::SOURCE,
        &gantry_stomp::SOURCE,
        &gantry_aws::SQS_SOURCE,
        &gantry_aws::SNS_SOURCE,
        &gantry_aws::SNS_NOTICE_SOURCE,
    ])
}

fn amqp091(parts: &Parts) -> Arc<dyn Protocol> {
    let Limits { message_bytes_max, channel_max, frame_max, heartbeat_s, handshake_timeout_s, .. } = parts.limits;
    // The ranges of the configuration are narrower than these types.
    let limits = gantry_amqp091::Limits {
        message_bytes_max,
        channel_max: u16::try_from(channel_max).unwrap_or(u16::MAX),
        frame_bytes_max: u32::try_from(frame_max).unwrap_or(u32::MAX),
        heartbeat_s: u16::try_from(heartbeat_s).unwrap_or(u16::MAX),
        handshake_timeout: std::time::Duration::from_secs(handshake_timeout_s),
    };
    Arc::new(Amqp091::new(Arc::clone(&parts.broker), limits, Arc::clone(&parts.amqp091_stats)))
}

fn stomp(parts: &Parts, dialect: Dialect) -> Arc<dyn Protocol> {
    let settings = gantry_stomp::Settings { dialect, ..parts.stomp.clone() };
    Arc::new(Stomp::new(Arc::clone(&parts.broker), settings, Arc::clone(&parts.stomp_stats)))
}

/// How STOMP is spoken.
pub(crate) fn stomp_settings(config: &Config) -> gantry_stomp::Settings {
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let stomp = &config.stomp;
    gantry_stomp::Settings {
        dialect: stomp.dialect,
        vhost: stomp.vhost.as_str().into(),
        message_bytes_max: size(config.limits.message_bytes_max),
        header_bytes_max: size(stomp.header_bytes_max),
        headers_max: size(stomp.headers_max),
        heart_beat_min_ms: stomp.heart_beat_min_ms,
        subscriptions_max: size(stomp.subscriptions_max),
        handshake_timeout: std::time::Duration::from_secs(config.limits.handshake_timeout_s),
    }
}

/// How MQTT is spoken. The ranges of the configuration are narrower than these types.
pub(crate) fn mqtt_settings(config: &Config) -> gantry_mqtt::Settings {
    let mqtt = &config.mqtt;
    let default = gantry_mqtt::Settings::default();
    gantry_mqtt::Settings {
        exchange: mqtt.exchange.as_str().into(),
        vhost: mqtt.vhost.as_str().into(),
        packet_bytes_max: u32::try_from(mqtt.packet_bytes_max).unwrap_or(default.packet_bytes_max),
        keep_alive_max_s: u16::try_from(mqtt.keep_alive_max_s).unwrap_or(u16::MAX),
        session_expiry_max_s: u32::try_from(mqtt.session_expiry_max_s).unwrap_or(u32::MAX),
        receive_max: u16::try_from(mqtt.receive_max).ok().and_then(NonZeroU16::new).unwrap_or(default.receive_max),
        topic_alias_max: u16::try_from(mqtt.topic_alias_max).unwrap_or(default.topic_alias_max),
        sessions_max: usize::try_from(mqtt.sessions_max).unwrap_or(usize::MAX),
        subscriptions_max: usize::try_from(mqtt.subscriptions_max).unwrap_or(usize::MAX),
        system_interval: std::time::Duration::from_secs(mqtt.sys_interval_s),
        handshake_timeout: std::time::Duration::from_secs(config.limits.handshake_timeout_s),
    }
}

/// How AWS is spoken. The ranges of the configuration are narrower than these types.
pub(crate) fn aws_settings(config: &Config) -> gantry_aws::Settings {
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let aws = &config.aws;
    let account = |(account, vhost): &(String, String)| (account.as_str().into(), vhost.as_str().into());
    let default = gantry_aws::Settings::default();
    let accounts = if aws.accounts.is_empty() {
        let default_vhost = config.users.default_vhost.as_str();
        default.accounts.iter().map(|(account, _)| (account.clone(), default_vhost.into())).collect()
    } else {
        aws.accounts.iter().map(account).collect()
    };
    let queue_url = aws.queue_url.trim_end_matches('/');
    gantry_aws::Settings {
        auth: aws.auth,
        region: aws.region.as_str().into(),
        accounts,
        default_user: config.users.default_user.as_str().into(),
        queue_url: (!queue_url.is_empty()).then(|| queue_url.into()),
        handshake_timeout: std::time::Duration::from_secs(config.limits.handshake_timeout_s),
        strict_policies: aws.strict_policies,
        sns: sns_settings(config),
        sqs: gantry_aws::Limits {
            in_flight_max: size(aws.in_flight_max),
            in_flight_fifo_max: size(aws.in_flight_fifo_max),
            message_bytes_max: size(aws.message_bytes_max),
            recreate_wait_s: aws.recreate_wait_s,
            purge_wait_s: aws.purge_wait_s,
        },
        ..default
    }
}

/// How SNS is spoken.
fn sns_settings(config: &Config) -> gantry_aws::SnsSettings {
    use gantry_aws::sns::{Gateway, Mail, Push, Services, SmsSettings};
    let sns = &config.sns;
    let text = |text: &str| Box::from(text);
    let size = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    gantry_aws::SnsSettings {
        subscriptions_max: size(sns.subscriptions_max),
        filter_policies_max: size(sns.filter_policies_max),
        outbound: gantry_aws::outbound::Settings {
            guard: Guard { allow: sns.outbound_allow.clone(), deny: sns.outbound_deny.clone() },
            ca_file: sns.ca_file.clone(),
            ..gantry_aws::outbound::Settings::default()
        },
        services: Services {
            lambda_url: text(&sns.lambda_url),
            firehose_url: text(&sns.firehose_url),
            access_key_id: text(&sns.access_key_id),
            secret_access_key: text(&sns.secret_access_key.0),
            session_token: text(&sns.session_token.0),
        },
        mail: Mail { url: text(&sns.smtp_url.0), from: text(&sns.mail_from) },
        sms: SmsSettings {
            gateway: Gateway {
                url: text(&sns.sms_url.0),
                body: text(&sns.sms_body),
                content_type: text(&sns.sms_content_type),
                authorization: text(&sns.sms_authorization.0),
            },
            is_in_sandbox: sns.sms_sandbox,
            origination_numbers: sns.origination_numbers.iter().map(|number| number.as_str().into()).collect(),
        },
        push: Push {
            apple_url: text(&sns.apns_url),
            apple_sandbox_url: text(&sns.apns_sandbox_url),
            google_url: text(&sns.fcm_url),
            google_token_url: text(&sns.fcm_token_url),
        },
    }
}
