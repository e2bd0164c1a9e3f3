//! What an action knows of who calls it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::{Session, UserDeletion, VirtualHost};
use hyper::header::HeaderValue;
use parking_lot::Mutex;

use crate::Edge;
use crate::arn::Arn;
use crate::date;
use crate::error::{Error, faults};
use crate::iam::{Context, Decision, Policy, Principal, Request};
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
    /// The header `user-agent`, which policies may ask for.
    pub(crate) user_agent: Option<HeaderValue>,
    /// The header `x-amzn-trace-id`, which goes along with what is published.
    pub(crate) trace: Option<HeaderValue>,
    /// The client is on this machine, and speaks for nobody elsewhere.
    pub(crate) is_near: bool,
}

/// Which queue something is to be done to.
#[derive(Clone, Copy, Debug)]
pub struct QueueAt<'a> {
    /// The account that it belongs to.
    pub account: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Who calls. The same as long as a connection's requests have the same key.
pub struct Caller {
    /// The user's name; none for somebody who has not said who it is.
    pub user: Option<Arc<str>>,
    /// The account that the user belongs to, of 12 digits; empty for nobody, and for a user who belongs to none.
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
        self.deletion().is_none_or(|deletion| !deletion.has_happened())
    }

    /// Tells when the user is deleted.
    pub(crate) fn deletion(&self) -> Option<UserDeletion> {
        self.session.as_ref().map(|session| session.lock().user_deletion())
    }

    /// Whether the caller has said who it is, and is not only let in because it is on this machine: a link that somebody opens there
    /// says nothing.
    pub(crate) fn is_signed(&self) -> bool {
        self.user.is_some() && !self.access_key.is_empty()
    }

    /// The virtual host of the caller's account. None where there is no account.
    pub fn vhost(&self) -> Option<Arc<VirtualHost>> {
        self.session.as_ref().map(|session| Arc::clone(session.lock().vhost()))
    }

    /// Whether the user's permissions in the virtual host allow this to be done to a queue.
    pub fn may(&self, access: Access, queue: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().may(access, queue))
    }

    /// Whether the user's permissions in the virtual host allow anything at all to be done to a queue.
    pub fn may_look(&self, queue: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().may_any(queue))
    }

    /// The number by which the broker knows who declares and deletes. 0 for nobody.
    pub(crate) fn connection(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.lock().connection())
    }
}

impl Call {
    /// The URL of a queue, at the host and by the scheme that the client has used.
    pub fn queue_url(&self, account: &str, name: &str) -> String {
        format!("{}/{account}/{name}", self.base_url())
    }

    /// What URLs begin with that come back here, without a slash at the end: what is configured, else scheme and host as the client
    /// has used them.
    pub(crate) fn base_url(&self) -> String {
        if let Some(base) = &self.edge.settings.queue_url {
            return base.to_string();
        }
        let scheme = if self.caller.is_secure { "https" } else { "http" };
        let host = self.host.to_str().unwrap_or("localhost");
        format!("{scheme}://{host}")
    }

    /// The ARN of a queue.
    pub fn queue_arn(&self, account: &str, name: &str) -> String {
        Arn::queue(&self.region, account, name).to_string()
    }

    /// Whether the caller may do something to a queue: in the caller's own account where the user's permissions or the queue's
    /// policy allow it; whoever comes from another account, or is nobody, needs the policy. What it denies nobody may.
    ///
    /// Where no access is named, any right to the queue is enough. `action` is what policies call it, such as `sqs:SendMessage`; for a batch, what is done to each of its entries.
    ///
    /// # Errors
    /// It may not be done.
    pub fn authorize(
        &self,
        action: &str,
        access: Option<Access>,
        queue: &QueueAt<'_>,
        policy: Option<&Policy>,
    ) -> Result<(), Error> {
        let resource = || Arn::queue(&self.edge.region, queue.account, queue.name).to_string();
        match self.decide(action, access, (queue.account, queue.name), resource, policy) {
            Decision::Allowed => Ok(()),
            decision => Err(self.denied(action, queue, decision)),
        }
    }

