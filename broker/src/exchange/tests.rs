use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;

use super::trie::Syntax;
use super::trie::tests::{matches_naively, words};
use super::{BindError, Matcher, Routing};
use crate::message::tests::plain;
use crate::message::{Essentials, Message, Properties};
use crate::value::{Table, Value};

fn no_headers() -> Option<&'static Table> {
    None
}

/// Destinations of a message, sorted. Fails where one is visited twice.
fn found<D: Clone + Eq + std::hash::Hash + Ord + std::fmt::Debug>(
    matcher: &Matcher<D>,
    key: &[u8],
    headers: Option<&Table>,
) -> Vec<D> {
    let mut found = Vec::new();
    let properties = headers.map(|headers| Properties { headers: Some(headers.clone()), ..Properties::default() });
    matcher.matches(key, &|| properties.as_ref(), None, &mut |destination| found.push(destination.clone()));
    found.sort();
    let distinct: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(distinct.len(), found.len(), "a destination twice: {found:?}");
    found
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries.into_iter().collect()
}

// The model: a list of bindings, and for each kind the plainest way to say whether one matches.

struct Bound {
    key: Vec<u8>,
    arguments: Table,
    destination: u8,
}

fn sorted(table: &Table) -> Vec<(Vec<u8>, Value)> {
    let mut entries: Vec<_> = table.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries
}

fn headers_match_naively(arguments: &Table, headers: Option<&Table>) -> bool {
    let mode = arguments.get("x-match").and_then(Value::as_str).unwrap_or("all");
    let (any, with_x) = (mode.starts_with("any"), mode.ends_with("-with-x"));
    let mut results = Vec::new();
    for (index, (name, wanted)) in arguments.iter().enumerate() {
        let name = name.as_bytes();
        if name == b"x-match" || (!with_x && name.starts_with(b"x-")) {
            continue;
        }
        let nth = arguments.iter().take(index).filter(|(other, _)| other.as_bytes() == name).count();
        let header = headers.into_iter().flatten().filter(|(other, _)| other.as_bytes() == name).nth(nth);
        results.push(header.is_some_and(|(_, value)| *wanted == Value::Null || equal_naively(wanted, value)));
    }
    if any { results.contains(&true) } else { !results.contains(&false) }
}

