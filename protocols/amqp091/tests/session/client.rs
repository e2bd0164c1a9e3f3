//! A server of one broker on storage in memory, and a client that speaks frames to it over a pipe.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gantry_amqp091::codec::methods as m;
use gantry_amqp091::codec::{
    FrameKind, Method, Properties, RawProperties, RawTable, ShortStr, ShortText, delivery, frame, next_frame, table,
};
use gantry_amqp091::{Amqp091, Limits, SOURCE, Stats};
use gantry_broker::protocol::{Connection, Protocol, Shutdown, ShutdownTrigger};
use gantry_broker::rights::Tokens;
use gantry_broker::value::{Table, Value};
use gantry_broker::{Broker, BrokerOptions, Found, Sources};
use gantry_storage::{Change, Faults, MemoryJournal, MemoryTable, Table as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes: what has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Class basic, in content headers.
pub(crate) const CLASS_BASIC: u16 = 60;

/// Bytes that the pipe between server and client holds: a client that does not read is noticed soon.
const PIPE_BYTES: usize = 16 * 1024;

pub(crate) struct Server {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) faults: Faults,
    pub(crate) stop: ShutdownTrigger,
    pub(crate) broker: Arc<Broker>,
    protocol: Arc<Amqp091>,
    shutdown: Shutdown,
}

impl Server {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::on(limits, MemoryTable::new())
    }

    /// A server where the user may configure, write and read what these patterns match, and nothing else.
    pub(crate) fn with_rights(configure: &str, write: &str, read: &str) -> Self {
        let table = Arc::new(MemoryTable::new());
        let journal = Arc::new(MemoryJournal::new(Faults::default()));
        Broker::open(BrokerOptions::default(), journal, table.clone(), Found::default()).expect("opens");
        let row = format!(r#"["guest","/",{{"configure":"{configure}","write":"{write}","read":"{read}"}}]"#);
        let put = Change::Put { space: "permissions", key: b"guest\0/".to_vec(), value: row.into_bytes() };
        table.commit(vec![put], Box::new(|result| result.expect("memory takes it")));
        Self::on(Limits::default(), table.reopen())
    }

    /// A server that believes these tokens.
    pub(crate) fn with_tokens(tokens: Tokens) -> Self {
        let options = BrokerOptions { tokens: Some(tokens), ..BrokerOptions::default() };
        Self::with_options(Limits::default(), MemoryTable::new(), options)
    }

    fn on(limits: Limits, table: MemoryTable) -> Self {
        Self::with_options(limits, table, BrokerOptions::default())
    }

    fn with_options(limits: Limits, table: MemoryTable, options: BrokerOptions) -> Self {
        let faults = Faults::default();
        let journal = Arc::new(MemoryJournal::new(faults.clone()));
        let options = BrokerOptions { sources: Sources::new(vec![&SOURCE]), ..options };
        let broker = Broker::open(options, journal.clone(), Arc::new(table), Found::default()).expect("opens");
        let (stop, shutdown) = ShutdownTrigger::new();
        let protocol = Arc::new(Amqp091::new(Arc::clone(&broker), limits, Arc::new(Stats::default())));
        Self { journal, faults, stop, broker, protocol, shutdown }
    }

    /// A client that has logged in and opened channel 1.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(b"\0guest\0guest").await
    }

    /// As [`Server::client`], with this response to PLAIN.
    pub(crate) async fn client_with(&self, response: &[u8]) -> Client {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5672));
        let shutdown = self.shutdown.clone();
        let connection = Connection {
            stream: Box::new(far),
            peer: address,
            local: address,
            tls: None,
            credentials: None,
            relayed: false,
            shutdown,
        };
        let protocol = Arc::clone(&self.protocol);
        let serving = tokio::spawn(async move { protocol.serve(connection).await });
        let mut client = Client { stream: near, input: BytesMut::new(), serving };
        client.log_in(response).await;
        client
    }
}

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Received {
    kind: FrameKind,
    payload: Vec<u8>,
}

