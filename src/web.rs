//! WebSocket listeners: which protocols ride on which, by the names of their subprotocols.

use std::sync::Arc;
use std::time::Duration;

use gantry_broker::protocol::Protocol;
use gantry_websocket::{Messages, Settings, Stats, Subprotocol, WebSocket};

use crate::config::{Limits, WebSocketConfig};
use crate::protocols::STOMP_ACTIVEMQ;

/// A listener of WebSocket.
struct WebListener {
    name: &'static str,
    /// The protocol for a client that names none, by its subprotocol.
    default: Option<&'static str>,
    /// First bytes of clients that name none and speak another one, and its subprotocol.
    first_bytes: &'static [(u8, &'static str)],
    /// A subprotocol, the listener whose protocol it is, and what its messages are.
    carries: &'static [(&'static str, &'static str, Messages)],
}

/// What a CONNECT packet of MQTT begins with.
const MQTT_CONNECT: u8 = 0x10;
/// What the head of AMQP begins with. No first frame of STOMP does.
const AMQP_HEAD: u8 = b'A';

const LISTENERS: &[WebListener] = &[
    WebListener {
        name: "web_stomp",
        default: Some("v12.stomp"),
        first_bytes: &[],
        carries: &[
            ("v12.stomp", "stomp", Messages::Text),
            ("v11.stomp", "stomp", Messages::Text),
            ("v10.stomp", "stomp", Messages::Text),
        ],
    },
    WebListener {
        name: "web_mqtt",
        default: Some("mqtt"),
        first_bytes: &[],
        carries: &[("mqtt", "mqtt", Messages::Binary), ("mqttv3.1", "mqtt", Messages::Binary)],
    },
    WebListener {
        name: "ws",
        default: Some("v12.stomp"),
        first_bytes: &[(MQTT_CONNECT, "mqtt"), (AMQP_HEAD, "amqp")],
        carries: &[
            ("v12.stomp", STOMP_ACTIVEMQ, Messages::Text),
            ("v11.stomp", STOMP_ACTIVEMQ, Messages::Text),
            ("v10.stomp", STOMP_ACTIVEMQ, Messages::Text),
            ("mqtt", "mqtt", Messages::Binary),
            ("mqttv3.1", "mqtt", Messages::Binary),
            ("amqp", "amqp", Messages::Binary),
        ],
    },
];

/// Whether a listener is one of WebSocket that carries a protocol that is there.
pub(crate) fn is_served(listener: &str, is_built: impl Fn(&str) -> bool) -> bool {
    let carries = |web: &WebListener| web.carries.iter().any(|(_, protocol, _)| is_built(protocol));
    LISTENERS.iter().any(|web| web.name == listener && carries(web))
}

/// The WebSocket listeners that carry one of these protocols, and who serves them.
pub(crate) fn served(
    protocols: &[(&'static str, Arc<dyn Protocol>)],
    config: &WebSocketConfig,
    limits: &Limits,
    stats: &Arc<Stats>,
) -> Vec<(&'static str, Arc<dyn Protocol>)> {
    let find = |wanted: &str| protocols.iter().find(|(name, _)| *name == wanted).map(|(_, protocol)| protocol);
    let mut served = Vec::new();
    for web in LISTENERS {
        let carried: Vec<_> = web
            .carries
            .iter()
            .filter_map(|(name, protocol, messages)| {
                let protocol = Arc::clone(find(protocol)?);
                let first_byte = web.first_bytes.iter().find_map(|(first, of)| (of == name).then_some(*first));
                Some(Subprotocol { name, first_byte, messages: *messages, protocol })
            })
            .collect();
        if !carried.is_empty() {
            let settings = Settings {
                paths: config.paths.clone(),
                origins: config.origins.clone(),
                compression: config.compression,
                handshake_timeout: Duration::from_secs(limits.handshake_timeout_s),
                message_bytes_max: limits.message_bytes_max,
            };
            let protocol: Arc<dyn Protocol> =
                Arc::new(WebSocket::new(web.name, settings, carried, web.default, Arc::clone(stats)));
            served.push((web.name, protocol));
        }
    }
    served
}
