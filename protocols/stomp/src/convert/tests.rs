use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::{Edit, assemble, now_ms};
use gantry_broker::protocol::{Output, SHARED_BODY_BYTES_MIN};
use gantry_broker::value::{Table, Value};
use gantry_broker::{Address, Essentials, Group, Message, Properties as Neutral, Source};

use super::*;
use crate::codec::{Decoded, Limits, Progress, Version, decode};
use crate::destinations::Dialect;
use crate::error::Failure;

fn address(exchange: &str, key: &str) -> Arc<Address> {
    Arc::new(Address { exchange: exchange.into(), routing_key: Bytes::copy_from_slice(key.as_bytes()) })
}

const SENT: Sent<'static> = Sent { connection: 7, reply_to: None, dialect: Dialect::RabbitMq };

fn sent_by(version: Version, lines: &str, body: &str, sent: &Sent<'_>) -> Result<Arc<Message>, Failure> {
    let bytes = format!("SEND\ndestination:/topic/a.b\n{lines}\n{body}\0");
    let limits = Limits { header_bytes_max: 1 << 16, headers_max: 256, body_bytes_max: 1 << 20 };
    let frame = match decode(bytes.as_bytes(), &mut Progress::default(), version, &limits) {
        Ok(Decoded::Frame(frame, _)) => frame,
        other => panic!("{other:?}"),
    };
    message(&address("amq.topic", "a.b"), &frame, sent)
}

fn sent(lines: &str) -> Arc<Message> {
    sent_by(Version::V1_2, lines, "body", &SENT).unwrap()
}

const DELIVERED: Delivered<'static> = Delivered {
    subscription: Some("1"),
    destination: None,
    consumer_tag: "T_1",
    session: "session-x",
    tag: 12,
    redelivered: false,
    ack: false,
    version: Version::V1_2,
    dialect: Dialect::RabbitMq,
    offset: None,
    attempts: None,
};

fn written(message: &Message, delivered: &Delivered<'_>) -> String {
    let mut out = Output::default();
    write_message(&mut out, message, delivered);
    String::from_utf8(out.tail().to_vec()).unwrap()
}

/// The lines that came with the message.
fn lines_of(message: &Message, version: Version) -> String {
    let text = written(message, &Delivered { version, ..DELIVERED });
    let (_, rest) = text.split_once("redelivered:false\n").unwrap();
    let (lines, _) = rest.split_once("\n\n").unwrap();
    lines.split_inclusive('\n').filter(|line| !line.starts_with("content-length:")).collect()
}

const EVERYTHING: &str = "content-type:text/plain\ncontent-encoding:gzip\npersistent:true\npriority:5\ncorrelation-id:c1\n\
                          reply-to:/queue/r\nexpiration:60000\namqp-message-id:m\ntimestamp:1234567890\ntype:ty\n\
                          user-id:guest\napp-id:ap\nx:a\\cb\\n\\\\\nempty:\n";

#[test]
fn what_comes_by_this_protocol_leaves_by_it_header_for_header() {
    let message = sent(EVERYTHING);
    let expected = format!(
        "MESSAGE\nsubscription:1\ndestination:/topic/a.b\nmessage-id:T_1@@session-x@@12\nredelivered:false\n{EVERYTHING}\
         content-length:4\n\nbody\0\n"
    );
    assert_eq!(written(&message, &DELIVERED), expected);
    assert_eq!(
        message.essentials(),
        Essentials { durable: true, priority: 5, ttl_ms: Some(60_000), group: None, delay_ms: None }
    );
}

#[test]
fn every_version_writes_the_same_values_in_its_own_way() {
    let plain = "path:C:\\temp\n";
    let escaped = "path:C\\c\\\\temp\n";
    for (from, lines) in [(Version::V1_0, plain), (Version::V1_1, escaped), (Version::V1_2, escaped)] {
        let message = sent_by(from, lines, "", &SENT).unwrap();
        assert_eq!(message.properties().headers.as_ref().unwrap().get("path"), Some(&Value::from("C:\\temp")));
        for (to, expected) in [(Version::V1_0, plain), (Version::V1_1, escaped), (Version::V1_2, escaped)] {
            let text = written(&message, &Delivered { version: to, ..DELIVERED });
            assert!(text.ends_with(&format!("redelivered:false\n{expected}\n\0\n")), "{from:?} {to:?} {text}");
        }
    }
}

