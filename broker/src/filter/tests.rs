//! Cases of each operator, as AWS's documentation has them; errors, as AWS words them; and an index beside a naive evaluator.

mod cases;
mod errors;
mod naive;
mod speed;

use std::cell::Cell;
use std::sync::Arc;

use super::arrays::Elements;
use super::condition::Scalar;
use super::{Attribute, Filter, Index, Scope};
use crate::message::{Address, Edit, Essentials, Message, Properties, Source, assemble};
use crate::value::Table;

/// A message whose head says what its attributes are, one a line: `NAME TYPE VALUE`.
struct Typed;

impl Source for Typed {
    fn id(&self) -> u8 {
        254
    }

    fn properties(&self, _: &[u8]) -> Properties {
        Properties::default()
    }

    fn attributes<'h>(&self, head: &'h [u8], visit: &mut dyn FnMut(&str, Attribute<'h>)) -> bool {
        for line in str::from_utf8(head).unwrap().lines() {
            let mut words = line.splitn(3, ' ');
            let (name, data_type, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let attribute = match data_type {
                "String" => Attribute::Text(value),
                "Number" => Attribute::Number(value),
                "String.Array" => Attribute::Array(value),
                "Binary" => continue,
                other => panic!("{other} is no data type"),
            };
            visit(name, attribute);
        }
        true
    }

    fn edited(&self, head: &[u8], _: &Edit<'_>, out: &mut bytes::BytesMut) {
        out.extend_from_slice(head);
    }
}

fn message(head: &str, body: &str) -> Arc<Message> {
    let address = Address { exchange: "topic".into(), routing_key: bytes::Bytes::new() };
    let data = assemble(head.as_bytes(), body.len(), body.as_bytes()).freeze();
    Message::new(&Typed, Arc::new(address), Essentials::default(), head.len() as u32, data)
}

/// A message of another protocol, with these headers.
fn foreign(headers: Table) -> Arc<Message> {
    crate::native::message(
        &"topic".into(),
        bytes::Bytes::new(),
        Essentials::default(),
        headers,
        Some(1_790_000_000),
        b"",
    )
}

fn filter(policy: &str, scope: Scope) -> Arc<Filter> {
    Arc::new(Filter::parse(policy, scope).unwrap_or_else(|error| panic!("{policy}: {error}")))
}

/// Whether a message meets a policy, alone in an index and among others.
fn meets(policy: &str, scope: Scope, message: &Message) -> bool {
    let filter = filter(policy, scope);
    let mut alone = Index::new();
    let mut many = Index::new();
    let _ = alone.insert(Some(&filter), 0);
    let other = self::filter(r#"{"nobody": ["asks"], "for": [{"prefix": "this"}]}"#, scope);
    let mut filed = Vec::new();
    for number in 1..50 {
        filed.push((many.insert(Some(&other), number), number));
        filed.push((many.insert(Some(&filter), number), number));
    }
    let _ = many.insert(Some(&filter), 0);
    let found = |index: &Index<i32>| {
        let mut found = Vec::new();
        index.matches(Some(message), &mut |number| found.push(*number));
        found.sort_unstable();
        found
    };
    let met = found(&alone) == [0];
    assert_eq!(found(&many), if met { (0..50).collect() } else { vec![] }, "{policy}");
    for (filed, number) in filed {
        many.remove(filed, &number);
    }
    assert_eq!(found(&many), found(&alone), "{policy}");
    met
}

#[test]
fn what_is_spent_to_find_one_element_is_spent_for_the_whole_message() {
    let mut elements = Elements::default();
    let choices: Vec<Vec<_>> = (0..5).map(|_| (0..12).map(|_| elements.add(0, 7)).collect()).collect();
    let left = Cell::new(10_000_000);
    assert!(!elements.any_agree(choices.clone(), &left), "all are elements of one array");
    let spent = 10_000_000 - left.get();
    assert!(spent > 100, "{spent}");
    let left = Cell::new(spent + 10);
    assert!(!elements.any_agree(choices.clone(), &left));
    assert_eq!(left.get(), 10);
    assert!(!elements.any_agree(choices, &left));
    assert_eq!(left.get(), 0);
    let left = Cell::new(0);
    assert!(!elements.any_agree(vec![vec![1]], &left), "nothing is left to be spent");
}

#[test]
fn long_texts_and_long_lists_cost_more() {
    let cost = |policy: &str, text: &str| {
        let filter = filter(policy, Scope::MessageAttributes);
        filter.rules[0].fields[0].conditions[0].cost(&Scalar::Text(text.into()))
    };
    let long = "y".repeat(256 * 1024);
    assert_eq!(cost(r#"{"a": ["x"]}"#, &long), 1);
    assert_eq!(cost(r#"{"a": [{"wildcard": "*x*"}]}"#, "short"), 1);
    assert!(cost(r#"{"a": [{"wildcard": "*x*"}]}"#, &long) > 4096);
    assert!(cost(r#"{"a": [{"anything-but": {"wildcard": ["*x*", "*z*"]}}]}"#, &long) > 2 * 4096);
    assert_eq!(cost(r#"{"a": [{"anything-but": ["p", "q", "r"]}]}"#, "short"), 4);
    assert_eq!(cost(r#"{"a": [{"equals-ignore-case": "x"}]}"#, &long), 1, "it cannot be that");
    let policy = format!(r#"{{"a": [{{"equals-ignore-case": "{long}"}}]}}"#).replacen("y", "", 100);
    assert!(cost(&policy, &long) > 4000);
}

#[test]
fn letters_have_lower_case_in_every_alphabet() {
    for (policy, text) in [
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδος"),
        ("k", "\u{212a}"),
        ("\u{212a}", "K"),
        ("ⱥ", "Ⱥ"),
        ("Äa", "äA"),
        ("aB", "Ab"),
    ] {
        // One condition beside it has it looked at one by one.
        let policy = format!(r#"{{"a": [{{"equals-ignore-case": "{policy}"}}], "b": ["x"]}}"#);
        let message = message(&format!("a String {text}\nb String x\n"), "");
        assert_eq!(meets(&policy, Scope::MessageAttributes, &message), text != "STRASSE", "{policy} {text}");
    }
}

#[test]
fn what_every_way_has_in_common_is_kept_once() {
    let long = "v".repeat(1000);
    let ways: Vec<_> = (0..30).map(|way| format!(r#"{{"way": ["{way}"]}}"#)).collect();
    let policy = format!(r#"{{"a": ["{long}"], "$or": [{}]}}"#, ways.join(", "));
    let filter = filter(&policy, Scope::MessageAttributes);
    assert_eq!(filter.rules.len(), 30);
    let first = &filter.rules[0].fields[0];
    for rule in &filter.rules {
        let field = &rule.fields[0];
        assert!(Arc::ptr_eq(&field.conditions, &first.conditions) && Arc::ptr_eq(&field.name, &first.name));
    }
}
