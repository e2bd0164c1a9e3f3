use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:orders";
const ALICE: Principal<'_> = Principal::User { account: "111122223333", arn: "arn:aws:iam::111122223333:user/alice" };
const MALLORY: Principal<'_> =
    Principal::User { account: "999999999999", arn: "arn:aws:iam::999999999999:user/mallory" };
const SNS: Principal<'_> = Principal::Service("sns.amazonaws.com");

fn decide(document: &Value, principal: Principal<'_>, action: &str, context: &Context<'_>) -> Decision {
    let policy = Policy::parse(&document.to_string()).unwrap_or_else(|error| panic!("{document}: {error}"));
    policy.decide(&Request { principal, action, resource: QUEUE, context })
}

/// A policy of one statement that allows, with these elements instead of the usual ones.
fn allowing(elements: &Value) -> Value {
    let mut statement = json!({"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE});
    for (name, value) in elements.as_object().unwrap() {
        let others = ["Principal", "Action", "Resource"].into_iter().find(|other| *name == format!("Not{other}"));
        if let Some(replaced) = others {
            statement.as_object_mut().unwrap().remove(replaced);
        }
        statement[name] = value.clone();
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

fn allows(elements: &Value, principal: Principal<'_>, action: &str) -> bool {
    decide(&allowing(elements), principal, action, &Context::default()) == Decision::Allowed
}

/// Whether a condition holds for values of keys.
fn holds(condition: &Value, keys: &[(&str, &str)]) -> bool {
    let mut context = Context::default();
    for (key, value) in keys {
        context.add(key, *value);
    }
    decide(&allowing(&json!({"Condition": condition})), ALICE, "sqs:SendMessage", &context) == Decision::Allowed
}

#[test]
fn principals_are_who_they_say() {
    for (principal, is_alice, is_mallory, is_sns, is_anonymous) in [
        (json!("*"), true, true, true, true),
        (json!({"AWS": "*"}), true, true, true, true),
        (json!({"AWS": "111122223333"}), true, false, false, false),
        (json!({"AWS": "arn:aws:iam::111122223333:root"}), true, false, false, false),
        (json!({"AWS": "arn:aws:iam::111122223333:user/alice"}), true, false, false, false),
        (json!({"AWS": "arn:aws:iam::111122223333:user/bob"}), false, false, false, false),
        (json!({"AWS": ["999999999999", "arn:aws:iam::111122223333:user/a*"]}), true, true, false, false),
        (json!({"Service": "sns.amazonaws.com"}), false, false, true, false),
        (json!({"Service": ["s3.amazonaws.com"], "AWS": "999999999999"}), false, true, false, false),
        (json!({"Federated": "cognito-identity.amazonaws.com"}), false, false, false, false),
    ] {
        for (who, expected) in
            [(ALICE, is_alice), (MALLORY, is_mallory), (SNS, is_sns), (Principal::Anonymous, is_anonymous)]
        {
            assert_eq!(
                allows(&json!({"Principal": principal}), who, "sqs:SendMessage"),
                expected,
                "{principal} {who:?}"
            );
            assert_eq!(
                allows(&json!({"NotPrincipal": principal}), who, "sqs:SendMessage"),
                !expected,
                "{principal} {who:?}"
            );
        }
    }
}

#[test]
fn actions_and_resources_are_patterns() {
    for (action, expected) in [
        (json!("*"), true),
        (json!("sqs:*"), true),
        (json!("SQS:SendMessage"), true),
        (json!("sqs:sendmessage"), true),
        (json!("sqs:Send*"), true),
        (json!("sqs:?endMessage"), true),
        (json!(["sqs:ReceiveMessage", "sqs:SendMessage"]), true),
        (json!("sqs:Receive*"), false),
        (json!("sns:*"), false),
        (json!("sqs:SendMessageBatch"), false),
    ] {
        assert_eq!(allows(&json!({"Action": action}), ALICE, "sqs:SendMessage"), expected, "{action}");
        assert_eq!(allows(&json!({"NotAction": action}), ALICE, "sqs:SendMessage"), !expected, "{action}");
    }
    for (resource, expected) in [
        (json!("*"), true),
        (json!(QUEUE), true),
        (json!("arn:aws:sqs:*:111122223333:ord?rs"), true),
        (json!(["arn:aws:sqs:us-east-1:111122223333:other", QUEUE]), true),
        (json!("arn:aws:sqs:us-east-1:111122223333:Orders"), false),
        // A queue is the same in all regions.
        (json!("arn:aws:sqs:eu-west-1:111122223333:orders"), true),
        (json!("arn:aws:sqs:eu-west-1:*:orders"), true),
        (json!("arn:aws:sqs:eu-*:111122223333:orders"), true),
        (json!("arn:aws:sqs:eu-west-1:*"), true),
        (json!("arn:aws:sqs:*:orders"), true),
        (json!("arn:aws:sqs:*"), true),
        (json!("arn:aws:sqs:eu-west-1:111122223333:other"), false),
        (json!("arn:aws:sqs:eu-west-1:999999999999:orders"), false),
        (json!("arn:aws:sns:eu-west-1:111122223333:orders"), false),
        (json!("arn:aws:sqs:111122223333:orders"), false),
    ] {
        assert_eq!(allows(&json!({"Resource": resource}), ALICE, "sqs:SendMessage"), expected, "{resource}");
        assert_eq!(allows(&json!({"NotResource": resource}), ALICE, "sqs:SendMessage"), !expected, "{resource}");
    }
}

#[test]
fn who_is_denied_is_denied_whatever_else_is_said() {
    let statement =
        |effect: &str, action: &str| json!({"Effect": effect, "Principal": "*", "Action": action, "Resource": "*"});
    let allow = statement("Allow", "sqs:*");
    let deny = statement("Deny", "sqs:DeleteQueue");
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        let policy = json!({"Statement": statements});
        let decide = |action| decide(&policy, ALICE, action, &Context::default());
        assert_eq!(decide("sqs:DeleteQueue"), Decision::Denied);
        assert_eq!(decide("sqs:SendMessage"), Decision::Allowed);
        assert_eq!(decide("sns:Publish"), Decision::Silent);
    }
    assert_eq!(decide(&json!({"Statement": deny}), ALICE, "sqs:SendMessage", &Context::default()), Decision::Silent);
}

#[test]
fn conditions_hold_as_in_the_manual() {
    let topic = ("aws:SourceArn", "arn:aws:sns:us-east-1:111122223333:prices");
    let at = |date| [("aws:CurrentTime", date)];
    for (condition, keys, expected) in [
        (json!({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:us-east-1:111122223333:prices"}}), vec![topic], true),
        (json!({"ArnLike": {"AWS:sourcearn": "arn:aws:sns:*:*:pri*"}}), vec![topic], true),
        (json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:prices"}}), vec![topic], false),
        (json!({"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:pri*"}}), vec![], false),
        (json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:*:*:*"}}), vec![topic], true),
        (json!({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:*:*:*"}}), vec![], true),
        (
            json!({"StringEquals": {"aws:SourceAccount": ["1", "111122223333"]}}),
            vec![("aws:SourceAccount", "111122223333")],
            true,
        ),
        (json!({"StringEquals": {"aws:SourceAccount": "1"}}), vec![("aws:SourceAccount", "11")], false),
        (json!({"StringNotEquals": {"k": ["a", "b"]}}), vec![("k", "b")], false),
        (json!({"StringNotEquals": {"k": ["a", "b"]}}), vec![("k", "c")], true),
        (json!({"StringNotEquals": {"k": "a"}}), vec![], true),
        (json!({"StringEqualsIgnoreCase": {"k": "ABC"}}), vec![("k", "abc")], true),
        (json!({"StringNotEqualsIgnoreCase": {"k": "ABC"}}), vec![("k", "abc")], false),
        (json!({"StringLike": {"aws:UserAgent": "Boto3/*"}}), vec![("aws:UserAgent", "Boto3/1.40")], true),
        (json!({"StringNotLike": {"aws:UserAgent": "Boto3/*"}}), vec![("aws:UserAgent", "aws-cli")], true),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), vec![("aws:SourceIp", "10.200.3.4")], true),
        (
            json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.1"]}}),
            vec![("aws:SourceIp", "192.0.2.1")],
            true,
        ),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), vec![("aws:SourceIp", "11.0.0.1")], false),
        (json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/9"}}), vec![("aws:SourceIp", "10.128.0.1")], false),
        (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), vec![("aws:SourceIp", "203.0.113.7")], true),
        (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), vec![("aws:SourceIp", "::1")], false),
        (json!({"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}), vec![("aws:SourceIp", "2001:db8:1::1")], true),
        (json!({"IpAddress": {"aws:SourceIp": "127.0.0.1"}}), vec![("aws:SourceIp", "::ffff:127.0.0.1")], true),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), vec![("aws:SourceIp", "10.0.0.1")], false),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), vec![("aws:SourceIp", "11.0.0.1")], true),
        (json!({"Bool": {"aws:SecureTransport": "true"}}), vec![("aws:SecureTransport", "true")], true),
        (json!({"Bool": {"aws:SecureTransport": true}}), vec![("aws:SecureTransport", "false")], false),
        (json!({"Bool": {"aws:SecureTransport": "false"}}), vec![], false),
        (json!({"BoolIfExists": {"aws:SecureTransport": "false"}}), vec![], true),
        (json!({"DateLessThan": {"aws:CurrentTime": "2024-05-02"}}), at("2024-05-01T12:00:00Z").to_vec(), true),
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2024-05-02T00:00:00Z"}}),
            at("2024-05-01T12:00:00Z").to_vec(),
            false,
        ),
        (
            json!({"DateGreaterThanEquals": {"aws:CurrentTime": "2024-05-01T14:00:00+02:00"}}),
            at("2024-05-01T12:00:00Z").to_vec(),
            true,
        ),
        (json!({"DateLessThan": {"aws:EpochTime": 1_714_564_801}}), vec![("aws:EpochTime", "1714564800")], true),
        (json!({"DateNotEquals": {"aws:CurrentTime": "2024-05-01"}}), at("2024-05-01T00:00:00Z").to_vec(), false),
        (json!({"NumericLessThan": {"k": 10}}), vec![("k", "9.5")], true),
        (json!({"NumericLessThanEquals": {"k": "10"}}), vec![("k", "10.0")], true),
        (json!({"NumericGreaterThan": {"k": 10}}), vec![("k", "10")], false),
        (json!({"NumericGreaterThanEquals": {"k": 10}}), vec![("k", "10")], true),
        (json!({"NumericEquals": {"k": [1, 2]}}), vec![("k", "2")], true),
        (json!({"NumericNotEquals": {"k": 2}}), vec![("k", "2")], false),
        (json!({"NumericEquals": {"k": 2}}), vec![("k", "two")], false),
        (json!({"Null": {"k": "true"}}), vec![], true),
        (json!({"Null": {"k": "true"}}), vec![("k", "v")], false),
        (json!({"Null": {"k": "false"}}), vec![("k", "v")], true),
        (json!({"StringEqualsIfExists": {"k": "v"}}), vec![], true),
        (json!({"StringEqualsIfExists": {"k": "v"}}), vec![("k", "w")], false),
        (json!({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}), vec![("k", "x"), ("k", "b")], true),
        (json!({"ForAnyValue:StringEquals": {"k": ["a", "b"]}}), vec![("k", "x"), ("k", "y")], false),
        (json!({"ForAnyValue:StringEquals": {"k": "a"}}), vec![], false),
        (json!({"ForAllValues:StringEquals": {"k": ["a", "b"]}}), vec![("k", "b"), ("k", "a")], true),
        (json!({"ForAllValues:StringEquals": {"k": ["a", "b"]}}), vec![("k", "b"), ("k", "x")], false),
        (json!({"ForAllValues:StringEquals": {"k": "a"}}), vec![], true),
        (json!({"ForAnyValue:StringNotEquals": {"k": "a"}}), vec![("k", "a"), ("k", "b")], true),
        (json!({"ForAllValues:StringNotLike": {"k": "a*"}}), vec![("k", "b"), ("k", "ab")], false),
        // Several keys and operators: all of them.
        (
            json!({"StringEquals": {"a": "1", "b": "2"}, "Bool": {"c": "true"}}),
            vec![("a", "1"), ("b", "2"), ("c", "true")],
            true,
        ),
        (json!({"StringEquals": {"a": "1", "b": "2"}}), vec![("a", "1")], false),
        (json!({}), vec![], true),
    ] {
        assert_eq!(holds(&condition, &keys), expected, "{condition} {keys:?}");
    }
}

#[test]
fn what_is_not_known_is_refused_and_not_passed_over() {
    let statement = |name: &str, value: Value| allowing(&json!({name: value})).to_string();
    for document in [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        json!({"Statement": [], "Statements": []}).to_string(),
        json!({"Version": "2020-01-01", "Statement": []}).to_string(),
        json!({"Statement": [{"Effect": "Allow"}]}).to_string(),
        statement("Effect", json!("Maybe")),
        statement("Effect", json!("allow")),
        statement("Principal", json!("111122223333")),
        statement("Principal", json!({"AWS": "alice"})),
        statement("Principal", json!({"Everybody": "*"})),
        statement("Principal", json!({})),
        statement("Action", json!("SendMessage")),
        statement("Action", json!([])),
        statement("Resource", json!("arn:aws:sqs:*:*:${aws:username}")),
        statement("Resource", json!(7)),
        statement("Reason", json!("why not")),
        statement("Condition", json!([])),
        statement("Condition", json!({"StringMatches": {"k": "v"}})),
        statement("Condition", json!({"ForSomeValues:StringEquals": {"k": "v"}})),
        statement("Condition", json!({"NullIfExists": {"k": "true"}})),
        statement("Condition", json!({"StringEquals": "v"})),
        statement("Condition", json!({"StringEquals": {"k": {"v": 1}}})),
        statement("Condition", json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})),
        statement("Condition", json!({"IpAddress": {"aws:SourceIp": "here"}})),
        statement("Condition", json!({"DateLessThan": {"aws:CurrentTime": "tomorrow"}})),
        statement("Condition", json!({"NumericLessThan": {"k": "few"}})),
        statement("Condition", json!({"NumericLessThan": {"k": "NaN"}})),
        statement("Condition", json!({"Bool": {"k": "perhaps"}})),
        statement("Condition", json!({"StringEquals": {"k": "${aws:username}"}})),
        format!("{{\"Id\":\"{}\",\"Statement\":[]}}", "x".repeat(70_000)),
    ] {
        assert!(Policy::parse(&document).is_err(), "{document:.200}");
    }
    let both = json!({"Statement": {"Effect": "Allow", "Principal": "*", "NotPrincipal": "*", "Action": "*", "Resource": "*"}});
    assert!(Policy::parse(&both.to_string()).is_err());
}

/// A statement of few words, so that they meet often, and what it says, told in another way.
#[derive(Clone, Debug)]
struct Simple {
    denies: bool,
    not_principal: bool,
    accounts: Vec<usize>,
    not_action: bool,
    actions: Vec<usize>,
    not_resource: bool,
    resources: Vec<usize>,
    condition: Option<(usize, Vec<usize>)>,
}

const ACCOUNTS: [&str; 3] = ["000000000001", "000000000002", "000000000003"];
const ACTIONS: [&str; 3] = ["sqs:A", "sqs:B", "sqs:C"];
const RESOURCES: [&str; 3] = ["arn:aws:sqs:r:a:x", "arn:aws:sqs:r:a:y", "arn:aws:sqs:r:a:z"];
const VALUES: [&str; 3] = ["p", "q", "r"];
const OPERATORS: [&str; 8] = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIfExists",
    "StringNotEqualsIfExists",
    "ForAnyValue:StringEquals",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringNotEquals",
    "ForAllValues:StringNotEquals",
];

