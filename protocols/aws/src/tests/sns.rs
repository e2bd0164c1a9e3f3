//! The actions of SNS, as a client sees them: what they answer, and what they refuse.

mod publishing;
mod replays;
mod subscriptions;
mod topics;

use serde_json::{Value, json};

use super::client::{Client, Received, Server};
use crate::Settings;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:t";

/// A server and a client of it.
struct Talk {
    server: Server,
    client: Client,
}

impl Talk {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let server = Server::with(settings);
        let client = server.client();
        Self { server, client }
    }

    /// The answer to an action of SNS, which has to succeed.
    async fn sns(&mut self, action: &str, input: Value) -> Value {
        let received = self.client.ask_sns(action, &input).await;
        assert_eq!(received.status, 200, "{action} {input}: {received:?}");
        if received.body.is_empty() { Value::Null } else { received.json() }
    }

    /// The code and the words of an action of SNS that is refused.
    async fn refused(&mut self, action: &str, input: Value) -> (String, String) {
        let received = self.client.ask_sns(action, &input).await;
        assert_ne!(received.status, 200, "{action} {input}: {received:?}");
        refusal(&received)
    }

    /// The answer to an action of SQS, which has to succeed.
    async fn sqs(&mut self, action: &str, input: Value) -> Value {
        let received = self.client.ask(action, &input).await;
        assert_eq!(received.status, 200, "{action} {input}: {received:?}");
        if received.body.is_empty() { Value::Null } else { received.json() }
    }

    async fn create_topic(&mut self, name: &str) -> String {
        text(&self.sns("CreateTopic", json!({"Name": name})).await["TopicArn"])
    }

    /// The URL of a new queue.
    async fn create_queue(&mut self, name: &str, attributes: Value) -> String {
        text(&self.sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await["QueueUrl"])
    }

    /// The ARN of a new subscription of a queue.
    async fn subscribe(&mut self, topic: &str, queue: &str, attributes: Value) -> String {
        let input =
            json!({"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue_arn(queue), "Attributes": attributes});
        text(&self.sns("Subscribe", input).await["SubscriptionArn"])
    }

    async fn publish(&mut self, topic: &str, message: &str) {
        self.sns("Publish", json!({"TopicArn": topic, "Message": message})).await;
    }

    /// What is in a queue now, and is deleted there.
    async fn receive(&mut self, url: &str) -> Vec<Value> {
        let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]});
        let received = self.sqs("ReceiveMessage", input).await;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        for message in &messages {
            let input = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
            self.sqs("DeleteMessage", input).await;
        }
        messages
    }

    /// The bodies of what is in a queue now: of a JSON document, its `Message` behind `json:`.
    async fn bodies(&mut self, url: &str) -> Vec<String> {
        let messages = self.receive(url).await;
        messages.iter().map(|message| shown(&text(&message["Body"]))).collect()
    }
}

fn shown(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(document) if document["Type"] == "Notification" => format!("json:{}", text(&document["Message"])),
        _ => body.to_owned(),
    }
}

fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
}

fn refusal(received: &Received) -> (String, String) {
    let code = received.header("x-amzn-query-error").and_then(|said| said.split(';').next()).unwrap_or_default();
    (code.to_owned(), text(&received.json()["message"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