/// For the values that the property test makes.
fn equal_naively(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Timestamp(seconds) => Some(*seconds as f64),
        Value::F64(number) => Some(*number),
        value => value.as_integer().map(|number| number as f64),
    };
    let bytes = |value: &Value| match value {
        Value::Text(text) => Some(text.as_bytes().to_vec()),
        Value::Binary(bytes) => Some(bytes.to_vec()),
        _ => None,
    };
    match (number(a), number(b), bytes(a), bytes(b)) {
        (Some(a), Some(b), _, _) => a == b,
        (_, _, Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

impl Bound {
    fn matches(&self, kind: Routing, key: &[u8], headers: Option<&Table>) -> bool {
        match kind {
            Routing::Direct => self.key == key,
            Routing::Fanout => true,
            Routing::Topic => matches_naively(Syntax::DOTS, &self.key, key),
            Routing::Headers => headers_match_naively(&self.arguments, headers),
            _ => unreachable!("the others choose one of all"),
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>, Table, u8),
    Remove(Vec<u8>, Table, u8),
    /// Removes whichever binding that is, so that removals hit.
    RemoveNth(prop::sample::Index),
    RemoveDestination(u8),
    Match(Vec<u8>, Option<Table>),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..3i8).prop_map(Value::I8),
        (0..3i64).prop_map(Value::I64),
        (0..3u64).prop_map(Value::Timestamp),
        prop::sample::select(&[0.0, -0.0, 1.0, 0.5][..]).prop_map(Value::F64),
        prop::sample::select(&["", "a", "1"][..]).prop_map(Value::from),
        Just(Value::Binary(b"a".as_slice().into())),
        Just(Value::Decimal { scale: 0, value: 1 }),
    ]
}

fn a_table(with_match: bool) -> impl Strategy<Value = Table> {
    let mode = if with_match { &["", "all", "any", "any", "all-with-x", "any-with-x"][..] } else { &[""][..] };
    let name = prop::sample::select(&["a", "b", "c", "x-a", "x-b"][..]);
    (prop::sample::select(mode), prop::collection::vec((name, value()), 0..4), any::<bool>()).prop_map(
        |(mode, entries, at_end)| {
            let mode = Some(("x-match", Value::from(mode))).filter(|(_, mode)| mode.as_str() != Some(""));
            let (before, after) = if at_end { (None, mode) } else { (mode, None) };
            before.into_iter().chain(entries).chain(after).collect()
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pattern = || words(&["a", "b", "", "*", "#"], ".");
    let step = prop_oneof![
        6 => (pattern(), a_table(true), 0..5u8).prop_map(|(key, arguments, to)| Step::Insert(key, arguments, to)),
        3 => (pattern(), Just(Table::new()), 0..5u8).prop_map(|(key, arguments, to)| Step::Insert(key, arguments, to)),
        1 => (pattern(), a_table(true), 0..5u8).prop_map(|(key, arguments, to)| Step::Remove(key, arguments, to)),
        3 => any::<prop::sample::Index>().prop_map(Step::RemoveNth),
        1 => (0..5u8).prop_map(Step::RemoveDestination),
        6 => (words(&["a", "b", ""], "."), prop::option::of(a_table(false))).prop_map(|(key, headers)| Step::Match(key, headers)),
    ];
    prop::collection::vec(step, 0..60)
}

fn agrees_with_the_model(kind: Routing, steps: Vec<Step>) {
    let mut matcher: Matcher<u8> = Matcher::new(kind);
    let mut model: Vec<Bound> = Vec::new();
    for step in steps {
        match step {
            Step::Insert(key, arguments, destination) => {
                let same = |bound: &Bound| {
                    bound.key == key
                        && bound.destination == destination
                        && sorted(&bound.arguments) == sorted(&arguments)
                };
                let new = !model.iter().any(same);
                assert_eq!(matcher.insert(&key, &arguments, destination), Ok(new));
                if new {
                    model.push(Bound { key, arguments, destination });
                }
            }
            Step::Remove(key, arguments, destination) => {
                let there = model.iter().position(|bound| {
                    bound.key == key
                        && bound.destination == destination
                        && sorted(&bound.arguments) == sorted(&arguments)
                });
                assert_eq!(matcher.remove(&key, &arguments, &destination), there.is_some());
                there.map(|index| model.swap_remove(index));
            }
            Step::RemoveNth(index) => {
                if !model.is_empty() {
                    let bound = model.swap_remove(index.index(model.len()));
                    assert!(matcher.remove(&bound.key, &bound.arguments, &bound.destination));
                }
            }
            Step::RemoveDestination(destination) => {
                let before = model.len();
                model.retain(|bound| bound.destination != destination);
                assert_eq!(matcher.remove_destination(&destination), before - model.len());
                assert!(!matcher.contains(&destination));
            }
            Step::Match(key, headers) => {
                let expected: BTreeSet<u8> = model
                    .iter()
                    .filter(|bound| bound.matches(kind, &key, headers.as_ref()))
                    .map(|bound| bound.destination)
                    .collect();
                let expected: Vec<u8> = expected.into_iter().collect();
                assert_eq!(found(&matcher, &key, headers.as_ref()), expected, "{key:?} {headers:?}");
            }
        }
        assert_eq!(matcher.len(), model.len());
        assert_eq!(matcher.is_empty(), model.is_empty());
        let listed: HashSet<_> = matcher
            .bindings()
            .map(|binding| (binding.key.to_vec(), sorted(binding.arguments), *binding.destination))
            .collect();
        let expected: HashSet<_> =
            model.iter().map(|bound| (bound.key.clone(), sorted(&bound.arguments), bound.destination)).collect();
        assert_eq!(listed, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn direct_routes_as_the_model(steps in steps()) {
        agrees_with_the_model(Routing::Direct, steps);
    }

    #[test]
    fn fanout_routes_as_the_model(steps in steps()) {
        agrees_with_the_model(Routing::Fanout, steps);
    }

    #[test]
    fn topic_routes_as_the_model(steps in steps()) {
        agrees_with_the_model(Routing::Topic, steps);
    }

    #[test]
    fn headers_route_as_the_model(steps in steps()) {
        agrees_with_the_model(Routing::Headers, steps);
    }
}

#[test]
fn a_binding_is_destination_key_and_arguments() {
    let mut matcher = Matcher::new(Routing::Direct);
    let one = table([("a", Value::I32(1)), ("b", Value::I32(2))]);
    let reordered = table([("b", Value::I32(2)), ("a", Value::I32(1))]);
    let wider = table([("a", Value::I64(1)), ("b", Value::I32(2))]);
    assert_eq!(matcher.insert(b"k", &one, 1), Ok(true));
    assert_eq!(matcher.insert(b"k", &reordered, 1), Ok(false));
    assert_eq!(matcher.insert(b"k", &wider, 1), Ok(true));
    assert_eq!(matcher.insert(b"k", &Table::new(), 1), Ok(true));
    assert_eq!(found(&matcher, b"k", None), [1]);
    assert_eq!(matcher.bindings_of(&1).count(), 3);
    assert_eq!(matcher.bindings_of(&2).count(), 0);
    assert!(matcher.remove(b"k", &reordered, &1));
    assert!(!matcher.remove(b"k", &one, &1));
    assert!(matcher.remove(b"k", &wider, &1));
    assert_eq!(found(&matcher, b"k", None), [1]);
    assert!(matcher.remove(b"k", &Table::new(), &1));
    assert_eq!(found(&matcher, b"k", None), Vec::<i32>::new());
}

#[test]
fn headers_are_asked_for_only_where_they_matter() {
    for kind in [Routing::Direct, Routing::Fanout, Routing::Topic] {
        let mut matcher = Matcher::new(kind);
        matcher.insert(b"k", &Table::new(), 1).unwrap();
        matcher.matches(b"k", &|| panic!("{kind:?} decodes headers"), None, &mut |_| {});
    }
    let matcher = Matcher::<u8>::new(Routing::Headers);
    matcher.matches(b"k", &|| panic!("headers are decoded for nobody"), None, &mut |_| {});
}

#[test]
fn a_topic_with_many_queues_reaches_each_once() {
    let mut matcher = Matcher::new(Routing::Topic);
    for queue in 0..1_000 {
        for pattern in ["a.*", "a.#", "#", "*.b"] {
            matcher.insert(pattern.as_bytes(), &Table::new(), queue).unwrap();
        }
    }
    assert_eq!(found(&matcher, b"a.b", None), (0..1_000).collect::<Vec<_>>());
    for queue in 0..1_000 {
        assert_eq!(matcher.remove_destination(&queue), 4);
    }
    assert!(matcher.is_empty());
    assert_eq!(found(&matcher, b"a.b", None), Vec::<i32>::new());
}

/// Each line was asked of a RabbitMQ 3.10 node.
#[test]
fn headers_match_as_rabbitmq() {
    let mode = |mode: &'static str| ("x-match", Value::from(mode));
    let a = |value: Value| table([("a", value)]);
    let xa = || ("x-a", Value::I32(1));
    let text = Value::from;
    let array = |values: &[Value]| Value::Array(values.to_vec());
    let nested = |entries: [(&str, Value); 2]| Value::Table(table(entries));
    let decimal = |scale, value| Value::Decimal { scale, value };
    let none = Table::new;
    let asked = [
        (none(), none(), true),
        (none(), a(Value::I32(1)), true),
        (table([mode("any")]), a(Value::I32(1)), false),
        (table([mode("all")]), none(), true),
        (table([mode("any"), xa()]), table([xa()]), false),
        (table([mode("all"), xa()]), none(), true),
        (table([mode("all-with-x"), xa()]), none(), false),
        (table([mode("all-with-x"), xa()]), table([xa()]), true),
        (table([mode("any-with-x"), xa()]), table([xa()]), true),
        (table([mode("any-with-x")]), table([mode("any-with-x")]), false),
        (a(Value::Null), a(Value::I32(1)), true),
        (a(Value::Null), a(Value::Null), true),
        (a(Value::I32(1)), a(Value::Null), false),
        (a(Value::I32(1)), a(Value::I64(1 << 40)), false),
        (a(Value::I32(1)), a(Value::Bool(true)), false),
        (a(Value::I32(1)), a(text("1")), false),
        (a(decimal(1, 10)), a(decimal(1, 10)), true),
        (a(decimal(0, 1)), a(Value::I32(1)), false),
        (a(Value::I32(1_577_836_800)), a(Value::Timestamp(1_577_836_800)), true),
        (a(Value::Binary(b"x".as_slice().into())), a(text("x")), true),
        (a(array(&[Value::I32(1)])), a(array(&[Value::I32(1)])), true),
        (
            a(nested([("x", Value::I32(1)), ("y", Value::I32(2))])),
            a(nested([("y", Value::I32(2)), ("x", Value::I32(1))])),
            false,
        ),
        (a(Value::Bool(true)), a(Value::Bool(true)), true),
        (a(Value::Bool(true)), a(text("true")), false),
        (a(array(&[])), a(array(&[])), true),
        (a(array(&[])), a(text("")), false),
        (a(Value::Table(none())), a(array(&[])), true),
        (a(text("")), a(Value::Null), false),
        (
            table([("a", Value::I32(1)), ("b", Value::I32(2))]),
            table([("a", Value::I32(1)), ("b", Value::I32(2)), ("c", Value::I32(3))]),
            true,
        ),
        (
            table([mode("any"), ("a", Value::I32(1)), ("b", Value::I32(2))]),
            table([("b", Value::I32(2)), ("c", Value::I32(3))]),
            true,
        ),
        // Asked of its comparison alone, as the client at hand writes no floats.
        (a(Value::I32(1)), a(Value::F64(1.0)), true),
        (a(Value::I64((1 << 53) + 1)), a(Value::F64((1u64 << 53) as f64)), false),
        (a(Value::I64(0)), a(Value::F64(-0.0)), true),
        // Inside an array the types count.
        (a(array(&[Value::I64(1)])), a(array(&[Value::F64(1.0)])), false),
        (a(array(&[Value::I64(1)])), a(array(&[Value::I32(1)])), false),
    ];
    for (arguments, headers, expected) in asked {
        let mut matcher = Matcher::new(Routing::Headers);
        matcher.insert(b"", &arguments, 1).unwrap();
        let matched = !found(&matcher, b"", Some(&headers)).is_empty();
        assert_eq!(matched, expected, "{arguments:?} {headers:?}");
    }
    let mut matcher = Matcher::new(Routing::Headers);
    matcher.insert(b"", &Table::new(), 1).unwrap();
    assert_eq!(found(&matcher, b"", no_headers()), [1]);
}

#[test]
fn a_float_that_is_no_number_equals_nothing_and_breaks_nothing() {
    let mut matcher = Matcher::new(Routing::Headers);
    for (queue, float) in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300].into_iter().enumerate() {
        matcher.insert(b"", &table([("a", Value::F64(float))]), queue).unwrap();
    }
    assert_eq!(found(&matcher, b"", Some(&table([("a", Value::F64(f64::NAN))]))), Vec::<usize>::new());
    assert_eq!(found(&matcher, b"", Some(&table([("a", Value::F64(f64::INFINITY))]))), [1]);
    assert_eq!(found(&matcher, b"", Some(&table([("a", Value::F64(1e300))]))), [3]);
    for queue in 0..4 {
        assert_eq!(matcher.remove_destination(&queue), 1);
    }
    assert!(matcher.is_empty());
}

/// The texts are those that a RabbitMQ 3.10 node answered.
#[test]
fn a_wrong_x_match_is_refused_in_rabbitmqs_words() {
    let refused = |value: Value| {
        let mut matcher = Matcher::new(Routing::Headers);
        let error: BindError = matcher.insert(b"k", &table([("x-match", value)]), 1).unwrap_err();
        assert!(matcher.is_empty());
        error.to_string()
    };
    let value =
        |value: &str| format!("Invalid x-match field value {value}; expected all, any, all-with-x, or any-with-x");
    let kind = |kind: &str, value: &str| format!("Invalid x-match field type {kind} (value {value}); expected longstr");
    assert_eq!(refused("foo".into()), value("<<\"foo\">>"));
    assert_eq!(refused("ALL".into()), value("<<\"ALL\">>"));
    assert_eq!(refused("".into()), value("<<>>"));
    assert_eq!(refused("é\"x".into()), value("<<\"é\\\"x\">>"));
    assert_eq!(refused(Value::I32(1)), kind("signedint", "1"));
    assert_eq!(refused(Value::I32(-5)), kind("signedint", "-5"));
    assert_eq!(refused(Value::I64(1 << 40)), kind("long", "1099511627776"));
    assert_eq!(refused(Value::Bool(true)), kind("bool", "true"));
    assert_eq!(refused(Value::Null), kind("void", "undefined"));
    assert_eq!(refused(Value::Array(vec![Value::I32(1)])), kind("array", "[{signedint,1}]"));
    assert_eq!(refused(Value::Table(table([("a", Value::I32(1))]))), kind("table", "[{<<\"a\">>,signedint,1}]"));
    assert_eq!(refused(Value::Decimal { scale: 1, value: 15 }), kind("decimal", "{1,15}"));
    assert_eq!(refused(Value::Binary(b"all".as_slice().into())), kind("binary", "<<\"all\">>"));
    assert_eq!(refused(Value::Timestamp(1_577_836_800)), kind("timestamp", "1577836800"));
}

#[test]
fn only_headers_exchanges_mind_x_match() {
    for kind in [Routing::Direct, Routing::Fanout, Routing::Topic] {
        let mut matcher = Matcher::new(kind);
        assert_eq!(matcher.insert(b"k", &table([("x-match", Value::from("foo"))]), 1), Ok(true));
    }
}

fn policy(policy: &str, scope: Option<&str>) -> Table {
    let scope = scope.map(|scope| ("filter-policy-scope", Value::from(scope)));
    [("filter-policy", Value::from(policy))].into_iter().chain(scope).collect()
}

#[test]
fn bindings_with_filter_policies_ask_the_message_for_as_long_as_there_are_any() {
    let mut matcher = Matcher::new(Routing::Filtered);
    let text = || plain("t", "k", Essentials::default(), br#"{"a": 5}"#);
    let found = |matcher: &Matcher<i32>, message: Option<&Message>| {
        let mut found = Vec::new();
        matcher.matches(b"any", &|| panic!("the message has it"), message, &mut |queue| found.push(*queue));
        found.sort_unstable();
        found
    };
    assert_eq!(matcher.insert(b"k", &Table::new(), 1), Ok(true));
    assert!(!matcher.asks_message(), "a plain fanout");
    assert_eq!(found(&matcher, None), [1]);

    let by_type = policy(r#"{"content-type": ["text"]}"#, None);
    let by_body = policy(r#"{"a": [{"numeric": [">", 4]}]}"#, Some("MessageBody"));
    let by_other = policy(r#"{"content-type": ["other"]}"#, Some("MessageAttributes"));
    assert_eq!(matcher.insert(b"", &by_type, 2), Ok(true));
    assert_eq!(matcher.insert(b"", &by_body, 2), Ok(true));
    assert_eq!(matcher.insert(b"", &by_body, 3), Ok(true));
    assert_eq!(matcher.insert(b"key", &by_body, 3), Ok(true), "by its key it is another one");
    assert_eq!(matcher.insert(b"", &by_body, 3), Ok(false));
    assert_eq!(matcher.insert(b"", &by_other, 4), Ok(true));
    assert_eq!(matcher.insert(b"", &by_other, 1), Ok(true), "it has everything as it is");
    assert!(matcher.asks_message());
    assert_eq!(found(&matcher, Some(&text())), [1, 2, 3]);
    assert_eq!(found(&matcher, Some(&plain("t", "k", Essentials::default(), b"no JSON"))), [1, 2]);

    assert!(matcher.remove(b"", &by_body, &3));
    assert_eq!(found(&matcher, Some(&text())), [1, 2, 3]);
    assert!(matcher.remove(b"key", &by_body, &3));
    assert_eq!(found(&matcher, Some(&text())), [1, 2]);
    assert_eq!(matcher.remove_destination(&2), 2);
    assert_eq!(matcher.remove_destination(&4), 1);
    assert_eq!(matcher.remove_destination(&1), 2);
    assert!(matcher.is_empty() && !matcher.asks_message());
    assert_eq!(found(&matcher, Some(&text())), Vec::<i32>::new());
}

#[test]
fn what_is_no_filter_policy_is_not_bound() {
    let mut matcher = Matcher::new(Routing::Filtered);
    let refused = [
        (
            policy(r#"{"a": 1}"#, None),
            "filter-policy",
            "Invalid parameter: FilterPolicy: \"a\" must be an object or an array\n",
        ),
        (policy("", None), "filter-policy", "Invalid parameter: FilterPolicy: failed to parse JSON. "),
        (
            policy(r#"{"a": {"b": ["c"]}}"#, None),
            "filter-policy",
            "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy",
        ),
        (
            policy("{}", Some("Other")),
            "filter-policy-scope",
            "Invalid parameter: FilterPolicyScope: Invalid value [Other]. Please use either MessageBody or MessageAttributes",
        ),
        (
            table([("filter-policy", Value::I32(5))]),
            "filter-policy",
            "Invalid filter-policy field type signedint (value 5); expected longstr",
        ),
    ];
    for (arguments, name, text) in refused {
        let error = matcher.insert(b"", &arguments, 1).unwrap_err();
        assert_eq!(error.argument(), name);
        assert!(error.to_string().starts_with(text), "{error}");
    }
    assert!(matcher.is_empty());
}
