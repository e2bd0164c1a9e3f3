use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::expression::{Comparison, Expression, Operator};
use super::like::Pattern;
use super::*;
use crate::message::{Address, Edit, Essentials, Properties, Source};
use crate::value::{Table, Text, Value};

fn with(headers: &[(&str, Value)]) -> Arc<Message> {
    let headers: Table = headers.iter().map(|(name, value)| (*name, value.clone())).collect();
    let essentials = Essentials { durable: true, priority: 4, ..Essentials::default() };
    crate::native::message(&Arc::from(""), Bytes::new(), essentials, headers, Some(1_700_000_000), b"")
}

/// What every test message has.
fn sample() -> Arc<Message> {
    with(&[
        ("n", Value::I32(5)),
        ("big", Value::I64(i64::MAX)),
        ("unsigned", Value::U64(u64::MAX)),
        ("half", Value::F32(0.5)),
        ("price", Value::Decimal { scale: 2, value: 1234 }),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("color", "red".into()),
        ("number", "17".into()),
        ("decimal", "1.5".into()),
        ("truth", "TRUE".into()),
        ("nothing", Value::Null),
        ("bytes", Value::Binary(Box::from(&b"x"[..]))),
        ("odd name", "here".into()),
        ("x-key", "dashed".into()),
        ("a.b", Value::U8(1)),
        ("not utf8", Value::Text(Text::from(&b"\xff"[..]))),
    ])
}

fn says(selector: &str) -> bool {
    Selector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}")).matches(&sample())
}

/// True, false or unknown.
fn said(selector: &str) -> Option<bool> {
    match (says(selector), says(&format!("NOT ({selector})"))) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        (true, true) => panic!("{selector} and its opposite"),
    }
}

#[test]
fn conditions_are_true_false_or_unknown() {
    let cases = [
        ("n = 5 AND color = 'red'", Some(true)),
        ("n <> 5", Some(false)),
        ("n != 4", Some(true)),
        ("n > 4 and n >= 5 And n < 6 aNd n <= 5", Some(true)),
        ("n + 1 = 6 AND n - 1 = 4 AND n * 2 = 10 AND n / 2 = 2", Some(true)),
        ("1 + 2 * 3 = 7 AND (1 + 2) * 3 = 9 AND 10 - 3 - 2 = 5 AND 16 / 4 / 2 = 2", Some(true)),
        ("-n = -5 AND +n = 5 AND - -n = 5 AND n = - -5", Some(true)),
        ("n / 2.0 = 2.5", Some(true)),
        ("n / 0 = 1", None),
        ("n / 0.0 > 1", Some(true)),
        ("half = .5 AND half < 1 AND half = 5e-1 AND half = 0.5f", Some(true)),
        ("price = 12.34", Some(true)),
        ("big = 9223372036854775807 AND big = 9223372036854775807L", Some(true)),
        ("big + 1 = -9223372036854775808", Some(true)),
        ("unsigned = 18446744073709551615.0 AND unsigned > 1", Some(true)),
        ("n = 0x5 AND n = 05 AND 0x1F = 31 AND 017 = 15", Some(true)),
        ("yes", Some(true)),
        ("yes AND NOT no", Some(true)),
        ("yes = TRUE AND no = false AND yes <> no", Some(true)),
        ("color", Some(false)),
        ("nothing", None),
        ("missing", None),
        ("bytes", None),
        ("missing = 1", None),
        ("missing <> 1", None),
        ("missing IS NULL AND nothing IS NULL AND bytes IS NULL", Some(true)),
        ("n IS NOT NULL", Some(true)),
        ("missing IS NOT NULL", Some(false)),
        // Of different types.
        ("number = 17", Some(false)),
        ("number <> 17", Some(true)),
        ("color > 3", Some(false)),
        ("yes = 'true'", Some(false)),
        ("color + 1 = 2", None),
        ("color > number", Some(false)),
        ("color IN ('blue', 'red')", Some(true)),
        ("color NOT IN ('blue', 'red')", Some(false)),
        ("color NOT IN ('blue')", Some(true)),
        ("missing IN ('blue')", None),
        ("missing NOT IN ('blue')", None),
        ("n BETWEEN 5 AND 6", Some(true)),
        ("n BETWEEN 1 + 3 AND 4", Some(false)),
        ("n NOT BETWEEN 6 AND 7", Some(true)),
        ("n BETWEEN missing AND 6", None),
        ("n BETWEEN missing AND 4", Some(false)),
        ("n NOT BETWEEN missing AND 4", Some(true)),
        ("missing BETWEEN 1 AND 2", None),
        ("color LIKE 'r%'", Some(true)),
        ("color LIKE 'r_d'", Some(true)),
        ("color NOT LIKE 'r__d'", Some(true)),
        ("n LIKE '5'", Some(false)),
        ("n NOT LIKE '5'", Some(true)),
        ("n IN ('5')", None),
        ("n NOT IN ('5')", None),
        ("missing LIKE '%'", None),
        ("missing NOT LIKE '%'", None),
        ("\"odd name\" = 'here' AND \"x-key\" = 'dashed' AND a.b = 1", Some(true)),
        ("\"not utf8\" IS NULL", Some(true)),
        ("'it''s' = 'it''s'", Some(true)),
        ("JMSPriority = 4", Some(true)),
        ("JMSDeliveryMode = 'PERSISTENT'", Some(true)),
        ("JMSTimestamp = 1700000000000", Some(true)),
        ("JMSType IS NULL AND JMSMessageID IS NULL", Some(true)),
        ("N = 5", None),
        ("(n = 5) = TRUE", Some(true)),
        ("TRUE", Some(true)),
    ];
    for (selector, expected) in cases {
        assert_eq!(said(selector), expected, "{selector}");
    }
}

