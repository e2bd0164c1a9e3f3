//! CONNECT: versions, who is let in where, heart-beats, and what comes before it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gantry_broker::protocol::{Credentials, PeerCertificate, TlsInfo};
use gantry_stomp::{Dialect, Settings};

use crate::client::{Client, Server};

async fn connect(client: &mut Client, headers: &[(&str, &str)]) {
    client.send("CONNECT", headers, "").await;
}

#[tokio::test]
async fn the_server_says_what_was_agreed_on() {
    let server = Server::new();
    let mut client = server.open();
    let headers = [("accept-version", "1.0,1.1,1.2"), ("host", "/"), ("login", "guest"), ("passcode", "guest")];
    client.send("STOMP", &headers, "").await;
    let connected = client.next().await;
    assert_eq!(connected.command, "CONNECTED");
    assert_eq!(connected.names(), ["server", "session", "heart-beat", "version"]);
    assert_eq!((connected.get("version"), connected.get("heart-beat")), ("1.2", "0,0"));
    assert!(connected.get("session").starts_with("session-"));
    let mut other = server.open();
    connect(&mut other, &[]).await;
    let other = other.next().await;
    assert_eq!(other.get("version"), "1.0");
    assert_ne!(other.get("session"), connected.get("session"));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_no_more_than_that() {
    let server = Server::new();
    let nobody = ("Bad CONNECT", "Access refused for user 'nobody'\n");
    for (headers, (message, detail)) in [
        (vec![("login", "guest"), ("passcode", "x")], ("Bad CONNECT", "Access refused for user 'guest'\n")),
        (vec![("login", "guest")], ("Bad CONNECT", "Access refused for user 'guest'\n")),
        (vec![("login", "nobody"), ("passcode", "x")], nobody),
        (vec![("host", "nope")], ("Bad CONNECT", "Virtual host 'nope' access denied")),
        (vec![("accept-version", "2.0")], ("Version mismatch", "Supported versions are 1.0,1.1,1.2\n")),
    ] {
        let mut client = server.open();
        connect(&mut client, &headers).await;
        let error = client.last_error(message).await;
        assert_eq!(error.body, detail);
        assert_eq!(error.names(), ["message", "content-type", "version", "content-length"]);
    }
    assert_eq!(server.stats.clients.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_client_that_names_nobody_is_guest_from_this_machine_only() {
    let server = Server::new();
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let mut here = server.open();
    connect(&mut here, &[]).await;
    assert_eq!(here.next().await.command, "CONNECTED");
    for headers in [vec![], vec![("login", "guest"), ("passcode", "guest")]] {
        let mut client = server.open_with(|connection| connection.peer = elsewhere);
        connect(&mut client, &headers).await;
        assert_eq!(client.last_error("Bad CONNECT").await.body, "non-loopback access denied");
        let mut client = server.open_with(|connection| connection.relayed = true);
        connect(&mut client, &headers).await;
        client.last_error("Bad CONNECT").await;
    }
}

#[tokio::test]
async fn what_came_before_the_first_byte_counts_for_a_client_that_names_nobody() {
    let server = Server::new();
    let shop = gantry_broker::rights::User::with_password("shop", b"secret", &[]).expect("has random numbers");
    server.broker.set_user(shop).await.expect("is made");
    let all = gantry_broker::rights::Permission::new(".*", ".*", ".*").expect("patterns");
    server.broker.set_permission("shop", "/", all).await.expect("is set");
    let elsewhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4000));
    let credentials = |password: &str| Credentials { user: "shop".into(), password: password.into() };
    let certificate = |login: Option<&str>| TlsInfo {
        protocol: "tlsv1.3",
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        certificate: Some(PeerCertificate {
            subject: "CN=shop".into(),
            common_name: Some("shop".into()),
            alternative_name: None,
            login: login.map(str::to_owned),
        }),
    };
    for (password, tls, headers, is_in) in [
        (Some("secret"), None, vec![], true),
        (Some("wrong"), None, vec![], false),
        (Some("wrong"), None, vec![("login", "shop"), ("passcode", "secret")], true),
        (None, Some(certificate(Some("shop"))), vec![], true),
        (None, Some(certificate(Some("nobody"))), vec![], false),
        (None, Some(certificate(None)), vec![], false),
        (None, Some(certificate(Some("shop"))), vec![("login", "shop"), ("passcode", "wrong")], false),
    ] {
        let mut client = server.open_with(|connection| {
            connection.peer = elsewhere;
            connection.credentials = password.map(credentials);
            connection.tls = tls.clone();
        });
        connect(&mut client, &headers).await;
        let answer = client.next().await;
        assert_eq!(answer.command == "CONNECTED", is_in, "{password:?} {tls:?} {headers:?} {answer:?}");
    }
}

#[tokio::test]
async fn host_is_the_virtual_host_in_rabbitmqs_manner_and_the_name_of_a_machine_in_activemqs() {
    let server = Server::with(Settings { dialect: Dialect::ActiveMq, ..Settings::default() });
    let mut client = server.open();
    connect(&mut client, &[("host", "broker.example.com")]).await;
    assert_eq!(client.next().await.command, "CONNECTED");
    let server = Server::new();
    let mut client = server.open();
    connect(&mut client, &[("host", "broker.example.com")]).await;
    client.last_error("Bad CONNECT").await;
}

#[tokio::test]
async fn nothing_is_done_for_a_client_that_has_not_logged_in() {
    let server = Server::new();
    let mut client = server.open();
    client.publish("/queue/a", &[], "x").await;
    assert_eq!(client.last_error("Illegal command").await.body, "You must log in using CONNECT first");
    assert!(server.vhost().queue("a", 0).is_err());
}

#[tokio::test]
async fn limits_hold_from_the_first_byte() {
    let server = Server::new();
    for bytes in [
        format!("CONNECT\nlogin:{}", "x".repeat(20_000)),
        format!("CONNECT\n{}", "a:b\n".repeat(300)),
        format!("CONNECT\ncontent-length:{}\n\n", u64::MAX),
        "CONNECT\ncontent-length:2000\n\n".to_owned(),
        format!("CONNECT\n\n{}", "x".repeat(2_000)),
        "x".repeat(2_000),
    ] {
        let mut client = server.open();
        // The server may close before it has read all.
        let _ = tokio::time::timeout(Duration::from_secs(5), client.write(bytes.as_bytes())).await;
        let error = client.next().await;
        assert_eq!(error.command, "ERROR");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_log_in_is_let_go() {
    let server = Server::with(Settings { handshake_timeout: Duration::from_secs(3), ..Settings::default() });
    let mut client = server.open();
    client.write(b"CONNECT\nlogin:gu").await;
    let before = tokio::time::Instant::now();
    client.vanished().await;
    assert_eq!(before.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn both_sides_show_signs_of_life() {
    let server = Server::new();
    let mut client = server.open();
    connect(&mut client, &[("accept-version", "1.1"), ("heart-beat", "2000,4000")]).await;
    assert_eq!(client.next().await.get("heart-beat"), "4000,2000");
    // The end of line behind CONNECTED.
    client.beat().await;
    let before = tokio::time::Instant::now();
    client.beat().await;
    assert!(before.elapsed() <= Duration::from_millis(4_000), "{:?}", before.elapsed());
    for _ in 0..4 {
        client.write(b"\n").await;
        tokio::time::sleep(Duration::from_millis(1_900)).await;
    }
    let silent = tokio::time::Instant::now();
    client.vanished().await;
    let lasted = silent.elapsed();
    assert!(lasted > Duration::from_secs(1) && lasted <= Duration::from_secs(6), "{lasted:?}");
}

#[tokio::test]
async fn heart_beats_that_are_no_numbers_are_refused() {
    let server = Server::new();
    let mut client = server.open();
    connect(&mut client, &[("heart-beat", "soon")]).await;
    client.last_error("Processing error").await;
}
