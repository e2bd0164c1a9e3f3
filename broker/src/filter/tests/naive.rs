//! An index beside an evaluator that reads a policy as JSON, message by message and subscription by subscription.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A value with the elements of arrays that it is in: which array, which element.
type Leaf = (Value, BTreeMap<usize, usize>);
type Leaves = BTreeMap<String, Vec<Leaf>>;

fn flatten(value: &Value, path: &str, inside: &BTreeMap<usize, usize>, arrays: &mut usize, leaves: &mut Leaves) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(member, &path, inside, arrays, leaves);
            }
        }
        Value::Array(items) => {
            *arrays += 1;
            let array = *arrays;
            for (index, item) in items.iter().enumerate() {
                let mut inside = inside.clone();
                if item.is_object() || item.is_array() {
                    inside.insert(array, index);
                }
                flatten(item, path, &inside, arrays, leaves);
            }
        }
        scalar => leaves.entry(path.to_owned()).or_default().push((scalar.clone(), inside.clone())),
    }
}

/// All ways of meeting a policy, each as what is asked of each name.
fn ways(policy: &Value, path: &str) -> Vec<Vec<(String, Vec<Value>)>> {
    let mut all = vec![vec![]];
    for (name, value) in policy.as_object().unwrap() {
        let full = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let next: Vec<Vec<(String, Vec<Value>)>> = match value {
            Value::Object(_) => ways(value, &full),
            Value::Array(items) if name == "$or" => items.iter().flat_map(|item| ways(item, path)).collect(),
            Value::Array(items) => vec![vec![(full, items.clone())]],
            _ => unreachable!("not generated"),
        };
        all = all.iter().flat_map(|way| next.iter().map(|more| [&way[..], &more[..]].concat())).collect();
    }
    all
}

fn holds(condition: &Value, value: &Value) -> bool {
    let Value::Object(members) = condition else {
        return match (condition.as_f64(), value.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => condition == value,
        };
    };
    let (operator, operand) = members.iter().next().unwrap();
    let text = value.as_str();
    let is = |check: &dyn Fn(&str, &str) -> bool| text.is_some_and(|text| check(text, operand.as_str().unwrap()));
    match operator.as_str() {
        "prefix" => is(&|text, part| text.starts_with(part)),
        "suffix" => is(&|text, part| text.ends_with(part)),
        "equals-ignore-case" => is(&|text, part| text.to_lowercase() == part.to_lowercase()),
        "wildcard" => is(&|text, pattern| {
            let pattern = format!("(?s)^{}$", regex::escape(pattern).replace(r"\*", ".*"));
            regex::Regex::new(&pattern).unwrap().is_match(text)
        }),
        "cidr" => text.is_some_and(|text| {
            let (base, bits) = operand.as_str().unwrap().split_once('/').unwrap();
            let number = |text: &str| text.parse::<std::net::Ipv4Addr>().map(u64::from_ip).ok();
            let size = 1_u64 << (32 - bits.parse::<u32>().unwrap());
            number(text).is_some_and(|address| address / size == number(base).unwrap() / size)
        }),
        "exists" => operand.as_bool().unwrap(),
        "numeric" => value.as_f64().is_some_and(|number| {
            operand.as_array().unwrap().chunks(2).all(|pair| {
                let bound = pair[1].as_f64().unwrap();
                match pair[0].as_str().unwrap() {
                    "=" => number == bound,
                    "<" => number < bound,
                    "<=" => number <= bound,
                    ">" => number > bound,
                    _ => number >= bound,
                }
            })
        }),
        _ => match operand {
            Value::Array(items) => !items.iter().any(|item| holds(item, value)),
            operand => !holds(operand, value),
        },
    }
}

trait FromIp {
    fn from_ip(address: std::net::Ipv4Addr) -> Self;
}

impl FromIp for u64 {
    fn from_ip(address: std::net::Ipv4Addr) -> Self {
        Self::from(u32::from(address))
    }
}

