//! A client that has logged in, in a virtual host: what it may do, and what belongs to it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::broker::Broker;
use crate::error::{Error, Kind, Resource};
use crate::events::PERFORMED_BY;
use crate::exchange::ExchangeKind;
use crate::rights::{Access, AccessCache, TopicAccess, TopicCache, User, Variables};
use crate::value::Table;
use crate::vhost::VirtualHost;

/// So much of a routing key gets into the log, in bytes.
const KEY_BYTES_SHOWN_MAX: usize = 255;

/// A client that has logged in. Dropping it deletes its exclusive queues.
#[derive(Debug)]
pub struct Session {
    broker: Arc<Broker>,
    vhost: Arc<VirtualHost>,
    user: Arc<User>,
    user_name: Arc<str>,
    connection: u64,
    access: AccessCache,
    topics: TopicCache,
    deletion: UserDeletion,
}

/// Tells when the user of a session is deleted. Cheap to clone and to wait for.
#[derive(Clone, Debug)]
pub struct UserDeletion(watch::Receiver<()>);

impl UserDeletion {
    /// Resolves once the user has been deleted, at once where it has been; another one of the same name does not count. Safe
    /// to drop and to call again.
    pub async fn happened(&mut self) {
        // Nothing is ever sent.
        while self.0.changed().await.is_ok() {}
    }

    /// Whether it has been.
    pub fn has_happened(&self) -> bool {
        self.0.has_changed().is_err()
    }
}

impl Session {
    pub(crate) fn new(
        broker: Arc<Broker>,
        vhost: Arc<VirtualHost>,
        user: Arc<User>,
        deletion: watch::Receiver<()>,
    ) -> Self {
        let connection = broker.shared().next_id();
        let user_name: Arc<str> = Arc::from(user.name.as_str());
        broker.shared().set_user(connection, Some(&user_name));
        let (access, topics, deletion) = (AccessCache::new(), TopicCache::new(), UserDeletion(deletion));
        Self { broker, vhost, user, user_name, connection, access, topics, deletion }
    }

    /// The virtual host that it is in.
    pub fn vhost(&self) -> &Arc<VirtualHost> {
        &self.vhost
    }

    /// Who it is.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Tells when the user is deleted: the connection is to be closed then. Until it is, nothing more is allowed.
    pub fn user_deletion(&self) -> UserDeletion {
        self.deletion.clone()
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The number that exclusive queues know their connection by.
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Tells of something that this client did, if anybody hears of it; see [`crate::events`].
    pub fn tell(&self, event: &'static str, headers: impl FnOnce(&mut Table)) {
        self.broker.tell(event, |said| {
            said.push(PERFORMED_BY, &*self.user_name);
            headers(said);
        });
    }

    /// Whether this may be done to a queue or an exchange. The default exchange is asked for by its empty name.
    ///
    /// # Errors
    /// [`Error::Refused`], which is logged.
    pub fn check(&mut self, access: Access, kind: Kind, name: &str) -> Result<(), Error> {
        if self.may(access, name) {
            return Ok(());
        }
        Err(self.refused(access.name(), kind, name))
    }

    /// As [`Session::check`], for whoever asks without doing anything: nothing is logged.
    pub fn may(&mut self, access: Access, name: &str) -> bool {
        let rights = self.broker.rights();
        let load = || rights.permission(&self.user.name, self.vhost.name());
        self.access.may(rights.version(), load, access, name)
    }

    /// As [`Session::check_any`], for whoever asks without doing anything, and of many names: nothing is logged, and what is
    /// known of other names stays.
    pub fn may_any(&mut self, name: &str) -> bool {
        let rights = self.broker.rights();
        let load = || rights.permission(&self.user.name, self.vhost.name());
        self.access.may_any(rights.version(), load, name)
    }

    /// Whether anything may be done to a queue or an exchange: enough to be told that it exists and how full it is, and the
    /// least, for whoever has no business with it.
    ///
    /// # Errors
    /// [`Error::Refused`], which is logged.
    pub fn check_any(&mut self, kind: Kind, name: &str) -> Result<(), Error> {
        if self.may_any(name) {
            return Ok(());
        }
        Err(self.refused("any", kind, name))
    }

    /// Whether a routing key may be used on an exchange: to publish by, or to bind and unbind with. Beside the right to the
    /// exchange itself, which [`Session::check`] knows, and only where the exchange is of type topic: any key may be used on
    /// others, and on one that does not exist. `client_id` is what `{client_id}` stands for, in protocols that have one.
    ///
    /// # Errors
    /// [`Error::TopicRefused`], which is logged.
    pub fn check_topic(
        &mut self,
        access: TopicAccess,
        exchange: &str,
        routing_key: &[u8],
        client_id: Option<&str>,
    ) -> Result<(), Error> {
        let rights = self.broker.rights();
        let load = || rights.topic_permissions(&self.user.name, self.vhost.name());
        let variables = Variables { username: &self.user.name, vhost: self.vhost.name(), client_id };
        if self.topics.may(rights.version(), load, variables, access, exchange, routing_key) {
            return Ok(());
        }
        self.check_refused_topic(access, exchange, routing_key)
    }

    /// A permission may have been set for an exchange that turns out to be of another type.
    #[cold]
    fn check_refused_topic(&self, access: TopicAccess, exchange: &str, routing_key: &[u8]) -> Result<(), Error> {
        match self.vhost.exchange(exchange) {
            Ok(found) if found.options().kind == ExchangeKind::Topic => {}
            Ok(_) | Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        }
        let exchange =
            Resource { kind: Kind::Exchange, name: Arc::from(exchange), vhost: Arc::clone(self.vhost.name()) };
        let shown = String::from_utf8_lossy(&routing_key[..routing_key.len().min(KEY_BYTES_SHOWN_MAX)]);
        tracing::info!(user = %self.user_name, access = access.name(), key = ?shown, %exchange, "topic refused");
        Err(Error::TopicRefused { routing_key: routing_key.into(), exchange, user: Arc::clone(&self.user_name) })
    }

    fn refused(&self, access: &str, kind: Kind, name: &str) -> Error {
        // The default exchange has a name where it is about rights.
        let name = if name.is_empty() && matches!(kind, Kind::Exchange) { "amq.default" } else { name };
        let resource = Resource { kind, name: Arc::from(name), vhost: Arc::clone(self.vhost.name()) };
        tracing::info!(user = %self.user_name, access, %resource, "refused");
        Error::Refused { resource, user: Arc::clone(&self.user_name) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.vhost.connection_closed(self.connection);
        self.broker.shared().set_user(self.connection, None);
    }
}
