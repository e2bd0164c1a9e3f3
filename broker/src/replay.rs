//! What a stream has kept goes to a queue once more: in order, each message once, and then what comes meanwhile, until the queue
//! is bound to where all of it comes from and nothing is missing in between.
//!
//! Where a replay is, a mark says: the offset of the last message that the queue has got, in one record with that message. So a
//! crash leaves both or neither, and the replay goes on behind it.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Broker;
use crate::error::Error;
use crate::filter::{Filter, Index};
use crate::inbox::{Content, Delivery, Inbox, Item, Outlet, Wakes};
use crate::marks::Marks;
use crate::message::{Message, now_ms};
use crate::queue::{Outcome, Queue, resource};
use crate::stream::{ReaderOptions, StreamOffset};
use crate::vhost::{Subscription, VirtualHost};

/// Messages that have been read and are not in the queue yet.
const PREFETCH: u32 = 256;
/// Bytes of those.
const INBOX_BYTES: usize = 1 << 20;
/// After so long a queue without room is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// So often it is looked whether what is to come is gone.
const LOOK: Duration = Duration::from_secs(1);

/// A replay: from which stream, into which queue, what of it.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The stream.
    pub archive: Arc<Queue>,
    /// The queue.
    pub queue: Arc<Queue>,
    /// Where it is: nobody else puts anything in.
    pub marks: Arc<Marks>,
    /// Which messages it is for.
    pub filter: Option<Arc<Filter>>,
    /// Messages from then on, in milliseconds since the epoch of Unix.
    pub from_ms: u64,
    /// Of those in front of the seam, not what came later than this.
    pub until_ms: Option<u64>,
    /// The number that the stream's next message had when the queue ceased to get messages by itself. From there on it gets all.
    pub seam: u64,
}

/// What a replay needs to know of messages.
#[derive(Clone, Copy, Debug)]
pub struct Replayed {
    /// When a message was published, in milliseconds since the epoch of Unix; none where it does not say.
    pub published_ms: fn(&Message) -> Option<u64>,
    /// A message as it goes once more.
    pub again: fn(&Arc<Message>) -> Arc<Message>,
}

/// How far a replay has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// All that was there when it began.
    Seam,
    /// All that is there now.
    End,
}

/// Ends when it goes.
struct Reading(Option<Subscription>);

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(subscription) = self.0.take() {
            subscription.cancel();
        }
    }
}

impl Replay {
    /// Replays until `reached` says that it is over: it is asked when all has been replayed that was there in the beginning, once,
    /// and whenever nothing is left. Then it may find out that this is so while nobody publishes
    /// ([`VirtualHost::between_messages`], [`Replay::is_behind`]), and bind the queue before anybody does.
    ///
    /// # Errors
    /// The stream or the queue is gone; the disk is full; what is stored cannot be read. What has been replayed stays so.
    pub async fn run(
        &self,
        broker: &Broker,
        vhost: &Arc<VirtualHost>,
        replayed: Replayed,
        mut reached: impl FnMut(Reached, u64) -> bool + Send,
    ) -> Result<(), Error> {
        let filter = self.filter.as_ref().map(|filter| {
            let mut index = Index::new();
            let _ = index.insert(Some(filter), ());
            index
        });
        let inbox = Inbox::new(INBOX_BYTES);
        let mut last = self.marks.numbers().into_iter().max();
        let mut next = match last {
            Some(last) => last + 1,
            None => self.archive.offset_at(self.from_ms).await?,
        };
        let outlet = Outlet { inbox: Arc::clone(&inbox), token: 0, shared_credit: None };
        let options = ReaderOptions { prefetch: PREFETCH, start: StreamOffset::Offset(next), filter: None };
        let mut wakes = Wakes::new();
        let reading = Reading(Some(vhost.read(&self.archive, outlet, options, &mut wakes).await?));
        wakes.wake();
        let mut is_behind_seam = false;
        let mut items = Vec::new();
        loop {
            if !is_behind_seam && next >= self.seam {
                is_behind_seam = true;
                if reached(Reached::Seam, next) {
                    return Ok(());
                }
            }
            if !self.is_behind(next) && reached(Reached::End, next) {
                return Ok(());
            }
            // What is too old may go meanwhile, and nobody tells of that.
            let _ = tokio::time::timeout(LOOK, inbox.ready()).await;
            inbox.take(&mut items);
            // What cannot be read is given up, and the log of the program says so.
            broker.load(&mut items).await;
            let mut leases = Vec::with_capacity(items.len());
            for item in items.drain(..) {
                let delivery = match item {
                    Item::Delivery(delivery) => delivery,
                    Item::Cancelled(_) => return Err(self.gone(&self.archive)),
                    Item::Reply(_) | Item::Run(_) => continue,
                };
                let Delivery { content, offset: Some(offset), lease, .. } = delivery else { continue };
                // Also of what cannot be read: it is behind us.
                leases.extend(lease);
                next = offset + 1;
                let Content::Loaded(message) = content else { continue };
                if !self.is_wanted(offset, &message, replayed, filter.as_ref()) {
                    continue;
                }
                let message = if offset < self.seam { (replayed.again)(&message) } else { message };
                self.hand_over(vhost, &message, offset, &mut wakes).await?;
                if let Some(last) = last.replace(offset) {
                    self.marks.remove(last);
                }
            }
            self.archive.settle(&leases, Outcome::Accept, &mut wakes);
            wakes.wake();
            if inbox.was_starved()
                && let Some(subscription) = &reading.0
            {
                subscription.resume(&mut wakes);
                wakes.wake();
            }
        }
    }

    /// Whether there are messages from this number on.
    pub fn is_behind(&self, next: u64) -> bool {
        next.max(self.archive.first_offset()) < self.archive.next_number()
    }

    fn is_wanted(&self, offset: u64, message: &Message, replayed: Replayed, filter: Option<&Index<()>>) -> bool {
        if offset < self.seam
            && let Some(published_ms) = (replayed.published_ms)(message)
            && (published_ms < self.from_ms || self.until_ms.is_some_and(|until_ms| published_ms > until_ms))
        {
            return false;
        }
        filter.is_none_or(|filter| {
            let mut is_met = false;
            filter.matches(Some(message), &mut |()| is_met = true);
            is_met
        })
    }

    /// Puts a message into the queue, however long it takes until that has room.
    async fn hand_over(
        &self,
        vhost: &VirtualHost,
        message: &Arc<Message>,
        offset: u64,
        wakes: &mut Wakes,
    ) -> Result<(), Error> {
        loop {
            if !self.queue.is_visible() {
                return Err(self.gone(&self.queue));
            }
            let published = vhost.forward(&self.queue, message, now_ms(), (&self.marks, offset), wakes)?;
            if published.routed > 0 {
                return Ok(());
            }
            if published.refused == 0 {
                // It was deleted just now, and one that comes in its place has not got this.
                self.marks.remove(offset);
                return Err(self.gone(&self.queue));
            }
            wakes.wake();
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn gone(&self, queue: &Queue) -> Error {
        Error::NotFound(resource(queue.name(), queue.vhost()))
    }
}
