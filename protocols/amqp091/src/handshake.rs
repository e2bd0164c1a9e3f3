//! From the first byte to an open virtual host (AMQP 0-9-1, 2.2.4).

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use gantry_broker::protocol::{Connection, Stream, poll_read};
use gantry_broker::rights::{Authenticated, Denied};
use gantry_broker::value::{Table, Value};
use gantry_broker::{Broker, Session};

use crate::codec::frame::{FRAME_BYTES_MIN, PROTOCOL_HEADER};
use crate::codec::methods as m;
use crate::codec::{
    FrameKind, Method, ProtocolHeader, RawTable, ReplyCode, ShortText, next_frame, parse_protocol_header, table,
};
use crate::error::Failure;
use crate::limits::{LOGIN_FRAME_BYTES_MAX, Limits};
use crate::told::{Ends, tell_login};

/// What was agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) session: Session,
    pub(crate) frame_bytes_max: u32,
    pub(crate) channel_max: u16,
    pub(crate) heartbeat_s: u16,
    pub(crate) capabilities: Capabilities,
    /// The product and version that the client names, for the log.
    pub(crate) client: String,
    /// What the client says of itself.
    pub(crate) client_properties: Table,
    /// Both ends.
    pub(crate) ends: Ends,
    /// When what the client has logged in with ends, in milliseconds since the epoch of Unix.
    pub(crate) expires_ms: Option<u64>,
}

/// What the client can do beyond the specification.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) consumer_cancel_notify: bool,
    pub(crate) connection_blocked: bool,
    pub(crate) authentication_failure_close: bool,
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The stream ended or failed.
    Io(io::Error),
    /// The client does not speak this protocol, or is told nothing for another reason; what it is told has been written.
    Gone(&'static str),
    /// The client is told.
    Failure(Failure),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<F: Into<Failure>> From<F> for HandshakeError {
    fn from(failure: F) -> Self {
        Self::Failure(failure.into())
    }
}

/// The conversation while it is one question, one answer.
pub(crate) struct Handshake<'a> {
    stream: &'a mut Box<dyn Stream>,
    input: &'a mut BytesMut,
}

