//! Messages of standard queues: sent, received, given back, deleted, one by one and in batches.

use std::time::Duration;

use gantry_broker::QueueOptions;
use gantry_broker::vhost::QueueName;
use serde_json::json;
use tokio::time::timeout;

use super::super::client::json as request;
use super::{Talk, bodies, text};
use crate::Settings;

#[tokio::test]
async fn a_message_comes_as_it_was_sent_and_goes_when_it_is_deleted() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let attributes = json!({
        "count": {"DataType": "Number.int", "StringValue": "5"},
        "bytes": {"DataType": "Binary", "BinaryValue": "AAEC"},
    });
    let sent = json!({
        "QueueUrl": url,
        "MessageBody": "héllo \u{10FFFF}",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "some-trace-id"}},
    });
    let told = talk.ask("SendMessage", sent).await;
    assert_eq!(told["MD5OfMessageSystemAttributes"], "fdce4f2818803f2f73becc09a54792c0");
    let message = talk.receive(&url).await.remove(0);
    assert_eq!(message["Body"], "héllo \u{10FFFF}");
    assert_eq!(message["MessageId"], told["MessageId"]);
    assert_eq!(message["MD5OfBody"], told["MD5OfMessageBody"]);
    assert_eq!(message["MD5OfMessageAttributes"], told["MD5OfMessageAttributes"]);
    assert_eq!(message["MessageAttributes"], attributes);
    let system = &message["Attributes"];
    assert_eq!((&system["SenderId"], &system["ApproximateReceiveCount"]), (&json!("guest"), &json!("1")));
    assert_eq!(system["AWSTraceHeader"], "some-trace-id");
    assert!(system.get("SequenceNumber").is_none() && system.get("DeadLetterQueueSourceArn").is_none());
    for name in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        assert_eq!(text(&system[name]).len(), 13, "{name} is in milliseconds");
    }
    assert_eq!(talk.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "1");
    assert_eq!(talk.receive(&url).await.len(), 0, "it is in flight");
    talk.delete(&url, &message).await;
    talk.delete(&url, &message).await;
    assert_eq!(talk.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "0");
}

#[tokio::test]
async fn visibility_is_changed_and_counted() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    talk.send(&url, "a").await;
    let first = talk.receive(&url).await.remove(0);
    let change = |handle: &serde_json::Value, seconds: i64| json!({"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": seconds});
    talk.ask("ChangeMessageVisibility", change(&first["ReceiptHandle"], 0)).await;
    let second = talk.receive(&url).await.remove(0);
    assert_eq!(second["Attributes"]["ApproximateReceiveCount"], "2");
    let (_, words) = talk.refused("ChangeMessageVisibility", change(&first["ReceiptHandle"], 10)).await;
    assert!(words.ends_with("Reason: Message does not exist or is not available for visibility timeout change."));
    talk.ask("ChangeMessageVisibility", change(&second["ReceiptHandle"], 100)).await;
    let (_, words) = talk.refused("ChangeMessageVisibility", change(&second["ReceiptHandle"], 43_201)).await;
    assert!(words.starts_with("Value 43201 for parameter VisibilityTimeout is invalid."), "{words}");
    talk.delete(&url, &first).await;
    assert_eq!(
        talk.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await,
        "1",
        "an old handle deletes nothing"
    );
    for handle in [json!("dummy"), json!("AQ==")] {
        let (code, words) = talk.refused("DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": handle})).await;
        assert_eq!(code, "ReceiptHandleIsInvalid");
        assert_eq!(words, format!("The input receipt handle {handle} is not a valid receipt handle."));
    }
}

#[tokio::test]
async fn what_a_receiver_may_ask_for_has_awss_bounds() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    for (name, values, reason) in [
        ("MaxNumberOfMessages", [0, 11], "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", [-1, 21], "Must be >= 0 and <= 20, if provided."),
    ] {
        for value in values {
            let (_, words) = talk.refused("ReceiveMessage", json!({"QueueUrl": url, name: value})).await;
            assert_eq!(words, format!("Value {value} for parameter {name} is invalid. Reason: {reason}"));
        }
    }
    let unknown = json!({"QueueUrl": url, "MessageSystemAttributeNames": ["Foo"]});
    assert_eq!(talk.refused("ReceiveMessage", unknown).await.0, "InvalidAttributeName");
    for body in ["", "a\u{1}"] {
        talk.refused("SendMessage", json!({"QueueUrl": url, "MessageBody": body})).await;
    }
    let delayed = json!({"QueueUrl": url, "MessageBody": "a", "DelaySeconds": 901});
    let (_, words) = talk.refused("SendMessage", delayed).await;
    assert_eq!(words, "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.");
}

