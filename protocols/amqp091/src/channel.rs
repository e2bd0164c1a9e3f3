//! A channel: what a client may do now, and what it has going.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use gantry_broker::{Essentials, Message, Route, SharedCredit, Subscription, Ticket, Transaction};
use hashbrown::HashMap;

use crate::methods::Replies;
use crate::unacked::UnackedList;

/// More deliveries than there will ever be: a shared credit without limit.
pub(crate) const NO_LIMIT: i64 = 1 << 40;

/// A consumer of a channel.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) token: u64,
    pub(crate) no_ack: bool,
    pub(crate) subscription: Subscription,
}

/// A publish that waits for the rest of its content.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) route: Arc<Route>,
    pub(crate) mandatory: bool,
    pub(crate) body: Option<Body>,
}

/// What has come of a message behind its content header.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) essentials: Essentials,
    pub(crate) head_bytes: u32,
    /// Head, then as much of the body as has come.
    pub(crate) data: BytesMut,
    /// Bytes of the body still to come.
    pub(crate) missing_bytes: u64,
}

/// A publish whose confirm is due once the journal has come so far.
#[derive(Clone, Copy, Debug)]
struct Unconfirmed {
    tag: u64,
    /// Nothing to wait for where it is zero.
    ticket: Ticket,
    /// A queue had no room for it.
    refused: bool,
}

/// Numbers the publishes of a channel and confirms them in order. The only producer of confirms: what needs no sync queues
/// up behind what does.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    last_tag: u64,
    pending: VecDeque<Unconfirmed>,
}

/// Publishes to confirm with one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The last of them.
    pub(crate) tag: u64,
    /// How many.
    pub(crate) count: u64,
    /// They were not taken.
    pub(crate) refused: bool,
}

impl Confirms {
    /// Numbers a publish that waits for `ticket`. `refused`: a queue had no room for it.
    pub(crate) fn add(&mut self, ticket: Option<Ticket>, refused: bool) {
        self.last_tag += 1;
        let ticket = ticket.unwrap_or_default();
        match self.pending.back_mut() {
            // One sync covers both: one entry will do.
            Some(last) if last.ticket >= ticket && last.refused == refused => last.tag = self.last_tag,
            _ => self.pending.push_back(Unconfirmed { tag: self.last_tag, ticket, refused }),
        }
    }

    /// What can be confirmed now with one frame; there may be more.
    pub(crate) fn take(&mut self, durable: Ticket, confirmed_to: &mut u64) -> Option<Confirmed> {
        let mut last: Option<Unconfirmed> = None;
        while let Some(first) = self.pending.front() {
            if first.ticket > durable || last.is_some_and(|last| last.refused != first.refused) {
                break;
            }
            last = self.pending.pop_front();
        }
        let Unconfirmed { tag, refused, .. } = last?;
        if self.pending.is_empty() && self.pending.capacity() > 1024 {
            self.pending = VecDeque::new();
        }
        let count = tag - *confirmed_to;
        *confirmed_to = tag;
        Some(Confirmed { tag, count, refused })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

/// What the client asked of the channel.
#[derive(Debug)]
pub(crate) enum Mode {
    /// Nothing.
    Plain,
    /// Publishes are confirmed.
    Confirm {
        confirms: Confirms,
        /// Publishes confirmed so far.
        confirmed_to: u64,
    },
    /// Publishes and acknowledgements happen when they are committed.
    Tx(Box<Tx>),
}

/// What a transaction has gathered.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    pub(crate) transaction: Transaction,
    /// Bytes of its messages.
    pub(crate) bytes: u64,
    /// Mandatory publishes, by their place in the transaction.
    pub(crate) mandatory: Vec<usize>,
    /// Outcomes other than done.
    pub(crate) refusals: Vec<(crate::unacked::Unacked, gantry_broker::Outcome)>,
    /// What is acknowledged, to be given back on rollback.
    pub(crate) accepted: Vec<crate::unacked::Unacked>,
}

/// A channel that is open.
#[derive(Debug)]
pub(crate) struct Channel {
    /// An error was sent; everything but the answer to it is ignored.
    pub(crate) closing: bool,
    pub(crate) content: Option<Content>,
    pub(crate) consumers: HashMap<Box<str>, Consumer>,
    /// Who takes the replies to the requests of this channel.
    pub(crate) replies: Option<Replies>,
    /// The consumers' tags by their tokens.
    pub(crate) tags: HashMap<u64, Box<str>>,
    pub(crate) unacked: UnackedList,
    pub(crate) last_delivery_tag: u64,
    /// Prefetch for consumers that come; 0 for no limit.
    pub(crate) prefetch: u16,
    /// Prefetch of the whole channel; 0 for no limit.
    pub(crate) prefetch_global: u16,
    pub(crate) credit: Arc<SharedCredit>,
    pub(crate) mode: Mode,
    /// The queue that was declared last, which an empty name means.
    pub(crate) last_queue: Option<Box<str>>,
}

impl Channel {
    pub(crate) fn new() -> Self {
        Self {
            closing: false,
            content: None,
            consumers: HashMap::new(),
            replies: None,
            tags: HashMap::new(),
            unacked: UnackedList::default(),
            last_delivery_tag: 0,
            prefetch: 0,
            prefetch_global: 0,
            credit: SharedCredit::new(NO_LIMIT),
            mode: Mode::Plain,
            last_queue: None,
        }
    }

