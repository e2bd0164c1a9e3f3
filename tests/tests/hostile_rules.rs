//! Arguments, headers and patterns of clients that are let in and mean no good: each costs its own channel or connection
//! at most, and no memory that was only claimed, while another client goes on with its work.

use std::io;
use std::time::{Duration, Instant};

use gantry_tests::broker::Broker;
use gantry_tests::bystander::beside_a_bystander;
use gantry_tests::wire::{Field, Method, NO_PROPERTIES, Wire, nested_table, persistent_with, table};
use gantry_tests::{unique, wait_until};

/// What a claim may cost in memory, beside what the allocator keeps of honest work.
const MEMORY_GROWTH_BYTES_MAX: u64 = 48 << 20;

fn open(broker: &Broker) -> Wire {
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel 1");
    wire
}

/// Accepted or refused by a close: either will do, as long as the broker answers. Tells whether it was accepted.
#[track_caller]
fn answered<T>(result: io::Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().contains("closed instead of"), "{error}");
            false
        }
    }
}

/// Runs a case in which the process must not grow.
fn without_growing(case: impl FnOnce(&mut Broker)) {
    beside_a_bystander(|broker| {
        let before = broker.memory_bytes();
        case(broker);
        if let (Some(before), Some(after)) = (before, broker.memory_bytes()) {
            assert!(after < before + MEMORY_GROWTH_BYTES_MAX, "memory grew from {before} to {after} bytes");
        }
    });
}

fn exchange(wire: &mut Wire, name: &str, kind: &str, arguments: &[u8]) -> io::Result<()> {
    // The bits of exchange.declare: durable 2, auto-delete 4.
    let declare = Method::new(40, 10).short(0).shortstr(name).shortstr(kind).octet(0).raw(arguments);
    wire.call(1, &declare, (40, 11)).map(drop)
}

fn bind(wire: &mut Wire, queue: &str, exchange: &str, key: &str) -> io::Result<()> {
    let bind = Method::new(50, 20).short(0).shortstr(queue).shortstr(exchange).shortstr(key).octet(0).no_arguments();
    wire.call(1, &bind, (50, 21)).map(drop)
}

/// Every number that a client can write, as large, small and odd as it can be.
fn absurd_numbers() -> Vec<Field<'static>> {
    let raw = |letter: u8, bytes: &[u8]| Field::Raw(letter, bytes.to_vec());
    vec![
        Field::Long(i64::MAX),
        Field::Long(i64::MIN),
        Field::Long(i64::from(u32::MAX)),
        Field::Int(i32::MAX),
        Field::Int(-1),
        raw(b'i', &u32::MAX.to_be_bytes()),
        raw(b'b', &[0x80]),
        raw(b'B', &[0xFF]),
        raw(b's', &i16::MIN.to_be_bytes()),
        raw(b'u', &u16::MAX.to_be_bytes()),
        raw(b'f', &f32::NAN.to_be_bytes()),
        raw(b'd', &f64::INFINITY.to_be_bytes()),
        raw(b'd', &1e300_f64.to_be_bytes()),
        raw(b'D', &[255, 0x7F, 0xFF, 0xFF, 0xFF]),
        raw(b'T', &u64::MAX.to_be_bytes()),
        raw(b'V', &[]),
        raw(b'A', &[0, 0, 0, 0]),
        raw(b'F', &[0, 0, 0, 0]),
        Field::Text(""),
        Field::Text("99999999999999999999999999999999"),
        Field::Bool(true),
    ]
}

// --- arguments

#[test]
fn queue_arguments_with_absurd_numbers_set_nothing_aside() {
    without_growing(|broker| {
        let mut wire = open(broker);
        for name in [
            "x-max-length",
            "x-max-length-bytes",
            "x-max-priority",
            "x-message-ttl",
            "x-expires",
            "x-delivery-limit",
            "x-consumer-timeout",
            "x-quorum-initial-group-size",
            "x-delayed-retry-min",
            "x-delayed-retry-max",
            "x-max-age",
            "x-stream-max-segment-size-bytes",
            "x-stream-filter-size-bytes",
            "x-initial-cluster-size",
            "x-message-deduplication",
            "x-cache-size",
        ] {
            for kind in ["classic", "quorum", "stream"] {
                if kind == "stream" && !name.contains("stream") && name != "x-max-age" && name != "x-max-length-bytes" {
                    continue;
                }
                for value in absurd_numbers() {
                    // Durable, as the other kinds must be; with 8 it goes when its consumer does, which a stream cannot.
                    let queue = unique("absurd");
                    let arguments = [("x-queue-type", Field::Text(kind)), (name, value.clone())];
                    if answered(wire.declare_with(1, &queue, 2, &arguments)) {
                        wire.publish(1, "", &queue, &NO_PROPERTIES, b"one").expect("published");
                        let delete = Method::new(50, 40).short(0).shortstr(&queue).octet(0);
                        wire.call(1, &delete, (50, 41)).unwrap_or_else(|error| panic!("{name} = {value:?}: {error}"));
                    } else {
                        wire = open(broker);
                    }
                }
            }
        }
    });
}