#[test]
fn logic_has_three_values() {
    let values = [("yes", Some(true)), ("no", Some(false)), ("missing", None)];
    for (left, left_is) in values {
        assert_eq!(said(&format!("NOT {left}")), left_is.map(|value| !value));
        for (right, right_is) in values {
            let and = match (left_is, right_is) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (left_is, right_is) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            assert_eq!(said(&format!("{left} AND {right}")), and, "{left} AND {right}");
            assert_eq!(said(&format!("{left} OR {right}")), or, "{left} OR {right}");
        }
    }
}

#[test]
fn text_is_converted_where_the_selector_asks_for_it() {
    let convert = |selector: &str| said_with("convert_string_expressions:", selector);
    assert_eq!(convert("number = 17"), Some(true));
    assert_eq!(convert("17 < number"), Some(false));
    assert_eq!(convert("number BETWEEN 16 AND 18"), Some(true));
    assert_eq!(convert("number + 1 = 18"), Some(true));
    assert_eq!(convert("decimal > 1 AND decimal = 1.5"), Some(true));
    assert_eq!(convert("color = 17"), Some(false));
    assert_eq!(convert("color <> 17"), Some(true));
    assert_eq!(convert("color + 1 = 17"), None);
    assert_eq!(convert("truth AND truth = TRUE AND color = FALSE"), Some(true));
    assert_eq!(convert("number = '17'"), Some(true));
    assert_eq!(said_with("no_convert_string_expressions:", "number = 17"), Some(false));
    let parsed = Selector::parse("convert_string_expressions:a=1").unwrap();
    assert_eq!(parsed.to_string(), "convert_string_expressions:a = 1");
    assert_eq!(Selector::parse(&parsed.to_string()).unwrap(), parsed);
}

fn said_with(prefix: &str, selector: &str) -> Option<bool> {
    match (says(&format!("{prefix}{selector}")), says(&format!("{prefix}NOT ({selector})"))) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        (true, true) => panic!("{selector} and its opposite"),
    }
}

/// A source that has the typed properties.
struct Typed;

impl Source for Typed {
    fn id(&self) -> u8 {
        251
    }

    fn properties(&self, _head: &[u8]) -> Properties {
        let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        Properties {
            correlation_id: text("c"),
            reply_to: text("r"),
            message_id: text("m"),
            kind: text("t"),
            user_id: text("u"),
            app_id: text("a"),
            ..Properties::default()
        }
    }

