//! MQTT packet by packet: what the specification says of each that no stock client shows. Sections are those of MQTT 5.0.
//!
//! Against Mosquitto 2.0 (`GANTRY_E2E_URL=mqtt://...`) the parts that it does in its own way are left out.

use std::time::Duration;

use gantry_tests::broker::Broker;
use gantry_tests::mqtt::{
    Hello, Mqtt, Packet, V5, V31, V311, ack, kind, packet, publish, publish_with, string, subscribe, unsubscribe,
    with_length,
};
use gantry_tests::unique;

/// How long the broker may take to end a connection that has broken the rules.
const AT_ONCE: Duration = Duration::from_secs(10);

fn broker() -> Broker {
    Broker::settings().listener("mqtt").start()
}

fn open(broker: &Broker, hello: &Hello) -> Mqtt {
    Mqtt::open(broker.address_of("mqtt"), hello).expect("let in").0
}

fn device(broker: &Broker, version: u8) -> Mqtt {
    open(broker, &Hello::new(&unique("d")[..18]).version(version))
}

/// The broker must end the connection; in 5.0 it says why first.
#[track_caller]
fn ends(broker: &Broker, mqtt: &mut Mqtt, version: u8, reason: u8) {
    let packets = mqtt.end(AT_ONCE).expect("closed");
    let last = packets.last();
    if version == V5 && !broker.is_external() {
        let told = last.filter(|packet| packet.kind == kind::DISCONNECT).map(Packet::reason);
        // Which of the two it is, 4.13 leaves to the server where the text does not say.
        let either = [MALFORMED, PROTOCOL_ERROR];
        let expected =
            told == Some(reason) || either.contains(&reason) && told.is_some_and(|told| either.contains(&told));
        assert!(expected, "reason {reason:#x} was due: {packets:02x?}");
    } else if version < V5 {
        let told = last.filter(|packet| packet.kind == kind::DISCONNECT);
        assert_eq!(told, None, "a server sends no DISCONNECT before 5.0");
    }
}

/// Sends bytes on a connection of its own, which must end for this reason.
#[track_caller]
fn refused(broker: &Broker, version: u8, bytes: &[u8], reason: u8) {
    let mut mqtt = device(broker, version);
    mqtt.send(bytes).expect("sent");
    ends(broker, &mut mqtt, version, reason);
}

const MALFORMED: u8 = 0x81;
const PROTOCOL_ERROR: u8 = 0x82;

// --- CONNECT (3.1)

/// Sends a CONNECT: the reason code of CONNACK, or None for a close without a word.
#[track_caller]
fn answer_to(broker: &Broker, bytes: &[u8]) -> Option<u8> {
    let mut mqtt = Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected");
    mqtt.send(bytes).expect("sent");
    let packets = mqtt.end(AT_ONCE).expect("closed");
    let answer = packets.first()?;
    assert_eq!(answer.kind, kind::CONNACK, "{packets:02x?}");
    assert_eq!(answer.body[0], 0, "session present is 0 in a refusal");
    assert_eq!(packets.len(), 1, "{packets:02x?}");
    Some(answer.reason())
}

#[test]
fn a_connect_of_an_unknown_version_or_protocol() {
    let broker = broker();
    let with = |name: &str, level: u8| {
        let mut body = string(name);
        body.extend([level, 2, 0, 60]);
        if level >= 5 {
            body.push(0);
        }
        body.extend(string("odd"));
        packet(0x10, &body)
    };
    // 3.1.2.2: the server may say so, in the form that the level asks for, and closes.
    for level in [0, 1, 2, 6, 9, 0x7F] {
        let answer = answer_to(&broker, &with("MQTT", level));
        assert!(matches!(answer, None | Some(1 | 0x84)), "level {level}: {answer:?}");
    }
    for (name, level) in [("MQIsdp", 4), ("MQIsdp", 5), ("MQTT", 3), ("mqtt", 4), ("", 4), ("AMQP", 4), ("MQTTX", 5)] {
        let answer = answer_to(&broker, &with(name, level));
        assert!(matches!(answer, None | Some(1 | 0x84)), "{name} {level}: {answer:?}");
    }
}

#[test]
fn connect_flags_and_client_ids() {
    let broker = broker();
    let hello = Hello::new(&unique("flags"));
    for version in [V311, V5] {
        let hello = hello.clone().version(version);
        // 3.1.1 (3.1.4-1) asks for a close without CONNACK; in 5.0 one may be sent.
        let malformed = |answer: Option<u8>, what: &str| {
            let allowed = answer.is_none() || version == V5 && matches!(answer, Some(MALFORMED | PROTOCOL_ERROR));
            assert!(allowed, "version {version}, {what}: {answer:?}");
        };
        malformed(answer_to(&broker, &hello.packet_with(1, &[])), "the reserved flag (3.1.2-3)");
        let will = |qos: u8, flags: u8| {
            let mut will = if version == V5 { vec![0] } else { Vec::new() };
            will.extend([string("will"), string("gone")].concat());
            hello.packet_with(qos << 3 | flags, &will)
        };
        malformed(answer_to(&broker, &will(3, 4)), "a will of QoS 3 (3.1.2-12)");
        malformed(answer_to(&broker, &hello.packet_with(1 << 3, &[])), "the QoS of no will (3.1.2-11)");
        malformed(answer_to(&broker, &hello.packet_with(1 << 5, &[])), "retain of no will (3.1.2-13)");
        let mut more = hello.packet();
        more[1] += 1;
        more.push(0);
        malformed(answer_to(&broker, &more), "a byte behind the end");
    }
    // 3.1.1-8: an empty client id asks for a clean session.
    let empty = Hello { clean: false, ..Hello::new("").version(V311) };
    let answer = answer_to(&broker, &empty.packet());
    assert_eq!(answer, Some(2), "identifier rejected");
    // 3.1: and is never taken.
    let answer = answer_to(&broker, &Hello::new("").version(V31).packet());
    assert!(matches!(answer, Some(2)) || broker.is_external(), "{answer:?}");
}

