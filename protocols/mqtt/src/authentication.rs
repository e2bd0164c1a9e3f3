//! Who a client is: by name and password or token, by certificate, by what came before its first byte, or by SCRAM over AUTH (4.12).

use std::sync::Arc;

use gantry_broker::Broker;
use gantry_broker::protocol::Credentials;
use gantry_broker::rights::{Authenticated, Denied, User};

use crate::codec::packet::Connect;
use crate::codec::reason::Reason;
use crate::error::Failure;
use crate::scram::{self, Scram, ScramError};

/// Who a client without a name is, if it comes from this machine.
const ANONYMOUS: &str = "guest";

/// What is known of a client when it says who it is.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The user that its certificate stands for.
    pub(crate) certificate_login: Option<&'a str>,
    /// What came before its first byte.
    pub(crate) credentials: Option<&'a Credentials>,
    /// It may do what only clients on this machine may.
    pub(crate) is_from_this_machine: bool,
    /// The virtual host of those that name none.
    pub(crate) vhost: &'a str,
}

/// A client by its name: for logs and events, before it is known to be who it says.
pub(crate) fn claimed<'a>(connect: &Connect<'a>, origin: Origin<'a>) -> &'a str {
    connect
        .user_name
        .or(origin.credentials.map(|credentials| credentials.user.as_str()))
        .or(origin.certificate_login)
        .unwrap_or(ANONYMOUS)
}

/// As RabbitMQ: the last colon counts, since a virtual host may have one in its name and a user may not.
fn split<'a>(name: &'a str, vhost: &'a str) -> (&'a str, &'a str) {
    name.rsplit_once(':').unwrap_or((vhost, name))
}

/// Who the client is and until when, and in which virtual host.
pub(crate) fn log_in<'a>(
    broker: &Broker,
    connect: &Connect<'a>,
    origin: Origin<'a>,
) -> Result<(Authenticated, &'a str), Failure> {
    let here = origin.is_from_this_machine;
    let by_password = |name: &'a str, password: &[u8]| {
        let (vhost, name) = split(name, origin.vhost);
        (name, broker.log_in(name, password, here), vhost)
    };
    let admit = |name: &str| broker.admit(name, here).map(|user| Authenticated { user, expires_ms: None });
    let (name, result, vhost) = match (connect.user_name, connect.password) {
        (Some(name), password) => by_password(name, password.unwrap_or_default()),
        // A token says for itself whose it is.
        (None, Some(password)) => by_password("", password),
        (None, None) => match (origin.credentials, origin.certificate_login) {
            (Some(credentials), _) => by_password(&credentials.user, credentials.password.as_bytes()),
            (None, Some(name)) => (name, admit(name), origin.vhost),
            (None, None) if here => (ANONYMOUS, admit(ANONYMOUS), origin.vhost),
            (None, None) => return Err(Failure::new(Reason::NOT_AUTHORIZED, "a user name is needed")),
        },
    };
    let authenticated = result.map_err(|denied| refused(name, &denied))?;
    Ok((authenticated, vhost))
}

fn refused(name: &str, denied: &Denied) -> Failure {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    tracing::warn!(user = shown, why = %denied, "login refused");
    Failure::from(*denied)
}

/// An enhanced authentication that is over, or under way once more (4.12.1).
#[derive(Debug)]
pub(crate) struct Authentication {
    /// What the client has said that it is called, its virtual host included.
    name: String,
    is_from_this_machine: bool,
    again: Option<Scram>,
}

impl Authentication {
    /// The only method there is.
    pub(crate) const METHOD: &'static str = scram::METHOD;

    /// The client begins.
    ///
    /// # Errors
    /// What it says is none of the method.
    pub(crate) fn begin(broker: &Broker, data: Option<&[u8]>) -> Result<(Scram, Vec<u8>), Failure> {
        let data = data.ok_or_else(|| Failure::new(Reason::NOT_AUTHORIZED, "the client has to begin"))?;
        Scram::start(data, |name| broker.scram(split(name, "").1)).map_err(|error| failed(&error))
    }

    /// The client gives its proof. Who it is, in which virtual host, and the last word of the conversation.
    ///
    /// # Errors
    /// It is not who it says, or may not come in.
    pub(crate) fn finish(
        broker: &Broker,
        scram: Scram,
        data: Option<&[u8]>,
        origin: Origin<'_>,
    ) -> Result<(Self, Arc<User>, String, Vec<u8>), Failure> {
        let data = data.ok_or_else(|| Failure::new(Reason::NOT_AUTHORIZED, "the proof is missing"))?;
        let (name, last) = scram.finish(data).map_err(|error| failed(&error))?;
        let (vhost, user) = split(&name, origin.vhost);
        let here = origin.is_from_this_machine;
        let user = broker.admit(user, here).map_err(|denied| refused(&name, &denied))?;
        let vhost = vhost.to_owned();
        Ok((Self { name, is_from_this_machine: here, again: None }, user, vhost, last))
    }

    /// The client begins once more; what it is asked.
    ///
    /// # Errors
    /// As [`Authentication::begin`].
    pub(crate) fn begin_again(&mut self, broker: &Broker, data: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let (scram, first) = Self::begin(broker, data)?;
        self.again = Some(scram);
        Ok(first)
    }

    /// The client gives its proof once more; the last word.
    ///
    /// # Errors
    /// It has not begun, or is somebody else now.
    pub(crate) fn finish_again(&mut self, broker: &Broker, data: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
        let scram = self.again.take().ok_or(Failure::protocol("an answer to nothing that was asked"))?;
        let data = data.ok_or_else(|| Failure::new(Reason::NOT_AUTHORIZED, "the proof is missing"))?;
        let (name, last) = scram.finish(data).map_err(|error| failed(&error))?;
        if name != self.name {
            return Err(Failure::new(Reason::NOT_AUTHORIZED, "a session does not change its user"));
        }
        let user = split(&name, "").1;
        broker.admit(user, self.is_from_this_machine).map_err(|denied| refused(&name, &denied))?;
        Ok(last)
    }
}

fn failed(error: &ScramError) -> Failure {
    tracing::warn!(why = %error, "login refused");
    match error {
        ScramError::Random => Failure::new(Reason::SERVER_UNAVAILABLE, "no random numbers"),
        ScramError::Malformed(_) | ScramError::ChannelBinding | ScramError::OtherIdentity | ScramError::Proof => {
            Failure::new(Reason::NOT_AUTHORIZED, "authentication failed")
        }
    }
}
