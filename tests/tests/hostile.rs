//! Input that no client sends: each case costs its own connection at most, while another goes on with its work.
//!
//! Reply codes are RabbitMQ's. Where its text shows the inside of its own runtime, only the code is compared.

use std::io;
use std::time::{Duration, Instant};

use gantry_tests::broker::Broker;
use gantry_tests::bystander::beside_a_bystander;
use gantry_tests::wire::{
    BODY, Close, FRAME_END, HEADER, HEARTBEAT, METHOD, Method, NO_PROPERTIES, PROTOCOL_HEADER, Wire, content_header,
    frame, nested_table,
};
use gantry_tests::{unique, wait_until};

/// How long a client may take to log in, and some for a busy machine.
const LOGIN_LIMIT: Duration = Duration::from_secs(10 + 5);

/// What the broker answers to bytes that are sent after login, on a connection with channel 1 open.
fn answer_to(broker: &Broker, bytes: &[u8]) -> Close {
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel 1");
    wire.send(bytes).expect("sent");
    wire.expect_close().expect("a close method")
}

/// The code of a close of the connection; the text must start as given.
#[track_caller]
fn closes_connection(broker: &Broker, bytes: &[u8], code: u16, text: &str) {
    let close = answer_to(broker, bytes);
    assert_eq!((close.code, close.channel), (code, 0), "{close:?}");
    assert!(close.text.starts_with(text), "expected {text}..., got {close:?}");
}

/// The connection must be closed, with one of these codes or without a word.
#[track_caller]
fn ends_connection(broker: &Broker, bytes: &[u8], codes: &[u16]) {
    let mut wire = Wire::open(broker.address()).expect("login");
    wire.open_channel(1).expect("channel 1");
    wire.send(bytes).expect("sent");
    match wire.expect_close() {
        Ok(close) => assert!(codes.contains(&close.code) && close.channel == 0, "{close:?}"),
        Err(error) => assert!(ended(&error), "the connection is still open"),
    }
}

fn publish_method(exchange: &str, key: &str) -> Vec<u8> {
    frame(METHOD, 1, Method::new(60, 40).short(0).shortstr(exchange).shortstr(key).octet(0).bytes())
}

// --- before login

#[test]
fn another_protocol_is_told_which_one_is_spoken() {
    beside_a_bystander(|broker| {
        for hello in [b"HTTP/1.1", b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x00\x09\x02", b"\0\0\0\0\0\0\0\0"] {
            let mut wire = Wire::silent(broker.address()).expect("connected");
            wire.send(hello).expect("sent");
            let (answer, _) = wire.read_to_end(LOGIN_LIMIT).expect("closed at once");
            assert_eq!(answer, PROTOCOL_HEADER, "answer to {hello:?}");
        }
    });
}

