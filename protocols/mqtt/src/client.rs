//! A client that has logged in: what it has going. What each packet does is in [`crate::packets`].

use std::sync::Arc;

use gantry_broker::protocol::Output;
use gantry_broker::{
    Accepts, Delivery, Inbox, Item, Lease, Message, Outcome, Pending, Queue, Route, RouteCache, Session, SharedCredit,
    Ticket, Wakes,
};

use crate::answers::{Answers, Kind};
use crate::authentication::Authentication;
use crate::codec::encode;
use crate::codec::packet::{Packet, QoS, Version};
use crate::codec::reason::Reason;
use crate::deliver::{AliasesOut, LastTopic};
use crate::error::Failure;
use crate::inflight::{InFlight, MARK_PUBREL, Sent, to_queues};
use crate::limits::Settings;
use crate::sessions::Held;
use crate::stats::Stats;
use crate::told::Ends;

/// What was agreed on when the client logged in.
pub(crate) struct Agreed {
    pub(crate) session: Session,
    pub(crate) held: Held,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) credit: Arc<SharedCredit>,
    pub(crate) version: Version,
    pub(crate) client_id: Box<str>,
    pub(crate) ends: Ends,
    /// As the client must keep it, in seconds; 0 for none.
    pub(crate) keep_alive_s: u16,
    /// Largest packet that the client takes, in bytes.
    pub(crate) packet_bytes_max: u32,
    /// Topic aliases that may be sent to it.
    pub(crate) aliases_out_max: u16,
    /// What it logged in with.
    pub(crate) authentication: Option<Box<Authentication>>,
    /// When what it logged in with ends to be valid, in milliseconds since the epoch of Unix; None for ever.
    pub(crate) expires_ms: Option<u64>,
}

/// A message that could not be taken because the disk is full, with what to do once it can.
#[derive(Debug)]
pub(crate) struct Stalled {
    pub(crate) route: Arc<Route>,
    pub(crate) message: Arc<Message>,
    pub(crate) qos: QoS,
    pub(crate) packet_id: u16,
}

/// A client that has logged in.
pub(crate) struct Client {
    pub(crate) session: Session,
    /// None once it has been let go.
    pub(crate) held: Option<Held>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) client_id: Box<str>,
    pub(crate) ends: Ends,
    pub(crate) version: Version,
    pub(crate) packet_bytes_max: u32,
    /// Stands for it in what it publishes.
    pub(crate) publisher: u64,
    pub(crate) authentication: Option<Box<Authentication>>,
    pub(crate) inbox: Arc<Inbox>,
    /// What it takes at the same time, with QoS 1 and 2.
    pub(crate) credit: Arc<SharedCredit>,
    pub(crate) out: Output,
    /// Items taken out of the inbox, on their way to the client: kept here, so that they are given back where that never ends.
    pub(crate) taken: Vec<Item>,
    pub(crate) wakes: Wakes,
    pub(crate) routes: RouteCache,
    pub(crate) answers: Answers,
    pub(crate) in_flight: InFlight,
    /// Acknowledgements of the packets being read, to be told to their queue in one go.
    accepted: Accepts,
    /// What has to be on the disk before anything is acknowledged.
    pub(crate) settling: Vec<(Pending, Arc<Message>)>,
    /// Retained messages that the disk had no room for, to be tried again.
    pub(crate) unkept: Vec<Arc<Message>>,
    /// A queue of the session was deleted by somebody else.
    pub(crate) lost_queue: bool,
    pub(crate) aliases_in: Vec<Box<str>>,
    pub(crate) aliases_out: AliasesOut,
    pub(crate) last_topic: Option<Box<LastTopic>>,
    /// Publishes of QoS 1 and 2 of this connection that are not done.
    pub(crate) publishing: u16,
    /// The time, as of when the bytes being handled were read, in milliseconds since the epoch of Unix.
    pub(crate) now_ms: u64,
    /// It publishes, and is held back when there is an alarm.
    pub(crate) publishes: bool,
    pub(crate) stalled: Option<Box<Stalled>>,
    /// Counted, and not yet added to what all count.
    pub(crate) counted: Counted,
    /// Bytes written that have been counted.
    counted_bytes: u64,
}

/// What is added to the counters of all connections now and then.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) acknowledged: u64,
    pub(crate) packets_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) payload_bytes_received: u64,
    pub(crate) payload_bytes_sent: u64,
}

