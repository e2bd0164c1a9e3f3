//! From the first byte to a session: CONNECT or STOMP, and CONNECTED.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, BytesMut};
use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Credentials, Stream, poll_read};
use gantry_broker::rights::{Authenticated, Denied};

use crate::Stomp;
use crate::activemq::ClientId;
use crate::client::Agreed;
use crate::codec::{Answer, Command, Decoded, FrameWriter, Headers, Progress, Version, decode};
use crate::destinations::Dialect;
use crate::error::{Failure, VERSIONS};
use crate::heartbeat::Intervals;
use crate::limits::LOGIN_HEADER_BYTES_MAX;
use crate::told::{Ends, tell_login};

/// Who a client that names nobody is, if it comes from this machine.
const ANONYMOUS: &str = "guest";

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The stream ended or failed.
    Io(io::Error),
    /// The client is told why.
    Refused(Failure),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<F: Into<Failure>> From<F> for HandshakeError {
    fn from(failure: F) -> Self {
        Self::Refused(failure.into())
    }
}

/// Agrees with a client on everything. What it is told of it (CONNECTED) is put into `out`, to go with what follows.
pub(crate) async fn shake_hands(
    stomp: &Stomp,
    connection: &mut Connection,
    input: &mut BytesMut,
    out: &mut BytesMut,
) -> Result<(Agreed, Intervals), HandshakeError> {
    let limits = stomp.settings.login_limits();
    let mut progress = Progress::default();
    loop {
        match decode(input, &mut progress, Version::V1_2, &limits)? {
            Decoded::Skipped(bytes) => input.advance(bytes),
            Decoded::Incomplete => read_more(&mut connection.stream, input).await?,
            Decoded::Frame(frame, bytes) => {
                if !matches!(frame.command, Command::Connect | Command::Stomp) {
                    return Err(Failure::hard("Illegal command", "You must log in using CONNECT first").into());
                }
                let agreed = connect(stomp, connection, frame.headers, out)?;
                input.advance(bytes);
                return Ok(agreed);
            }
        }
    }
}

async fn read_more(stream: &mut Box<dyn Stream>, input: &mut BytesMut) -> io::Result<()> {
    let read = std::future::poll_fn(|cx| poll_read(Pin::new(&mut **stream), input, LOGIN_HEADER_BYTES_MAX, cx));
    match read.await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn connect(
    stomp: &Stomp,
    connection: &Connection,
    headers: Headers<'_>,
    out: &mut BytesMut,
) -> Result<(Agreed, Intervals), Failure> {
    let settings = &stomp.settings;
    let version = negotiate(headers.get("accept-version").as_deref().unwrap_or("1.0"))?;
    let headers = headers.of_version(version);
    let who = Claim::of(headers, connection);
    let ends = Ends { peer: connection.peer, local: connection.local };
    let is_tls = connection.tls.is_some();
    let logged_in = who.log_in(&stomp.broker, connection.is_from_this_machine());
    let why = logged_in.as_ref().err().map(ToString::to_string);
    tell_login(&stomp.broker, ends, version, who.name(), is_tls, why.as_deref());
    let Authenticated { user, expires_ms } = logged_in.map_err(|denied| {
        let shown: String = who.name().chars().filter(|c| !c.is_control()).take(64).collect();
        tracing::warn!(user = shown, why = %denied, "login refused");
        match denied {
            Denied::LoopbackOnly => Failure::hard("Bad CONNECT", "non-loopback access denied"),
            _ => Failure::hard("Bad CONNECT", format!("Access refused for user '{}'\n", who.name())),
        }
    })?;
    let heart_beat = headers.get("heart-beat");
    let intervals = Intervals::agreed(heart_beat.as_deref().unwrap_or("0,0"), settings.heart_beat_min_ms)
        .ok_or_else(|| Failure::hard("Processing error", "'heart-beat' is not two numbers of milliseconds\n"))?;
    let host = headers.get("host");
    let vhost = match settings.dialect {
        Dialect::RabbitMq => host.as_deref().unwrap_or(&settings.vhost),
        // There the header has the name of the machine, as the specification suggests.
        Dialect::ActiveMq => {
            host.as_deref().filter(|host| stomp.broker.vhost(host).is_some()).unwrap_or(&settings.vhost)
        }
    };
    let session = stomp.broker.open_session(user, vhost).map_err(|refused| {
        tracing::warn!(why = %refused, "login refused");
        Failure::hard("Bad CONNECT", format!("Virtual host '{vhost}' access denied"))
    })?;

    let client_id = match headers.get("client-id").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) if settings.dialect == Dialect::RabbitMq => Some(ClientId::shared(session.vhost().name(), &id)),
        Some(id) => Some(stomp.client_ids.take(session.vhost().name(), &id).ok_or_else(|| {
            let id = crate::destinations::shown(&id);
            Failure::hard(format!("Client: {id} already connected"), "Another connection has this client-id.\n")
        })?),
    };
    let session_id = session_id()?;
    let mut connected = FrameWriter::new(out, version, Answer::Connected);
    connected.header("server", server(settings.dialect));
    connected.header("session", &*session_id);
    connected.header("heart-beat", format!("{},{}", intervals.send_ms, intervals.receive_ms));
    connected.header("version", version.as_str());
    connected.body(&[]);
    Ok((Agreed { session, version, session_id, ends, client_id, expires_ms }, intervals))
}

