use gantry_broker::QueueSettings;

use super::told::value;
use super::*;
use crate::sqs::pairs::{Pairs, Text};

fn given<'a>(attributes: &[(&'a str, &'a str)]) -> Given<'a> {
    Pairs(attributes.iter().map(|(name, value)| ((*name).into(), Text((*value).into()))).collect())
}

fn applied(is_fifo: bool, attributes: &[(&str, &str)]) -> Result<QueueSettings, (&'static str, String)> {
    let mut settings = usual(is_fifo);
    apply(&given(attributes), &mut settings, true)
        .map(|_| settings)
        .map_err(|error| (error.query_code(), error.message.into_owned()))
}

const DEFAULTS: &[(&str, &str)] = &[
    (names::VISIBILITY_TIMEOUT, "30"),
    (names::MAXIMUM_MESSAGE_SIZE, "1048576"),
    (names::MESSAGE_RETENTION_PERIOD, "345600"),
    (names::DELAY_SECONDS, "0"),
    (names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS, "0"),
    (names::SQS_MANAGED_SSE_ENABLED, "true"),
];

#[test]
fn a_queue_has_awss_defaults_whoever_made_it() {
    for settings in [usual(false), QueueSettings::default()] {
        for (name, expected) in DEFAULTS {
            assert_eq!(value(name, &settings).as_deref(), Some(*expected), "{name}");
        }
        for name in [names::POLICY, names::REDRIVE_POLICY, names::KMS_MASTER_KEY_ID, names::FIFO_QUEUE] {
            assert_eq!(value(name, &settings), None, "{name}");
        }
    }
    for (name, expected) in [
        (names::FIFO_QUEUE, "true"),
        (names::CONTENT_BASED_DEDUPLICATION, "false"),
        (names::DEDUPLICATION_SCOPE, "queue"),
        (names::FIFO_THROUGHPUT_LIMIT, "perQueue"),
    ] {
        assert_eq!(value(name, &usual(true)).as_deref(), Some(expected));
    }
}

#[test]
fn numbers_have_awss_ranges() {
    for (name, least, most) in [
        (names::DELAY_SECONDS, 0_u64, 900_u64),
        (names::MAXIMUM_MESSAGE_SIZE, 1024, 1_048_576),
        (names::MESSAGE_RETENTION_PERIOD, 60, 1_209_600),
        (names::RECEIVE_MESSAGE_WAIT_TIME_SECONDS, 0, 20),
        (names::VISIBILITY_TIMEOUT, 0, 43_200),
        (names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS, 60, 86_400),
    ] {
        for number in [least, most] {
            let text = number.to_string();
            let settings = applied(false, &[(names::KMS_MASTER_KEY_ID, "k"), (name, &text)]).unwrap();
            assert_eq!(value(name, &settings), Some(text));
        }
        let (below, above) = (least.wrapping_sub(1) as i64, most + 1);
        for text in
            [&*below.to_string(), &above.to_string(), "", " 60", "6e1", "60.0", "+60", "x", "99999999999999999999"]
        {
            let expected = ("InvalidAttributeValue", format!("Invalid value for the parameter {name}."));
            assert_eq!(applied(false, &[(name, text)]), Err(expected), "{name} {text}");
        }
    }
}

