//! Sessions (4.1): what a client has that outlives its connection, and who has it now.
//!
//! * `registry`: sessions by virtual host and client id; opening and taking over. `place`: where one of them is when nobody
//!   holds it, and who waits for it.
//! * `kept`: the state of a session; `held`: the session in the hands of a connection, and what becomes of it afterwards.
//! * `subscribe`: subscribing and unsubscribing; `queues`: the queues and bindings behind it; `groups`: shared subscriptions;
//!   `begun`: what of theirs waits for a client that is away.
//! * `wills`: what is published when a client is lost; `agenda`: what is due when, of all sessions.
//! * `rows`: what is kept of a session in the table; `restore`: what is there after a restart.
//!
//! A session has a row for itself and one for each of its subscriptions, if it may outlive its connection. Rows are a superset of
//! bindings: a row is put before what it names is made, and goes after it. A session that ends says so in its row first, so
//! that an end is carried through whenever the process dies.

mod agenda;
mod begun;
mod groups;
mod held;
mod kept;
mod place;
mod queues;
mod registry;
mod restore;
mod rows;
mod subscribe;
#[cfg(test)]
mod tests;
mod wills;

use std::sync::Arc;
use std::time::Duration;

use gantry_broker::{Error, Inbox, SharedCredit};

use crate::stats::Stats;

pub(crate) use self::held::Held;
pub(crate) use self::place::Signals;
pub(crate) use self::queues::{SYSTEM_EXCHANGE, is_system};
pub(crate) use self::registry::{SessionCounts, Sessions};
pub(crate) use self::wills::Will;

/// The bounds of sessions.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// The topic exchange that topics are on.
    pub(crate) exchange: Arc<str>,
    /// Sessions in all, with and without a connection.
    pub(crate) sessions_max: usize,
    /// Subscriptions of one session.
    pub(crate) subscriptions_max: usize,
    /// Bytes of one filter.
    pub(crate) filter_bytes_max: usize,
    /// What a client may ask for as session expiry, in seconds; `u32::MAX` is for ever.
    pub(crate) expiry_s_max: u32,
    /// How long a connection has to let go of a session that another one wants, before it is cut; and how long after that,
    /// before the other one is refused.
    pub(crate) take_over_wait: Duration,
    /// How often the broker's numbers are looked at, a second at least.
    pub(crate) system_interval: Duration,
    /// What connections count.
    pub(crate) stats: Arc<Stats>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            exchange: Arc::from("amq.topic"),
            sessions_max: 1_000_000,
            subscriptions_max: 10_000,
            filter_bytes_max: 4096,
            expiry_s_max: EXPIRY_NEVER,
            take_over_wait: Duration::from_secs(5),
            system_interval: Duration::from_secs(10),
            stats: Arc::default(),
        }
    }
}

/// The session expiry of a session that never ends by itself (3.1.2.11.2).
pub(crate) const EXPIRY_NEVER: u32 = u32::MAX;

/// What a client asks for when it connects.
pub(crate) struct OpenRequest<'a> {
    /// The client that has logged in: who it is, where, and what it may do.
    pub(crate) session: &'a mut gantry_broker::Session,
    /// Never empty: one has been assigned.
    pub(crate) client_id: &'a str,
    /// Begin with a new session.
    pub(crate) clean_start: bool,
    /// Session expiry in seconds, as asked for; before MQTT 5 0 with a clean session and [`EXPIRY_NEVER`] without.
    pub(crate) expiry_s: u32,
    /// What is published when the client is lost.
    pub(crate) will: Option<Will>,
    /// Where deliveries go.
    pub(crate) inbox: Arc<Inbox>,
    /// Deliveries of QoS 1 and 2 that the client takes at the same time, of all its queues (its receive maximum).
    pub(crate) credit: Arc<SharedCredit>,
}

/// A session that has been opened.
pub(crate) struct Opened {
    /// It.
    pub(crate) held: Held,
    /// It was there before (3.2.2.1.1).
    pub(crate) present: bool,
    /// The session expiry that holds, in seconds.
    pub(crate) expiry_s: u32,
}

/// Why a session is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// A later connection of the same client has it.
    #[error("a later connection of this client has come")]
    TakenOver,
    /// The connection that has it does not let go.
    #[error("the connection that has the session does not let go of it")]
    Busy,
    /// The will may not be published, there are too many sessions, or storage has failed.
    #[error(transparent)]
    Broker(#[from] Error),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// DISCONNECT: no will.
    Normal,
    /// DISCONNECT with will (0x04).
    WithWill,
    /// Without a word, or for an error.
    Lost,
    /// Another connection of the same client has come (3.1.4-3).
    TakenOver,
}
