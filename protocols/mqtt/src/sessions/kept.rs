//! The state of a session (4.1.0).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gantry_broker::rights::User;
use gantry_broker::{Broker, Error, Marks, Pending, Queue};

use super::EXPIRY_NEVER;
use super::begun::Begun;
use super::place::Id;
use super::rows::{self, SessionRow};
use super::wills::Will;
use crate::subscriptions::Subscriptions;

/// What a session is, whether or not somebody holds it.
#[derive(Debug)]
pub(super) struct Kept {
    /// Who opened it last.
    pub(super) user: Owner,
    /// How long it stays without a connection, in seconds.
    pub(super) expiry_s: u32,
    /// It may outlive its connection: its queue is durable, and it has a row.
    pub(super) survives: bool,
    pub(super) subscriptions: Subscriptions,
    /// Messages of QoS 1 and 2; there is one from the first such subscription on.
    pub(super) queue: Option<Arc<Queue>>,
    /// Packet ids that must not be forgotten.
    pub(super) marks: Arc<Marks>,
    /// Deliveries of shared queues that wait for the client, while it is away.
    pub(super) begun: Vec<Begun>,
    /// What is published if its client is lost, or is to be published because it was.
    pub(super) will: Option<Box<Will>>,
    /// When it lost its connection, in milliseconds since the epoch of Unix; none while it has one.
    pub(super) disconnected_ms: Option<u64>,
    /// What its row says, as a hash; 0 where there is none.
    written: u64,
    /// Its row has the will.
    pub(super) will_written: bool,
    /// Its row says when it lost its connection.
    pub(super) noted: bool,
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// Who has logged in since the start of the process.
    Known(Arc<User>),
    /// Who did before that, by name.
    Named(Arc<str>),
}

impl Owner {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(user) => &user.name,
            Self::Named(name) => name,
        }
    }
}

impl Kept {
    pub(super) fn new(user: Owner, expiry_s: u32) -> Self {
        Self {
            user,
            expiry_s,
            survives: expiry_s > 0,
            subscriptions: Subscriptions::default(),
            queue: None,
            marks: Marks::in_memory(),
            begun: Vec::new(),
            will: None,
            disconnected_ms: None,
            written: 0,
            will_written: false,
            noted: false,
        }
    }

    /// When it ends, in milliseconds since the epoch of Unix, if nobody comes for it; none where never, or while it is held.
    pub(super) fn over_ms(&self) -> Option<u64> {
        let expiry_s = Some(self.expiry_s).filter(|expiry_s| *expiry_s != EXPIRY_NEVER)?;
        Some(self.disconnected_ms?.saturating_add(u64::from(expiry_s) * 1000))
    }

    /// When its will is published if nobody comes for it: after the delay, or with the end of the session if that is sooner
    /// (3.1.3.2.2).
    pub(super) fn will_due_ms(&self) -> Option<u64> {
        let delay_s = self.will.as_ref()?.delay_s;
        let due_ms = self.disconnected_ms?.saturating_add(u64::from(delay_s) * 1000);
        Some(self.over_ms().map_or(due_ms, |over_ms| due_ms.min(over_ms)))
    }

    /// Writes its row, if it is to have one that says something else than what it has.
    pub(super) fn write(&mut self, broker: &Broker, id: &Id) -> Result<Pending, Error> {
        if !self.survives {
            return Ok(Pending::nothing());
        }
        self.noted = self.disconnected_ms.is_some();
        let (key, value) = self.row(id).encode()?;
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let hash = hasher.finish().max(1);
        if hash == self.written {
            return Ok(Pending::nothing());
        }
        self.written = hash;
        self.will_written = self.will.is_some();
        Ok(broker.keep_row(rows::SESSIONS, key, Some(value)))
    }

    /// Its row as read, so that it is not written again as it is.
    pub(super) fn note_written(&mut self, value: &[u8]) {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        self.written = hasher.finish().max(1);
        self.will_written = self.will.is_some();
        self.noted = self.disconnected_ms.is_some();
    }

    /// What it says may not have got to the disk: it is written again with the next occasion.
    pub(super) fn forget_written(&mut self) {
        self.written = 0;
    }

    /// What its row is to say.
    pub(super) fn row(&self, id: &Id) -> SessionRow {
        SessionRow {
            version: rows::VERSION,
            vhost: id.vhost.to_string(),
            client: id.client.to_string(),
            user: self.user.name().to_owned(),
            expiry_s: self.expiry_s,
            // Who never ends need not know since when it waits, unless its will is to be published.
            disconnected_ms: self.disconnected_ms.filter(|_| self.expiry_s != EXPIRY_NEVER || self.will.is_some()),
            will: self.will.as_deref().cloned(),
            ending: false,
        }
    }
}
