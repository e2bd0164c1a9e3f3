//! CONNECT, CONNACK, keep-alive, DISCONNECT, and who has a session.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use gantry_mqtt::Settings;
use gantry_mqtt::codec::packet::{Connect, ConnectProperties, Disconnect, Packet, Publish, QoS, Version, Will};
use gantry_mqtt::codec::reason::Reason;

use crate::client::{Server, hello, lasting, old};

// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16], [MQTT-3.2.2-2], [MQTT-3.1.2-28], [MQTT-3.1.4-5]
#[tokio::test]
async fn the_server_says_what_it_can_do_and_what_it_has_changed() {
    let settings = Settings { keep_alive_max_s: 100, session_expiry_max_s: 50, ..Settings::default() };
    let server = Server::with(settings);
    let mut client = server.open();
    let asked = ConnectProperties {
        session_expiry_s: Some(60),
        request_response_information: Some(true),
        ..ConnectProperties::default()
    };
    let welcome = client.connect(&Connect { keep_alive_s: 200, properties: asked, ..hello("") }).await;
    // [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
    let assigned = welcome.assigned.expect("an id");
    assert!(assigned.starts_with("auto-") && assigned.len() > 20);
    // [MQTT-3.2.2-21], [MQTT-3.2.2-22]
    assert_eq!(welcome.server_keep_alive_s, Some(100));
    assert_eq!(welcome.session_expiry_s, Some(50));
    assert_eq!(welcome.receive_max, NonZeroU16::new(1024));
    assert_eq!(welcome.packet_bytes_max, Some(16 << 20));
    assert_eq!(welcome.topic_alias_max, Some(16));
    assert_eq!(welcome.response_information, Some(format!("response/{assigned}")));
    // [MQTT-3.2.2-2]
    assert!(!welcome.present);

    let mut client = server.open();
    let welcome = client.connect(&Connect { keep_alive_s: 100, ..hello("c") }).await;
    assert_eq!((welcome.assigned, welcome.server_keep_alive_s, welcome.session_expiry_s), (None, None, None));
    // [MQTT-3.1.2-28]
    assert_eq!(welcome.response_information, None);
}

// [MQTT-3.1.0-1]
#[tokio::test]
async fn whoever_does_not_begin_with_connect_is_gone() {
    let server = Server::new();
    for bytes in [&[0xC0, 0][..], &[0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], b"GET / HTTP/1.1\r\n\r\n", &[0x20, 2, 0, 0]] {
        let mut client = server.open();
        client.write(bytes).await;
        assert_eq!(client.closed().await, None);
    }
}

// [MQTT-3.1.0-2]
#[tokio::test]
async fn a_second_connect_is_a_protocol_error() {
    let server = Server::new();
    let mut client = server.client("c").await;
    client.send(&Packet::Connect(Box::new(hello("c")))).await;
    assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
    let mut client = server.connect(&old("d", true)).await;
    client.send(&Packet::Connect(Box::new(old("d", true)))).await;
    assert_eq!(client.closed().await, None);
}

// [MQTT-3.1.2-2], [MQTT-3.1.4-1]
#[tokio::test]
async fn an_unknown_version_is_refused_in_words_that_its_client_may_know() {
    let server = Server::new();
    let mut client = server.open();
    client.write(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 6, 2, 0, 0, 0, 0, 0]).await;
    let answer = client.read().await;
    if let Some(answer) = answer {
        assert!(
            matches!(answer.packet(), Packet::ConnAck(refused) if refused.reason == Reason::UNSUPPORTED_PROTOCOL_VERSION)
        );
    }
    assert_eq!(client.closed().await, None);
}

