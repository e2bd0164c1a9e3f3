//! MQTT that no client sends, before and after login: each costs its own connection at most, while another client goes on with
//! its work.

use std::io;
use std::time::{Duration, Instant};

use gantry_tests::broker::Broker;
use gantry_tests::bystander::beside_an_mqtt_bystander;
use gantry_tests::mqtt::{
    Hello, Mqtt, V5, V311, ack, kind, packet, publish, publish_with, string, subscribe, unsubscribe,
};
use gantry_tests::{PATIENCE, unique, wait_until};

/// How long a client may take to log in, and some for a busy machine.
const LOGIN_LIMIT: Duration = Duration::from_secs(10 + 5);
/// What a claim may cost in memory, beside what the allocator keeps of honest work.
const MEMORY_GROWTH_BYTES_MAX: u64 = 32 << 20;

/// Runs the case with a broker of its own and a bystander; the process must not grow.
fn beside(case: impl FnOnce(&mut Broker)) {
    beside_an_mqtt_bystander(Broker::settings(), |broker| {
        let before = broker.memory_bytes();
        case(broker);
        if let (Some(before), Some(after)) = (before, broker.memory_bytes()) {
            assert!(after < before + MEMORY_GROWTH_BYTES_MAX, "memory grew from {before} to {after} bytes");
        }
    });
}

fn silent(broker: &Broker) -> Mqtt {
    Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected")
}

fn open(broker: &Broker, hello: &Hello) -> Mqtt {
    Mqtt::open(broker.address_of("mqtt"), hello).expect("let in").0
}

fn device(broker: &Broker) -> Mqtt {
    open(broker, &Hello::new(&unique("h")))
}

/// The connection must end; what came before it does not matter.
#[track_caller]
fn ends(mqtt: &mut Mqtt) {
    mqtt.end(PATIENCE).expect("closed");
}

fn ended(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::TimedOut
}

// --- before login

#[test]
fn the_first_packet_is_no_connect() {
    beside(|broker| {
        for bytes in [
            publish(V5, 0, "a", 0, 0, b"x"),
            subscribe(V5, 1, &[("#", 0)], &[]),
            packet(0xC0, &[]),
            packet(0xE0, &[]),
            packet(0xF0, &[0x18, 0]),
            packet(0x20, &[0, 0]),
            ack(kind::PUBREL, 1),
            packet(0x00, &[]),
            b"GET /ws HTTP/1.1\r\n\r\n".to_vec(),
            b"AMQP\0\0\x09\x01".to_vec(),
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
        ] {
            let mut mqtt = silent(broker);
            mqtt.send(&bytes).expect("sent");
            assert_eq!(mqtt.end(LOGIN_LIMIT).expect("closed"), [], "an answer to {bytes:02x?}");
        }
    });
}

