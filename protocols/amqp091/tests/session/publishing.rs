//! What a publisher is told, and when.

use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{Method, frame};

use crate::client::{Client, Server, begin};

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_durable_nor_ahead_of_what_came_before_it() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    client.declare("q", true).await;
    client.confirm().await;
    server.journal.hold();
    client.publish("q", b"persistent", true).await;
    client.publish("q", b"transient", false).await;
    let said = client.settle().await;
    assert!(said.is_empty(), "{said:?}");
    server.journal.release();
    let ack = client.expect_ack().await;
    assert_eq!((ack.delivery_tag, ack.multiple), (2, true));
    client.publish("q", b"transient", false).await;
    assert_eq!(client.expect_ack().await.delivery_tag, 3);
}

/// A publisher of a message that the disk has no room for: blocked, and not confirmed.
async fn stalled(server: &Server) -> Client {
    let mut client = server.client().await;
    client.declare("q", true).await;
    client.confirm().await;
    server.faults.set_full(true);
    client.publish("q", b"persistent", true).await;
    assert!(matches!(client.next().await.method(), Some(Method::ConnectionBlocked(_))));
    client
}

#[tokio::test]
async fn a_message_that_finds_the_disk_full_waits_and_is_neither_lost_nor_confirmed_until_there_is_room() {
    let server = Server::new(Limits::default());
    let (mut client, mut other) = (stalled(&server).await, server.client().await);
    assert_eq!(other.count("q").await, (0, 0));
    server.faults.set_full(false);
    let (mut acked, mut unblocked) = (false, false);
    while !(acked && unblocked) {
        match client.next().await.method() {
            Some(Method::BasicAck(ack)) => acked = ack.delivery_tag == 1,
            Some(Method::ConnectionUnblocked(_)) => unblocked = true,
            // The alarm may come and go once more beside the message's own shortage.
            Some(Method::ConnectionBlocked(_)) => unblocked = false,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(other.count("q").await, (1, 0));
    client.publish("q", b"persistent", true).await;
    assert_eq!(client.expect_ack().await.delivery_tag, 2);
}

#[tokio::test]
async fn a_message_that_waits_for_room_goes_with_its_publisher_unconfirmed() {
    let server = Server::new(Limits::default());
    let (client, mut other) = (stalled(&server).await, server.client().await);
    client.serving.abort();
    assert!(client.serving.await.is_err_and(|error| error.is_cancelled()));
    server.faults.set_full(false);
    assert_eq!(other.count("q").await, (0, 0));
}

#[tokio::test]
async fn commit_ok_comes_when_the_transaction_is_durable() {
    let server = Server::new(Limits::default());
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.declare("q", true).await;
    client.send(1, m::TxSelect {}).await;
    assert!(matches!(client.next().await.method(), Some(Method::TxSelectOk(_))));
    client.publish("q", b"persistent", true).await;
    assert!(client.settle().await.is_empty());
    assert_eq!(other.count("q").await, (0, 0));
    server.journal.hold();
    client.send(1, m::TxCommit {}).await;
    // Seen by others, and not yet promised.
    while other.count("q").await != (1, 0) {}
    assert!(other.settle().await.is_empty());
    let mut answer = std::pin::pin!(client.next());
    tokio::select! {
        biased;
        answer = &mut answer => panic!("{answer:?}"),
        () = std::future::ready(()) => {}
    }
    server.journal.release();
    assert!(matches!(answer.await.method(), Some(Method::TxCommitOk(_))));
}

#[tokio::test]
async fn messages_that_are_begun_on_many_channels_and_never_finished_are_bounded() {
    const MIB: usize = 1 << 20;
    let server = Server::new(Limits { message_bytes_max: MIB as u64, ..Limits::default() });
    let (mut client, mut other) = (server.client().await, server.client().await);
    let part = vec![0; MIB - 1];
    for channel in 2..=80 {
        let mut bytes = bytes::BytesMut::new();
        Method::from(m::ChannelOpen::default()).encode_frame(channel, &mut bytes);
        begin(&mut bytes, channel, "q", MIB as u64, false);
        frame::encode_body(&mut bytes, channel, &part, 131_072);
        client.write(&bytes).await;
    }
    assert_eq!(client.expect_close().await.0, 506);
    other.declare("q", false).await;
}