#[test]
fn attributes_that_do_not_belong_are_refused_in_awss_words() {
    let unknown = |name: &str| ("InvalidAttributeName", format!("Unknown Attribute {name}."));
    for name in ["Foo", "", names::ALL, names::QUEUE_ARN, names::MESSAGES, names::CREATED_TIMESTAMP] {
        assert_eq!(applied(false, &[(name, "1")]), Err(unknown(name)));
        assert_eq!(applied(true, &[(name, "1")]), Err(unknown(name)));
    }
    assert_eq!(
        applied(false, &[(names::CONTENT_BASED_DEDUPLICATION, "true")]),
        Err(unknown("ContentBasedDeduplication"))
    );
    for name in [names::DEDUPLICATION_SCOPE, names::FIFO_THROUGHPUT_LIMIT] {
        let words = format!("You can specify the {name} only when FifoQueue is set to true.");
        assert_eq!(applied(false, &[(name, "queue")]), Err(("InvalidAttributeName", words)));
    }
    let both = [(names::KMS_MASTER_KEY_ID, "k"), (names::SQS_MANAGED_SSE_ENABLED, "true")];
    assert_eq!(applied(false, &both).unwrap_err().0, "InvalidAttributeName");
    let limit = [(names::FIFO_THROUGHPUT_LIMIT, "perMessageGroupId")];
    assert_eq!(applied(true, &limit).unwrap_err().0, "InvalidAttributeValue");
    assert!(applied(true, &[limit[0], (names::DEDUPLICATION_SCOPE, "messageGroup")]).is_ok());
    assert_eq!(is_fifo(&given(&[(names::FIFO_QUEUE, "false")])).unwrap_err().message, "Unknown Attribute FifoQueue.");
    assert_eq!(is_fifo(&given(&[(names::FIFO_QUEUE, "true")])), Ok(true));
    let mut settings = usual(true);
    let error = apply(&given(&[(names::FIFO_QUEUE, "false")]), &mut settings, false).unwrap_err();
    assert_eq!(
        error.message,
        "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
    );
}

#[test]
fn one_way_of_encrypting_ends_the_other() {
    let mut settings = applied(false, &[(names::KMS_MASTER_KEY_ID, "alias/x")]).unwrap();
    assert_eq!(value(names::SQS_MANAGED_SSE_ENABLED, &settings).as_deref(), Some("false"));
    assert_eq!(value(names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS, &settings).as_deref(), Some("300"));
    apply(&given(&[(names::SQS_MANAGED_SSE_ENABLED, "true")]), &mut settings, false).unwrap();
    assert_eq!(value(names::KMS_MASTER_KEY_ID, &settings), None);
    assert_eq!(value(names::KMS_DATA_KEY_REUSE_PERIOD_SECONDS, &settings), None);
    assert_eq!(value(names::SQS_MANAGED_SSE_ENABLED, &settings).as_deref(), Some("true"));
}

#[test]
fn policies_are_kept_without_spaces_and_removed_by_an_empty_text() {
    let text = r#"{ "Version": "2012-10-17",
        "Statement": [{"Sid": "a \" b", "Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}] }"#;
    let mut settings = applied(false, &[(names::POLICY, text)]).unwrap();
    assert_eq!(
        value(names::POLICY, &settings).unwrap(),
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"a \" b","Effect":"Allow","Principal":"*","Action":"sqs:*","Resource":"*"}]}"#
    );
    apply(&given(&[(names::POLICY, "")]), &mut settings, false).unwrap();
    assert_eq!(value(names::POLICY, &settings), None);
    for bad in ["x", "[]", "{}", "5"] {
        assert_eq!(applied(false, &[(names::POLICY, bad)]).unwrap_err().1, "Invalid value for the parameter Policy.");
    }
}

#[test]
fn redrive_policies_are_read_as_aws_reads_them() {
    let arn = "arn:aws:sqs:us-east-1:000000000000:dead";
    for count in ["5", "\"5\""] {
        let policy =
            RedrivePolicy::parse(&format!("{{\"maxReceiveCount\":{count},\"deadLetterTargetArn\":\"{arn}\"}}"));
        assert_eq!(policy.unwrap().text(), format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":5}}"));
    }
    let error = |text: &str| RedrivePolicy::parse(text).unwrap_err().message.into_owned();
    for text in ["[]", "x", "5", "\"a\""] {
        assert_eq!(
            error(text),
            "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map."
        );
    }
    let value =
        |text: &str, reason: &str| format!("Value {text} for parameter RedrivePolicy is invalid. Reason: {reason}");
    for (text, reason) in [
        ("{}".to_owned(), "Redrive policy does not contain mandatory attribute: maxReceiveCount."),
        (
            r#"{"maxReceiveCount":5}"#.to_owned(),
            "Redrive policy does not contain mandatory attribute: deadLetterTargetArn.",
        ),
        (
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":4023}}"#),
            "Invalid value for maxReceiveCount: 4023, valid values are from 1 to 1000 both inclusive.",
        ),
        (
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"x"}}"#),
            "Invalid value for maxReceiveCount: x, valid values are from 1 to 1000 both inclusive.",
        ),
        (
            format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":5,"x":1}}"#),
            "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].",
        ),
    ] {
        assert_eq!(error(&text), value(&text, reason));
    }
}

