//! What topics with order keep, and how subscriptions get it once more.

use gantry_broker::message::now_ms;

use super::*;
use crate::date;

const FIFO: &str = "arn:aws:sns:us-east-1:000000000000:t.fifo";

impl Talk {
    /// A topic with order and an archive, with what it has told of it.
    async fn archived(&mut self) -> Value {
        let attributes = json!({"FifoTopic": "true", "ContentBasedDeduplication": "true",
            "ArchivePolicy": r#"{"MessageRetentionPeriod": "30"}"#});
        self.sns("CreateTopic", json!({"Name": "t.fifo", "Attributes": attributes})).await;
        self.sns("GetTopicAttributes", json!({"TopicArn": FIFO})).await["Attributes"].clone()
    }

    async fn publish_fifo(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let input = json!({"TopicArn": FIFO, "Message": format!("{number}"), "MessageGroupId": "g"});
            self.sns("Publish", input).await;
        }
    }

    async fn fifo_queue(&mut self, name: &str) -> String {
        self.create_queue(name, json!({"FifoQueue": "true"})).await
    }

    /// Takes messages until so many have come: what each says, and whether it says that it is replayed.
    async fn wait_for(&mut self, url: &str, count: usize) -> Vec<(String, bool)> {
        let mut got = Vec::new();
        while got.len() < count {
            let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20});
            let received = self.sqs("ReceiveMessage", input).await;
            let messages = received["Messages"].as_array().cloned().unwrap_or_default();
            assert!(!messages.is_empty(), "only {got:?}");
            for message in messages {
                let document: Value = serde_json::from_str(&text(&message["Body"])).unwrap();
                let is_replayed = document["Replayed"] != Value::Null;
                got.push((text(&document["Message"]), is_replayed));
                let input = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
                self.sqs("DeleteMessage", input).await;
            }
        }
        got
    }

    async fn subscription_attribute(&mut self, arn: &str, name: &str) -> Value {
        self.sns("GetSubscriptionAttributes", json!({"SubscriptionArn": arn})).await["Attributes"][name].clone()
    }
}

fn said(numbers: std::ops::Range<u32>, is_replayed: bool) -> impl Iterator<Item = (String, bool)> {
    numbers.map(move |number| (number.to_string(), is_replayed))
}

fn replay_from(ms: u64) -> Value {
    json!({"ReplayPolicy": format!(r#"{{"PointType": "Timestamp", "StartingPoint": "{}"}}"#, date::iso_ms(ms))})
}

#[tokio::test]
async fn a_subscription_gets_what_was_published_before_it_and_then_what_comes() {
    let mut talk = Talk::new();
    let began_ms = now_ms();
    let told = talk.archived().await;
    assert_eq!(told["ArchivePolicy"], r#"{"MessageRetentionPeriod": "30"}"#);
    assert!(date::parse_iso(&text(&told["BeginningArchiveTime"])).unwrap() >= (began_ms / 1000) as i64);
    talk.publish_fifo(0..5).await;
    let url = talk.fifo_queue("late.fifo").await;
    let arn = talk.subscribe(FIFO, "late.fifo", replay_from(began_ms)).await;
    talk.publish_fifo(5..8).await;
    let got = talk.wait_for(&url, 8).await;
    assert_eq!(got, said(0..5, true).chain(said(5..8, false)).collect::<Vec<_>>());
    // Nothing is left, and it is bound again.
    while talk.subscription_attribute(&arn, "ReplayStatus").await != "Completed" {
        tokio::task::yield_now().await;
    }
    talk.publish_fifo(8..9).await;
    assert_eq!(talk.wait_for(&url, 1).await, said(8..9, false).collect::<Vec<_>>());
    // Once more, for one that has had it all: duplicates of what it was sent lately are replayed, too.
    let policy = text(&replay_from(began_ms)["ReplayPolicy"]);
    let set = json!({"SubscriptionArn": arn, "AttributeName": "ReplayPolicy", "AttributeValue": "{}"});
    talk.sns("SetSubscriptionAttributes", set).await;
    assert_eq!(talk.subscription_attribute(&arn, "ReplayStatus").await, Value::Null);
    let set = json!({"SubscriptionArn": arn, "AttributeName": "ReplayPolicy", "AttributeValue": policy});
    talk.sns("SetSubscriptionAttributes", set).await;
    assert_eq!(talk.wait_for(&url, 9).await, said(0..9, true).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused() {
    let mut talk = Talk::new();
    let attributes = json!({"FifoTopic": "true"});
    talk.sns("CreateTopic", json!({"Name": "t.fifo", "Attributes": attributes})).await;
    talk.fifo_queue("q.fifo").await;
    let arn = talk.subscribe(FIFO, "q.fifo", json!({})).await;
    for (policy, words) in [
        ("x", "failed to parse JSON."),
        (r#"{"PointType": "Offset", "StartingPoint": "2024-01-01T00:00:00Z"}"#, "PointType must be Timestamp"),
        (r#"{"PointType": "Timestamp"}"#, "PointType and StartingPoint are required"),
        (
            r#"{"PointType": "Timestamp", "StartingPoint": "yesterday"}"#,
            "StartingPoint must be a timestamp in the format of ISO 8601",
        ),
        (
            r#"{"PointType": "Timestamp", "StartingPoint": "2999-01-01T00:00:00.000Z"}"#,
            "StartingPoint must be in the past",
        ),
        (
            r#"{"PointType": "Timestamp", "StartingPoint": "2024-01-02T00:00:00Z", "EndingPoint": "2024-01-01T00:00:00Z"}"#,
            "EndingPoint must be after StartingPoint",
        ),
        (
            r#"{"PointType": "Timestamp", "StartingPoint": "2024-01-01T00:00:00.000Z"}"#,
            "the topic must have an ArchivePolicy to replay messages from its archive",
        ),
    ] {
        let set = json!({"SubscriptionArn": arn, "AttributeName": "ReplayPolicy", "AttributeValue": policy});
        let refused = talk.refused("SetSubscriptionAttributes", set).await;
        assert_eq!(refused, ("InvalidParameter".into(), format!("Invalid parameter: ReplayPolicy: {words}")));
    }
    let set = |value: &str| json!({"TopicArn": FIFO, "AttributeName": "ArchivePolicy", "AttributeValue": value});
    talk.sns("SetTopicAttributes", set(r#"{"MessageRetentionPeriod": 7}"#)).await;
    assert_eq!(talk.refused("DeleteTopic", json!({"TopicArn": FIFO})).await.0, "InvalidState");
    assert_eq!(talk.server.broker.vhost("/").unwrap().queues().len(), 2);
    talk.sns("SetTopicAttributes", set("{}")).await;
    assert_eq!(talk.server.broker.vhost("/").unwrap().queues().len(), 1, "the archive is gone");
    talk.sns("DeleteTopic", json!({"TopicArn": FIFO})).await;
}