#[test]
fn the_first_of_repeated_headers_counts_and_those_of_the_frame_stay_behind() {
    let message = sent(
        "a:1\r\na:2\ncontent-length:4\ntransaction:t\nsubscription:9\nmessage-id:x\nredelivered:true\nack:x\nreceipt:r\n\
         a:3\n",
    );
    assert_eq!(lines_of(&message, Version::V1_2), "a:1\nreceipt:r\n");
    let activemq = Sent { dialect: Dialect::ActiveMq, ..SENT };
    let message = sent_by(Version::V1_2, "receipt:r\npriority:7\ntimestamp:5000\n", "", &activemq).unwrap();
    assert_eq!(lines_of(&message, Version::V1_2), "priority:7\ntimestamp:5000");
    assert_eq!(message.properties().timestamp_s, Some(5));
}

#[test]
fn a_delivery_says_what_is_only_true_of_it() {
    let message = sent("");
    let delivered = Delivered {
        subscription: None,
        consumer_tag: "Q_/queue/q",
        redelivered: true,
        ack: true,
        offset: Some(5),
        attempts: Some(2),
        ..DELIVERED
    };
    let expected = "MESSAGE\ndestination:/topic/a.b\nmessage-id:Q_/queue/q@@session-x@@12\nredelivered:true\n\
                    ack:Q_/queue/q@@session-x@@12\nx-stream-offset:5\nx-delivery-count:2\ncontent-length:4\n\nbody\0\n";
    assert_eq!(written(&message, &delivered), expected);
    assert!(!written(&message, &Delivered { version: Version::V1_1, ..delivered }).contains("\nack:"));
}

#[test]
fn a_large_body_is_shared() {
    let body = "x".repeat(SHARED_BODY_BYTES_MIN);
    let message = sent_by(Version::V1_2, "", &body, &SENT).unwrap();
    let mut out = Output::default();
    write_message(&mut out, &message, &DELIVERED);
    assert_eq!(&out.tail()[..], b"\0\n");
    let head = "MESSAGE\nsubscription:1\ndestination:/topic/a.b\nmessage-id:T_1@@session-x@@12\nredelivered:false\n";
    assert_eq!(out.len(), head.len() + format!("content-length:{}\n\n", body.len()).len() + body.len() + 2);
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (lines, message) in [
        ("priority:abc\n", "Invalid header"),
        ("priority:\n", "Invalid header"),
        ("timestamp:x\n", "Invalid header"),
        ("timestamp:-1\n", "Invalid header"),
        ("expiration:abc\n", "precondition_failed"),
    ] {
        assert_eq!(sent_by(Version::V1_2, lines, "", &SENT).unwrap_err().message, message, "{lines}");
    }
    for (text, why) in [
        ("", "invalid expiration '': no_integer"),
        ("abc", "invalid expiration 'abc': no_integer"),
        ("10x", "invalid expiration '10x': {leftover_string,\"x\"}"),
        ("-1", "invalid expiration '-1': {value_negative,-1}"),
        ("315360000001", "invalid expiration '315360000001': {value_too_large,315360000001}"),
    ] {
        let failure = sent_by(Version::V1_2, &format!("expiration:{text}\n"), "", &SENT).unwrap_err();
        assert_eq!(failure.detail, format!("PRECONDITION_FAILED - {why}"));
        assert!(failure.closes);
    }
    for (lines, priority) in [("priority: 4\n", 4), ("priority:300\n", 255), ("priority:-1\n", 0)] {
        assert_eq!(sent(lines).essentials().priority, priority);
    }
    let activemq = Sent { dialect: Dialect::ActiveMq, ..SENT };
    let priority = |lines: &str| sent_by(Version::V1_2, lines, "", &activemq).unwrap().essentials().priority;
    assert_eq!((priority(""), priority("priority:12\n")), (4, 9));
}

