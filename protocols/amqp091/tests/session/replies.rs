//! Direct reply-to: who may ask, what a request looks like on the other side, and where the reply goes.

use bytes::BytesMut;
use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{
    ContentHeader, Method, Properties, RawProperties, RawTable, ShortStr, ShortText, delivery, frame,
};

use crate::client::{CLASS_BASIC, Client, Received, Server, consume};

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

impl Client {
    async fn publish_with(&mut self, key: &str, properties: Properties<'_>, body: &[u8], mandatory: bool) {
        let mut bytes = BytesMut::new();
        let routing_key = ShortStr::new(key.as_bytes()).expect("is short");
        Method::from(m::BasicPublish { routing_key, mandatory, ..Default::default() }).encode_frame(1, &mut bytes);
        let head = properties.encoded();
        delivery::encode_content_header(&mut bytes, 1, CLASS_BASIC, body.len() as u64, RawProperties::new(&head));
        frame::encode_body(&mut bytes, 1, body, 131_072);
        self.write(&bytes).await;
    }

    /// Consumes replies, and publishes a request to `q`.
    async fn request(&mut self, properties: Properties<'_>) {
        self.send(1, consume(REPLY_TO, true)).await;
        assert!(matches!(self.next().await.method(), Some(Method::BasicConsumeOk(_))));
        let reply_to = ShortStr::new(REPLY_TO.as_bytes());
        self.publish_with("q", Properties { reply_to, ..properties }, b"request", false).await;
    }

    /// The head of the first message of `q`.
    async fn fetch_head(&mut self) -> Vec<u8> {
        loop {
            self.send(1, m::BasicGet { queue: ShortText::cut("q"), no_ack: true, ..Default::default() }).await;
            if matches!(self.next().await.method(), Some(Method::BasicGetOk(_))) {
                break;
            }
        }
        let head = self.next().await;
        let head = ContentHeader::decode(head.payload()).expect("a head").properties.as_bytes().to_vec();
        assert_eq!(self.next().await.payload(), b"request");
        head
    }