impl Received {
    /// The method, where it is one.
    pub(crate) fn method(&self) -> Option<Method<'_>> {
        (self.kind == FrameKind::Method).then(|| Method::decode(&self.payload).expect("a method"))
    }

    /// What it carries.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

pub(crate) struct Client {
    stream: DuplexStream,
    input: BytesMut,
    pub(crate) serving: JoinHandle<()>,
}

impl Client {
    async fn log_in(&mut self, response: &[u8]) {
        self.write(&frame::PROTOCOL_HEADER).await;
        assert!(matches!(self.next().await.method(), Some(Method::ConnectionStart(_))));
        let mut capabilities = Table::default();
        capabilities.push("connection.blocked", true);
        capabilities.push("consumer_cancel_notify", true);
        let mut properties = Table::default();
        properties.push("capabilities", Value::Table(capabilities));
        let mut encoded = BytesMut::new();
        table::encode_table(&properties, &mut encoded).expect("is small");
        let start_ok = m::ConnectionStartOk {
            client_properties: RawTable::new(&encoded),
            mechanism: ShortText::cut("PLAIN"),
            response,
            locale: ShortText::cut("en_US"),
        };
        self.send(0, start_ok).await;
        assert!(matches!(self.next().await.method(), Some(Method::ConnectionTune(_))));
        self.send(0, m::ConnectionTuneOk { channel_max: 2047, frame_max: 131_072, heartbeat: 0 }).await;
        self.send(0, m::ConnectionOpen { virtual_host: ShortText::cut("/"), ..Default::default() }).await;
        assert!(matches!(self.next().await.method(), Some(Method::ConnectionOpenOk(_))));
        self.open(1).await;
    }

    pub(crate) async fn open(&mut self, channel: u16) {
        self.send(channel, m::ChannelOpen::default()).await;
        assert!(matches!(self.next().await.method(), Some(Method::ChannelOpenOk(_))));
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads").expect("the server is there");
    }

    pub(crate) async fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        let mut bytes = BytesMut::new();
        method.into().encode_frame(channel, &mut bytes);
        self.write(&bytes).await;
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Received {
        timeout(PATIENCE, self.read()).await.expect("a frame comes").expect("the server is there")
    }

