//! SQS through AWS's SDK for Rust.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use gantry_tests::broker::{Broker, Ending};
use gantry_tests::unique;

fn client(broker: &Broker) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(broker.aws_url())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

fn broker() -> Broker {
    Broker::settings().keeps_port().listener("aws").start()
}

async fn queue(client: &Client, attributes: &[(QueueAttributeName, &str)]) -> String {
    let is_fifo = attributes.iter().any(|(name, _)| *name == QueueAttributeName::FifoQueue);
    let name = unique("rust") + if is_fifo { ".fifo" } else { "" };
    let mut ask = client.create_queue().queue_name(name);
    for (name, value) in attributes {
        ask = ask.attributes(name.clone(), *value);
    }
    ask.send().await.expect("created").queue_url.expect("its URL")
}

async fn receive(client: &Client, queue: &str, wait_s: i32) -> Vec<Message> {
    let ask = client.receive_message().queue_url(queue).max_number_of_messages(10).wait_time_seconds(wait_s);
    let ask = ask.message_attribute_names("All").message_system_attribute_names(MessageSystemAttributeName::All);
    ask.send().await.expect("received").messages.unwrap_or_default()
}

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

#[tokio::test]
async fn messages_attributes_and_batches() {
    let mut broker = broker();
    let client = client(&broker);
    let queue = queue(&client, &[]).await;
    let number = MessageAttributeValue::builder().data_type("Number.int").string_value("7").build().expect("a value");
    let bytes = MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 255])).build();
    let ask = client.send_message().queue_url(&queue).message_body("höllo").message_attributes("number", number);
    let sent = ask.message_attributes("bytes", bytes.expect("a value")).send().await.expect("sent");
    let [message] = &receive(&client, &queue, 5).await[..] else { panic!("one message") };
    assert_eq!(message.body(), Some("höllo"));
    assert_eq!(message.message_id(), sent.message_id());
    let attributes = message.message_attributes().expect("attributes");
    assert_eq!(attributes["number"].string_value(), Some("7"));
    assert_eq!(attributes["bytes"].binary_value().map(Blob::as_ref), Some(&[0, 255][..]));
    let handle = message.receipt_handle().expect("a handle");
    client.delete_message().queue_url(&queue).receipt_handle(handle).send().await.expect("deleted");

    let entry =
        |n: usize| SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(n.to_string()).build();
    let entries = (0..10).map(|n| entry(n).expect("an entry")).collect();
    let sent = client.send_message_batch().queue_url(&queue).set_entries(Some(entries)).send().await.expect("sent");
    assert_eq!((sent.successful().len(), sent.failed().len()), (10, 0));
    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        let messages = receive(&client, &queue, 5).await;
        assert!(!messages.is_empty(), "only {} messages came", seen.len());
        let mut entries = Vec::new();
        for message in &messages {
            assert!(seen.insert(text(message.body.as_ref()).to_owned()), "twice: {message:?}");
            let entry = DeleteMessageBatchRequestEntry::builder().id(entries.len().to_string());
            entries.push(entry.receipt_handle(text(message.receipt_handle.as_ref())).build().expect("an entry"));
        }
        let deleted = client.delete_message_batch().queue_url(&queue).set_entries(Some(entries)).send().await;
        assert_eq!(deleted.expect("deleted").successful().len(), messages.len());
    }
    broker.assert_sound();
}

#[tokio::test]
async fn groups_in_order() {
    let mut broker = broker();
    let client = client(&broker);
    let attributes = [(QueueAttributeName::FifoQueue, "true"), (QueueAttributeName::ContentBasedDeduplication, "true")];
    let queue = queue(&client, &attributes).await;
    for n in 0..20 {
        for _ in 0..2 {
            let ask = client.send_message().queue_url(&queue).message_body(n.to_string());
            ask.message_group_id(format!("g{}", n % 2)).send().await.expect("sent");
        }
    }
    let mut groups: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    loop {
        let messages = receive(&client, &queue, 1).await;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            let system = message.attributes().expect("system attributes");
            let group = system[&MessageSystemAttributeName::MessageGroupId].clone();
            groups.entry(group).or_default().push(text(message.body.as_ref()).parse().expect("a number"));
            let handle = text(message.receipt_handle.as_ref());
            client.delete_message().queue_url(&queue).receipt_handle(handle).send().await.expect("deleted");
        }
    }
    let wanted = |first| (first..20).step_by(2).collect::<Vec<u32>>();
    assert_eq!(groups, BTreeMap::from([("g0".to_owned(), wanted(0)), ("g1".to_owned(), wanted(1))]));
    broker.assert_sound();
}

#[tokio::test]
async fn errors_have_types() {
    let mut broker = broker();
    let client = client(&broker);
    let error = client.get_queue_url().queue_name(unique("nowhere")).send().await.expect_err("no such queue");
    assert_eq!(error.code(), Some("AWS.SimpleQueueService.NonExistentQueue"));
    let SdkError::ServiceError(told) = &error else { panic!("{error:?}") };
    assert!(matches!(told.err(), GetQueueUrlError::QueueDoesNotExist(_)), "{told:?}");
    let queue = queue(&client, &[]).await;
    let error = client.delete_message().queue_url(&queue).receipt_handle("x").send().await.expect_err("no handle");
    assert!(error.into_service_error().is_receipt_handle_is_invalid());
    let error = client.send_message_batch().queue_url(&queue).set_entries(Some(Vec::new())).send().await;
    assert!(error.expect_err("an empty batch").into_service_error().is_empty_batch_request());
    broker.assert_sound();
}

#[tokio::test]
async fn a_dropped_poll_takes_nothing_and_another_wakes_at_once() {
    let mut broker = broker();
    if broker.is_external() {
        return; // LocalStack goes on with what nobody waits for any more
    }
    let client = client(&broker);
    let queue = queue(&client, &[]).await;
    for _ in 0..5 {
        let poll = client.receive_message().queue_url(&queue).wait_time_seconds(20).send();
        assert!(tokio::time::timeout(Duration::from_millis(100), poll).await.is_err(), "nothing was sent");
    }
    let waiter = tokio::spawn({
        let (client, queue) = (client.clone(), queue.clone());
        async move { receive(&client, &queue, 20).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    client.send_message().queue_url(&queue).message_body("wake").send().await.expect("sent");
    let messages = tokio::time::timeout(Duration::from_secs(10), waiter).await.expect("in time").expect("no panic");
    let [message] = &messages[..] else { panic!("one message: {messages:?}") };
    let receives =
        &message.attributes().expect("system attributes")[&MessageSystemAttributeName::ApproximateReceiveCount];
    assert_eq!(receives, "1", "those that went away have had it");
    broker.assert_sound();
}

#[tokio::test]
async fn messages_survive_a_crash() {
    let mut broker = broker();
    if !broker.can_restart() {
        return;
    }
    let client = client(&broker);
    let queue = queue(&client, &[]).await;
    for n in 0..20 {
        client.send_message().queue_url(&queue).message_body(n.to_string()).send().await.expect("sent");
    }
    broker.restart(Ending::Kill);
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        let messages = receive(&client, &queue, 5).await;
        assert!(!messages.is_empty(), "only {} messages came", seen.len());
        seen.extend(messages.iter().map(|message| text(message.body.as_ref()).to_owned()));
    }
    broker.assert_sound();
}
