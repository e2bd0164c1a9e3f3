//! A client that has logged in: what it has going. What each frame does is in [`crate::frames`].

use std::sync::Arc;

use gantry_broker::protocol::Output;
use gantry_broker::{
    Accepts, Inbox, Item, Lease, Message, Outcome, Queue, Route, RouteCache, Session, SharedCredit, Ticket, Wakes,
};
use hashbrown::HashSet;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::activemq::{ClientId, Temporary};
use crate::codec::{Command, Frame, Version};
use crate::error::Failure;
use crate::frames::{ReplyQueues, Targets, Transactions};
use crate::limits::{INBOX_BYTES_MAX, RECEIPT_BYTES_MAX, Settings, UNACKED_MAX};
use crate::receipts::Receipts;
use crate::stats::Stats;
use crate::subscriptions::Subscriptions;
use crate::told::Ends;
use crate::unacked::{Unacked, UnackedList};

/// What was agreed on when the client logged in.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) session: Session,
    pub(crate) version: Version,
    /// Names the session; part of the ids of all messages that are sent in it.
    pub(crate) session_id: Box<str>,
    pub(crate) ends: Ends,
    /// What the client calls itself, for its durable subscriptions.
    pub(crate) client_id: Option<ClientId>,
    /// When what it logged in with ends to be valid, in milliseconds since the epoch of Unix; none for ever.
    pub(crate) expires_ms: Option<u64>,
}

/// A message that could not be taken because the disk is full, with what to do once it can.
#[derive(Debug)]
pub(crate) struct Stalled {
    pub(crate) route: Arc<Route>,
    pub(crate) message: Arc<Message>,
    pub(crate) receipt: Option<Box<[u8]>>,
}

/// A client that has logged in.
pub(crate) struct Client {
    pub(crate) session: Session,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) version: Version,
    pub(crate) session_id: Box<str>,
    pub(crate) ends: Ends,
    /// What the client calls itself, for its durable subscriptions.
    pub(crate) client_id: Option<ClientId>,
    pub(crate) inbox: Arc<Inbox>,
    /// What it may have and not have acknowledged.
    pub(crate) credit: Arc<SharedCredit>,
    pub(crate) out: Output,
    /// Items taken out of the inbox, on their way to the client: kept here, so that they are given back where that never ends.
    pub(crate) taken: Vec<Item>,
    pub(crate) wakes: Wakes,
    pub(crate) routes: RouteCache,
    pub(crate) targets: Targets,
    /// Queues that this connection has declared.
    pub(crate) declared: HashSet<Box<str>>,
    pub(crate) reply_queues: ReplyQueues,
    pub(crate) temporary: Temporary,
    /// The queue for what it refuses is there.
    pub(crate) has_dead_letters: bool,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) transactions: Transactions,
    pub(crate) receipts: Receipts,
    pub(crate) unacked: UnackedList,
    pub(crate) last_delivery_tag: u64,
    /// Subscriptions whose queue was deleted under them, and what was cancelled of their other queues. They stay until what these
    /// had granted has been sent.
    pub(crate) cancelled: Vec<(u64, SmallVec<[Arc<Queue>; 1]>)>,
    /// Acknowledgements of the frames being read, to be told to their queue in one go.
    accepted: Accepts,
    /// The time, as of when the bytes being handled were read, in milliseconds since the epoch of Unix.
    pub(crate) now_ms: u64,
    /// It publishes, and is held back when there is an alarm.
    pub(crate) publishes: bool,
    pub(crate) stalled: Option<Box<Stalled>>,
    /// When something went to it last.
    pub(crate) written_at: Instant,
    /// The receipt that a frame asked for that is to be told of as wrong.
    blamed: Option<Box<str>>,
    /// Counted, and not yet added to what all count.
    pub(crate) published: u64,
}

/// What to do after a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Give a receipt where one is wanted, and read on.
    Continue,
    /// Read on: the receipt is seen to.
    Answered,
    /// It has not been handled: it is one that may wait for the disk.
    Ask,
    /// The client has taken leave.
    Close,
}

