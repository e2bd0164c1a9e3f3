//! Those who wait for a queue to have something, without being its consumers.
//!
//! They stand in line in the order in which they came. Standing there allocates nothing, and whoever puts something into the
//! queue pays one load for it while nobody does.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Queue;

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Line {
    len: AtomicUsize,
    notify: Notify,
}

impl Line {
    /// Whether somebody waits. Asked under the queue's lock: whoever stands in line has looked into the queue after that, and
    /// so either sees what has come or is seen here.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// Tells the first one. Who has been told and goes away without looking hands that on.
    pub(super) fn call(&self) {
        self.notify.notify_one();
    }

    /// Tells everybody.
    pub(super) fn call_all(&self) {
        self.notify.notify_waiters();
    }
}

pin_project! {
    /// A place in the line of those who wait for a queue to have something to receive: see [`Queue::arrival`].
    #[derive(Debug)]
    #[must_use = "it stands in line once it is enabled or polled"]
    pub struct Turn<'a> {
        #[pin]
        notified: Notified<'a>,
        counted: Counted<'a>,
    }
}

#[derive(Debug)]
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// Takes the place, without waiting. True where it is this one's turn already.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        self.project().notified.enable()
    }
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().notified.poll(context)
    }
}

impl Queue {
    /// Resolves when there may be something to receive, or when the queue is gone. To wait without missing anything: pin one of
    /// these and [`Turn::enable`] it, then [`Queue::receive`], and wait if that gave nothing.
    ///
    /// Who came first is told first, and each message that comes is told to one. Dropping it is safe at any time: who has been
    /// told, and is dropped before that was seen, hands it on to the next.
    pub fn arrival(&self) -> Turn<'_> {
        self.line.len.fetch_add(1, Ordering::Relaxed);
        Turn { notified: self.line.notify.notified(), counted: Counted(&self.line.len) }
    }
}