#[test]
fn four_gibibytes_announced_before_login() {
    beside_a_bystander(|broker| {
        let mut wire = Wire::silent(broker.address()).expect("connected");
        wire.send(&PROTOCOL_HEADER).expect("sent");
        wire.expect(0, (10, 10)).expect("connection.start");
        let memory_before = broker.memory_bytes();
        wire.send(&[METHOD, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]).expect("sent");
        // It may answer or not, and may read on so that the answer is not lost; but it keeps nothing, and not for long.
        let started = Instant::now();
        while wire.send(&[0; 65536]).is_ok() {
            assert!(started.elapsed() < LOGIN_LIMIT, "still reading after {:?}", started.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        if let (Some(before), Some(after)) = (memory_before, broker.memory_bytes()) {
            assert!(after < before + (16 << 20), "memory grew from {before} to {after} bytes");
        }
    });
}

#[test]
fn silent_and_slow_clients_are_closed_in_time() {
    beside_a_bystander(|broker| {
        let address = broker.address().to_owned();
        let mut silent = Wire::silent(&address).expect("connected");
        let mut after_header = Wire::silent(&address).expect("connected");
        after_header.send(&PROTOCOL_HEADER).expect("sent");
        let slow = std::thread::spawn({
            let address = address.clone();
            move || {
                let mut wire = Wire::silent(&address).expect("connected");
                wire.send(&PROTOCOL_HEADER).expect("sent");
                let started = Instant::now();
                // A start-ok of one byte a second never ends, and each byte must not buy more time.
                for byte in frame(METHOD, 0, Wire::start_ok(b"\0guest\0guest").bytes()) {
                    if wire.send(&[byte]).is_err()
                        || wire.next_within(Duration::from_secs(1)).is_err_and(|error| ended(&error))
                    {
                        break;
                    }
                }
                started.elapsed()
            }
        });
        let (_, elapsed) = silent.read_to_end(LOGIN_LIMIT).expect("the silent client is closed");
        assert!(elapsed > Duration::from_secs(5), "a client has time to speak, but was closed after {elapsed:?}");
        after_header.read_to_end(LOGIN_LIMIT).expect("the client that only said hello is closed");
        let elapsed = slow.join().expect("slow client");
        assert!(elapsed < LOGIN_LIMIT, "the slow client was closed after {elapsed:?}");
    });
}

fn ended(error: &io::Error) -> bool {
    error.kind() != io::ErrorKind::TimedOut
}

#[test]
fn a_thousand_half_open_connections() {
    beside_a_bystander(|broker| {
        const COUNT: usize = 1000;
        let memory_before = broker.memory_bytes();
        let mut connections: Vec<Wire> = (0..COUNT)
            .map(|number| {
                let mut wire = Wire::silent(broker.address()).expect("connected");
                if number % 2 == 0 {
                    wire.send(&PROTOCOL_HEADER[..5]).expect("sent");
                } else {
                    wire.send(&PROTOCOL_HEADER).expect("sent");
                    wire.send(&[METHOD, 0, 0, 0, 1, 0, 0]).expect("the head of a frame of 64 KiB");
                }
                wire
            })
            .collect();
        Wire::open(broker.address()).expect("an honest client gets in meanwhile");
        if let (Some(before), Some(after)) = (memory_before, broker.memory_bytes()) {
            let each = after.saturating_sub(before) / COUNT as u64;
            assert!(each <= 64 << 10, "each half-open connection costs {each} bytes");
        }
        let deadline = Instant::now() + LOGIN_LIMIT;
        for wire in &mut connections {
            let left = deadline.saturating_duration_since(Instant::now());
            wire.read_to_end(left.max(Duration::from_millis(1))).expect("closed in time");
        }
    });
}

#[test]
fn methods_before_login() {
    beside_a_bystander(|broker| {
        // Not one of them opens anything; what is said, if anything, is up to the broker.
        for method in [
            Method::new(20, 10).shortstr(""),
            Method::new(10, 40).shortstr("/").shortstr("").octet(0),
            Method::new(10, 31).short(0).long(0).short(0),
            Method::new(50, 10).short(0).shortstr("q").octet(0).no_arguments(),
        ] {
            let mut wire = Wire::silent(broker.address()).expect("connected");
            wire.send(&PROTOCOL_HEADER).expect("sent");
            wire.expect(0, (10, 10)).expect("connection.start");
            wire.method(0, &method).expect("sent");
            if let Ok(frame) = wire.next_within(LOGIN_LIMIT) {
                assert_eq!(frame.method(), Some((10, 50)), "an answer to {method:?}: {frame:?}");
            }
        }
    });
}

#[test]
fn nested_tables_before_login() {
    beside_a_bystander(|broker| {
        let mut wire = Wire::silent(broker.address()).expect("connected");
        wire.send(&PROTOCOL_HEADER).expect("sent");
        wire.expect(0, (10, 10)).expect("connection.start");
        // As deep as fits into the 4096 bytes that a frame may have before tuning.
        let method =
            Method::new(10, 11).raw(&nested_table(550)).shortstr("PLAIN").longstr(b"\0guest\0guest").shortstr("en_US");
        wire.method(0, &method).expect("sent");
        // Taken or refused: either answer will do, as long as there is a broker to give it.
        let answer = wire.next_frame();
        assert!(
            answer.as_ref().map_or(true, |frame| matches!(frame.method(), Some((10, 30) | (10, 50)))),
            "{answer:?}"
        );
    });
}

// --- frames

#[test]
fn frames_that_are_none() {
    beside_a_bystander(|broker| {
        let mut wrong_end = publish_method("", "q");
        *wrong_end.last_mut().expect("a frame") = 0;
        closes_connection(broker, &wrong_end, 501, "FRAME_ERROR - type 1, all octets = ");
        closes_connection(broker, &frame(9, 1, b"?"), 501, "FRAME_ERROR - type 9, all octets = ");
        closes_connection(broker, &frame(METHOD, 1, &[0; 3]), 501, "FRAME_ERROR - type 1, all octets = ");
        // RabbitMQ parses a header before it asks whether it expected one, and says 501.
        ends_connection(broker, &frame(HEADER, 1, &[0, 60, 0, 0]), &[501, 505]);
        // Larger than the frame-max of 131072 that was agreed on: refused by its head alone.
        closes_connection(broker, &[METHOD, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], 501, "FRAME_ERROR - type 1, all octets = ");
        // RabbitMQ lets a payload, instead of a frame, be as long as the frame-max.
        closes_connection(broker, &[BODY, 0, 1, 0, 2, 0, 1], 501, "FRAME_ERROR - type 3, all octets = ");
    });
}

#[test]
fn unknown_classes_and_methods() {
    beside_a_bystander(|broker| {
        for (class, method) in [(60, 99), (99, 1), (0, 0), (60, 0xFFFF)] {
            // RabbitMQ drops the connection without a word.
            ends_connection(broker, &frame(METHOD, 1, Method::new(class, method).bytes()), &[501, 503, 540]);
        }
        let only_servers_send_it = frame(METHOD, 1, Method::new(60, 21).shortstr("tag").bytes());
        closes_connection(broker, &only_servers_send_it, 503, "COMMAND_INVALID - unimplemented method");
    });
}

#[test]
fn methods_that_are_cut_short() {
    beside_a_bystander(|broker| {
        for bytes in [
            Method::new(60, 40).short(0).raw(b"\xFFshort"), // a string that ends after its frame
            Method::new(50, 10).short(0).shortstr("q").octet(0).long(u32::MAX), // a table of 4 GiB in a small frame
            Method::new(50, 10),                            // no arguments at all
            Method::new(60, 40).short(0).shortstr("").shortstr("q").octet(0).raw(b"more"),
        ] {
            closes_connection(broker, &frame(METHOD, 1, bytes.bytes()), 501, "FRAME_ERROR - cannot decode ");
        }
    });
}

// --- channels

#[test]
fn channels_that_are_not_open() {
    beside_a_bystander(|broker| {
        let declare = Method::new(50, 10).short(0).shortstr("q").octet(4).no_arguments();
        let not_open = frame(METHOD, 7, declare.bytes());
        closes_connection(broker, &not_open, 504, "CHANNEL_ERROR - expected 'channel.open'");
        let open = Method::new(20, 10).shortstr("");
        let twice = frame(METHOD, 1, open.bytes());
        closes_connection(broker, &twice, 504, "CHANNEL_ERROR - second 'channel.open' seen");
        let of_the_connection = Method::new(10, 40).shortstr("/").shortstr("").octet(0);
        let on_a_channel = frame(METHOD, 1, of_the_connection.bytes());
        closes_connection(broker, &on_a_channel, 503, "COMMAND_INVALID - unimplemented method");
        let unexpected = "CHANNEL_ERROR - unexpected method in connection state running";
        for method in [open, declare, of_the_connection] {
            closes_connection(broker, &frame(METHOD, 0, method.bytes()), 504, unexpected);
        }
    });
}

#[test]
fn channels_beyond_channel_max() {
    beside_a_bystander(|broker| {
        let mut wire = Wire::open_tuned(broker.address(), |(_, frame_max, _)| (2, frame_max, 0)).expect("login");
        wire.open_channel(1).expect("channel 1");
        wire.open_channel(2).expect("channel 2");
        wire.method(3, &Method::new(20, 10).shortstr("")).expect("sent");
        let close = wire.expect_close().expect("a close method");
        assert_eq!((close.code, close.channel), (530, 0), "{close:?}");
        assert_eq!(
            close.text,
            "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
        );
    });
}

#[test]
fn what_is_said_on_a_channel_that_was_closed_is_ignored() {
    beside_a_bystander(|broker| {
        let mut wire = Wire::open(broker.address()).expect("login");
        wire.open_channel(1).expect("channel 1");
        wire.open_channel(2).expect("channel 2");
        let mut bytes = frame(METHOD, 1, Method::new(60, 80).longlong(99).octet(0).bytes());
        for _ in 0..100 {
            bytes.extend(Wire::publish_frames(1, "nowhere", "q", &NO_PROPERTIES, b"ignored"));
        }
        wire.send(&bytes).expect("sent");
        let close = wire.expect_close().expect("a close method");
        assert_eq!((close.code, close.channel), (406, 1), "{close:?}");
        wire.declare(2, &unique("q"), 4).expect("the other channel goes on");
        wire.method(1, &Method::new(20, 41)).expect("close-ok");
        wire.open_channel(1).expect("opened again");
    });
}

// --- content

#[test]
fn content_out_of_place() {
    beside_a_bystander(|broker| {
        let not_a_method = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
        let no_header = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
        let no_body = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
        let header = frame(HEADER, 1, &content_header(5, &NO_PROPERTIES));
        let publish = publish_method("", "q");
        let mut other_class = content_header(1, &NO_PROPERTIES);
        other_class[1] = 50;
        for (bytes, text) in [
            (frame(BODY, 1, b"no publish"), not_a_method),
            (header.clone(), not_a_method),
            ([publish.clone(), frame(BODY, 1, b"x")].concat(), no_header),
            ([publish.clone(), publish.clone()].concat(), no_header),
            ([publish.clone(), header.clone(), publish.clone()].concat(), no_body),
            ([publish.clone(), header.clone(), header.clone()].concat(), no_body),
            (
                [publish.clone(), frame(HEADER, 1, &other_class)].concat(),
                "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead",
            ),
            (frame(HEARTBEAT, 1, &[]), "UNEXPECTED_FRAME - type 8, all octets = <<>>"),
        ] {
            closes_connection(broker, &bytes, 505, text);
        }
    });
}

#[test]
fn bodies_of_another_size_than_declared() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ 3.10 waits forever for the rest of less than nothing
        }
        for parts in [&[b"four".as_slice()][..], &[b"ab", b"cd"]] {
            let mut bytes = [publish_method("", "q"), frame(HEADER, 1, &content_header(3, &NO_PROPERTIES))].concat();
            for part in parts {
                bytes.extend(frame(BODY, 1, part));
            }
            ends_connection(broker, &bytes, &[501, 505]);
        }
    });
}

