use gantry_broker::message::assemble;

use super::*;

fn address(key: &str) -> Arc<Address> {
    Arc::new(Address { exchange: "amq.topic".into(), routing_key: Bytes::copy_from_slice(key.as_bytes()) })
}

fn encoded(list: &[Property<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for property in list {
        properties::put(property, &mut out);
    }
    out
}

const PROPERTIES: &[Property<'static>] = &[
    Property::PayloadFormat(true),
    Property::ContentType("text/plain"),
    Property::ResponseTopic("answers/here"),
    Property::CorrelationData(b"\x00\x01"),
    Property::User("a", "1"),
    Property::User("a", "2"),
    Property::User("b", "3"),
];

fn sample(application: &[u8]) -> Arc<Message> {
    let published = Published {
        version: Version::V5,
        qos: QoS::ExactlyOnce,
        retain: true,
        dup: true,
        publisher: publisher("/", "c"),
        expiry_s: Some(7),
        application,
        payload: b"body",
    };
    message(address("a.b"), &published)
}

#[test]
fn what_comes_by_this_protocol_leaves_by_it_unchanged() {
    let application = encoded(PROPERTIES);
    let message = sample(&application);
    assert_eq!((message.essentials().durable, message.essentials().ttl_ms), (true, Some(7000)));
    let outgoing = Outgoing::of(&message, Version::V5);
    assert_eq!(outgoing.application, application);
    assert!(matches!(outgoing.application, Cow::Borrowed(_)));
    assert_eq!((outgoing.qos, outgoing.retain, outgoing.retained), (QoS::ExactlyOnce, true, false));
    assert_eq!(outgoing.publisher, Some(publisher("/", "c")));
    assert!(Outgoing::of(&message, Version::V311).application.is_empty());
    let retained = as_retained(&message, Some(500));
    let outgoing = Outgoing::of(&retained, Version::V5);
    assert_eq!((outgoing.retain, outgoing.retained, retained.body()), (true, true, &b"body"[..]));
    assert_eq!((outgoing.application.as_ref(), retained.essentials().ttl_ms), (&application[..], Some(500)));
}

#[test]
fn other_protocols_see_typed_properties() {
    let message = sample(&encoded(PROPERTIES));
    let neutral = message.properties();
    assert_eq!(neutral.content_type.as_deref(), Some(&b"text/plain"[..]));
    assert_eq!(neutral.reply_to.as_deref(), Some(&b"answers.here"[..]));
    assert_eq!(neutral.correlation_id.as_deref(), Some(&b"\x00\x01"[..]));
    let headers: Table = [
        (PUBLISH_QOS, Value::I8(2)),
        (PUBLISH_DUP, Value::Bool(true)),
        (PAYLOAD_FORMAT, Value::U8(1)),
        ("a", Value::from("1")),
        ("a", Value::from("2")),
        ("b", Value::from("3")),
    ]
    .into_iter()
    .collect();
    assert_eq!(neutral.headers.as_ref(), Some(&headers));
    for name in [PUBLISH_QOS, PUBLISH_DUP, PAYLOAD_FORMAT, "a", "b", "none"] {
        assert_eq!(SOURCE.header(message.head(), name), headers.get(name).cloned(), "{name}");
    }
}

#[test]
fn what_the_broker_sets_takes_the_place_of_what_was_there_and_goes_to_subscribers_as_text() {
    let message = sample(&encoded(PROPERTIES));
    let set = [("b", Value::I32(9)), ("x-death", Value::Array(vec![Value::Bool(true), Value::from("q")]))];
    let once = message.edited(address("dead"), &Edit { set: &set, remove: &["a"], without_ttl: true });
    assert_eq!(once.essentials().ttl_ms, None);
    assert_eq!(SOURCE.header(once.head(), "b"), Some(Value::I32(9)));
    assert_eq!(SOURCE.header(once.head(), "a"), None);
    let twice = once.edited(address("dead"), &Edit { set: &[("c", Value::from("d"))], ..Edit::default() });
    let outgoing = Outgoing::of(&twice, Version::V5);
    let expected: Vec<Property<'_>> = PROPERTIES[..4]
        .iter()
        .copied()
        .chain([Property::User("b", "9"), Property::User("x-death", r#"[true,"q"]"#), Property::User("c", "d")])
        .collect();
    assert_eq!(properties::application(&outgoing.application).collect::<Vec<_>>(), expected);
    assert_eq!(twice.body(), b"body");
    let back = twice.edited(address("dead"), &Edit { remove: &["b", "c", "x-death"], ..Edit::default() });
    assert!(matches!(Outgoing::of(&back, Version::V5).application, Cow::Borrowed(_)));
}

struct Other;

impl Source for Other {
    fn id(&self) -> u8 {
        200
    }

    fn properties(&self, _head: &[u8]) -> Neutral {
        let headers: Table = [("n", Value::I64(-5)), ("nul", Value::from("a\0b"))].into_iter().collect();
        Neutral {
            content_type: Some(Bytes::from_static(b"image/png")),
            reply_to: Some(Bytes::from_static(b"a.#")),
            correlation_id: Some(Bytes::from_static(b"id")),
            message_id: Some(Bytes::from_static(b"\xff")),
            timestamp_s: Some(12),
            headers: Some(headers),
            ..Neutral::default()
        }
    }

    fn edited(&self, head: &[u8], _edit: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

#[test]
fn messages_of_other_protocols_get_properties() {
    for (durable, qos) in [(true, QoS::AtLeastOnce), (false, QoS::AtMostOnce)] {
        let essentials = Essentials { durable, priority: 4, ..Essentials::default() };
        let message = Message::new(&Other, address("a"), essentials, 0, assemble(b"", 0, b"").freeze());
        let outgoing = Outgoing::of(&message, Version::V5);
        assert_eq!((outgoing.qos, outgoing.retain, outgoing.publisher), (qos, false, None));
        let expected = [
            Property::ContentType("image/png"),
            Property::ResponseTopic("a/%23"),
            Property::CorrelationData(b"id"),
            Property::User("message-id", "\u{FFFD}"),
            Property::User("timestamp", "12"),
            Property::User("priority", "4"),
            Property::User("n", "-5"),
            Property::User("nul", "a\u{FFFD}b"),
        ];
        assert_eq!(properties::application(&outgoing.application).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_damaged_head_is_no_reason_to_fail() {
    let message = sample(&encoded(PROPERTIES));
    let edited = message.edited(address("a"), &Edit { set: &[("k", Value::Bool(true))], ..Edit::default() });
    for head in [message.head(), edited.head()] {
        for cut in 0..head.len() {
            SOURCE.properties(&head[..cut]);
            SOURCE.header(&head[..cut], "k");
            SOURCE.edited(&head[..cut], &Edit::default(), &mut BytesMut::new());
        }
    }
}