impl<'a> Handshake<'a> {
    pub(crate) fn new(stream: &'a mut Box<dyn Stream>, input: &'a mut BytesMut) -> Self {
        Self { stream, input }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        let Self { stream, input } = self;
        let read =
            std::future::poll_fn(|cx| poll_read(Pin::new(&mut ***stream), input, LOGIN_FRAME_BYTES_MAX as usize, cx));
        match read.await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        use tokio::io::AsyncWriteExt;
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub(crate) async fn send(&mut self, method: Method<'_>) -> io::Result<()> {
        let mut out = BytesMut::new();
        method.encode_frame(0, &mut out);
        self.write(&out).await
    }

    async fn protocol_header(&mut self) -> Result<(), HandshakeError> {
        loop {
            match parse_protocol_header(self.input) {
                ProtocolHeader::Incomplete => self.read_more().await?,
                ProtocolHeader::Amqp091 => {
                    self.input.advance(PROTOCOL_HEADER.len());
                    return Ok(());
                }
                ProtocolHeader::Other(_) => {
                    self.write(&PROTOCOL_HEADER).await?;
                    return Err(HandshakeError::Gone("bad protocol header"));
                }
            }
        }
    }

    /// Waits for a method on channel 0, and hands it to `read`.
    async fn expect<T>(
        &mut self,
        frame_bytes_max: u32,
        mut read: impl FnMut(Method<'_>) -> Result<T, HandshakeError>,
    ) -> Result<T, HandshakeError> {
        loop {
            let Some((frame, consumed)) = next_frame(self.input, frame_bytes_max)? else {
                self.read_more().await?;
                continue;
            };
            let result = match frame.kind {
                FrameKind::Heartbeat => None,
                FrameKind::Method if frame.channel == 0 => Some(read(Method::decode(frame.payload)?)?),
                _ => {
                    let text = "expected a method on channel 0";
                    return Err(Failure::new(ReplyCode::UnexpectedFrame, text).into());
                }
            };
            self.input.advance(consumed);
            if let Some(result) = result {
                return Ok(result);
            }
        }
    }
}

/// Agrees with a client on everything, up to `connection.open-ok`.
pub(crate) async fn shake_hands(
    broker: &Arc<Broker>,
    limits: &Limits,
    connection: &mut Connection,
    input: &mut BytesMut,
) -> Result<Agreed, HandshakeError> {
    let peer_is_loopback = connection.is_from_this_machine();
    let (ends, tls) = (Ends { peer: connection.peer, local: connection.local }, connection.tls.is_some());
    let certificate_login = connection.tls.as_ref().and_then(|tls| tls.certificate.as_ref()?.login.clone());
    let mut shake = Handshake::new(&mut connection.stream, input);
    shake.protocol_header().await?;

    let mut properties = BytesMut::new();
    table::encode_table(&server_properties(), &mut properties)
        .map_err(|error| Failure::new(ReplyCode::InternalError, error.to_string()))?;
    let mechanisms: &[u8] = if certificate_login.is_some() { b"EXTERNAL PLAIN AMQPLAIN" } else { b"PLAIN AMQPLAIN" };
    shake
        .send(
            m::ConnectionStart {
                version_major: 0,
                version_minor: 9,
                server_properties: RawTable::new(&properties),
                mechanisms,
                locales: b"en_US",
            }
            .into(),
        )
        .await?;

    let (Authenticated { user, expires_ms }, capabilities, client, client_properties) = shake
        .expect(LOGIN_FRAME_BYTES_MAX, |method| {
            let Method::ConnectionStartOk(start) = method else { return Err(unexpected(&method)) };
            let properties = start.client_properties.decode()?;
            let capabilities = Capabilities::of(&properties);
            let mechanism = start.mechanism.as_str();
            let user = log_in(broker, mechanism, start.response, certificate_login.as_deref(), peer_is_loopback);
            match user {
                Ok(authenticated) => {
                    tell_login(broker, ends, &authenticated.user.name, mechanism, tls, None);
                    Ok((authenticated, capabilities, client_name(&properties), properties))
                }
                Err(refusal) => {
                    if let Refusal::Denied(why, user) = &refusal {
                        tell_login(broker, ends, user, mechanism, tls, Some(&why.to_string()));
                    }
                    Err(refusal.into_error(mechanism, capabilities))
                }
            }
        })
        .await?;

    shake
        .send(
            m::ConnectionTune {
                channel_max: limits.channel_max,
                frame_max: limits.frame_bytes_max,
                heartbeat: limits.heartbeat_s,
            }
            .into(),
        )
        .await?;
    let (frame_bytes_max, channel_max, heartbeat_s) = shake
        .expect(LOGIN_FRAME_BYTES_MAX, |method| {
            let Method::ConnectionTuneOk(tune) = method else { return Err(unexpected(&method)) };
            Ok(agree(limits, &tune).map_err(|failure| failure.of(&method))?)
        })
        .await?;

    let session = shake
        .expect(LOGIN_FRAME_BYTES_MAX, |method| {
            let Method::ConnectionOpen(open) = method else { return Err(unexpected(&method)) };
            let opened = broker.open_session(Arc::clone(&user), open.virtual_host.as_str());
            Ok(opened.map_err(|refused| Failure::new(ReplyCode::NotAllowed, refused.to_string()).of(&method))?)
        })
        .await?;
    shake.send(m::ConnectionOpenOk::default().into()).await?;
    Ok(Agreed {
        session,
        frame_bytes_max,
        channel_max,
        heartbeat_s,
        capabilities,
        client,
        client_properties,
        ends,
        expires_ms,
    })
}

fn unexpected(method: &Method<'_>) -> HandshakeError {
    let text = format!("unexpected method {} during the handshake", method.name());
    Failure::new(ReplyCode::CommandInvalid, text).of(method).into()
}

/// What the server says of itself. Clients look at the product and the version to know RabbitMQ's extensions.
fn server_properties() -> Table {
    let mut capabilities = Table::default();
    for capability in [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ] {
        capabilities.push(capability, true);
    }
    let mut properties = Table::default();
    properties.push("capabilities", Value::Table(capabilities));
    properties.push("cluster_name", "gantry");
    properties.push("copyright", "Licensed under Apache-2.0");
    properties.push("information", "GantryMQ, compatible with RabbitMQ");
    properties.push("platform", concat!("GantryMQ ", env!("CARGO_PKG_VERSION")));
    properties.push("product", "RabbitMQ");
    // The last one to which clients (kombu, and so Celery) send the global prefetch that is supported here.
    properties.push("version", "3.13.7");
    properties
}

impl Capabilities {
    fn of(properties: &Table) -> Self {
        let capabilities = properties.get("capabilities").and_then(Value::as_table);
        let has = |name: &str| {
            capabilities.and_then(|capabilities| capabilities.get(name)).and_then(Value::as_bool).unwrap_or(false)
        };
        Self {
            consumer_cancel_notify: has("consumer_cancel_notify"),
            connection_blocked: has("connection.blocked"),
            authentication_failure_close: has("authentication_failure_close"),
        }
    }
}

/// Longest name of a client in the log, in bytes.
const CLIENT_NAME_BYTES_MAX: usize = 120;

fn client_name(properties: &Table) -> String {
    let part = |name: &str| properties.get(name).and_then(Value::as_str).unwrap_or_default();
    let name = match part("connection_name") {
        "" => format!("{} {}", part("product"), part("version")),
        name => format!("{name} ({} {})", part("product"), part("version")),
    };
    name.chars().filter(|c| !c.is_control()).take(CLIENT_NAME_BYTES_MAX).collect()
}

#[derive(Debug)]
enum Refusal {
    Denied(Denied, String),
    /// The mechanism is none that was offered.
    Mechanism,
    /// The response is not one of the mechanism.
    Malformed,
}

impl Refusal {
    fn into_error(self, mechanism: &str, capabilities: Capabilities) -> HandshakeError {
        let shown: String = mechanism.chars().filter(|c| !c.is_control()).take(32).collect();
        let mechanism = shown.as_str();
        match self {
            Self::Mechanism => {
                let text = format!("unknown authentication mechanism '{mechanism}'");
                Failure::new(ReplyCode::CommandInvalid, text).of(&m::ConnectionStartOk::default().into()).into()
            }
            Self::Denied(why, user) => {
                let user: String = user.chars().filter(|c| !c.is_control()).take(64).collect();
                tracing::warn!(user, mechanism, %why, "login refused");
                refused(mechanism, capabilities)
            }
            Self::Malformed => {
                tracing::warn!(mechanism, "login refused: malformed response");
                refused(mechanism, capabilities)
            }
        }
    }
}

fn refused(mechanism: &str, capabilities: Capabilities) -> HandshakeError {
    // Clients that do not know that a server may say why take a closed connection for a wrong password.
    if !capabilities.authentication_failure_close {
        return HandshakeError::Gone("login refused");
    }
    let text =
        format!("Login was refused using authentication mechanism {mechanism}. For details see the broker logfile.");
    Failure::new(ReplyCode::AccessRefused, text).hard().into()
}

fn log_in(
    broker: &Broker,
    mechanism: &str,
    response: &[u8],
    certificate_login: Option<&str>,
    peer_is_loopback: bool,
) -> Result<Authenticated, Refusal> {
    let by_password = |user: &[u8], password: &[u8]| {
        let user = std::str::from_utf8(user).map_err(|_| Refusal::Malformed)?;
        let user_name = user.to_owned();
        broker.log_in(user, password, peer_is_loopback).map_err(|why| Refusal::Denied(why, user_name))
    };
    match mechanism {
        "PLAIN" => {
            // RFC 4616: an identity to act as, which nobody uses, the user, the password.
            let mut parts = response.splitn(3, |byte| *byte == 0);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(_), Some(user), Some(password)) => by_password(user, password),
                _ => Err(Refusal::Malformed),
            }
        }
        "AMQPLAIN" => {
            let table = RawTable::new(response).decode().map_err(|_| Refusal::Malformed)?;
            let field = |name: &str| match table.get(name) {
                Some(Value::Text(text)) => Ok(text.as_bytes()),
                Some(Value::Binary(bytes)) => Ok(&bytes[..]),
                _ => Err(Refusal::Malformed),
            };
            by_password(field("LOGIN")?, field("PASSWORD")?)
        }
        "EXTERNAL" => match certificate_login {
            Some(name) => match broker.admit(name, peer_is_loopback) {
                Ok(user) => Ok(Authenticated { user, expires_ms: None }),
                Err(why) => Err(Refusal::Denied(why, name.to_owned())),
            },
            None => Err(Refusal::Mechanism),
        },
        _ => Err(Refusal::Mechanism),
    }
}

