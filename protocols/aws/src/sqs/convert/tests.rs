use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::{Edit, assemble};
use gantry_broker::value::{Table, Value};
use gantry_broker::{Address, Essentials, Group, Message, Properties, Source};

use super::*;
use crate::message::md5;
use crate::sqs::message_attributes::{self, AttributeValue};
use crate::sqs::pairs::Pairs;

const ATTRIBUTES: &str = r#"{
    "text":{"DataType":"String","StringValue":"x"},
    "count":{"DataType":"Number.int","StringValue":"5"},
    "exact":{"DataType":"Number","StringValue":"-7"},
    "large":{"DataType":"Number","StringValue":"1e100"},
    "bytes":{"DataType":"Binary","BinaryValue":"AAEC"},
    "content-type":{"DataType":"String","StringValue":"text/plain"}}"#;

const PLACE: Place = Place { queue: 9, seq: 4, first_received_ms: 5 };

fn address() -> Arc<Address> {
    Arc::new(Address { exchange: "".into(), routing_key: Bytes::from_static(b"q") })
}

fn sent() -> Arc<Message> {
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(ATTRIBUTES).unwrap();
    let attributes = message_attributes::check(&pairs).unwrap();
    let sent = Sent {
        id: [7; 16],
        sent_ms: 1_790_000_000_123,
        sender: "guest",
        body: "body",
        body_sum: md5::of_body(b"body"),
        group: Some("g"),
        deduplication: Some("d"),
        trace: Some("Root=1"),
        attributes: &attributes,
        attributes_sum: md5::of_attributes(attributes.iter()),
        delay_ms: Some(5000),
    };
    message(&address(), &sent)
}

fn texts<'r>(received: &'r Received<'_>) -> Vec<(&'r str, &'r str, &'r str)> {
    let entries = received.attributes.iter().map(|(name, answer)| {
        let value = answer.string_value.as_deref().or(answer.binary_value.as_deref());
        (&**name, &*answer.data_type, value.unwrap_or_default())
    });
    entries.collect()
}

#[test]
fn what_is_sent_is_received_with_its_types() {
    let message = sent();
    let essentials = message.essentials();
    assert!(essentials.durable);
    assert_eq!((essentials.delay_ms, essentials.group), (Some(5000), Some(Group::new(b"g", false))));
    let received = received(&message, &["All"], &PLACE);
    let expected = [
        ("text", "String", "x"),
        ("count", "Number.int", "5"),
        ("exact", "Number", "-7"),
        ("large", "Number", "1e100"),
        ("bytes", "Binary", "AAEC"),
        ("content-type", "String", "text/plain"),
    ];
    assert_eq!(texts(&received), expected);
    let sum = received.attributes_sum.unwrap();
    let Received { id, body, body_sum, sent_ms, sender, group, deduplication, trace, dead_letter_source, .. } =
        received;
    assert_eq!((id, &*body.text(), body_sum, sent_ms), ([7; 16], "body", md5::of_body(b"body"), 1_790_000_000_123));
    assert_eq!((sender.as_deref(), group.as_deref()), (Some("guest"), Some("g")));
    assert_eq!((deduplication.as_deref(), trace.as_deref()), (Some("d"), Some("Root=1")));
    assert_eq!(dead_letter_source, None);
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(ATTRIBUTES).unwrap();
    assert_eq!(md5::of_attributes(message_attributes::check(&pairs).unwrap().iter()), Some(sum));
}

#[test]
fn a_receiver_gets_the_attributes_that_it_names_and_their_sum() {
    let message = sent();
    let some = received(&message, &["co.*", "exact"], &PLACE);
    let names: Vec<_> = texts(&some).iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["count", "exact", "content-type"]);
    assert_ne!(some.attributes_sum, received(&message, &["All"], &PLACE).attributes_sum);
    for wanted in [&[][..], &["none"]] {
        let none = received(&message, wanted, &PLACE);
        assert_eq!((none.attributes.len(), none.attributes_sum), (0, None));
    }
}

