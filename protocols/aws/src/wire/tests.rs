//! The shapes and the errors, compared with facts that were derived from the service models as AWS's own clients have them. Of SQS: names and types from the one for JSON, names in Query and codes of errors from the last one for Query. A line is an action,
//! `in` or `out`, a path in JSON, the same in Query, and a type; or `error`, its name, its code in Query and its status, `-` where
//! the model does not say.

use super::shapes::Shape;
use crate::error::{Fault, faults};
use crate::service::Service;
use crate::sns;

const FACTS: &str = include_str!("testdata/sqs-2012-11-05.txt");
const SNS_FACTS: &str = include_str!("testdata/sns-2010-03-31.txt");

fn describe(lines: &mut Vec<String>, shape: &Shape, [operation, way]: [&str; 2], path: &str, query_path: &str) {
    let leaf = |path: &str, query_path: &str, kind: &str| format!("{operation} {way} {path} {query_path} {kind}");
    let step = |path: &str, name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match shape {
        Shape::String => lines.push(leaf(path, query_path, "string")),
        Shape::Blob => lines.push(leaf(path, query_path, "blob")),
        Shape::Integer => lines.push(leaf(path, query_path, "integer")),
        Shape::Boolean => lines.push(leaf(path, query_path, "boolean")),
        Shape::Timestamp => lines.push(leaf(path, query_path, "timestamp")),
        Shape::Within(part, shape) => {
            describe(lines, shape, [operation, way], path, &format!("{query_path}.{part}"));
        }
        Shape::Structure(members) => {
            for (at, member) in members.iter().enumerate() {
                // A second name of the same member is one that some clients have for it.
                if members[..at].iter().all(|other| other.name != member.name) {
                    let (path, query_path) = (step(path, member.name), step(query_path, member.query_name));
                    describe(lines, &member.shape, [operation, way], &path, &query_path);
                }
            }
        }
        Shape::List(item) => {
            describe(lines, item, [operation, way], &format!("{path}[]"), &format!("{query_path}.N"));
        }
        Shape::Map { key, value, shape } => {
            lines.push(leaf(&format!("{path}{{key}}"), &format!("{query_path}.N.{key}"), "string"));
            describe(lines, shape, [operation, way], &format!("{path}{{}}"), &format!("{query_path}.N.{value}"));
        }
    }
}

#[test]
fn shapes_are_those_of_the_service_model() {
    for (service, facts, operations) in [(Service::Sqs, FACTS, 23), (Service::Sns, SNS_FACTS, 42)] {
        let mut lines = Vec::new();
        for operation in service.operations() {
            describe(&mut lines, &operation.input, [operation.name, "in"], "", "");
            if let Some(output) = &operation.output {
                describe(&mut lines, output, [operation.name, "out"], "", "");
            }
        }
        let is_of_a_member = |line: &&str| !line.starts_with("error ") && !line.starts_with("result ");
        let members: Vec<_> = facts.lines().filter(is_of_a_member).collect();
        for fact in &members {
            assert!(lines.iter().any(|line| line == fact), "not here: {fact}");
        }
        for line in &lines {
            assert!(members.contains(&line.as_str()), "not in the model: {line}");
        }
        assert_eq!((lines.len(), service.operations().len()), (members.len(), operations));
    }
    // Some actions of SNS answer with a result that has nothing in it.
    let results: Vec<_> = SNS_FACTS.lines().filter_map(|line| line.strip_prefix("result ")).collect();
    let operations = Service::Sns.operations().iter().filter(|operation| operation.output.is_some());
    assert!(operations.map(|operation| operation.name).eq(results));
}

