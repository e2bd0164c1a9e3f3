//! Queues: made, found, set, listed, tagged, purged, deleted.

use serde_json::json;

use super::{Talk, bodies};
use crate::{Limits, Settings};

#[tokio::test]
async fn a_queue_is_made_once_and_is_the_same_for_whoever_asks_for_the_same() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({"DelaySeconds": "5"})).await;
    assert_eq!(url, "http://localhost:4566/000000000000/orders");
    assert_eq!(talk.create("orders", json!({})).await, url);
    assert_eq!(talk.create("orders", json!({"DelaySeconds": "5", "VisibilityTimeout": "30"})).await, url);
    let differing = json!({"QueueName": "orders", "Attributes": {"DelaySeconds": "6"}});
    let (code, words) = talk.refused("CreateQueue", differing).await;
    assert_eq!(code, "QueueAlreadyExists");
    assert_eq!(words, "A queue already exists with the same name and a different value for attribute DelaySeconds");
    assert_eq!(talk.ask("GetQueueUrl", json!({"QueueName": "orders"})).await["QueueUrl"], url);
    for (name, attributes) in [("a.b", json!({})), ("a.fifo", json!({})), ("a", json!({"FifoQueue": "true"}))] {
        let (code, _) = talk.refused("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await;
        assert_eq!(code, "InvalidParameterValue");
    }
    assert_eq!(talk.refused("CreateQueue", json!({})).await.0, "MissingParameter");
    let unknown = json!({"QueueName": "x", "Attributes": {"Foo": "1"}});
    let refused = talk.refused("CreateQueue", unknown).await;
    assert_eq!(refused, ("InvalidAttributeName".to_owned(), "Unknown Attribute Foo.".to_owned()));
}

#[tokio::test]
async fn attributes_are_set_at_once_and_read_back() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    assert_eq!(talk.attribute(&url, "QueueArn").await, "arn:aws:sqs:us-east-1:000000000000:orders");
    let attributes = json!({"VisibilityTimeout": "7", "MaximumMessageSize": "1024", "KmsMasterKeyId": "k"});
    talk.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": attributes})).await;
    for (name, value) in [("VisibilityTimeout", "7"), ("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "false")] {
        assert_eq!(talk.attribute(&url, name).await, value);
    }
    let large = json!({"QueueUrl": url, "MessageBody": "x".repeat(1025)});
    let (_, words) = talk.refused("SendMessage", large).await;
    assert_eq!(words, "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.");
    let wrong = json!({"QueueUrl": url, "Attributes": {"VisibilityTimeout": "8", "DelaySeconds": "901"}});
    assert_eq!(talk.refused("SetQueueAttributes", wrong).await.0, "InvalidAttributeValue");
    assert_eq!(talk.attribute(&url, "VisibilityTimeout").await, "7", "all of it or nothing");
    let none = json!({"QueueUrl": url});
    assert_eq!(talk.ask("GetQueueAttributes", none).await["Attributes"], json!({}));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let mut talk = Talk::new();
    for name in ["b", "a-2", "a-1", "a-3"] {
        talk.create(name, json!({})).await;
    }
    let url = |name: &str| format!("http://localhost:4566/000000000000/{name}");
    let first = talk.ask("ListQueues", json!({"QueueNamePrefix": "a-", "MaxResults": 2})).await;
    assert_eq!(first["QueueUrls"], json!([url("a-1"), url("a-2")]));
    let next = json!({"QueueNamePrefix": "a-", "MaxResults": 2, "NextToken": first["NextToken"]});
    let second = talk.ask("ListQueues", next).await;
    assert_eq!(second, json!({"QueueUrls": [url("a-3")]}));
    assert_eq!(talk.ask("ListQueues", json!({"QueueNamePrefix": "none"})).await, json!({}));
    let other = json!({"QueueNamePrefix": "b", "NextToken": first["NextToken"]});
    assert_eq!(talk.refused("ListQueues", other).await.0, "InvalidParameterValue");
}

#[tokio::test]
async fn tags_come_and_go() {
    let mut talk = Talk::new();
    let made = json!({"QueueName": "orders", "tags": {"team": "sales"}});
    let url = talk.ask("CreateQueue", made).await["QueueUrl"].clone();
    talk.ask("TagQueue", json!({"QueueUrl": url, "Tags": {"stage": "test", "team": "stock"}})).await;
    let tags = talk.ask("ListQueueTags", json!({"QueueUrl": url})).await;
    assert_eq!(tags, json!({"Tags": {"stage": "test", "team": "stock"}}));
    talk.ask("UntagQueue", json!({"QueueUrl": url, "TagKeys": ["team", "none"]})).await;
    assert_eq!(talk.ask("ListQueueTags", json!({"QueueUrl": url})).await["Tags"], json!({"stage": "test"}));
    let many: serde_json::Map<_, _> = (0..50).map(|n| (n.to_string(), json!(""))).collect();
    assert_eq!(talk.refused("TagQueue", json!({"QueueUrl": url, "Tags": many})).await.0, "InvalidParameterValue");
    assert_eq!(talk.refused("TagQueue", json!({"QueueUrl": url})).await.0, "MissingParameter");
}

