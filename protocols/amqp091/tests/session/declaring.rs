//! Many declarations and bindings of one client, sent without waiting for the answers.

use bytes::BytesMut;
use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{Method, RawTable, ShortText, table};
use gantry_broker::value::{Table, Value};

use crate::client::{Client, Server};

fn declare(queue: &str, no_wait: bool) -> m::QueueDeclare<'_> {
    m::QueueDeclare { queue: ShortText::cut(queue), durable: true, no_wait, ..Default::default() }
}

fn bind<'a>(queue: &'a str, exchange: &'a str, no_wait: bool) -> m::QueueBind<'a> {
    let (queue, exchange) = (ShortText::cut(queue), ShortText::cut(exchange));
    m::QueueBind { queue, exchange, binding_key: ShortText::cut("k"), no_wait, ..Default::default() }
}

/// Puts methods of channel 1 behind one another.
fn together(methods: &[Method<'_>]) -> BytesMut {
    let mut bytes = BytesMut::new();
    for method in methods {
        method.encode_frame(1, &mut bytes);
    }
    bytes
}

async fn answers(client: &mut Client, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let received = client.next().await;
        let method = received.method().expect("a method");
        names.push(match &method {
            Method::QueueDeclareOk(ok) => format!("declared {}", ok.queue.as_str()),
            Method::ChannelClose(close) => format!("closed {} {}", close.reply_code, close.method_id),
            other => other.name().to_owned(),
        });
    }
    names
}

#[tokio::test]
async fn answers_come_in_order_and_what_follows_finds_all_of_it() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    let mut methods = Vec::new();
    let names: Vec<String> = (0..600).map(|n| format!("q{n}")).collect();
    let mut expected = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let no_wait = n % 7 == 0;
        methods.push(Method::from(declare(name, no_wait)));
        // An empty name is the last queue that was declared, also while it is on its way.
        methods.push(bind(if n % 2 == 0 { name } else { "" }, "amq.direct", no_wait).into());
        if !no_wait {
            expected.push(format!("declared {name}"));
            expected.push("queue.bind-ok".to_owned());
        }
    }
    methods.push(m::QueueDeclare { queue: ShortText::cut("q599"), passive: true, ..Default::default() }.into());
    expected.push("declared q599".to_owned());
    client.write(&together(&methods)).await;
    assert_eq!(answers(&mut client, expected.len()).await, expected);
    client.publish_to("amq.direct", "k", b"to all").await;
    assert_eq!(client.count("q0").await, (1, 0));
    assert_eq!(client.count("q599").await, (1, 0));
}

#[tokio::test]
async fn what_fails_is_answered_in_its_turn_and_what_came_before_has_happened() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    let mut arguments = BytesMut::new();
    table::encode_table(&[("x-expires", Value::I32(1000))].into_iter().collect::<Table>(), &mut arguments).unwrap();
    let differs = m::QueueDeclare { arguments: RawTable::new(&arguments), ..declare("q1", false) };
    client
        .write(&together(&[
            declare("q1", false).into(),
            bind("q1", "amq.direct", false).into(),
            differs.into(),
            declare("q2", false).into(),
            bind("q2", "nowhere", false).into(),
        ]))
        .await;
    let said = answers(&mut client, 3).await;
    // The channel ends at the first failure, and ignores what was sent before the client knew.
    assert_eq!(said, ["declared q1", "queue.bind-ok", "closed 406 10"]);
    let mut other = server.client().await;
    assert_eq!(other.count("q1").await, (0, 0));
    let passive = m::QueueDeclare { queue: ShortText::cut("q2"), passive: true, ..Default::default() };
    other.send(1, passive).await;
    assert_eq!(answers(&mut other, 1).await, ["closed 404 10"]);
}

#[tokio::test]
async fn an_address_for_replies_is_answered_in_its_turn() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    let names = ["q1", "amq.rabbitmq.reply-to", "q2"];
    client.write(&together(&names.map(|name| declare(name, false).into()))).await;
    let expected = names.map(|name| format!("declared {name}"));
    assert_eq!(answers(&mut client, names.len()).await, expected);
}