#[test]
fn redrive_allow_policies_say_which_queues_may() {
    let parse = |text: &str| RedriveAllowPolicy::parse(text).map_err(|error| error.message.into_owned());
    assert!(parse(r#"{"redrivePermission":"allowAll"}"#).unwrap().allows("a"));
    assert!(!parse(r#"{"redrivePermission":"denyAll"}"#).unwrap().allows("a"));
    let by_queue = parse(r#"{"redrivePermission":"byQueue","sourceQueueArns":["a","b"]}"#).unwrap();
    assert!(by_queue.allows("a") && !by_queue.allows("c"));
    let unsupported = "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the redrive \
                       allow policy, as it’s in an unsupported format.";
    for text in ["x", "[]", "{}", r#"{"redrivePermission":"x"}"#, r#"{"redrivePermission":"allowAll","x":1}"#] {
        assert_eq!(parse(text).unwrap_err(), unsupported);
    }
    for text in [
        r#"{"redrivePermission":"byQueue"}"#,
        r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
        r#"{"redrivePermission":"denyAll","sourceQueueArns":["a"]}"#,
        r#"{"redrivePermission":"byQueue","sourceQueueArns":["","","","","","","","","","",""]}"#,
    ] {
        assert!(
            parse(text).unwrap_err().starts_with(&format!("Value {text} for parameter RedriveAllowPolicy is invalid."))
        );
    }
}

#[test]
fn a_queue_is_the_same_where_what_is_asked_for_is_the_same() {
    let target = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"5"}"#;
    let mut settings =
        applied(true, &[(names::DELAY_SECONDS, "5"), (names::CONTENT_BASED_DEDUPLICATION, "TRUE")]).unwrap();
    set_redrive(&mut settings, &RedrivePolicy::parse(target).unwrap(), "dead".into());
    let same = |attributes: &[(&str, &str)]| check_same(&given(attributes), &settings);
    for attributes in [
        &[][..],
        &[(names::DELAY_SECONDS, "5"), (names::FIFO_QUEUE, "true")],
        &[(names::CONTENT_BASED_DEDUPLICATION, "true"), (names::VISIBILITY_TIMEOUT, "30")],
        &[(names::REDRIVE_POLICY, target)],
    ] {
        assert_eq!(same(attributes), Ok(()));
    }
    for (name, value) in [
        (names::DELAY_SECONDS, "1"),
        (names::CONTENT_BASED_DEDUPLICATION, "false"),
        (names::DEDUPLICATION_SCOPE, "messageGroup"),
        (names::MAXIMUM_MESSAGE_SIZE, "2048"),
        (
            names::REDRIVE_POLICY,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":6}"#,
        ),
    ] {
        let error = same(&[(name, value)]).unwrap_err();
        let words = format!("A queue already exists with the same name and a different value for attribute {name}");
        assert_eq!((error.query_code(), &*error.message), ("QueueAlreadyExists", &*words));
    }
}

#[test]
fn what_is_told_is_what_was_asked_for() {
    let settings = usual(false);
    let told = |wanted: &[&'static str]| {
        told(wanted.iter().copied(), &settings, "arn", || Counts { visible: 1, in_flight: 2, delayed: 3 })
    };
    assert_eq!(told(&[]), Ok(vec![]));
    let expected = vec![(names::QUEUE_ARN, "arn".to_owned()), (names::MESSAGES_DELAYED, "3".to_owned())];
    assert_eq!(told(&[names::MESSAGES_DELAYED, names::QUEUE_ARN, names::POLICY]), Ok(expected));
    let all = told(&[names::ALL]).unwrap();
    assert_eq!(all.len(), 12, "{all:?}");
    assert_eq!(told(&["Foo"]).unwrap_err().message, "Unknown Attribute Foo.");
}