#[test]
fn expires_is_a_point_in_time_in_activemqs_dialect_and_a_header_in_rabbitmqs() {
    let activemq = Sent { dialect: Dialect::ActiveMq, ..SENT };
    let ttl_ms = |expires_ms: u64, sent: &Sent<'_>| {
        sent_by(Version::V1_2, &format!("expires:{expires_ms}\n"), "", sent).unwrap().essentials().ttl_ms
    };
    assert_eq!(ttl_ms(0, &activemq), None);
    assert_eq!(ttl_ms(1, &activemq), Some(0));
    let left_ms = ttl_ms(now_ms() + 60_000, &activemq).unwrap();
    assert!((50_000..=60_000).contains(&left_ms), "{left_ms}");
    assert_eq!(ttl_ms(1, &SENT), None);
}

#[test]
fn an_address_for_answers_can_be_sent_to() {
    for (lines, expected) in [
        ("reply-to:foo\n", "reply-to:/reply-queue/foo\n"),
        ("reply-to:/queue/r\n", "reply-to:/queue/r\n"),
        ("reply-to:/topic/r\n", "reply-to:/topic/r\n"),
        ("reply-to:\n", "reply-to:\n"),
    ] {
        assert_eq!(lines_of(&sent(lines), Version::V1_2), expected);
    }
    let replaced = Sent { reply_to: Some(b"/reply-queue/amq.gen-x"), ..SENT };
    let message = sent_by(Version::V1_2, "reply-to:/temp-queue/t\n", "b", &replaced).unwrap();
    assert_eq!(lines_of(&message, Version::V1_2), "reply-to:/reply-queue/amq.gen-x\n");
    assert_eq!(message.properties().reply_to.as_deref(), Some(&b"amq.gen-x"[..]));
}

#[test]
fn other_protocols_see_typed_properties() {
    let message = sent(EVERYTHING);
    let neutral = message.properties();
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let headers: Table = [("x", "a:b\n\\"), ("empty", "")].into_iter().collect();
    let expected = Neutral {
        content_type: text("text/plain"),
        content_encoding: text("gzip"),
        correlation_id: text("c1"),
        reply_to: text("/queue/r"),
        reply_topic: None,
        message_id: text("m"),
        kind: text("ty"),
        user_id: text("guest"),
        app_id: text("ap"),
        timestamp_s: Some(1_234_567_890),
        headers: Some(headers.clone()),
    };
    assert_eq!(*neutral, expected);
    for name in ["x", "empty", "none", "content-type", "priority"] {
        assert_eq!(SOURCE.header(message.head(), name), headers.get(name).cloned(), "{name}");
    }
    assert_eq!(sent("").properties().headers, None);
}

#[test]
fn what_the_broker_sets_takes_the_place_of_what_was_there_and_goes_to_subscribers_as_text() {
    let message = sent("a:1\nb\\c:2\nexpiration:5\nc:3\n");
    let deaths = Value::Array(vec![Value::Bool(true), Value::from("q:1")]);
    let set = [("b:", Value::I32(9)), ("x-death", deaths.clone())];
    let once = message.edited(address("", "dead"), &Edit { set: &set, remove: &["a"], without_ttl: true });
    assert_eq!(once.essentials().ttl_ms, None);
    assert_eq!(SOURCE.header(once.head(), "b:"), Some(Value::I32(9)));
    assert_eq!(SOURCE.header(once.head(), "x-death"), Some(deaths));
    assert_eq!(SOURCE.header(once.head(), "a"), None);
    let twice = once.edited(address("", "dead"), &Edit { set: &[("d", Value::from("e"))], ..Edit::default() });
    assert_eq!(lines_of(&twice, Version::V1_2), "c:3\nb\\c:9\nx-death:[true,\"q\\c1\"]\nd:e\n");
    assert_eq!(twice.body(), b"body");
    let back = twice.edited(address("", "dead"), &Edit { remove: &["b:", "d", "x-death"], ..Edit::default() });
    assert_eq!(lines_of(&back, Version::V1_2), "c:3\n");
}

struct Other;

impl Source for Other {
    fn id(&self) -> u8 {
        200
    }