#[tokio::test]
async fn entries_of_batches_fail_on_their_own() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let entries = json!([
        {"Id": "a", "MessageBody": "1"},
        {"Id": "b", "MessageBody": ""},
        {"Id": "c", "MessageBody": "3", "MessageDeduplicationId": "x"},
        {"Id": "d", "MessageBody": "4", "DelaySeconds": 0},
    ]);
    let told = talk.ask("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
    let ids = |entries: &serde_json::Value| -> Vec<String> {
        entries.as_array().unwrap().iter().map(|entry| text(&entry["Id"])).collect()
    };
    assert_eq!(
        (ids(&told["Successful"]), ids(&told["Failed"])),
        (vec!["a".into(), "d".into()], vec!["b".into(), "c".into()])
    );
    let missing = "The request must contain the parameter SendMessageBatchRequestEntry.2.MessageBody.";
    let expected = json!({"Id": "b", "SenderFault": true, "Code": "MissingParameter", "Message": missing});
    assert_eq!(told["Failed"][0], expected);
    let messages = talk.receive(&url).await;
    assert_eq!(bodies(&messages), ["1", "4"]);
    let visible = json!([
        {"Id": "a", "ReceiptHandle": messages[0]["ReceiptHandle"], "VisibilityTimeout": 0},
        {"Id": "b", "ReceiptHandle": "dummy", "VisibilityTimeout": 0},
        {"Id": "c", "ReceiptHandle": messages[1]["ReceiptHandle"]},
    ]);
    let told = talk.ask("ChangeMessageVisibilityBatch", json!({"QueueUrl": url, "Entries": visible})).await;
    assert_eq!((ids(&told["Successful"]), ids(&told["Failed"])), (vec!["a".into()], vec!["b".into(), "c".into()]));
    let again = talk.receive(&url).await.remove(0);
    let handles = json!([
        {"Id": "a", "ReceiptHandle": again["ReceiptHandle"]},
        {"Id": "b"},
        {"Id": "c", "ReceiptHandle": messages[1]["ReceiptHandle"]},
    ]);
    let told = talk.ask("DeleteMessageBatch", json!({"QueueUrl": url, "Entries": handles})).await;
    assert_eq!((ids(&told["Successful"]), ids(&told["Failed"])), (vec!["a".into(), "c".into()], vec!["b".into()]));
    assert_eq!(talk.attribute(&url, "ApproximateNumberOfMessagesNotVisible").await, "0");
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let entry = |id: &str| json!({"Id": id, "MessageBody": "m"});
    let eleven: Vec<_> = (0..11).map(|n| entry(&n.to_string())).collect();
    for (entries, code) in [
        (json!([]), "EmptyBatchRequest"),
        (json!(eleven), "TooManyEntriesInBatchRequest"),
        (json!([entry("a"), entry("a")]), "BatchEntryIdsNotDistinct"),
        (json!([entry("a b")]), "InvalidBatchEntryId"),
    ] {
        let (found, _) = talk.refused("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
        assert_eq!(found, format!("AWS.SimpleQueueService.{code}"));
    }
    let large = json!([{"Id": "a", "MessageBody": "x".repeat(1 << 20)}, entry("b")]);
    let (code, words) = talk.refused("SendMessageBatch", json!({"QueueUrl": url, "Entries": large})).await;
    assert_eq!(code, "AWS.SimpleQueueService.BatchRequestTooLong");
    assert_eq!(words, "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.");
    assert_eq!(talk.receive(&url).await.len(), 0, "nothing of it was sent");
}

#[tokio::test]
async fn a_long_poll_ends_when_a_message_comes() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let mut other = talk.server.client();
    let poll = super::super::client::json("ReceiveMessage", &[], &json!({"QueueUrl": url, "WaitTimeSeconds": 20}));
    other.write(poll).await;
    talk.send(&url, "a").await;
    let received = other.next().await;
    assert_eq!(received.json()["Messages"][0]["Body"], "a");
    talk.create("waits", json!({"ReceiveMessageWaitTimeSeconds": "1"})).await;
    let before = std::time::Instant::now();
    let url = "http://localhost:4566/000000000000/waits";
    assert_eq!(talk.ask("ReceiveMessage", json!({"QueueUrl": url})).await, json!({}));
    assert!(before.elapsed() >= Duration::from_secs(1), "the queue says how long");
}

