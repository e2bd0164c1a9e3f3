//! The same messages over plain TCP and over WebSocket.

use super::qos0;
use crate::error::Fallible;
use crate::load::Bench;
use crate::peer::{Protocol, Running, Settings};
use crate::table::{Better, Figure, Target};

pub(crate) const ABOUT: &str = "MQTT, 64 B, QoS 0, 1 publisher (at most 4,000 ahead), 1 subscriber: over plain TCP, then over \
     WebSocket, where each packet of the publisher is a message";

/// How much less may come through over WebSocket, in percent.
const BELOW_MAX_PERCENT: f64 = 15.0;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let mut seen = Vec::new();
    for (name, protocol) in [("tcp", Protocol::Mqtt), ("web", bench.protocol)] {
        let folder = bench.folder.join(name);
        std::fs::create_dir(&folder)?;
        let running = Running::start(bench.broker, &folder, Settings { protocol, ..Default::default() })?;
        let one = qos0::measure(bench, &running)?;
        if let Some(doubt) = one.doubt() {
            bench.note(format!("{name}: {doubt}"));
        }
        seen.push(one);
    }
    let [tcp, web] = seen.as_slice() else { return Ok(Vec::new()) };
    let below = (1.0 - web.rate / tcp.rate) * 100.0;
    Ok(vec![
        Figure::new("throughput over TCP", "messages/s", tcp.rate, Better::Neither),
        Figure::new("throughput over WebSocket", "messages/s", web.rate, Better::Higher),
        Figure::new("WebSocket below TCP", "%", below, Better::Lower).target(Target::AtMost(BELOW_MAX_PERCENT)),
        Figure::new("server CPU per message over TCP", "µs", tcp.server_micros, Better::Neither),
        Figure::new("server CPU per message over WebSocket", "µs", web.server_micros, Better::Lower),
        Figure::new("load generator's CPU per message over WebSocket", "µs", web.client_micros, Better::Neither),
    ])
}
