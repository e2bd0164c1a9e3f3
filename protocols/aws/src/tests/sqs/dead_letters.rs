//! Queues for dead letters, and back from there.

use serde_json::{Value, json};

use super::{Talk, text};

const DEAD: &str = "arn:aws:sqs:us-east-1:000000000000:dead";

/// A queue, and the one for its dead letters.
async fn queues(talk: &mut Talk) -> (String, String) {
    let dead = talk.create("dead", json!({})).await;
    let policy = json!({"deadLetterTargetArn": DEAD, "maxReceiveCount": "2"}).to_string();
    let source = talk.create("orders", json!({"RedrivePolicy": policy, "VisibilityTimeout": "0"})).await;
    (source, dead)
}

/// Sends a message, and has it die.
async fn die(talk: &mut Talk, source: &str, dead: &str) -> Value {
    talk.send(source, "poison").await;
    for _ in 0..2 {
        assert_eq!(talk.receive(source).await.len(), 1);
    }
    assert_eq!(talk.receive(source).await.len(), 0);
    talk.wait(dead).await
}

#[tokio::test]
async fn what_was_received_too_often_goes_there_and_comes_back() {
    let mut talk = Talk::new();
    let (source, dead) = queues(&mut talk).await;
    let expected = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":2}"#;
    assert_eq!(talk.attribute(&source, "RedrivePolicy").await, expected);
    let sources = talk.ask("ListDeadLetterSourceQueues", json!({"QueueUrl": dead})).await;
    assert_eq!(sources, json!({"queueUrls": [source]}));
    let letter = die(&mut talk, &source, &dead).await;
    assert_eq!(letter["Body"], "poison");
    assert_eq!(letter["Attributes"]["DeadLetterQueueSourceArn"], "arn:aws:sqs:us-east-1:000000000000:orders");
    assert_eq!(letter["Attributes"]["ApproximateReceiveCount"], "3", "those before count");
    let visible = json!({"QueueUrl": dead, "ReceiptHandle": letter["ReceiptHandle"], "VisibilityTimeout": 0});
    talk.ask("ChangeMessageVisibility", visible).await;
    let started = talk.ask("StartMessageMoveTask", json!({"SourceArn": DEAD})).await;
    assert!(!text(&started["TaskHandle"]).is_empty());
    let back = talk.wait(&source).await;
    assert_eq!((&back["Body"], &back["MessageId"]), (&json!("poison"), &letter["MessageId"]));
    assert!(back["Attributes"].get("DeadLetterQueueSourceArn").is_none());
    loop {
        let tasks = talk.ask("ListMessageMoveTasks", json!({"SourceArn": DEAD})).await;
        let task = &tasks["Results"][0];
        assert_eq!(task["SourceArn"], DEAD);
        if task["Status"] == "COMPLETED" {
            assert_eq!(task["ApproximateNumberOfMessagesMoved"], 1);
            assert!(task.get("TaskHandle").is_none() && task.get("DestinationArn").is_none());
            break;
        }
        assert_eq!(task["Status"], "RUNNING");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_handle() {
    let mut talk = Talk::new();
    let (_, dead) = queues(&mut talk).await;
    let other = talk.create("other", json!({})).await;
    for body in ["a", "b", "c"] {
        talk.send(&dead, body).await;
    }
    let to = "arn:aws:sqs:us-east-1:000000000000:other";
    let slowly = json!({"SourceArn": DEAD, "DestinationArn": to, "MaxNumberOfMessagesPerSecond": 1});
    let started = talk.ask("StartMessageMoveTask", slowly.clone()).await;
    let (_, words) = talk.refused("StartMessageMoveTask", slowly).await;
    assert!(words.starts_with("There is already a task running."), "{words}");
    let tasks = talk.ask("ListMessageMoveTasks", json!({"SourceArn": DEAD})).await;
    let task = &tasks["Results"][0];
    assert_eq!((&task["Status"], &task["TaskHandle"]), (&json!("RUNNING"), &started["TaskHandle"]));
    assert_eq!((&task["DestinationArn"], &task["MaxNumberOfMessagesPerSecond"]), (&json!(to), &json!(1)));
    talk.ask("CancelMessageMoveTask", json!({"TaskHandle": started["TaskHandle"]})).await;
    let _ = other;
    for (handle, words) in [
        ("x", "Value for parameter TaskHandle is invalid."),
        (
            "eyJ0YXNrSWQiOiI5OSIsInNvdXJjZUFybiI6ImFybjphd3M6c3FzOnVzLWVhc3QtMTowMDAwMDAwMDAwMDA6ZGVhZCJ9",
            "Task does not exist.",
        ),
    ] {
        assert_eq!(talk.refused("CancelMessageMoveTask", json!({"TaskHandle": handle})).await.1, words);
    }
}

#[tokio::test]
async fn what_cannot_be_a_queue_for_dead_letters_is_refused() {
    let mut talk = Talk::new();
    let url = talk.create("orders", json!({})).await;
    let closed = json!({"RedriveAllowPolicy": r#"{"redrivePermission":"denyAll"}"#});
    talk.create("closed", closed).await;
    talk.create("dead.fifo", json!({"FifoQueue": "true"})).await;
    for (arn, reason) in [
        ("dummy", "Invalid value for deadLetterTargetArn."),
        ("arn:aws:sns:us-east-1:000000000000:t", "Only SQS queues are valid resources for deadLetterTargetArn."),
        ("arn:aws:sqs:us-east-1:000000000000:none", "Dead letter target does not exist."),
        ("arn:aws:sqs:us-east-1:111122223333:dead", "Dead letter target does not exist."),
        (
            "arn:aws:sqs:us-east-1:000000000000:dead.fifo",
            "Dead-letter queue must be same type of queue as the source..",
        ),
        (
            "arn:aws:sqs:us-east-1:000000000000:closed",
            "The dead-letter queue's redrive allow policy does not allow this queue as a source.",
        ),
    ] {
        let policy = json!({"deadLetterTargetArn": arn, "maxReceiveCount": 1}).to_string();
        let input = json!({"QueueUrl": url, "Attributes": {"RedrivePolicy": policy}});
        let (code, words) = talk.refused("SetQueueAttributes", input).await;
        let expected = format!("Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}");
        assert_eq!((&*code, &*words), ("InvalidParameterValue", &*expected));
    }
    assert!(talk.attribute(&url, "RedrivePolicy").await.is_null());
    let orders = "arn:aws:sqs:us-east-1:000000000000:orders";
    let (_, words) = talk.refused("StartMessageMoveTask", json!({"SourceArn": orders})).await;
    assert_eq!(words, "Source queue must be configured as a Dead Letter Queue.");
    let none = "arn:aws:sqs:us-east-1:000000000000:none";
    let (code, words) = talk.refused("ListMessageMoveTasks", json!({"SourceArn": none})).await;
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(words, "The resource that you specified for the SourceArn parameter doesn't exist.");
}

#[tokio::test]
async fn what_the_policy_of_a_source_denies_is_not_done_by_way_of_its_dead_letters() {
    let mut talk = Talk::new();
    let (source, dead) = queues(&mut talk).await;
    let list = json!({"QueueUrl": dead});
    assert_eq!(talk.ask("ListDeadLetterSourceQueues", list.clone()).await, json!({"queueUrls": [source]}));
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*",
        "Action":["sqs:SendMessage","sqs:ListDeadLetterSourceQueues"],"Resource":"*"}]}"#;
    talk.ask("SetQueueAttributes", json!({"QueueUrl": source, "Attributes": {"Policy": policy}})).await;
    assert_eq!(talk.refused("StartMessageMoveTask", json!({"SourceArn": DEAD})).await.0, "AccessDenied");
    assert_eq!(talk.ask("ListDeadLetterSourceQueues", list).await, json!({"queueUrls": []}));
}