#[test]
fn messages_above_the_limit() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ 3.10 looks at the size only once it has all of the body
        }
        let memory_before = broker.memory_bytes();
        let huge = [publish_method("", "q"), frame(HEADER, 1, &content_header(1 << 62, &NO_PROPERTIES))].concat();
        let mut wire = Wire::open(broker.address()).expect("login");
        wire.open_channel(1).expect("channel 1");
        wire.send(&huge).expect("sent");
        let close = wire.expect_close().expect("a close method");
        assert_eq!((close.code, close.channel), (406, 1), "{close:?}");
        assert!(
            close.text.starts_with("PRECONDITION_FAILED - message size 4611686018427387904 is larger than "),
            "{close:?}"
        );
        if let (Some(before), Some(after)) = (memory_before, broker.memory_bytes()) {
            assert!(after < before + (16 << 20), "memory grew from {before} to {after} bytes");
        }
    });
}

#[test]
fn nested_headers() {
    beside_a_bystander(|broker| {
        let mut properties = vec![0x20, 0]; // headers
        properties.extend(nested_table(10_000));
        let deep = [publish_method("amq.headers", ""), frame(HEADER, 1, &content_header(0, &properties))].concat();
        let mut wire = Wire::open(broker.address()).expect("login");
        wire.open_channel(1).expect("channel 1");
        wire.send(&deep).expect("sent");
        // Refused or routed nowhere: what counts is that the broker is there to say so.
        match wire.declare(1, &unique("q"), 4) {
            Ok(_) => {}
            Err(error) => assert!(error.to_string().contains("closed instead of"), "{error}"),
        }
    });
}

