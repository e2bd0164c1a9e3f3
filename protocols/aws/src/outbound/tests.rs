//! Requests to servers that the tests start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn client(guard: Guard) -> Client {
    Client::new(Settings { guard, ..Settings::default() })
}

fn ask(url: &str) -> Ask {
    Ask { reach: Reach::Loopback, timeout: PATIENCE, ..Ask::post(url, Bytes::from_static(b"hello")) }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads a request: its head and its body of 5 bytes.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.len() >= 5
        {
            return Some(text);
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => got.extend_from_slice(&buffer[..n]),
        }
    }
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Told: yes\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again_and_a_closed_one_replaced() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let mut seen = Vec::new();
        // Two on one, which is closed when it has waited for a while; one on another.
        for count in [2, 1] {
            let (mut stream, _) = listener.accept().await.unwrap();
            for _ in 0..count {
                seen.push(read(&mut stream).await.unwrap());
                answer(&mut stream, OK).await;
            }
        }
        seen
    });
    let client = client(Guard::default());
    let url = format!("http://{address}/hook?a=b");
    for _ in 0..3 {
        let answer = client.request(ask(&url)).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
        assert_eq!(answer.headers["x-told"], "yes");
    }
    let seen = server.await.unwrap();
    assert_eq!(seen.len(), 3);
    for request in seen {
        assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains(&format!("host: {address}\r\n")), "{request}");
        assert!(request.ends_with("hello"), "{request}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_left_when_enough_of_it_was_read() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await.unwrap();
        answer(&mut stream, "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        let mut sent = 0_u64;
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1;
        }
        sent
    });
    let answer = client(Guard::default()).request(ask(&format!("http://{address}/"))).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len()), (500, ANSWER_BYTES_MAX));
    // The connection is gone: the server does not write for ever.
    assert!(tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_head_without_end_and_what_is_no_http_are_no_answers() {
    for said in
        [format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(200_000)), "SSH-2.0-x\r\n\r\n".to_owned(), String::new()]
    {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream).await.unwrap();
            // It may be gone before all is written.
            let _ = stream.write_all(said.as_bytes()).await;
        });
        let refusal = client(Guard::default()).request(ask(&format!("http://{address}/"))).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Broken(_)), "{refusal}");
        assert!(!refusal.is_final());
        server.await.unwrap();
    }
}

#[tokio::test]
async fn who_says_nothing_is_left_when_the_time_is_over() {
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await.unwrap();
        // Until it is left.
        stream.read(&mut [0; 16]).await.unwrap_or(0)
    });
    let limit = Duration::from_millis(200);
    let slow = Ask { timeout: limit, ..ask(&format!("http://{address}/")) };
    let refusal = client(Guard::default()).request(slow).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Timeout(time) if time == limit), "{refusal}");
    assert_eq!(tokio::time::timeout(PATIENCE, server).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (listener, address) = listener().await;
    let (other, elsewhere) = self::listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await.unwrap();
        let moved = format!("HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n");
        answer(&mut stream, &moved).await;
    });
    let answer = client(Guard::default()).request(ask(&format!("http://{address}/"))).await.unwrap();
    assert_eq!(answer.status.as_u16(), 302);
    server.await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), other.accept()).await.is_err());
}

#[tokio::test]
async fn what_may_not_be_reached_is_not_dialled() {
    let (listener, address) = listener().await;
    let port = address.port();
    let open = client(Guard::default());
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"] {
        let url = format!("http://{host}:{port}/");
        let refusal = open.request(Ask { reach: Reach::Public, ..ask(&url) }).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Address(_)) && refusal.is_final(), "{url}: {refusal}");
    }
    let link_local = open.request(ask("http://169.254.169.254/latest/meta-data/")).await.unwrap_err();
    assert!(matches!(link_local, Refusal::Address(_)), "{link_local}");
    let deny = |rule: &str| client(Guard { deny: vec![rule.parse().unwrap()], ..Guard::default() });
    let url = format!("http://localhost:{port}/");
    assert!(matches!(deny("localhost").request(ask(&url)).await.unwrap_err(), Refusal::Host(_)));
    let refusal = deny("127.0.0.0/8").request(ask(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Address(_)));
    assert!(matches!(
        deny("127.0.0.1").check(&format!("http://127.0.0.1:{port}/"), Reach::Loopback),
        Err(Refusal::Address(_))
    ));
    assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "nobody came");
    assert!(matches!(open.request(ask("http://no-such-host.invalid/")).await.unwrap_err(), Refusal::Unknown(_)));
    drop(listener);
    assert!(matches!(open.request(ask(&format!("http://{address}/"))).await.unwrap_err(), Refusal::Connect(_)));
}

/// A server's side of TLS with a certificate of its own, and that certificate in a file.
fn tls(protocols: &[&str]) -> (TlsAcceptor, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test]
async fn with_tls_only_who_is_trusted_is_told_anything() {
    let (acceptor, ca) = tls(&["http/1.1"]);
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let mut seen = 0;
        while seen == 0 {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if read(&mut stream).await.is_some() {
                seen += 1;
                answer(&mut stream, OK).await;
            }
        }
    });
    let url = format!("https://localhost:{}/", address.port());
    let refusal = client(Guard::default()).request(ask(&url)).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Tls(_)), "{refusal}");
    let trusting = |path| Client::new(Settings { ca_file: Some(path), ..Settings::default() });
    let client = trusting(ca.path().to_owned());
    let by_address = format!("https://{address}/");
    assert!(matches!(client.request(ask(&by_address)).await.unwrap_err(), Refusal::Tls(_)), "it is not called so");
    assert_eq!(client.request(ask(&url)).await.unwrap().status.as_u16(), 200);
    server.await.unwrap();
    let nothing = tempfile::NamedTempFile::new().unwrap();
    for path in [nothing.path().to_owned(), "/no/such/file".into()] {
        let (_listener, address) = self::listener().await;
        let refusal = trusting(path).request(ask(&format!("https://localhost:{}/", address.port()))).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Roots(_)), "{refusal}");
    }
}

#[tokio::test]
async fn http_2_is_spoken_with_who_speaks_it_on_one_connection() {
    let (acceptor, ca) = tls(&["h2"]);
    let (listener, address) = listener().await;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
            let said = format!("{:?} {} {}", request.version(), request.method(), request.uri());
            Ok::<_, std::convert::Infallible>(hyper::Response::new(crate::http::Whole::new(said.into())))
        });
        let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
        // Its end is that of the client.
        let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
    });
    let client = Client::new(Settings { ca_file: Some(ca.path().to_owned()), ..Settings::default() });
    let url = format!("https://localhost:{}/3/device/x", address.port());
    for _ in 0..3 {
        let answer = client.request(Ask { speech: Speech::Http2, method: Method::POST, ..ask(&url) }).await.unwrap();
        let said = String::from_utf8(answer.body.to_vec()).unwrap();
        assert_eq!(said, format!("HTTP/2.0 POST {url}"));
    }
    server.abort();
    let (acceptor, ca) = tls(&["http/1.1"]);
    let (listener, address) = self::listener().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // It has no protocol in common with the client.
        let _ = acceptor.accept(stream).await;
    });
    let client = Client::new(Settings { ca_file: Some(ca.path().to_owned()), ..Settings::default() });
    let url = format!("https://localhost:{}/", address.port());
    let refusal = client.request(Ask { speech: Speech::Http2, ..ask(&url) }).await.unwrap_err();
    assert!(matches!(refusal, Refusal::Tls(_)), "{refusal}");
}
