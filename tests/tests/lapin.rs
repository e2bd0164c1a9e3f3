//! Rust: lapin.

use std::collections::HashSet;
use std::time::Duration;

use gantry_tests::broker::{Broker, Ending};
use gantry_tests::unique;
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::*;
use lapin::protocol::AMQPError;
use lapin::protocol::basic::AMQPProperties;
use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString};
use lapin::{Channel, Confirmation, Connection, ConnectionProperties, Consumer, ErrorKind, ExchangeKind};
use tokio_stream::StreamExt;

/// How long anything that should happen at once may take.
const PATIENCE: Duration = Duration::from_secs(15);

async fn connect(broker: &Broker) -> Connection {
    Connection::connect(&broker.url(), ConnectionProperties::default()).await.expect("connected")
}

async fn confirming(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.expect("channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    channel
}

/// Declares a queue of the case's own, which goes with the connection.
async fn queue(channel: &Channel) -> String {
    let name = unique("lapin");
    let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await.expect("declared");
    name
}

async fn depth(channel: &Channel, queue: &str) -> u32 {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.expect("declared").message_count()
}

/// Publishes and waits for the confirm.
async fn publish(channel: &Channel, exchange: &str, key: &str, body: &[u8], properties: AMQPProperties) {
    let options = BasicPublishOptions::default();
    let pending = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.expect("sent");
    assert_eq!(pending.await.expect("confirmed"), Confirmation::Ack(None));
}

async fn fill(channel: &Channel, queue: &str, count: usize) {
    for number in 0..count {
        publish(channel, "", queue, number.to_string().as_bytes(), AMQPProperties::default()).await;
    }
}

async fn get(channel: &Channel, queue: &str, no_ack: bool) -> Option<BasicGetMessage> {
    channel.basic_get(queue.into(), BasicGetOptions { no_ack }).await.expect("basic.get")
}

async fn bodies(channel: &Channel, queue: &str) -> Vec<String> {
    let mut taken = Vec::new();
    while let Some(message) = get(channel, queue, true).await {
        taken.push(text(&message.delivery));
    }
    taken
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.data.clone()).expect("a text")
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let options = BasicConsumeOptions::default();
    channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await.expect("consuming")
}

async fn next(consumer: &mut Consumer) -> Delivery {
    let delivery = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("a delivery in time");
    delivery.expect("still consuming").expect("a delivery")
}

/// The broker must have answered with this close.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: lapin::Result<T>, code: u16, text: &str) {
    match result.expect_err("refused").kind() {
        ErrorKind::ProtocolError(error) => assert_eq!(told(error), (code, text.to_owned())),
        other => panic!("expected {code} {text}, got {other:?}"),
    }
}