#[test]
fn a_second_connect_ends_the_connection() {
    let broker = broker();
    for version in [V31, V311, V5] {
        let hello = Hello::new(&unique("twice")[..18]).version(version);
        let mut mqtt = open(&broker, &hello);
        mqtt.send(&hello.packet()).expect("sent");
        ends(&broker, &mut mqtt, version, PROTOCOL_ERROR);
    }
}

#[test]
fn connack_tells_what_the_client_asked_for() {
    let broker = broker();
    let name = unique("present");
    for (clean, expected) in [(false, 0), (false, 1), (true, 0), (false, 1)] {
        let mut hello = Hello::new(&name).lasting();
        hello.clean = clean;
        let (mut mqtt, connack) = Mqtt::open(broker.address_of("mqtt"), &hello).expect("let in");
        assert_eq!(connack.body[0], expected, "session present");
        mqtt.lose().expect("lost");
    }
    for version in [V31, V311] {
        let (_, connack) =
            Mqtt::open(broker.address_of("mqtt"), &Hello::new(&unique("old")[..18]).version(version)).expect("let in");
        assert_eq!(connack.body, [0, 0]);
    }
}

#[test]
fn properties_of_connect_that_cannot_be() {
    let broker = broker();
    for (properties, what) in [
        (&[0x21, 0, 0][..], "receive maximum 0 (3.1.2.11.3)"),
        (&[0x27, 0, 0, 0, 0], "maximum packet size 0 (3.1.2.11.4)"),
        (&[0x11, 0, 0, 0, 1, 0x11, 0, 0, 0, 1], "session expiry twice"),
        (&[0x19, 2], "request response information 2"),
        (&[0x17, 2], "request problem information 2"),
        (&[0x16, 0, 1, 0], "authentication data without a method"),
        (&[0x23, 0, 1], "a topic alias"),
        (&[0x7E, 0], "no property at all"),
        (&[0x26, 0, 1], "half a user property"),
    ] {
        if broker.is_external() {
            break; // Mosquitto 2.0 takes some of them
        }
        let answer = answer_to(&broker, &Hello::new(&unique("p")).with(properties).packet());
        assert!(matches!(answer, Some(MALFORMED | PROTOCOL_ERROR)), "{what}: {answer:?}");
    }
    // 3.1.2.11.9: a method that nobody knows.
    let unknown = [&[0x15][..], &string("NO-SUCH-METHOD")].concat();
    assert_eq!(answer_to(&broker, &Hello::new(&unique("p")).with(&unknown).packet()), Some(0x8C));
}

// --- fixed header, remaining length, strings (1.5, 2.1)

#[test]
fn flags_that_are_reserved() {
    let broker = broker();
    for version in [V311, V5] {
        let id = [0, 1];
        for (first, body) in [
            (0x80, [&id[..], if version == V5 { &[0] } else { &[] }, &string("a"), &[0]].concat()),
            (0xA0, [&id[..], if version == V5 { &[0] } else { &[] }, &string("a")].concat()),
            (0x60, id.to_vec()),
            (0xC1, Vec::new()),
            (0xE1, Vec::new()),
            (0x42, id.to_vec()),
        ] {
            // Mosquitto 2.0 lets some of them pass.
            if !broker.is_external() {
                refused(&broker, version, &packet(first, &body), MALFORMED);
            }
        }
        refused(&broker, version, &packet(0x00, &[]), MALFORMED);
        refused(&broker, version, &packet(0x36, &[&string("a")[..], &[0, 1, 0]].concat()), MALFORMED);
    }
    refused(&broker, V311, &packet(0xF0, &[]), MALFORMED);
}

#[test]
fn what_only_a_server_sends() {
    let broker = broker();
    for version in [V311, V5] {
        let bodies: [(u8, &[u8]); 4] = [(0x20, &[0, 0]), (0x90, &[0, 1, 0]), (0xB0, &[0, 1]), (0xD0, &[])];
        for (first, body) in bodies {
            if broker.is_external() {
                continue; // Mosquitto 2.0 takes some of them
            }
            refused(&broker, version, &packet(first, body), PROTOCOL_ERROR);
        }
    }
}

#[test]
fn remaining_lengths_and_strings_that_are_malformed() {
    let broker = broker();
    for version in [V311, V5] {
        refused(&broker, version, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], MALFORMED);
        for topic in [&b"\xC3\x28"[..], b"a\0b", b"\xED\xA0\x80", b"\xFF", b"\xF4\x90\x80\x80", b"\xC0\x80"] {
            let mut body = string(topic);
            body.extend(if version == V5 { &[0][..] } else { &[] });
            refused(&broker, version, &packet(0x30, &body), MALFORMED);
        }
        let cut: [&[u8]; 4] = [&[0x30, 1, 0], &[0x30, 3, 0, 9, b'a'], &[0x32, 3, 0, 1, b'a'], &[0x82, 1, 0]];
        for bytes in cut {
            refused(&broker, version, bytes, MALFORMED);
        }
    }
    // A variable byte integer that is longer than it has to be is malformed in 5.0 (1.5.5-1), but does not matter.
    let mut mqtt = device(&broker, V5);
    mqtt.send(&[0xC0, 0]).expect("sent");
    mqtt.expect(kind::PINGRESP).expect("PINGRESP");
}

// --- PUBLISH (3.3)

#[test]
fn topics_that_cannot_be() {
    let broker = broker();
    for version in [V31, V311, V5] {
        for topic in ["a/#", "a/+/b", "#", "+", "a#", "a+b"] {
            refused(&broker, version, &publish(version, 0, topic, 1, 1, b"x"), 0x90);
        }
        if version < V5 && !broker.is_external() {
            refused(&broker, version, &publish(version, 0, "", 1, 1, b"x"), 0x90);
        }
    }
    refused(&broker, V5, &publish(V5, 0, "", 1, 1, b"x"), PROTOCOL_ERROR);
}