impl Client {
    pub(crate) fn new(agreed: Agreed, settings: Arc<Settings>, stats: Arc<Stats>) -> Self {
        Stats::add(&stats.clients, 1);
        Self {
            session: agreed.session,
            settings,
            stats,
            version: agreed.version,
            session_id: agreed.session_id,
            ends: agreed.ends,
            client_id: agreed.client_id,
            inbox: Inbox::new(INBOX_BYTES_MAX),
            credit: SharedCredit::new(i64::from(UNACKED_MAX)),
            out: Output::default(),
            taken: Vec::new(),
            wakes: Wakes::new(),
            routes: RouteCache::default(),
            targets: Targets::default(),
            declared: HashSet::new(),
            reply_queues: ReplyQueues::default(),
            temporary: Temporary::default(),
            has_dead_letters: false,
            subscriptions: Subscriptions::default(),
            transactions: Transactions::default(),
            receipts: Receipts::default(),
            unacked: UnackedList::default(),
            last_delivery_tag: 0,
            cancelled: Vec::new(),
            accepted: Accepts::default(),
            now_ms: 0,
            publishes: false,
            stalled: None,
            written_at: Instant::now(),
            blamed: None,
            published: 0,
        }
    }

    /// Handles a frame. What it is told of and can go on after, it has been told; a failure that is returned ends the connection.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let done = match frame.command {
            Command::Send => self.send(frame),
            Command::Ack => self.ack(frame),
            Command::Nack => self.nack(frame),
            Command::Begin => self.begin(frame),
            Command::Commit => self.commit(frame),
            Command::Abort => self.abort(frame),
            Command::Subscribe | Command::Unsubscribe => Ok(Next::Ask),
            Command::Disconnect => Ok(Next::Close),
            Command::Connect | Command::Stomp => Err(Failure::hard("Illegal command", "You are logged in already")),
        };
        self.finish(frame, done)
    }

    /// Handles a frame that may wait for the disk.
    pub(crate) async fn ask(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let done = match frame.command {
            Command::Send => self.send_new(frame).await,
            Command::Nack => match self.open_dead_letters().await {
                Ok(()) => self.nack(frame),
                Err(failure) => Err(failure),
            },
            Command::Commit => match self.open_dead_letters().await {
                Ok(()) => self.commit(frame),
                Err(failure) => Err(failure),
            },
            Command::Subscribe => self.subscribe(frame).await,
            Command::Unsubscribe => self.unsubscribe(frame).await,
            _ => return self.frame(frame),
        };
        self.finish(frame, done)
    }

    /// Gives the receipt that a frame asked for, or says why it was not done.
    fn finish(&mut self, frame: &Frame<'_>, done: Result<Next, Failure>) -> Result<Next, Failure> {
        match done {
            Ok(next @ (Next::Continue | Next::Close)) => {
                if let Some(id) = frame.headers.get_bytes("receipt") {
                    self.receipts.add(&id, self.version, None, false);
                }
                Ok(next)
            }
            Ok(next) => Ok(next),
            // As in RabbitMQ, a client may go on after an error that has nothing to do with what follows.
            Err(failure) => {
                self.blamed = frame.headers.get("receipt").map(|id| id.into_owned().into());
                if failure.closes {
                    return Err(failure);
                }
                self.tell(&failure);
                Ok(Next::Answered)
            }
        }
    }

    /// Tells the client what is wrong.
    pub(crate) fn tell(&mut self, failure: &Failure) {
        let (peer, message, detail) = (self.ends.peer, &*failure.message, &*failure.detail);
        // A client can cause the others as often as it likes.
        if failure.closes {
            tracing::info!(%peer, message, detail, "connection closed for an error");
        } else {
            tracing::debug!(%peer, message, detail, "error told");
        }
        Stats::add(&self.stats.errors, 1);
        let receipt = self.blamed.take();
        failure.write(self.out.tail(), self.version, receipt.as_deref());
    }

    /// Says that a delivery is done; queues hear of it together with its neighbours.
    pub(crate) fn accept(&mut self, queue: Arc<Queue>, lease: Lease) {
        self.accepted.add(queue, lease, &mut self.wakes);
    }

    /// Tells the queue what was acknowledged. Due before anything else is done with queues, and after each read.
    pub(crate) fn flush_accepted(&mut self) {
        self.accepted.flush(&mut self.wakes);
    }

    /// Says the outcome of deliveries, queue by queue.
    pub(crate) fn settle(&mut self, unacked: impl IntoIterator<Item = Unacked>, outcome: Outcome) {
        let mut back: Vec<(Arc<Queue>, Vec<Lease>)> = Vec::new();
        for Unacked { queue, lease, .. } in unacked {
            match back.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &queue)) {
                Some((_, leases)) => leases.push(lease),
                None => back.push((queue, vec![lease])),
            }
        }
        for (queue, leases) in back {
            queue.settle(&leases, outcome, &mut self.wakes);
        }
    }

    /// Lets queues go on that had found no room or no credit.
    pub(crate) fn resume_starved(&mut self) {
        // Both are asked: a flag that is left would wake nobody later.
        let (credit, inbox) = (self.credit.was_starved(), self.inbox.was_starved());
        if credit || inbox {
            self.flush_accepted();
            for subscribed in self.subscriptions.iter() {
                for consumer in &subscribed.consumers {
                    consumer.resume(&mut self.wakes);
                }
            }
        }
    }

    /// Whether it is to be read from no more until the disk has caught up.
    pub(crate) fn has_many_receipts(&self) -> bool {
        self.receipts.bytes() >= RECEIPT_BYTES_MAX
    }

    /// Whether a receipt waits for the journal.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.receipts.is_empty()
    }

    fn send_receipts(&mut self) {
        if self.receipts.is_empty() {
            return;
        }
        let durable: Ticket = self.session.broker().durable();
        let confirmed = self.receipts.write(durable, self.out.tail());
        Stats::add(&self.stats.confirmed, confirmed);
    }

    /// What is due after the frames of one read.
    pub(crate) fn flush(&mut self) {
        self.flush_accepted();
        self.resume_starved();
        self.wakes.wake();
        self.send_receipts();
        Stats::add(&self.stats.published, std::mem::take(&mut self.published));
    }

    /// Gives back what was granted and not sent.
    pub(crate) fn release(&mut self, item: Item) {
        if let Item::Delivery(delivery) = item
            && let Some(lease) = delivery.lease
        {
            delivery.queue.settle(&[lease], Outcome::Release, &mut self.wakes);
        }
    }

    /// Gives back everything: the connection is gone. Again does nothing.
    pub(crate) fn end(&mut self) {
        self.flush_accepted();
        for subscribed in self.subscriptions.take() {
            self.tell_unsubscribed(&subscribed);
            let mut subscribed = subscribed;
            let consumers = std::mem::take(&mut subscribed.consumers);
            let queues: Vec<_> = consumers.iter().map(|consumer| Arc::clone(consumer.queue())).collect();
            for consumer in consumers {
                consumer.leave();
            }
            self.advise_consumers(&subscribed, &queues, false);
        }
        let mut back: Vec<Unacked> = self.transactions.take_deliveries();
        self.unacked.take_up_to(u64::MAX, |_| true, |unacked| back.push(unacked));
        back.sort_unstable_by_key(|unacked| unacked.tag);
        self.settle(back, Outcome::Retry);
        // What was granted and never sent.
        let mut items = Vec::new();
        self.inbox.take(&mut items);
        for item in std::mem::take(&mut self.taken).into_iter().chain(items) {
            self.release(item);
        }
        self.wakes.wake();
        Stats::add(&self.stats.published, std::mem::take(&mut self.published));
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        self.out.shrink();
        self.accepted.shrink();
        self.receipts.shrink();
        self.unacked.shrink();
        if self.taken.capacity() > 0 {
            self.taken = Vec::new();
        }
    }
}

/// Also where the task of the connection was dropped in the middle of something, or has panicked: its consumers and leases would
/// otherwise stay with their queues for as long as the process lives.
impl Drop for Client {
    fn drop(&mut self) {
        self.end();
        self.stats.clients.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}
