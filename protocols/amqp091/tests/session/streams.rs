//! Streams as a client sees them.

use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{ContentHeader, Method, RawTable, ShortText, table};
use gantry_broker::value::{Table, Value};

use crate::client::{Client, Server, consume};

fn encoded(entries: &[(&str, Value)]) -> bytes::BytesMut {
    let mut arguments = Table::default();
    for (name, value) in entries {
        arguments.push(*name, value.clone());
    }
    let mut encoded = bytes::BytesMut::new();
    table::encode_table(&arguments, &mut encoded).expect("is small");
    encoded
}

async fn declare(client: &mut Client) {
    let arguments = encoded(&[("x-queue-type", "stream".into())]);
    let queue = ShortText::cut("s");
    let arguments = RawTable::new(&arguments);
    client.send(1, m::QueueDeclare { queue, durable: true, arguments, ..Default::default() }).await;
    assert!(matches!(client.next().await.method(), Some(Method::QueueDeclareOk(_))));
}

async fn read(client: &mut Client, prefetch: u16, arguments: &[(&str, Value)]) {
    client.send(1, m::BasicQos { prefetch_count: prefetch, ..Default::default() }).await;
    assert!(matches!(client.next().await.method(), Some(Method::BasicQosOk(_))));
    let arguments = encoded(arguments);
    client.send(1, m::BasicConsume { arguments: RawTable::new(&arguments), ..consume("s", false) }).await;
}

/// Delivery tag and `x-stream-offset` of the next message.
async fn delivered(client: &mut Client) -> (u64, Option<Value>) {
    let tag = loop {
        if let Some(Method::BasicDeliver(deliver)) = client.next().await.method() {
            assert!(!deliver.redelivered);
            break deliver.delivery_tag;
        }
    };
    let received = client.next().await;
    let header = ContentHeader::decode(received.payload()).expect("a content header");
    let properties = header.properties.validate().expect("properties");
    let headers = properties.headers.expect("there are headers").decode().expect("they are a table");
    (tag, headers.get("x-stream-offset").cloned())
}

#[tokio::test]
async fn each_message_says_its_offset_and_each_outcome_gives_credit() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    declare(&mut client).await;
    for _ in 0..20 {
        client.publish("s", b"body", false).await;
    }
    while client.count("s").await.0 < 20 {}
    read(&mut client, 2, &[("x-stream-offset", Value::I32(3))]).await;
    let mut expected = 3;
    for say in [
        |tag| Method::from(m::BasicAck { delivery_tag: tag, multiple: true }),
        |tag| Method::from(m::BasicNack { delivery_tag: tag, multiple: true, requeue: true }),
        |tag| Method::from(m::BasicNack { delivery_tag: tag, multiple: true, requeue: false }),
        |_| Method::from(m::BasicRecover { requeue: true }),
    ] {
        let mut last = 0;
        for _ in 0..2 {
            let (tag, offset) = delivered(&mut client).await;
            assert_eq!(offset, Some(Value::I64(expected)));
            (last, expected) = (tag, expected + 1);
        }
        let others = client.settle().await;
        assert!(!others.iter().any(|received| matches!(received.method(), Some(Method::BasicDeliver(_)))));
        client.send(1, say(last)).await;
    }
    assert_eq!(server.client().await.count("s").await.0, 20);
}

#[tokio::test]
async fn a_message_that_is_not_durable_yet_is_neither_confirmed_nor_read() {
    let server = Server::new(Limits::default());
    let (mut client, mut reader) = (server.client().await, server.client().await);
    declare(&mut client).await;
    client.confirm().await;
    read(&mut reader, 10, &[]).await;
    assert!(matches!(reader.next().await.method(), Some(Method::BasicConsumeOk(_))));
    server.journal.hold();
    client.publish("s", b"transient", false).await;
    assert!(client.settle().await.is_empty());
    assert!(reader.settle().await.is_empty());
    server.journal.release();
    assert_eq!(client.expect_ack().await.delivery_tag, 1);
    assert_eq!(delivered(&mut reader).await, (1, Some(Value::I64(0))));
}

/// The code and the text that the server ends the channel or the connection with.
async fn refused(client: &mut Client) -> (u16, String) {
    loop {
        match client.next().await.method() {
            Some(Method::ChannelClose(close)) => return (close.reply_code, close.reply_text.as_str().to_owned()),
            Some(Method::ConnectionClose(close)) => return (close.reply_code, close.reply_text.as_str().to_owned()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_a_stream_does_not_do_is_refused_in_rabbitmqs_words() {
    let server = Server::new(Limits::default());
    declare(&mut server.client().await).await;
    let not =
        |what: &str| (540, format!("NOT_IMPLEMENTED - {what} not supported by stream queues queue 's' in vhost '/'"));
    let queue = ShortText::cut("s");

    let mut client = server.client().await;
    client.send(1, m::BasicGet { queue, ..Default::default() }).await;
    assert_eq!(refused(&mut client).await, not("basic.get"));

    let mut client = server.client().await;
    client.send(1, m::QueuePurge { queue, ..Default::default() }).await;
    assert_eq!(refused(&mut client).await, not("queue.purge"));

    let mut client = server.client().await;
    client.send(1, m::BasicQos { prefetch_count: 1, ..Default::default() }).await;
    client.send(1, consume("s", true)).await;
    assert_eq!(refused(&mut client).await, not("automatic acknowledgement"));

    let mut client = server.client().await;
    client.send(1, consume("s", false)).await;
    let text = "PRECONDITION_FAILED - consumer prefetch count is not set for 'queue 's' in vhost '/''";
    assert_eq!(refused(&mut client).await, (406, text.to_owned()));

    for (name, value, why) in [
        ("x-stream-offset", Value::from("5x"), ": {invalid_stream_offset_arg,{longstr,<<\"5x\">>}}"),
        ("x-stream-filter", Value::I32(1), ": \"expected a string or an array of strings\""),
        ("x-stream-filter", Value::Array(vec![Value::Null]), ": \"expected a string or an array of strings\""),
        ("x-stream-filter", Value::Array(vec!["a".into(); 257]), ": \"at most 256 values\""),
        ("x-stream-match-unfiltered", "true".into(), ": \"expected bool, got longstr\""),
        ("x-priority", Value::I32(1), " of queue type rabbit_stream_queue"),
    ] {
        let mut client = server.client().await;
        read(&mut client, 1, &[(name, value)]).await;
        let text = format!("PRECONDITION_FAILED - invalid arg '{name}' for queue 's' in vhost '/'{why}");
        assert_eq!(refused(&mut client).await, (406, text));
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_nothing_behind() {
    let server = Server::new(Limits::default());
    let (mut client, mut other) = (server.client().await, server.client().await);
    declare(&mut client).await;
    for _ in 0..100 {
        client.publish("s", b"body", false).await;
    }
    while client.count("s").await.0 < 100 {}
    read(&mut client, 10, &[("x-stream-offset", "first".into())]).await;
    delivered(&mut client).await;
    assert_eq!(other.count("s").await, (100, 1));
    client.serving.abort();
    assert!(client.serving.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(other.count("s").await, (100, 0));
}