    /// Sets the limit of the whole channel; 0 for none.
    pub(crate) fn limit_shared_credit(&mut self, prefetch: u16) {
        let limit = |prefetch: u16| if prefetch == 0 { NO_LIMIT } else { i64::from(prefetch) };
        self.credit.add(limit(prefetch) - limit(self.prefetch_global));
        self.prefetch_global = prefetch;
    }
}

/// Tokens for the consumers of a connection. No consumer gets the token of one before it, on whichever channel: what was
/// granted to a consumer whose channel was closed may still be on its way when the channel is open again.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    consumers: u64,
}

/// Bits of a token that count consumers; above them is the channel.
const TOKEN_COUNT_BITS: u32 = 48;

impl Tokens {
    /// A token for a consumer of this channel.
    pub(crate) fn next(&mut self, channel: u16) -> u64 {
        self.consumers += 1;
        u64::from(channel) << TOKEN_COUNT_BITS | self.consumers
    }
}

/// The channel that a consumer's token belongs to.
pub(crate) fn channel_of(token: u64) -> u16 {
    (token >> TOKEN_COUNT_BITS) as u16
}

/// A message that could not be taken because the disk is full, with what to do once it can.
#[derive(Debug)]
pub(crate) struct Stalled {
    pub(crate) channel: u16,
    pub(crate) route: Arc<Route>,
    pub(crate) mandatory: bool,
    pub(crate) message: Arc<Message>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn acked(tag: u64, count: u64) -> Confirmed {
        Confirmed { tag, count, refused: false }
    }

    #[test]
    fn confirms_come_in_order_and_never_ahead_of_their_ticket() {
        let mut confirms = Confirms::default();
        let mut to = 0;
        confirms.add(None, false);
        assert_eq!(confirms.take(Ticket(0), &mut to), Some(acked(1, 1)));
        confirms.add(Some(Ticket(5)), false);
        confirms.add(None, false);
        confirms.add(Some(Ticket(6)), false);
        assert_eq!(confirms.take(Ticket(4), &mut to), None);
        assert_eq!(confirms.take(Ticket(5), &mut to), Some(acked(3, 2)));
        assert_eq!(confirms.take(Ticket(9), &mut to), Some(acked(4, 1)));
        assert!(confirms.is_empty());
    }

    #[test]
    fn refusals_keep_their_place_among_confirms() {
        let mut confirms = Confirms::default();
        let mut to = 0;
        confirms.add(Some(Ticket(5)), false);
        confirms.add(None, true);
        confirms.add(None, true);
        confirms.add(Some(Ticket(6)), false);
        assert_eq!(confirms.take(Ticket(4), &mut to), None, "a refusal does not overtake");
        assert_eq!(confirms.take(Ticket(6), &mut to), Some(acked(1, 1)));
        assert_eq!(confirms.take(Ticket(6), &mut to), Some(Confirmed { tag: 3, count: 2, refused: true }));
        assert_eq!(confirms.take(Ticket(6), &mut to), Some(acked(4, 1)));
        assert_eq!(confirms.take(Ticket(6), &mut to), None);
        assert!(confirms.is_empty());
    }
}