#[test]
fn lengths_that_are_only_claimed_before_login() {
    beside(|broker| {
        for head in [
            &[0x10, 0xFF, 0xFF, 0xFF, 0x7F][..],
            &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x10, 0x80, 0x80, 0x80, 0x80],
        ] {
            let mut mqtt = silent(broker);
            mqtt.send(head).expect("sent");
            // It may answer or not, and may read on; but it keeps nothing, and not for long.
            let started = Instant::now();
            while mqtt.send(&[0; 65_536]).is_ok() {
                assert!(started.elapsed() < LOGIN_LIMIT, "still reading after {:?}", started.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        // 256 MiB each, claimed by a hundred at once that send nothing more.
        let claims: Vec<Mqtt> = (0..100)
            .map(|_| {
                let mut mqtt = silent(broker);
                mqtt.send(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b'M']).expect("sent");
                mqtt
            })
            .collect();
        device(broker);
        drop(claims);
    });
}

#[test]
fn strings_and_properties_of_connect_that_claim_more_than_there_is() {
    beside(|broker| {
        let head = [&string("MQTT")[..], &[5, 0xC2, 0, 60]].concat();
        for rest in [
            &[0xFF, 0xFF, 0xFF, 0x7F][..],
            &[5, 0x11, 0, 0],
            &[0, 0xFF, 0xFF, b'a'],
            &[4, 0x26, 0xFF, 0xFF, 0, 0, 0],
            &[0, 0, 1, b'a', 0xFF, 0xFF],
            &[],
        ] {
            let mut mqtt = silent(broker);
            mqtt.send(&packet(0x10, &[&head[..], rest].concat())).expect("sent");
            ends(&mut mqtt);
        }
        // As many user properties as fit into a large CONNECT.
        let many = [0x26, 0, 1, b'a', 0, 1, b'b'].repeat(20_000);
        let mut mqtt = silent(broker);
        mqtt.send(&Hello::new(&unique("many")).with(&many).packet()).expect("sent");
        let _ = mqtt.next_packet().map(|answer| assert_eq!(answer.kind, kind::CONNACK)).inspect_err(|error| {
            assert!(ended(error), "neither let in nor closed");
        });
    });
}

#[test]
fn silent_and_slow_clients_are_closed_in_time() {
    beside(|broker| {
        let mut nothing = silent(broker);
        let mut half = silent(broker);
        half.send(&Hello::new("half").packet()[..9]).expect("sent");
        let slow = std::thread::spawn({
            let mut mqtt = silent(broker);
            move || {
                let started = Instant::now();
                // A byte a second never ends, and each byte must not buy more time.
                for byte in Hello::new(&"slow".repeat(20)).packet() {
                    if mqtt.send(&[byte]).is_err()
                        || mqtt.next_within(Duration::from_secs(1)).is_err_and(|error| ended(&error))
                    {
                        break;
                    }
                }
                started.elapsed()
            }
        });
        let started = Instant::now();
        nothing.end(LOGIN_LIMIT).expect("the silent client is closed");
        assert!(started.elapsed() > Duration::from_secs(5), "a client has time to speak");
        half.end(LOGIN_LIMIT).expect("the client of half a packet is closed");
        let elapsed = slow.join().expect("slow client");
        assert!(elapsed < LOGIN_LIMIT, "the slow client was closed after {elapsed:?}");
    });
}

#[test]
fn many_half_open_connections() {
    beside(|broker| {
        let mut connections: Vec<Mqtt> = (0..500)
            .map(|number| {
                let mut mqtt = silent(broker);
                if number % 2 == 0 {
                    mqtt.send(&[0x10, 0xFF, 0x7F, 0, 4]).expect("sent");
                }
                mqtt
            })
            .collect();
        device(broker);
        let deadline = Instant::now() + LOGIN_LIMIT;
        for mqtt in &mut connections {
            let left = deadline.saturating_duration_since(Instant::now());
            mqtt.end(left.max(Duration::from_millis(1))).expect("closed in time");
        }
    });
}

#[test]
fn keep_alive_is_no_way_to_stay() {
    beside(|broker| {
        // The longest and none at all, before CONNECT is whole: the limit of the login holds.
        for keep_alive_s in [0, u16::MAX] {
            let hello = Hello { keep_alive_s, ..Hello::new(&unique("keep")) };
            let bytes = hello.packet();
            let mut mqtt = silent(broker);
            mqtt.send(&bytes[..bytes.len() - 1]).expect("sent");
            mqtt.end(LOGIN_LIMIT).expect("closed in time");
        }
        // Half a packet after login: its bytes do not count as a sign of life for ever.
        let mut mqtt = open(broker, &Hello { keep_alive_s: 1, ..Hello::new(&unique("keep")) });
        mqtt.send(&[0x30, 0xFF, 0xFF, 0x03, 0]).expect("sent");
        ends(&mut mqtt);
    });
}

// --- after login

#[test]
fn large_packets_are_bounded() {
    beside(|broker| {
        let mut mqtt = device(broker);
        mqtt.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]).expect("sent");
        // 256 MiB are beyond what a message may have; nothing is kept of it.
        let started = Instant::now();
        while mqtt.send(&[0; 65_536]).is_ok() {
            assert!(started.elapsed() < PATIENCE, "still reading after {:?}", started.elapsed());
        }
        let claims: Vec<Mqtt> = (0..100)
            .map(|_| {
                let mut mqtt = device(broker);
                mqtt.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x07, 0, 1, b'a', 0]).expect("16 MiB are claimed");
                mqtt
            })
            .collect();
        device(broker);
        drop(claims);
    });
}

