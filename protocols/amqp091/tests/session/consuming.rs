//! Clients that are slow, that change their minds, and that are gone.

use bytes::BytesMut;
use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{Method, ShortText};

use crate::client::{Server, consume};

const BODY_BYTES: usize = 4096;
const MESSAGES: u32 = 4096;
/// More than a connection may take for a client that does not read, and much less than all.
const TAKEN_BYTES_MAX: usize = 4 << 20;

async fn filled(server: &Server) {
    let mut publisher = server.client().await;
    publisher.declare("q", false).await;
    for _ in 0..MESSAGES {
        publisher.publish("q", &[7; BODY_BYTES], false).await;
    }
    assert_eq!(publisher.count("q").await, (MESSAGES, 0));
}

#[tokio::test]
async fn a_client_that_does_not_read_takes_little_and_one_that_reads_again_gets_everything_in_order() {
    let server = Server::new(Limits::default());
    filled(&server).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.send(1, consume("q", true)).await;
    // Until the server has come to rest.
    let mut left = (MESSAGES, 1);
    while left.0 == MESSAGES {
        left = other.count("q").await;
    }
    assert!(other.settle().await.is_empty());
    let taken = (MESSAGES - other.count("q").await.0) as usize;
    assert!(taken * BODY_BYTES < TAKEN_BYTES_MAX, "{taken} messages");
    let mut expected = 1;
    while expected <= u64::from(MESSAGES) {
        if let Some(Method::BasicDeliver(deliver)) = client.next().await.method() {
            assert_eq!(deliver.delivery_tag, expected);
            expected += 1;
        }
    }
    assert_eq!(other.count("q").await, (0, 1));
}

#[tokio::test]
async fn what_was_granted_to_a_consumer_without_acknowledgement_comes_before_its_cancel_ok() {
    let server = Server::new(Limits::default());
    filled(&server).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.send(1, consume("q", true)).await;
    while other.count("q").await.0 == MESSAGES {}
    assert!(other.settle().await.is_empty());
    client.send(1, m::BasicCancel { consumer_tag: ShortText::cut("c"), no_wait: false }).await;
    let mut delivered = 0;
    loop {
        match client.next().await.method() {
            Some(Method::BasicDeliver(_)) => delivered += 1,
            Some(Method::BasicCancelOk(_)) => break,
            _ => {}
        }
    }
    let (left, consumers) = other.count("q").await;
    assert_eq!((delivered + left, consumers), (MESSAGES, 0));
    assert!(left > 0);
}

#[tokio::test]
async fn a_consumer_gets_nothing_that_was_granted_to_one_of_a_channel_closed_before() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    client.declare("full", false).await;
    client.declare("empty", false).await;
    for _ in 0..3 {
        client.publish("full", b"not for the other", false).await;
    }
    assert!(client.settle().await.is_empty());
    // In one piece: what is granted in between is sent afterwards.
    let mut bytes = BytesMut::new();
    let mut add = |method: Method<'_>| method.encode_frame(1, &mut bytes);
    add(consume("full", false).into());
    add(m::ChannelClose { reply_code: 200, ..Default::default() }.into());
    add(m::ChannelOpen::default().into());
    add(consume("empty", false).into());
    client.write(&bytes).await;
    let said = client.settle().await;
    let names: Vec<_> = said.iter().filter_map(|received| Some(received.method()?.name())).collect();
    assert_eq!(names, ["basic.consume-ok", "channel.close-ok", "channel.open-ok", "basic.consume-ok"]);
    assert_eq!(client.count("full").await, (3, 0));
}

#[tokio::test]
async fn a_connection_that_is_dropped_wherever_it_is_gives_back_its_leases_and_consumers() {
    let server = Server::new(Limits::default());
    filled(&server).await;
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.send(1, consume("q", false)).await;
    while !matches!(client.next().await.method(), Some(Method::BasicDeliver(_))) {}
    assert!(other.count("q").await.0 < MESSAGES);
    client.serving.abort();
    assert!(client.serving.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(other.count("q").await, (MESSAGES, 0));
    other.send(1, m::BasicGet { queue: ShortText::cut("q"), no_ack: true, ..Default::default() }).await;
    match other.next().await.method() {
        Some(Method::BasicGetOk(ok)) => assert!(ok.redelivered),
        answer => panic!("{answer:?}"),
    };
}
