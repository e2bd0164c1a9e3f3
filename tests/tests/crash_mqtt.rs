//! kill -9 under MQTT load, again and again: QoS 1 arrives at least once and QoS 2 exactly once, from publisher to subscriber,
//! both with sessions that go on over each crash; sessions, subscriptions and retained messages are as they were acknowledged.
//!
//! The clients do what the specification asks of a client that keeps its session (4.4): they send again what was not answered.
//! Four rounds by default; `GANTRY_CRASH_ROUNDS=200` (`make crash`) for a long run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::load::{body_of, number_of, rounds_and_dice};
use gantry_tests::mqtt::{
    Hello, Mqtt, Packet, Publish, V5, V311, ack, kind, publish, publish_of, subscribe, unsubscribe,
};
use gantry_tests::{PATIENCE, unique, wait_until};

/// Exchanges that a publisher has open at most; the broker says in CONNACK what it takes.
const WINDOW: usize = 40;
/// A publisher waits while the slowest subscriber is so far behind.
const BEHIND_MAX: u64 = 2000;
/// How long all that was acknowledged may take to arrive after the last crash.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// What all workers know.
struct Scene {
    address: String,
    root: String,
    /// No new messages: finish what is open.
    closing: AtomicBool,
    /// The publishers have ended: all that they sent is acknowledged.
    published: AtomicBool,
    /// All is over.
    over: AtomicBool,
    /// Subscribers that are subscribed.
    subscribed: AtomicU64,
    publishers: Vec<Sent>,
}

/// What a publisher has sent, by its own count from 1.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    /// All up to this one were acknowledged: PUBACK or PUBREC.
    confirmed: AtomicU64,
}

/// Which publisher sends by which QoS.
const QUALITIES: [u8; 3] = [1, 2, 2];