/// What to do after a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Continue,
    /// It has not been handled: it is one that may wait for the disk.
    Ask,
    /// The client has taken leave.
    Close,
    /// So it has, and its will is published all the same.
    CloseWithWill,
}

impl Client {
    pub(crate) fn new(agreed: Agreed, settings: Arc<Settings>, stats: Arc<Stats>) -> Self {
        Stats::add(&stats.clients, 1);
        Stats::add(&stats.connections, 1);
        let publisher = crate::convert::publisher(agreed.session.vhost().name(), &agreed.client_id);
        Self {
            session: agreed.session,
            held: Some(agreed.held),
            settings,
            stats,
            client_id: agreed.client_id,
            ends: agreed.ends,
            version: agreed.version,
            packet_bytes_max: agreed.packet_bytes_max,
            publisher,
            authentication: agreed.authentication,
            inbox: agreed.inbox,
            credit: agreed.credit,
            out: Output::default(),
            taken: Vec::new(),
            wakes: Wakes::new(),
            routes: RouteCache::default(),
            answers: Answers::default(),
            in_flight: InFlight::default(),
            accepted: Accepts::default(),
            settling: Vec::new(),
            unkept: Vec::new(),
            lost_queue: false,
            aliases_in: Vec::new(),
            aliases_out: AliasesOut::new(agreed.aliases_out_max),
            last_topic: None,
            publishing: 0,
            now_ms: 0,
            publishes: false,
            stalled: None,
            // CONNECT and CONNACK.
            counted: Counted { packets_received: 1, packets_sent: 1, ..Counted::default() },
            counted_bytes: 0,
        }
    }

    /// Goes on with what the session had going when its connection was lost: PUBREL is sent again for all that PUBREC has come
    /// for (4.4), and then what waits.
    pub(crate) fn begin(&mut self) {
        let Some(held) = &mut self.held else { return };
        let begun = held.take_begun(&mut self.wakes);
        for number in held.marks().numbers() {
            let Some(id) = number.checked_sub(MARK_PUBREL).and_then(|id| u16::try_from(id).ok()) else { continue };
            self.in_flight.insert(id, Sent::Released { marked: true, took_credit: false });
            // It may have been put there a moment ago, and must not be told before it would be known after a crash.
            self.answers.add(Kind::Rel, id, Reason::SUCCESS, held.marks().ticket(number));
        }
        // They count as what the client takes at the same time, before anything else does.
        self.credit.add(-(begun.len() as i64));
        for (id, published) in begun {
            self.in_flight.resume(id, published);
        }
        held.start(&mut self.wakes);
        self.wakes.wake();
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        self.counted.packets_sent += 1;
        encode(packet, self.version, self.out.tail());
    }

    pub(crate) const fn is_v5(&self) -> bool {
        matches!(self.version, Version::V5)
    }

