//! Where a session is, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::kept::Kept;

/// A session by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    /// Name of the virtual host.
    pub(super) vhost: Arc<str>,
    /// The client id.
    pub(super) client: Arc<str>,
}

/// The place of a session, whoever has it: in the registry from when a client asks for it until it has ended and nobody waits
/// for it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: Id,
    pub(super) inner: Mutex<Inner>,
    /// The holder has let go, or somebody later has come.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Rises with every connection that asks for the session: the last one gets it.
    pub(super) turn: u64,
    /// Connections that wait for it.
    pub(super) waiting: u32,
    /// How to reach the connection that has it.
    pub(super) holder: Option<Arc<Signals>>,
    /// The session while nobody holds it.
    pub(super) kept: Option<Box<Kept>>,
    /// Where it stands in the agenda.
    pub(super) noted: Option<(u64, u64)>,
    /// It is out of the registry: whoever still has it looks there again.
    pub(super) gone: bool,
}

impl Inner {
    /// Whether nobody needs the place any more.
    pub(super) fn is_empty(&self) -> bool {
        self.holder.is_none() && self.kept.is_none() && self.waiting == 0
    }
}

impl Place {
    pub(super) fn new(id: Id) -> Arc<Self> {
        Arc::new(Self { id, inner: Mutex::default(), changed: Notify::new() })
    }
}

/// What is said to the connection that has a session.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    wanted: AtomicBool,
    cut: AtomicBool,
    notify: Notify,
}

impl Signals {
    /// Resolves once another connection wants the session: the client is to be told 0x8E, and the session to be let go, without
    /// waiting for the client to read. Safe to drop and to call again.
    pub(crate) async fn wanted(&self) {
        self.wait(&self.wanted).await;
    }

    /// Whether another connection wants the session.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Resolves where the session was wanted, and was not let go in time: whatever the connection is doing is to be dropped.
    pub(crate) async fn cut(&self) {
        self.wait(&self.cut).await;
    }

    async fn wait(&self, flag: &AtomicBool) {
        loop {
            let notified = self.notify.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if flag.load(Ordering::Acquire) {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub(super) fn want_at_once(&self) {
        self.wanted.store(true, Ordering::Release);
        self.cut.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }
}