    fn edited(&self, head: &[u8], _edit: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

#[test]
fn the_names_of_jakarta_messaging_are_the_properties_of_the_message() {
    let address = Arc::new(Address { exchange: Arc::from(""), routing_key: Bytes::new() });
    let message = Message::new(&Typed, address, Essentials::default(), 0, Bytes::new());
    for (name, value) in [
        ("JMSCorrelationID", "c"),
        ("JMSReplyTo", "r"),
        ("JMSMessageID", "m"),
        ("JMSType", "t"),
        ("JMSXUserID", "u"),
        ("JMSXAppID", "a"),
        ("JMSDeliveryMode", "NON_PERSISTENT"),
    ] {
        assert!(Selector::parse(&format!("{name} = '{value}'")).unwrap().matches(&message), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        ("", 0),
        ("   ", 3),
        ("a = ", 4),
        ("a = 1 AND", 9),
        ("a = 1 b", 6),
        ("a = 'x", 4),
        ("\"a", 0),
        ("\"\" = 1", 0),
        ("a = #", 4),
        ("a == 1", 3),
        ("(a = 1", 6),
        ("a = 1)", 5),
        ("a IN ()", 6),
        ("a IN (1)", 6),
        ("a IN ('x',)", 10),
        ("a IN 'x'", 5),
        ("a BETWEEN 1 OR 2", 12),
        ("a LIKE 5", 7),
        ("a LIKE 'x' ESCAPE 'yy'", 18),
        ("a LIKE 'x' ESCAPE ''", 18),
        ("a LIKE 'x!' ESCAPE '!'", 7),
        ("a NOT = 1", 7),
        ("a IS 1", 5),
        ("1", 0),
        ("'x'", 0),
        ("a + 1", 0),
        ("a AND 1", 6),
        ("NOT 5", 4),
        ("a > 'x'", 4),
        ("TRUE < a", 7),
        ("'x' + 1 = 2", 0),
        ("1 + TRUE = 2", 4),
        ("a = 9223372036854775808", 4),
        ("a = 99999999999999999999", 4),
        ("a = 1e999", 4),
        ("a = 1e", 4),
        ("a = 0x", 4),
        ("a = 09", 4),
        ("a = 5abc", 4),
        ("a = b = c", 6),
        ("AND", 0),
    ];
    for (text, at) in cases {
        let error = Selector::parse(text).expect_err(text);
        // Words have moved on where the parser looks one ahead.
        assert!(error.at.abs_diff(at) <= 2 && error.at <= text.len(), "{text}: {error}, not at {at}");
    }
    assert!(Selector::parse("a = -9223372036854775808").is_ok());
}

#[test]
fn length_and_depth_are_bounded_and_long_chains_are_not_deep() {
    let deep = |levels: usize| format!("{}a = 1{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Selector::parse(&deep(DEPTH_MAX)).is_ok());
    assert_eq!(Selector::parse(&deep(DEPTH_MAX + 1)).unwrap_err().at, DEPTH_MAX + 1);
    assert!(Selector::parse(&format!("{} a", "NOT ".repeat(DEPTH_MAX + 1))).is_err());
    assert!(Selector::parse(&format!("{}a = 1", "- ".repeat(DEPTH_MAX + 1))).is_err());
    assert!(Selector::parse(&"(".repeat(TEXT_BYTES_MAX)).is_err());
    let long = format!("a = 1{}", " OR n=5".repeat(2000));
    assert!(says(&long));
    let sum = format!("0{} = 7000", "+1".repeat(7000));
    assert!(says(&sum));
    assert_eq!(Selector::parse(&" ".repeat(TEXT_BYTES_MAX + 1)).unwrap_err().at, TEXT_BYTES_MAX);
}

#[test]
fn patterns() {
    let cases = [
        ("", None, "", true),
        ("", None, "a", false),
        ("%", None, "", true),
        ("%%", None, "abc", true),
        ("_", None, "", false),
        ("_", None, "\u{fc}", true),
        ("a%", None, "a", true),
        ("%a", None, "ba", true),
        ("%a", None, "ab", false),
        ("a%b%c", None, "a-b-b-c", true),
        ("a%b%c", None, "acb", false),
        ("ab%ba", None, "aba", false),
        ("%_b%", None, "b", false),
        ("%_b%", None, "ab", true),
        ("%_", None, "", false),
        ("_%_", None, "a", false),
        ("_%_", None, "ab", true),
        ("a.c", None, "abc", false),
        ("A", None, "a", false),
        ("a%", None, "a\nb", true),
        ("\\_%", Some('\\'), "_x", true),
        ("\\_%", Some('\\'), "ax", false),
        ("100!%", Some('!'), "100%", true),
        ("100!%", Some('!'), "1000", false),
        ("!!", Some('!'), "!", true),
        ("%aab", None, "aaab", true),
    ];
    for (pattern, escape, text, expected) in cases {
        assert_eq!(Pattern::new(pattern, escape).unwrap().matches(text), expected, "{pattern} {text}");
    }
    assert!(Pattern::new("a!", Some('!')).is_err());
}

#[test]
fn a_pattern_does_not_go_back() {
    let text = "a".repeat(1 << 20);
    let pattern = Pattern::new(&"%a".repeat(4000), None).unwrap();
    let ends_otherwise = Pattern::new(&format!("{}%b", "%aaaaaaaaaaaaaaaaaaaa".repeat(500)), None).unwrap();
    let start = Instant::now();
    assert!(pattern.matches(&text));
    assert!(!ends_otherwise.matches(&text));
    // With going back, this would outlast the universe.
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_run_with_any_characters_in_it_is_bounded() {
    let pattern = |len: usize| format!("%{}%", "_a".repeat(len / 2));
    assert!(Pattern::new(&pattern(64), None).unwrap().matches(&"ba".repeat(32)));
    assert!(!Pattern::new(&pattern(64), None).unwrap().matches(&"ba".repeat(31)));
    assert!(Pattern::new(&pattern(66), None).is_err());
    // What stands in front or at the end is not looked for.
    assert!(Pattern::new(&"_a".repeat(4000), None).unwrap().matches(&"ba".repeat(4000)));
    assert!(Selector::parse(&format!("a LIKE '{}'", pattern(66))).is_err());
}

#[test]
fn a_look_leaves_nothing_in_the_message() {
    let message = sample();
    assert!(Selector::parse("color = 'red' AND JMSType IS NULL").unwrap().matches(&message));
    assert!(message.known_properties().is_none());
    // Where they are known, they are not decoded again.
    assert!(message.properties().headers.is_some() && message.known_properties().is_some());
    assert!(Selector::parse("color = 'red'").unwrap().matches(&message));
}

#[test]
fn what_is_spent_on_a_message_is_bounded_and_told() {
    let long = with(&[("long", Value::from("a".repeat(64 << 10).as_str())), ("n", Value::I32(5))]);
    let look = |selector: &str| Selector::parse(selector).unwrap().look(&long);
    assert!(sample().head().len() < 1000 && Selector::parse("color = 'red'").unwrap().look(&sample()).cost < 1024);
    let once = look("long LIKE '%b%'");
    assert!((64 << 10..256 << 10).contains(&once.cost), "{}", once.cost);
    assert!(look("long LIKE '%_b%'").cost > once.cost);
    // A part more costs as much again, up to what may be spent.
    let many = vec!["long LIKE '%b%'"; 700].join(" OR ");
    assert_eq!(look(&many), Look { matches: false, cost: COST_MAX });
    // What is given up is not met, however it is put, unless it was decided before.
    assert!(!look(&format!("({many}) IS NULL")).matches);
    assert!(!look(&format!("NOT ({many})")).matches);
    assert!(look(&format!("n = 5 OR {many}")).matches);
    let headers: Vec<(String, Value)> = (0..20_000).map(|n| (n.to_string(), Value::Bool(true))).collect();
    let headers: Vec<(&str, Value)> = headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let names = vec!["x"; 3000].join(" OR ");
    assert_eq!(Selector::parse(&names).unwrap().look(&with(&headers)).cost, COST_MAX);
}

/// The plain definition, by all ways to split a text.
fn likes(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skipped| likes(rest, &text[skipped..])),
        Some(('_', rest)) => text.split_first().is_some_and(|(_, text)| likes(rest, text)),
        Some((character, rest)) => {
            text.split_first().is_some_and(|(first, text)| first == character && likes(rest, text))
        }
    }
}

fn expression() -> impl Strategy<Value = Expression> {
    let name = prop_oneof![
        "[a-z_$][a-z0-9_.]{0,5}",
        "[ a-zA-Z0-9\"'-]{1,6}",
        Just("and".to_owned()),
        Just("JMSPriority".to_owned()),
    ];
    let name = name.prop_map(|name| Expression::Name(name.into()));
    let float = any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Expression::Float);
    let number = prop_oneof![
        name.clone(),
        any::<i64>().prop_map(Expression::Integer),
        (-9..9_i64).prop_map(Expression::Integer),
        float,
    ];
    let operator =
        prop_oneof![Just((Operator::Plus, Operator::Minus)), Just((Operator::Times, Operator::Over))].boxed();
    let number = number.prop_recursive(3, 12, 3, move |inner| {
        let rest = prop::collection::vec((any::<bool>(), inner.clone()), 1..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Expression::Negated(Box::new(inner))),
            (inner, operator.clone(), rest).prop_map(|(first, (one, other), rest)| {
                let rest = rest.into_iter().map(|(is_one, part)| (if is_one { one } else { other }, part)).collect();
                Expression::Arithmetic(Box::new(first), rest)
            }),
        ]
    });
    let text = ".{0,6}".prop_map(|text| Expression::Text(text.into()));
    let value = prop_oneof![3 => number.clone(), 1 => text];
    let comparison = prop_oneof![
        Just(Comparison::Less),
        Just(Comparison::LessOrEqual),
        Just(Comparison::Greater),
        Just(Comparison::GreaterOrEqual),
    ];
    let like = ("[a%_]{0,5}", prop::option::of(Just('!'))).prop_map(|(text, escape)| Pattern::new(&text, escape));
    let like = like.prop_map(|pattern| Box::new(pattern.expect("it does not end with its escape character")));
    let boxed = |value: Expression| Box::new(value);
    let simple = prop_oneof![
        name,
        any::<bool>().prop_map(Expression::Bool),
        (number.clone(), comparison, number.clone())
            .prop_map(|(left, comparison, right)| Expression::Compare(Box::new((left, comparison, right)))),
        (value.clone(), any::<bool>(), value.clone()).prop_map(|(left, equal, right)| {
            let comparison = if equal { Comparison::Equal } else { Comparison::Unequal };
            Expression::Compare(Box::new((left, comparison, right)))
        }),
        (any::<bool>(), number.clone(), number.clone(), number)
            .prop_map(|(not, value, low, high)| Expression::Between { not, of: Box::new([value, low, high]) }),
        (any::<bool>(), value.clone(), prop::collection::vec(".{0,4}".prop_map(Into::into), 1..4))
            .prop_map(move |(not, value, texts)| Expression::In { not, value: boxed(value), texts }),
        (any::<bool>(), value.clone(), like).prop_map(move |(not, value, pattern)| Expression::Like {
            not,
            value: boxed(value),
            pattern
        }),
        (any::<bool>(), value).prop_map(move |(not, value)| Expression::IsNull { not, value: boxed(value) }),
    ];
    simple.prop_recursive(4, 24, 4, |inner| {
        let parts = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
            parts.clone().prop_map(Expression::And),
            parts.prop_map(Expression::Or),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(condition in expression(), converts in any::<bool>()) {
        let selector = Selector { condition, converts };
        let text = selector.to_string();
        prop_assert_eq!(Selector::parse(&text), Ok(selector), "{}", text);
    }

    #[test]
    fn any_text_is_a_selector_or_an_error(text in ".{0,60}") {
        if let Ok(selector) = Selector::parse(&text) {
            selector.matches(&sample());
        }
    }

    #[test]
    fn any_words_are_a_selector_or_an_error(words in prop::collection::vec(prop::sample::select(vec![
        "a", "n", "'x'", "5", "-", "+", "*", "/", "(", ")", ",", "=", "<>", "<", "AND", "OR", "NOT", "IN", "LIKE",
        "ESCAPE", "BETWEEN", "IS", "NULL", "TRUE", "1e3", "\"q\"", "'%'", "'!'",
    ]), 0..20)) {
        let text = words.join(" ");
        match Selector::parse(&text) {
            Ok(selector) => {
                selector.matches(&sample());
                prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
            }
            Err(error) => prop_assert!(error.at <= text.len()),
        }
    }

    #[test]
    fn a_pattern_is_what_its_definition_says(pattern in "[ab\u{fc}%_]{0,8}", text in "[ab\u{fc}]{0,10}") {
        let split = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(Pattern::new(&pattern, None).unwrap().matches(&text), likes(&split(&pattern), &split(&text)));
    }
}
