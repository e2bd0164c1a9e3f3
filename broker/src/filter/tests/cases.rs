//! What a policy lets through.

use super::*;
use crate::value::Value;

/// A policy, and attributes that meet it or do not.
const ATTRIBUTES: &[(&str, &[&str], &[&str])] = &[
    // Exact.
    (
        r#"{"customer_interests": ["rugby", "tennis"]}"#,
        &[
            "customer_interests String rugby",
            "customer_interests String tennis",
            r#"customer_interests String.Array ["rugby", "tennis"]"#,
            r#"customer_interests String.Array ["baseball", "tennis"]"#,
        ],
        &[
            "customer_interests String baseball",
            "customer_interests String Rugby",
            "customer_interests String rugby ",
            r#"customer_interests String.Array ["baseball"]"#,
            r#"customer_interests String ["rugby"]"#,
            "customer_interests String.Array rugby",
            "customer_interests Binary rugby",
            "customer String rugby",
            "",
        ],
    ),
    // Anything but.
    (
        r#"{"customer_interests": [{"anything-but": ["rugby", "tennis"]}]}"#,
        &[
            "customer_interests String baseball",
            "customer_interests String football",
            r#"customer_interests String.Array ["rugby", "baseball"]"#,
            "customer_interests Number 5",
        ],
        &[
            "customer_interests String rugby",
            r#"customer_interests String.Array ["rugby"]"#,
            r#"customer_interests String.Array ["rugby", "tennis"]"#,
            "customer_interests String.Array []",
            "other String baseball",
        ],
    ),
    (r#"{"a": [{"anything-but": "x"}]}"#, &["a String y"], &["a String x"]),
    (
        r#"{"event": [{"anything-but": {"prefix": "order-"}}]}"#,
        &["event String data-entry", "event String order", "event Number 1"],
        &["event String order-cancelled", "other String x"],
    ),
    (
        r#"{"event": [{"anything-but": {"prefix": ["order-", "data-"]}}]}"#,
        &["event String other"],
        &["event String order-cancelled", "event String data-entry"],
    ),
    (
        r#"{"event": [{"anything-but": {"suffix": ".png"}}]}"#,
        &["event String a.jpg", "event String png"],
        &["event String a.png", "event String .png"],
    ),
    (
        r#"{"customer_interests": [{"anything-but": {"wildcard": "*ball"}}]}"#,
        &["customer_interests String hockey", r#"customer_interests String.Array ["rugby"]"#],
        &["customer_interests String baseball", "customer_interests String ball"],
    ),
    // Either of them.
    (r#"{"a": [{"anything-but": ["x"]}, {"exists": false}]}"#, &["a String y", "", "b String x"], &["a String x"]),
    // Prefix, suffix, ignoring case.
    (
        r#"{"customer_interests": [{"prefix": "bas"}]}"#,
        &[
            "customer_interests String baseball",
            "customer_interests String basketball",
            "customer_interests String bas",
        ],
        &["customer_interests String rugby", "customer_interests String ba", "customer_interests String Baseball"],
    ),
    (
        r#"{"customer_interests": [{"suffix": "ball"}]}"#,
        &["customer_interests String baseball", "customer_interests String ball"],
        &["customer_interests String rugby", "customer_interests String balls", "customer_interests Number 1"],
    ),
    (
        r#"{"customer_interests": [{"equals-ignore-case": "Tennis"}]}"#,
        &["customer_interests String TENNIS", "customer_interests String Tennis", "customer_interests String tennis"],
        &["customer_interests String rugby", "customer_interests String tennis1"],
    ),
    (r#"{"a": [{"equals-ignore-case": "ÄRGER"}]}"#, &["a String ärger"], &["a String arger"]),
    (r#"{"a": [{"prefix": ""}]}"#, &["a String x", "a String "], &["a Number 1", ""]),
    // Wildcards.
    (
        r#"{"customer_interests": [{"wildcard": "*ball"}]}"#,
        &["customer_interests String baseball", "customer_interests String football", "customer_interests String ball"],
        &["customer_interests String rugby", "customer_interests String balls"],
    ),
    (r#"{"a": [{"wildcard": "x*y*z"}]}"#, &["a String xyz", "a String x-y-y-z"], &["a String xz", "a String xyzy"]),
    (r#"{"a": [{"wildcard": "ab*ba"}]}"#, &["a String abba", "a String ab-ba"], &["a String aba"]),
    (r#"{"a": [{"wildcard": "x\\*\\\\*"}]}"#, &[r"a String x*\1", r"a String x*\"], &[r"a String x1\", "a String x*"]),
    (r#"{"a": [{"wildcard": "*"}]}"#, &["a String x", "a String "], &["a Number 1", "b String x"]),
    (r#"{"a": [{"wildcard": "plain"}]}"#, &["a String plain"], &["a String plainer"]),
    (r#"{"a": [{"wildcard": "*mid*"}]}"#, &["a String mid", "a String amidst"], &["a String mi"]),
    // Numbers.
    (
        r#"{"price_usd": [301.5]}"#,
        &["price_usd Number 301.5", "price_usd Number 3.015e2", "price_usd Number 301.50"],
        &["price_usd Number 301.4", "price_usd String 301.5"],
    ),
    (r#"{"a": ["100"]}"#, &["a String 100"], &["a Number 100"]),
    (r#"{"a": [0]}"#, &["a Number -0.0", "a Number 0"], &["a Number 0.1", "a String "]),
    (
        r#"{"price": [{"anything-but": [100, 500]}]}"#,
        &["price Number 101", "price Number 100.1", "price String 100"],
        &["price Number 100", "price Number 5e2"],
    ),
    (
        r#"{"price_usd": [{"numeric": ["<", 0]}]}"#,
        &["price_usd Number -0.1"],
        &["price_usd Number 0", "price_usd Number 1", "price_usd String -1"],
    ),
    (
        r#"{"price_usd": [{"numeric": [">", 0, "<=", 150]}]}"#,
        &["price_usd Number 0.00001", "price_usd Number 150", r#"price_usd String.Array [-1, 7]"#],
        &["price_usd Number 0", "price_usd Number 150.00001", "price_usd Number -1"],
    ),
    (r#"{"a": [{"numeric": ["=", 5]}]}"#, &["a Number 5", "a Number 5.0"], &["a Number 5.1"]),
    (r#"{"a": [{"numeric": [">=", 5]}]}"#, &["a Number 5", "a Number 1e300"], &["a Number 4.9"]),
    (r#"{"a": [{"numeric": [">", 5]}]}"#, &["a Number 5.1"], &["a Number 5"]),
    (r#"{"a": [{"numeric": ["<=", 5]}]}"#, &["a Number 5", "a Number -1e300"], &["a Number 5.1"]),
    (r#"{"a": [{"numeric": [">", -1e9, "<", 1e9]}]}"#, &["a Number 0", "a Number -999999999"], &["a Number 1e9"]),
    // Addresses.
    (
        r#"{"source_ip": [{"cidr": "10.0.0.0/24"}]}"#,
        &["source_ip String 10.0.0.0", "source_ip String 10.0.0.255"],
        &[
            "source_ip String 10.1.1.0",
            "source_ip String 10.0.1.0",
            "source_ip String ::ffff:10.0.0.1",
            "source_ip String x",
        ],
    ),
    (
        r#"{"source_ip": [{"cidr": "2001:db8::/32"}]}"#,
        &["source_ip String 2001:db8::1", "source_ip String 2001:0DB8:0:0::ffff"],
        &["source_ip String 2001:db9::1", "source_ip String 32.1.13.184"],
    ),
    (r#"{"a": [{"cidr": "0.0.0.0/0"}]}"#, &["a String 1.2.3.4"], &["a String ::1"]),
    (r#"{"a": [{"cidr": "1.2.3.4/32"}]}"#, &["a String 1.2.3.4"], &["a String 1.2.3.5"]),
    // Keys.
    (
        r#"{"store": [{"exists": true}]}"#,
        &["store String fans", "store Number 1", "store String "],
        &["other String fans", "store Binary eA==", "store String.Array []"],
    ),
    (
        r#"{"store": [{"exists": false}]}"#,
        &["other String fans", "", "store Binary eA=="],
        &["store String fans", "store Number 1"],
    ),
    (r#"{"a": [{"exists": false}], "b": ["x"]}"#, &["b String x"], &["b String y", "a String 1\nb String x", ""]),
    (r#"{"a": [{"exists": false}], "b": [{"exists": false}]}"#, &["c String x", ""], &["a String 1", "b String 1"]),
    // And, or.
    (
        r#"{"customer_interests": ["rugby"], "price_usd": [{"numeric": [">", 100]}]}"#,
        &["customer_interests String rugby\nprice_usd Number 101"],
        &[
            "customer_interests String rugby\nprice_usd Number 100",
            "customer_interests String rugby",
            "price_usd Number 101",
        ],
    ),
    (
        r#"{"source": ["aws.cloudwatch"], "$or": [{"metricName": ["CPUUtilization"]}, {"namespace": ["AWS/EC2", "AWS/ES"]}]}"#,
        &[
            "source String aws.cloudwatch\nmetricName String CPUUtilization",
            "source String aws.cloudwatch\nnamespace String AWS/ES",
        ],
        &[
            "source String aws.cloudwatch",
            "metricName String CPUUtilization",
            "source String aws.cloudwatch\nmetricName String x",
        ],
    ),
    // No $or, but a name.
    (r#"{"$or": ["x"]}"#, &["$or String x"], &["x String x", ""]),
    (r#"{"$or": [{"prefix": "x"}]}"#, &["$or String xy"], &["prefix String x"]),
    // Other values.
    (r#"{"a": [null]}"#, &["a String.Array [null]"], &["a String null", "a String ", ""]),
    (r#"{"a": [true]}"#, &["a String.Array [true]"], &["a String true", "a String.Array [\"true\"]"]),
    (r#"{"a": [null, {"anything-but": "whatever"}]}"#, &["a String x"], &["", "a String whatever"]),
    (r#"{"a": ["\u00e4\n\ud83d\ude00"]}"#, &[], &["a String ä"]),
    (r#"{"a": ["x"], "a": ["y"]}"#, &["a String y"], &["a String x"]),
    ("{}", &["", "a String x"], &[]),
    (" {\t\n} ", &["a String x"], &[]),
];

#[test]
fn attributes_meet_what_the_policy_asks_for() {
    for (policy, met, unmet) in ATTRIBUTES {
        for head in *met {
            assert!(meets(policy, Scope::MessageAttributes, &message(head, "no JSON")), "{policy}: {head}");
        }
        for head in *unmet {
            assert!(!meets(policy, Scope::MessageAttributes, &message(head, "no JSON")), "{policy}: {head}");
        }
    }
}

/// A policy, and bodies that meet it or do not.
const BODIES: &[(&str, &[&str], &[&str])] = &[
    (
        r#"{"customer_interests": ["rugby"], "price": [{"numeric": [">", 100]}]}"#,
        &[
            r#"{"customer_interests": "rugby", "price": 101, "more": {"a": [1]}}"#,
            r#"{"price": 1e3, "customer_interests": ["x", "rugby"]}"#,
        ],
        &[
            r#"{"customer_interests": "rugby", "price": "101"}"#,
            r#"{"price": 101}"#,
            "",
            "[]",
            "1",
            r#""rugby""#,
            "{",
            "{} x",
        ],
    ),
    // Levels, and names with dots.
    (
        r#"{"object": {"key": [{"prefix": "auto-"}, "hardcodedvalue"]}}"#,
        &[
            r#"{"object": {"key": "auto-test"}}"#,
            r#"{"object": {"key": "hardcodedvalue"}}"#,
            r#"{"object.key": "auto-test"}"#,
        ],
        &[
            r#"{"object": {"key": "test-auto"}}"#,
            r#"{"object": {"other": {"key": "auto-"}}}"#,
            r#"{"key": "auto-test"}"#,
            r#"{"object": "auto-"}"#,
        ],
    ),
    (
        r#"{"object.nested.test": ["string.value"]}"#,
        &[
            r#"{"object": {"nested": {"test": "string.value"}}}"#,
            r#"{"object.nested.test": "string.value"}"#,
            r#"{"object.nested": {"test": "string.value"}}"#,
            r#"{"object": {"nested.test": "string.value"}}"#,
        ],
        &[r#"{"object": {"nested": {"test": "string.notvalue"}}}"#, r#"{"objectnested": {"test": "string.value"}}"#],
    ),
    // Arrays, of arrays and of objects.
    (
        r#"{"headers": {"route-to": ["queue1"]}}"#,
        &[
            r#"{"headers": {"route-to": ["queue1"]}}"#,
            r#"{"headers": {"route-to": ["queue1", "queue2"]}}"#,
            r#"{"headers": [{"route-to": [["queue1"]]}]}"#,
        ],
        &[r#"{"headers": {"route-to": ["queue3"]}}"#, r#"{"headers": {"route-to": []}}"#],
    ),
    (
        r#"{"Records": {"s3": {"object": {"key": [{"prefix": "auto-"}]}}, "eventName": [{"prefix": "ObjectCreated:"}]}}"#,
        &[
            r#"{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "auto-1"}}}]}"#,
            r#"{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": [[{"key": "auto-1"}]]}}, {"eventName": "ObjectRemoved:Delete", "s3": {"object": {"key": "home-1"}}}]}"#,
            r#"{"Records": {"eventName": "ObjectCreated:Put", "s3": {"object": [{"key": "home-1"}, {"key": "auto-1"}]}}}"#,
        ],
        &[
            r#"{"Records": [{"eventName": "ObjectRemoved:Delete", "s3": {"object": {"key": "auto-1"}}}]}"#,
            r#"{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "home-1"}}}]}"#,
            // Not in the same element.
            r#"{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": "home-1"}}}, {"eventName": "ObjectRemoved:Delete", "s3": {"object": {"key": "auto-1"}}}]}"#,
        ],
    ),
    (
        r#"{"a": {"x": [1], "y": [2]}, "b": {"z": [3]}}"#,
        &[
            r#"{"a": [{"x": 0}, {"x": 1, "y": 2}], "b": [{"z": 0}, {"z": 3}]}"#,
            r#"{"a": [{"x": 1, "y": 0}, {"x": [0, 1], "y": [2]}], "b": {"z": 3}}"#,
            r#"{"a": [[{"x": 0}], [{"x": 1, "y": 2}]], "b": {"z": 3}}"#,
        ],
        &[
            r#"{"a": [{"x": 1}, {"y": 2}], "b": {"z": 3}}"#,
            r#"{"a": [[{"x": 1}], [{"y": 2}]], "b": {"z": 3}}"#,
            r#"{"a": [{"x": 1, "y": 2}], "b": {"z": 4}}"#,
        ],
    ),
    // $or on two levels.
    (
        r#"{"$or": [{"metricName": ["CPUUtilization", "ReadLatency"]}, {"namespace": ["AWS/EC2", "AWS/ES"]}], "detail": {"scope": ["Service"], "$or": [{"source": ["aws.cloudwatch"]}, {"type": ["CloudWatch Alarm State Change"]}]}}"#,
        &[
            r#"{"metricName": "CPUUtilization", "detail": {"scope": "Service", "source": "aws.cloudwatch"}}"#,
            r#"{"namespace": "AWS/ES", "detail": {"scope": "Service", "source": "aws.cloudwatch"}}"#,
            r#"{"metricName": "ReadLatency", "detail": {"scope": "Service", "type": "CloudWatch Alarm State Change"}}"#,
        ],
        &[
            r#"{"metricName": "CPUUtilization", "detail": {"scope": "aws.cloudwatch", "type": "CloudWatch Alarm State Change"}}"#,
            r#"{"metricName": "CPUUtilization", "detail": {"scope": "Service", "type": "CPUUtilization"}}"#,
            r#"{"metricName": "CPUUtilization", "detail": {"scope": "Service"}}"#,
            r#"{"metricName": "AWS/EC2", "detail": {"scope": "Service", "type": "CloudWatch Alarm State Change"}}"#,
            r#"{"metricName": "CPUUtilization", "scope": "Service"}"#,
        ],
    ),
    // Values that are no texts.
    (r#"{"a": [null]}"#, &[r#"{"a": null}"#, r#"{"a": [1, null]}"#], &[r#"{"a": "null"}"#, "{}", r#"{"a": {}}"#]),
    (
        r#"{"a": [true, 1]}"#,
        &[r#"{"a": true}"#, r#"{"a": 1.0}"#],
        &[r#"{"a": false}"#, r#"{"a": "true"}"#, r#"{"a": "1"}"#],
    ),
    (r#"{"a": [{"exists": false}]}"#, &["{}", r#"{"a": {"b": 1}}"#, r#"{"a": []}"#], &[r#"{"a": null}"#, "x", ""]),
    (r#"{"a": [{"exists": true}]}"#, &[r#"{"a": null}"#, r#"{"a": [[0]]}"#], &["{}", r#"{"a": {"b": 1}}"#]),
    (
        r#"{"a": ["ä\n😀"]}"#,
        &[r#"{"a": "\u00e4\n\ud83d\ude00"}"#, r#"{"\u0061": "ä\n😀"}"#],
        &[r#"{"a": "ä\\n😀"}"#, r#"{"a": "\ud83d"}"#],
    ),
    (
        r#"{"a": [{"anything-but": [1, 2]}]}"#,
        &[r#"{"a": [1, 3]}"#, r#"{"a": "x"}"#, r#"{"a": null}"#],
        &[r#"{"a": [1, 2]}"#, "{}"],
    ),
];

#[test]
fn bodies_meet_what_the_policy_asks_for() {
    for (policy, met, unmet) in BODIES {
        for body in *met {
            assert!(meets(policy, Scope::MessageBody, &message("a String x", body)), "{policy}: {body}");
        }
        for body in *unmet {
            assert!(!meets(policy, Scope::MessageBody, &message("a String x", body)), "{policy}: {body}");
        }
    }
}

#[test]
fn a_message_of_any_protocol_has_attributes() {
    let mut headers = Table::default();
    headers.push("text", "rugby");
    headers.push("number", 5_i16);
    headers.push("float", 2.5_f64);
    headers.push("decimal", Value::Decimal { scale: 2, value: 150 });
    headers.push("truth", true);
    headers.push("list", vec![Value::from("a"), Value::from(7_u64), Value::Array(vec![Value::from("deep")])]);
    headers.push("price", "12.50");
    headers.push("tags", r#"["x", "y"]"#);
    headers.push("bytes", Value::Binary(b"rugby".to_vec().into()));
    headers.push("x-sqs-attribute-types", "price=Number.float,tags=String.Array");
    let message = foreign(headers);
    let (met, unmet): (&[&str], &[&str]) = (
        &[
            r#"{"text": ["rugby"], "number": [5], "float": [{"numeric": [">", 2, "<", 3]}], "decimal": [1.5]}"#,
            r#"{"truth": [true]}"#,
            r#"{"list": ["a"]}"#,
            r#"{"list": [7]}"#,
            r#"{"price": [{"numeric": ["=", 12.5]}], "tags": ["y"]}"#,
            r#"{"timestamp": [1790000000]}"#,
            r#"{"bytes": [{"exists": false}]}"#,
        ],
        &[
            r#"{"price": ["12.50"]}"#,
            r#"{"tags": [{"prefix": "["}]}"#,
            r#"{"list": ["deep"]}"#,
            r#"{"bytes": ["rugby"]}"#,
        ],
    );
    for policy in met {
        assert!(meets(policy, Scope::MessageAttributes, &message), "{policy}");
    }
    for policy in unmet {
        assert!(!meets(policy, Scope::MessageAttributes, &message), "{policy}");
    }
}

#[test]
fn a_body_is_bounded() {
    let policy = r#"{"a": [1]}"#;
    let body = |filler: usize| format!(r#"{{"a": 1, "filler": "{}"}}"#, "x".repeat(filler));
    assert!(meets(policy, Scope::MessageBody, &message("", &body(1024))));
    assert!(!meets(policy, Scope::MessageBody, &message("", &body(crate::filter::BODY_BYTES_MAX))));
    let deep = |depth: usize| format!(r#"{{"a": 1, "b": {}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(meets(policy, Scope::MessageBody, &message("", &deep(900))));
    assert!(!meets(policy, Scope::MessageBody, &message("", &deep(1000))));
    assert!(!meets(policy, Scope::MessageBody, &message("", &deep(100_000))));
    let wide = |values: usize| format!(r#"{{"a": [{}1]}}"#, "0,".repeat(values - 1));
    assert!(meets(policy, Scope::MessageBody, &message("", &wide(crate::filter::BODY_VALUES_MAX))));
    assert!(!meets(policy, Scope::MessageBody, &message("", &wide(crate::filter::BODY_VALUES_MAX + 1))));
    // Nobody asks for these.
    let others = format!(r#"{{"b": [{}1], "a": 1}}"#, "0,".repeat(crate::filter::BODY_VALUES_MAX));
    assert!(meets(policy, Scope::MessageBody, &message("", &others)));
}

#[test]
fn elements_that_do_not_agree_end_the_search_in_time() {
    // Each element has one of the two, so that every pair is tried.
    let element = |index: usize| if index.is_multiple_of(2) { r#"{"x": 1}"# } else { r#"{"y": 1}"# };
    let elements: Vec<&str> = (0..20_000).map(element).collect();
    let body = format!(r#"{{"a": [{}]}}"#, elements.join(","));
    assert!(!meets(r#"{"a": {"x": [1], "y": [1]}}"#, Scope::MessageBody, &message("", &body)));
    assert!(meets(r#"{"a": {"x": [1]}}"#, Scope::MessageBody, &message("", &body)));
}