/// Whether one of each can be taken so that no array has them in different elements.
fn agree(choices: &[Vec<&Leaf>], taken: &BTreeMap<usize, usize>) -> bool {
    let Some((first, rest)) = choices.split_first() else { return true };
    first.iter().any(|(_, inside)| {
        let fits = inside.iter().all(|(array, element)| taken.get(array).is_none_or(|other| other == element));
        let mut both = taken.clone();
        both.extend(inside);
        fits && agree(rest, &both)
    })
}

fn is_met(policy: &Value, leaves: &Leaves) -> bool {
    ways(policy, "").iter().any(|way| {
        let mut choices = Vec::new();
        way.iter().all(|(name, conditions)| match leaves.get(name) {
            None => conditions.contains(&json!({"exists": false})),
            Some(values) => {
                let is_wanted = |value: &Value| {
                    conditions.iter().any(|condition| *condition != json!({"exists": false}) && holds(condition, value))
                };
                let fit: Vec<&Leaf> = values.iter().filter(|(value, _)| is_wanted(value)).collect();
                let any = !fit.is_empty();
                choices.push(fit);
                any
            }
        }) && agree(&choices, &BTreeMap::new())
    })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[abA]{0,3}".prop_map(Value::from),
        1 => (0..4_u8, 0..4_u8).prop_map(|(a, b)| json!(format!("10.0.{a}.{b}"))),
        3 => (-3..4_i32).prop_map(Value::from),
        1 => (-6..8_i32).prop_map(|half| json!(f64::from(half) / 2.0)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn condition() -> impl Strategy<Value = Value> {
    let text = || "[abA]{0,2}";
    let some_text = || "[abA]{1,2}";
    let number = || -3..4_i32;
    let operator = || prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=")];
    prop_oneof![
        6 => scalar(),
        2 => text().prop_map(|text| json!({ "prefix": text })),
        2 => text().prop_map(|text| json!({ "suffix": text })),
        1 => text().prop_map(|text| json!({ "equals-ignore-case": text })),
        2 => "[ab]{0,1}\\*?[ab]{0,1}\\*?[ab]{0,1}"
            .prop_filter("no two", |pattern| !pattern.contains("**"))
            .prop_map(|pattern| json!({ "wildcard": pattern })),
        2 => (operator(), number()).prop_map(|(operator, number)| json!({ "numeric": [operator, number] })),
        2 => (number(), 1..5_i32, any::<bool>(), any::<bool>()).prop_map(|(low, length, open, closed)| {
            let (from, to) = (if open { ">" } else { ">=" }, if closed { "<=" } else { "<" });
            json!({ "numeric": [from, low, to, low + length] })
        }),
        1 => (0..4_u8, 22..33_u8).prop_map(|(third, bits)| json!({ "cidr": format!("10.0.{third}.0/{bits}") })),
        1 => any::<bool>().prop_map(|value| json!({ "exists": value })),
        1 => proptest::collection::vec(text(), 1..3).prop_map(|texts| json!({ "anything-but": texts })),
        1 => number().prop_map(|number| json!({ "anything-but": number })),
        1 => some_text().prop_map(|text| json!({ "anything-but": { "prefix": text } })),
        1 => some_text().prop_map(|text| json!({ "anything-but": { "suffix": text } })),
    ]
}

fn conditions() -> impl Strategy<Value = Value> {
    proptest::collection::vec(condition(), 1..3).prop_map(Value::from)
}

fn object(values: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    proptest::collection::btree_map("[abcd]", values, 1..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
        .boxed()
}

fn policy(nested: bool) -> BoxedStrategy<Value> {
    let flat = object(conditions());
    let levels = object(prop_oneof![3 => conditions(), 1 => object(conditions())]);
    let base = if nested { levels } else { flat.clone() };
    let or = (base.clone(), proptest::collection::vec(flat, 2..4)).prop_map(|(mut policy, ways)| {
        policy["$or"] = Value::from(ways);
        // Said inside and outside, a name would be said twice.
        for way in policy["$or"].clone().as_array().unwrap() {
            for name in way.as_object().unwrap().keys() {
                policy.as_object_mut().unwrap().remove(name);
            }
        }
        policy
    });
    prop_oneof![3 => base, 1 => or].boxed()
}

fn body() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abcd]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[abcd]", value, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Attributes: what would stand in a body, without levels.
fn attributes() -> impl Strategy<Value = BTreeMap<String, Value>> {
    let value = prop_oneof![3 => "[abA]{1,3}".prop_map(Value::from), 2 => (-3..4_i32).prop_map(Value::from),
        1 => proptest::collection::vec(scalar(), 0..3).prop_map(Value::from)];
    proptest::collection::btree_map("[abcd]", value, 0..4)
}

fn check(policies: &[(Value, bool)], scope: Scope, messages: &[(Arc<Message>, Leaves)]) -> Result<(), TestCaseError> {
    let mut index = Index::new();
    let mut filed = Vec::new();
    let compiled = |policy: &Value| match Filter::parse(&policy.to_string(), scope) {
        Ok(filter) => Some(Arc::new(filter)),
        Err(error) if error.to_string().ends_with("too complex") => None,
        Err(error) => panic!("{policy}: {error}"),
    };
    let policies: Vec<_> =
        policies.iter().filter_map(|(policy, goes)| Some((policy, goes, compiled(policy)?))).collect();
    for (number, (_, _, filter)) in policies.iter().enumerate() {
        filed.push(Some(index.insert(Some(filter), number)));
    }
    for goes in [false, true] {
        for (number, filed) in filed.iter_mut().enumerate() {
            if goes && *policies[number].1 {
                index.remove(filed.take().unwrap(), &number);
            }
        }
        for (message, leaves) in messages {
            let mut found = Vec::new();
            index.matches(Some(message), &mut |number| found.push(*number));
            found.sort_unstable();
            let stays = |number: &usize| !goes || !*policies[*number].1;
            let expected: Vec<usize> =
                (0..policies.len()).filter(stays).filter(|number| is_met(policies[*number].0, leaves)).collect();
            prop_assert_eq!(&found, &expected, "{:?}", leaves);
        }
    }
    for (number, filed) in filed.into_iter().enumerate() {
        if let Some(filed) = filed {
            index.remove(filed, &number);
        }
    }
    prop_assert!(index.is_plain());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn an_index_finds_by_bodies_what_one_by_one_is_found(
        policies in proptest::collection::vec((policy(true), any::<bool>()), 1..30),
        bodies in proptest::collection::vec(body(), 4),
    ) {
        let messages: Vec<_> = bodies.iter().map(|body| {
            let mut leaves = Leaves::new();
            flatten(body, "", &BTreeMap::new(), &mut 0, &mut leaves);
            (message("", &body.to_string()), leaves)
        }).collect();
        check(&policies, Scope::MessageBody, &messages)?;
    }

    #[test]
    fn an_index_finds_by_attributes_what_one_by_one_is_found(
        policies in proptest::collection::vec((policy(false), any::<bool>()), 1..30),
        all in proptest::collection::vec(attributes(), 4),
    ) {
        let messages: Vec<_> = all.iter().map(|attributes| {
            let mut leaves = Leaves::new();
            let mut head = String::new();
            for (name, value) in attributes {
                let (data_type, text) = match value {
                    Value::String(text) => ("String", text.clone()),
                    Value::Array(_) => ("String.Array", value.to_string()),
                    number => ("Number", number.to_string()),
                };
                head.push_str(&format!("{name} {data_type} {text}\n"));
                flatten(value, name, &BTreeMap::new(), &mut 0, &mut leaves);
            }
            (message(&head, ""), leaves)
        }).collect();
        check(&policies, Scope::MessageAttributes, &messages)?;
    }
}