    /// The next frame, or none where the server has closed the stream.
    async fn read(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, bytes)) = next_frame(&self.input, u32::MAX).expect("a frame") {
                let received = Received { kind: frame.kind, payload: frame.payload.to_vec() };
                self.input.advance(bytes);
                return Some(received);
            }
            if self.stream.read_buf(&mut self.input).await.expect("a stream") == 0 {
                return None;
            }
        }
    }

    /// Has the server handle everything that was sent, and send everything that it has to say of that; what came meanwhile.
    pub(crate) async fn settle(&mut self) -> Vec<Received> {
        let mut others = Vec::new();
        // What the server says after the frames of one read comes before its answer to the next.
        for _ in 0..3 {
            self.send(1, m::BasicQos::default()).await;
            loop {
                let received = self.next().await;
                if matches!(received.method(), Some(Method::BasicQosOk(_))) {
                    break;
                }
                others.push(received);
            }
        }
        others
    }

    pub(crate) async fn declare(&mut self, queue: &str, durable: bool) {
        self.send(1, m::QueueDeclare { queue: ShortText::cut(queue), durable, ..Default::default() }).await;
        assert!(matches!(self.next().await.method(), Some(Method::QueueDeclareOk(_))));
    }

    /// Declares a queue; the code and text that the channel was closed with where that was refused, and a new channel.
    pub(crate) async fn declare_with(
        &mut self,
        queue: &str,
        durable: bool,
        arguments: &Table,
    ) -> Result<(), (u16, String)> {
        let mut encoded = BytesMut::new();
        table::encode_table(arguments, &mut encoded).expect("is small");
        let arguments = RawTable::new(&encoded);
        let queue = ShortText::cut(queue);
        self.send(1, m::QueueDeclare { queue, durable, arguments, ..Default::default() }).await;
        let refused = match self.next().await.method() {
            Some(Method::QueueDeclareOk(_)) => return Ok(()),
            Some(Method::ChannelClose(close)) => (close.reply_code, close.reply_text.as_str().to_owned()),
            other => panic!("{other:?}"),
        };
        self.send(1, m::ChannelCloseOk {}).await;
        self.open(1).await;
        Err(refused)
    }

    /// How many messages wait in a queue, and how many consumers it has.
    pub(crate) async fn count(&mut self, queue: &str) -> (u32, u32) {
        self.send(1, m::QueueDeclare { queue: ShortText::cut(queue), passive: true, ..Default::default() }).await;
        match self.next().await.method() {
            Some(Method::QueueDeclareOk(ok)) => (ok.message_count, ok.consumer_count),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn confirm(&mut self) {
        self.send(1, m::ConfirmSelect::default()).await;
        assert!(matches!(self.next().await.method(), Some(Method::ConfirmSelectOk(_))));
    }

    pub(crate) async fn publish(&mut self, queue: &str, body: &[u8], persistent: bool) {
        let mut bytes = BytesMut::new();
        begin(&mut bytes, 1, queue, body.len() as u64, persistent);
        frame::encode_body(&mut bytes, 1, body, 131_072);
        self.write(&bytes).await;
    }

    /// Publishes a transient message to an exchange.
    pub(crate) async fn publish_to(&mut self, exchange: &str, key: &str, body: &[u8]) {
        self.publish_headers(exchange, key, body, None).await;
    }

    pub(crate) async fn publish_headers(&mut self, exchange: &str, key: &str, body: &[u8], headers: Option<&Table>) {
        let mut bytes = BytesMut::new();
        let short = |text| ShortStr::new(str::as_bytes(text)).expect("is short");
        let publish = m::BasicPublish { exchange: short(exchange), routing_key: short(key), ..Default::default() };
        Method::from(publish).encode_frame(1, &mut bytes);
        let (mut properties, mut table) = (BytesMut::new(), BytesMut::new());
        if let Some(headers) = headers {
            table::encode_table(headers, &mut table).expect("is small");
        }
        let headers = headers.map(|_| RawTable::new(&table));
        Properties { headers, ..Properties::default() }.encode(&mut properties);
        let properties = RawProperties::new(&properties);
        delivery::encode_content_header(&mut bytes, 1, CLASS_BASIC, body.len() as u64, properties);
        frame::encode_body(&mut bytes, 1, body, 131_072);
        self.write(&bytes).await;
    }

    pub(crate) async fn expect_ack(&mut self) -> m::BasicAck {
        match self.next().await.method() {
            Some(Method::BasicAck(ack)) => ack,
            other => panic!("{other:?}"),
        }
    }

    /// The code and text that the server closes the connection with; everything before it is passed over.
    pub(crate) async fn expect_close(&mut self) -> (u16, String) {
        loop {
            if let Some(Method::ConnectionClose(close)) = self.next().await.method() {
                return (close.reply_code, close.reply_text.as_str().to_owned());
            }
        }
    }
}

/// A consumer called `c`.
pub(crate) fn consume(queue: &str, no_ack: bool) -> m::BasicConsume<'_> {
    let consumer_tag = ShortText::cut("c");
    m::BasicConsume { queue: ShortText::cut(queue), consumer_tag, no_ack, ..Default::default() }
}

/// Publish and content header of a message.
pub(crate) fn begin(out: &mut BytesMut, channel: u16, queue: &str, body_bytes: u64, persistent: bool) {
    let routing_key = ShortStr::new(queue.as_bytes()).expect("is short");
    Method::from(m::BasicPublish { routing_key, ..Default::default() }).encode_frame(channel, out);
    let delivery_mode = persistent.then_some(2);
    let mut properties = BytesMut::new();
    Properties { delivery_mode, ..Default::default() }.encode(&mut properties);
    delivery::encode_content_header(out, channel, CLASS_BASIC, body_bytes, RawProperties::new(&properties));
}
