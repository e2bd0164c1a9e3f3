//! A server of one broker on storage in memory, and a client that speaks packets to it over a pipe.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use gantry_broker::protocol::{Connection, Protocol, Shutdown, ShutdownTrigger};
use gantry_broker::rights::{Permission, Tokens};
use gantry_broker::{Broker, BrokerOptions, Found, Sources, VirtualHost};
use gantry_mqtt::codec::packet::{
    Ack, ConnAck, Connect, ConnectProperties, Disconnect, Filter, Packet, Publish, QoS, SubAck, Subscribe,
    SubscribeOptions, Unsubscribe, Version,
};
use gantry_mqtt::codec::reason::Reason;
use gantry_mqtt::codec::{Settings as Decoding, decode_from_server, encode};
use gantry_mqtt::{Mqtt, SOURCE, Settings, Stats};
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
    pub(crate) table: Arc<MemoryTable>,
    protocol: Arc<Mqtt>,
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
        Self::on(settings, journal, MemoryTable::new(), Found::default(), faults, None)
    }

    /// A server that believes these tokens.
    pub(crate) fn with_tokens(tokens: Tokens) -> Self {
        let faults = Faults::default();
        let journal = MemoryJournal::new(faults.clone());
        Self::on(Settings::default(), journal, MemoryTable::new(), Found::default(), faults, Some(tokens))
    }

    fn on(
        settings: Settings,
        journal: MemoryJournal,
        table: MemoryTable,
        found: Found,
        faults: Faults,
        tokens: Option<Tokens>,
    ) -> Self {
        let (journal, table) = (Arc::new(journal), Arc::new(table));
        let options = BrokerOptions { sources: Sources::new(vec![&SOURCE]), tokens, ..BrokerOptions::default() };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).expect("opens");
        let (stop, shutdown) = ShutdownTrigger::new();
        let stats = Arc::new(Stats::default());
        let protocol = Mqtt::new(Arc::clone(&broker), settings.clone(), Arc::clone(&stats)).expect("reads its rows");
        Self { broker, journal, faults, stop, stats, table, protocol: Arc::new(protocol), settings, shutdown }
    }

    /// The same storage, as a process finds it that starts after this one was killed.
    pub(crate) fn crash(self) -> Self {
        let mut found = Found::default();
        let journal = self.journal.reopen(&mut found);
        Self::on(self.settings, journal, self.table.reopen(), found, self.faults, None)
    }

    pub(crate) fn vhost(&self) -> Arc<VirtualHost> {
        self.broker.vhost("/").expect("there is one")
    }

    /// What guest may do from now on.
    pub(crate) async fn permit(&self, configure: &str, write: &str, read: &str) {
        let permission = Permission::new(configure, write, read).expect("patterns");
        self.broker.set_permission("guest", "/", permission).await.expect("is set");
    }

    /// A stream to the server, from this address.
    pub(crate) fn open_from(&self, peer: SocketAddr) -> Client {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 1883));
        let shutdown = self.shutdown.clone();
        let connection =
            Connection { stream: Box::new(far), peer, local, tls: None, credentials: None, relayed: false, shutdown };
        let protocol = Arc::clone(&self.protocol);
        let serving = tokio::spawn(async move { protocol.serve(connection).await });
        Client { stream: near, input: BytesMut::new(), version: Version::V5, serving }
    }

    pub(crate) fn open(&self) -> Client {
        self.open_from(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)))
    }

    /// A client that has connected as this says.
    pub(crate) async fn connect(&self, connect: &Connect<'_>) -> Client {
        let mut client = self.open();
        let answer = client.connect(connect).await;
        assert_eq!(answer.reason, Reason::SUCCESS);
        client
    }

    /// A client of 5.0 with a new session that ends with its connection.
    pub(crate) async fn client(&self, id: &str) -> Client {
        self.connect(&hello(id)).await
    }

    /// A client of 5.0 with a session that stays.
    pub(crate) async fn lasting(&self, id: &str) -> Client {
        self.connect(&lasting(id)).await
    }
}