#[test]
fn publishes_that_cannot_be() {
    let broker = broker();
    for version in [V311, V5] {
        refused(&broker, version, &publish(version, 0, "a", 1, 0, b"x"), MALFORMED);
        if !broker.is_external() {
            refused(&broker, version, &publish(version, 8, "a", 0, 0, b"x"), MALFORMED);
        }
    }
    for (properties, reason, what) in [
        (&[0x23, 0, 0][..], 0x94, "topic alias 0 (3.3.2-8)"),
        (&[0x23, 0, 1, 0x23, 0, 1], PROTOCOL_ERROR, "topic alias twice"),
        (&[0x0B, 1], PROTOCOL_ERROR, "a subscription identifier from a client (3.3.4-6)"),
        (&[0x01, 2], PROTOCOL_ERROR, "payload format 2"),
        (&[0x01, 1, 0x01, 1], PROTOCOL_ERROR, "payload format twice"),
        (&[0x08, 0, 1, b'#'], PROTOCOL_ERROR, "a response topic with a wildcard (3.3.2-14)"),
        (&[0x11, 0, 0, 0, 1], MALFORMED, "a property of another packet"),
        (&[0x02, 0, 0, 1], MALFORMED, "half an expiry"),
    ] {
        let mut mqtt = device(&broker, V5);
        mqtt.send(&publish_with(V5, 0, "a", 1, 1, properties, b"x")).expect("sent");
        if broker.is_external() {
            continue; // Mosquitto forwards some of them
        }
        let packets = mqtt.end(AT_ONCE).expect(what);
        let told = packets.last().map(|packet| (packet.kind, packet.reason()));
        let expected = [reason, MALFORMED, PROTOCOL_ERROR];
        assert!(
            told.is_some_and(|(last, told)| last == kind::DISCONNECT && expected.contains(&told)),
            "{what}: {told:02x?}"
        );
    }
}

#[test]
fn quality_2_is_published_once() {
    let broker = broker();
    for version in [V31, V311, V5] {
        let topic = unique("once");
        let mut watcher = device(&broker, version);
        watcher.subscribe(&topic, 2).expect("subscribed");
        let mut mqtt = device(&broker, version);
        // Mosquitto 2.0 ends the connection of one that sends it again.
        let times: &[u8] = if broker.is_external() { &[0] } else { &[0, 8, 8] };
        for &flags in times {
            mqtt.send(&publish(version, flags, &topic, 2, 7, b"once")).expect("sent");
            assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").short(0), 7);
        }
        for again in [false, true] {
            mqtt.send(&ack(kind::PUBREL, 7)).expect("sent");
            let pubcomp = mqtt.expect(kind::PUBCOMP).expect("PUBCOMP");
            assert_eq!(pubcomp.short(0), 7);
            let expected = if version == V5 && again { 0x92 } else { 0 };
            if !broker.is_external() {
                assert_eq!(pubcomp.reason(), expected, "PUBREL again: {again}");
            }
        }
        // The identifier is free again.
        mqtt.send(&publish(version, 0, &topic, 2, 7, b"another")).expect("sent");
        mqtt.expect(kind::PUBREC).expect("PUBREC");
        mqtt.send(&ack(kind::PUBREL, 7)).expect("sent");
        mqtt.expect(kind::PUBCOMP).expect("PUBCOMP");
        let came = [&b"once"[..], b"another"].map(|payload| {
            let message = watcher.message().expect("a message");
            assert_eq!((message.payload.as_slice(), message.qos, message.dup), (payload, 2, false));
            message
        });
        for message in came {
            watcher.send(&ack(kind::PUBREC, message.packet_id)).expect("sent");
            let pubrel = watcher.expect(kind::PUBREL).expect("PUBREL");
            assert_eq!((pubrel.short(0), pubrel.flags), (message.packet_id, 2), "3.6.1-1");
            watcher.send(&ack(kind::PUBCOMP, message.packet_id)).expect("sent");
        }
        watcher.ping().expect("nothing more");
    }
}

#[test]
fn quality_2_of_a_client_over_a_lost_connection() {
    let broker = broker();
    for version in [V311, V5] {
        let (topic, hello) = (unique("lost"), Hello::new(&unique("lost")).version(version).lasting());
        let mut watcher = device(&broker, version);
        watcher.subscribe(&topic, 1).expect("subscribed");
        let mut mqtt = open(&broker, &hello);
        mqtt.send(&publish(version, 0, &topic, 2, 9, b"x")).expect("sent");
        mqtt.expect(kind::PUBREC).expect("PUBREC");
        mqtt.lose().expect("lost");
        let mut mqtt = open(&broker, &hello);
        // PUBREC had not come, for all that the broker knows.
        mqtt.send(&publish(version, 8, &topic, 2, 9, b"x")).expect("sent");
        mqtt.expect(kind::PUBREC).expect("PUBREC");
        mqtt.lose().expect("lost");
        let mut mqtt = open(&broker, &hello);
        mqtt.send(&ack(kind::PUBREL, 9)).expect("sent");
        assert_eq!(mqtt.expect(kind::PUBCOMP).expect("PUBCOMP").reason(), 0);
        let message = watcher.message().expect("the message");
        watcher.send(&ack(kind::PUBACK, message.packet_id)).expect("sent");
        watcher.ping().expect("it comes once");
        open(&broker, &Hello { clean: true, properties: Vec::new(), ..hello });
    }
}

#[test]
fn quality_2_of_the_broker_over_a_lost_connection() {
    let broker = broker();
    for version in [V311, V5] {
        let (topic, hello) = (unique("lost"), Hello::new(&unique("lost")).version(version).lasting());
        let mut mqtt = open(&broker, &hello);
        mqtt.subscribe(&topic, 2).expect("subscribed");
        let mut publisher = device(&broker, version);
        publisher.send(&publish(version, 0, &topic, 1, 1, b"x")).expect("sent");
        publisher.send(&publish(version, 0, &topic, 2, 2, b"y")).expect("sent");
        publisher.expect(kind::PUBACK).expect("PUBACK");
        publisher.expect(kind::PUBREC).expect("PUBREC");
        publisher.send(&ack(kind::PUBREL, 2)).expect("sent");
        publisher.expect(kind::PUBCOMP).expect("PUBCOMP");
        let (one, two) = (mqtt.message().expect("x"), mqtt.message().expect("y"));
        assert_eq!((one.qos, two.qos, one.dup, two.dup), (1, 2, false, false));
        assert_ne!(one.packet_id, two.packet_id);
        mqtt.lose().expect("lost");
        // Neither was answered: both come again, as they were, and say so (4.4.0-1, 3.3.1-1).
        let mut mqtt = open(&broker, &hello);
        for before in [&one, &two] {
            let again = mqtt.message().expect("again");
            assert!(again.dup);
            assert_eq!((again.packet_id, &again.payload), (before.packet_id, &before.payload));
        }
        mqtt.send(&ack(kind::PUBACK, one.packet_id)).expect("sent");
        mqtt.send(&ack(kind::PUBREC, two.packet_id)).expect("sent");
        assert_eq!(mqtt.expect(kind::PUBREL).expect("PUBREL").short(0), two.packet_id);
        mqtt.lose().expect("lost");
        // From PUBREC on it is PUBREL that comes again.
        let mut mqtt = open(&broker, &hello);
        assert_eq!(mqtt.expect(kind::PUBREL).expect("PUBREL again").short(0), two.packet_id);
        mqtt.send(&ack(kind::PUBCOMP, two.packet_id)).expect("sent");
        mqtt.ping().expect("nothing more");
        mqtt.lose().expect("lost");
        let mut mqtt = open(&broker, &hello);
        mqtt.ping().expect("nothing at all");
        open(&broker, &Hello { clean: true, properties: Vec::new(), ..hello });
    }
}

