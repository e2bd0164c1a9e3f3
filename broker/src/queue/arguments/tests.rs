//! What arguments may be and what they come to. Compared with RabbitMQ 3.10, where it knows them.

use super::*;
use crate::error::Kind;
use crate::queue::QueueSettings;
use crate::queue::{QueueOptions, Rules};

fn resource() -> Resource {
    Resource { kind: Kind::Queue, name: "q".into(), vhost: "/".into() }
}

fn options(arguments: &[(&str, Value)]) -> QueueOptions {
    let mut table = Table::new();
    for (name, value) in arguments {
        table.push(*name, value.clone());
    }
    QueueOptions { durable: true, arguments: table, ..QueueOptions::default() }
}

fn rules(arguments: &[(&str, Value)]) -> Result<Rules, Error> {
    Rules::of(&resource(), &options(arguments), &Effective::default(), &QueueSettings::default())
}

fn problem(arguments: &[(&str, Value)]) -> ArgumentProblem {
    match rules(arguments) {
        Err(Error::InvalidArgument { name, problem, .. }) => {
            assert!(arguments.iter().any(|(argument, _)| *argument == name), "{name}");
            problem
        }
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn int(number: i64) -> Value {
    Value::I64(number)
}

fn text(text: &str) -> Value {
    text.into()
}

fn quorum() -> (&'static str, Value) {
    ("x-queue-type", text("quorum"))
}

const NUMBERS: &[&str] = &[
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-queue-version",
    "x-quorum-initial-group-size",
    "x-quorum-target-group-size",
];

const TEXTS: &[&str] = &[
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-queue-mode",
    "x-queue-type",
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-delayed-retry-type",
];

#[test]
fn a_number_is_a_number_and_a_text_is_a_text() {
    for value in [Value::F64(1.5), Value::Bool(true), text("5"), Value::Null, Value::Array(vec![]), Table::new().into()]
    {
        for name in NUMBERS {
            assert_eq!(problem(&[(name, value.clone())]), ArgumentProblem::WrongType, "{name} {value:?}");
        }
    }
    for value in [int(5), Value::Bool(true), Value::Null, Value::Array(vec![]), Table::new().into()] {
        for name in TEXTS {
            assert_eq!(problem(&[(name, value.clone())]), ArgumentProblem::UnacceptableType, "{name} {value:?}");
        }
    }
    for value in [int(1), text("true"), Value::Null] {
        assert_eq!(problem(&[("x-single-active-consumer", value)]), ArgumentProblem::UnacceptableType);
    }
}

#[test]
fn numbers_out_of_their_range_are_refused() {
    for name in NUMBERS.iter().filter(|name| **name != "x-delivery-limit") {
        assert_eq!(problem(&[(name, int(-1))]), ArgumentProblem::Negative, "{name}");
        assert_eq!(problem(&[(name, int(i64::MIN))]), ArgumentProblem::Negative, "{name}");
    }
    for name in ["x-expires", "x-consumer-timeout", "x-delayed-retry-min", "x-quorum-initial-group-size"] {
        assert_eq!(problem(&[(name, int(0))]), ArgumentProblem::Zero, "{name}");
    }
    let too_large = ArgumentProblem::TooLarge { max: ARGUMENT_MS_MAX };
    for name in ["x-message-ttl", "x-expires", "x-consumer-timeout", "x-delayed-retry-max"] {
        assert!(rules(&[(name, int(ARGUMENT_MS_MAX as i64))]).is_ok());
        for value in [int(ARGUMENT_MS_MAX as i64 + 1), int(i64::MAX), Value::U64(u64::MAX)] {
            assert_eq!(problem(&[(name, value)]), too_large, "{name}");
        }
    }
    let exceeded = |number: i64| ArgumentProblem::Other(format!("{{max_value_exceeded,{number}}}"));
    assert_eq!(problem(&[("x-max-priority", int(256))]), exceeded(256));
    assert_eq!(problem(&[("x-max-priority", int(i64::MAX))]), exceeded(i64::MAX));
    assert_eq!(rules(&[("x-max-priority", int(255))]).unwrap().priority_max, 255);
}

#[test]
fn absurd_numbers_are_only_numbers() {
    let huge = Value::U64(1 << 63);
    let all = ["x-max-length", "x-max-length-bytes", "x-delivery-limit"].map(|name| (name, huge.clone()));
    let rules = rules(&all).unwrap();
    assert_eq!((rules.length_max, rules.bytes_max), (Some(1 << 63), Some(1 << 63)));
    assert_eq!(rules.delivery_limit, Some(u32::MAX));
}

#[test]
fn only_known_words_are_taken() {
    for (name, words) in [
        ("x-overflow", "invalid_overflow"),
        ("x-queue-mode", "\"unsupported queue mode 'x'\""),
        ("x-queue-type", "\"unsupported queue type 'x'\""),
        ("x-queue-leader-locator", "invalid_queue_locator_arg"),
        ("x-delayed-retry-type", "invalid_delayed_retry_type"),
        ("x-dead-letter-strategy", "invalid_dlx_strategy"),
        ("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"),
    ] {
        assert_eq!(problem(&[(name, text("x"))]), ArgumentProblem::Other(words.to_owned()));
    }
    let version = "\"unsupported queue version '5'\"".to_owned();
    assert_eq!(problem(&[("x-queue-version", int(5))]), ArgumentProblem::Other(version));
    assert_eq!(problem(&[("x-max-age", text("1h"))]), ArgumentProblem::NotOfType("rabbit_classic_queue"));
    for (name, value) in [
        ("x-queue-mode", text("lazy")),
        ("x-queue-version", int(2)),
        ("x-queue-master-locator", text("min-masters")),
        ("x-queue-leader-locator", text("balanced")),
        ("x-quorum-initial-group-size", int(3)),
        ("x-unheard-of", Value::Null),
    ] {
        assert_eq!(rules(&[(name, value)]).unwrap(), Rules::default(), "{name} means nothing");
    }
}

#[test]
fn a_quorum_queue_is_durable_shared_and_has_other_defaults() {
    let usual = rules(&[quorum()]).unwrap();
    assert_eq!((usual.delivery_limit, usual.priority_max, usual.tells_attempts), (Some(20), 31, true));
    for (argument, limit) in [(-1, None), (0, Some(0)), (100, Some(100))] {
        let limited = rules(&[quorum(), ("x-delivery-limit", int(argument))]).unwrap();
        assert_eq!(limited.delivery_limit, limit);
    }
    for name in CLASSIC_ONLY {
        assert_eq!(problem(&[quorum(), (name, text("default"))]), ArgumentProblem::NotOfType("rabbit_quorum_queue"));
    }
    let usual = options(&[quorum()]);
    for (wrong, property) in [
        (QueueOptions { durable: false, ..usual.clone() }, "non-durable"),
        (QueueOptions { durable: false, exclusive: true, ..usual.clone() }, "exclusive-owner"),
        (QueueOptions { auto_delete: true, ..usual.clone() }, "auto-delete"),
    ] {
        let refused = Rules::of(&resource(), &wrong, &Effective::default(), &QueueSettings::default());
        assert_eq!(refused, Err(Error::InvalidProperty { resource: resource(), property }));
    }
}

#[test]
fn of_numbers_the_smallest_counts_and_otherwise_the_argument_before_the_operator_before_the_policy() {
    let table = |pairs: &[(&str, Value)]| {
        let mut table = Table::new();
        for (name, value) in pairs {
            table.push(*name, value.clone());
        }
        table
    };
    let under = |arguments: &[(&str, Value)], policy: &[(&str, Value)], operator: &[(&str, Value)]| {
        let policy = Effective { policy: table(policy), operator: table(operator) };
        Rules::of(&resource(), &options(arguments), &policy, &QueueSettings::default()).unwrap()
    };
    for numbers in [[1, 2, 3], [3, 1, 2], [2, 3, 1]] {
        let [argument, policy, operator] = numbers.map(int);
        let rules = under(&[("x-max-length", argument)], &[("max-length", policy)], &[("max-length", operator)]);
        assert_eq!(rules.length_max, Some(1));
    }
    let overflow = |arguments: &[_], policy: &[_], operator: &[_]| under(arguments, policy, operator).overflow;
    let [drop, reject, dlx] = ["drop-head", "reject-publish", "reject-publish-dlx"].map(text);
    let policy = [("overflow", reject.clone())];
    assert_eq!(overflow(&[], &policy, &[]), Overflow::RejectPublish);
    assert_eq!(overflow(&[], &policy, &[("overflow", dlx.clone())]), Overflow::RejectPublishDeadLetter);
    assert_eq!(overflow(&[("x-overflow", drop)], &policy, &[("overflow", dlx)]), Overflow::DropHead);
    let limit = |arguments: &[_], policy: i64| under(arguments, &[("delivery-limit", int(policy))], &[]).delivery_limit;
    assert_eq!(limit(&[quorum()], 5), Some(5));
    assert_eq!(limit(&[("x-delivery-limit", int(3))], 5), Some(3));
    assert_eq!(limit(&[("x-delivery-limit", int(3))], -1), Some(3), "no limit is not the smallest one");
    assert_eq!(limit(&[quorum()], -1), None);
    let dead = under(&[("x-dead-letter-exchange", text("a"))], &[("dead-letter-exchange", text("b"))], &[]);
    assert_eq!(&*dead.dead_letter.unwrap().exchange, "a");
    let dead = under(&[], &[("dead-letter-exchange", text("b")), ("dead-letter-routing-key", text("k"))], &[]);
    assert_eq!(dead.dead_letter.unwrap().key.as_deref(), Some(&b"k"[..]));
    // Nonsense in a policy is passed over.
    let nonsense = [("max-length", text("x")), ("message-ttl", int(-5)), ("overflow", int(1)), ("expires", int(0))];
    assert_eq!(under(&[], &nonsense, &nonsense), Rules::default());
}

#[test]
fn what_is_dropped_for_want_of_room_is_not_kept_elsewhere_for_ever() {
    let strategy = [("x-dead-letter-exchange", text("")), ("x-dead-letter-strategy", text("at-least-once"))];
    let kept = |more: &[(&'static str, Value)]| {
        rules(&[&strategy[..], more].concat()).unwrap().dead_letter.unwrap().at_least_once
    };
    let (full, reject) = (("x-max-length", int(1)), ("x-overflow", text("reject-publish")));
    assert!(kept(&[]));
    assert!(!kept(std::slice::from_ref(&full)));
    assert!(kept(&[full, reject]));
}

#[test]
fn retries_wait_longer_each_time_up_to_the_longest() {
    let delay = |more: &[(&'static str, Value)]| {
        rules(&[&[("x-delayed-retry-type", text("all"))][..], more].concat()).unwrap().retry_delay
    };
    assert_eq!(delay(&[]), None, "without a time there is nothing to wait for");
    let constant = delay(&[("x-delayed-retry-min", int(5))]).unwrap();
    assert_eq!([1, 2, 3].map(|attempts| constant.after_ms(attempts)), [5, 5, 5]);
    let linear = delay(&[("x-delayed-retry-min", int(5)), ("x-delayed-retry-max", int(12))]).unwrap();
    assert_eq!([1, 2, 3, u32::MAX].map(|attempts| linear.after_ms(attempts)), [5, 10, 12, 12]);
}