#[tokio::test]
async fn queues_of_other_protocols_are_like_any_other() {
    let mut talk = Talk::new();
    let vhost = talk.server.broker.vhost("/").unwrap();
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    vhost.declare_queue(QueueName::Given("a/b c"), options, 0).await.unwrap();
    let exclusive = QueueOptions { exclusive: true, ..QueueOptions::default() };
    vhost.declare_queue(QueueName::Given("mine"), exclusive, 77).await.unwrap();
    let url = "http://localhost:4566/000000000000/a%2Fb%20c";
    assert_eq!(talk.ask("ListQueues", json!({})).await, json!({"QueueUrls": [url]}));
    assert_eq!(talk.ask("GetQueueUrl", json!({"QueueName": "a/b c"})).await["QueueUrl"], url);
    talk.send(url, "x").await;
    assert_eq!(bodies(&talk.receive(url).await), ["x"]);
    assert_eq!(talk.attribute(url, "VisibilityTimeout").await, "30");
    let (code, _) = talk.refused("CreateQueue", json!({"QueueName": "mine"})).await;
    assert_eq!(code, "QueueAlreadyExists", "and would be found by nobody");
    let (code, _) = talk.refused("GetQueueUrl", json!({"QueueName": "mine"})).await;
    assert_eq!(code, "AWS.SimpleQueueService.NonExistentQueue");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_visibility_is_answered_when_it_is_certain_and_a_receive_at_once() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    talk.send(&url, "a").await;
    talk.server.journal.hold();
    let message = talk.receive(&url).await.remove(0);
    let entry = json!({"Id": "a", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 300});
    let one = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 300});
    let batch = json!({"QueueUrl": url, "Entries": [entry]});
    for (action, input) in [("ChangeMessageVisibility", one), ("ChangeMessageVisibilityBatch", batch)] {
        talk.server.journal.hold();
        talk.client.write(request(action, &[], &input)).await;
        assert!(timeout(Duration::from_secs(5), talk.client.next()).await.is_err(), "{action}");
        talk.server.journal.release();
        assert_eq!(talk.client.next().await.status, 200);
    }
}

#[tokio::test]
async fn what_a_long_poll_would_keep_is_bounded() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    for list in ["AttributeNames", "MessageSystemAttributeNames", "MessageAttributeNames"] {
        let mut input = json!({"QueueUrl": url});
        input[list] = vec!["All"; 101].into();
        assert_eq!(talk.refused("ReceiveMessage", input.clone()).await.0, "InvalidParameterValue", "{list}");
        input[list] = vec!["All"; 100].into();
        talk.ask("ReceiveMessage", input).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_who_does_not_wait_is_told_of_a_limit() {
    let mut settings = Settings::default();
    settings.sqs.in_flight_max = 1;
    let mut talk = Talk::with(settings);
    let url = talk.create("orders", json!({})).await;
    for body in ["a", "b"] {
        talk.send(&url, body).await;
    }
    let first = talk.ask("ReceiveMessage", json!({"QueueUrl": url})).await["Messages"][0].clone();
    assert_eq!(talk.refused("ReceiveMessage", json!({"QueueUrl": url})).await.0, "OverLimit");
    let poll = json!({"QueueUrl": url, "WaitTimeSeconds": 1});
    assert_eq!(talk.ask("ReceiveMessage", poll).await, json!({}));
    talk.client.write(request("ReceiveMessage", &[], &json!({"QueueUrl": url, "WaitTimeSeconds": 20}))).await;
    assert!(timeout(Duration::from_secs(1), talk.client.next()).await.is_err());
    let delete = json!({"QueueUrl": url, "ReceiptHandle": first["ReceiptHandle"]});
    let before = tokio::time::Instant::now();
    assert_eq!(talk.server.client().ask("DeleteMessage", &delete).await.status, 200);
    assert_eq!(talk.client.next().await.json()["Messages"][0]["Body"], "b");
    assert!(before.elapsed() < Duration::from_secs(10), "it came when there was room, and not when the poll was over");
}