#[test]
fn property_flags_that_lie() {
    beside_a_bystander(|broker| {
        for properties in [
            vec![0xFF, 0xFF, 0xFF, 0xFF],          // more flag words that never come
            vec![0x80, 0],                         // a content type that is not there
            vec![0x20, 0, 0xFF, 0xFF, 0xFF, 0xFF], // headers of 4 GiB
        ] {
            let bytes = [publish_method("", "q"), frame(HEADER, 1, &content_header(0, &properties))].concat();
            let mut wire = Wire::open(broker.address()).expect("login");
            wire.open_channel(1).expect("channel 1");
            wire.send(&bytes).expect("sent");
            // RabbitMQ reads properties only when it needs them, so it may go on: then the message went nowhere.
            match wire.declare(1, &unique("q"), 4) {
                Ok(_) => {}
                Err(error) => assert!(error.to_string().contains("closed instead of"), "{error}"),
            }
        }
    });
}

// --- what others must not feel

#[test]
fn a_consumer_that_does_not_read() {
    beside_a_bystander(|broker| {
        let mut publisher = Wire::open(broker.address()).expect("login");
        publisher.open_channel(1).expect("channel 1");
        let queue = unique("q");
        publisher.declare(1, &queue, 0).expect("declared");
        let mut reader = Wire::open(broker.address()).expect("login");
        reader.open_channel(1).expect("channel 1");
        let consume = Method::new(60, 20).short(0).shortstr(&queue).shortstr("").octet(2).no_arguments();
        reader.call(1, &consume, (60, 21)).expect("consuming, with automatic acknowledgement");
        let body = vec![7; 64 << 10];
        for _ in 0..1000 {
            publisher.publish(1, "", &queue, &NO_PROPERTIES, &body).expect("published");
        }
        publisher.declare(1, &queue, 1).expect("the publisher is not held up by a slow reader");
        // Then it reads after all, and gets every one.
        for _ in 0..1000 {
            reader.expect(1, (60, 60)).expect("delivery");
        }
        publisher.call(1, &Method::new(50, 40).short(0).shortstr(&queue).octet(0), (50, 41)).expect("deleted");
    });
}

