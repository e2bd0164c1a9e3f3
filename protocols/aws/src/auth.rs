//! Who a request comes from: the holder of an access key, anybody on this machine, or nobody in particular.
//!
//! What can be said before the body has come is said then ([`identify`]), because it decides how large the body may be; the
//! signature itself is checked once the body is there ([`Identity::verify`]).

use std::net::IpAddr;
use std::sync::Arc;

use gantry_broker::rights::AccessKey;
use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;
use parking_lot::Mutex;

use crate::call::Caller;
use crate::date;
use crate::error::{Error, faults};
use crate::http::Client;
use crate::settings::Auth;
use crate::sigv4::{Claim, Refused, Signed};

/// The largest body of a client that may be anybody, in bytes.
const ANYBODY_BODY_BYTES_MAX: usize = 64 * 1024;

/// The only service, as scopes of signatures name it.
const SERVICE: &str = "sqs";

/// Who a request says it comes from.
pub(crate) struct Identity<'a> {
    signed: Signed<'a>,
    who: Who<'a>,
    /// Of the signature's scope.
    region: Option<String>,
}

enum Who<'a> {
    /// The holder of this key, if the signature is right.
    Holder(Box<Claim<'a>>, Arc<AccessKey>),
    /// Anybody on this machine, by whatever key.
    Local(Box<str>),
    /// It has not said.
    Nobody,
}

/// What the head of a request says.
///
/// # Errors
/// What it says cannot be true.
pub(crate) fn identify<'a>(client: &Client, head: &'a Parts) -> Result<Identity<'a>, Error> {
    let signed = Signed::of(head);
    let is_open = is_open(client, &head.headers);
    let claim = match Claim::read(signed) {
        Ok(claim) => claim,
        // Whoever is let in anyway may sign as badly as it likes.
        Err(_) if is_open => None,
        Err(error) => return Err(Error::new(&faults::INCOMPLETE_SIGNATURE, error.to_string())),
    };
    let Some(claim) = claim else {
        let who = if is_open { Who::Local(Box::default()) } else { Who::Nobody };
        return Ok(Identity { signed, who, region: None });
    };
    let region = Some(claim.region.clone().into_owned());
    let Some(key) = client.edge.broker.access_key(&claim.key_id) else {
        if is_open {
            return Ok(Identity { signed, who: Who::Local(claim.key_id.as_ref().into()), region });
        }
        return Err(unknown_key());
    };
    claim.check(signed, SERVICE, date::now_s()).map_err(refused)?;
    Ok(Identity { signed, who: Who::Holder(Box::new(claim), key), region })
}

/// Whether the client is let in without proof: it is on this machine and is not a web page, which anybody may have written.
/// A page that comes by a name of its own for this machine says that name as the host.
fn is_open(client: &Client, headers: &HeaderMap) -> bool {
    client.edge.settings.auth == Auth::LoopbackOpen
        && client.is_local
        && !headers.contains_key(ORIGIN)
        && !headers.contains_key("sec-fetch-site")
        && headers.get(HOST).is_none_or(|host| host.to_str().is_ok_and(is_local_host))
}

/// Whether a host is this machine by a name that nobody else can give it: an address, `localhost`, or a name without a dot.
fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let lower = name.to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok() || !name.contains('.') || lower.ends_with(".localhost")
}

impl Identity<'_> {
    /// How large the body may be.
    pub(crate) fn body_bytes_max(&self, client: &Client) -> usize {
        let bytes_max = client.edge.settings.body_bytes_max;
        match self.who {
            Who::Holder(..) | Who::Local(_) => bytes_max,
            Who::Nobody => bytes_max.min(ANYBODY_BODY_BYTES_MAX),
        }
    }

    /// The region that the request is for.
    pub(crate) fn region(&self, client: &Client) -> Arc<str> {
        let region = self.region.as_deref().unwrap_or(&client.edge.region);
        let mut last = client.region.lock();
        if **last != *region {
            *last = Arc::from(region);
        }
        Arc::clone(&last)
    }

    /// Who it is, now that the body has come.
    ///
    /// # Errors
    /// The signature is another one, or its user may not come from there or into no account.
    pub(crate) fn verify(&self, client: &Client, body: &[u8]) -> Result<Arc<Caller>, Error> {
        match &self.who {
            Who::Holder(claim, key) => {
                claim.verify(self.signed, body, &key.secret, &client.edge.keys).map_err(refused)?;
                caller(client, &key.user, &key.id)
            }
            Who::Local(key_id) => caller(client, &client.edge.settings.default_user, key_id),
            Who::Nobody => Ok(nobody(client)),
        }
    }
}

/// The caller of a user, the same one as long as requests come by the same key.
fn caller(client: &Client, user: &str, key_id: &str) -> Result<Arc<Caller>, Error> {
    if let Some(last) = &*client.caller.lock()
        && last.user.as_deref() == Some(user)
        && *last.access_key == *key_id
        && last.is_current()
    {
        return Ok(Arc::clone(last));
    }
    let edge = &client.edge;
    let user = edge.broker.admit(user, client.is_local).map_err(|_denied| unknown_key())?;
    let mut accounts = edge.settings.accounts.iter();
    let Some((account, vhost)) = accounts.find(|(_, vhost)| edge.broker.may_enter(&user.name, vhost)) else {
        return Err(Error::new(&faults::ACCESS_DENIED, format!("User: {} has no account here.", user.name)));
    };
    let session = edge.broker.open_session(Arc::clone(&user), vhost).map_err(|_refused| unknown_key())?;
    let made = Arc::new(Caller {
        user: Some(Arc::from(user.name.as_str())),
        account: Arc::from(&**account),
        arn: format!("arn:aws:iam::{account}:user/{}", user.name).into(),
        access_key: key_id.into(),
        peer: client.peer.ip(),
        is_secure: client.is_secure,
        session: Some(Mutex::new(session)),
    });
    *client.caller.lock() = Some(Arc::clone(&made));
    Ok(made)
}

fn nobody(client: &Client) -> Arc<Caller> {
    Arc::new(Caller {
        user: None,
        account: Arc::from(""),
        arn: Box::default(),
        access_key: Box::default(),
        peer: client.peer.ip(),
        is_secure: client.is_secure,
        session: None,
    })
}

fn unknown_key() -> Error {
    Error::new(&faults::UNRECOGNIZED_CLIENT, "The security token included in the request is invalid.")
}

fn refused(refused: Refused) -> Error {
    Error::new(&faults::INVALID_SIGNATURE, refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_can_give_are_this_machine() {
        for host in
            ["127.0.0.1:4566", "localhost:4566", "localhost", "[::1]:4566", "LOCALHOST", "gantry:4566", "a.localhost:1"]
        {
            assert!(is_local_host(host), "{host}");
        }
        for host in ["evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example:4566", "1.2.3.4.nip.io"] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