    /// What [`Call::authorize`] asks, of the queue or the topic of an account by its name: [`Decision::Allowed`], or why not.
    /// The resource's ARN is in our own region, not in the one that the client has chosen.
    pub(crate) fn decide<R: AsRef<str>>(
        &self,
        action: &str,
        access: Option<Access>,
        (account, name): (&str, &str),
        resource: impl FnOnce() -> R,
        policy: Option<&Policy>,
    ) -> Decision {
        let caller = &*self.caller;
        let is_own = *caller.account == *account && caller.user.is_some();
        // Asked first: it is the usual answer, and costs nothing.
        let is_permitted = is_own
            && match access {
                Some(access) => caller.may(access, name),
                None => caller.may_look(name),
            };
        let Some(policy) = policy else {
            return if is_permitted { Decision::Allowed } else { Decision::Silent };
        };
        let resource = resource();
        let (now_s, peer) = (date::now_s(), caller.peer.to_string());
        let (now, epoch) = (date::iso(now_s), now_s.to_string());
        let mut context = Context::default();
        context.add("aws:SourceIp", peer);
        context.add("aws:SecureTransport", if caller.is_secure { "true" } else { "false" });
        context.add("aws:CurrentTime", now);
        context.add("aws:EpochTime", epoch);
        context.add("aws:RequestedRegion", &*self.region);
        context.add("aws:ResourceAccount", account);
        if let Some(agent) = &self.user_agent {
            context.add("aws:UserAgent", String::from_utf8_lossy(agent.as_bytes()));
        }
        let principal = match &caller.user {
            Some(user) => {
                context.add("aws:PrincipalArn", &*caller.arn);
                context.add("aws:PrincipalAccount", &*caller.account);
                context.add("aws:PrincipalType", "User");
                context.add("aws:username", &**user);
                context.add("aws:userid", &**user);
                Principal::User { account: &caller.account, arn: &caller.arn }
            }
            None => {
                context.add("aws:PrincipalType", "Anonymous");
                Principal::Anonymous
            }
        };
        match policy.decide(&Request { principal, action, resource: resource.as_ref(), context: &context }) {
            Decision::Silent if is_permitted => Decision::Allowed,
            decision => decision,
        }
    }

    /// What is said where it may not be done.
    pub(crate) fn denied(&self, action: &str, queue: &QueueAt<'_>, decision: Decision) -> Error {
        let resource = self.queue_arn(queue.account, queue.name);
        let caller = &*self.caller;
        tracing::info!(user = caller.user.as_deref().unwrap_or_default(), peer = %caller.peer, action, %resource, ?decision, "refused");
        let message = match (&caller.user, decision) {
            (None, _) => {
                format!("Access to the resource {} is denied.", self.queue_url(queue.account, queue.name))
            }
            (Some(_), Decision::Denied) => format!(
                "User: {} is not authorized to perform: {} on resource: {resource} with an explicit deny in a resource-based policy",
                caller.arn,
                action.to_ascii_lowercase()
            ),
            (Some(_), _) => format!(
                "User: {} is not authorized to perform: {action} on resource: {resource} because no {}-based policy allows the \
                 {action} action",
                caller.arn,
                if *caller.account == *queue.account { "identity" } else { "resource" },
                action = action.to_ascii_lowercase()
            ),
        };
        Error::new(&faults::ACCESS_DENIED, message)
    }

    /// The virtual host of the caller's account.
    ///
    /// # Errors
    /// The caller is nobody, or belongs to no account.
    pub fn vhost(&self) -> Result<Arc<VirtualHost>, Error> {
        self.caller.vhost().ok_or_else(|| {
            let message = match &self.caller.user {
                Some(user) => format!("User: {user} has no account here.").into(),
                None => Cow::Borrowed("Access to the resource is denied."),
            };
            Error::new(&faults::ACCESS_DENIED, message)
        })
    }
}