    async fn expect_channel_close(&mut self, code: u16, text: &str) {
        match self.next().await.method() {
            Some(Method::ChannelClose(close)) => {
                assert_eq!((close.reply_code, close.reply_text.as_str()), (code, text));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn address_in(head: &[u8]) -> String {
    let properties = RawProperties::new(head).parse().expect("properties");
    String::from_utf8(properties.reply_to.expect("an address").as_bytes().to_vec()).expect("text")
}

fn is_return(received: &[Received]) -> bool {
    matches!(received.first().and_then(Received::method), Some(Method::BasicReturn(_)))
}

#[tokio::test]
async fn a_request_keeps_everything_but_its_reply_to_and_the_reply_comes_to_its_channel() {
    let server = Server::new(Limits::default());
    let (mut asking, mut answering) = (server.client().await, server.client().await);
    answering.declare("q", false).await;
    let headers = b"\x01aI\0\0\0\x05\x01bb\x01";
    let properties = Properties {
        correlation_id: ShortStr::new(b"c-1"),
        headers: Some(RawTable::new(headers)),
        delivery_mode: Some(2),
        timestamp: Some(7),
        ..Properties::default()
    };
    asking.request(properties).await;
    let head = answering.fetch_head().await;
    let address = address_in(&head);
    assert!(address.starts_with("amq.rabbitmq.reply-to."), "{address}");
    let expected = Properties { reply_to: ShortStr::new(address.as_bytes()), ..properties }.encoded();
    assert_eq!(head, expected);

    answering.publish_with(&address, Properties::default(), b"reply", true).await;
    match asking.next().await.method() {
        Some(Method::BasicDeliver(deliver)) => {
            assert_eq!((deliver.consumer_tag.as_str(), deliver.delivery_tag, deliver.redelivered), ("c", 1, false));
            assert_eq!((deliver.exchange.as_bytes(), deliver.routing_key.as_bytes()), (&b""[..], address.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
    asking.next().await;
    assert_eq!(asking.next().await.payload(), b"reply");
    assert!(answering.settle().await.is_empty(), "not returned");
    assert_eq!(answering.count(&address).await, (0, 1));

    asking.send(1, m::BasicCancel { consumer_tag: ShortText::cut("c"), no_wait: false }).await;
    assert!(matches!(asking.next().await.method(), Some(Method::BasicCancelOk(_))));
    answering.publish_with(&address, Properties::default(), b"late", true).await;
    assert!(is_return(&answering.settle().await));
    let declare = m::QueueDeclare { queue: ShortText::cut(&address), passive: true, ..Default::default() };
    answering.send(1, declare).await;
    answering.expect_channel_close(404, &format!("NOT_FOUND - no queue '{address}' in vhost '/'")).await;
    assert!(asking.settle().await.is_empty());
}

#[tokio::test]
async fn replies_that_were_sent_before_the_cancel_come_before_its_answer() {
    let server = Server::new(Limits::default());
    let (mut asking, mut answering) = (server.client().await, server.client().await);
    answering.declare("q", false).await;
    asking.request(Properties::default()).await;
    let address = address_in(&answering.fetch_head().await);
    for _ in 0..100 {
        answering.publish_with(&address, Properties::default(), b"reply", false).await;
    }
    assert!(answering.settle().await.is_empty());
    asking.send(1, m::BasicCancel { consumer_tag: ShortText::cut("c"), no_wait: false }).await;
    let mut delivered = 0;
    loop {
        match asking.next().await.method() {
            Some(Method::BasicDeliver(_)) => delivered += 1,
            Some(Method::BasicCancelOk(_)) => break,
            _ => {}
        }
    }
    assert_eq!(delivered, 100);
}

#[tokio::test]
async fn an_address_ends_with_its_channel_and_with_its_connection() {
    let server = Server::new(Limits::default());
    let mut answering = server.client().await;
    answering.declare("q", false).await;
    for drop_connection in [false, true] {
        let mut asking = server.client().await;
        asking.request(Properties::default()).await;
        let address = address_in(&answering.fetch_head().await);
        assert_eq!(answering.count(&address).await, (0, 1));
        if drop_connection {
            asking.serving.abort();
            assert!(asking.serving.await.is_err_and(|error| error.is_cancelled()));
        } else {
            asking.send(1, m::ChannelClose { reply_code: 200, ..Default::default() }).await;
            assert!(matches!(asking.next().await.method(), Some(Method::ChannelCloseOk(_))));
        }
        answering.publish_with(&address, Properties::default(), b"late", true).await;
        assert!(is_return(&answering.settle().await));
    }
}

#[tokio::test]
async fn what_rabbitmq_refuses_is_refused_in_its_words() {
    let server = Server::new(Limits::default());
    let text = "PRECONDITION_FAILED - reply consumer cannot acknowledge";
    let mut client = server.client().await;
    client.send(1, consume(REPLY_TO, false)).await;
    client.expect_channel_close(406, text).await;

    let mut client = server.client().await;
    client.send(1, consume(REPLY_TO, true)).await;
    client.next().await;
    client.send(1, m::BasicConsume { consumer_tag: ShortText::cut("d"), ..consume(REPLY_TO, true) }).await;
    client.expect_channel_close(406, "PRECONDITION_FAILED - reply consumer already set").await;

    let mut client = server.client().await;
    let reply_to = ShortStr::new(REPLY_TO.as_bytes());
    client.publish_with("q", Properties { reply_to, ..Properties::default() }, b"request", false).await;
    client.expect_channel_close(406, "PRECONDITION_FAILED - fast reply consumer does not exist").await;

    let mut client = server.client().await;
    client.send(1, consume("amq.rabbitmq.reply-to.guess", true)).await;
    let text = "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.guess' in vhost '/'";
    client.expect_channel_close(404, text).await;

    let mut client = server.client().await;
    assert_eq!(client.count(REPLY_TO).await, (0, 1));
    // Nothing is made by declaring it.
    client
        .send(1, m::QueueDeclare { queue: ShortText::cut("amq.rabbitmq.reply-to.guess"), ..Default::default() })
        .await;
    client.expect_channel_close(404, text).await;
}
