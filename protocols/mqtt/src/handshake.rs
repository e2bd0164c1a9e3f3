//! From the first byte to a session: CONNECT and CONNACK (3.1, 3.2), and AUTH in between (4.12).

use std::io;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use gantry_broker::protocol::{Connection, Stream, poll_read};
use gantry_broker::rights::User;
use gantry_broker::{Broker, Inbox, SharedCredit};
use tokio::io::AsyncWriteExt;

use crate::Mqtt;
use crate::client::Agreed;
use crate::codec::packet::{ConnAck, ConnAckProperties, Connect, Packet, Version};
use crate::codec::reason::Reason;
use crate::codec::{decode_connect, encode};
use crate::error::{Failure, connect_return};
use crate::limits::{CLIENT_ID_BYTES_MAX, INBOX_BYTES_MAX, LOGIN_BYTES_MAX};
use crate::sessions::{EXPIRY_NEVER, OpenError, OpenRequest, Opened, Will};
use crate::told::{Ends, tell_login};

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The stream ended or failed.
    Io(io::Error),
    /// The client is told nothing.
    Gone(&'static str),
    /// The client is told by a CONNACK of its version.
    Refused(Failure, Version),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// How a client has shown who it is, by AUTH: it may do so again.
#[derive(Debug)]
pub(crate) struct Authentication {
    pub(crate) method: Box<str>,
}

/// Who a client without a name is, if it comes from this machine.
const ANONYMOUS: &str = "guest";

/// Agrees with a client on everything, up to CONNACK.
pub(crate) async fn shake_hands(
    mqtt: &Mqtt,
    connection: &mut Connection,
    input: &mut BytesMut,
) -> Result<Agreed, HandshakeError> {
    let stream = &mut connection.stream;
    let packet_bytes = loop {
        match decode_connect(input, LOGIN_BYTES_MAX) {
            Ok(Some((_, bytes))) => break bytes,
            Ok(None) => read_more(stream, input).await?,
            Err(error) => {
                let what = error.what;
                let version = error.version.ok_or(HandshakeError::Gone(what))?;
                return Err(HandshakeError::Refused(error.into(), version));
            }
        }
    };
    // What follows it is for the session.
    let packet = input.split_to(packet_bytes);
    let connect = match decode_connect(&packet, LOGIN_BYTES_MAX) {
        Ok(Some((connect, _))) => connect,
        _ => return Err(HandshakeError::Gone("CONNECT cannot be read twice")),
    };
    let version = connect.version;
    let refused = |failure: Failure| HandshakeError::Refused(failure, version);
    let certificate_login = connection.tls.as_ref().and_then(|tls| tls.certificate.as_ref()?.login.as_deref());
    let peer_is_loopback = connection.peer.ip().is_loopback();
    let ends = Ends { peer: connection.peer, local: connection.local };

    if connect.properties.authentication_method.is_some() {
        return Err(refused(Failure::new(Reason::BAD_AUTHENTICATION_METHOD, "no such authentication method")));
    }
    let assigned = client_id(&connect).map_err(refused)?;
    let client_id: Box<str> = match &assigned {
        Some(assigned) => assigned.clone(),
        None => connect.client_id.into(),
    };
    let by = Login { connect: &connect, certificate_login, peer_is_loopback, vhost: &mqtt.settings.vhost };
    let logged_in = log_in(&mqtt.broker, &by);
    let shown = connect.user_name.or(certificate_login).unwrap_or(ANONYMOUS);
    let why = logged_in.as_ref().err().map(|failure| &*failure.what);
    tell_login(&mqtt.broker, ends, version, shown, connection.tls.is_some(), why);
    let (user, vhost) = logged_in.map_err(refused)?;
    let mut session =
        mqtt.broker.open_session(user, vhost).map_err(|error| HandshakeError::Refused(error.into(), version))?;

    let asked = &connect.properties;
    let receive_max = asked.receive_max.unwrap_or(NonZeroU16::MAX).min(mqtt.settings.receive_max);
    let expiry_asked_s = match version {
        Version::V5 => asked.session_expiry_s.unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => EXPIRY_NEVER,
    };
    let inbox = Inbox::new(INBOX_BYTES_MAX);
    let credit = SharedCredit::new(i64::from(receive_max.get()));
    let vhost = Arc::clone(session.vhost());
    let request = OpenRequest {
        session: &mut session,
        client_id: &client_id,
        clean_start: connect.clean_start,
        expiry_s: expiry_asked_s,
        will: connect.will.as_ref().map(|will| Will::new(will, version)),
        inbox: Arc::clone(&inbox),
        credit: Arc::clone(&credit),
    };
    let opened = mqtt.sessions.open(&vhost, request).await;
    let Opened { held, present, expiry_s } = opened.map_err(|error| match error {
        OpenError::TakenOver => HandshakeError::Gone("a later connection of this client has come"),
        OpenError::Busy => refused(Failure::new(Reason::SERVER_BUSY, error.to_string())),
        OpenError::Broker(error) => refused(error.into()),
    })?;

    let keep_alive_s = keep_alive(&connect, mqtt.settings.keep_alive_max_s);
    let response_information = format!("response/{client_id}");
    let mut properties = ConnAckProperties::default();
    if version == Version::V5 {
        let ours = mqtt.settings.receive_max;
        properties = ConnAckProperties {
            session_expiry_s: (expiry_s != expiry_asked_s).then_some(expiry_s),
            receive_max: (ours != NonZeroU16::MAX).then_some(ours),
            packet_bytes_max: Some(mqtt.settings.packet_bytes_max),
            assigned_client_id: assigned.as_deref(),
            topic_alias_max: Some(mqtt.settings.topic_alias_max).filter(|max| *max > 0),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            response_information: asked
                .request_response_information
                .filter(|asked| *asked)
                .map(|_| response_information.as_str()),
            ..properties
        };
    }
    let answer = ConnAck {
        session_present: present,
        reason: Reason::SUCCESS,
        return_code: connect_return(Reason::SUCCESS),
        properties,
    };
    let mut out = BytesMut::new();
    encode(&Packet::ConnAck(Box::new(answer)), version, &mut out);
    write(&mut connection.stream, &out).await?;
    Ok(Agreed {
        held,
        inbox,
        credit,
        version,
        client_id,
        ends,
        keep_alive_s,
        problem_information: asked.request_problem_information.unwrap_or(true),
        packet_bytes_max: asked.packet_bytes_max.unwrap_or(u32::MAX),
        aliases_out_max: asked.topic_alias_max.unwrap_or(0).min(mqtt.settings.topic_alias_max),
        authentication: None,
        session,
    })
}

async fn read_more(stream: &mut Box<dyn Stream>, input: &mut BytesMut) -> io::Result<()> {
    let read = std::future::poll_fn(|cx| poll_read(Pin::new(&mut **stream), input, LOGIN_BYTES_MAX as usize, cx));
    match read.await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn write(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Tells a client why it is refused, in the form that it can read.
pub(crate) async fn refuse(failure: &Failure, version: Version, stream: &mut Box<dyn Stream>) -> io::Result<()> {
    let reason_string = Some(&*failure.what).filter(|what| !what.is_empty() && version == Version::V5);
    let answer = ConnAck {
        session_present: false,
        reason: failure.reason,
        return_code: connect_return(failure.reason),
        properties: ConnAckProperties { reason_string, ..ConnAckProperties::default() },
    };
    let mut out = BytesMut::new();
    encode(&Packet::ConnAck(Box::new(answer)), version, &mut out);
    write(stream, &out).await
}

/// The id that a client without one is given; none where it has one.
fn client_id(connect: &Connect<'_>) -> Result<Option<Box<str>>, Failure> {
    let refuse = |what: &'static str| Err(Failure::new(Reason::CLIENT_IDENTIFIER_NOT_VALID, what));
    if connect.client_id.len() > CLIENT_ID_BYTES_MAX {
        return refuse("the client identifier is too long");
    }
    if !connect.client_id.is_empty() {
        return Ok(None);
    }
    match connect.version {
        // 3.1.3-6 and 7
        Version::V5 => {}
        // 3.1.3-8 of 3.1.1
        Version::V311 if connect.clean_start => {}
        Version::V311 => return refuse("a session that is kept needs a client identifier"),
        // It has 1 to 23 characters there; more do no harm.
        Version::V31 => return refuse("no client identifier"),
    }
    let mut random = [0_u8; 16];
    // Whoever guesses it could take the session over.
    getrandom::fill(&mut random)
        .map_err(|_| Failure::new(Reason::SERVER_UNAVAILABLE, "the system has no randomness"))?;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(format!("auto-{hex}").into()))
}

/// What the client says of who it is.
struct Login<'a> {
    connect: &'a Connect<'a>,
    certificate_login: Option<&'a str>,
    peer_is_loopback: bool,
    /// That of clients that name none.
    vhost: &'a str,
}

/// Who the client is, and in which virtual host.
fn log_in<'a>(broker: &Broker, by: &Login<'a>) -> Result<(Arc<User>, &'a str), Failure> {
    let Login { connect, certificate_login, peer_is_loopback, vhost } = *by;
    let (name, result, vhost) = match (connect.user_name, connect.password) {
        (Some(name), password) => {
            // As RabbitMQ: the last colon counts, since a virtual host may have one in its name and a user may not.
            let (vhost, name) = name.rsplit_once(':').unwrap_or((vhost, name));
            (name, broker.authenticate(name, password.unwrap_or_default(), peer_is_loopback), vhost)
        }
        // A token says for itself whose it is.
        (None, Some(password)) => ("", broker.authenticate("", password, peer_is_loopback), vhost),
        (None, None) => match certificate_login {
            Some(name) => (name, broker.admit(name, peer_is_loopback), vhost),
            None if peer_is_loopback => (ANONYMOUS, broker.admit(ANONYMOUS, true), vhost),
            None => return Err(Failure::new(Reason::NOT_AUTHORIZED, "a user name is needed")),
        },
    };
    let user = result.map_err(|denied| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        tracing::warn!(user = shown, why = %denied, "login refused");
        Failure::from(denied)
    })?;
    Ok((user, vhost))
}

/// The keep-alive that holds, in seconds (3.2.2.3.14). Before 5.0 there is no way to tell the client of another one.
fn keep_alive(connect: &Connect<'_>, max_s: u16) -> u16 {
    let asked_s = connect.keep_alive_s;
    if connect.version != Version::V5 || max_s == 0 || asked_s > 0 && asked_s <= max_s { asked_s } else { max_s }
}