#[test]
fn a_refusal_in_pubrec_ends_the_exchange() {
    let broker = broker();
    if broker.is_external() {
        return; // Mosquitto 2.0 closes the connection
    }
    let topic = unique("no");
    let mut mqtt = open(&broker, &Hello::new(&unique("no")).with(&[0x21, 0, 1]));
    mqtt.subscribe(&topic, 2).expect("subscribed");
    let mut publisher = device(&broker, V5);
    for (id, payload) in [(1, &b"x"[..]), (2, b"y"), (3, b"z")] {
        publisher.send(&publish(V5, 0, &topic, 1 + u8::from(id == 1), id, payload)).expect("sent");
    }
    let message = mqtt.message().expect("x");
    mqtt.send(&packet(kind::PUBREC << 4, &[&message.packet_id.to_be_bytes()[..], &[0x80, 0]].concat())).expect("sent");
    // Its place in the window is free (3.3.4-9), and no PUBREL comes.
    let message = mqtt.message().expect("y");
    assert_eq!(message.payload, b"y");
    mqtt.send(&ack(kind::PUBACK, message.packet_id)).expect("sent");
    let message = mqtt.message().expect("z");
    mqtt.send(&packet(kind::PUBACK << 4, &[&message.packet_id.to_be_bytes()[..], &[0x97, 0]].concat())).expect("sent");
    mqtt.ping().expect("still there");
    mqtt.send(&ack(kind::PUBREL, 77)).expect("sent");
    let pubcomp = mqtt.expect(kind::PUBCOMP).expect("PUBCOMP");
    if !broker.is_external() {
        assert_eq!((pubcomp.short(0), pubcomp.reason()), (77, 0x92));
    }
}

#[test]
fn acknowledgements_of_nothing() {
    let broker = broker();
    for version in [V311, V5] {
        for which in [kind::PUBACK, kind::PUBREC, kind::PUBCOMP] {
            let mut mqtt = device(&broker, version);
            mqtt.send(&ack(which, 1234)).expect("sent");
            if which == kind::PUBREC && !broker.is_external() {
                let pubrel = mqtt.expect(kind::PUBREL).expect("PUBREL");
                assert_eq!(pubrel.short(0), 1234);
                assert_eq!(pubrel.reason(), if version == V5 { 0x92 } else { 0 });
            }
            if !broker.is_external() {
                mqtt.ping().expect("it does no harm");
            }
        }
        for which in [kind::PUBACK, kind::PUBREC, kind::PUBREL, kind::PUBCOMP] {
            if !broker.is_external() {
                refused(&broker, version, &ack(which, 0), MALFORMED);
            }
        }
    }
}

#[test]
fn nobody_is_subscribed() {
    let broker = broker();
    let mut mqtt = device(&broker, V5);
    mqtt.send(&publish(V5, 0, &unique("nobody"), 1, 1, b"x")).expect("sent");
    let puback = mqtt.expect(kind::PUBACK).expect("PUBACK");
    assert!(matches!(puback.reason(), 0 | 0x10), "{puback:02x?}");
    mqtt.send(&publish(V5, 0, &unique("nobody"), 2, 2, b"x")).expect("sent");
    let pubrec = mqtt.expect(kind::PUBREC).expect("PUBREC");
    assert!(matches!(pubrec.reason(), 0 | 0x10), "{pubrec:02x?}");
    mqtt.send(&ack(kind::PUBREL, 2)).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBCOMP).expect("PUBCOMP").reason(), 0);
}

#[test]
fn more_than_the_receive_maximum_of_the_broker() {
    let broker = broker();
    let hello = Hello::new(&unique("many"));
    let (mut mqtt, connack) = Mqtt::open(broker.address_of("mqtt"), &hello).expect("let in");
    let receive_max = connack
        .body
        .windows(3)
        .find(|three| three[0] == 0x21)
        .map_or(65_535, |three| u16::from_be_bytes([three[1], three[2]]));
    let topic = unique("many");
    let mut bytes = Vec::new();
    for id in 1..=receive_max {
        bytes.extend(publish(V5, 0, &topic, 2, id, b""));
    }
    mqtt.send(&bytes).expect("sent");
    for id in 1..=receive_max {
        assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").short(0), id);
    }
    if receive_max < u16::MAX && !broker.is_external() {
        // None of them was released: one more is too many (3.3.4-7 and 4.9).
        mqtt.send(&publish(V5, 0, &topic, 2, receive_max + 1, b"")).expect("sent");
        ends(&broker, &mut mqtt, V5, 0x93);
    }
}

