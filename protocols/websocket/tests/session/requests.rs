use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry_websocket::Settings;
use tokio::io::AsyncWriteExt;

use crate::peer::{connect, connect_with, frame, read, read_head, request, rest, settings, upgraded};

/// The answer to a request that is refused, and what the server counts.
async fn refused(bytes: &[u8]) -> (String, u64) {
    let (mut stream, served) = connect();
    stream.write_all(bytes).await.unwrap();
    let answer = String::from_utf8(rest(&mut stream).await).unwrap();
    drop(stream);
    served.task.await.unwrap();
    (answer, served.stats.refused.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_plain_request_is_told_that_this_is_websocket() {
    let (answer, refused) = refused(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("subprotocol bytes or lines"), "{answer}");
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn a_request_for_nothing_that_is_here_is_refused_and_closed() {
    for (request, status) in [
        (&b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], "404"),
        (b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd\r\n\r\n", "400"),
        (&request("Sec-WebSocket-Protocol: foo\r\n"), "400"),
        (&request("Origin: http://evil.example\r\n"), "403"),
    ] {
        let (answer, refused) = refused(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(refused, 1);
    }
}

#[tokio::test]
async fn a_page_of_the_same_host_and_a_client_that_is_no_browser_may_connect() {
    for lines in ["Origin: http://localhost:3000\r\n", ""] {
        let (mut stream, served) = connect();
        stream.write_all(&request(lines)).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));
        assert_eq!(served.stats.upgraded.load(Ordering::Relaxed), 1);
        assert_eq!(served.stats.refused.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn what_comes_right_behind_the_request_is_not_lost() {
    let (mut stream, _served) = connect();
    let bytes = [request(""), frame(0x82, b"early"), frame(0x82, b"bird")].concat();
    stream.write_all(&bytes).await.unwrap();
    read_head(&mut stream).await;
    assert_eq!(&read::<11>(&mut stream).await, b"\x82\x09earlybird");
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte_and_not_for_ever() {
    let (mut stream, _served) = connect();
    for byte in request("") {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101 "));

    let quick = Settings { handshake_timeout: Duration::from_millis(50), ..settings() };
    let (mut stream, served) = connect_with(quick, 1024);
    stream.write_all(b"GET /ws HTTP/1.1\r\n").await.unwrap();
    assert_eq!(rest(&mut stream).await, b"");
    served.task.await.unwrap();
    assert_eq!(served.stats.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_head_without_end_is_refused_at_its_bound() {
    let endless = ["GET /ws HTTP/1.1\r\nX: ".as_bytes(), &[b'x'; 20 * 1024]].concat();
    let (answer, refused) = refused(&endless).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn a_login_of_the_request_and_who_is_behind_it_reach_the_protocol_within() {
    for (lines, known) in [
        ("Authorization: Basic c2hvcDpzZWNyZXQ=\r\n", "Some(\"shop/secret\") false"),
        ("X-Forwarded-For: 10.0.0.1\r\n", "None true"),
    ] {
        let (mut stream, _served) = connect();
        stream.write_all(&[request(lines), frame(0x82, b"WHO")].concat()).await.unwrap();
        read_head(&mut stream).await;
        let [_, length] = read::<2>(&mut stream).await;
        assert_eq!(usize::from(length), known.len());
        let mut told = vec![0; known.len()];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut told).await.unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), known);
    }
}

#[tokio::test]
async fn a_client_chooses_what_it_speaks() {
    let (mut stream, _served) = upgraded("lines").await;
    stream.write_all(&frame(0x81, b"text")).await.unwrap();
    assert_eq!(&read::<6>(&mut stream).await, b"\x81\x04text");
}