impl Scene {
    fn topic(&self, publisher: usize) -> String {
        format!("{}/{publisher}/{}", self.root, QUALITIES[publisher])
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Connects with a session again and again until the broker is there. A session that was there before must be there now.
fn resumed(scene: &Scene, hello: &Hello, known: bool) -> Option<Mqtt> {
    let deadline = Instant::now() + PATIENCE;
    while !scene.is_over() {
        match Mqtt::open(&scene.address, hello) {
            Ok((mqtt, connack)) => {
                assert!(!known || connack.body[0] == 1, "the session of {} is lost", hello.id);
                return Some(mqtt);
            }
            Err(error) => {
                assert!(Instant::now() < deadline, "{}: {error}", hello.id);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    None
}

/// Fails on what is no lost connection: the broker does not end a connection of an honest client.
fn went_away(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        assert!(error.kind() != io::ErrorKind::TimedOut, "{what}: {error}");
        let text = error.to_string();
        assert!(!text.contains("was due"), "{what}: {text}");
    }
}

/// The next packet of a broker that may be stopping: its goodbye is the end of the connection.
fn next(mqtt: &mut Mqtt, limit: Duration) -> io::Result<Packet> {
    let packet = mqtt.next_within(limit)?;
    if packet.kind == kind::DISCONNECT {
        assert_eq!(packet.reason(), 0x8B, "server shutting down: {packet:02x?}");
        return Err(io::Error::from(io::ErrorKind::ConnectionReset));
    }
    Ok(packet)
}

/// The next packet, which must be of this kind unless the broker goes away.
fn answer(mqtt: &mut Mqtt, kind: u8) -> io::Result<Packet> {
    let packet = next(mqtt, PATIENCE)?;
    assert_eq!(packet.kind, kind, "{packet:02x?}");
    Ok(packet)
}

// --- publishers

/// An exchange that a publisher has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// Until PUBACK or PUBREC.
    Publish(u64),
    /// Until PUBCOMP.
    Release,
}

/// A publisher's side of its session: what it sends again after a lost connection, in order.
struct Publisher {
    number: usize,
    open: BTreeMap<u16, Open>,
    order: VecDeque<u16>,
    next_id: u16,
    unconfirmed: BTreeSet<u64>,
}

fn publisher(scene: &Arc<Scene>, number: usize) -> JoinHandle<u64> {
    let scene = Arc::clone(scene);
    std::thread::spawn(move || {
        let version = if number == 1 { V311 } else { V5 };
        let hello = Hello::new(&unique("publisher")).version(version).lasting();
        let mut state = Publisher {
            number,
            open: BTreeMap::new(),
            order: VecDeque::new(),
            next_id: 1,
            unconfirmed: BTreeSet::new(),
        };
        let mut known = false;
        while let Some(mut mqtt) = resumed(&scene, &hello, known) {
            known = true;
            went_away("publisher", state.work(&scene, &mut mqtt, version));
            if scene.closing.load(Ordering::Relaxed) && state.open.is_empty() {
                break;
            }
        }
        scene.publishers[number].confirmed.load(Ordering::Relaxed)
    })
}

impl Publisher {
    fn work(&mut self, scene: &Scene, mqtt: &mut Mqtt, version: u8) -> io::Result<()> {
        let (topic, qos, sent) = (scene.topic(self.number), QUALITIES[self.number], &scene.publishers[self.number]);
        let mut bytes = Vec::new();
        for id in &self.order {
            match self.open.get(id) {
                Some(Open::Publish(number)) => {
                    bytes.extend(publish(version, 8, &topic, qos, *id, &body_of(*number)));
                }
                Some(Open::Release) => bytes.extend(ack(kind::PUBREL, *id)),
                None => {}
            }
        }
        mqtt.send(&bytes)?;
        loop {
            let mut bytes = Vec::new();
            while self.open.len() < WINDOW && !scene.closing.load(Ordering::Relaxed) && !behind(scene, self.number) {
                let number = sent.next.fetch_add(1, Ordering::Relaxed) + 1;
                let id = self.free_id();
                self.open.insert(id, Open::Publish(number));
                self.order.push_back(id);
                self.unconfirmed.insert(number);
                bytes.extend(publish(version, 0, &topic, qos, id, &body_of(number)));
            }
            mqtt.send(&bytes)?;
            if self.open.is_empty() {
                if scene.closing.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let packet = next(mqtt, PATIENCE)?;
            let id = packet.short(0);
            assert!(packet.reason() < 0x80 || packet.kind == kind::PUBCOMP, "refused: {packet:02x?}");
            match (packet.kind, self.open.get(&id).copied()) {
                (kind::PUBACK, Some(Open::Publish(number))) if qos == 1 => {
                    self.confirmed(number, sent);
                    self.done(id);
                }
                (kind::PUBREC, Some(Open::Publish(number))) if qos == 2 => {
                    self.confirmed(number, sent);
                    self.open.insert(id, Open::Release);
                    mqtt.send(&ack(kind::PUBREL, id))?;
                }
                // PUBREC came by the last connection, too: the broker answers a repeated PUBLISH.
                (kind::PUBREC, Some(Open::Release)) => mqtt.send(&ack(kind::PUBREL, id))?,
                (kind::PUBCOMP, Some(Open::Release)) => self.done(id),
                // The second of two answers to a PUBREL that was sent twice.
                (kind::PUBCOMP | kind::PUBACK, None) => {}
                (_, open) => panic!("{packet:02x?} for {open:?}"),
            }
        }
    }

    fn free_id(&mut self) -> u16 {
        loop {
            self.next_id = self.next_id % 200 + 1;
            if !self.open.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }

    fn confirmed(&mut self, number: u64, sent: &Sent) {
        self.unconfirmed.remove(&number);
        let all_before = self.unconfirmed.first().map_or(sent.next.load(Ordering::Relaxed), |first| first - 1);
        sent.confirmed.fetch_max(all_before, Ordering::Relaxed);
    }

    fn done(&mut self, id: u16) {
        self.open.remove(&id);
        self.order.retain(|&other| other != id);
    }
}

/// How far the slowest subscriber has come with each publisher.
static ARRIVED: Mutex<BTreeMap<(String, usize), BTreeMap<usize, u64>>> = Mutex::new(BTreeMap::new());

fn arrived() -> MutexGuard<'static, BTreeMap<(String, usize), BTreeMap<usize, u64>>> {
    ARRIVED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn behind(scene: &Scene, publisher: usize) -> bool {
    let sent = scene.publishers[publisher].next.load(Ordering::Relaxed);
    let arrived = arrived();
    let slowest = arrived.get(&(scene.root.clone(), publisher)).and_then(|by| by.values().min().copied()).unwrap_or(0);
    sent > slowest + BEHIND_MAX
}

// --- subscribers

/// A subscriber's side of its session, and all that it has got.
struct Subscriber {
    number: usize,
    qos: u8,
    /// QoS 2 messages that were received and not released yet.
    held: BTreeMap<u16, u64>,
    /// By publisher: how often each number came as a new message.
    got: Vec<BTreeMap<u64, u32>>,
    /// What was last seen of each identifier, by connection: told when something is wrong.
    history: BTreeMap<u16, VecDeque<String>>,
    connection: u32,
    started: Instant,
}

fn subscriber(scene: &Arc<Scene>, number: usize, qos: u8) -> JoinHandle<Subscriber> {
    let scene = Arc::clone(scene);
    let publishers = scene.publishers.len();
    for publisher in 0..publishers {
        arrived().entry((scene.root.clone(), publisher)).or_default().insert(number, 0);
    }
    std::thread::spawn(move || {
        let version = if number == 1 { V311 } else { V5 };
        let hello = Hello::new(&unique("subscriber")).version(version).lasting().with(if version == V5 {
            &[0x21, 0, 50]
        } else {
            &[]
        });
        let mut state = Subscriber {
            number,
            qos,
            held: BTreeMap::new(),
            got: vec![BTreeMap::new(); publishers],
            history: BTreeMap::new(),
            connection: 0,
            started: Instant::now(),
        };
        let mut known = false;
        while let Some(mut mqtt) = resumed(&scene, &hello, known) {
            if !known {
                let codes =
                    mqtt.subscribe(&format!("{}/#", scene.root), qos).expect("subscribed before the first crash");
                assert_eq!(codes, [qos]);
                scene.subscribed.fetch_add(1, Ordering::Relaxed);
                known = true;
            }
            state.connection += 1;
            went_away("subscriber", state.work(&scene, &mut mqtt, version));
            if state.has_all(&scene) {
                break;
            }
        }
        state
    })
}

impl Subscriber {
    fn work(&mut self, scene: &Scene, mqtt: &mut Mqtt, version: u8) -> io::Result<()> {
        let mut count = 0;
        while !scene.is_over() && !self.has_all(scene) {
            let packet = match next(mqtt, Duration::from_millis(100)) {
                Ok(packet) => packet,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                Err(error) => return Err(error),
            };
            match packet.kind {
                kind::PUBLISH => {
                    let message = publish_of(&packet, version);
                    if !self.take(scene, &message) {
                        continue;
                    }
                    let answer = if message.qos == 1 { kind::PUBACK } else { kind::PUBREC };
                    mqtt.send(&ack(answer, message.packet_id))?;
                }
                kind::PUBREL => {
                    let held = self.held.remove(&packet.short(0));
                    self.note(packet.short(0), format!("PUBREL while holding {held:?}"));
                    mqtt.send(&ack(kind::PUBCOMP, packet.short(0)))?;
                }
                _ => panic!("a subscriber gets {packet:02x?}"),
            }
            count += 1;
            // One of them loses its connection all the time.
            if self.number == 2 && count == 300 {
                return mqtt.lose();
            }
        }
        Ok(())
    }

    /// Whether it is to be acknowledged.
    fn take(&mut self, scene: &Scene, message: &Publish) -> bool {
        let rest = message.topic.strip_prefix(&scene.root).expect("a topic of ours");
        let publisher: usize = rest.split('/').nth(1).and_then(|word| word.parse().ok()).expect("a publisher");
        let number = number_of(&message.payload);
        assert_eq!(message.qos, QUALITIES[publisher].min(self.qos), "QoS of {number}");
        self.note(message.packet_id, format!("{number} of publisher {publisher}, DUP {}", message.dup));
        if message.qos == 2 {
            if let Some(&held) = self.held.get(&message.packet_id) {
                // Not released: it can only be the same again.
                assert_eq!(held, number, "another message has its identifier: {:?}", self.story(message.packet_id));
                assert!(message.dup, "{number} comes again without DUP: {:?}", self.story(message.packet_id));
                return true;
            }
            self.held.insert(message.packet_id, number);
        }
        let got = &mut self.got[publisher];
        let last = got.last_key_value().map_or(0, |(&last, _)| last);
        let times = got.entry(number).or_insert(0);
        *times += 1;
        if *times > 1 {
            let story = self.history.get(&message.packet_id);
            assert_ne!(
                message.qos, 2,
                "{number} of publisher {publisher} has come twice: subscriber {}, {story:?}",
                self.number
            );
        } else {
            assert!(number > last, "{number} of publisher {publisher} comes after {last}");
        }
        if let Some(slowest) = arrived().get_mut(&(scene.root.clone(), publisher)) {
            slowest.insert(self.number, number.max(last));
        }
        true
    }

    fn note(&mut self, packet_id: u16, what: String) {
        let story = self.history.entry(packet_id).or_default();
        story.push_back(format!("connection {} at {:?}: {what}", self.connection, self.started.elapsed()));
        if story.len() > 8 {
            story.pop_front();
        }
    }

    fn story(&self, packet_id: u16) -> Option<&VecDeque<String>> {
        self.history.get(&packet_id)
    }

    /// Whether all is here that a publisher that has ended knows to be with the broker.
    fn has_all(&self, scene: &Scene) -> bool {
        scene.published.load(Ordering::Relaxed)
            && self.held.is_empty()
            && scene.publishers.iter().zip(&self.got).all(|(sent, got)| {
                let sent = sent.next.load(Ordering::Relaxed);
                got.len() as u64 >= sent
            })
    }
}

// --- retained messages and subscriptions that change

/// Sets and clears retained messages; after each crash they are as the last acknowledgement has it, or one step on.
struct Keeper {
    topics: Vec<String>,
    /// The last that was acknowledged, and what was sent behind it; 0 is none.
    state: Vec<(u64, Vec<u64>)>,
    next: u64,
}

impl Keeper {
    fn new(root: &str) -> Self {
        let topics: Vec<String> = (0..8).map(|number| format!("{root}-kept/{number}")).collect();
        let state = vec![(0, Vec::new()); topics.len()];
        Self { topics, state, next: 1 }
    }

    fn work(&mut self, mqtt: &mut Mqtt, scene: &Scene) -> io::Result<()> {
        while !scene.closing.load(Ordering::Relaxed) {
            let which = self.next as usize % self.topics.len();
            let value = if self.next.is_multiple_of(11) { 0 } else { self.next };
            self.next += 1;
            self.state[which].1.push(value);
            let payload = if value == 0 { Vec::new() } else { body_of(value) };
            mqtt.send(&publish(V5, 1, &self.topics[which], 1, 1, &payload))?;
            answer(mqtt, kind::PUBACK)?;
            self.state[which] = (value, Vec::new());
        }
        Ok(())
    }

    fn judge(&mut self, mqtt: &mut Mqtt) -> io::Result<()> {
        for (topic, state) in self.topics.iter().zip(&mut self.state) {
            mqtt.subscribe(topic, 0)?;
            mqtt.send(&[0xC0, 0])?;
            let mut found = 0;
            loop {
                let packet = next(mqtt, PATIENCE)?;
                match packet.kind {
                    kind::PUBLISH => {
                        let message = publish_of(&packet, V5);
                        assert!(message.retain, "the retain flag");
                        found = number_of(&message.payload);
                    }
                    kind::PINGRESP => break,
                    _ => panic!("{packet:02x?}"),
                }
            }
            assert!(
                found == state.0 || state.1.contains(&found),
                "{topic}: {found} is retained, acknowledged was {}, on its way {:?}",
                state.0,
                state.1
            );
            // What was on its way and is seen stays; what is not seen does not come later.
            *state = (found, Vec::new());
            mqtt.send(&unsubscribe(V5, 9, &[topic]))?;
            answer(mqtt, kind::UNSUBACK)?;
        }
        Ok(())
    }
}

/// Subscribes and unsubscribes in one session.
struct Changer {
    hello: Hello,
    topics: Vec<String>,
    /// None: on its way when the broker went away.
    state: Vec<Option<bool>>,
    known: bool,
    next: usize,
}

impl Changer {
    fn new(root: &str) -> Self {
        let topics: Vec<String> = (0..6).map(|number| format!("{root}-changed/{number}")).collect();
        let hello = Hello::new(&unique("changer")).lasting();
        Self { hello, state: vec![Some(false); topics.len()], topics, known: false, next: 0 }
    }

    fn open(&mut self, scene: &Scene) -> Option<Mqtt> {
        let mqtt = resumed(scene, &self.hello, self.known);
        self.known |= mqtt.is_some();
        mqtt
    }

    fn work(&mut self, mqtt: &mut Mqtt, scene: &Scene) -> io::Result<()> {
        while !scene.closing.load(Ordering::Relaxed) {
            self.next += 1;
            let which = self.next * 5 % self.topics.len() + self.next % 2;
            let which = which % self.topics.len();
            let (topic, before) = (&self.topics[which], self.state[which].take());
            let subscribed = before != Some(true);
            if subscribed {
                mqtt.send(&subscribe(V5, 3, &[(topic, 1 + (self.next % 2) as u8)], &[]))?;
                answer(mqtt, kind::SUBACK)?;
            } else {
                mqtt.send(&unsubscribe(V5, 3, &[topic]))?;
                answer(mqtt, kind::UNSUBACK)?;
            }
            self.state[which] = Some(subscribed);
        }
        Ok(())
    }

    /// Publishes to each topic: those that are subscribed come, and no others.
    fn judge(&mut self, mqtt: &mut Mqtt) -> io::Result<()> {
        for (topic, state) in self.topics.iter().zip(&mut self.state) {
            mqtt.send(&publish(V5, 0, topic, 1, 4, b"?"))?;
            let (mut answered, mut came) = (false, false);
            mqtt.send(&[0xC0, 0])?;
            loop {
                let packet = next(mqtt, PATIENCE)?;
                match packet.kind {
                    kind::PUBACK => answered = true,
                    kind::PUBLISH => {
                        let message = publish_of(&packet, V5);
                        assert_eq!(&message.topic, topic);
                        came = true;
                        mqtt.send(&ack(kind::PUBACK, message.packet_id))?;
                    }
                    // The acknowledgement waits for the disk, the message may be behind it.
                    kind::PINGRESP if answered && (came || *state != Some(true)) => break,
                    kind::PINGRESP => mqtt.send(&[0xC0, 0])?,
                    _ => panic!("{packet:02x?}"),
                }
            }
            assert!(state.is_none_or(|state| state == came), "{topic}: acknowledged {state:?}, a message came: {came}");
            *state = Some(came);
        }
        Ok(())
    }
}

/// Works with a connection until the broker goes away.
fn until_it_goes<T: Send + 'static>(
    mut state: T,
    mqtt: Option<Mqtt>,
    scene: &Arc<Scene>,
    job: impl FnOnce(&mut T, &mut Mqtt, &Scene) -> io::Result<()> + Send + 'static,
) -> JoinHandle<T> {
    let scene = Arc::clone(scene);
    std::thread::spawn(move || {
        if let Some(mut mqtt) = mqtt {
            went_away("a worker", job(&mut state, &mut mqtt, &scene));
        }
        state
    })
}

#[test]
fn quality_1_at_least_once_and_quality_2_exactly_once() {
    let (rounds, mut dice) = rounds_and_dice(4);
    let config = "[storage]\nsegment_bytes = 262144\n";
    let mut broker = Broker::settings().config(config).keeps_port().listener("mqtt").start();
    if broker.is_external() {
        return; // others keep such things in memory
    }
    let scene = Arc::new(Scene {
        address: broker.address_of("mqtt").to_owned(),
        root: unique("crash"),
        closing: AtomicBool::new(false),
        published: AtomicBool::new(false),
        over: AtomicBool::new(false),
        subscribed: AtomicU64::new(0),
        publishers: QUALITIES.iter().map(|_| Sent::default()).collect(),
    });
    // Both sides before the first message, so that each subscriber is owed all.
    let subscribers: Vec<_> = [2, 2, 2, 1].iter().enumerate().map(|(at, &qos)| subscriber(&scene, at, qos)).collect();
    wait_until("all are subscribed", || scene.subscribed.load(Ordering::Relaxed) == subscribers.len() as u64);
    let publishers: Vec<_> = (0..QUALITIES.len()).map(|number| publisher(&scene, number)).collect();
    let (mut keeper, mut changer) = (Keeper::new(&scene.root), Changer::new(&scene.root));
    let started = Instant::now();
    for round in 1..=rounds {
        let hello = Hello::new(&unique("keeper"));
        let mut mqtt = resumed(&scene, &hello, false).expect("the broker is back");
        keeper.judge(&mut mqtt).expect("retained messages are judged");
        let keeping = until_it_goes(keeper, Some(mqtt), &scene, Keeper::work);
        let mut mqtt = changer.open(&scene).expect("the broker is back");
        changer.judge(&mut mqtt).expect("subscriptions are judged");
        let changing = until_it_goes(changer, Some(mqtt), &scene, Changer::work);
        std::thread::sleep(Duration::from_millis(20 + dice.roll(600)));
        let ending = if dice.roll(6) == 0 { Ending::Stop } else { Ending::Kill };
        broker.restart(ending);
        keeper = keeping.join().expect("the keeper of retained messages");
        changer = changing.join().expect("the one that changes its subscriptions");
        let sent: Vec<u64> = scene.publishers.iter().map(|sent| sent.confirmed.load(Ordering::Relaxed)).collect();
        println!("round {round}: {ending:?} at {:?}, acknowledged so far {sent:?}", started.elapsed());
    }
    scene.closing.store(true, Ordering::Relaxed);
    let confirmed: Vec<u64> = publishers.into_iter().map(|worker| worker.join().expect("a publisher")).collect();
    scene.published.store(true, Ordering::Relaxed);
    assert!(confirmed.iter().all(|&count| count > 0), "there was load: {confirmed:?}");
    let deadline = Instant::now() + DRAIN_LIMIT;
    while subscribers.iter().any(|worker| !worker.is_finished()) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    scene.over.store(true, Ordering::Relaxed);
    for worker in subscribers {
        let state = worker.join().expect("a subscriber");
        for (publisher, (got, &confirmed)) in state.got.iter().zip(&confirmed).enumerate() {
            let lost: Vec<u64> = (1..=confirmed).filter(|number| !got.contains_key(number)).take(20).collect();
            assert!(lost.is_empty(), "subscriber {}: {lost:?} of publisher {publisher} are lost", state.number);
        }
        println!("subscriber {}: {:?} messages", state.number, state.got.iter().map(BTreeMap::len).collect::<Vec<_>>());
    }
    let mut mqtt = resumed_at_the_end(&broker);
    keeper.judge(&mut mqtt).expect("retained messages are judged");
    broker.assert_sound();
}

fn resumed_at_the_end(broker: &Broker) -> Mqtt {
    Mqtt::open(broker.address_of("mqtt"), &Hello::new(&unique("end"))).expect("let in").0
}
