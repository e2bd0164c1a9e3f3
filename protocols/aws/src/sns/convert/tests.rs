use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::{Edit, assemble};
use gantry_broker::value::Value;
use gantry_broker::{Address, Essentials, Group, Message, Source};

use super::*;
use crate::message::{AttributeValue, Checked};
use crate::sns::message_attributes;
use crate::sqs::pairs::Pairs;

const TOPIC: &str = "arn:aws:sns:eu-west-1:111122223333:orders.fifo";
const AT: At<'_> = At { topic: "arn:aws:sns:r:a:other", queue: 1, seq: 2, first_received_ms: 3 };

const ATTRIBUTES: &str = r#"{
    "type":{"DataType":"String","StringValue":"order"},
    "tags":{"DataType":"String.Array","StringValue":"[\"a\",1]"},
    "n":{"DataType":"Number","StringValue":"5"},
    "content-type":{"DataType":"String","StringValue":"text/plain"}}"#;

fn whole() -> Arc<Message> {
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(ATTRIBUTES).unwrap();
    let attributes = message_attributes::check(&pairs, None).unwrap();
    let variants =
        [Variant { protocol: "sqs", text: "to sqs".into() }, Variant { protocol: "APNS", text: "{}".into() }];
    let published = Published {
        id: [0x22; 16],
        published_ms: 1_790_000_000_123,
        topic: TOPIC,
        subject: Some("s"),
        body: "to all",
        variants: &variants,
        group: Some("g"),
        deduplication: Some("d"),
        trace: Some("Root=1"),
        sequence: Some(7),
        attributes: &attributes,
    };
    message(&Arc::new(Address { exchange: "orders.fifo".into(), routing_key: Bytes::new() }), &published)
}

fn bare() -> Arc<Message> {
    let published = Published {
        id: [1; 16],
        published_ms: 5,
        topic: TOPIC,
        subject: None,
        body: "x",
        variants: &[],
        group: None,
        deduplication: None,
        trace: None,
        sequence: None,
        attributes: &Checked::default(),
    };
    message(&Arc::new(Address { exchange: "orders.fifo".into(), routing_key: Bytes::new() }), &published)
}

#[test]
fn what_is_published_is_said_again() {
    let message = whole();
    let essentials = message.essentials();
    assert_eq!((essentials.durable, essentials.group), (true, Some(Group::new(b"g", false))));
    assert_eq!(message.body(), b"to all");
    let notice = Notice::of(&message, &["sqs"], &AT);
    assert_eq!((&*notice.id, &*notice.topic), ("22222222-2222-2222-2222-222222222222", TOPIC));
    assert_eq!((notice.subject.as_deref(), &*notice.message), (Some("s"), "to sqs"));
    assert_eq!((notice.published_ms, notice.sequence), (1_790_000_000_123, Some(7)));
    assert_eq!((notice.group.as_deref(), notice.deduplication.as_deref()), (Some("g"), Some("d")));
    assert_eq!((notice.trace.as_deref(), notice.is_replayed), (Some("Root=1"), false));
    let types: Vec<_> = notice.attributes().map(|attribute| (attribute.name, attribute.data_type)).collect();
    let expected = [("type", "String"), ("tags", "String.Array"), ("n", "Number"), ("content-type", "String")];
    assert_eq!(types, expected);
    assert_eq!(Notice::of(&message, &["APNS_SANDBOX", "APNS"], &AT).message, "{}");
    assert_eq!(Notice::of(&message, &["http"], &AT).message, "to all");
    let bare = bare();
    let notice = Notice::of(&bare, &["sqs"], &AT);
    assert_eq!((&*notice.message, notice.subject.as_deref(), notice.sequence), ("x", None, None));
    assert_eq!((notice.group.as_deref(), notice.attributes().count()), (None, 0));
}

#[test]
fn other_protocols_see_a_subject_and_typed_headers() {
    let message = whole();
    let properties = message.properties();
    assert_eq!(properties.kind.as_deref(), Some(&b"s"[..]));
    assert_eq!(properties.message_id.as_deref(), Some(&b"22222222-2222-2222-2222-222222222222"[..]));
    assert_eq!(
        (properties.timestamp_s, properties.content_type.as_deref()),
        (Some(1_790_000_000), Some(&b"text/plain"[..]))
    );
    let headers = properties.headers.as_ref().unwrap();
    let expected = [
        ("JMSXGroupID", Value::from("g")),
        ("x-deduplication-header", Value::from("d")),
        ("AWSTraceHeader", Value::from("Root=1")),
        ("type", Value::from("order")),
        ("tags", Value::from("[\"a\",1]")),
        ("n", Value::I64(5)),
        ("x-sqs-attribute-types", Value::from("tags=String.Array")),
    ];
    assert_eq!(headers.iter().len(), expected.len());
    for (name, value) in expected {
        assert_eq!(headers.get(name), Some(&value), "{name}");
        assert_eq!(SOURCE.header(message.head(), name), Some(value), "{name}");
    }
    assert_eq!(SOURCE.header(message.head(), "content-type"), None);
}

#[test]
fn what_the_broker_sets_leaves_the_rest_as_it_is() {
    let message = whole();
    let set = [
        ("x-first-death-queue", Value::from("q")),
        ("x-last-death-queue", Value::from("q")),
        (REPLAYED, Value::Bool(true)),
    ];
    let edit = Edit { set: &set, remove: &["n"], ..Edit::default() };
    let mut head = BytesMut::new();
    SOURCE.edited(message.head(), &edit, &mut head);
    let data = assemble(&head, message.body().len(), message.body());
    let address = Arc::new(Address { exchange: "".into(), routing_key: Bytes::from_static(b"dead") });
    let edited = Message::new(&SOURCE, address, Essentials::default(), head.len() as u32, data.freeze());
    let notice = Notice::of(&edited, &["sqs"], &AT);
    assert_eq!((&*notice.message, notice.is_replayed, notice.sequence), ("to sqs", true, Some(7)));
    assert_eq!(notice.dead_letter_source.as_deref(), Some("q"));
    assert_eq!(notice.attributes().filter(|attribute| attribute.name == "n").count(), 0);
    let (topic, queue) = topic_of(&edited).unwrap();
    assert_eq!((&*topic, queue.as_deref()), ("orders.fifo", Some("q")));
    let (topic, queue) = topic_of(&message).unwrap();
    assert_eq!((&*topic, queue), ("orders.fifo", None));
}

#[test]
fn a_head_that_is_damaged_is_none() {
    let message = whole();
    for end in 0..message.head().len() {
        // Attributes are the rest: those that are cut off are not there.
        let properties = SOURCE.properties(&message.head()[..end]);
        assert!(properties.headers.is_none_or(|headers| headers.iter().len() <= 7));
    }
    assert_eq!(SOURCE.properties(b"\x09\x00").message_id, None);
}
