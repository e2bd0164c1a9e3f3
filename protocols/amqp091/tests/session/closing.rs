//! Ends, of channels and of the server.

use gantry_amqp091::Limits;
use gantry_amqp091::codec::Method;
use gantry_amqp091::codec::methods as m;

use crate::client::Server;

#[tokio::test]
async fn a_shutdown_closes_connections_with_320_and_ends_when_the_client_agrees() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    server.stop.request();
    assert_eq!(client.expect_close().await.0, 320);
    client.send(0, m::ConnectionCloseOk {}).await;
    client.serving.await.expect("it returns");
}

#[tokio::test]
async fn a_channel_that_both_sides_close_at_once_can_be_opened_again() {
    let server = Server::new(Limits::default());
    let mut client = server.client().await;
    // An error, and the client's own end of the channel before it knows.
    client.send(1, m::BasicAck { delivery_tag: 7, multiple: false }).await;
    client.send(1, m::ChannelClose { reply_code: 200, ..Default::default() }).await;
    match client.next().await.method() {
        Some(Method::ChannelClose(close)) => assert_eq!(close.reply_code, 406),
        other => panic!("{other:?}"),
    };
    assert!(matches!(client.next().await.method(), Some(Method::ChannelCloseOk(_))));
    client.send(1, m::ChannelCloseOk {}).await;
    client.open(1).await;
    assert!(client.settle().await.is_empty());
}
