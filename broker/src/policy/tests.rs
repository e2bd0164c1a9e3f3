use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::definition::About;
use super::*;
use crate::queue::QueueOptions;
use crate::value::Value;

fn definition(settings: &[(&str, Value)]) -> Table {
    settings.iter().cloned().collect()
}

fn policy(name: &str, pattern: &str, priority: i64, apply_to: ApplyTo, settings: &[(&str, Value)]) -> Arc<Policy> {
    let pattern = Pattern::new(pattern).unwrap();
    Arc::new(Policy { name: name.to_owned(), pattern, apply_to, priority, definition: definition(settings) })
}

fn limited(name: &str, priority: i64) -> Arc<Policy> {
    policy(name, "^q", priority, ApplyTo::Queues, &[("max-length", Value::I64(priority))])
}

fn of_type(kind: &str) -> QueueOptions {
    QueueOptions { arguments: definition(&[("x-queue-type", kind.into())]), ..QueueOptions::default() }
}

fn name_of(policies: &Policies, queue: &str, options: &QueueOptions) -> Option<String> {
    policies.for_queue(queue, options, None).policy.map(|policy| policy.name.clone())
}

#[test]
fn the_highest_priority_wins_and_then_the_first_name() {
    let mut policies = Policies::default();
    for (name, priority) in [("c", 1), ("b", 2), ("d", -1), ("a", 2), ("e", 1)] {
        policies = policies.with(PolicyKind::User, limited(name, priority)).unwrap();
    }
    let order: Vec<_> = policies.of(PolicyKind::User).iter().map(|policy| &*policy.name).collect();
    assert_eq!(order, ["a", "b", "c", "e", "d"]);
    let classic = QueueOptions::default();
    assert_eq!(name_of(&policies, "q", &classic).as_deref(), Some("a"));
    assert_eq!(name_of(&policies, "other", &classic), None);
    // Set again with another priority it is one policy still.
    policies = policies.with(PolicyKind::User, limited("a", 0)).unwrap();
    assert_eq!((name_of(&policies, "q", &classic).as_deref(), policies.of(PolicyKind::User).len()), (Some("b"), 5));
    policies = policies.without(PolicyKind::User, "b");
    assert_eq!(name_of(&policies, "q", &classic).as_deref(), Some("c"));
    assert!(policies.for_queue("q", &classic, None).operator.is_none());
}

#[test]
fn a_policy_is_for_what_it_says_and_for_types_of_queues_that_have_all_its_settings() {
    use ApplyTo::{All, ClassicQueues, Exchanges, Queues, QuorumQueues, Streams};
    let length: &[_] = &[("max-length", Value::I64(1))];
    let limit: &[_] = &[("max-length", Value::I64(1)), ("delivery-limit", Value::I64(1))];
    let mirrored: &[_] = &[("ha-mode", "all".into())];
    let aged: &[_] = &[("max-age", "1h".into())];
    // Settings and apply-to; whether it is for classic queues, for quorum queues, for streams, for exchanges.
    let cases = [
        (length, All, true, true, false, true),
        (length, Queues, true, true, false, false),
        (length, Exchanges, false, false, false, true),
        (length, ClassicQueues, true, false, false, false),
        (length, QuorumQueues, false, true, false, false),
        (length, Streams, false, false, false, false),
        (limit, All, false, true, false, true),
        (limit, Queues, false, true, false, false),
        (limit, ClassicQueues, true, false, false, false),
        (mirrored, Queues, true, false, false, false),
        (mirrored, QuorumQueues, false, true, false, false),
        (aged, Queues, false, false, true, false),
        (aged, Streams, false, false, true, false),
    ];
    for (settings, apply_to, classic, quorum, stream, exchange) in cases {
        let policies = Policies::default().with(PolicyKind::User, policy("p", "", 0, apply_to, settings)).unwrap();
        let is = |matched: Matched| matched.policy.is_some();
        let found = (
            is(policies.for_queue("q", &of_type("classic"), None)),
            is(policies.for_queue("q", &of_type("quorum"), None)),
            is(policies.for_queue("q", &of_type("stream"), None)),
            is(policies.for_exchange("x", None)),
        );
        assert_eq!(found, (classic, quorum, stream, exchange), "{settings:?} {apply_to:?}");
        assert!(!is(policies.for_exchange("", None)));
    }
}