#[test]
fn answers_are_in_order() {
    let broker = broker();
    let topic = unique("order");
    let mut mqtt = device(&broker, V5);
    let mut bytes = Vec::new();
    for id in 1..=10 {
        bytes.extend(publish(V5, 0, &topic, 1, id, b"x"));
    }
    for id in 11..=15 {
        bytes.extend(publish(V5, 0, &topic, 2, id, b"x"));
    }
    mqtt.send(&bytes).expect("sent");
    for id in 1..=10 {
        assert_eq!(mqtt.expect(kind::PUBACK).expect("PUBACK").short(0), id, "4.6.0-2");
    }
    for id in 11..=15 {
        assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").short(0), id, "4.6.0-3");
    }
    let releases: Vec<u8> = (11..=15).flat_map(|id| ack(kind::PUBREL, id)).collect();
    mqtt.send(&releases).expect("sent");
    for id in 11..=15 {
        assert_eq!(mqtt.expect(kind::PUBCOMP).expect("PUBCOMP").short(0), id);
    }
}

// --- SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10)

#[test]
fn filters_that_cannot_be() {
    let broker = broker();
    for version in [V311, V5] {
        for filter in ["a#", "a/#/b", "#/a", "a+", "+a", "a/b+/c", "##", "a/##", ""] {
            let mut mqtt = device(&broker, version);
            mqtt.send(&subscribe(version, 5, &[(filter, 1), ("fine", 1)], &[])).expect("sent");
            // Refused one by one, or the connection ends: both are allowed (4.7.1, 3.8.4).
            match mqtt.next_packet() {
                Ok(answer) if answer.kind == kind::SUBACK => {
                    let codes = &answer.body[if version == V5 { 3 } else { 2 }..];
                    assert_eq!(codes.len(), 2, "3.8.4-6");
                    assert!(codes[0] >= 0x80 && codes[1] == 1, "{filter}: {codes:02x?}");
                    assert_eq!(codes[0], if version == V5 { 0x8F } else { 0x80 }, "{filter}");
                }
                Ok(answer) => assert_eq!(answer.kind, kind::DISCONNECT, "{filter}: {answer:02x?}"),
                Err(_) => {}
            }
        }
    }
}

#[test]
fn subscribes_that_cannot_be() {
    let broker = broker();
    for version in [V311, V5] {
        let body = |filters: &[u8]| [&[0, 1][..], if version == V5 { &[0] } else { &[] }, filters].concat();
        let one = |options: u8| packet(0x82, &body(&[string("a"), vec![options]].concat()));
        refused(&broker, version, &packet(0x82, &body(&[])), PROTOCOL_ERROR);
        refused(&broker, version, &packet(0xA2, &body(&[])), PROTOCOL_ERROR);
        refused(&broker, version, &one(3), MALFORMED);
        refused(&broker, version, &one(0xC0), MALFORMED);
        refused(&broker, version, &packet(0x82, &body(&string("a"))), MALFORMED);
        let id_0 = [&[0, 0][..], if version == V5 { &[0] } else { &[] }, &string("a"), &[0]].concat();
        refused(&broker, version, &packet(0x82, &id_0), MALFORMED);
    }
    refused(&broker, V5, &subscribe(V5, 1, &[("a", 0x30)], &[]), PROTOCOL_ERROR);
    refused(&broker, V5, &subscribe(V5, 1, &[("a", 0)], &[0x0B, 0]), PROTOCOL_ERROR);
    if !broker.is_external() {
        refused(&broker, V5, &subscribe(V5, 1, &[("$share/g/a", 4)], &[]), PROTOCOL_ERROR);
    }
}

#[test]
fn shared_filters_that_cannot_be() {
    let broker = broker();
    if broker.is_external() {
        return; // Mosquitto 2.0 takes some of them
    }
    for filter in ["$share//a", "$share/g", "$share/g/", "$share/g+/a", "$share/#/a"] {
        let mut mqtt = device(&broker, V5);
        mqtt.send(&subscribe(V5, 1, &[(filter, 1)], &[])).expect("sent");
        match mqtt.next_packet() {
            Ok(answer) if answer.kind == kind::SUBACK => assert!(answer.body[3] >= 0x80, "{filter}: {answer:02x?}"),
            Ok(answer) => assert_eq!(answer.kind, kind::DISCONNECT, "{filter}: {answer:02x?}"),
            Err(_) => {}
        }
    }
}

#[test]
fn several_filters_in_one_packet() {
    let broker = broker();
    for version in [V31, V311, V5] {
        let mut mqtt = device(&broker, version);
        let root = unique("several");
        let names: Vec<String> = (0..3).map(|number| format!("{root}/{number}")).collect();
        let filters: Vec<(&str, u8)> = names.iter().zip(0..).map(|(name, qos)| (name.as_str(), qos)).collect();
        mqtt.send(&subscribe(version, 77, &filters, &[])).expect("sent");
        let suback = mqtt.expect(kind::SUBACK).expect("SUBACK");
        assert_eq!((suback.short(0), &suback.body[suback.body.len() - 3..]), (77, &[0, 1, 2][..]));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        mqtt.send(&unsubscribe(version, 78, &[&names[..], &["never"]].concat())).expect("sent");
        let unsuback = mqtt.expect(kind::UNSUBACK).expect("UNSUBACK");
        let expected: &[u8] = if version == V5 { &[0, 78, 0, 0, 0, 0, 0x11] } else { &[0, 78] };
        assert_eq!(unsuback.body, expected);
    }
}

#[test]
fn packet_identifiers_of_both_sides_are_their_own() {
    let broker = broker();
    let topic = unique("ids");
    let mut mqtt = device(&broker, V5);
    mqtt.subscribe(&topic, 2).expect("subscribed");
    let mut publisher = device(&broker, V5);
    publisher.send(&publish(V5, 0, &topic, 2, 1, b"theirs")).expect("sent");
    publisher.expect(kind::PUBREC).expect("PUBREC");
    publisher.send(&ack(kind::PUBREL, 1)).expect("sent");
    publisher.expect(kind::PUBCOMP).expect("PUBCOMP");
    // The same number, used by the client for an exchange of its own, while the broker's is open.
    let id = mqtt.message().expect("a message").packet_id;
    mqtt.send(&publish(V5, 0, &unique("other"), 2, id, b"own")).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").short(0), id);
    mqtt.send(&ack(kind::PUBREC, id)).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBREL).expect("PUBREL").short(0), id);
    mqtt.send(&ack(kind::PUBREL, id)).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBCOMP).expect("PUBCOMP").short(0), id);
    mqtt.send(&ack(kind::PUBCOMP, id)).expect("sent");
    mqtt.ping().expect("all is done");
}

