//! From the first byte to a session: CONNECT and CONNACK (3.1, 3.2), and AUTH in between (4.12).

use std::io;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use gantry_broker::protocol::{Connection, Stream, poll_read};
use gantry_broker::rights::{Authenticated, User};
use gantry_broker::{Broker, Inbox, SharedCredit};
use tokio::io::AsyncWriteExt;

use crate::Mqtt;
use crate::authentication::{Authentication, Origin, claimed, log_in};
use crate::client::Agreed;
use crate::codec::packet::{Auth, ConnAck, ConnAckProperties, Connect, NO_PROPERTIES, Packet, Version};
use crate::codec::reason::Reason;
use crate::codec::{Settings, decode, decode_connect, encode, encode_within};
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
    /// The client is told by a CONNACK of its version, which has at most so many bytes.
    Refused(Failure, Version, u32),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Agrees with a client on everything, up to CONNACK.
pub(crate) async fn shake_hands(
    mqtt: &Mqtt,
    connection: &mut Connection,
    input: &mut BytesMut,
) -> Result<Agreed, HandshakeError> {
    let is_from_this_machine = connection.is_from_this_machine();
    let stream = &mut connection.stream;
    let packet_bytes = loop {
        match decode_connect(input, LOGIN_BYTES_MAX) {
            Ok(Some((_, bytes))) => break bytes,
            Ok(None) => read_more(stream, input).await?,
            Err(error) => {
                let what = error.what;
                // Before 5.0 there is a return code for two things, and what is malformed is closed without one (3.1.1, 3.1.4-1).
                let has_code = [Reason::UNSUPPORTED_PROTOCOL_VERSION, Reason::CLIENT_IDENTIFIER_NOT_VALID];
                let is_told = |version: &Version| *version == Version::V5 || has_code.contains(&error.reason);
                let version = error.version.filter(is_told).ok_or(HandshakeError::Gone(what))?;
                return Err(HandshakeError::Refused(error.into(), version, u32::MAX));
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
    let packet_bytes_max = connect.properties.packet_bytes_max.unwrap_or(u32::MAX);
    let refused = |failure: Failure| HandshakeError::Refused(failure, version, packet_bytes_max);
    let certificate_login = connection.tls.as_ref().and_then(|tls| tls.certificate.as_ref()?.login.as_deref());
    let origin = Origin {
        certificate_login,
        credentials: connection.credentials.as_ref(),
        is_from_this_machine,
        vhost: &mqtt.settings.vhost,
    };
    let ends = Ends { peer: connection.peer, local: connection.local };

    let assigned = client_id(&connect).map_err(refused)?;
    let client_id: Box<str> = match &assigned {
        Some(assigned) => assigned.clone(),
        None => connect.client_id.into(),
    };
    let mut last_word = None;
    let mut authentication = None;
    let logged_in = match connect.properties.authentication_method {
        None => log_in(&mqtt.broker, &connect, origin).map(|(who, vhost)| (who, vhost.to_owned())),
        Some(method) => {
            let by_auth = authenticate(&mqtt.broker, method, &connect, origin, stream, input).await?;
            by_auth.map(|(authenticated, user, vhost, last)| {
                authentication = Some(Box::new(authenticated));
                last_word = Some(last);
                (Authenticated { user, expires_ms: None }, vhost)
            })
        }
    };
    let why = logged_in.as_ref().err().map(|failure| &*failure.what);
    tell_login(&mqtt.broker, ends, version, claimed(&connect, origin), connection.tls.is_some(), why);
    let (Authenticated { user, expires_ms }, vhost) = logged_in.map_err(refused)?;
    let opened = mqtt.broker.open_session(user, &vhost);
    let mut session = opened.map_err(|error| refused(error.into()))?;

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
            // 4.12.0-5
            authentication_method: last_word.as_ref().map(|_| Authentication::METHOD),
            authentication_data: last_word.as_deref(),
            ..properties
        };
    }
    let mut answer = ConnAck {
        session_present: present,
        reason: Reason::SUCCESS,
        return_code: connect_return(Reason::SUCCESS),
        properties,
    };
    let mut out = BytesMut::new();
    let fits = encode_within(&Packet::ConnAck(Box::new(answer.clone())), version, packet_bytes_max, &mut out) || {
        // The only part that the client can do without.
        answer.properties.response_information = None;
        encode_within(&Packet::ConnAck(Box::new(answer)), version, packet_bytes_max, &mut out)
    };
    if !fits {
        return Err(HandshakeError::Gone("CONNACK is larger than the client takes"));
    }
    write(&mut connection.stream, &out).await?;
    Ok(Agreed {
        held,
        inbox,
        credit,
        version,
        client_id,
        ends,
        keep_alive_s,
        packet_bytes_max,
        aliases_out_max: asked.topic_alias_max.unwrap_or(0).min(mqtt.settings.topic_alias_max),
        authentication,
        expires_ms,
        session,
    })
}

/// The conversation by AUTH (4.12): who the client is, in which virtual host, and the last word, which CONNACK says.
async fn authenticate(
    broker: &Broker,
    method: &str,
    connect: &Connect<'_>,
    origin: Origin<'_>,
    stream: &mut Box<dyn Stream>,
    input: &mut BytesMut,
) -> Result<Result<(Authentication, Arc<User>, String, Vec<u8>), Failure>, HandshakeError> {
    if method != Authentication::METHOD {
        return Ok(Err(Failure::new(Reason::BAD_AUTHENTICATION_METHOD, "no such authentication method")));
    }
    let (scram, first) = match Authentication::begin(broker, connect.properties.authentication_data) {
        Ok(begun) => begun,
        Err(failure) => return Ok(Err(failure)),
    };
    let question = Auth {
        reason: Reason::CONTINUE_AUTHENTICATION,
        method: Some(method),
        data: Some(&first),
        reason_string: None,
        user_properties: NO_PROPERTIES,
    };
    let mut out = BytesMut::new();
    encode(&Packet::Auth(question), Version::V5, &mut out);
    write(stream, &out).await?;
    let settings = Settings { version: Version::V5, packet_bytes_max: LOGIN_BYTES_MAX };
    let (result, bytes) = loop {
        match decode(input, settings) {
            Ok(None) => {}
            Ok(Some((Packet::Auth(auth), bytes))) => {
                // 4.12.0-2, 4.12.0-3
                if auth.reason != Reason::CONTINUE_AUTHENTICATION || auth.method != Some(method) {
                    return Ok(Err(Failure::protocol("not the AUTH that was asked for")));
                }
                break (Authentication::finish(broker, scram, auth.data, origin), bytes);
            }
            Ok(Some((Packet::Disconnect(_), _))) => return Err(HandshakeError::Gone("it has taken leave")),
            // 4.12.0-1 and 3.1.2-30
            Ok(Some(_)) => return Ok(Err(Failure::protocol("not the AUTH that was asked for"))),
            Err(error) => return Ok(Err(error.into())),
        }
        read_more(stream, input).await?;
    };
    input.advance(bytes);
    Ok(result)
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
pub(crate) async fn refuse(
    failure: &Failure,
    version: Version,
    packet_bytes_max: u32,
    stream: &mut Box<dyn Stream>,
) -> io::Result<()> {
    let answer = |reason_string| {
        Packet::ConnAck(Box::new(ConnAck {
            session_present: false,
            reason: failure.reason,
            return_code: connect_return(failure.reason),
            properties: ConnAckProperties { reason_string, ..ConnAckProperties::default() },
        }))
    };
    let reason_string = Some(&*failure.what).filter(|what| !what.is_empty() && version == Version::V5);
    let mut out = BytesMut::new();
    // 3.2.2-19; what does not fit without the words either is not sent (3.1.2-24).
    let _ = encode_within(&answer(reason_string), version, packet_bytes_max, &mut out)
        || encode_within(&answer(None), version, packet_bytes_max, &mut out);
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

/// The keep-alive that holds, in seconds (3.2.2.3.14). Before 5.0 there is no way to tell the client of another one.
fn keep_alive(connect: &Connect<'_>, max_s: u16) -> u16 {
    let asked_s = connect.keep_alive_s;
    if connect.version != Version::V5 || max_s == 0 || asked_s > 0 && asked_s <= max_s { asked_s } else { max_s }
}