#[test]
fn errors_are_those_of_the_service_model() {
    const OF_SQS: [&Fault; 28] = [
        &faults::BATCH_ENTRY_IDS_NOT_DISTINCT,
        &faults::BATCH_REQUEST_TOO_LONG,
        &faults::EMPTY_BATCH_REQUEST,
        &faults::INVALID_ADDRESS,
        &faults::INVALID_ATTRIBUTE_NAME,
        &faults::INVALID_ATTRIBUTE_VALUE,
        &faults::INVALID_BATCH_ENTRY_ID,
        &faults::INVALID_ID_FORMAT,
        &faults::INVALID_MESSAGE_CONTENTS,
        &faults::INVALID_SECURITY,
        &faults::KMS_ACCESS_DENIED,
        &faults::KMS_DISABLED,
        &faults::KMS_INVALID_KEY_USAGE,
        &faults::KMS_INVALID_STATE,
        &faults::KMS_NOT_FOUND,
        &faults::KMS_OPT_IN_REQUIRED,
        &faults::KMS_THROTTLED,
        &faults::MESSAGE_NOT_INFLIGHT,
        &faults::OVER_LIMIT,
        &faults::PURGE_QUEUE_IN_PROGRESS,
        &faults::QUEUE_DELETED_RECENTLY,
        &faults::QUEUE_DOES_NOT_EXIST,
        &faults::QUEUE_NAME_EXISTS,
        &faults::RECEIPT_HANDLE_IS_INVALID,
        &faults::REQUEST_THROTTLED,
        &faults::RESOURCE_NOT_FOUND,
        &faults::TOO_MANY_ENTRIES_IN_BATCH_REQUEST,
        &faults::UNSUPPORTED_OPERATION,
    ];
    check_errors(FACTS, "sqs", &OF_SQS);
    const OF_SNS: [&Fault; 34] = [
        &sns::faults::AUTHORIZATION_ERROR,
        &sns::faults::BATCH_ENTRY_IDS_NOT_DISTINCT,
        &sns::faults::BATCH_REQUEST_TOO_LONG,
        &sns::faults::CONCURRENT_ACCESS,
        &sns::faults::EMPTY_BATCH_REQUEST,
        &sns::faults::ENDPOINT_DISABLED,
        &sns::faults::FILTER_POLICY_LIMIT_EXCEEDED,
        &sns::faults::INTERNAL_ERROR,
        &sns::faults::INVALID_BATCH_ENTRY_ID,
        &sns::faults::INVALID_PARAMETER,
        &sns::faults::INVALID_PARAMETER_VALUE,
        &sns::faults::INVALID_SECURITY,
        &sns::faults::INVALID_STATE,
        &sns::faults::KMS_ACCESS_DENIED,
        &sns::faults::KMS_DISABLED,
        &sns::faults::KMS_INVALID_STATE,
        &sns::faults::KMS_NOT_FOUND,
        &sns::faults::KMS_OPT_IN_REQUIRED,
        &sns::faults::KMS_THROTTLING,
        &sns::faults::NOT_FOUND,
        &sns::faults::OPTED_OUT,
        &sns::faults::PLATFORM_APPLICATION_DISABLED,
        &sns::faults::REPLAY_LIMIT_EXCEEDED,
        &sns::faults::RESOURCE_NOT_FOUND,
        &sns::faults::STALE_TAG,
        &sns::faults::SUBSCRIPTION_LIMIT_EXCEEDED,
        &sns::faults::TAG_LIMIT_EXCEEDED,
        &sns::faults::TAG_POLICY,
        &sns::faults::THROTTLED,
        &sns::faults::TOO_MANY_ENTRIES_IN_BATCH_REQUEST,
        &sns::faults::TOPIC_LIMIT_EXCEEDED,
        &sns::faults::USER_ERROR,
        &sns::faults::VALIDATION,
        &sns::faults::VERIFICATION,
    ];
    check_errors(SNS_FACTS, "sns", &OF_SNS);
}

fn check_errors(facts: &str, service: &str, faults: &[&Fault]) {
    let facts: Vec<_> = facts.lines().filter_map(|line| line.strip_prefix("error ")).collect();
    assert_eq!(facts.len(), faults.len());
    for (fact, fault) in facts.iter().zip(faults) {
        let mut words = fact.split(' ');
        let mut next = || words.next().expect("three words");
        let (name, code, status) = (next(), next(), next());
        assert_eq!(fault.json_type, format!("com.amazonaws.{service}#{name}"));
        assert!(code == "-" || fault.query_code == code, "{fact}");
        assert!(status == "-" || fault.status.to_string() == status, "{fact}");
    }
}
