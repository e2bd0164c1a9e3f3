//! AUTH: SCRAM-SHA-256, and once more in the session.

use gantry_mqtt::codec::packet::{Auth, Connect, ConnectProperties, Packet};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Server, hello};

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
