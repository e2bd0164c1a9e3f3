//! A server of one broker on storage in memory, and a client that speaks HTTP to it over a pipe.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::protocol::{Connection, Protocol, Shutdown, ShutdownTrigger, Stream};
use gantry_broker::{Broker, BrokerOptions, Found, Sources};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::connection::Served;
use crate::{Aws, Edge, SQS_SOURCE, Settings};

/// Longer than anything here takes: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(600);

/// Bytes that the pipe between server and client holds.
pub(super) const PIPE_BYTES: usize = 16 * 1024;

pub(super) struct Server {
    pub(super) broker: Arc<Broker>,
    pub(super) journal: Arc<MemoryJournal>,
    pub(super) stop: ShutdownTrigger,
    protocol: Arc<Aws>,
    shutdown: Shutdown,
}

impl Server {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let journal = Arc::new(MemoryJournal::new(Faults::default()));
        let table = Arc::new(MemoryTable::new());
        let broker = Broker::open(
            BrokerOptions { sources: Sources::new(vec![&SQS_SOURCE]), ..BrokerOptions::default() },
            Arc::clone(&journal) as _,
            table,
            Found::default(),
        )
        .expect("opens");
        let (stop, shutdown) = ShutdownTrigger::new();
        let (protocol, _) = Aws::new(Arc::clone(&broker), settings, Arc::default()).expect("opens");
        protocol.start();
        let protocol = Arc::new(protocol);
        Self { broker, journal, stop, protocol, shutdown }
    }

    pub(super) fn edge(&self) -> &Arc<Edge> {
        &self.protocol.edge
    }

    /// Bytes that a connection's future takes.
    pub(super) fn served_bytes(&self) -> usize {
        let (_, far) = tokio::io::duplex(PIPE_BYTES);
        let connection = self.connection(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)), Box::new(far));
        size_of_val(&Served::new(Arc::clone(&self.protocol.edge), connection).run())
    }

    fn connection(&self, peer: SocketAddr, stream: Box<dyn Stream>) -> Connection {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 4566));
        let shutdown = self.shutdown.clone();
        Connection { stream, peer, local, tls: None, credentials: None, relayed: false, shutdown }
    }

    /// What the server knows of a client on this machine.
    pub(super) fn http_client(&self) -> crate::http::Client {
        let (_, far) = tokio::io::duplex(PIPE_BYTES);
        let connection = self.connection(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)), Box::new(far));
        crate::http::Client::new(Arc::clone(&self.protocol.edge), &connection)
    }

    /// All subscriptions that there are.
    pub(super) fn subscriptions(&self) -> Vec<Arc<crate::sns::Subscription>> {
        self.protocol.edge.sns.all_subscriptions()
    }

    /// What counts bytes of clients that nobody knows yet.
    pub(super) fn unverified(&self) -> &Semaphore {
        &self.protocol.edge.unverified
    }

    /// A client on this machine.
    pub(super) fn client(&self) -> Client {
        self.client_from(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)))
    }

    pub(super) fn client_from(&self, peer: SocketAddr) -> Client {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.client_of(peer, near, Box::new(far))
    }

    /// A client on this machine whose bytes the server sees through another stream.
    pub(super) fn client_over(&self, near: DuplexStream, far: Box<dyn Stream>) -> Client {
        self.client_of(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)), near, far)
    }

    fn client_of(&self, peer: SocketAddr, near: DuplexStream, stream: Box<dyn Stream>) -> Client {
        let connection = self.connection(peer, stream);
        let protocol = Arc::clone(&self.protocol);
        let serving = tokio::spawn(async move { protocol.serve(connection).await });
        Client { stream: near, input: Vec::new(), serving }
    }
}

/// A response as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The codes of a failure in JSON.
    pub(super) fn failure(&self) -> (u16, String, &str) {
        let json_type = self.json()["__type"].as_str().expect("it says of what type").to_owned();
        (self.status, json_type, self.header("x-amzn-query-error").expect("it says so to old clients, too"))
    }
}

pub(super) struct Client {
    pub(super) stream: DuplexStream,
    input: Vec<u8>,
    pub(super) serving: JoinHandle<()>,
}

impl Client {
    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.expect("the server reads").expect("it is there");
    }

    /// Asks for an action in JSON.
    pub(super) async fn ask(&mut self, action: &str, input: &Value) -> Received {
        self.write(json(action, &[], input)).await;
        self.next().await
    }

    /// The same of SNS.
    pub(super) async fn ask_sns(&mut self, action: &str, input: &Value) -> Received {
        self.write(json(action, &[], input).replacen("AmazonSQS.", "AmazonSNS.", 1)).await;
        self.next().await
    }

    /// The next response.
    pub(super) async fn next(&mut self) -> Received {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read().await, "the connection ends: {:?}", String::from_utf8_lossy(&self.input));
        };
        let head = String::from_utf8(self.input.drain(..end + 4).collect()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut received = Received { status, head, body: String::new() };
        let length: usize = received.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.input.len() < length {
            assert!(self.read().await, "the body breaks off");
        }
        received.body = String::from_utf8(self.input.drain(..length).collect()).expect("a body is text");
        received
    }

    async fn read(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        read.expect("something comes").is_ok_and(|bytes| bytes > 0)
    }

    /// Nothing more comes, and the server has let go.
    pub(super) async fn ends(mut self) {
        assert!(!self.read().await, "more comes: {:?}", String::from_utf8_lossy(&self.input));
        timeout(PATIENCE, self.serving).await.expect("it lets go").expect("it does not panic");
    }
}

/// A request in JSON.
pub(super) fn json(action: &str, headers: &[(&str, &str)], input: &Value) -> String {
    let body = input.to_string();
    let mut request = format!(
        "POST / HTTP/1.1\r\nHost: localhost:4566\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request + "\r\n" + &body
}
