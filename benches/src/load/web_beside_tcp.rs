//! The same load over plain TCP and over WebSocket.

use std::sync::atomic::Ordering;

use super::mqtt::{self, Drain, Times, keep_near};
use super::traffic::Seen;
use super::{Bench, Protocol};
use crate::error::Fallible;
use crate::peer::{Running, Settings};
use crate::table::{Better, Figure, Target};
use crate::web_stomp::{Crowd, Over, Publisher};

pub(crate) const ABOUT_MQTT: &str = "MQTT, 64 B, QoS 0, 1 publisher (at most 4,000 ahead), 1 subscriber: over plain TCP, then over \
     WebSocket, where each packet of the publisher is a message";
pub(crate) const ABOUT_STOMP: &str = "STOMP 1.2, 64 B, topic, 1 publisher (at most 4,000 ahead), 1 subscriber: over plain TCP, then over \
     WebSocket, where each frame of the publisher is a message";

/// How much less may come through over WebSocket, in percent.
const BELOW_MAX_PERCENT: f64 = 15.0;

const DESTINATION: &str = "/topic/bench.web";
const BODY_BYTES: usize = 64;
const RUN: u64 = 250;
const AHEAD_MAX: u64 = 4_000;

pub(crate) fn mqtt(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let tcp = measured(bench, "tcp", Protocol::Mqtt, mqtt::qos0::measure)?;
    let web = measured(bench, "web", Protocol::WebMqtt, mqtt::qos0::measure)?;
    Ok(compared(&tcp, &web))
}

pub(crate) fn stomp(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let tcp = measured(bench, "tcp", Protocol::Stomp, |bench, running| stomp_over(bench, running, Over::Tcp))?;
    let web = measured(bench, "web", Protocol::WebStomp, |bench, running| stomp_over(bench, running, Over::Web))?;
    Ok(compared(&tcp, &web))
}

/// Starts the broker for this protocol alone and puts the load on it.
fn measured(
    bench: &mut Bench<'_>,
    name: &str,
    protocol: Protocol,
    load: impl Fn(&Bench<'_>, &Running) -> Fallible<Seen>,
) -> Fallible<Seen> {
    let folder = bench.folder.join(name);
    std::fs::create_dir(&folder)?;
    let running = Running::start(bench.broker, &folder, Settings { protocol, ..Default::default() })?;
    let seen = load(bench, &running)?;
    if let Some(doubt) = seen.doubt() {
        bench.note(format!("{name}: {doubt}"));
    }
    Ok(seen)
}

fn compared(tcp: &Seen, web: &Seen) -> Vec<Figure> {
    let below = (1.0 - web.rate / tcp.rate) * 100.0;
    vec![
        Figure::new("throughput over TCP", "messages/s", tcp.rate, Better::Neither),
        Figure::new("throughput over WebSocket", "messages/s", web.rate, Better::Higher),
        Figure::new("WebSocket below TCP", "%", below, Better::Lower).target(Target::AtMost(BELOW_MAX_PERCENT)),
        Figure::new("server CPU per message over TCP", "µs", tcp.server_micros, Better::Neither),
        Figure::new("server CPU per message over WebSocket", "µs", web.server_micros, Better::Lower),
        Figure::new("load generator's CPU per message over WebSocket", "µs", web.client_micros, Better::Neither),
    ]
}

fn stomp_over(bench: &Bench<'_>, running: &Running, over: Over) -> Fallible<Seen> {
    let mut subscriber = Crowd::join(running.address, over, 1, DESTINATION)?;
    let mut publisher = Publisher::open(running.address, over)?;
    let bytes = over.send(DESTINATION, BODY_BYTES).repeat(RUN as usize);
    mqtt::run(
        running,
        Times::of(bench),
        move |lane, switches| {
            let mut sent = 0;
            while !switches.stop.load(Ordering::SeqCst) {
                keep_near(lane, switches, sent + RUN, 1, AHEAD_MAX);
                publisher.send(&bytes)?;
                sent += RUN;
                lane.sent.store(sent, Ordering::SeqCst);
            }
            publisher.close()
        },
        move |lane, switches| {
            let (mut taken, mut drain) = (0, Drain::new(1));
            while !drain.is_done(lane, switches, taken)? {
                taken += subscriber.read()?;
                lane.taken.store(taken, Ordering::SeqCst);
            }
            Ok(())
        },
    )
}
