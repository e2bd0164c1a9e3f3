//! FIFO queues.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::client::json as request;
use super::{Talk, bodies, text};

/// Time stands still but for this: when it is over, nobody has anything left to do.
const LONG: Duration = Duration::from_secs(5);

fn entry(url: &str, body: &str, group: &str, id: &str) -> Value {
    json!({"QueueUrl": url, "MessageBody": body, "MessageGroupId": group, "MessageDeduplicationId": id})
}

#[tokio::test]
async fn a_duplicate_is_told_of_its_original_and_not_taken() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true"})).await;
    let first = talk.ask("SendMessage", entry(&url, "a", "g", "1")).await;
    let second = talk.ask("SendMessage", entry(&url, "b", "g", "2")).await;
    let again = talk.ask("SendMessage", entry(&url, "another", "h", "1")).await;
    assert_eq!((&again["MessageId"], &again["SequenceNumber"]), (&first["MessageId"], &first["SequenceNumber"]));
    assert!(text(&first["SequenceNumber"]) < text(&second["SequenceNumber"]));
    assert_eq!(text(&first["SequenceNumber"]).len(), 20);
    let messages = talk.receive(&url).await;
    assert_eq!(bodies(&messages), ["a", "b"]);
    for message in &messages {
        talk.delete(&url, message).await;
    }
    let again = talk.ask("SendMessage", entry(&url, "a", "g", "1")).await;
    assert_eq!(again["MessageId"], first["MessageId"], "after it was deleted, too");
    assert_eq!(talk.receive(&url).await.len(), 0);
    let system = &messages[0]["Attributes"];
    for (name, value) in [("MessageGroupId", "g"), ("MessageDeduplicationId", "1")] {
        assert_eq!(system[name], value);
    }
    assert_eq!(system["SequenceNumber"], first["SequenceNumber"]);
}

#[tokio::test]
async fn ids_are_made_of_bodies_or_counted_in_groups_where_a_queue_says_so() {
    let mut talk = Talk::new();
    let url = talk.create("content.fifo", json!({"FifoQueue": "true", "ContentBasedDeduplication": "true"})).await;
    let send = |body: &str, group: &str| json!({"QueueUrl": url, "MessageBody": body, "MessageGroupId": group});
    for (body, group) in [("a", "g"), ("a", "h"), ("b", "g")] {
        talk.ask("SendMessage", send(body, group)).await;
    }
    assert_eq!(bodies(&talk.receive(&url).await), ["a", "b"]);
    let scope =
        json!({"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"});
    let url = talk.create("groups.fifo", scope).await;
    for (body, group) in [("a", "g"), ("b", "h"), ("c", "g")] {
        talk.ask("SendMessage", entry(&url, body, group, "same")).await;
    }
    let mut received = talk.receive(&url).await;
    received.sort_by_key(|message| text(&message["Body"]));
    assert_eq!(bodies(&received), ["a", "b"]);
}

#[tokio::test]
async fn a_group_waits_for_what_is_in_flight_and_others_do_not() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true"})).await;
    for (body, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        talk.ask("SendMessage", entry(&url, body, group, body)).await;
    }
    let one = json!({"QueueUrl": url});
    let first = talk.ask("ReceiveMessage", one.clone()).await["Messages"][0].clone();
    let second = talk.ask("ReceiveMessage", one.clone()).await["Messages"][0].clone();
    assert_eq!((&first["Body"], &second["Body"]), (&json!("a1"), &json!("b1")));
    assert_eq!(talk.receive(&url).await.len(), 0);
    talk.delete(&url, &first).await;
    assert_eq!(bodies(&talk.receive(&url).await), ["a2"]);
    let visible = json!({"QueueUrl": url, "ReceiptHandle": second["ReceiptHandle"], "VisibilityTimeout": 0});
    talk.ask("ChangeMessageVisibility", visible).await;
    let expired = json!({"QueueUrl": url, "ReceiptHandle": second["ReceiptHandle"]});
    let (code, words) = talk.refused("DeleteMessage", expired).await;
    assert_eq!(code, "InvalidParameterValue");
    assert!(
        words.ends_with("for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."),
        "{words}"
    );
}