// --- the end (3.14), PINGREQ (3.12), AUTH (3.15)

#[test]
fn goodbyes_that_cannot_be() {
    let broker = broker();
    // 3.14.2.2.2: an expiry that was 0 cannot be raised.
    refused(&broker, V5, &packet(0xE0, &[0, 5, 0x11, 0, 0, 0, 9]), PROTOCOL_ERROR);
    if !broker.is_external() {
        // 3.14.2.2.4: the server reference is the server's.
        let reference = [&[0x1C][..], &string("other")].concat();
        refused(&broker, V5, &packet(0xE0, &[&[0][..], &with_length(&reference)].concat()), PROTOCOL_ERROR);
        refused(&broker, V5, &packet(0xE0, &[0x77, 0]), PROTOCOL_ERROR);
        // 4.12: AUTH where no method was agreed on.
        refused(&broker, V5, &packet(0xF0, &[0x18, 0]), PROTOCOL_ERROR);
        refused(&broker, V5, &packet(0xF0, &[0x19, 0]), PROTOCOL_ERROR);
    }
}

#[test]
fn after_a_goodbye_the_broker_closes() {
    let broker = broker();
    for version in [V31, V311, V5] {
        let mut mqtt = device(&broker, version);
        mqtt.send(&packet(0xE0, &[])).expect("sent");
        assert_eq!(mqtt.end(AT_ONCE).expect("closed"), Vec::<Packet>::new());
        // What comes behind it is not looked at.
        let (topic, mut watcher) = (unique("late"), device(&broker, version));
        watcher.subscribe(&topic, 0).expect("subscribed");
        let mut mqtt = device(&broker, version);
        mqtt.send(&[packet(0xE0, &[]), publish(version, 0, &topic, 0, 0, b"late")].concat()).expect("sent");
        mqtt.end(AT_ONCE).expect("closed");
        watcher.ping().expect("nothing came");
    }
}

#[test]
fn pings_are_answered_in_their_turn() {
    let broker = broker();
    let mut mqtt = device(&broker, V311);
    mqtt.send(&packet(0xC0, &[]).repeat(100)).expect("sent");
    for _ in 0..100 {
        let pong = mqtt.expect(kind::PINGRESP).expect("PINGRESP");
        assert_eq!((pong.flags, pong.body.len()), (0, 0));
    }
}

#[test]
fn packets_in_pieces_and_many_at_once() {
    let broker = broker();
    let topic = unique("pieces");
    let mut mqtt = device(&broker, V5);
    mqtt.subscribe(&topic, 1).expect("subscribed");
    for byte in publish(V5, 0, &topic, 1, 1, b"byte by byte") {
        mqtt.send(&[byte]).expect("sent");
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(mqtt.next_packet().expect("a packet").kind);
    }
    seen.sort_unstable();
    assert_eq!(seen, [kind::PUBLISH, kind::PUBACK]);
    // Before CONNACK has come a client may go on (3.1.4-6 is about authentication only).
    let mut eager = Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected");
    let all =
        [Hello::new(&unique("eager")).packet(), subscribe(V5, 1, &[(&topic, 0)], &[]), packet(0xC0, &[])].concat();
    eager.send(&all).expect("sent");
    for expected in [kind::CONNACK, kind::SUBACK, kind::PINGRESP] {
        eager.expect(expected).expect("in order");
    }
}

#[test]
fn problem_information_is_left_out_for_those_who_do_not_want_it() {
    let broker = broker();
    // 3.1.2-29: reason strings and user properties in CONNACK, PUBLISH and DISCONNECT only.
    let mut mqtt = open(&broker, &Hello::new(&unique("quiet")).with(&[0x17, 0]));
    mqtt.send(&subscribe(V5, 1, &[("a/#/b", 1)], &[])).expect("sent");
    if let Ok(answer) = mqtt.next_packet()
        && answer.kind == kind::SUBACK
    {
        assert_eq!(answer.body[2], 0, "no properties in {answer:02x?}");
    }
}

#[test]
fn no_reason_string_makes_an_answer_too_large() {
    let broker = broker();
    if broker.is_external() {
        return; // Mosquitto 2.0 sends none
    }
    // 3.4.2-2 and the like for each packet: what the client takes is 24 bytes.
    const LIMIT: usize = 24;
    let small = |id: &str| Hello::new(id).with(&[0x27, 0, 0, 0, LIMIT as u8]);
    let mut answers = Vec::new();
    for bytes in [
        subscribe(V5, 1, &[("a/#/b", 1)], &[]),
        unsubscribe(V5, 1, &["never"]),
        publish(V5, 0, &unique("nobody"), 1, 1, b"x"),
        publish(V5, 0, &unique("nobody"), 2, 1, b"x"),
        ack(kind::PUBREC, 77),
        ack(kind::PUBREL, 77),
    ] {
        let mut mqtt = Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected");
        mqtt.send(&small(&unique("small")).packet()).expect("sent");
        mqtt.send(&[bytes, packet(0xC0, &[])].concat()).expect("sent");
        answers.push(mqtt.expect(kind::CONNACK).expect("CONNACK"));
        // PINGRESP may come before what waits for the disk.
        let before = answers.len();
        while let Ok(answer) = mqtt.next_packet() {
            if answer.kind != kind::PINGRESP {
                answers.push(answer);
            }
            if answers.len() > before {
                break;
            }
        }
    }
    let acks = [kind::PUBACK, kind::PUBREC, kind::PUBREL, kind::PUBCOMP];
    for kind in [kind::CONNACK, kind::SUBACK, kind::UNSUBACK].into_iter().chain(acks) {
        assert!(answers.iter().any(|answer| answer.kind == kind), "an answer of type {kind}");
    }
    for answer in answers {
        assert!(answer.body.len() + 2 <= LIMIT, "{} bytes: {answer:02x?}", answer.body.len() + 2);
    }
}