#[test]
fn other_protocols_see_typed_headers() {
    let message = sent();
    let properties = message.properties();
    let headers: Table = [
        ("JMSXGroupID", Value::from("g")),
        ("x-deduplication-header", Value::from("d")),
        ("AWSTraceHeader", Value::from("Root=1")),
        ("text", Value::from("x")),
        ("count", Value::I64(5)),
        ("exact", Value::I64(-7)),
        ("large", Value::from("1e100")),
        ("bytes", Value::Binary(Box::from([0, 1, 2]))),
        ("x-sqs-attribute-types", Value::from("count=Number.int,large=Number")),
    ]
    .into_iter()
    .collect();
    let expected = Properties {
        message_id: Some(Bytes::from_static(b"07070707-0707-0707-0707-070707070707")),
        timestamp_s: Some(1_790_000_000),
        content_type: Some(Bytes::from_static(b"text/plain")),
        headers: Some(headers.clone()),
        ..Properties::default()
    };
    assert_eq!(*properties, expected);
    for name in ["JMSXGroupID", "text", "count", "large", "bytes", "x-sqs-attribute-types", "none", "content-type"] {
        assert_eq!(SOURCE.header(message.head(), name), headers.get(name).cloned(), "{name}");
    }
    assert_eq!(SOURCE.id(), 5);
}

#[test]
fn what_the_broker_sets_is_seen_by_others_and_is_no_attribute() {
    let message = sent();
    let deaths = Value::Array(vec![Value::from("q")]);
    let set = [
        ("x-death", deaths.clone()),
        ("x-last-death-queue", Value::from("orders")),
        ("x-receive-count", Value::I64(3)),
        ("text", Value::Bool(true)),
    ];
    let once = message.edited(address(), &Edit { set: &set, remove: &["count"], ..Edit::default() });
    assert_eq!(SOURCE.header(once.head(), "x-death"), Some(deaths));
    assert_eq!(SOURCE.header(once.head(), "text"), Some(Value::Bool(true)));
    let all = received(&once, &["All"], &PLACE);
    assert_eq!((all.dead_letter_source.as_deref(), all.receives_before), (Some("orders"), 3));
    let names: Vec<_> = texts(&all).iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["exact", "large", "bytes", "content-type"]);
    assert_eq!((all.id, &*all.body.text(), all.group.as_deref()), ([7; 16], "body", Some("g")));
    let back = once.edited(address(), &Edit { remove: &["x-death", "x-last-death-queue", "text"], ..Edit::default() });
    assert_eq!(received(&back, &[], &PLACE).dead_letter_source, None);
}

#[test]
fn a_damaged_head_is_no_reason_to_fail() {
    let message = sent();
    let edited = message.edited(address(), &Edit { set: &[("k", Value::Bool(true))], ..Edit::default() });
    for head in [message.head(), edited.head()] {
        for cut in 0..head.len() {
            SOURCE.properties(&head[..cut]);
            SOURCE.header(&head[..cut], "k");
            SOURCE.edited(&head[..cut], &Edit::default(), &mut BytesMut::new());
            let data = Bytes::copy_from_slice(&head[..cut]);
            let message = Message::new(&SOURCE, address(), Essentials::default(), cut as u32, data);
            received(&message, &["All"], &PLACE);
        }
    }
}

struct Other(Properties);

impl Source for Other {
    fn id(&self) -> u8 {
        200
    }

    fn properties(&self, _head: &[u8]) -> Properties {
        self.0.clone()
    }