/// CONNECT of 5.0 with a new session that ends with its connection.
pub(crate) fn hello(id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 0,
        client_id: id,
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

/// CONNECT of 5.0 with a session that stays.
pub(crate) fn lasting(id: &str) -> Connect<'_> {
    let properties = ConnectProperties { session_expiry_s: Some(3600), ..ConnectProperties::default() };
    Connect { clean_start: false, properties, ..hello(id) }
}

/// CONNECT of 3.1.1.
pub(crate) fn old(id: &str, clean_start: bool) -> Connect<'_> {
    Connect { version: Version::V311, clean_start, ..hello(id) }
}

/// What the server said in CONNACK.
#[derive(Debug)]
pub(crate) struct Welcome {
    pub(crate) reason: Reason,
    pub(crate) present: bool,
    pub(crate) return_code: u8,
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) receive_max: Option<NonZeroU16>,
    pub(crate) packet_bytes_max: Option<u32>,
    pub(crate) assigned: Option<String>,
    pub(crate) topic_alias_max: Option<u16>,
    pub(crate) server_keep_alive_s: Option<u16>,
    pub(crate) response_information: Option<String>,
    pub(crate) authentication: Option<(String, Vec<u8>)>,
}

/// A packet as it came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    version: Version,
}

impl Received {
    pub(crate) fn packet(&self) -> Packet<'_> {
        let settings = Decoding { version: self.version, packet_bytes_max: u32::MAX };
        decode_from_server(&self.bytes, settings).expect("a packet").expect("a whole one").0
    }

    pub(crate) fn publish(&self) -> Publish<'_> {
        match self.packet() {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) struct Client {
    stream: DuplexStream,
    input: BytesMut,
    pub(crate) version: Version,
    pub(crate) serving: JoinHandle<()>,
}

