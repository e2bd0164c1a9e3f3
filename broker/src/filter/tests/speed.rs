//! What ten thousand subscriptions cost a publish:
//! `cargo test --release -p gantry-broker --lib filter::tests::speed -- --ignored --nocapture`

use std::hint::black_box;
use std::time::Instant;

use super::*;

const SUBSCRIPTIONS: usize = 10_000;
const MESSAGES: usize = 100_000;
/// What a publish may spend to find the one that it is for, in nanoseconds.
const NS_MAX: u128 = 20_000;

/// Nanoseconds a message; fails where not each of them is for so many.
fn measured(name: &str, policy: impl Fn(usize) -> String, scope: Scope, make: impl Fn(usize) -> Arc<Message>) {
    let mut index = Index::new();
    for number in 0..SUBSCRIPTIONS {
        let filter = filter(&policy(number), scope);
        let _ = index.insert(Some(&filter), number);
    }
    let messages: Vec<_> = (0..1000).map(|number| make(number * 7 % SUBSCRIPTIONS)).collect();
    let mut found = 0_usize;
    let start = Instant::now();
    for message in messages.iter().cycle().take(MESSAGES) {
        index.matches(Some(black_box(message)), &mut |number| {
            black_box(number);
            found += 1;
        });
    }
    let ns = start.elapsed().as_nanos() / MESSAGES as u128;
    println!("{name}: {ns} ns");
    assert_eq!(found, MESSAGES, "{name}: each is for one");
    assert!(ns <= NS_MAX, "{name}: {ns} ns");
}

#[test]
#[ignore = "a measurement"]
fn ten_thousand_policies_of_which_one_matches() {
    let attributes = |number: usize| {
        message(
            &format!("store String store-{number}\nprice Number {}\nevent String order-placed\n", number % 100),
            "{}",
        )
    };
    let body = |number: usize| {
        let filler = "x".repeat(200);
        let order = format!(r#"{{"id": {number}, "items": [{{"sku": "a", "count": 1}}, {{"sku": "b", "count": 2}}]}}"#);
        message("", &format!(r#"{{"store": "store-{number}", "order": {order}, "note": "{filler}", "at": 12.5}}"#))
    };
    let by_attributes = Scope::MessageAttributes;
    measured("exact", |n| format!(r#"{{"store": ["store-{n}"]}}"#), by_attributes, attributes);
    measured(
        "exact, with others that all have in common",
        |n| format!(r#"{{"event": ["order-placed"], "price": [{{"numeric": [">=", 0]}}], "store": ["store-{n}"]}}"#),
        by_attributes,
        attributes,
    );
    measured(
        "prefix",
        |n| format!(r#"{{"store": [{{"prefix": "store-{n}/"}}]}}"#),
        by_attributes,
        |n| message(&format!("store String store-{n}/shelf"), ""),
    );
    measured(
        "suffix",
        |n| format!(r#"{{"store": [{{"suffix": "/store-{n}"}}]}}"#),
        by_attributes,
        |n| message(&format!("store String city/store-{n}"), ""),
    );
    measured(
        "ranges",
        |n| format!(r#"{{"price": [{{"numeric": [">=", {n}, "<", {}]}}]}}"#, n + 1),
        by_attributes,
        |n| message(&format!("price Number {n}.5"), ""),
    );
    measured(
        "wildcards",
        |n| format!(r#"{{"store": [{{"wildcard": "store-{n}/*x"}}]}}"#),
        by_attributes,
        |n| message(&format!("store String store-{n}/index"), ""),
    );
    measured("bodies", |n| format!(r#"{{"order": {{"id": [{n}]}}}}"#), Scope::MessageBody, body);
    measured(
        "bodies, with elements that have to agree",
        |n| format!(r#"{{"store": ["store-{n}"], "order": {{"items": {{"sku": ["b"], "count": [2]}}}}}}"#),
        Scope::MessageBody,
        body,
    );
}