#[test]
fn what_a_member_refuses_goes_to_nobody_else() {
    let broker = broker();
    if broker.is_external() {
        return; // Mosquitto 2.0 closes the connection
    }
    // 4.8.2-6, by PUBACK and by PUBREC.
    for (qos, answer) in [(1, kind::PUBACK), (2, kind::PUBREC)] {
        let (topic, group) = (unique("shared"), unique("group"));
        let filter = format!("$share/{group}/{topic}");
        let mut refusing = device(&broker, V5);
        refusing.subscribe(&filter, qos).expect("subscribed");
        let mut publisher = device(&broker, V5);
        publisher.send(&publish(V5, 0, &topic, qos, 1, b"x")).expect("sent");
        let message = refusing.message().expect("the message");
        let mut other = device(&broker, V5);
        other.subscribe(&filter, qos).expect("subscribed");
        refusing
            .send(&packet(answer << 4, &[&message.packet_id.to_be_bytes()[..], &[0x80, 0]].concat()))
            .expect("sent");
        refusing.ping().expect("read");
        refusing.lose().expect("lost");
        // The next message comes to the other one, and it is not the one that was refused.
        publisher.send(&publish(V5, 0, &topic, 1, 2, b"next")).expect("sent");
        loop {
            // Until the loss is known, the next one may have gone to the one that is lost, and comes back.
            let next = other.message().expect("the next message");
            assert_ne!(next.payload, b"x");
            if next.payload == b"next" {
                break;
            }
        }
    }
}

#[test]
fn an_identifier_that_was_acknowledged_is_free_whatever_dup_says() {
    let broker = broker();
    for version in [V311, V5] {
        let topic = unique("free");
        let mut watcher = device(&broker, version);
        watcher.subscribe(&topic, 0).expect("subscribed");
        let mut mqtt = device(&broker, version);
        for (flags, payload) in [(0, &b"one"[..]), (8, b"two"), (8, b"three")] {
            mqtt.send(&publish(version, flags, &topic, 1, 5, payload)).expect("sent");
            mqtt.expect(kind::PUBACK).expect("PUBACK");
            assert_eq!(watcher.message().expect("a message").payload, payload);
        }
    }
}

#[test]
fn a_delivery_that_was_begun_is_completed_after_unsubscribe() {
    let broker = broker();
    let topic = unique("begun");
    let mut mqtt = device(&broker, V5);
    mqtt.subscribe(&topic, 2).expect("subscribed");
    let mut publisher = device(&broker, V5);
    publisher.send(&publish(V5, 0, &topic, 2, 1, b"x")).expect("sent");
    publisher.expect(kind::PUBREC).expect("PUBREC");
    publisher.send(&ack(kind::PUBREL, 1)).expect("sent");
    let message = mqtt.message().expect("a message");
    mqtt.send(&unsubscribe(V5, 3, &[&topic])).expect("sent");
    mqtt.expect(kind::UNSUBACK).expect("UNSUBACK");
    mqtt.send(&ack(kind::PUBREC, message.packet_id)).expect("sent");
    let pubrel = mqtt.expect(kind::PUBREL).expect("PUBREL");
    assert_eq!((pubrel.short(0), pubrel.reason()), (message.packet_id, 0));
    mqtt.send(&ack(kind::PUBCOMP, message.packet_id)).expect("sent");
    mqtt.ping().expect("all is done");
}

#[test]
fn a_delivery_that_was_begun_does_not_expire() {
    let broker = broker();
    let (topic, hello) = (unique("expiry"), Hello::new(&unique("expiry")).lasting());
    let mut mqtt = open(&broker, &hello);
    mqtt.subscribe(&topic, 2).expect("subscribed");
    let mut publisher = device(&broker, V5);
    publisher.send(&publish_with(V5, 0, &topic, 2, 1, &[2, 0, 0, 0, 1], b"x")).expect("sent");
    publisher.expect(kind::PUBREC).expect("PUBREC");
    publisher.send(&ack(kind::PUBREL, 1)).expect("sent");
    let message = mqtt.message().expect("a message");
    mqtt.lose().expect("lost");
    // What the case is about: its second passes.
    std::thread::sleep(Duration::from_millis(1500));
    let mut mqtt = open(&broker, &hello);
    let again = mqtt.message().expect("4.3.3-7: no expiry once it was sent");
    assert_eq!((again.packet_id, again.dup, again.payload), (message.packet_id, true, message.payload));
    mqtt.send(&ack(kind::PUBREC, again.packet_id)).expect("sent");
    mqtt.expect(kind::PUBREL).expect("4.3.3-13: and the exchange is completed");
    mqtt.send(&ack(kind::PUBCOMP, again.packet_id)).expect("sent");
    mqtt.ping().expect("all is done");
    open(&broker, &Hello { clean: true, properties: Vec::new(), ..hello });
}

#[test]
fn what_follows_a_refused_connect_is_not_looked_at() {
    let broker = broker();
    let topic = unique("refused");
    let mut watcher = device(&broker, V5);
    watcher.subscribe(&topic, 0).expect("subscribed");
    for version in [V311, V5] {
        let mut connect = Hello::new(&unique("refused")).version(version).packet();
        *connect.last_mut().expect("the password") ^= 1;
        let mut mqtt = Mqtt::silent(broker.address_of("mqtt"), version).expect("connected");
        mqtt.send(&[connect, publish(version, 0, &topic, 0, 0, b"x")].concat()).expect("sent");
        let answers = mqtt.end(AT_ONCE).expect("closed");
        assert!(answers.iter().all(|answer| answer.kind == kind::CONNACK && answer.reason() != 0), "{answers:02x?}");
    }
    watcher.ping().expect("nothing came");
}

#[test]
fn with_an_authentication_method_nothing_else_comes_before_connack() {
    let broker = broker();
    let with_method = [&[0x15][..], &string("SCRAM-SHA-256"), &[0x16], &string("n,,n=guest,r=fyko")].concat();
    let hello = Hello::new(&unique("auth")).with(&with_method);
    let too_early = [
        publish(V5, 0, "a", 0, 0, b"x"),
        subscribe(V5, 1, &[("a", 0)], &[]),
        packet(kind::PINGREQ << 4, &[]),
        hello.packet(),
    ];
    for bytes in too_early {
        let mut mqtt = Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected");
        mqtt.send(&[hello.packet(), bytes.clone()].concat()).expect("sent");
        let packets = mqtt.end(AT_ONCE).expect("closed");
        let kinds: Vec<_> = packets.iter().map(|packet| packet.kind).collect();
        assert!(!kinds.contains(&kind::PINGRESP) && !kinds.contains(&kind::SUBACK), "{bytes:02x?}: {packets:02x?}");
        let last = packets.last().expect("a word before the end");
        assert!(last.kind == kind::AUTH || last.reason() >= 0x80, "{bytes:02x?}: {packets:02x?}");
    }
}