impl Client {
    /// Says CONNECT, and hears CONNACK.
    pub(crate) async fn connect(&mut self, connect: &Connect<'_>) -> Welcome {
        self.version = connect.version;
        self.send(&Packet::Connect(Box::new(connect.clone()))).await;
        self.welcome().await
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        let received = self.next().await;
        match received.packet() {
            Packet::ConnAck(answer) => {
                let ConnAck { session_present, reason, return_code, properties } = *answer;
                Welcome {
                    reason,
                    present: session_present,
                    return_code: return_code as u8,
                    session_expiry_s: properties.session_expiry_s,
                    receive_max: properties.receive_max,
                    packet_bytes_max: properties.packet_bytes_max,
                    assigned: properties.assigned_client_id.map(str::to_owned),
                    topic_alias_max: properties.topic_alias_max,
                    server_keep_alive_s: properties.server_keep_alive_s,
                    response_information: properties.response_information.map(str::to_owned),
                    authentication: properties
                        .authentication_method
                        .map(|method| (method.to_owned(), properties.authentication_data.unwrap_or_default().to_vec())),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads").expect("the server is there");
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = BytesMut::new();
        encode(packet, self.version, &mut bytes);
        self.write(&bytes).await;
    }

    /// The next packet.
    pub(crate) async fn next(&mut self) -> Received {
        timeout(PATIENCE, self.read()).await.expect("a packet comes").expect("the server is there")
    }

    /// The next packet, or none where the server has closed the stream.
    pub(crate) async fn read(&mut self) -> Option<Received> {
        loop {
            let settings = Decoding { version: self.version, packet_bytes_max: u32::MAX };
            let bytes = decode_from_server(&self.input, settings).expect("a packet").map(|(_, bytes)| bytes);
            if let Some(bytes) = bytes {
                let received = Received { bytes: self.input[..bytes].to_vec(), version: self.version };
                self.input.advance(bytes);
                return Some(received);
            }
            // A server that is gone may have reset the stream.
            if self.stream.read_buf(&mut self.input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The reason that the server closes the connection with; none where it says nothing. Everything before it is passed over.
    pub(crate) async fn closed(&mut self) -> Option<Reason> {
        let closing = async {
            let mut said = None;
            while let Some(received) = self.read().await {
                if let Packet::Disconnect(disconnect) = received.packet() {
                    said = Some(disconnect.reason);
                }
            }
            said
        };
        timeout(PATIENCE, closing).await.expect("the server closes")
    }

    /// Has the server handle everything that was sent, and send everything that it has to say of that; what came meanwhile.
    pub(crate) async fn settle(&mut self) -> Vec<Received> {
        let mut others = Vec::new();
        // What the server says after the packets of one read comes before its answer to the next.
        for _ in 0..3 {
            self.send(&Packet::PingReq).await;
            loop {
                let received = self.next().await;
                if matches!(received.packet(), Packet::PingResp) {
                    break;
                }
                others.push(received);
            }
        }
        others
    }

    /// Goes without a word.
    pub(crate) async fn vanish(self) {
        drop(self.stream);
        timeout(PATIENCE, self.serving).await.expect("the server notices").expect("it does not panic");
    }

    /// Takes leave.
    pub(crate) async fn leave(mut self) {
        self.send(&Packet::Disconnect(Disconnect::new(Reason::NORMAL_DISCONNECTION))).await;
        assert_eq!(self.closed().await, None);
        timeout(PATIENCE, self.serving).await.expect("the server ends").expect("it does not panic");
    }

    /// Subscribes; the reasons of SUBACK. Retained messages that come before it are not expected.
    pub(crate) async fn subscribe_with(
        &mut self,
        filters: &[(&str, SubscribeOptions)],
        id: Option<u32>,
    ) -> Vec<Reason> {
        let filters = filters.iter().map(|(filter, options)| (Filter::new(filter), *options)).collect();
        let subscribe = Subscribe { packet_id: 7, subscription_id: id, user_properties: Default::default(), filters };
        self.send(&Packet::Subscribe(subscribe)).await;
        let received = self.next().await;
        match received.packet() {
            Packet::SubAck(SubAck { packet_id: 7, reasons, .. }) => reasons.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        assert_eq!(self.subscribe_with(&[(filter, options)], None).await, [Reason(qos as u8)]);
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) -> Vec<Reason> {
        let filters = [Filter::new(filter)].into_iter().collect();
        let unsubscribe = Unsubscribe { packet_id: 8, user_properties: Default::default(), filters };
        self.send(&Packet::Unsubscribe(unsubscribe)).await;
        let received = self.next().await;
        match received.packet() {
            Packet::UnsubAck(SubAck { packet_id: 8, reasons, .. }) => reasons.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16) {
        self.send(&Packet::Publish(Publish { qos, packet_id, ..Publish::new(topic, payload) })).await;
    }

    /// Says one of PUBACK, PUBREC, PUBREL and PUBCOMP.
    pub(crate) async fn ack<'a>(&mut self, kind: fn(Ack<'a>) -> Packet<'a>, packet_id: u16) {
        self.send(&kind(Ack::new(packet_id, Reason::SUCCESS))).await;
    }

    /// The next packet, which is this acknowledgement; its reason.
    pub(crate) async fn expect_ack(&mut self, kind: Kind, packet_id: u16) -> Reason {
        let received = self.next().await;
        let (found, ack) = match received.packet() {
            Packet::PubAck(ack) => (Kind::Ack, ack),
            Packet::PubRec(ack) => (Kind::Rec, ack),
            Packet::PubRel(ack) => (Kind::Rel, ack),
            Packet::PubComp(ack) => (Kind::Comp, ack),
            other => panic!("{other:?}"),
        };
        assert_eq!((found, ack.packet_id), (kind, packet_id));
        ack.reason
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ack,
    Rec,
    Rel,
    Comp,
}
