//! What a client may do by routing key, and what becomes of it when its rights change.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gantry_amqp091::Limits;
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{Method, ShortText};
use gantry_broker::rights::{TokenAlgorithm, TokenKey, Tokens, TopicPermission};
use gantry_broker::value::{Table, Value};

use crate::client::{Client, Server};

/// A client of a user who may write `w.…` and read `r.…` on `amq.topic`.
async fn limited() -> (Server, Client) {
    let server = Server::new(Limits::default());
    let permission = TopicPermission::new("amq.topic", "^w\\.", "^r\\.").expect("a permission");
    server.broker.set_topic_permission("guest", "/", permission).await.expect("is set");
    let mut client = server.client().await;
    client.declare("q", false).await;
    (server, client)
}

/// What the channel was closed with, and a new one.
async fn closed(client: &mut Client) -> Option<(u16, u16, String)> {
    let closed = match client.next().await.method() {
        Some(Method::ChannelClose(close)) => {
            Some((close.reply_code, close.method_id, close.reply_text.as_str().to_owned()))
        }
        Some(Method::BasicAck(_) | Method::QueueBindOk(_) | Method::QueueUnbindOk(_)) => return None,
        Some(Method::ExchangeBindOk(_) | Method::ExchangeUnbindOk(_)) => return None,
        other => panic!("{other:?}"),
    };
    client.send(1, m::ChannelCloseOk {}).await;
    client.open(1).await;
    closed
}

fn refused(key: &str, method_id: u16) -> Option<(u16, u16, String)> {
    let text = format!(
        "ACCESS_REFUSED - access to topic '{key}' in exchange 'amq.topic' in vhost '/' refused for user 'guest'"
    );
    Some((403, method_id, text))
}

const PUBLISH: u16 = m::BasicPublish::METHOD_ID;

async fn publish(
    client: &mut Client,
    exchange: &str,
    key: &str,
    headers: Option<&Table>,
) -> Option<(u16, u16, String)> {
    client.confirm().await;
    client.publish_headers(exchange, key, b"body", headers).await;
    closed(client).await
}

#[tokio::test]
async fn publishing_takes_the_right_to_the_key_and_to_each_further_one() {
    let (_server, mut client) = limited().await;
    assert_eq!(publish(&mut client, "amq.topic", "w.1", None).await, None);
    assert_eq!(publish(&mut client, "amq.topic", "x.1", None).await, refused("x.1", PUBLISH));
    assert_eq!(publish(&mut client, "amq.topic", "", None).await, refused("", PUBLISH));
    assert_eq!(publish(&mut client, "amq.direct", "x.1", None).await, None);
    for header in ["CC", "BCC"] {
        let with = |key: &str| {
            let mut headers = Table::new();
            headers.push(header, Value::Array(vec![Value::Text("w.2".into()), Value::Text(key.into())]));
            headers
        };
        assert_eq!(publish(&mut client, "amq.topic", "w.1", Some(&with("w.3"))).await, None);
        assert_eq!(publish(&mut client, "amq.topic", "w.1", Some(&with("x.3"))).await, refused("x.3", PUBLISH));
        assert_eq!(publish(&mut client, "amq.direct", "w.1", Some(&with("x.3"))).await, None);
    }
}

#[tokio::test]
async fn binding_and_unbinding_take_the_right_to_the_key() {
    let (_server, mut client) = limited().await;
    let (queue, exchange) = (ShortText::cut("q"), ShortText::cut("amq.topic"));
    for key in ["r.1", "w.1"] {
        let binding_key = ShortText::cut(key);
        let expected = |method_id| if key == "r.1" { None } else { refused(key, method_id) };
        client.send(1, m::QueueBind { queue, exchange, binding_key, ..Default::default() }).await;
        assert_eq!(closed(&mut client).await, expected(m::QueueBind::METHOD_ID));
        client.send(1, m::QueueUnbind { queue, exchange, binding_key, ..Default::default() }).await;
        assert_eq!(closed(&mut client).await, expected(m::QueueUnbind::METHOD_ID));
        let (source, destination) = (exchange, ShortText::cut("amq.fanout"));
        client.send(1, m::ExchangeBind { source, destination, binding_key, ..Default::default() }).await;
        assert_eq!(closed(&mut client).await, expected(m::ExchangeBind::METHOD_ID));
        client.send(1, m::ExchangeUnbind { source, destination, binding_key, ..Default::default() }).await;
        assert_eq!(closed(&mut client).await, expected(m::ExchangeUnbind::METHOD_ID));
    }
}

#[tokio::test]
async fn the_connection_of_a_user_who_is_deleted_is_closed() {
    let (server, mut client) = limited().await;
    let mut busy = server.client().await;
    server.broker.delete_user("guest").await.expect("is deleted");
    // Whether it waits for something to happen or has just sent something.
    busy.publish_to("amq.topic", "w.1", b"too late").await;
    for client in [&mut client, &mut busy] {
        let (code, text) = client.expect_close().await;
        assert_eq!((code, text.as_str()), (320, "CONNECTION_FORCED - user 'guest' is deleted"));
    }
}

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// A token for the user guest that ends in so many seconds.
fn token(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let claims = format!(r#"{{"sub":"guest","exp":{}}}"#, now.as_secs_f64() + seconds);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn with_tokens() -> Server {
    Server::with_tokens(Tokens {
        keys: vec![TokenKey::Secret(SECRET.to_vec())],
        algorithms: vec![TokenAlgorithm::Hs256],
        issuer: None,
        audience: None,
        user_claim: "sub".to_owned(),
    })
}

#[tokio::test]
async fn a_token_lets_in_like_a_password_and_its_end_is_that_of_the_connection() {
    let server = with_tokens();
    let begun = SystemTime::now();
    for name in ["", "guest"] {
        let mut client = server.client_with(format!("\0{name}\0{}", token(1.2)).as_bytes()).await;
        client.declare("q", false).await;
        let (code, text) = client.expect_close().await;
        assert_eq!((code, text.as_str()), (320, "CONNECTION_FORCED - credential expired"));
    }
    assert!(begun.elapsed().expect("time goes on") >= Duration::from_secs(2));
    // Who came with a password stays.
    server.client().await.declare("q", false).await;
}

#[tokio::test]
async fn a_new_token_makes_the_connection_last_and_another_one_ends_it() {
    let server = with_tokens();
    let mut client = server.client_with(format!("\0\0{}", token(2.0)).as_bytes()).await;
    let renewed = token(600.0);
    let update = |secret| m::ConnectionUpdateSecret { new_secret: secret, reason: ShortText::cut("renewed") };
    client.send(0, update(renewed.as_bytes())).await;
    assert!(matches!(client.next().await.method(), Some(Method::ConnectionUpdateSecretOk(_))));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    client.declare("q", false).await;
    client.send(0, update(b"guest")).await;
    let (code, text) = client.expect_close().await;
    assert_eq!((code, text.as_str()), (530, "NOT_ALLOWED - New secret was refused by one of the backends"));
}