/// The highest version that both speak.
fn negotiate(accepted: &str) -> Result<Version, Failure> {
    let spoken = [Version::V1_2, Version::V1_1, Version::V1_0];
    let mut common =
        spoken.into_iter().filter(|version| accepted.split(',').any(|text| text.trim() == version.as_str()));
    common.next().ok_or_else(|| Failure::hard("Version mismatch", format!("Supported versions are {VERSIONS}\n")))
}

/// What the server calls itself: what clients know first, and then what it is.
const fn server(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::RabbitMq => concat!("RabbitMQ/3.13.7 (GantryMQ ", env!("CARGO_PKG_VERSION"), ")"),
        Dialect::ActiveMq => concat!("ActiveMQ/5.18.6 (GantryMQ ", env!("CARGO_PKG_VERSION"), ")"),
    }
}

fn session_id() -> Result<Box<str>, Failure> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|_| Failure::hard("Processing error", "the system has no random numbers to give\n"))?;
    Ok(format!("session-{}", URL_SAFE_NO_PAD.encode(random)).into())
}

/// Who a client says that it is.
enum Claim<'a> {
    /// By what its CONNECT says. A token in place of the passcode says for itself whose it is, and needs no login.
    Headers { login: Cow<'a, str>, passcode: Cow<'a, str> },
    /// By what came before its first byte.
    Before(&'a Credentials),
    /// By its certificate.
    Certificate(&'a str),
    /// It names nobody.
    Nobody,
}

impl<'a> Claim<'a> {
    fn of(headers: Headers<'a>, connection: &'a Connection) -> Self {
        let (login, passcode) = (headers.get("login"), headers.get("passcode"));
        if login.is_some() || passcode.is_some() {
            return Self::Headers { login: login.unwrap_or_default(), passcode: passcode.unwrap_or_default() };
        }
        if let Some(credentials) = &connection.credentials {
            return Self::Before(credentials);
        }
        let certificate = connection.tls.as_ref().and_then(|tls| tls.certificate.as_ref()?.login.as_deref());
        certificate.map_or(Self::Nobody, Self::Certificate)
    }

    fn name(&self) -> &str {
        match self {
            Self::Headers { login, .. } => login,
            Self::Before(credentials) => &credentials.user,
            Self::Certificate(login) => login,
            Self::Nobody => ANONYMOUS,
        }
    }

    fn log_in(&self, broker: &Broker, is_from_this_machine: bool) -> Result<Authenticated, Denied> {
        let here = is_from_this_machine;
        let admit = |name: &str| broker.admit(name, here).map(|user| Authenticated { user, expires_ms: None });
        match self {
            Self::Headers { login, passcode } => broker.log_in(login, passcode.as_bytes(), here),
            Self::Before(credentials) => broker.log_in(&credentials.user, credentials.password.as_bytes(), here),
            Self::Certificate(login) => admit(login),
            Self::Nobody if here => admit(ANONYMOUS),
            Self::Nobody => Err(Denied::LoopbackOnly),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_that_both_speak_is_spoken() {
        for (accepted, version) in [
            ("1.0", Some(Version::V1_0)),
            ("1.0,1.1", Some(Version::V1_1)),
            ("1.2,1.1,1.0", Some(Version::V1_2)),
            ("1.1, 1.2", Some(Version::V1_2)),
            ("1.3,1.1", Some(Version::V1_1)),
            ("2.0", None),
            ("", None),
        ] {
            assert_eq!(negotiate(accepted).ok(), version, "{accepted}");
        }
    }

    #[test]
    fn no_session_is_called_as_another_one() {
        assert_ne!(session_id().unwrap(), session_id().unwrap());
    }
}