    fn edited(&self, head: &[u8], _edit: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

fn foreign(properties: Properties, body: &[u8]) -> Received<'static> {
    let source: &'static Other = Box::leak(Box::new(Other(properties)));
    let essentials = Essentials { priority: 3, ..Essentials::default() };
    let data = assemble(b"", body.len(), body).freeze();
    let message: &'static Arc<Message> = Box::leak(Box::new(Message::new(source, address(), essentials, 0, data)));
    received(message, &["All"], &PLACE)
}

#[test]
fn messages_of_other_protocols_have_attributes_for_all_that_they_say() {
    let headers: Table = [
        ("JMSXGroupID", Value::from("g")),
        ("flag", Value::Bool(true)),
        ("n", Value::I32(-5)),
        ("f", Value::F64(1.5)),
        ("b", Value::Binary(Box::from([1]))),
        ("arr", Value::Array(vec![Value::I8(1)])),
        ("nul", Value::from("a\0")),
        ("content-type", Value::from("evil")),
        ("x-last-death-queue", Value::from("orders")),
        ("x-sqs-attribute-types", Value::from("n=Number.int,flag=Binary.x")),
    ]
    .into_iter()
    .collect();
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let properties = Properties {
        content_type: text("a/b"),
        correlation_id: Some(Bytes::from_static(b"\xff")),
        reply_to: text("rq"),
        message_id: text("mine"),
        user_id: text("guest"),
        timestamp_s: Some(7),
        headers: Some(headers),
        ..Properties::default()
    };
    let received = foreign(properties.clone(), b"body");
    let expected = [
        ("content-type", "String", "a/b"),
        ("correlation-id", "Binary", "/w=="),
        ("reply-to", "String", "rq"),
        ("message-id", "String", "mine"),
        ("user-id", "String", "guest"),
        ("timestamp", "Number", "7"),
        ("priority", "Number", "3"),
        ("flag", "String", "true"),
        ("n", "Number.int", "-5"),
        ("f", "Number", "1.5"),
        ("b", "Binary", "AQ=="),
        ("arr", "String", "[1]"),
        ("nul", "Binary", "YQA="),
        ("x-last-death-queue", "String", "orders"),
    ];
    assert_eq!(texts(&received), expected);
    assert_eq!((received.group.as_deref(), received.dead_letter_source.as_deref()), (Some("g"), Some("orders")));
    assert_eq!((received.sent_ms, received.sender.as_deref(), &*received.body.text()), (7000, Some("guest"), "body"));
    assert_eq!(received.id, foreign(properties, b"body").id, "the same each time");
}

#[test]
fn a_body_that_is_no_text_is_base64_and_says_so() {
    for (body, text) in [(&b"\xff\x00"[..], "/wA="), (b"a\0b", "YQBi")] {
        let received = foreign(Properties::default(), body);
        assert_eq!((&*received.body.text(), received.body_sum), (text, md5::of_body(text.as_bytes())));
        assert!(texts(&received).contains(&("content-transfer-encoding", "String", "base64")));
    }
    let received = foreign(Properties::default(), "é".as_bytes());
    assert_eq!(&*received.body.text(), "é");
    assert!(!texts(&received).iter().any(|(name, ..)| *name == "content-transfer-encoding"));
    assert_eq!(received.sent_ms, 5);
}

#[test]
fn what_xml_has_not_is_in_no_name_and_in_nothing_that_the_system_tells() {
    let bad = || Value::from("b\u{1}");
    let headers: Table = [
        ("JMSXGroupID", bad()),
        ("x-deduplication-header", bad()),
        ("AWSTraceHeader", Value::from("\u{FFFE}")),
        ("x-last-death-queue", bad()),
        ("b\u{1}", Value::from("x")),
        ("\u{FFFF}", Value::from("x")),
        ("ok", Value::from("x")),
        ("x-sqs-attribute-types", Value::from("ok=String.\u{1}")),
    ]
    .into_iter()
    .collect();
    let user_id = Some(Bytes::from_static(b"u\x01"));
    let received = foreign(Properties { user_id, headers: Some(headers), ..Properties::default() }, b"body");
    let Received { group, deduplication, trace, dead_letter_source, sender, .. } = &received;
    assert_eq!([group, deduplication, trace, sender], [&None; 4]);
    assert_eq!(*dead_letter_source, None);
    let mut told = texts(&received);
    told.retain(|(name, ..)| !["priority", "user-id"].contains(name));
    assert_eq!(told, [("x-last-death-queue", "Binary", "YgE="), ("ok", "String", "x")]);
    let edited = sent().edited(address(), &Edit { set: &[("x-last-death-queue", bad())], ..Edit::default() });
    assert_eq!(super::received(&edited, &[], &PLACE).dead_letter_source, None);
}

#[test]
fn a_name_is_told_once_and_there_is_an_end_to_them() {
    let mut headers = Table::new();
    for _ in 0..2 {
        headers.push("x-last-death-queue", "orders");
        headers.push("content-transfer-encoding", "gzip");
    }
    let received = foreign(Properties { headers: Some(headers), ..Properties::default() }, b"\0");
    let mut told = texts(&received);
    told.retain(|(name, ..)| *name != "priority");
    assert_eq!(told, [("content-transfer-encoding", "String", "base64"), ("x-last-death-queue", "String", "orders")]);
    let mut headers = Table::new();
    for number in 0..10_000 {
        headers.push(number.to_string(), "x");
    }
    let received = foreign(Properties { headers: Some(headers), ..Properties::default() }, b"body");
    assert_eq!(received.attributes.len(), 256);
}

#[test]
fn a_body_is_not_copied_to_be_received() {
    let message = sent();
    let Body::Shared(body) = received(&message, &[], &PLACE).body else { panic!("a copy") };
    assert_eq!(body.as_ptr(), message.body().as_ptr());
    assert!(matches!(foreign(Properties::default(), b"text").body, Body::Shared(_)));
}
