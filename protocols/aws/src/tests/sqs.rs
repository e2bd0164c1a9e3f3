//! The actions of SQS, as a client sees them: what they answer, and what they refuse.

mod dead_letters;
mod ordered;
mod queues;
mod sending;

use serde_json::{Value, json};

use super::client::{Client, Received, Server};
use crate::Settings;

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

    /// The answer to an action, which has to succeed.
    async fn ask(&mut self, action: &str, input: Value) -> Value {
        let received = self.client.ask(action, &input).await;
        assert_eq!(received.status, 200, "{action} {input}: {received:?}");
        if received.body.is_empty() { Value::Null } else { received.json() }
    }

    /// The code for old clients and the words of an action that is refused.
    async fn refused(&mut self, action: &str, input: Value) -> (String, String) {
        let received = self.client.ask(action, &input).await;
        assert_ne!(received.status, 200, "{action} {input}: {received:?}");
        refusal(&received)
    }

    async fn create(&mut self, name: &str, attributes: Value) -> String {
        let created = self.ask("CreateQueue", json!({"QueueName": name, "Attributes": attributes})).await;
        text(&created["QueueUrl"])
    }

    async fn send(&mut self, url: &str, body: &str) -> Value {
        self.ask("SendMessage", json!({"QueueUrl": url, "MessageBody": body})).await
    }

    /// Messages that are there, with all attributes.
    async fn receive(&mut self, url: &str) -> Vec<Value> {
        let input = json!({
            "QueueUrl": url,
            "MaxNumberOfMessages": 10,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let received = self.ask("ReceiveMessage", input).await;
        received["Messages"].as_array().cloned().unwrap_or_default()
    }

    /// As [`Talk::receive`], until there is one: what is on its way out of another queue takes a moment.
    async fn wait(&mut self, url: &str) -> Value {
        let input = json!({"QueueUrl": url, "WaitTimeSeconds": 20, "MessageSystemAttributeNames": ["All"]});
        let received = self.ask("ReceiveMessage", input).await;
        received["Messages"][0].clone()
    }

    async fn delete(&mut self, url: &str, message: &Value) {
        self.ask("DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]})).await;
    }

    async fn attribute(&mut self, url: &str, name: &str) -> Value {
        let input = json!({"QueueUrl": url, "AttributeNames": [name]});
        self.ask("GetQueueAttributes", input).await["Attributes"][name].clone()
    }
}

fn refusal(received: &Received) -> (String, String) {
    let code = received.header("x-amzn-query-error").and_then(|said| said.split(';').next()).unwrap_or_default();
    (code.to_owned(), text(&received.json()["message"]))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["Body"].as_str().unwrap_or_default()).collect()
}