#[test]
fn a_thousand_queues_with_all_levels_of_priority() {
    without_growing(|broker| {
        let mut wire = open(broker);
        for _ in 0..1000 {
            wire.declare_with(1, &unique("levels"), 4, &[("x-max-priority", Field::Int(255))]).expect("declared");
        }
    });
}

#[test]
fn exchange_arguments_with_absurd_numbers_set_nothing_aside() {
    without_growing(|broker| {
        if broker.is_external() {
            return; // some of these end RabbitMQ 3.10
        }
        for (kind, names) in [
            ("x-recent-history", &["x-recent-history-length"][..]),
            ("x-message-deduplication", &["x-cache-size", "x-cache-ttl", "x-cache-persistence"]),
            ("x-consistent-hash", &["hash-header", "hash-property"]),
            ("x-delayed-message", &["x-delayed-type"]),
        ] {
            for name in names {
                for value in absurd_numbers() {
                    let mut wire = open(broker);
                    let arguments = match *name {
                        "x-cache-ttl" | "x-cache-persistence" => {
                            table(&[("x-cache-size", Field::Int(9)), (name, value)])
                        }
                        _ => table(&[(name, value)]),
                    };
                    let exchange_name = unique("absurd");
                    if answered(exchange(&mut wire, &exchange_name, kind, &arguments)) {
                        wire.publish(1, &exchange_name, "key", &NO_PROPERTIES, b"one").expect("published");
                        let delete = Method::new(40, 20).short(0).shortstr(&exchange_name).octet(0);
                        wire.call(1, &delete, (40, 21)).unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
                    }
                }
            }
        }
    });
}

#[test]
fn a_delayed_exchange_of_delayed_exchanges() {
    beside_a_bystander(|broker| {
        for kind in ["x-delayed-message", "x-no-such-type", ""] {
            let mut wire = open(broker);
            let name = unique("delayed");
            if answered(exchange(
                &mut wire,
                &name,
                "x-delayed-message",
                &table(&[("x-delayed-type", Field::Text(kind))]),
            )) {
                let delayed = persistent_with(&[("x-delay", Field::Int(1))]);
                wire.publish(1, &name, "key", &delayed, b"one").expect("published");
                answered(wire.declare(1, &unique("q"), 4));
            }
        }
    });
}

#[test]
fn nested_tables_as_arguments() {
    beside_a_bystander(|broker| {
        let deep = [&b"\x06x-deepF"[..], &nested_table(9_000)].concat();
        let deep = [&(deep.len() as u32).to_be_bytes()[..], &deep].concat();
        let queue = unique("deep");
        for method in [
            (Method::new(50, 10).short(0).shortstr(&queue).octet(4).raw(&deep), (50, 11)),
            (Method::new(40, 10).short(0).shortstr(&queue).shortstr("headers").octet(4).raw(&deep), (40, 11)),
            (Method::new(60, 20).short(0).shortstr("q").shortstr("").octet(0).raw(&deep), (60, 21)),
            (
                Method::new(50, 20).short(0).shortstr("q").shortstr("amq.headers").shortstr("").octet(0).raw(&deep),
                (50, 21),
            ),
        ] {
            let mut wire = open(broker);
            wire.declare(1, "q", 8).expect("declared");
            answered(wire.call(1, &method.0, method.1));
        }
    });
}

#[test]
fn consumer_arguments_with_absurd_numbers() {
    beside_a_bystander(|broker| {
        for name in ["x-priority", "x-stream-offset", "x-consumer-timeout", "x-cancel-on-ha-failover"] {
            for value in absurd_numbers() {
                let mut wire = open(broker);
                let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
                let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("").octet(0);
                if answered(wire.call(1, &consume.raw(&table(&[(name, value)])), (60, 21))) {
                    wire.publish(1, "", &queue, &NO_PROPERTIES, b"one").expect("published");
                    wire.delivery(1).expect("delivered");
                }
            }
        }
    });
}

