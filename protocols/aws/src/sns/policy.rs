//! Who may do what to a topic: the policy of one that has none, and permissions by label.

use serde_json::{Value, json};

use super::fault;
use super::limits::{PERMISSION_ACCOUNTS_MAX, POLICY_BYTES_MAX, POLICY_STATEMENTS_MAX};
use super::topics::DEFAULT_STATEMENT;
use crate::account::is_account;
use crate::error::Error;

/// Actions that a policy may name.
pub(crate) const ACTIONS: &[&str] = &[
    "AddPermission",
    "DeleteTopic",
    "GetDataProtectionPolicy",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "ListTagsForResource",
    "Publish",
    "PutDataProtectionPolicy",
    "Receive",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];

/// Actions that `AddPermission` grants.
const ACTIONS_TO_ADD: &[&str] = &[
    "AddPermission",
    "DeleteTopic",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "Receive",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];

/// What the policy of a topic is told to be that has none: its account may do everything.
pub(crate) fn usual(arn: &str, account: &str) -> String {
    document(arn, account).to_string()
}

fn document(arn: &str, account: &str) -> Value {
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": DEFAULT_STATEMENT,
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": [
                "SNS:GetTopicAttributes",
                "SNS:SetTopicAttributes",
                "SNS:AddPermission",
                "SNS:RemovePermission",
                "SNS:DeleteTopic",
                "SNS:Subscribe",
                "SNS:ListSubscriptionsByTopic",
                "SNS:Publish",
            ],
            "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": account } },
        }],
    })
}

/// A topic's policy with one more permission.
pub(crate) fn with(
    policy: Option<&str>,
    (arn, account): (&str, &str),
    label: &str,
    accounts: &[&str],
    actions: &[&str],
) -> Result<String, Error> {
    if accounts.is_empty()
        || accounts.len() > PERMISSION_ACCOUNTS_MAX
        || !accounts.iter().all(|account| is_account(account))
    {
        return Err(fault::invalid_parameter("AWSAccountId"));
    }
    if actions.is_empty() || !actions.iter().all(|action| ACTIONS_TO_ADD.contains(action)) {
        return Err(fault::invalid_parameter("Policy statement action out of service scope!"));
    }
    let mut document = match policy {
        Some(policy) => read(policy)?,
        None => document(arn, account),
    };
    let statements = statements(&mut document)?;
    if statements.iter().any(|statement| is_labelled(statement, label)) {
        return Err(fault::invalid_parameter("Statement already exists"));
    }
    if statements.len() >= POLICY_STATEMENTS_MAX {
        return Err(fault::invalid_parameter("Policy Error: too many statements"));
    }
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": { "AWS": one_or_many(accounts.iter().map(|account| format!("arn:aws:iam::{account}:root"))) },
        "Action": one_or_many(actions.iter().map(|action| format!("SNS:{action}"))),
        "Resource": arn,
    }));
    let text = document.to_string();
    if text.len() > POLICY_BYTES_MAX {
        return Err(fault::invalid_parameter("Policy Error: policy is too long"));
    }
    Ok(text)
}

/// A topic's policy with one permission less. That there is none of this label is no error.
pub(crate) fn without(policy: &str, label: &str) -> Result<String, Error> {
    let mut document = read(policy)?;
    statements(&mut document)?.retain(|statement| !is_labelled(statement, label));
    Ok(document.to_string())
}

fn read(policy: &str) -> Result<Value, Error> {
    // It was checked when it was set.
    serde_json::from_str(policy).map_err(|error| Error::internal(&error))
}

fn statements(document: &mut Value) -> Result<&mut Vec<Value>, Error> {
    let statements = &mut document["Statement"];
    if statements.is_object() {
        *statements = Value::Array(vec![statements.take()]);
    }
    statements.as_array_mut().ok_or_else(|| Error::internal(&"the policy of a topic is damaged"))
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

    const ARN: &str = "arn:aws:sns:us-east-1:000000000000:t";
    const OWN: (&str, &str) = (ARN, "000000000000");

    #[test]
    fn permissions_come_and_go_by_their_labels() {
        let one = with(None, OWN, "one", &["111111111111"], &["Publish"]).unwrap();
        let document: Value = serde_json::from_str(&one).unwrap();
        assert_eq!(document["Statement"][0]["Sid"], DEFAULT_STATEMENT);
        let expected = json!({
            "Sid": "one",
            "Effect": "Allow",
            "Principal": { "AWS": "arn:aws:iam::111111111111:root" },
            "Action": "SNS:Publish",
            "Resource": ARN,
        });
        assert_eq!(document["Statement"][1], expected);
        let twice = with(Some(&one), OWN, "one", &["111111111111"], &["Publish"]).unwrap_err();
        assert_eq!(twice.message, "Invalid parameter: Statement already exists");
        let none = without(&one, "one").unwrap();
        assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["Statement"].as_array().map(Vec::len), Some(1));
        assert_eq!(without(&none, "one").unwrap(), none);
        for (accounts, actions) in
            [(vec![], vec!["Publish"]), (vec!["alice"], vec!["Publish"]), (vec!["111111111111"], vec![])]
        {
            assert!(with(None, OWN, "l", &accounts, &actions).is_err());
        }
        let foreign = with(None, OWN, "l", &["111111111111"], &["CreateTopic"]).unwrap_err();
        assert_eq!(foreign.message, "Invalid parameter: Policy statement action out of service scope!");
    }
}