// [MQTT-3.1.4-2], [MQTT-3.2.2-7]
#[tokio::test]
async fn wrong_passwords_unknown_hosts_and_strangers_are_refused_by_version() {
    let server = Server::new();
    let with = |version, user_name, password| Connect { version, user_name, password, ..hello("c") };
    for (connect, reason, return_code) in [
        (with(Version::V5, Some("guest"), Some(&b"wrong"[..])), Reason::BAD_USER_NAME_OR_PASSWORD, 4),
        (with(Version::V5, Some("nowhere:guest"), Some(b"guest")), Reason::BAD_USER_NAME_OR_PASSWORD, 4),
        (with(Version::V5, Some("guest"), None), Reason::BAD_USER_NAME_OR_PASSWORD, 4),
    ] {
        let mut client = server.open();
        assert_eq!(client.connect(&connect).await.reason, reason);
        assert_eq!(client.closed().await, None);
        for version in [Version::V311, Version::V31] {
            let mut client = server.open();
            assert_eq!(client.connect(&Connect { version, ..connect.clone() }).await.return_code, return_code);
            assert_eq!(client.closed().await, None);
        }
    }
    let mut client = server.open();
    let welcome = client.connect(&with(Version::V311, Some("/:guest"), Some(b"guest"))).await;
    assert_eq!(welcome.return_code, 0);
    let stranger: SocketAddr = "192.0.2.1:5000".parse().expect("an address");
    for connect in [hello("c"), with(Version::V5, Some("guest"), Some(b"guest"))] {
        let mut client = server.open_from(stranger);
        assert!(client.connect(&connect).await.reason.is_error());
    }
}

// [MQTT-3.1.3-8]
#[tokio::test]
async fn only_new_sessions_go_without_a_client_id_before_5() {
    let server = Server::new();
    // 3.1.3-8 of 3.1.1
    let mut client = server.open();
    assert_eq!(client.connect(&old("", false)).await.return_code, 2);
    assert_eq!(client.closed().await, None);
    let mut client = server.open();
    assert_eq!(client.connect(&old("", true)).await.return_code, 0);
    let mut client = server.open();
    assert_eq!(client.connect(&Connect { version: Version::V31, ..old("", true) }).await.return_code, 2);
    let long = "x".repeat(300);
    let mut client = server.open();
    assert_eq!(client.connect(&hello(&long)).await.reason, Reason::CLIENT_IDENTIFIER_NOT_VALID);
}

// [MQTT-3.1.4-3]
#[tokio::test]
async fn whoever_comes_later_has_the_session() {
    let server = Server::new();
    let mut first = server.lasting("c").await;
    first.subscribe("a", QoS::AtLeastOnce).await;
    let mut second = server.open();
    let welcome = second.connect(&lasting("c")).await;
    assert!(welcome.present);
    assert_eq!(first.closed().await, Some(Reason::SESSION_TAKEN_OVER));
    second.publish("a", b"here", QoS::AtMostOnce, 0).await;
    assert_eq!(second.next().await.publish().payload, b"here");
}

// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.2.2-2], [MQTT-3.2.2-3], [MQTT-3.1.2-23]
#[tokio::test]
async fn a_session_is_present_if_it_has_been_kept() {
    let server = Server::new();
    server.lasting("c").await.leave().await;
    let mut client = server.open();
    assert!(client.connect(&lasting("c")).await.present);
    client.leave().await;
    let server = server.crash();
    let mut client = server.open();
    assert!(client.connect(&lasting("c")).await.present);
    client.leave().await;
    let mut client = server.open();
    assert!(!client.connect(&Connect { clean_start: true, ..lasting("c") }).await.present);
    client.leave().await;
    server.connect(&old("c", true)).await.leave().await;
    let mut client = server.open();
    assert!(!client.connect(&old("c", false)).await.present);
    client.leave().await;
    let mut client = server.open();
    assert!(client.connect(&old("c", false)).await.present);
}

// [MQTT-3.1.2-22], [MQTT-3.2.2-22], [MQTT-3.12.4-1]
#[tokio::test(start_paused = true)]
async fn a_silent_client_is_let_go_after_one_and_a_half_times_its_keep_alive() {
    let server = Server::new();
    let mut client = server.connect(&Connect { keep_alive_s: 10, ..hello("c") }).await;
    let mut patient = server.client("forever").await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(14)).await;
        client.send(&Packet::PingReq).await;
        // [MQTT-3.12.4-1]
        assert!(matches!(client.next().await.packet(), Packet::PingResp));
    }
    let before = tokio::time::Instant::now();
    assert_eq!(client.closed().await, Some(Reason::KEEP_ALIVE_TIMEOUT));
    let silent = before.elapsed();
    assert!(silent >= Duration::from_secs(14) && silent <= Duration::from_secs(16), "{silent:?}");
    tokio::time::sleep(Duration::from_secs(500)).await;
    patient.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_at_all_is_let_go() {
    let server = Server::new();
    let mut client = server.open();
    client.write(&[0x10, 0x20, 0, 4]).await;
    assert_eq!(client.closed().await, None);
}