#[test]
fn stream_offsets_with_absurd_numbers() {
    beside_a_bystander(|broker| {
        let mut wire = open(broker);
        let queue = unique("stream");
        wire.declare_with(1, &queue, 2, &[("x-queue-type", Field::Text("stream"))]).expect("declared");
        for value in absurd_numbers() {
            let mut wire = open(broker);
            wire.call(1, &Method::new(60, 10).long(0).short(10).octet(0), (60, 11)).expect("basic.qos");
            let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("").octet(0);
            answered(wire.call(1, &consume.raw(&table(&[("x-stream-offset", value)])), (60, 21)));
        }
        wire.call(1, &Method::new(50, 40).short(0).shortstr(&queue).octet(0), (50, 41)).expect("deleted");
    });
}

#[test]
fn weights_of_a_hash_that_would_fill_the_memory() {
    without_growing(|broker| {
        if broker.is_external() {
            return; // RabbitMQ 3.10 makes a bucket for each, and is killed
        }
        let mut wire = open(broker);
        let name = unique("hash");
        exchange(&mut wire, &name, "x-consistent-hash", &table(&[])).expect("declared");
        for weight in
            ["1000000000", "4294967296", "9223372036854775807", "18446744073709551616", "99999999999999999999"]
        {
            let mut wire = open(broker);
            let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
            answered(bind(&mut wire, &queue, &name, weight));
        }
        // As many of the largest that is taken as there may be.
        for _ in 0..50 {
            let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
            if !answered(bind(&mut wire, &queue, &name, "1000000")) {
                wire = open(broker);
            }
        }
        for number in 0..100 {
            wire.publish(1, &name, &format!("key {number}"), &NO_PROPERTIES, b"").expect("published");
        }
        wire.declare(1, &unique("q"), 4).expect("the channel goes on");
    });
}

// --- headers

/// What a client can write into x-death, and worse.
fn malformed_deaths() -> Vec<Vec<u8>> {
    let row = |fields: &[(&str, Field<'_>)]| [b"F", &table(fields)[..]].concat();
    let array = |items: &[Vec<u8>]| {
        let items = items.concat();
        Field::Raw(b'A', [&(items.len() as u32).to_be_bytes()[..], &items].concat())
    };
    let well_formed = |count: Field<'static>| {
        row(&[
            ("count", count),
            ("reason", Field::Text("expired")),
            ("queue", Field::Text("somewhere")),
            ("time", Field::Raw(b'T', vec![0; 8])),
            ("exchange", Field::Text("")),
            ("routing-keys", array(&[[&b"S\0\0\0\x03"[..], b"key"].concat()])),
        ])
    };
    let all_wrong = row(&[
        ("count", Field::Text("many")),
        ("reason", Field::Int(7)),
        ("queue", array(&[])),
        ("time", Field::Text("yesterday")),
        ("exchange", Field::Raw(b'F', nested_table(3))),
        ("routing-keys", Field::Bool(true)),
        ("original-expiration", Field::Long(-1)),
    ]);
    let deaths = [
        array(&[]),
        array(&[row(&[])]),
        array(&[b"V".to_vec(), b"t\x01".to_vec(), [&b"I"[..], &7_i32.to_be_bytes()].concat()]),
        array(&[all_wrong.clone(), all_wrong]),
        array(&vec![row(&[]); 5_000]),
        array(&[well_formed(Field::Long(i64::MAX)), well_formed(Field::Long(i64::MIN)), well_formed(Field::Int(-5))]),
        array(&[[b"F", &nested_table(20)[..]].concat()]),
        array(&[array_of_itself(20)]),
        Field::Text("x-death"),
        Field::Int(1),
        Field::Raw(b'V', Vec::new()),
        Field::Raw(b'F', nested_table(2)),
    ];
    let mut headers: Vec<Vec<u8>> = deaths.into_iter().map(|death| persistent_with(&[("x-death", death)])).collect();
    headers.push(persistent_with(&[
        ("x-first-death-queue", Field::Int(7)),
        ("x-first-death-reason", Field::Raw(b'F', nested_table(1))),
        ("x-first-death-exchange", Field::Bool(true)),
        ("x-last-death-queue", Field::Raw(b'V', Vec::new())),
        ("x-delivery-count", Field::Text("often")),
        ("x-acquired-count", Field::Long(i64::MIN)),
    ]));
    headers
}

/// An array in an array in an array...
fn array_of_itself(depth: usize) -> Vec<u8> {
    let mut array = vec![b'A', 0, 0, 0, 0];
    for _ in 0..depth {
        array = [&[b'A'][..], &(array.len() as u32).to_be_bytes(), &array].concat();
    }
    array
}

#[test]
fn deaths_that_a_client_made_up() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // a queue of RabbitMQ 3.10 ends at some of them
        }
        let mut wire = open(broker);
        let dead = unique("dead");
        wire.declare(1, &dead, 4).expect("declared");
        let to_dead = [("x-dead-letter-exchange", Field::Text("")), ("x-dead-letter-routing-key", Field::Text(&dead))];
        let [to, key] = to_dead;
        let queue = unique("dying");
        wire.declare_with(1, &queue, 4, &[("x-message-ttl", Field::Int(1)), to, key]).expect("declared");
        let malformed = malformed_deaths();
        for properties in &malformed {
            wire.publish(1, "", &queue, properties, b"made up").expect("published");
        }
        let count = malformed.len() as u32;
        wait_until("all of them are dead letters", || wire.declare(1, &dead, 1).expect("declared").1 == count);
        let consume = Method::new(60, 20).short(0).shortstr(&dead).shortstr("").octet(2).no_arguments();
        wire.call(1, &consume, (60, 21)).expect("consumed");
        for _ in 0..count {
            assert_eq!(wire.delivery(1).expect("delivered").body, b"made up");
        }
    });
}