#[test]
fn the_window_of_a_hostile_client() {
    beside(|broker| {
        for window in [&[0x21, 0, 0][..], &[0x21, 0, 1, 0x21, 0, 1]] {
            let mut mqtt = silent(broker);
            mqtt.send(&Hello::new(&unique("w")).with(window).packet()).expect("sent");
            ends(&mut mqtt);
        }
        // One that acknowledges what it never got, again and again, does not widen its window.
        let topic = unique("w");
        let mut mqtt = open(broker, &Hello::new(&unique("w")).with(&[0x21, 0, 1]));
        mqtt.subscribe(&topic, 1).expect("subscribed");
        for id in 1..=200 {
            mqtt.send(&ack(kind::PUBACK, id)).expect("sent");
            mqtt.send(&ack(kind::PUBCOMP, id)).expect("sent");
        }
        mqtt.ping().expect("still there");
        let mut publisher = device(broker);
        for id in 1..=20 {
            publisher.send(&publish(V5, 0, &topic, 1, id, b"x")).expect("sent");
            publisher.expect(kind::PUBACK).expect("PUBACK");
        }
        mqtt.message().expect("one");
        mqtt.ping().expect("and no more");
    });
}

#[test]
fn a_property_that_would_disconnect_others() {
    beside(|broker| {
        let topic = unique("poison");
        let mut honest: Vec<Mqtt> =
            [V311, V5].map(|version| open(broker, &Hello::new(&unique("h")).version(version))).into();
        for mqtt in &mut honest {
            mqtt.subscribe(&topic, 1).expect("subscribed");
        }
        // What must not be in a PUBLISH costs the publisher, and nobody else sees it.
        for properties in [
            &[0x0B, 1][..],
            &[0x01, 2],
            &[0x23, 0, 0],
            &[0x23, 0xFF, 0xFF],
            &[0x08, 0, 1, b'#'],
            &[0x03, 0, 1, 0xFF],
            &[0x26, 0, 1, 0, 0, 1, b'a'],
            &[0x11, 0, 0, 0, 0],
            &[0xFF, 0xFF, 0xFF, 0x7F],
        ] {
            let mut mqtt = device(broker);
            mqtt.send(&publish_with(V5, 0, &topic, 1, 1, properties, b"poison")).expect("sent");
            ends(&mut mqtt);
        }
        // What may be in it reaches everybody, however odd.
        let odd = [&[0x09, 0, 0][..], &[0x03, 0, 0], &[0x26, 0, 0, 0, 0].repeat(5000), &[0x02, 0xFF, 0xFF, 0xFF, 0xFF]]
            .concat();
        let mut mqtt = device(broker);
        mqtt.send(&publish_with(V5, 0, &topic, 1, 1, &odd, b"odd")).expect("sent");
        assert!(mqtt.expect(kind::PUBACK).expect("PUBACK").reason() < 0x80);
        for mqtt in &mut honest {
            assert_eq!(mqtt.message().expect("the message").payload, b"odd");
            mqtt.ping().expect("still there");
        }
    });
}

#[test]
fn packet_identifiers_of_quality_2_again_and_again() {
    beside(|broker| {
        let topic = unique("dup");
        let mut watcher = device(broker);
        watcher.subscribe(&topic, 0).expect("subscribed");
        let mut mqtt = device(broker);
        // The same identifier with other content, with DUP and without: one message.
        for number in 0..1000_u32 {
            let flags = if number % 2 == 0 { 0 } else { 8 };
            mqtt.send(&publish(V5, flags, &topic, 2, 42, &number.to_be_bytes())).expect("sent");
        }
        for _ in 0..1000 {
            assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").short(0), 42);
        }
        assert_eq!(watcher.message().expect("one").payload, [0; 4]);
        watcher.ping().expect("and no more");
    });
}