#[tokio::test]
async fn a_purge_takes_all_and_not_twice_in_a_minute() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    for body in ["a", "b"] {
        talk.send(&url, body).await;
    }
    let later = json!({"QueueUrl": url, "MessageBody": "later", "DelaySeconds": 900});
    talk.ask("SendMessage", later).await;
    assert_eq!(bodies(&talk.receive(&url).await), ["a", "b"]);
    talk.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    for name in ["", "NotVisible", "Delayed"] {
        assert_eq!(talk.attribute(&url, &format!("ApproximateNumberOfMessages{name}")).await, "0", "{name}");
    }
    let (code, words) = talk.refused("PurgeQueue", json!({"QueueUrl": url})).await;
    assert_eq!(code, "AWS.SimpleQueueService.PurgeQueueInProgress");
    assert_eq!(words, "Only one PurgeQueue operation on orders is allowed every 60 seconds.");
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_gone_and_its_name_is_free() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    talk.send(&url, "a").await;
    let message = talk.receive(&url).await.remove(0);
    talk.ask("DeleteQueue", json!({"QueueUrl": url})).await;
    let (code, words) = talk.refused("DeleteQueue", json!({"QueueUrl": url})).await;
    assert_eq!((&*code, &*words), ("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."));
    assert_eq!(talk.create("orders", json!({})).await, url);
    let handle = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
    assert_eq!(talk.refused("DeleteMessage", handle).await.0, "ReceiptHandleIsInvalid", "of the queue before");

    let limits = Limits { recreate_wait_s: 60, purge_wait_s: 0, ..Limits::default() };
    let mut strict = Talk::with(Settings { sqs: limits, ..Settings::default() });
    let url = strict.create("orders", json!({})).await;
    strict.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    strict.ask("PurgeQueue", json!({"QueueUrl": url})).await;
    strict.ask("DeleteQueue", json!({"QueueUrl": url})).await;
    let (code, words) = strict.refused("CreateQueue", json!({"QueueName": "orders"})).await;
    assert_eq!(code, "AWS.SimpleQueueService.QueueDeletedRecently");
    let expected = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    assert_eq!(words, expected);
    strict.create("others", json!({})).await;
}

#[tokio::test]
async fn permissions_are_statements_of_the_policy() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let permission =
        json!({"QueueUrl": url, "Label": "l", "AWSAccountIds": ["111122223333"], "Actions": ["SendMessage"]});
    talk.ask("AddPermission", permission.clone()).await;
    let policy: serde_json::Value = serde_json::from_str(&super::text(&talk.attribute(&url, "Policy").await)).unwrap();
    assert_eq!(policy["Statement"][0]["Action"], "SQS:SendMessage");
    assert_eq!(talk.refused("AddPermission", permission).await.0, "InvalidParameterValue");
    talk.ask("RemovePermission", json!({"QueueUrl": url, "Label": "l"})).await;
    assert!(talk.attribute(&url, "Policy").await.is_null());
    let (_, words) = talk.refused("RemovePermission", json!({"QueueUrl": url, "Label": "l"})).await;
    assert_eq!(words, "Value l for parameter Label is invalid. Reason: can't find label.");
}

#[tokio::test]
async fn a_policy_that_denies_holds_for_the_owner_too() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#;
    talk.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"Policy": policy}})).await;
    assert_eq!(talk.refused("SendMessage", json!({"QueueUrl": url, "MessageBody": "a"})).await.0, "AccessDenied");
    let batch = json!({"QueueUrl": url, "Entries": [{"Id": "1", "MessageBody": "a"}]});
    assert_eq!(talk.refused("SendMessageBatch", batch).await.0, "AccessDenied");
    talk.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"Policy": ""}})).await;
    talk.send(&url, "a").await;
}

#[tokio::test]
async fn a_policy_that_nobody_can_read_denies_all_but_another_one() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}"#;
    talk.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"Policy": policy}})).await;
    let vhost = talk.server.broker.vhost("/").unwrap();
    let queue = vhost.queue_of_anyone("orders").unwrap();
    let mut settings = gantry_broker::QueueSettings::clone(&queue.settings());
    let kept = settings.annotations.values_mut().find(|kept| kept.contains("Statement")).unwrap();
    "{".clone_into(kept);
    vhost.set_settings(&queue, settings).unwrap().wait().await.unwrap();
    assert_eq!(talk.refused("SendMessage", json!({"QueueUrl": url, "MessageBody": "a"})).await.0, "AccessDenied");
    assert_eq!(talk.refused("ReceiveMessage", json!({"QueueUrl": url})).await.0, "AccessDenied");
    talk.ask("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"Policy": ""}})).await;
    talk.send(&url, "a").await;
}
