//! AUTH: SCRAM-SHA-256, and once more in the session. Tokens in place of passwords, and what ends with the right to be there.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gantry_broker::rights::{TokenAlgorithm, TokenKey, Tokens};
use gantry_mqtt::codec::packet::{Auth, Connect, ConnectProperties, Packet, QoS};
use gantry_mqtt::codec::reason::Reason;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::client::{Client, Server, hello, old};

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// The proof of `password`, and the signature that the server answers with (RFC 5802, 3).
fn prove(first_bare: &str, server_first: &str, password: &[u8]) -> (String, String) {
    let attribute = |name: &str| {
        let found = server_first.split(',').find_map(|attribute| attribute.strip_prefix(name));
        found.expect("is there").to_owned()
    };
    let salt = STANDARD.decode(attribute("s=")).expect("base64");
    let mut block = hmac(password, &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block;
    for _ in 1..attribute("i=").parse::<u32>().expect("a number") {
        block = hmac(password, &block);
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let without_proof = format!("c=biws,r={}", attribute("r="));
    let message = format!("{first_bare},{server_first},{without_proof}");
    let client_key = hmac(&salted, b"Client Key");
    let signature = hmac(&Sha256::digest(client_key), message.as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, byte)| key ^ byte).collect();
    let last = hmac(&hmac(&salted, b"Server Key"), message.as_bytes());
    (format!("{without_proof},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(last)))
}

/// Hears what the server asks, and answers with the proof of `password`; what the server is to say to that.
async fn answer(client: &mut Client, first_bare: &str, password: &[u8]) -> String {
    let received = client.next().await;
    let Packet::Auth(question) = received.packet() else { panic!("{received:?}") };
    assert_eq!(question.reason, Reason::CONTINUE_AUTHENTICATION);
    let server_first = std::str::from_utf8(question.data.expect("a question")).expect("text");
    let (proof, expected) = prove(first_bare, server_first, password);
    client.send(&say(Reason::CONTINUE_AUTHENTICATION, proof.as_bytes())).await;
    expected
}

fn say(reason: Reason, data: &[u8]) -> Packet<'_> {
    Packet::Auth(Auth {
        reason,
        method: Some("SCRAM-SHA-256"),
        data: Some(data),
        reason_string: None,
        user_properties: Default::default(),
    })
}

// [MQTT-4.12.0-2], [MQTT-4.12.0-3], [MQTT-4.12.0-5], [MQTT-4.12.1-1], [MQTT-4.12.1-2]
#[tokio::test]
async fn a_client_proves_who_it_is_and_does_so_again_in_its_session() {
    let server = Server::new();
    let mut client = server.open();
    client.send(&Packet::Connect(Box::new(by("SCRAM-SHA-256", Some(b"n,,n=guest,r=abcdef"))))).await;
    let expected = answer(&mut client, "n=guest,r=abcdef", b"guest").await;
    let welcome = client.welcome().await;
    assert_eq!(welcome.reason, Reason::SUCCESS);
    assert_eq!(welcome.authentication, Some(("SCRAM-SHA-256".to_owned(), expected.into_bytes())));
    client.send(&say(Reason::REAUTHENTICATE, b"n,,n=guest,r=again")).await;
    let expected = answer(&mut client, "n=guest,r=again", b"guest").await;
    let received = client.next().await;
    let Packet::Auth(last) = received.packet() else { panic!("{received:?}") };
    assert_eq!((last.reason, last.data), (Reason::SUCCESS, Some(expected.as_bytes())));
    client.settle().await;
    client.send(&say(Reason::REAUTHENTICATE, b"n,,n=guest,r=third")).await;
    answer(&mut client, "n=guest,r=third", b"wrong").await;
    assert_eq!(client.closed().await, Some(Reason::NOT_AUTHORIZED));
}

fn by<'a>(method: &'a str, data: Option<&'a [u8]>) -> Connect<'a> {
    let properties = ConnectProperties {
        authentication_method: Some(method),
        authentication_data: data,
        ..ConnectProperties::default()
    };
    Connect { properties, ..hello("c") }
}

fn auth(reason: Reason) -> Packet<'static> {
    Packet::Auth(Auth {
        reason,
        method: Some("SCRAM-SHA-256"),
        data: Some(b"n,,n=guest,r=abcdef"),
        reason_string: None,
        user_properties: Default::default(),
    })
}

// [MQTT-4.12.0-1]
#[tokio::test]
async fn an_unknown_method_is_refused() {
    let server = Server::new();
    let mut client = server.open();
    assert_eq!(client.connect(&by("GS2-KRB5", None)).await.reason, Reason::BAD_AUTHENTICATION_METHOD);
    assert_eq!(client.closed().await, None);
}

// [MQTT-4.12.0-2], [MQTT-4.12.0-4]
#[tokio::test]
async fn a_client_is_asked_for_its_proof_and_refused_without_the_right_one() {
    let server = Server::new();
    for answer in [&b"c=biws,r=abcdef,p=AAAA"[..], b"nonsense", b""] {
        let mut client = server.open();
        client.send(&Packet::Connect(Box::new(by("SCRAM-SHA-256", Some(b"n,,n=guest,r=abcdef"))))).await;
        let received = client.next().await;
        let Packet::Auth(question) = received.packet() else { panic!("{received:?}") };
        assert_eq!((question.reason, question.method), (Reason::CONTINUE_AUTHENTICATION, Some("SCRAM-SHA-256")));
        assert!(question.data.is_some_and(|data| data.starts_with(b"r=abcdef")));
        let answer = Auth {
            reason: Reason::CONTINUE_AUTHENTICATION,
            method: Some("SCRAM-SHA-256"),
            data: Some(answer),
            reason_string: None,
            user_properties: Default::default(),
        };
        client.send(&Packet::Auth(answer)).await;
        assert_eq!(client.welcome().await.reason, Reason::NOT_AUTHORIZED);
        assert_eq!(client.closed().await, None);
    }
    // [MQTT-3.1.2-30]
    let mut client = server.open();
    client.send(&Packet::Connect(Box::new(by("SCRAM-SHA-256", Some(b"n,,n=guest,r=abcdef"))))).await;
    client.next().await;
    client.send(&Packet::PingReq).await;
    assert!(client.welcome().await.reason.is_error());
}

// [MQTT-4.12.0-6], [MQTT-4.12.0-7]
#[tokio::test]
async fn who_came_without_a_method_does_not_begin_with_one() {
    let server = Server::new();
    for reason in [Reason::REAUTHENTICATE, Reason::CONTINUE_AUTHENTICATION] {
        let mut client = server.client("c").await;
        client.send(&auth(reason)).await;
        assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
    }
}

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// A token for the user guest that ends in so many seconds.
fn token(seconds: f64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let claims = format!(r#"{{"sub":"guest","exp":{}}}"#, now.as_secs_f64() + seconds);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac(SECRET, message.as_bytes());
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
    let token = token(1.5);
    let begun = SystemTime::now();
    let mut clients = Vec::new();
    // 5.0 lets a password come without a name.
    for (id, connect, told) in [
        ("named", hello("named"), Some(Reason::NOT_AUTHORIZED)),
        ("nameless", hello("nameless"), Some(Reason::NOT_AUTHORIZED)),
        ("old", old("old", true), None),
    ] {
        let user_name = (id != "nameless").then_some("/:guest");
        let connect = Connect { user_name, password: Some(token.as_bytes()), ..connect };
        clients.push((server.connect(&connect).await, told));
    }
    for (client, _) in &mut clients {
        client.subscribe("t", QoS::AtMostOnce).await;
    }
    // Whoever came with a password stays.
    let mut stays =
        server.connect(&Connect { user_name: Some("guest"), password: Some(b"guest"), ..hello("stays") }).await;
    for (mut client, told) in clients {
        assert_eq!(client.closed().await, told);
    }
    assert!(begun.elapsed().expect("time goes on") >= Duration::from_millis(1_400));
    stays.settle().await;
}

#[tokio::test]
async fn a_token_that_is_over_or_of_somebody_else_does_not_let_in() {
    let server = with_tokens();
    for (name, token) in [("guest", token(-5.0)), ("ann", token(600.0)), ("guest", token(600.0) + "AAAA")] {
        let mut client = server.open();
        let connect = Connect { user_name: Some(name), password: Some(token.as_bytes()), ..hello("c") };
        assert_eq!(client.connect(&connect).await.reason, Reason::BAD_USER_NAME_OR_PASSWORD);
        assert_eq!(client.closed().await, None);
    }
}

#[tokio::test]
async fn the_connections_of_a_user_that_is_deleted_are_closed() {
    let server = Server::new();
    let mut idle = server.client("idle").await;
    let mut busy = server.client("busy").await;
    let mut of_old = server.connect(&old("old", true)).await;
    server.broker.delete_user("guest").await.expect("is deleted");
    // Whether it waits for something to happen or has just sent something.
    busy.publish("t", b"too late", QoS::AtMostOnce, 0).await;
    assert_eq!(idle.closed().await, Some(Reason::ADMINISTRATIVE_ACTION));
    assert_eq!(of_old.closed().await, None);
    let told = busy.closed().await;
    assert!([Some(Reason::ADMINISTRATIVE_ACTION), Some(Reason::NOT_AUTHORIZED)].contains(&told), "{told:?}");
}