#[test]
fn client_ids_of_letters_and_digits_have_sessions() {
    let broker = broker();
    let stem = unique("").replace('-', "");
    for length in [1, 2, 22, 23] {
        let id: String = "Z9".chars().chain(stem.chars()).cycle().take(length).collect();
        for version in [V31, V311, V5] {
            let hello = Hello { id: id.clone(), ..Hello::new("").version(version).lasting() };
            let clean = Hello { clean: true, properties: Vec::new(), ..hello.clone() };
            drop(open(&broker, &clean));
            let (mqtt, first) = Mqtt::open(broker.address_of("mqtt"), &hello).expect("let in");
            assert_eq!(first.body[0], 0, "{id}");
            drop(mqtt);
            let (_mqtt, again) = Mqtt::open(broker.address_of("mqtt"), &hello).expect("let in");
            // 3.1 has no such flag.
            assert_eq!(again.body[0], u8::from(version > V31), "version {version}: {id}");
            drop(open(&broker, &clean));
        }
    }
}

#[test]
fn user_properties_of_a_will_keep_their_order() {
    let broker = broker();
    let mut heir = device(&broker, V5);
    let topic = unique("will");
    heir.subscribe(&topic, 1).expect("subscribed");
    let pair = |name: &str, value: &str| [&[0x26][..], &string(name), &string(value)].concat();
    let properties = [pair("b", "1"), pair("a", "2"), pair("b", "3"), pair("", ""), pair("a", "2")].concat();
    let will = [with_length(&properties), string(&topic), string("gone")].concat();
    let mut mqtt = Mqtt::silent(broker.address_of("mqtt"), V5).expect("connected");
    mqtt.send(&Hello::new(&unique("dies")).packet_with(4 | 1 << 3, &will)).expect("sent");
    assert_eq!(mqtt.expect(kind::CONNACK).expect("let in").reason(), 0);
    mqtt.lose().expect("lost");
    assert_eq!(heir.message().expect("the will").properties, properties);
}

#[test]
fn topic_aliases_that_were_not_offered() {
    let broker = Broker::settings().listener("mqtt").config("[mqtt]\ntopic_alias_max = 0\n").start();
    let mut mqtt = device(&broker, V5);
    mqtt.send(&publish_with(V5, 0, "a", 0, 0, &[0x23, 0, 1], b"x")).expect("sent");
    ends(&broker, &mut mqtt, V5, 0x94);
}

#[test]
fn nothing_is_normalised_when_topics_are_compared() {
    let broker = broker();
    let stem = unique("n");
    for version in [V31, V311, V5] {
        let mut mqtt = device(&broker, version);
        // The same letter, composed and decomposed; a ligature; a space; another case.
        let different = ["\u{e9}", "e\u{301}", "\u{fb01}", "fi", " fi", "FI"];
        for (nth, last) in different.iter().enumerate() {
            mqtt.subscribe(&format!("{stem}/{last}"), 0).expect("subscribed");
            for other in different {
                mqtt.send(&publish(version, 0, &format!("{stem}/{other}"), 0, 0, b"")).expect("sent");
            }
            for _ in 0..=nth {
                let topic = mqtt.message().expect("a message").topic;
                assert!(different[..=nth].iter().any(|last| topic == format!("{stem}/{last}")), "{topic}");
            }
            mqtt.ping().expect("nothing more");
        }
    }
}

#[test]
fn releases_are_in_the_order_in_which_messages_were_received() {
    let broker = broker();
    let topic = unique("order");
    let mut mqtt = device(&broker, V5);
    mqtt.subscribe(&topic, 2).expect("subscribed");
    let mut publisher = device(&broker, V5);
    for id in 11..=15 {
        publisher.send(&publish(V5, 0, &topic, 2, id, b"x")).expect("sent");
        assert_eq!(publisher.expect(kind::PUBREC).expect("PUBREC").short(0), id);
        publisher.send(&ack(kind::PUBREL, id)).expect("sent");
        assert_eq!(publisher.expect(kind::PUBCOMP).expect("PUBCOMP").short(0), id);
    }
    let ids: Vec<_> = (0..5).map(|_| mqtt.message().expect("a message").packet_id).collect();
    for &nth in &[3, 0, 4, 1, 2] {
        mqtt.send(&ack(kind::PUBREC, ids[nth])).expect("sent");
    }
    for &nth in &[3, 0, 4, 1, 2] {
        assert_eq!(mqtt.expect(kind::PUBREL).expect("PUBREL").short(0), ids[nth], "4.6.0-4");
    }
}

/// Sets the topic permission of guest by the management API.
fn allow_topics(broker: &Broker, write: &str) {
    use std::io::{Read, Write};
    let body = format!(r#"{{"exchange":"amq.topic","write":"{write}","read":".*"}}"#);
    let mut stream = std::net::TcpStream::connect(broker.address_of("management")).expect("connected");
    let request = format!(
        "PUT /api/topic-permissions/%2F/guest HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

#[test]
fn an_identifier_that_was_refused_is_free() {
    let broker = Broker::settings().listener("mqtt").listener("management").start();
    if broker.is_external() {
        return; // it takes our management API
    }
    allow_topics(&broker, "^own");
    let mut heir = device(&broker, V5);
    heir.subscribe("#", 0).expect("subscribed");
    let mut mqtt = device(&broker, V5);
    mqtt.send(&publish(V5, 0, "other", 2, 7, b"refused")).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").reason(), 0x87);
    // No PUBREL follows a refusal: what comes next under this identifier is another message (4.3.3-9).
    mqtt.send(&publish(V5, 0, "own", 2, 7, b"taken")).expect("sent");
    assert_eq!(mqtt.expect(kind::PUBREC).expect("PUBREC").reason(), 0);
    assert_eq!(heir.message().expect("a message").payload, b"taken");
}