/// Settles on limits: the client may ask for less than was offered, where 0 means no limit.
fn agree(limits: &Limits, tune: &m::ConnectionTuneOk) -> Result<(u32, u16, u16), Failure> {
    let refuse = |text: String| Err(Failure::new(ReplyCode::NotAllowed, text));
    let shown = |value: u64| if value == 0 { "no limit (0)".to_owned() } else { value.to_string() };
    let offered = u64::from(limits.frame_bytes_max);
    let frame_max = u64::from(tune.frame_max);
    if frame_max != 0 && frame_max < u64::from(FRAME_BYTES_MIN) {
        return refuse(format!(
            "negotiated frame_max = {frame_max} is lower than the minimum allowed value ({FRAME_BYTES_MIN})"
        ));
    }
    if frame_max == 0 || frame_max > offered {
        return refuse(format!(
            "negotiated frame_max = {} is higher than the maximum allowed value ({offered})",
            shown(frame_max)
        ));
    }
    if limits.channel_max != 0 && (tune.channel_max == 0 || tune.channel_max > limits.channel_max) {
        return refuse(format!(
            "negotiated channel_max = {} is higher than the maximum allowed value ({})",
            shown(u64::from(tune.channel_max)),
            limits.channel_max
        ));
    }
    Ok((tune.frame_max, tune.channel_max, tune.heartbeat))
}

impl Failure {
    /// As the method that the client is told.
    pub(crate) fn close_connection<'a>(&self, text: &'a str) -> Method<'a> {
        let (class_id, method_id) = self.method;
        m::ConnectionClose { reply_code: self.code.code(), reply_text: ShortText::cut(text), class_id, method_id }
            .into()
    }
}
