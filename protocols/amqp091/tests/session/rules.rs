//! What shows of a queue's rules: refusals, counts of attempts, messages taken back, and errors.

use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{ContentHeader, Method, ShortText};
use gantry_broker::value::{Table, Value};

use crate::client::{Client, Received, Server, consume};

fn arguments(pairs: &[(&str, Value)]) -> Table {
    let mut table = Table::new();
    for (name, value) in pairs {
        table.push(*name, value.clone());
    }
    table
}

fn limited(overflow: &str) -> Table {
    arguments(&[("x-max-length", Value::I32(1)), ("x-overflow", overflow.into())])
}

fn headers(frame: &Received) -> Table {
    let header = ContentHeader::decode(frame.payload()).expect("a content header");
    let properties = header.properties.parse().expect("properties");
    properties.headers.map(|headers| headers.decode().expect("headers")).unwrap_or_default()
}

/// The next delivery: its tag, whether it is marked, and its headers.
async fn delivery(client: &mut Client) -> (u64, bool, Table) {
    let received = client.next().await;
    let (tag, redelivered) = match received.method() {
        Some(Method::BasicDeliver(deliver)) => (deliver.delivery_tag, deliver.redelivered),
        other => panic!("{other:?}"),
    };
    let table = headers(&client.next().await);
    client.next().await;
    (tag, redelivered, table)
}

#[tokio::test]
async fn a_refused_publish_is_answered_with_a_nack_in_its_place() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    client.declare_with("q", true, &limited("reject-publish")).await.expect("is declared");
    client.confirm().await;
    server.journal.hold();
    client.publish("q", b"taken", true).await;
    client.publish("q", b"refused", true).await;
    client.publish("q", b"refused", true).await;
    assert!(client.settle().await.is_empty(), "a nack does not overtake");
    server.journal.release();
    assert_eq!(client.expect_ack().await.delivery_tag, 1);
    match client.next().await.method() {
        Some(Method::BasicNack(nack)) => assert_eq!((nack.delivery_tag, nack.multiple), (3, true)),
        other => panic!("{other:?}"),
    };
    client.send(1, m::QueuePurge { queue: ShortText::cut("q"), no_wait: true, ..Default::default() }).await;
    client.publish("q", b"taken", true).await;
    assert_eq!(client.expect_ack().await.delivery_tag, 4);
    assert_eq!(client.count("q").await, (1, 0));
}

#[tokio::test]
async fn without_confirms_a_refused_publish_is_dropped_in_silence_and_not_returned() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    client.declare_with("q", true, &limited("reject-publish")).await.expect("is declared");
    for _ in 0..3 {
        client.publish("q", b"message", true).await;
    }
    assert!(client.settle().await.is_empty());
    assert_eq!(client.count("q").await, (1, 0));
    client.send(1, m::TxSelect {}).await;
    assert!(matches!(client.next().await.method(), Some(Method::TxSelectOk(_))));
    client.publish("q", b"message", true).await;
    client.send(1, m::TxCommit {}).await;
    match client.next().await.method() {
        Some(Method::ChannelClose(close)) => {
            let text = "PRECONDITION_FAILED - partial tx completion";
            assert_eq!((close.reply_code, close.reply_text.as_str()), (406, text));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.client().await.count("q").await, (1, 0));
}

#[tokio::test]
async fn a_message_that_failed_says_how_often_where_the_queue_counts() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    for (queue, counts) in [("quorum", true), ("limited", true), ("classic", false)] {
        let table = match queue {
            "quorum" => arguments(&[("x-queue-type", "quorum".into())]),
            "limited" => arguments(&[("x-delivery-limit", Value::I32(9))]),
            _ => Table::new(),
        };
        client.declare_with(queue, true, &table).await.expect("is declared");
        client.publish(queue, b"body", true).await;
        client.send(1, consume(queue, false)).await;
        assert!(matches!(client.next().await.method(), Some(Method::BasicConsumeOk(_))));
        for attempts in 0..3_i64 {
            let (delivery_tag, redelivered, table) = delivery(&mut client).await;
            assert_eq!(redelivered, attempts > 0);
            let count = (counts && attempts > 0).then_some(Value::I64(attempts));
            assert_eq!(table.get("x-delivery-count"), count.as_ref());
            assert_eq!(table.get("x-acquired-count"), count.as_ref());
            client.send(1, m::BasicNack { delivery_tag, multiple: false, requeue: attempts < 2 }).await;
        }
        client.send(1, m::BasicCancel { consumer_tag: ShortText::cut("c"), no_wait: false }).await;
        assert!(matches!(client.next().await.method(), Some(Method::BasicCancelOk(_))));
        assert_eq!(client.count(queue).await, (0, 0));
    }
}