    fn properties(&self, _head: &[u8]) -> Neutral {
        let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let headers: Table = [
            ("i", Value::I64(-5)),
            ("t", Value::Bool(true)),
            ("s", Value::from("te:xt")),
            ("arr", Value::Array(vec![Value::I8(1), Value::from("a")])),
            ("nul", Value::from("a\0b")),
            ("message-id", Value::from("evil")),
            ("subscription", Value::from("evil")),
            ("a\nb", Value::from("c")),
        ]
        .into_iter()
        .collect();
        Neutral {
            content_type: text("a/b"),
            content_encoding: text("ce"),
            correlation_id: text("ci"),
            reply_to: text("rq"),
            reply_topic: None,
            message_id: text("mi"),
            kind: text("ty"),
            user_id: text("guest"),
            app_id: text("ai"),
            timestamp_s: Some(7),
            headers: Some(headers),
        }
    }

    fn edited(&self, head: &[u8], _edit: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

#[test]
fn messages_of_other_protocols_have_the_headers_that_rabbitmq_gives_them() {
    let essentials = Essentials { durable: true, priority: 3, ttl_ms: Some(9999), group: None, delay_ms: None };
    let message = Message::new(&Other, address("", "q"), essentials, 0, assemble(b"", 0, b"").freeze());
    let lines = |reply_to: &str, timestamp: &str| {
        format!(
            "content-type:a/b\ncontent-encoding:ce\ncorrelation-id:ci\namqp-message-id:mi\ntype:ty\nuser-id:guest\n\
             app-id:ai\nreply-to:{reply_to}\ntimestamp:{timestamp}\npersistent:true\npriority:3\nexpiration:9999\ni:-5\n\
             t:true\ns:te\\cxt\narr:[1,\"a\"]\nnul:a\u{FFFD}b\na\\nb:c"
        )
    };
    assert_eq!(lines_of(&message, Version::V1_2), lines("/reply-queue/rq", "7"));
    let text = written(&message, &Delivered { dialect: Dialect::ActiveMq, ..DELIVERED });
    assert!(text.ends_with(&format!("{}\n\n\0\n", lines("/queue/rq", "7000"))), "{text}");
}

#[test]
fn a_damaged_head_is_no_reason_to_fail() {
    let message = sent(EVERYTHING);
    let edited = message.edited(address("", "a"), &Edit { set: &[("k", Value::Bool(true))], ..Edit::default() });
    for head in [message.head(), edited.head()] {
        for cut in 0..head.len() {
            SOURCE.properties(&head[..cut]);
            SOURCE.header(&head[..cut], "k");
            SOURCE.edited(&head[..cut], &Edit::default(), &mut BytesMut::new());
        }
    }
}

#[test]
fn a_text_has_no_length_for_activemqs_clients_and_bytes_have_one() {
    let activemq = Delivered { dialect: Dialect::ActiveMq, ..DELIVERED };
    let text = sent("");
    assert!(!written(&text, &activemq).contains("content-length"));
    assert!(written(&text, &DELIVERED).contains("content-length:4\n"));
    let bytes = sent("content-length:4\n");
    assert!(written(&bytes, &activemq).contains("content-length:4\n"));
}

#[test]
fn groups_and_publishers_are_known_and_schedules_are_not_passed_on() {
    let group = |lines: &str| sent(lines).essentials().group;
    assert_eq!(group("JMSXGroupID:g\n"), Some(Group::new(b"g", false)));
    assert_eq!(group("JMSXGroupID:g\nJMSXGroupSeq:-1\n"), Some(Group::new(b"g", true)));
    assert_eq!((group(""), group("JMSXGroupID:\n")), (None, None));
    let message = sent("AMQ_SCHEDULED_DELAY:5\nAMQ_SCHEDULED_CRON:* * * * *\na:b\n");
    assert_eq!(lines_of(&message, Version::V1_2), "a:b\n");
    assert_eq!(SOURCE.publisher(message.head()), Some(7));
}

#[test]
fn answers_that_go_by_a_topic_find_it_in_every_protocol() {
    let sent = sent("reply-to:/topic/ans.x\n");
    assert_eq!(sent.properties().reply_to.as_deref(), Some(&b"/topic/ans.x"[..]));
    assert_eq!(sent.properties().reply_topic.as_deref(), Some(&b"ans.x"[..]));
}