#[test]
fn of_both_policies_the_smaller_number_counts_and_otherwise_the_operators_word() {
    let settings = [("max-length", Value::I64(5)), ("message-ttl", Value::I64(1)), ("overflow", "drop-head".into())];
    let user = policy("p", "", 0, ApplyTo::All, &settings);
    let settings = [("delivery-limit", Value::I64(7)), ("max-length", Value::I64(3)), ("message-ttl", Value::I64(2))];
    let operator = policy("o", "", 0, ApplyTo::All, &settings);
    let policies = Policies::default().with(PolicyKind::User, user).unwrap();
    let policies = policies.with(PolicyKind::Operator, operator).unwrap();
    let applied = Applied::new(&policies, policies.for_queue("q", &of_type("quorum"), None));
    assert_eq!((applied.policy(), applied.operator_policy()), (Some("p"), Some("o")));
    let expected = [
        ("delivery-limit", Value::I64(7)),
        ("max-length", Value::I64(3)),
        ("message-ttl", Value::I64(1)),
        ("overflow", "drop-head".into()),
    ];
    assert_eq!(applied.definition(), definition(&expected));
    assert!(Applied::default().definition().is_empty());
}

#[test]
fn a_newer_list_is_followed_and_an_older_one_is_not() {
    let first = Policies::default().with(PolicyKind::User, limited("one", 1)).unwrap();
    let second = first.with(PolicyKind::User, limited("two", 2)).unwrap();
    let classic = QueueOptions::default();
    let mut applied = Applied::default();
    assert!(applied.follow(&second, |before| second.for_queue("q", &classic, before)));
    assert!(!applied.follow(&first, |before| first.for_queue("q", &classic, before)));
    assert_eq!(applied.policy(), Some("two"));
    // A change of something else is none.
    let third = second.with(PolicyKind::User, limited("three", 0)).unwrap();
    assert!(!applied.follow(&third, |before| third.for_queue("q", &classic, before)));
}

#[test]
fn there_are_so_many_policies_and_no_more_and_one_can_still_be_set_again() {
    let mut policies = Policies::default();
    for index in 0..POLICIES_MAX {
        policies = policies.with(PolicyKind::User, limited(&index.to_string(), 1)).unwrap();
    }
    assert!(policies.with(PolicyKind::User, limited("more", 1)).is_none());
    let again = policies.with(PolicyKind::User, limited("7", 2)).unwrap();
    assert_eq!(again.of(PolicyKind::User).len(), POLICIES_MAX);
    assert!(policies.with(PolicyKind::Operator, limited("more", 1)).is_some());
}

fn problem(kind: PolicyKind, settings: &[(&str, Value)]) -> Option<String> {
    let problem = definition::check(kind, &definition(settings)).err()?;
    let about = match &problem.about {
        None => String::new(),
        Some(About::Value(value)) => format!("{value:?}"),
        Some(About::Settings(settings)) => format!("{:?}", settings.iter().map(|(name, _)| name).collect::<Vec<_>>()),
    };
    Some(format!("{}{about}{}", problem.before, problem.after))
}

