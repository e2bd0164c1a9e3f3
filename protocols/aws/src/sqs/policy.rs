//! Permissions by label: statements of a queue's policy.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fault;
use super::limits::{PERMISSION_ACCOUNTS_MAX, PERMISSION_ACTIONS_MAX};
use crate::account::is_account;
use crate::error::Error;

/// A policy that somebody else may have written: what is not understood here stays.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    #[serde(rename = "Version", default = "version")]
    version: Value,
    #[serde(rename = "Id", default, skip_serializing_if = "Value::is_null")]
    id: Value,
    #[serde(rename = "Statement", default)]
    statements: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn version() -> Value {
    Value::from("2008-10-17")
}

/// Actions that a queue's owner may permit to others.
const ACTIONS: &[&str] = &[
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// Actions that only a queue's owner has: no policy gives them to another account.
pub(crate) const ACTIONS_OF_OWNERS: &[&str] = &[
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

/// A queue's policy with one more permission.
pub(crate) fn with(
    policy: Option<&str>,
    arn: &str,
    label: &str,
    accounts: &[&str],
    actions: &[&str],
) -> Result<String, Error> {
    if actions.is_empty() {
        return Err(fault::missing_parameter("Actions"));
    }
    if actions.len() > PERMISSION_ACTIONS_MAX {
        let message = format!("{} Actions were found, maximum allowed is {PERMISSION_ACTIONS_MAX}.", actions.len());
        return Err(fault::over_limit(message));
    }
    if accounts.is_empty() {
        return Err(fault::missing_parameter("AWSAccountIds"));
    }
    if let Some(stranger) = accounts.iter().find(|account| !is_account(account)) {
        return Err(fault::invalid_value(
            format_args!("[{}]", fault::shown(stranger)),
            "PrincipalId",
            "Unable to verify.",
        ));
    }
    if accounts.len() > PERMISSION_ACCOUNTS_MAX {
        let message =
            format!("{} AWSAccountIds were found, maximum allowed is {PERMISSION_ACCOUNTS_MAX}.", accounts.len());
        return Err(fault::over_limit(message));
    }
    if let Some(action) = actions.iter().find(|action| !ACTIONS.contains(action)) {
        let reason = if ACTIONS_OF_OWNERS.contains(action) {
            "Only the queue owner is allowed to invoke this action."
        } else {
            "Please refer to the appropriate WSDL for a list of valid actions."
        };
        return Err(fault::invalid_value(format_args!("SQS:{}", fault::shown(action)), "ActionName", reason));
    }
    let mut document = match policy {
        Some(policy) => read(policy)?,
        None => Document {
            version: version(),
            id: Value::from(format!("{arn}/SQSDefaultPolicy")),
            statements: Value::Array(Vec::new()),
            rest: Map::new(),
        },
    };
    let mut statements = taken(&mut document);
    if statements.iter().any(|statement| is_labelled(statement, label)) {
        return Err(fault::invalid_value(label, "Label", "Already exists."));
    }
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(accounts.iter().map(|account| format!("arn:aws:iam::{account}:root"))) },
        "Action": one_or_many(actions.iter().map(|action| format!("SQS:{action}"))),
        "Resource": arn,
    }));
    document.statements = Value::Array(statements);
    written(&document)
}

/// A queue's policy with one permission less; none where that was the last one.
pub(crate) fn without(policy: Option<&str>, label: &str) -> Result<Option<String>, Error> {
    let not_there = || fault::invalid_value(fault::shown(label), "Label", "can't find label.");
    let mut document = read(policy.ok_or_else(not_there)?)?;
    let mut statements = taken(&mut document);
    let before = statements.len();
    statements.retain(|statement| !is_labelled(statement, label));
    if statements.len() == before {
        return Err(not_there());
    }
    if statements.is_empty() {
        return Ok(None);
    }
    document.statements = Value::Array(statements);
    written(&document).map(Some)
}

fn read(policy: &str) -> Result<Document, Error> {
    // It was checked when it was set.
    serde_json::from_str(policy).map_err(|error| Error::internal(&error))
}

fn written(document: &Document) -> Result<String, Error> {
    serde_json::to_string(document).map_err(|error| Error::internal(&error))
}

fn taken(document: &mut Document) -> Vec<Value> {
    match document.statements.take() {
        Value::Array(statements) => statements,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn is_labelled(statement: &Value, label: &str) -> bool {
    statement.get("Sid").and_then(Value::as_str) == Some(label)
}

fn one_or_many(texts: impl Iterator<Item = String>) -> Value {
    let mut texts: Vec<Value> = texts.map(Value::from).collect();
    if texts.len() == 1 { texts.remove(0) } else { Value::Array(texts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:q";

    #[test]
    fn permissions_come_and_go_by_their_labels() {
        let accounts = ["111111111111", "222222222222"];
        let one = with(None, ARN, "one", &accounts, &["ReceiveMessage"]).unwrap();
        let expected = json!({
            "Version": "2008-10-17",
            "Id": "arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy",
            "Statement": [{
                "Sid": "one",
                "Effect": "Allow",
                "Principal": { "AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"] },
                "Action": "SQS:ReceiveMessage",
                "Resource": ARN,
            }],
        });
        assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), expected);
        let two = with(Some(&one), ARN, "two", &accounts[..1], &["*", "SendMessage"]).unwrap();
        let error = with(Some(&two), ARN, "two", &accounts, &["*"]).unwrap_err();
        assert_eq!(error.message, "Value two for parameter Label is invalid. Reason: Already exists.");
        let two = without(Some(&two), "one").unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&two).unwrap()["Statement"][0]["Sid"], "two");
        assert_eq!(without(Some(&two), "two").unwrap(), None);
        for policy in [None, Some(&*two)] {
            let error = without(policy, "three").unwrap_err();
            assert_eq!(error.message, "Value three for parameter Label is invalid. Reason: can't find label.");
        }
    }

    #[test]
    fn a_policy_of_somebody_else_keeps_what_it_says() {
        let theirs = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"},"x":1}"#;
        let policy = with(Some(theirs), ARN, "one", &["111111111111"], &["SendMessage"]).unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        assert_eq!((&policy["Version"], &policy["x"]), (&json!("2012-10-17"), &json!(1)));
        assert_eq!(policy["Statement"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn what_cannot_be_permitted_is_refused() {
        let with = |accounts: &[&str], actions: &[&str]| with(None, ARN, "l", accounts, actions).unwrap_err();
        let account = &["111111111111"][..];
        assert_eq!(with(account, &["SendMessage"; 8]).query_code(), "OverLimit");
        assert_eq!(with(account, &[]).query_code(), "MissingParameter");
        assert_eq!(with(&[], &["SendMessage"]).query_code(), "MissingParameter");
        assert!(with(&["alice"], &["SendMessage"]).message.ends_with("Unable to verify."));
        assert!(with(account, &["RemovePermission"]).message.contains("Only the queue owner"));
        assert!(with(account, &["Dance"]).message.starts_with("Value SQS:Dance for parameter ActionName is invalid."));
    }
}