impl Simple {
    fn document(&self) -> Value {
        let words = |all: &[&str], chosen: &[usize]| chosen.iter().map(|at| Value::from(all[*at])).collect::<Value>();
        let named = |not: bool, name: &str| if not { format!("Not{name}") } else { name.to_owned() };
        let mut statement = json!({"Effect": if self.denies { "Deny" } else { "Allow" }});
        statement[named(self.not_principal, "Principal")] = json!({"AWS": words(&ACCOUNTS, &self.accounts)});
        statement[named(self.not_action, "Action")] = words(&ACTIONS, &self.actions);
        statement[named(self.not_resource, "Resource")] = words(&RESOURCES, &self.resources);
        if let Some((operator, values)) = &self.condition {
            statement["Condition"] = json!({OPERATORS[*operator]: {"k": words(&VALUES, values)}});
        }
        statement
    }

    fn is_about(&self, (account, action, resource): (usize, usize, usize), values: &[usize]) -> bool {
        let condition = self.condition.as_ref().is_none_or(|(operator, wanted)| {
            let wanted_ones = values.iter().filter(|value| wanted.contains(value)).count();
            let others = values.len() - wanted_ones;
            match operator {
                0 | 4 => wanted_ones > 0,
                1 | 3 => wanted_ones == 0,
                2 => values.is_empty() || wanted_ones > 0,
                5 => others == 0,
                6 => others > 0,
                _ => wanted_ones == 0,
            }
        });
        self.accounts.contains(&account) != self.not_principal
            && self.actions.contains(&action) != self.not_action
            && self.resources.contains(&resource) != self.not_resource
            && condition
    }
}