#[test]
fn delays_that_are_no_numbers() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ 3.10 has no such exchange
        }
        let mut wire = open(broker);
        let (name, queue) = (unique("delayed"), unique("q"));
        exchange(&mut wire, &name, "x-delayed-message", &table(&[("x-delayed-type", Field::Text("fanout"))]))
            .expect("declared");
        wire.declare(1, &queue, 4).expect("declared");
        bind(&mut wire, &queue, &name, "").expect("bound");
        for value in absurd_numbers() {
            wire.publish(1, &name, "", &persistent_with(&[("x-delay", value)]), b"").expect("published");
        }
        // Some of them are delays of days or years: what counts is that the others come, and the channel lives.
        wait_until("those that are no delays have come", || wire.declare(1, &queue, 1).expect("declared").1 >= 10);
    });
}

#[test]
fn deduplication_headers_of_every_type() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ 3.10 has no such exchange
        }
        let mut wire = open(broker);
        let (name, queue) = (unique("once"), unique("q"));
        let size = table(&[("x-cache-size", Field::Long(i64::MAX))]);
        exchange(&mut wire, &name, "x-message-deduplication", &size).expect("declared");
        wire.declare(1, &queue, 4).expect("declared");
        bind(&mut wire, &queue, &name, "").expect("bound");
        let long = "long".repeat(20_000);
        for value in absurd_numbers().into_iter().chain([Field::Text(&long), Field::Raw(b'F', nested_table(20))]) {
            for _ in 0..2 {
                wire.publish(1, &name, "", &persistent_with(&[("x-deduplication-header", value.clone())]), b"")
                    .expect("published");
            }
        }
        wire.declare(1, &unique("q"), 4).expect("the channel goes on");
    });
}

#[test]
fn copies_to_very_many_keys() {
    beside_a_bystander(|broker| {
        let mut wire = open(broker);
        let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
        let mut keys: Vec<u8> = (0..8_000).flat_map(|_| [&b"S\0\0\0\x07"[..], b"nowhere"].concat()).collect();
        keys.extend([&b"S"[..], &(queue.len() as u32).to_be_bytes(), queue.as_bytes()].concat());
        let keys = Field::Raw(b'A', [&(keys.len() as u32).to_be_bytes()[..], &keys].concat());
        let properties = persistent_with(&[("CC", keys.clone()), ("BCC", keys)]);
        if properties.len() < 120_000 {
            panic!("it was to be a large header");
        }
        // A header that does not fit into a frame is its sender's fault; one that does is routed once to the queue.
        answered(wire.publish(1, "amq.direct", "", &properties, b"").and_then(|()| wire.declare(1, &queue, 1)));
    });
}

// --- routing and replies

