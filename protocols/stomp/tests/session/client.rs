//! A server of one broker on storage in memory, and a client that speaks frames to it over a pipe.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::protocol::{Connection, Protocol, Shutdown, ShutdownTrigger};
use gantry_broker::rights::Permission;
use gantry_broker::{Broker, BrokerOptions, Found, QueueStatus, Sources, VirtualHost};
use gantry_stomp::{SOURCE, Settings, Stats, Stomp};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that the pipe between server and client holds: a client that does not read is noticed soon.
const PIPE_BYTES: usize = 16 * 1024;

pub(crate) struct Server {
    pub(crate) broker: Arc<Broker>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) faults: Faults,
    pub(crate) stop: ShutdownTrigger,
    pub(crate) stats: Arc<Stats>,
    table: Arc<MemoryTable>,
    protocol: Arc<Stomp>,
    settings: Settings,
    shutdown: Shutdown,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let faults = Faults::default();
        let journal = MemoryJournal::new(faults.clone());
        Self::on(settings, journal, MemoryTable::new(), Found::default(), faults)
    }

    fn on(settings: Settings, journal: MemoryJournal, table: MemoryTable, found: Found, faults: Faults) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let options = BrokerOptions { sources: Sources::new(vec![&SOURCE]), ..BrokerOptions::default() };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).expect("opens");
        let (stop, shutdown) = ShutdownTrigger::new();
        let stats = Arc::new(Stats::default());
        let protocol = Arc::new(Stomp::new(Arc::clone(&broker), settings.clone(), Arc::clone(&stats)));
        Self { broker, journal, faults, stop, stats, table, protocol, settings, shutdown }
    }

    /// The same storage, as a process finds it that starts after this one was killed.
    pub(crate) fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.journal.reopen(&mut found);
        Self::on(self.settings, journal, self.table.reopen(), found, self.faults)
    }

    pub(crate) fn vhost(&self) -> Arc<VirtualHost> {
        self.broker.vhost("/").expect("there is one")
    }

    pub(crate) fn queue(&self, name: &str) -> QueueStatus {
        self.vhost().queue_of_anyone(name).expect("is there").status()
    }

    /// What guest may do from now on.
    pub(crate) async fn permit(&self, configure: &str, write: &str, read: &str) {
        let permission = Permission::new(configure, write, read).expect("patterns");
        self.broker.set_permission("guest", "/", permission).await.expect("is set");
    }

    /// A stream to the server; `edit` says what is special about it.
    pub(crate) fn open_with(&self, edit: impl FnOnce(&mut Connection)) -> Client {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 61613));
        let shutdown = self.shutdown.clone();
        let mut connection =
            Connection { stream: Box::new(far), peer, local, tls: None, credentials: None, relayed: false, shutdown };
        edit(&mut connection);
        let protocol = Arc::clone(&self.protocol);
        let serving = tokio::spawn(async move { protocol.serve(connection).await });
        Client { stream: near, input: Vec::new(), serving }
    }

    pub(crate) fn open(&self) -> Client {
        self.open_with(|_| ())
    }

    /// A client of 1.2 that has logged in, as nobody by name: what a password takes in a build for tests adds up.
    pub(crate) async fn client(&self) -> Client {
        self.client_of("1.2").await
    }

    pub(crate) async fn client_of(&self, version: &str) -> Client {
        let mut client = self.open();
        client.send("CONNECT", &[("accept-version", version)], "").await;
        let connected = client.next().await;
        assert_eq!((connected.command.as_str(), connected.get("version")), ("CONNECTED", version));
        client
    }
}

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) command: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    /// The value of a header, which has to be there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The names of its headers, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|(name, _)| name.as_str()).collect()
    }
}