#[tokio::test]
async fn a_receive_is_asked_for_again_by_its_id() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true"})).await;
    for body in ["a", "b"] {
        talk.ask("SendMessage", entry(&url, body, "g", body)).await;
    }
    let attempt = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "ReceiveRequestAttemptId": "try"});
    let first = talk.ask("ReceiveMessage", attempt.clone()).await;
    assert_eq!(first["Messages"].as_array().unwrap().len(), 2);
    assert_eq!(talk.ask("ReceiveMessage", attempt.clone()).await, first, "the same messages and handles");
    talk.delete(&url, &first["Messages"][0]).await;
    assert_eq!(talk.ask("ReceiveMessage", attempt).await, json!({}), "one of them is gone");
    let standard = talk.create("orders", json!({})).await;
    let wrong = json!({"QueueUrl": standard, "ReceiveRequestAttemptId": "try"});
    assert_eq!(talk.refused("ReceiveMessage", wrong).await.0, "InvalidParameterValue");
}

#[tokio::test]
async fn what_a_fifo_queue_asks_for_is_asked_for_in_awss_words() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true"})).await;
    let no_group = json!({"QueueUrl": url, "MessageBody": "a", "MessageDeduplicationId": "1"});
    let missing = "The request must contain the parameter MessageGroupId.";
    assert_eq!(talk.refused("SendMessage", no_group).await, ("MissingParameter".into(), missing.into()));
    let no_id = json!({"QueueUrl": url, "MessageBody": "a", "MessageGroupId": "g"});
    let (_, words) = talk.refused("SendMessage", no_id).await;
    let expected =
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly";
    assert_eq!(words, expected);
    let mut delayed = entry(&url, "a", "g", "1");
    delayed["DelaySeconds"] = json!(2);
    let (_, words) = talk.refused("SendMessage", delayed).await;
    let reason = "The request include parameter that is not valid for this queue type.";
    assert_eq!(words, format!("Value 2 for parameter DelaySeconds is invalid. Reason: {reason}"));
    let batch = json!({"QueueUrl": url, "Entries": [{"Id": "a", "MessageBody": "a"}]});
    assert_eq!(talk.refused("SendMessageBatch", batch).await, ("InvalidParameterValue".into(), missing.into()));
}

#[tokio::test(start_paused = true)]
async fn a_receive_is_answered_when_a_crash_would_not_undo_it() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true"})).await;
    let receive = |wait_s: u64| json!({"QueueUrl": url, "WaitTimeSeconds": wait_s, "ReceiveRequestAttemptId": "try"});
    talk.ask("SendMessage", entry(&url, "a", "g", "a")).await;
    // The first one finds it there; the second one is the same receive once more.
    for _ in 0..2 {
        talk.server.journal.hold();
        talk.client.write(request("ReceiveMessage", &[], &receive(0))).await;
        assert!(timeout(LONG, talk.client.next()).await.is_err(), "the disk has not got it");
        talk.server.journal.release();
        assert_eq!(talk.client.next().await.json()["Messages"][0]["Body"], "a");
    }
    let mut poller = talk.server.client();
    poller.write(request("ReceiveMessage", &[], &json!({"QueueUrl": url, "WaitTimeSeconds": 20}))).await;
    assert!(timeout(Duration::from_secs(1), poller.next()).await.is_err());
    talk.server.journal.hold();
    talk.client.write(request("SendMessage", &[], &entry(&url, "b", "h", "b"))).await;
    assert!(timeout(LONG, poller.next()).await.is_err(), "what was polled for, too");
    talk.server.journal.release();
    assert_eq!(poller.next().await.json()["Messages"][0]["Body"], "b");
}

#[tokio::test]
async fn nothing_comes_in_behind_what_a_batch_could_not_send() {
    let mut talk = Talk::new();
    let url = talk.create("orders.fifo", json!({"FifoQueue": "true", "MaximumMessageSize": "1024"})).await;
    let entry = |id: &str, body: &str| json!({"Id": id, "MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": id});
    let entries = [entry("1", "a"), entry("2", &"x".repeat(2000)), entry("3", "c")];
    let told = talk.ask("SendMessageBatch", json!({"QueueUrl": url, "Entries": entries})).await;
    let ids =
        |list: &Value| -> Vec<String> { list.as_array().unwrap().iter().map(|entry| text(&entry["Id"])).collect() };
    assert_eq!((ids(&told["Successful"]), ids(&told["Failed"])), (vec!["1".to_owned()], vec!["2".into(), "3".into()]));
    assert_eq!(bodies(&talk.receive(&url).await), ["a"]);
}
