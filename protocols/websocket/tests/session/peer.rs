//! A connection that is served, and both kinds of clients.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gantry_broker::protocol::{Connection, Protocol, Shutdown, ShutdownTrigger};
use gantry_websocket::{Compression, Messages, Origins, Settings, Stats, Subprotocol, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Writes back what it reads, in one go where it came in one go. `SEND n` is answered with n bytes, `UTF8 n` with so many bytes
/// of text, `WHO` with what is known of the client, `QUIT` with the end. At a shutdown it says `bye` and goes.
struct Echo;

#[async_trait]
impl Protocol for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    async fn serve(&self, connection: Connection) {
        let Connection { mut stream, credentials, relayed, mut shutdown, .. } = connection;
        let mut input = vec![0; 32 * 1024];
        loop {
            let bytes = tokio::select! {
                read = stream.read(&mut input) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => bytes,
                },
                () = shutdown.requested() => {
                    let _ = stream.write_all(b"bye").await;
                    return;
                }
            };
            let said = &input[..bytes];
            let number = |said: &[u8]| std::str::from_utf8(&said[5..]).unwrap().parse().unwrap();
            let answer = if said == b"QUIT" {
                return;
            } else if said == b"WHO" {
                let login = credentials.as_ref().map(|login| format!("{}/{}", login.user, login.password));
                format!("{login:?} {relayed}").into_bytes()
            } else if said.starts_with(b"SEND ") {
                vec![0xff; number(said)]
            } else if said.starts_with(b"UTF8 ") {
                "\u{20ac}".repeat(number(said) / 3).into_bytes()
            } else {
                said.to_vec()
            };
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }
}

/// The server's side.
pub(crate) struct Served {
    pub(crate) stats: Arc<Stats>,
    pub(crate) stop: ShutdownTrigger,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn settings() -> Settings {
    Settings {
        paths: vec!["/ws".to_owned()],
        origins: Origins::default(),
        compression: Compression::None,
        handshake_timeout: Duration::from_secs(10),
        message_bytes_max: 1 << 20,
    }
}

fn connection(stream: DuplexStream, shutdown: Shutdown) -> Connection {
    let address = ([127, 0, 0, 1], 1).into();
    Connection {
        stream: Box::new(stream),
        peer: address,
        local: address,
        tls: None,
        credentials: None,
        relayed: false,
        shutdown,
    }
}

/// A connection at its first byte; between the two ends are so many bytes at most. The subprotocol `bytes` is binary, `lines` is
/// text.
pub(crate) fn connect_with(settings: Settings, between_bytes: usize) -> (DuplexStream, Served) {
    let (near, far) = duplex(between_bytes);
    let (stop, shutdown) = ShutdownTrigger::new();
    let stats = Arc::new(Stats::default());
    let carried = vec![subprotocol("bytes", None, Messages::Binary), subprotocol("lines", None, Messages::Text)];
    let websocket = WebSocket::new("web", settings, carried, Some("bytes"), Arc::clone(&stats));
    let connection = connection(far, shutdown);
    let task = tokio::spawn(async move { websocket.serve(connection).await });
    (near, Served { stats, stop, task })
}

/// A connection past a request that names no subprotocol, where `B` begins what is binary, and everything else is text if
/// `has_default`.
pub(crate) async fn unnamed(has_default: bool, settings: Settings) -> (DuplexStream, Served) {
    let (mut near, far) = duplex(64 * 1024);
    let (stop, shutdown) = ShutdownTrigger::new();
    let stats = Arc::new(Stats::default());
    let carried = vec![subprotocol("bytes", Some(b'B'), Messages::Binary), subprotocol("lines", None, Messages::Text)];
    let default = has_default.then_some("lines");
    let websocket = WebSocket::new("web", settings, carried, default, Arc::clone(&stats));
    let connection = connection(far, shutdown);
    let task = tokio::spawn(async move { websocket.serve(connection).await });
    near.write_all(&request("")).await.unwrap();
    let head = read_head(&mut near).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("Sec-WebSocket-Protocol"), "{head}");
    (near, Served { stats, stop, task })
}

fn subprotocol(name: &'static str, first_byte: Option<u8>, messages: Messages) -> Subprotocol {
    Subprotocol { name, first_byte, messages, protocol: Arc::new(Echo) }
}

pub(crate) fn connect() -> (DuplexStream, Served) {
    connect_with(settings(), 64 * 1024)
}

/// A request that is granted, with further lines.
pub(crate) fn request(lines: &str) -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
    .into_bytes()
}

/// Reads the head of an answer.
pub(crate) async fn read_head(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A connection past its request, for a client that writes frames by hand.
pub(crate) async fn upgraded(subprotocol: &str) -> (DuplexStream, Served) {
    let (mut stream, served) = connect();
    stream.write_all(&request(&format!("Sec-WebSocket-Protocol: {subprotocol}\r\n"))).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(subprotocol), "{head}");
    (stream, served)
}

/// A connection past its request, for a stock client.
pub(crate) async fn stock(subprotocol: &str, between_bytes: usize) -> (WebSocketStream<DuplexStream>, Served) {
    let (stream, served) = connect_with(settings(), between_bytes);
    let mut request = "ws://localhost/ws".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
    let (client, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], subprotocol);
    (client, served)
}

/// A frame of a client: its first byte and its payload.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    let mask = [0xa1, 0xb2, 0xc3, 0xd4];
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What comes until the server closes.
pub(crate) async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

/// So many bytes.
pub(crate) async fn read<const N: usize>(stream: &mut DuplexStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}
