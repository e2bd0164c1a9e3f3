//! What an action knows of who calls it.

use std::net::IpAddr;
use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::{Kind, Session, VirtualHost};
use hyper::header::HeaderValue;
use parking_lot::Mutex;

use crate::Edge;
use crate::arn::Arn;
use crate::error::{Error, faults};
use crate::request_id::RequestId;

/// One request for an action.
pub struct Call {
    /// The broker, and what services keep beside it.
    pub edge: Arc<Edge>,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The region that the request is signed for, or the configured one.
    pub region: Arc<str>,
    /// The name of this request.
    pub request_id: RequestId,
    /// The header `host`, for URLs that come back to where the client is.
    pub(crate) host: HeaderValue,
}

/// Who calls. The same as long as a connection's requests have the same key.
pub struct Caller {
    /// The user's name; none for somebody who has not said who it is.
    pub user: Option<Arc<str>>,
    /// The account that the user belongs to, of 12 digits.
    pub account: Arc<str>,
    /// `arn:aws:iam::<account>:user/<name>`; empty for nobody.
    pub arn: Box<str>,
    /// The access key that was used; empty where there was none.
    pub access_key: Box<str>,
    /// Where the client is.
    pub peer: IpAddr,
    /// Whether it came over TLS.
    pub is_secure: bool,
    pub(crate) session: Option<Mutex<Session>>,
}

impl Caller {
    /// Whether the user is still there.
    pub(crate) fn is_current(&self) -> bool {
        self.session.as_ref().is_none_or(|session| !session.lock().user_deletion().has_happened())
    }

    /// The virtual host of the caller's account. None for nobody.
    pub fn vhost(&self) -> Option<Arc<VirtualHost>> {
        self.session.as_ref().map(|session| Arc::clone(session.lock().vhost()))
    }

    /// Whether the user's permissions in the virtual host allow this to be done to a queue.
    pub fn may(&self, access: Access, queue: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().check(access, Kind::Queue, queue).is_ok())
    }

    /// Whether the user's permissions in the virtual host allow anything at all to be done to a queue.
    pub fn may_look(&self, queue: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().check_any(Kind::Queue, queue).is_ok())
    }

    /// The number by which the broker knows who declares and deletes. 0 for nobody.
    pub(crate) fn connection(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.lock().connection())
    }
}

impl Call {
    /// The URL of a queue, at the host and by the scheme that the client has used.
    pub fn queue_url(&self, account: &str, name: &str) -> String {
        let scheme = if self.caller.is_secure { "https" } else { "http" };
        let host = self.host.to_str().unwrap_or("localhost");
        format!("{scheme}://{host}/{account}/{name}")
    }

    /// The ARN of a queue.
    pub fn queue_arn(&self, account: &str, name: &str) -> String {
        Arn::queue(&self.region, account, name).to_string()
    }

    /// The virtual host of the caller's account.
    ///
    /// # Errors
    /// The caller is nobody.
    pub fn vhost(&self) -> Result<Arc<VirtualHost>, Error> {
        self.caller.vhost().ok_or_else(|| Error::new(&faults::ACCESS_DENIED, "Access to the resource is denied."))
    }
}
