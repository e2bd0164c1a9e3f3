//! Another client, which does its honest work while somebody else misbehaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::aws::Aws;
use crate::broker::{Broker, Settings};
use crate::mqtt::{Hello, Mqtt, V5, ack, kind, publish, publish_of};
use crate::stomp::{Stomp, send};
use crate::wire::{Method, NO_PROPERTIES, Wire};
use crate::{unique, wait_until};

/// The longest that a message of the bystander may take on two busy cores.
const HICCUP: Duration = Duration::from_secs(5);

/// Runs the case with a broker of its own and a bystander, which must not notice.
///
/// # Panics
/// When it does, or the broker has panicked anywhere.
pub fn beside_a_bystander(case: impl FnOnce(&mut Broker)) {
    let mut broker = Broker::start();
    let bystander = Bystander::start(broker.address());
    case(&mut broker);
    let longest = bystander.finish();
    assert!(longest < HICCUP, "a message of the bystander took {longest:?}");
    broker.assert_sound();
}

/// Runs the case with a broker that has the listener `mqtt`, beside a bystander that speaks MQTT.
///
/// # Panics
/// When it does, or the broker has panicked anywhere.
pub fn beside_an_mqtt_bystander(settings: Settings, case: impl FnOnce(&mut Broker)) {
    let mut broker = settings.listener("mqtt").start();
    let (mut mqtt, _) =
        Mqtt::open(broker.address_of("mqtt"), &Hello::new(&unique("bystander"))).expect("the bystander is let in");
    let bystander = Bystander::working(move |rounds, end| work_by_mqtt(&mut mqtt, rounds, end));
    case(&mut broker);
    let longest = bystander.finish();
    assert!(longest < HICCUP, "a message of the bystander took {longest:?}");
    broker.assert_sound();
}

/// Runs the case with a broker that has the listener `stomp`, beside a bystander that speaks STOMP.
///
/// # Panics
/// When it does, or the broker has panicked anywhere.
pub fn beside_a_stomp_bystander(settings: Settings, case: impl FnOnce(&mut Broker)) {
    let mut broker = settings.listener("stomp").start();
    let mut stomp = Stomp::open(broker.address_of("stomp")).expect("the bystander is let in");
    let bystander = Bystander::working(move |rounds, end| work_by_stomp(&mut stomp, rounds, end));
    case(&mut broker);
    let longest = bystander.finish();
    assert!(longest < HICCUP, "a message of the bystander took {longest:?}");
    broker.assert_sound();
}

/// Runs the case with a broker that has the listener `aws`, beside a bystander that speaks SQS.
///
/// # Panics
/// When it does, or the broker has panicked anywhere.
pub fn beside_an_aws_bystander(settings: Settings, case: impl FnOnce(&mut Broker)) {
    let mut broker = settings.listener("aws").start();
    let mut aws = Aws::open(broker.address_of("aws")).expect("the bystander is let in");
    let bystander = Bystander::working(move |rounds, end| work_by_sqs(&mut aws, rounds, end));
    case(&mut broker);
    let longest = bystander.finish();
    assert!(longest < HICCUP, "a message of the bystander took {longest:?}");
    broker.assert_sound();
}

/// A connection that publishes a message, receives it, and starts over, until it is asked how it went.
pub struct Bystander {
    rounds: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Duration>>>,
}

impl Bystander {
    /// Connects and starts.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(address: &str) -> Self {
        let mut wire = Wire::open(address).expect("the bystander is let in");
        Self::working(move |rounds, end| work(&mut wire, rounds, end))
    }

    fn working(job: impl FnOnce(&AtomicU64, &AtomicBool) -> io::Result<Duration> + Send + 'static) -> Self {
        let rounds = Arc::new(AtomicU64::new(0));
        let end = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (rounds, end) = (Arc::clone(&rounds), Arc::clone(&end));
            move || job(&rounds, &end)
        });
        let bystander = Self { rounds, end, thread: Some(thread) };
        bystander.assert_working();
        bystander
    }

    /// Fails unless the bystander does another hundred rounds now.
    ///
    /// # Panics
    /// Then.
    pub fn assert_working(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        wait_until("the bystander does its work", || self.rounds.load(Ordering::Relaxed) >= before + 100);
    }

    /// Ends it, and returns the longest time that one of its messages took.
    ///
    /// # Panics
    /// When it has had an error.
    pub fn finish(mut self) -> Duration {
        self.assert_working();
        self.end.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("finished once");
        thread.join().expect("the bystander's thread").expect("the bystander's connection")
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
    }
}

fn work(wire: &mut Wire, rounds: &AtomicU64, end: &AtomicBool) -> io::Result<Duration> {
    wire.open_channel(1)?;
    let (queue, ..) = wire.declare(1, &unique("bystander"), 4)?;
    // Bits of basic.consume: no-local 1, no-ack 2, exclusive 4, no-wait 8.
    let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("").octet(2).no_arguments();
    wire.call(1, &consume, (60, 21))?;
    let mut longest = Duration::ZERO;
    while !end.load(Ordering::Relaxed) {
        let started = Instant::now();
        wire.publish(1, "", &queue, &NO_PROPERTIES, b"honest work")?;
        wire.expect(1, (60, 60))?;
        longest = longest.max(started.elapsed());
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(longest)
}

/// A message of QoS 1 to itself: it comes, and it is acknowledged, in either order.
fn work_by_mqtt(mqtt: &mut Mqtt, rounds: &AtomicU64, end: &AtomicBool) -> io::Result<Duration> {
    let topic = unique("bystander");
    mqtt.subscribe(&topic, 1)?;
    let mut longest = Duration::ZERO;
    while !end.load(Ordering::Relaxed) {
        let started = Instant::now();
        mqtt.send(&publish(V5, 0, &topic, 1, 1, b"honest work"))?;
        for _ in 0..2 {
            let packet = mqtt.next_packet()?;
            if packet.kind == kind::PUBLISH {
                mqtt.send(&ack(kind::PUBACK, publish_of(&packet, V5).packet_id))?;
            }
        }
        longest = longest.max(started.elapsed());
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(longest)
}

/// A message to itself: it comes, and its receipt, in either order.
fn work_by_stomp(stomp: &mut Stomp, rounds: &AtomicU64, end: &AtomicBool) -> io::Result<Duration> {
    let queue = format!("/queue/{}", unique("bystander"));
    stomp.subscribe(&queue, "auto", &[])?;
    let mut longest = Duration::ZERO;
    while !end.load(Ordering::Relaxed) {
        let started = Instant::now();
        stomp.write(&send(&queue, "r", &[], b"honest work"))?;
        for _ in 0..2 {
            let frame = stomp.next_frame()?;
            if !matches!(frame.command.as_str(), "MESSAGE" | "RECEIPT") {
                return Err(io::Error::other(format!("{frame:?}")));
            }
        }
        longest = longest.max(started.elapsed());
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(longest)
}

/// A message is sent, received and deleted.
fn work_by_sqs(aws: &mut Aws, rounds: &AtomicU64, end: &AtomicBool) -> io::Result<Duration> {
    let queue = aws.create_queue(&unique("bystander"), &json!({}))?;
    let mut longest = Duration::ZERO;
    while !end.load(Ordering::Relaxed) {
        let started = Instant::now();
        aws.call("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "honest work" }))?;
        let messages = aws.receive(&queue, 60, 5)?;
        if messages.len() != 1 {
            return Err(io::Error::other(format!("{messages:?}")));
        }
        aws.delete(&queue, &messages)?;
        longest = longest.max(started.elapsed());
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(longest)
}