    /// Handles a packet.
    pub(crate) fn packet(&mut self, packet: &Packet<'_>) -> Result<Next, Failure> {
        match packet {
            Packet::Publish(publish) => self.publish(publish)?,
            Packet::PubAck(ack) => self.puback(ack)?,
            Packet::PubRec(ack) => self.pubrec(ack)?,
            Packet::PubRel(ack) => self.pubrel(ack),
            Packet::PubComp(ack) => self.pubcomp(ack)?,
            Packet::Subscribe(_) | Packet::Unsubscribe(_) => return Ok(Next::Ask),
            Packet::PingReq => self.send(&Packet::PingResp),
            Packet::Disconnect(disconnect) => return self.disconnect(disconnect),
            Packet::Auth(auth) => self.auth(auth)?,
            // 3.1.0-2
            Packet::Connect(_) => return Err(Failure::protocol("a second CONNECT")),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Failure::protocol("a packet that only servers send"));
            }
        }
        Ok(Next::Continue)
    }

    /// Says that a delivery is done; queues hear of it together with its neighbours.
    pub(crate) fn accept(&mut self, queue: Arc<Queue>, lease: Lease) {
        self.accepted.add(queue, lease, &mut self.wakes);
    }

    /// Tells the queue what was acknowledged. Due before anything else is done with queues, and after each read.
    pub(crate) fn flush_accepted(&mut self) {
        self.accepted.flush(&mut self.wakes);
    }

    /// The client has room for so many more deliveries of QoS 1 and 2.
    pub(crate) fn give_credit(&mut self, deliveries: i64) {
        self.credit.add(deliveries);
    }

    /// Lets queues go on that had found no room or no credit.
    pub(crate) fn resume_starved(&mut self) {
        // Both are asked: a flag that is left would wake nobody later.
        let (credit, inbox) = (self.credit.was_starved(), self.inbox.was_starved());
        if credit || inbox {
            self.flush_accepted();
            if let Some(held) = &self.held {
                held.resume(&mut self.wakes);
            }
        }
    }

    /// Whether something waits for the journal.
    pub(crate) fn awaits_durability(&self) -> bool {
        !self.answers.is_empty() || self.in_flight.awaits_disk()
    }

    /// Writes the acknowledgements that are due.
    pub(crate) fn send_answers(&mut self) {
        if self.answers.is_empty() || !self.unkept.is_empty() {
            return;
        }
        let durable: Ticket = self.session.broker().durable();
        let told = self.answers.write(durable, self.version, self.out.tail());
        self.publishing = self.publishing.saturating_sub(told.done);
        self.counted.packets_sent += told.packets;
        Stats::add(&self.stats.confirmed, told.confirmed);
    }

    /// What is due after the packets of one read.
    pub(crate) fn flush(&mut self) {
        self.flush_accepted();
        self.resume_starved();
        self.wakes.wake();
        self.send_answers();
        self.flush_stats();
    }

    fn flush_stats(&mut self) {
        let written_bytes = self.out.written_bytes();
        let sent_bytes = written_bytes - std::mem::replace(&mut self.counted_bytes, written_bytes);
        let counted = std::mem::take(&mut self.counted);
        let stats = &self.stats;
        for (counter, n) in [
            (&stats.published, counted.published),
            (&stats.delivered, counted.delivered),
            (&stats.acknowledged, counted.acknowledged),
            (&stats.packets_received, counted.packets_received),
            (&stats.packets_sent, counted.packets_sent),
            (&stats.bytes_received, counted.bytes_received),
            (&stats.bytes_sent, sent_bytes),
            (&stats.payload_bytes_received, counted.payload_bytes_received),
            (&stats.payload_bytes_sent, counted.payload_bytes_sent),
        ] {
            Stats::add(counter, n);
        }
    }

    /// Gives back a delivery that never got to the client.
    pub(crate) fn release(&mut self, delivery: &Delivery) {
        if let Some(lease) = delivery.lease {
            delivery.queue.settle(&[lease], Outcome::Release, &mut self.wakes);
        }
    }

    /// Gives back everything: the connection is gone, or another one has taken the session. Again does nothing.
    pub(crate) fn end(&mut self, end: crate::sessions::End) {
        self.flush_accepted();
        let Some(mut held) = self.held.take() else { return };
        held.stop();
        let (sent, waiting) = self.in_flight.take();
        to_queues(held.keep_begun(sent), &mut self.wakes);
        // What was granted and never sent.
        let mut items = Vec::new();
        self.inbox.take(&mut items);
        let never_sent = std::mem::take(&mut self.taken).into_iter().chain(items).filter_map(|item| match item {
            Item::Delivery(delivery) => Some(delivery),
            _ => None,
        });
        for delivery in waiting.into_iter().chain(never_sent).collect::<Vec<_>>() {
            self.release(&delivery);
        }
        held.close(end);
        self.wakes.wake();
        self.flush_stats();
        self.stats.clients.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Gives memory back; for when the connection is quiet.
    pub(crate) fn shrink(&mut self) {
        self.out.shrink();
        self.accepted.shrink();
        self.answers.shrink();
        self.in_flight.shrink();
        self.last_topic = None;
        if self.taken.capacity() > 0 {
            self.taken = Vec::new();
        }
        if self.settling.capacity() > 0 && self.settling.is_empty() {
            self.settling = Vec::new();
        }
        if self.unkept.is_empty() {
            self.unkept = Vec::new();
        }
    }
}

/// Also where the task of the connection was dropped in the middle of something, or has panicked: its leases would otherwise
/// stay with their queues for as long as the process lives.
impl Drop for Client {
    fn drop(&mut self) {
        self.end(crate::sessions::End::Lost);
    }
}
