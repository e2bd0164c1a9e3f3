//! What must hold for any bytes: nothing panics, an error is short, a policy that was read is JSON, whether a message meets a policy does
//! not depend on the others that there are, and what is no JSON object meets none.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};
use gantry_broker::filter::{Attribute, Filter, Index, Scope};
use gantry_broker::message::{Address, Edit};
use gantry_broker::{Essentials, Message, Properties, Source};

/// A source whose head is one attribute of each kind, all with the same text.
struct Plain;

impl Source for Plain {
    fn id(&self) -> u8 {
        255
    }

    fn properties(&self, _: &[u8]) -> Properties {
        Properties::default()
    }

    fn attributes<'h>(&self, head: &'h [u8], visit: &mut dyn FnMut(&str, Attribute<'h>)) -> bool {
        if let Ok(text) = std::str::from_utf8(head) {
            visit("a", Attribute::Text(text));
            visit("b", Attribute::Number(text));
            visit("c", Attribute::Array(text));
        }
        true
    }

    fn edited(&self, head: &[u8], _: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

fn message(head: &[u8], body: &[u8]) -> Arc<Message> {
    let address = Arc::new(Address { exchange: Arc::from("t"), routing_key: Bytes::new() });
    let data = Bytes::from([head, body].concat());
    Message::new(&Plain, address, Essentials::default(), head.len() as u32, data)
}

fn found(index: &Index<usize>, message: &Message) -> Vec<usize> {
    let mut found = Vec::new();
    index.matches(Some(message), &mut |number| found.push(*number));
    found.sort_unstable();
    let mut once = found.clone();
    once.dedup();
    assert_eq!(found, once, "one is visited twice");
    found
}

/// Policies of all kinds, of one scope.
fn all_kinds(scope: Scope) -> Vec<Arc<Filter>> {
    [
        r#"{"a": ["x", 1, null, true]}"#,
        r#"{"a": [{"prefix": "x"}], "b": [{"numeric": [">", 0, "<=", 5]}]}"#,
        r#"{"a": [{"suffix": "x"}, {"equals-ignore-case": "Y"}]}"#,
        r#"{"a": [{"anything-but": ["x", "y"]}], "c": [{"exists": false}]}"#,
        r#"{"b": [{"anything-but": {"prefix": "x"}}, {"wildcard": "x*y*"}]}"#,
        r#"{"c": [{"cidr": "10.0.0.0/8"}, {"cidr": "2001:db8::/32"}, {"exists": true}]}"#,
        r#"{"b": [{"numeric": ["<", -1]}], "$or": [{"a": ["x"]}, {"c": ["x"]}]}"#,
        r#"{"b": [{"numeric": [">=", 1e-300, "<", 2e-300]}, {"numeric": ["=", 0]}]}"#,
        r#"{}"#,
    ]
    .into_iter()
    .chain((scope == Scope::MessageBody).then_some(r#"{"a": {"a": ["x"], "b": [1]}, "a.c": [{"exists": true}]}"#))
    .map(|policy| Arc::new(Filter::parse(policy, scope).expect("a policy")))
    .collect()
}

static KNOWN: LazyLock<[Vec<Arc<Filter>>; 2]> =
    LazyLock::new(|| [Scope::MessageAttributes, Scope::MessageBody].map(all_kinds));

/// A message meets each policy alone as it does among all others.
fn check(filters: &[&Arc<Filter>], message: &Message) {
    let mut all = Index::new();
    let filed: Vec<_> = filters.iter().enumerate().map(|(at, filter)| all.insert(Some(filter), at)).collect();
    let mut alone = Vec::new();
    for (at, filter) in filters.iter().enumerate() {
        let mut index = Index::new();
        let _ = index.insert(Some(filter), at);
        alone.extend(found(&index, message));
    }
    assert_eq!(found(&all, message), alone);
    for (at, filed) in filed.into_iter().enumerate() {
        all.remove(filed, &at);
    }
    assert!(all.is_plain());
    assert!(found(&all, message).is_empty());
}

/// Another parser says, too, that it is a JSON object.
fn check_json(text: &str) {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(document) => assert!(document.is_object()),
        Err(error) => {
            // What that one takes less of: levels, numbers larger than any float, halves of characters.
            let error = error.to_string();
            let is_less = ["recursion limit", "number out of range", "surrogate", "unexpected end of hex escape"];
            assert!(is_less.iter().any(|less| error.contains(less)), "{error}: {text}");
        }
    }
}

/// The bytes up to the first 0 are a policy, the others head and body of a message.
pub fn check_filter(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let Some(Ok(policy)) = parts.next().map(std::str::from_utf8) else { return };
    let rest = parts.next().unwrap_or_default();
    let message = message(rest, rest);
    for (at, scope) in [Scope::MessageAttributes, Scope::MessageBody].into_iter().enumerate() {
        match Filter::parse(policy, scope) {
            Ok(filter) => {
                check_json(policy);
                let filter = Arc::new(filter);
                let filters: Vec<_> = KNOWN[at].iter().chain([&filter]).collect();
                check(&filters, &message);
            }
            Err(error) => assert!(error.to_string().len() < 8192),
        }
    }
}

/// The bytes are a body, and the text of attributes.
pub fn check_body(bytes: &[u8]) {
    let message = message(bytes, bytes);
    for filters in &*KNOWN {
        check(&filters.iter().collect::<Vec<_>>(), &message);
    }
    let mut bodies = Index::new();
    for (at, filter) in KNOWN[1].iter().enumerate() {
        if !filter.is_everything() {
            let _ = bodies.insert(Some(filter), at);
        }
    }
    let met = found(&bodies, &message);
    if !met.is_empty() {
        check_json(std::str::from_utf8(bytes).expect("what meets a policy is text"));
    }
}