fn told(error: &AMQPError) -> (u16, String) {
    (error.get_id(), error.get_message().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn declares_binds_and_routes() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = confirming(&connection).await;
    let wanted = |size: i32| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-match".into(), AMQPValue::LongString("all".into()));
        arguments.insert("size".into(), AMQPValue::LongInt(size));
        arguments
    };
    for (kind, key, arguments, hit, miss) in [
        (ExchangeKind::Direct, "red", FieldTable::default(), "red", Some("blue")),
        (ExchangeKind::Fanout, "", FieldTable::default(), "any", None),
        (ExchangeKind::Topic, "a.*.#", FieldTable::default(), "a.b.c", Some("a")),
        (ExchangeKind::Headers, "", wanted(7), "", None),
    ] {
        let (exchange, queue) = (unique("lapin"), queue(&channel).await);
        let options = ExchangeDeclareOptions::default();
        let declared = channel.exchange_declare(exchange.as_str().into(), kind.clone(), options, FieldTable::default());
        declared.await.expect("exchange declared");
        let bound = channel.queue_bind(
            queue.as_str().into(),
            exchange.as_str().into(),
            key.into(),
            QueueBindOptions::default(),
            arguments.clone(),
        );
        bound.await.expect("bound");
        let properties = AMQPProperties::default().with_headers(wanted(7));
        publish(&channel, &exchange, hit, b"hit", properties.clone()).await;
        if let Some(miss) = miss {
            publish(&channel, &exchange, miss, b"miss", properties.clone()).await;
        }
        let other = AMQPProperties::default().with_headers(wanted(8));
        if kind == ExchangeKind::Headers {
            publish(&channel, &exchange, "", b"miss", other).await;
        }
        assert_eq!(bodies(&channel, &queue).await, ["hit"], "{kind:?}");
        let unbound = channel.queue_unbind(queue.as_str().into(), exchange.as_str().into(), key.into(), arguments);
        unbound.await.expect("unbound");
        publish(&channel, &exchange, hit, b"hit", properties).await;
        assert_eq!(bodies(&channel, &queue).await, Vec::<String>::new(), "{kind:?}, unbound");
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.expect("deleted");
    }
    connection.close(200, "done".into()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchange_to_exchange() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = confirming(&connection).await;
    let (source, sink, queue) = (unique("source"), unique("sink"), queue(&channel).await);
    for (exchange, kind) in [(&source, ExchangeKind::Topic), (&sink, ExchangeKind::Fanout)] {
        let options = ExchangeDeclareOptions::default();
        channel
            .exchange_declare(exchange.as_str().into(), kind, options, FieldTable::default())
            .await
            .expect("declared");
    }
    let (none, to_sink) = (FieldTable::default, || (sink.as_str().into(), source.as_str().into(), "to.*".into()));
    let bind =
        channel.queue_bind(queue.as_str().into(), sink.as_str().into(), "".into(), QueueBindOptions::default(), none());
    bind.await.expect("bound");
    let (destination, from, key) = to_sink();
    channel.exchange_bind(destination, from, key, ExchangeBindOptions::default(), none()).await.expect("bound");
    publish(&channel, &source, "to.a", b"through", AMQPProperties::default()).await;
    let (destination, from, key) = to_sink();
    channel.exchange_unbind(destination, from, key, ExchangeUnbindOptions::default(), none()).await.expect("unbound");
    publish(&channel, &source, "to.a", b"not", AMQPProperties::default()).await;
    assert_eq!(bodies(&channel, &queue).await, ["through"]);
    for exchange in [&source, &sink] {
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_confirms_outstanding() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = confirming(&connection).await;
    let queue = queue(&channel).await;
    let mut pending = Vec::new();
    for number in 0..1000 {
        let properties = AMQPProperties::default().with_delivery_mode(2);
        let body = number.to_string();
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("".into(), queue.as_str().into(), options, body.as_bytes(), properties);
        pending.push(sent.await.expect("sent"));
    }
    for confirm in pending {
        let confirmation = tokio::time::timeout(PATIENCE, confirm).await.expect("in time").expect("confirmed");
        assert_eq!(confirmation, Confirmation::Ack(None));
    }
    assert_eq!(bodies(&channel, &queue).await, numbers(0..1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mandatory_return_comes_before_its_confirm() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = confirming(&connection).await;
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let nowhere = unique("nowhere");
    let properties = AMQPProperties::default().with_message_id("7".into());
    let sent = channel.basic_publish("amq.direct".into(), nowhere.as_str().into(), options, b"lost", properties);
    let Confirmation::Ack(Some(returned)) = sent.await.expect("sent").await.expect("confirmed") else {
        panic!("confirmed without the return");
    };
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!((returned.exchange.as_str(), returned.routing_key.as_str()), ("amq.direct", nowhere.as_str()));
    assert_eq!(returned.properties.message_id().as_ref().map(|id| id.as_str()), Some("7"));
    assert_eq!(returned.data, b"lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefetch_nack_and_recover() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let publisher = confirming(&connection).await;
    let queue = queue(&publisher).await;
    fill(&publisher, &queue, 10).await;
    let channel = connection.create_channel().await.expect("channel");
    channel.basic_qos(4, BasicQosOptions::default()).await.expect("prefetch");
    let mut consumer = consume(&channel, &queue).await;
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(next(&mut consumer).await);
    }
    assert_eq!(depth(&channel, &queue).await, 6, "no more than four are out");
    taken[0].ack(BasicAckOptions::default()).await.expect("acknowledged");
    taken.push(next(&mut consumer).await);
    assert_eq!(taken.iter().map(text).collect::<Vec<_>>(), numbers(0..5));
    assert_eq!(depth(&channel, &queue).await, 5, "one more is out");
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.expect("cancelled");
    taken[1].nack(BasicNackOptions { requeue: true, ..Default::default() }).await.expect("given back");
    taken[2].reject(BasicRejectOptions { requeue: false }).await.expect("dropped");
    taken[4].nack(BasicNackOptions { requeue: true, multiple: true }).await.expect("given back");
    let back = tokio::time::timeout(PATIENCE, async { while depth(&channel, &queue).await < 8 {} }).await;
    back.expect("three are back");
    for (expected, redelivered) in [("1", true), ("3", true), ("4", true), ("5", false)] {
        let message = get(&channel, &queue, true).await.expect("a message");
        assert_eq!((text(&message).as_str(), message.redelivered), (expected, redelivered));
    }
    let mut consumer = consume(&channel, &queue).await;
    for _ in 0..4 {
        next(&mut consumer).await;
    }
    channel.basic_recover(BasicRecoverOptions { requeue: true }).await.expect("recovered");
    for expected in ["6", "7", "8", "9"] {
        let delivery = next(&mut consumer).await;
        assert_eq!((text(&delivery).as_str(), delivery.redelivered), (expected, true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_headers_and_large_bodies_round_trip() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = confirming(&connection).await;
    let queue = queue(&channel).await;
    let mut inner = FieldTable::default();
    inner.insert("empty".into(), AMQPValue::FieldTable(FieldTable::default()));
    let mut array = FieldArray::default();
    array.push(AMQPValue::LongInt(1));
    array.push(AMQPValue::LongString("two".into()));
    array.push(AMQPValue::FieldArray(FieldArray::default()));
    let mut headers = FieldTable::default();
    for (name, value) in [
        ("boolean", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-7)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-300)),
        ("u16", AMQPValue::ShortUInt(60_000)),
        ("i32", AMQPValue::LongInt(-70_000)),
        ("u32", AMQPValue::LongUInt(4_000_000_000)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(1.5)),
        ("f64", AMQPValue::Double(3.25)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("text", AMQPValue::LongString("grüße".into())),
        ("no text", AMQPValue::LongString(LongString::from(vec![0, 255, 128]))),
        ("array", AMQPValue::FieldArray(array)),
        ("timestamp", AMQPValue::Timestamp(1_700_000_000)),
        ("table", AMQPValue::FieldTable(inner)),
        ("bytes", AMQPValue::ByteArray(ByteArray::from(vec![0, 255]))),
        ("void", AMQPValue::Void),
    ] {
        headers.insert(name.into(), value);
    }
    let properties = AMQPProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply-here".into())
        .with_expiration("60000".into())
        .with_message_id("message-1".into())
        .with_timestamp(1_700_000_000)
        .with_type("order".into())
        .with_user_id("guest".into())
        .with_app_id("shop".into())
        .with_cluster_id("cluster".into());
    let body: Vec<u8> = (0..5 << 20).map(|at: usize| (at % 251) as u8).collect();
    publish(&channel, "", &queue, &body, properties.clone()).await;
    let message = get(&channel, &queue, true).await.expect("a message");
    assert_eq!(message.properties, properties);
    assert!(message.data == body, "the body came back different");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let channel = connection.create_channel().await.expect("channel");
    let queue = queue(&channel).await;
    channel.tx_select().await.expect("tx.select");
    for (body, commit) in [("0", true), ("1", false), ("2", true)] {
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(
            "".into(),
            queue.as_str().into(),
            options,
            body.as_bytes(),
            AMQPProperties::default().with_delivery_mode(2),
        );
        drop(sent.await.expect("sent"));
        if commit {
            channel.tx_commit().await.expect("committed");
        } else {
            channel.tx_rollback().await.expect("rolled back");
        }
    }
    assert_eq!(bodies(&channel, &queue).await, ["0", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_of_channels_and_connections() {
    let broker = Broker::start();
    let connection = connect(&broker).await;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let missing = unique("missing");
    let channel = connection.create_channel().await.expect("channel");
    refused(
        channel.queue_declare(missing.as_str().into(), passive, FieldTable::default()).await,
        404,
        &format!("NOT_FOUND - no queue '{missing}' in vhost '/'"),
    );
    let channel = connection.create_channel().await.expect("channel");
    refused(
        channel.queue_declare("amq.mine".into(), QueueDeclareOptions::default(), FieldTable::default()).await,
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    );
    let channel = connection.create_channel().await.expect("channel");
    let locked = queue(&channel).await;
    let other = connect(&broker).await;
    let channel = other.create_channel().await.expect("channel");
    refused(
        channel.queue_declare(locked.as_str().into(), passive, FieldTable::default()).await,
        405,
        &format!(
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{locked}' in vhost '/'. It could be \
             originally declared on another connection or the exclusive property value does not match that of the \
             original declaration."
        ),
    );
    let channel = other.create_channel().await.expect("the connection lives on");
    queue(&channel).await;

    let url = broker.url();
    for (url, code, text) in [
        (
            url.replace(":guest@", ":wrong@"),
            403,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
        ),
        (url.replace("%2F", "nowhere"), 530, "NOT_ALLOWED - vhost nowhere not found"),
    ] {
        refused(Connection::connect(&url, ConnectionProperties::default()).await.map(drop), code, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovers_after_a_kill() {
    let mut broker = Broker::settings().keeps_port().start();
    if !broker.can_restart() {
        return;
    }
    let properties = ConnectionProperties::default().enable_auto_recover();
    let connection = Connection::connect(&broker.url(), properties).await.expect("connected");
    let channel = confirming(&connection).await;
    let durable = unique("durable");
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(durable.as_str().into(), options, FieldTable::default()).await.expect("declared");
    for number in 0..50 {
        let persistent = AMQPProperties::default().with_delivery_mode(2);
        publish(&channel, "", &durable, number.to_string().as_bytes(), persistent).await;
    }
    tokio::task::block_in_place(|| broker.restart(Ending::Kill));
    // The first call after the loss fails; the library says when its channel can be used again.
    let recovered = tokio::time::timeout(2 * PATIENCE, async {
        loop {
            match channel.basic_get(durable.as_str().into(), BasicGetOptions::default()).await {
                Ok(Some(message)) => break message,
                Ok(None) => panic!("the durable queue is empty"),
                Err(error) => channel.wait_for_recovery(error).await.expect("recovery"),
            }
        }
    });
    let first = recovered.await.expect("recovered in time");
    let mut seen = HashSet::from([text(&first.delivery)]);
    seen.extend(bodies(&channel, &durable).await);
    assert_eq!(seen, numbers(0..50).into_iter().collect());
    channel.queue_delete(durable.as_str().into(), QueueDeleteOptions::default()).await.expect("deleted");
}