#[tokio::test]
async fn clients_are_told_that_the_program_stops() {
    let server = Server::new();
    let (mut new, mut old) = (server.client("c").await, server.connect(&old("d", true)).await);
    server.stop.request();
    assert_eq!(new.closed().await, Some(Reason::SERVER_SHUTTING_DOWN));
    assert_eq!(old.closed().await, None);
}

// 3.14.2.2.2
#[tokio::test]
async fn a_session_without_expiry_is_not_given_one_at_its_end() {
    let server = Server::new();
    let raise = Disconnect { session_expiry_s: Some(100), ..Disconnect::new(Reason::NORMAL_DISCONNECTION) };
    let mut client = server.client("c").await;
    client.send(&Packet::Disconnect(raise.clone())).await;
    assert_eq!(client.closed().await, Some(Reason::PROTOCOL_ERROR));
    let mut client = server.lasting("c").await;
    client.send(&Packet::Disconnect(Disconnect { session_expiry_s: Some(0), ..raise })).await;
    assert_eq!(client.closed().await, None);
    let mut client = server.open();
    assert!(!client.connect(&lasting("c")).await.present);
}

// [MQTT-3.2.2-15]
#[tokio::test]
async fn a_packet_larger_than_the_server_takes_ends_the_connection() {
    let server = Server::with(Settings { packet_bytes_max: 2048, ..Settings::default() });
    let mut client = server.client("c").await;
    client.publish("a", &[0; 4096], QoS::AtMostOnce, 0).await;
    assert_eq!(client.closed().await, Some(Reason::PACKET_TOO_LARGE));
}

// [MQTT-4.13.1-1]
#[tokio::test]
async fn a_malformed_packet_ends_the_connection_and_no_other() {
    let server = Server::new();
    let mut other = server.client("other").await;
    for bytes in [&[0x00, 0][..], &[0xF1, 0], &[0x36, 2, 0, 0], &[0x60, 2, 0, 1], &[0x82, 5, 0, 1, 0, 0, 0]] {
        let mut client = server.client("c").await;
        client.write(bytes).await;
        let reason = client.closed().await.expect("a reason");
        assert!(matches!(reason, Reason::MALFORMED_PACKET | Reason::PROTOCOL_ERROR), "{bytes:?}: {reason:?}");
        let mut client = server.connect(&old("c", true)).await;
        client.write(bytes).await;
        assert_eq!(client.closed().await, None);
    }
    other.settle().await;
}

fn with_will(id: &str) -> Connect<'_> {
    let will = Will {
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "will",
        payload: b"lost",
        delay_s: 0,
        message_expiry_s: None,
        application: Default::default(),
    };
    Connect { will: Some(will), ..hello(id) }
}

// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3]
#[tokio::test]
async fn a_will_is_published_unless_the_client_takes_leave() {
    let server = Server::new();
    let mut watcher = server.client("watcher").await;
    watcher.subscribe("#", QoS::AtMostOnce).await;
    server.connect(&with_will("c")).await.leave().await;
    assert!(watcher.settle().await.is_empty());
    server.connect(&with_will("c")).await.vanish().await;
    assert_eq!(watcher.next().await.publish().payload, b"lost");
    let mut client = server.connect(&with_will("c")).await;
    client.send(&Packet::Disconnect(Disconnect::new(Reason::DISCONNECT_WITH_WILL))).await;
    assert_eq!(watcher.next().await.publish().payload, b"lost");
    let mut client = server.connect(&with_will("c")).await;
    client.write(&[0x00, 0]).await;
    assert_eq!(watcher.next().await.publish().topic, "will");
}

// 3.1.4: what follows CONNECT at once is not lost.
#[tokio::test]
async fn packets_may_follow_connect_without_waiting() {
    use bytes::BytesMut;
    let server = Server::new();
    let mut watcher = server.client("watcher").await;
    watcher.subscribe("#", QoS::AtMostOnce).await;
    let mut client = server.open();
    let mut bytes = BytesMut::new();
    gantry_mqtt::codec::encode(&Packet::Connect(Box::new(hello("c"))), Version::V5, &mut bytes);
    gantry_mqtt::codec::encode(&Packet::Publish(Publish::new("a", b"early")), Version::V5, &mut bytes);
    client.write(&bytes).await;
    assert_eq!(watcher.next().await.publish().payload, b"early");
    assert_eq!(client.welcome().await.reason, Reason::SUCCESS);
}