#[test]
fn patterns_of_nothing_but_wildcards() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ's own matching is combinatorial: it would hang
        }
        let mut wire = open(broker);
        let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
        for pattern in [
            "#.".repeat(120) + "x",
            "#.*.".repeat(60) + "x",
            "*.#.".repeat(60) + "x",
            "#.a.".repeat(60) + "x",
            "#.a.#.b.".repeat(30) + "x",
        ] {
            for first in 0..20 {
                bind(&mut wire, &queue, "amq.topic", &format!("{pattern}.{first}")).expect("bound");
            }
        }
        let started = Instant::now();
        for key in ["a.".repeat(120) + "c", "a.b.".repeat(60) + "c", ".".repeat(250), "a".repeat(255)] {
            for _ in 0..20 {
                wire.publish(1, "amq.topic", &key, &NO_PROPERTIES, b"").expect("published");
            }
        }
        let (_, ready, _) = wire.declare(1, &queue, 1).expect("declared");
        assert_eq!(ready, 0, "none of the keys ends as the patterns do");
        assert!(started.elapsed() < Duration::from_secs(10), "80 messages took {:?}", started.elapsed());
        wire.publish(1, "amq.topic", &("a.".repeat(100) + "x.7"), &NO_PROPERTIES, b"").expect("published");
        wait_until("what does match arrives", || wire.declare(1, &queue, 1).expect("declared").1 == 1);
    });
}

#[test]
fn reply_addresses_are_not_queues() {
    beside_a_bystander(|broker| {
        let names = [
            "amq.rabbitmq.reply-to".to_owned(),
            "amq.rabbitmq.reply-to.".to_owned(),
            "amq.rabbitmq.reply-to.AAAA".to_owned(),
            "amq.rabbitmq.reply-to.g1h2AA5yZXBseUAwLjAuMC4w.AAAA".to_owned(),
            format!("amq.rabbitmq.reply-to.{}", "/+=A".repeat(50)),
        ];
        for name in &names {
            for method in [
                (Method::new(50, 10).short(0).shortstr(name).octet(0).no_arguments(), (50, 11)),
                (
                    Method::new(50, 20)
                        .short(0)
                        .shortstr(name)
                        .shortstr("amq.direct")
                        .shortstr("k")
                        .octet(0)
                        .no_arguments(),
                    (50, 21),
                ),
                (Method::new(50, 30).short(0).shortstr(name).octet(0), (50, 31)),
                (Method::new(50, 40).short(0).shortstr(name).octet(0), (50, 41)),
                (Method::new(60, 70).short(0).shortstr(name).octet(0), (60, 72)),
                (Method::new(60, 20).short(0).shortstr(name).shortstr("").octet(0).no_arguments(), (60, 21)),
            ] {
                let mut wire = open(broker);
                let deleted_or_passive = answered(wire.call(1, &method.0, method.1));
                // A delete of what is not there is answered; nothing else is.
                let allowed = method.1 == (50, 41) || (name == &names[0] && method.1 == (50, 11));
                assert!(!deleted_or_passive || allowed || broker.is_external(), "{:?} of {name}", method.1);
            }
        }
    });
}

// --- rules that are kept busy

#[test]
fn a_poisoned_message_that_comes_back_forever() {
    beside_a_bystander(|broker| {
        let mut wire = open(broker);
        let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
        wire.publish(1, "", &queue, &NO_PROPERTIES, b"poison").expect("published");
        let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("").octet(0).no_arguments();
        wire.call(1, &consume, (60, 21)).expect("consumed");
        for _ in 0..20_000 {
            let tag = wire.delivery(1).expect("delivered").tag;
            wire.method(1, &Method::new(60, 90).longlong(tag).octet(1)).expect("requeued");
        }
    });
}

#[test]
fn a_publisher_to_a_full_queue() {
    without_growing(|broker| {
        let mut wire = open(broker);
        let arguments = [("x-max-length", Field::Int(10)), ("x-overflow", Field::Text("reject-publish"))];
        let (queue, ..) = wire.declare_with(1, &unique("full"), 4, &arguments).expect("declared");
        let burst: Vec<u8> =
            (0..500).flat_map(|_| Wire::publish_frames(1, "", &queue, &NO_PROPERTIES, &[0; 2000])).collect();
        for _ in 0..100 {
            wire.send(&burst).expect("sent");
        }
        let (_, ready, _) = wire.declare(1, &queue, 1).expect("declared");
        assert!(ready <= 11, "{ready} messages are in a queue of 10");
    });
}