pub(crate) struct Client {
    stream: DuplexStream,
    input: Vec<u8>,
    pub(crate) serving: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads").expect("the server is there");
    }

    pub(crate) async fn send(&mut self, command: &str, headers: &[(&str, &str)], body: &str) {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        self.write(format!("{command}\n{lines}\n{body}\0").as_bytes()).await;
    }

    /// Sends to a destination, with these headers more.
    pub(crate) async fn publish(&mut self, destination: &str, headers: &[(&str, &str)], body: &str) {
        let headers: Vec<_> = [("destination", destination)].into_iter().chain(headers.iter().copied()).collect();
        self.send("SEND", &headers, body).await;
    }

    /// Subscribes, and hears that it is done.
    pub(crate) async fn subscribe(&mut self, id: &str, destination: &str, headers: &[(&str, &str)]) {
        let mut all = vec![("id", id), ("destination", destination), ("receipt", "subscribed")];
        all.extend(headers);
        self.send("SUBSCRIBE", &all, "").await;
        self.receipt("subscribed").await;
    }

    /// The next frame, or none where the server has closed the stream. Ends of line between frames are passed over.
    pub(crate) async fn read(&mut self) -> Option<Received> {
        loop {
            let start = self.input.iter().take_while(|byte| **byte == b'\n').count();
            self.input.drain(..start);
            if let Some((received, bytes)) = parse(&self.input) {
                self.input.drain(..bytes);
                return Some(received);
            }
            // A server that is gone may have reset the stream.
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                assert!(self.input.is_empty(), "a frame that does not end");
                return None;
            }
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Received {
        timeout(PATIENCE, self.read()).await.expect("a frame comes").expect("the server is there")
    }

    /// The next frame, which is a message with this body.
    pub(crate) async fn message(&mut self, body: &str) -> Received {
        let received = self.next().await;
        assert_eq!((received.command.as_str(), received.body.as_str()), ("MESSAGE", body), "{received:?}");
        received
    }

    /// The next frame, which is this receipt.
    pub(crate) async fn receipt(&mut self, id: &str) {
        let received = self.next().await;
        assert_eq!((received.command.as_str(), received.find("receipt-id")), ("RECEIPT", Some(id)), "{received:?}");
    }

    /// The next frame, which is this error.
    pub(crate) async fn error(&mut self, message: &str) -> Received {
        let received = self.next().await;
        assert_eq!((received.command.as_str(), received.find("message")), ("ERROR", Some(message)), "{received:?}");
        received
    }

    /// The next frame is this error, and there is nothing behind it.
    pub(crate) async fn last_error(&mut self, message: &str) -> Received {
        let error = self.error(message).await;
        self.closed().await;
        error
    }

    /// The server has nothing more to say, and closes the stream.
    pub(crate) async fn closed(&mut self) {
        let end = timeout(PATIENCE, self.read()).await.expect("the server closes");
        assert_eq!(end, None);
        // It waits for a while for a client that may not have read all.
        self.stream.shutdown().await.expect("the pipe can be closed");
        timeout(PATIENCE, &mut self.serving).await.expect("the server ends").expect("it does not panic");
    }

    /// Has the server handle everything that was sent, and send everything that it has to say of that; what came meanwhile.
    pub(crate) async fn settle(&mut self) -> Vec<Received> {
        let mut others = Vec::new();
        // What the server says after the frames of one read comes before its answer to the next.
        for _ in 0..3 {
            self.send("ABORT", &[], "").await;
            loop {
                let received = self.next().await;
                if received.find("message") == Some("Missing transaction") {
                    break;
                }
                others.push(received);
            }
        }
        others
    }

    /// The next byte, which is an end of line that no frame is around.
    pub(crate) async fn beat(&mut self) {
        while self.input.is_empty() {
            assert_ne!(self.stream.read_buf(&mut self.input).await.expect("the server is there"), 0);
        }
        assert_eq!(self.input.remove(0), b'\n');
    }

    /// The server goes without a word.
    pub(crate) async fn vanished(&mut self) {
        assert_eq!(self.read().await, None);
        (&mut self.serving).await.expect("it does not panic");
    }

    /// Goes without a word.
    pub(crate) async fn vanish(self) {
        drop(self.stream);
        timeout(PATIENCE, self.serving).await.expect("the server notices").expect("it does not panic");
    }
}

/// A whole frame at the front, and its bytes.
fn parse(input: &[u8]) -> Option<(Received, usize)> {
    let head_end = input.windows(2).position(|pair| pair == b"\n\n")?;
    let head = String::from_utf8(input[..head_end].to_vec()).expect("UTF-8");
    let mut lines = head.split('\n');
    let command = lines.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap_or_else(|| panic!("no colon in {line:?}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let start = head_end + 2;
    let length: Option<usize> =
        headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse().expect("a number"));
    let end = match length {
        Some(length) => start + length,
        None => start + input[start..].iter().position(|byte| *byte == 0)?,
    };
    let nul = *input.get(end)?;
    assert_eq!(nul, 0, "a frame ends where it says");
    let body = String::from_utf8(input[start..end].to_vec()).expect("UTF-8");
    Some((Received { command, headers, body }, end + 1))
}