#[tokio::test]
async fn a_message_taken_back_for_want_of_time_comes_again_and_a_late_ack_is_no_error() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    let table = arguments(&[("x-consumer-timeout", Value::I32(20)), ("x-delivery-limit", Value::I32(9))]);
    client.declare_with("q", true, &table).await.expect("is declared");
    client.publish("q", b"body", true).await;
    client.send(1, m::BasicQos { prefetch_count: 1, ..Default::default() }).await;
    assert!(matches!(client.next().await.method(), Some(Method::BasicQosOk(_))));
    client.send(1, consume("q", false)).await;
    assert!(matches!(client.next().await.method(), Some(Method::BasicConsumeOk(_))));
    let (late, redelivered, _) = delivery(&mut client).await;
    assert!(!redelivered);
    while client.count("q").await != (1, 1) {}
    // Only what it says of the one makes room for the other, which is the same message.
    client.send(1, m::BasicAck { delivery_tag: late, multiple: false }).await;
    let (_, redelivered, table) = delivery(&mut client).await;
    assert_eq!((redelivered, table.get("x-delivery-count")), (true, Some(&Value::I64(1))));
}

#[tokio::test]
async fn arguments_are_refused_in_rabbitmqs_words() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    let quorum = || ("x-queue-type", Value::from("quorum"));
    for (pairs, durable, words) in [
        (
            vec![("x-max-length", Value::I32(-1))],
            true,
            "invalid arg 'x-max-length' for queue 'q' in vhost '/': {value_negative,-1}",
        ),
        (
            vec![("x-max-length", true.into())],
            true,
            "invalid arg 'x-max-length' for queue 'q' in vhost '/': \"expected integer, got bool\"",
        ),
        (
            vec![("x-expires", Value::I32(0))],
            true,
            "invalid arg 'x-expires' for queue 'q' in vhost '/': {value_zero,0}",
        ),
        (
            vec![("x-max-priority", Value::I32(256))],
            true,
            "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {max_value_exceeded,256}",
        ),
        (
            vec![("x-overflow", "x".into())],
            true,
            "invalid arg 'x-overflow' for queue 'q' in vhost '/': invalid_overflow",
        ),
        (
            vec![("x-overflow", Value::I32(5))],
            true,
            "invalid arg 'x-overflow' for queue 'q' in vhost '/': {unacceptable_type,signedint}",
        ),
        (
            vec![("x-dead-letter-exchange", Value::I32(5))],
            true,
            "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
        ),
        (
            vec![("x-dead-letter-routing-key", "k".into())],
            true,
            "invalid arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': routing_key_but_no_dlx_defined",
        ),
        (
            vec![("x-single-active-consumer", "x".into())],
            true,
            "invalid arg 'x-single-active-consumer' for queue 'q' in vhost '/': {unacceptable_type,longstr}",
        ),
        (
            vec![("x-queue-type", "x".into())],
            true,
            "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'x'\"",
        ),
        (
            vec![("x-queue-mode", "x".into())],
            true,
            "invalid arg 'x-queue-mode' for queue 'q' in vhost '/': \"unsupported queue mode 'x'\"",
        ),
        (
            vec![quorum(), ("x-queue-mode", "lazy".into())],
            true,
            "invalid arg 'x-queue-mode' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue",
        ),
        (vec![quorum()], false, "invalid property 'non-durable' for queue 'q' in vhost '/'"),
    ] {
        let refused = client.declare_with("q", durable, &arguments(&pairs)).await;
        assert_eq!(refused, Err((406, format!("PRECONDITION_FAILED - {words}"))));
    }
    let one = arguments(&[("x-max-length", Value::I32(1))]);
    client.declare_with("q", true, &one).await.expect("is declared");
    client.declare_with("q", true, &arguments(&[("x-max-length", Value::I64(1))])).await.expect("is the same");
    for (again, words) in [
        (arguments(&[("x-max-length", Value::I32(2))]), "received '2' but current is '1'"),
        (Table::new(), "received none but current is the value '1' of type 'signedint'"),
    ] {
        let refused = client.declare_with("q", true, &again).await;
        let text = format!("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': {words}");
        assert_eq!(refused, Err((406, text)));
    }
}

#[tokio::test]
async fn a_dead_letter_exchange_takes_the_right_to_read_the_queue_and_to_write_to_the_exchange() {
    let to = |exchange: &str| arguments(&[("x-dead-letter-exchange", exchange.into())]);
    let refused = |what: &str| Err((403, format!("ACCESS_REFUSED - access to {what} refused for user 'guest'")));
    let server = Server::with_rights(".*", "^mine$", "^q$");
    let mut client = server.client().await;
    client.declare_with("q", false, &to("mine")).await.expect("may do both");
    client.declare_with("q", false, &to("mine")).await.expect("is there");
    let unreadable = client.declare_with("other", false, &to("mine")).await;
    assert_eq!(unreadable, refused("queue 'other' in vhost '/'"));
    let server = Server::with_rights(".*", "^mine$", ".*");
    let mut client = server.client().await;
    assert_eq!(client.declare_with("q", false, &to("theirs")).await, refused("exchange 'theirs' in vhost '/'"));
    client.declare_with("q", false, &Table::new()).await.expect("nothing was declared before");
}