#[test]
fn settings_have_the_values_that_rabbitmq_gives_them() {
    let user = |name: &str, value: Value| problem(PolicyKind::User, &[(name, value)]);
    let fine: &[(&str, &[Value])] = &[
        ("alternate-exchange", &["".into(), "x".into()]),
        ("expires", &[1.into(), Value::U64(u64::MAX)]),
        ("max-length", &[0.into()]),
        ("message-ttl", &[0.into()]),
        ("delivery-limit", &[0.into(), Value::I64(-1)]),
        ("overflow", &["drop-head".into(), "reject-publish".into(), "reject-publish-dlx".into()]),
        ("queue-mode", &["lazy".into()]),
        ("queue-version", &[2.into()]),
        ("max-age", &["1h".into(), "0012Y".into()]),
        ("stream-max-segment-size-bytes", &[Value::I64(3_000_000_000)]),
        ("ha-mode", &["all".into()]),
        ("queue-leader-locator", &["balanced".into()]),
        ("single-active-consumer", &[true.into()]),
    ];
    for (name, values) in fine {
        for value in *values {
            assert_eq!(user(name, value.clone()), None, "{name}");
        }
    }
    let wrong: &[(&str, &[Value])] = &[
        ("alternate-exchange", &[1.into(), Value::Null]),
        ("expires", &[0.into(), Value::I64(-1), "1".into(), Value::F64(1.5)]),
        ("max-length", &[Value::I64(-1), "1".into(), Value::Null, true.into()]),
        ("overflow", &["reject".into(), 1.into()]),
        ("queue-version", &[3.into(), "2".into()]),
        ("max-age", &["h".into(), "0h".into(), "12".into(), "12x".into(), "1hh".into(), "".into(), 1.into()]),
        ("stream-max-segment-size-bytes", &[Value::I64(3_000_000_001)]),
        ("dead-letter-strategy", &["twice".into()]),
        ("max-priority", &[0.into(), 256.into()]),
        ("ha-mode", &["some".into(), 1.into(), "exactly".into(), "nodes".into()]),
    ];
    for (name, values) in wrong {
        for value in *values {
            assert!(user(name, value.clone()).is_some(), "{name} {value:?}");
        }
    }
    let mirrored = |more: (&str, Value)| problem(PolicyKind::User, &[("ha-mode", "exactly".into()), more]);
    assert_eq!(mirrored(("ha-params", 2.into())), None);
    assert_eq!(
        mirrored(("ha-params", 0.into())).as_deref(),
        Some("ha-mode=\"exactly\" takes an integer, I32(0) given")
    );
    assert!(user("ha-params", 2.into()).is_some_and(|words| words.starts_with("ha-mode must be specified")));
}

#[test]
fn unknown_settings_are_told_together_and_operators_have_fewer() {
    let settings = [("max-length", 1.into()), ("one", 1.into()), ("two", 2.into())];
    let words = problem(PolicyKind::User, &settings).unwrap();
    assert_eq!(words, "[\"one\", \"two\"] are not recognised policy settings");
    assert_eq!(problem(PolicyKind::User, &[]).as_deref(), Some("no policy provided"));
    assert_eq!(problem(PolicyKind::Operator, &[("max-length", 1.into()), ("expires", 1.into())]), None);
    for name in ["overflow", "dead-letter-exchange", "ha-mode", "alternate-exchange"] {
        let words = problem(PolicyKind::Operator, &[(name, "x".into())]).unwrap();
        assert!(words.ends_with("are not recognised policy settings"), "{words}");
    }
}

proptest! {
    /// Following change by change comes to the same as looking at all policies.
    #[test]
    fn one_change_more_is_followed_as_if_all_were_asked(
        changes in vec((0..6_u8, any::<bool>(), any::<bool>(), -1..2_i64, 0..4_usize), 0..40),
    ) {
        const PATTERNS: [&str; 4] = ["^q", "^x", "1$", ""];
        let names = ["q1", "q2", "x1", "y"];
        let mut policies = Policies::default();
        let mut followers = vec![Applied::default(); names.len()];
        for (name, set, operator, priority, pattern) in changes {
            let kind = if operator { PolicyKind::Operator } else { PolicyKind::User };
            let name = format!("p{name}");
            policies = if set {
                let limit = [("max-length", Value::I64(1))];
                policies.with(kind, policy(&name, PATTERNS[pattern], priority, ApplyTo::All, &limit)).unwrap()
            } else {
                policies.without(kind, &name)
            };
            for (follower, name) in followers.iter_mut().zip(names) {
                let classic = QueueOptions::default();
                let before = follower.clone();
                let changed = follower.follow(&policies, |before| policies.for_queue(name, &classic, before));
                let all = Applied::new(&policies, policies.for_queue(name, &classic, None));
                prop_assert_eq!((follower.policy(), follower.operator_policy()), (all.policy(), all.operator_policy()));
                prop_assert_eq!(follower.definition(), all.definition());
                if !changed {
                    prop_assert_eq!(before.definition(), follower.definition());
                }
            }
        }
    }
}