#[test]
fn fast_reconnects_and_changes_of_subscriptions() {
    beside(|broker| {
        let (name, topic) = (unique("race"), unique("race"));
        let address = broker.address_of("mqtt").to_owned();
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (name, topic, address) = (name.clone(), topic.clone(), address.clone());
                std::thread::spawn(move || {
                    let mut held = Vec::new();
                    for number in 0..60_u16 {
                        let mut hello = Hello::new(&name);
                        if number % 3 > 0 {
                            hello = hello.lasting();
                        }
                        // It may be taken over at any time: only the broker must not mind.
                        let Ok(mut mqtt) = Mqtt::silent(&address, V5) else { continue };
                        let mut bytes = hello.packet();
                        for id in 1..=10 {
                            bytes.extend(subscribe(V5, id, &[(&topic, (id % 3) as u8)], &[]));
                            bytes.extend(publish(V5, 1, &topic, 2, id, b"x"));
                            bytes.extend(unsubscribe(V5, id + 100, &[&topic]));
                        }
                        if mqtt.send(&bytes).is_ok() && number % 2 == worker % 2 {
                            let _ = mqtt.next_within(Duration::from_millis(20));
                        }
                        if number % 5 == 0 {
                            held.push(mqtt);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
        // Whoever comes last has the session, and it works. Those that wait to be accepted may still come after this one.
        let works = || -> io::Result<()> {
            let (mut mqtt, _) = Mqtt::open(broker.address_of("mqtt"), &Hello::new(&name))?;
            mqtt.send(&publish(V5, 1, &topic, 1, 1, b""))?;
            mqtt.expect(kind::PUBACK)?;
            mqtt.subscribe(&topic, 1)?;
            mqtt.send(&publish(V5, 0, &topic, 0, 0, b"works"))?;
            while mqtt.message()?.payload != b"works" {}
            Ok(())
        };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = works() {
            assert!(ended(&error) && Instant::now() < deadline, "{error}");
        }
    });
}

#[test]
fn patterns_with_many_wildcards() {
    beside(|broker| {
        let root = unique("wild");
        let mut mqtt = device(broker);
        let many =
            |count: usize| (0..count).map(|at| if at % 2 == 0 { "+" } else { "a" }).collect::<Vec<_>>().join("/");
        let filters: Vec<String> = (1..120).map(|count| format!("{root}/{}/#", many(count))).collect();
        for filter in &filters {
            mqtt.subscribe(filter, 0).expect("subscribed");
        }
        let topic = format!("{root}/{}", vec!["a"; 200].join("/"));
        let started = Instant::now();
        for _ in 0..200 {
            mqtt.send(&publish(V5, 0, &topic, 0, 0, b"x")).expect("sent");
        }
        for _ in 0..200 {
            assert_eq!(mqtt.message().expect("a message").topic, topic);
        }
        assert!(started.elapsed() < Duration::from_secs(10), "matching took {:?}", started.elapsed());
        // The longest topic and the deepest filter that fit into a string.
        let deep = "/".repeat(65_535);
        let mut mqtt = device(broker);
        mqtt.send(&subscribe(V5, 1, &[(&deep, 1)], &[])).expect("sent");
        mqtt.send(&publish(V5, 0, &deep, 1, 1, b"x")).expect("sent");
        let _ = mqtt.next_packet();
        device(broker).ping().expect("the broker is there");
    });
}

#[test]
fn subscriptions_without_end_are_bounded_or_bearable() {
    beside_an_mqtt_bystander(Broker::settings(), |broker| {
        let root = unique("flood");
        let mut mqtt = device(broker);
        let mut taken = 0;
        'all: for batch in 0..200_u32 {
            let names: Vec<String> = (0..100).map(|number| format!("{root}/{batch}/{number}")).collect();
            let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 0)).collect();
            if mqtt.send(&subscribe(V5, 1, &filters, &[])).is_err() {
                break;
            }
            match mqtt.next_packet() {
                Ok(suback) if suback.kind == kind::SUBACK => {
                    let codes = &suback.body[3..];
                    taken += codes.iter().filter(|&&code| code < 0x80).count();
                    if codes.iter().any(|&code| code >= 0x80) {
                        break 'all;
                    }
                }
                _ => break 'all,
            }
        }
        assert!(taken >= 1000, "an honest client may have some: {taken}");
        if let Some(bytes) = broker.memory_bytes() {
            assert!(bytes < 512 << 20, "{bytes} bytes for {taken} subscriptions");
        }
    });
}

#[test]
fn a_publisher_that_does_not_read_its_acknowledgements() {
    beside(|broker| {
        let topic = unique("deaf");
        let mut mqtt = device(broker);
        let burst: Vec<u8> = (1..=1000).flat_map(|id| publish(V5, 0, &topic, 1, id, b"x")).collect();
        // In the end it is not read from any more, or is ended: either will do.
        let started = Instant::now();
        let writer = std::thread::spawn(move || {
            while started.elapsed() < Duration::from_secs(3) {
                if mqtt.send_within(&burst, Duration::from_secs(1)).is_err() {
                    return;
                }
            }
        });
        writer.join().expect("the writer");
        device(broker).ping().expect("the broker is there");
    });
}

#[test]
fn a_subscriber_that_does_not_read() {
    const COUNT: usize = 8000;
    const MESSAGE_BYTES: usize = 20_000;
    // What waits leaves memory beyond this.
    let settings = Broker::settings().config("[limits]\nmemory_watermark_bytes = \"32MiB\"\n");
    beside_an_mqtt_bystander(settings, |broker| {
        let before = broker.memory_bytes();
        let topic = unique("slow");
        let mut slow = [0, 1].map(|qos| {
            let mut mqtt = device(broker);
            mqtt.subscribe(&topic, qos).expect("subscribed");
            mqtt
        });
        let mut honest = device(broker);
        honest.subscribe(&topic, 0).expect("subscribed");
        let mut publisher = device(broker);
        let payload = vec![7; MESSAGE_BYTES];
        for number in 0..COUNT {
            publisher.send(&publish(V5, 0, &topic, 0, 0, &payload)).expect("sent");
            honest.message().unwrap_or_else(|error| panic!("message {number}: {error}"));
        }
        if let (Some(before), Some(after)) = (before, broker.memory_bytes()) {
            let most = before + (COUNT * MESSAGE_BYTES / 2) as u64;
            assert!(after < most, "memory grew from {before} to {after} bytes");
        }
        slow.iter_mut().for_each(|mqtt| mqtt.lose().expect("lost"));
    });
}

#[test]
fn aliases_are_bounded() {
    beside(|broker| {
        let hello = Hello::new(&unique("alias")).with(&[0x22, 0xFF, 0xFF]);
        let (mut mqtt, connack) = Mqtt::open(broker.address_of("mqtt"), &hello).expect("let in");
        let most = connack
            .body
            .windows(3)
            .find(|three| three[0] == 0x22)
            .map_or(0, |three| u16::from_be_bytes([three[1], three[2]]));
        let long = "x".repeat(60_000);
        for alias in 1..=most.min(2000) {
            let properties = [&[0x23][..], &alias.to_be_bytes()].concat();
            mqtt.send(&publish_with(V5, 0, &format!("{long}/{alias}"), 0, 0, &properties, b"")).expect("sent");
        }
        mqtt.ping().expect("still there");
        let beyond = [&[0x23][..], &most.saturating_add(1).to_be_bytes()].concat();
        mqtt.send(&publish_with(V5, 0, "a", 0, 0, &beyond, b"")).expect("sent");
        ends(&mut mqtt);
    });
}

#[test]
fn wills_sessions_and_retained_messages_of_one_that_never_stays() {
    beside(|broker| {
        let root = unique("churn");
        for number in 0..300 {
            let will = [&[0][..], &string(format!("{root}/will")), &string("gone")].concat();
            let mut mqtt = silent(broker);
            let hello = Hello::new(&unique("churn")).with(&[0x11, 0, 0, 0, 1]);
            mqtt.send(&hello.packet_with(4, &will)).expect("sent");
            if number % 2 == 0 {
                mqtt.expect(kind::CONNACK).expect("let in");
            }
            mqtt.lose().expect("lost");
        }
        wait_until("the broker takes others meanwhile", || {
            Mqtt::open(broker.address_of("mqtt"), &Hello::new(&unique("x"))).is_ok()
        });
    });
}
