//! Who a request comes from: the holder of an access key, anybody on this machine, or nobody in particular.
//!
//! What can be said before the body has come is said then ([`identify`]), because it decides how large the body may be; the
//! signature itself is checked once the body is there ([`Identity::verify`]).

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use gantry_broker::rights::AccessKey;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN, REFERER, USER_AGENT};
use hyper::http::request::Parts;
use parking_lot::Mutex;

use crate::body::Limits;
use crate::call::Caller;
use crate::date;
use crate::error::{Error, faults};
use crate::http::Client;
use crate::service::Service;
use crate::settings::Auth;
use crate::sigv4::{Claim, Refused, Signed};

/// The largest body of a client that may be anybody, in bytes.
const ANYBODY_BODY_BYTES_MAX: usize = 64 * 1024;

/// Who a request says it comes from.
pub(crate) struct Identity<'a> {
    signed: Signed<'a>,
    who: Who<'a>,
    /// Of the signature's scope.
    region: Option<Cow<'a, str>>,
    /// Of the signature's scope, too; none where that is one that is not here, which only somebody may say who is let in anyway.
    service: Option<Service>,
}

enum Who<'a> {
    /// The holder of this key, if the signature is right.
    Holder {
        claim: Box<Claim<'a>>,
        key: Arc<AccessKey>,
        /// It is, if the body is the one that the head speaks of.
        is_head_verified: bool,
    },
    /// Anybody on this machine, by whatever key.
    Local(Cow<'a, str>),
    /// It has not said.
    Nobody,
}

/// What the head of a request says. `target` is the service that it is for, where the head says so.
///
/// # Errors
/// What it says cannot be true.
pub(crate) fn identify<'a>(client: &Client, head: &'a Parts, target: Option<Service>) -> Result<Identity<'a>, Error> {
    let signed = Signed::of(head);
    let is_open = is_open(client, head);
    if is_open && let Some(identity) = local(client, signed) {
        return Ok(identity);
    }
    let claim = match Claim::read(signed) {
        Ok(claim) => claim,
        // Whoever is let in anyway may sign as badly as it likes.
        Err(_) if is_open => None,
        Err(error) => return Err(Error::new(&faults::INCOMPLETE_SIGNATURE, error.to_string())),
    };
    let Some(claim) = claim else {
        let who = if is_open { Who::Local(Cow::default()) } else { Who::Nobody };
        return Ok(Identity { signed, who, region: None, service: None });
    };
    let region = Some(claim.region.clone());
    let service = Service::of_scope(&claim.service);
    let Some(key) = client.edge.broker.access_key(&claim.key_id) else {
        if is_open {
            return Ok(Identity { signed, who: Who::Local(claim.key_id), region, service });
        }
        return Err(unknown_key());
    };
    let service = target.or(service).unwrap_or(Service::Sqs);
    claim.check(signed, service.name(), date::now_s()).map_err(refused)?;
    // The sooner the better: until then it may be anybody who knows of a key.
    let is_head_verified = claim.verify_head(signed, &key.secret, &client.edge.keys).map_err(refused)?;
    let who = Who::Holder { claim: Box::new(claim), key, is_head_verified };
    Ok(Identity { signed, who, region, service: Some(service) })
}

/// Somebody on this machine who uses a key that there is not: nothing of the signature counts but what it says of the key.
fn local<'a>(client: &Client, signed: Signed<'a>) -> Option<Identity<'a>> {
    let header = signed.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (key_id, region, service) = Claim::key_and_scope(header)?;
    if client.edge.broker.access_key(key_id).is_some() {
        return None;
    }
    let service = Service::of_scope(service);
    Some(Identity { signed, who: Who::Local(key_id.into()), region: Some(region.into()), service })
}

/// Whether a header says that its request was passed on by a proxy, or asked for by a web page.
fn says_elsewhere(name: &str) -> bool {
    name == ORIGIN
        || name == REFERER
        || matches!(name, "sec-fetch-site" | "forwarded" | "via" | "x-real-ip")
        || name.starts_with("x-forwarded-")
}

/// Whether the client is let in without proof: it is on this machine, speaks for nobody else as a proxy does, and is not a web
/// page, which anybody may have written. A page that comes by a name of its own for this machine says that name as the host.
fn is_open(client: &Client, head: &Parts) -> bool {
    client.edge.settings.auth == Auth::LoopbackOpen && is_near(client, head)
}

/// Whether the client is on this machine, and nobody elsewhere has it ask, as far as the head of its request tells.
pub(crate) fn is_near(client: &Client, head: &Parts) -> bool {
    let headers = &head.headers;
    client.is_local
        && !headers.keys().any(|name| says_elsewhere(name.as_str()))
        && !is_by_browser(head)
        && headers.get(HOST).is_none_or(|host| host.to_str().is_ok_and(is_local_host))
}

/// Whether a browser asks for what a page has linked to, such as an image, which may be without a word of where from. Celery's
/// HTTP client calls itself nearly so.
fn is_by_browser(head: &Parts) -> bool {
    let agent = head.headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
    head.method == Method::GET && agent.starts_with(b"Mozilla/") && !agent.ends_with(b"pycurl)")
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
    /// How large the body may be, and how slow.
    pub(crate) fn limits<'a>(&self, client: &'a Client) -> Limits<'a> {
        let settings = &client.edge.settings;
        let (bytes_max, unverified) = match self.who {
            Who::Local(_) | Who::Holder { is_head_verified: true, .. } => (settings.body_bytes_max, None),
            Who::Holder { .. } => (settings.body_bytes_max, Some(&client.edge.unverified)),
            Who::Nobody => (settings.body_bytes_max.min(ANYBODY_BODY_BYTES_MAX), None),
        };
        Limits { bytes_max, step: settings.handshake_timeout, unverified }
    }

    /// The service that the request is signed for.
    pub(crate) fn service(&self) -> Option<Service> {
        self.service
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
            Who::Holder { claim, key, is_head_verified } => {
                if *is_head_verified {
                    claim.verify_body(self.signed, body)
                } else {
                    claim.verify(self.signed, body, &key.secret, &client.edge.keys)
                }
                .map_err(refused)?;
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
        // A queue's policy may let in even such a one.
        return Ok(Arc::new(without_account(client, &user.name, key_id)));
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

/// Somebody who belongs to no account. Found out anew for each request: it may be given one.
fn without_account(client: &Client, user: &str, key_id: &str) -> Caller {
    Caller {
        user: Some(Arc::from(user)),
        account: Arc::from(""),
        arn: format!("arn:aws:iam:::user/{user}").into(),
        access_key: key_id.into(),
        peer: client.peer.ip(),
        is_secure: client.is_secure,
        session: None,
    }
}

fn nobody(client: &Client) -> Arc<Caller> {
    let caller = without_account(client, "", "");
    Arc::new(Caller { user: None, arn: Box::default(), ..caller })
}

/// What is said of a key that there is not.
pub(crate) fn unknown_key() -> Error {
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