fn words() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..3, 1..3)
}

fn simple() -> impl Strategy<Value = Simple> {
    let condition = proptest::option::of((0..OPERATORS.len(), words()));
    (any::<bool>(), any::<[bool; 3]>(), words(), words(), words(), condition).prop_map(
        |(denies, nots, accounts, actions, resources, condition)| Simple {
            denies,
            not_principal: nots[0],
            accounts,
            not_action: nots[1],
            actions,
            not_resource: nots[2],
            resources,
            condition,
        },
    )
}

proptest! {
    #[test]
    fn policies_decide_as_a_naive_reader_of_them_would(
        statements in proptest::collection::vec(simple(), 0..5),
        asked in (0_usize..3, 0_usize..3, 0_usize..3),
        values in proptest::collection::vec(0_usize..3, 0..3),
    ) {
        let document = json!({"Statement": statements.iter().map(Simple::document).collect::<Value>()});
        let mut context = Context::default();
        for value in &values {
            context.add("k", VALUES[*value]);
        }
        let principal = Principal::User { account: ACCOUNTS[asked.0], arn: "" };
        let policy = Policy::parse(&document.to_string()).unwrap();
        let request = Request { principal, action: ACTIONS[asked.1], resource: RESOURCES[asked.2], context: &context };
        let about: Vec<_> = statements.iter().filter(|statement| statement.is_about(asked, &values)).collect();
        let expected = if about.iter().any(|statement| statement.denies) {
            Decision::Denied
        } else if about.is_empty() {
            Decision::Silent
        } else {
            Decision::Allowed
        };
        prop_assert_eq!(policy.decide(&request), expected, "{} {:?} {:?}", document, asked, values);
    }

    #[test]
    fn no_document_is_too_strange(document in "[\\[\\]{}\":,a-zA-Z*$ ]{0,80}") {
        let _ = Policy::parse(&document);
    }
}