// [MQTT-3.1.2-24], [MQTT-3.2.2-19], [MQTT-3.2.2-20], [MQTT-3.14.2-3], [MQTT-3.14.2-4]
#[tokio::test]
async fn words_are_left_out_where_the_packet_would_be_larger_than_the_client_takes() {
    let server = Server::new();
    let limited = |id, packet_bytes_max| {
        let properties = ConnectProperties {
            packet_bytes_max: Some(packet_bytes_max),
            request_response_information: Some(true),
            ..ConnectProperties::default()
        };
        Connect { properties, ..hello(id) }
    };
    let wrong = |packet_bytes_max| Connect {
        user_name: Some("nobody"),
        password: Some(b"wrong"),
        ..limited("refused", packet_bytes_max)
    };
    // How large they are with all their words.
    let mut client = server.open();
    client.send(&Packet::Connect(Box::new(wrong(1000)))).await;
    let refused_bytes = client.next().await.bytes.len() as u32;
    let mut client = server.open();
    client.send(&Packet::Connect(Box::new(limited("welcome", 1000)))).await;
    let welcome_bytes = client.next().await.bytes.len() as u32;
    client.send(&Packet::Connect(Box::new(hello("again")))).await;
    let disconnect_bytes = client.next().await.bytes.len() as u32;

    for (max, has_words) in [(refused_bytes, true), (refused_bytes - 1, false)] {
        let mut client = server.open();
        client.send(&Packet::Connect(Box::new(wrong(max)))).await;
        let received = client.next().await;
        let Packet::ConnAck(answer) = received.packet() else { panic!("{received:?}") };
        assert_eq!(answer.reason, Reason::BAD_USER_NAME_OR_PASSWORD);
        assert_eq!(answer.properties.reason_string.is_some(), has_words);
    }
    for (max, has_words) in [(welcome_bytes, true), (welcome_bytes - 1, false)] {
        let mut client = server.open();
        assert_eq!(client.connect(&limited("welcome", max)).await.response_information.is_some(), has_words);
    }
    for (max, has_words) in [(disconnect_bytes, true), (disconnect_bytes - 1, false)] {
        let mut client = server.connect(&limited("d", max)).await;
        client.send(&Packet::Connect(Box::new(hello("again")))).await;
        let received = client.next().await;
        let Packet::Disconnect(disconnect) = received.packet() else { panic!("{received:?}") };
        assert_eq!(disconnect.reason, Reason::PROTOCOL_ERROR);
        assert_eq!(disconnect.reason_string.is_some(), has_words);
    }
    // Nothing that is larger is sent at all.
    for connect in [wrong(2), limited("welcome", 2)] {
        let mut client = server.open();
        client.send(&Packet::Connect(Box::new(connect))).await;
        assert!(client.read().await.is_none());
    }
}

// [MQTT-3.1.4-1] of 3.1.1; of 5.0 it may be told.
#[tokio::test]
async fn a_malformed_connect_is_closed_without_a_word_before_5_0() {
    let server = Server::new();
    let head = [&[0, 4][..], b"MQTT", &[4]].concat();
    let rest = [0, 60, 0, 1, b'c'];
    let will = [0, 1, b'w', 0, 1, b'x'];
    for (flags, more, what) in [
        (0b11, &[][..], "the reserved flag"),
        (0b1_1110, &will[..], "a will of QoS 3"),
        (0b1010, &[], "the QoS of no will"),
        (0b10_0010, &[], "retain of no will"),
        (0b10, &[0], "a byte behind the end"),
    ] {
        let body = [&head[..], &[flags], &rest, more].concat();
        let mut client = server.open();
        client.write(&[&[0x10, body.len() as u8][..], &body].concat()).await;
        assert!(client.read().await.is_none(), "{what}");
    }
    let body = [&head[..], &[0b10], &rest].concat();
    let mut client = server.open();
    client.version = Version::V311;
    client.write(&[&[0x10, body.len() as u8][..], &body].concat()).await;
    assert_eq!(client.welcome().await.reason, Reason::SUCCESS, "nothing is wrong with the rest of it");
}