#[test]
fn topic_patterns_of_many_wildcards() {
    beside_a_bystander(|broker| {
        if broker.is_external() {
            return; // RabbitMQ's own matching is combinatorial: it would hang
        }
        let mut wire = Wire::open(broker.address()).expect("login");
        wire.open_channel(1).expect("channel 1");
        let (queue, ..) = wire.declare(1, &unique("q"), 4).expect("declared");
        let pattern = "#.a.".repeat(40) + "#.b";
        let bind = Method::new(50, 20)
            .short(0)
            .shortstr(&queue)
            .shortstr("amq.topic")
            .shortstr(&pattern)
            .octet(0)
            .no_arguments();
        wire.call(1, &bind, (50, 21)).expect("bound");
        let key = "a.".repeat(100) + "c";
        for _ in 0..20 {
            wire.publish(1, "amq.topic", &key, &NO_PROPERTIES, b"").expect("published");
        }
        let started = Instant::now();
        let (_, ready, _) = wire.declare(1, &queue, 1).expect("declared");
        assert_eq!(ready, 0, "none of them ends in b");
        assert!(started.elapsed() < Duration::from_secs(2), "20 messages took {:?}", started.elapsed());
    });
}

#[test]
fn a_connection_that_vanishes_in_the_middle_of_a_message() {
    beside_a_bystander(|broker| {
        let mut watcher = Wire::open(broker.address()).expect("login");
        watcher.open_channel(1).expect("channel 1");
        let queue = unique("q");
        watcher.declare(1, &queue, 0).expect("declared");
        for _ in 0..50 {
            let mut wire = Wire::open(broker.address()).expect("login");
            wire.open_channel(1).expect("channel 1");
            wire.send(&Wire::publish_frames(1, "", &queue, &NO_PROPERTIES, b"whole")).expect("sent");
            let partial =
                [publish_method("", &queue), frame(HEADER, 1, &content_header(1000, &NO_PROPERTIES))].concat();
            wire.send(&partial).expect("sent");
            wire.send(&[BODY, 0, 1, 0, 0, 3, 0xE8]).expect("sent");
            wire.shutdown().expect("gone");
        }
        wait_until("the whole messages are there, and the partial ones are not", || {
            watcher.declare(1, &queue, 1).expect("declared").1 == 50
        });
        watcher.call(1, &Method::new(50, 40).short(0).shortstr(&queue).octet(0), (50, 41)).expect("deleted");
    });
}

#[test]
fn the_end_marker_is_206() {
    assert_eq!(frame(METHOD, 0, &[]).last(), Some(&FRAME_END));
}
