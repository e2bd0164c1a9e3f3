//! What queues grant -> PUBLISH.

use std::num::NonZeroU16;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::protocol::SHARED_BODY_BYTES_MIN;
use gantry_broker::{Address, Content, Delivery, Item, Message, Queue, Ticket};
use hashbrown::HashMap;

use crate::client::Client;
use crate::codec::packet::{Publish, QoS, Version};
use crate::codec::{encode_publish_head, publish_bytes};
use crate::convert::Outgoing;
use crate::inflight::{Again, Published, Sent};
use crate::limits::OUTPUT_BYTES_HIGH;
use crate::stats::Stats;
use crate::subscriptions::{Matched, TOKEN_DIRECT, TOKEN_OWN};
use crate::topics;

/// The topic that was delivered last, and what that came by: messages seldom come alone.
#[derive(Debug)]
pub(crate) struct LastTopic {
    address: Arc<Address>,
    /// That of the subscriptions.
    version: u64,
    /// The client has published it.
    own: bool,
    pub(crate) topic: String,
    pub(crate) matched: Matched,
}

/// Topic aliases that the client has been told (3.3.2.3.4).
#[derive(Debug, Default)]
pub(crate) struct AliasesOut {
    max: u16,
    /// The first topics that are worth one, while there is room.
    told: Option<Box<HashMap<Box<str>, NonZeroU16>>>,
}

/// Topics that are no longer than this are not worth an alias, which takes three bytes.
const TOPIC_SHORT_BYTES: usize = 8;

impl AliasesOut {
    pub(crate) fn new(max: u16) -> Self {
        Self { max, told: None }
    }

    /// The alias of a topic, and whether the client knows it.
    fn of(&self, topic: &str) -> Option<(NonZeroU16, bool)> {
        if self.max == 0 || topic.len() <= TOPIC_SHORT_BYTES {
            return None;
        }
        let told = self.told.as_ref();
        if let Some(alias) = told.and_then(|told| told.get(topic)) {
            return Some((*alias, true));
        }
        let next = told.map_or(0, |told| told.len()) + 1;
        let alias = NonZeroU16::new(u16::try_from(next).ok()?)?;
        (alias.get() <= self.max).then_some((alias, false))
    }

    fn tell(&mut self, topic: &str, alias: NonZeroU16) {
        self.told.get_or_insert_default().insert(topic.into(), alias);
    }
}

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending<'a> {
    pub(crate) topic: &'a str,
    pub(crate) matched: &'a Matched,
    pub(crate) qos: QoS,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// When its time is over, in milliseconds since the epoch of Unix; `u64::MAX` is never.
    pub(crate) expires_ms: u64,
}

/// What became of a message that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoded {
    Sent,
    /// The client does not take packets of this size (3.1.2-24), or its time is over.
    Dropped,
}

/// What a delivery has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    No,
    /// It is on stable storage.
    ForDisk,
    /// Its packet id, which is free now.
    ForId(u16),
}

impl Client {
    /// Sends what waits in the inbox, unless the client does not keep up.
    pub(crate) async fn deliver(&mut self) {
        if self.out.len() > OUTPUT_BYTES_HIGH {
            return;
        }
        if self.in_flight.awaits_disk() {
            self.deliver_durable();
        }
        if self.in_flight.has_waiting() {
            self.deliver_waiting();
        }
        if self.in_flight.again_len() > 0 {
            self.deliver_again();
        }
        self.inbox.take(&mut self.taken);
        if self.taken.is_empty() {
            return;
        }
        self.now_ms = now_ms();
        if self.taken.iter().any(Item::is_stored) {
            let broker = Arc::clone(self.session.broker());
            let lost = Box::pin(broker.load(&mut self.taken)).await;
            self.give_credit(lost.len() as i64);
        }
        let mut items = std::mem::take(&mut self.taken);
        for item in items.drain(..) {
            match item {
                Item::Delivery(delivery) => self.deliver_one(delivery),
                Item::Cancelled(token) => self.cancelled(token),
                // `load` leaves no run, and nobody asks for replies here.
                Item::Run(_) | Item::Reply(_) => {}
            }
        }
        self.taken = items;
        self.resume_starved();
        self.flush_accepted();
        self.wakes.wake();
    }

    fn deliver_waiting(&mut self) {
        while let Some((delivery, packet_id)) = self.in_flight.next_waiting() {
            self.deliver_queued(delivery, Waited::ForId(packet_id));
        }
    }

    /// Sends what was begun to this client before it lost its connection (4.8.2-4).
    fn deliver_again(&mut self) {
        self.now_ms = now_ms();
        let mut topic = String::new();
        let mut by: Option<(Arc<Queue>, Matched)> = None;
        while self.out.len() <= OUTPUT_BYTES_HIGH {
            // The client may take less at the same time than it did then: so many have to wait.
            let short = usize::try_from(-self.credit.available()).unwrap_or(0);
            if self.in_flight.again_len() <= short {
                break;
            }
            let Some((packet_id, queue, Again { message, expires_ms })) = self.in_flight.next_again() else { break };
            let matched = match by.take() {
                Some((other, matched)) if Arc::ptr_eq(&other, &queue) => matched,
                _ => {
                    let subscription = self.held.as_ref().and_then(|held| held.consuming(&queue));
                    subscription.map(Matched::by).unwrap_or_default()
                }
            };
            let outgoing = Outgoing::of(&message, self.version);
            topics::topic_of(&message.address().routing_key, &mut topic);
            let sending = Sending {
                topic: &topic,
                matched: &matched,
                qos: QoS::ExactlyOnce,
                packet_id,
                dup: true,
                retain: outgoing.retained || outgoing.retain && matched.retain_as_published,
                // 4.3.3-7: what was sent once does not expire.
                expires_ms: expires_ms.max(self.now_ms + 1),
            };
            if self.send_message(&message, &outgoing, sending) == Encoded::Dropped
                && let Some(Sent::Publish(published)) = self.in_flight.remove_if(packet_id, |_| true)
            {
                self.accept(published.queue, published.lease);
                self.give_credit(1);
            }
            by = Some((queue, matched));
        }
        self.flush_accepted();
        self.resume_starved();
        self.wakes.wake();
    }

    fn deliver_durable(&mut self) {
        let durable = self.session.broker().durable();
        while let Some(delivery) = self.in_flight.next_durable(durable) {
            self.deliver_queued(delivery, Waited::ForDisk);
        }
    }

    /// What a delivery of QoS 2 has to wait for: that what this client will say of it means the same message after a crash.
    fn awaited(&self, delivery: &Delivery, message: &Message) -> Option<Ticket> {
        // Where the message or the session would be gone, nothing is said of it afterwards.
        if !(message.essentials().durable && delivery.queue.options().durable) {
            return None;
        }
        let broker = self.session.broker();
        let appended = broker.appended();
        // None overtakes one that waits.
        (self.in_flight.awaits_disk() || broker.durable() < appended).then_some(appended)
    }

    fn deliver_one(&mut self, delivery: Delivery) {
        if delivery.token == TOKEN_DIRECT {
            self.deliver_direct(&delivery)
        } else {
            self.deliver_queued(delivery, Waited::No)
        }
    }

    /// A queue was deleted under its consumer.
    fn cancelled(&mut self, token: u64) {
        tracing::info!(client = &*self.client_id, token, "a queue of the session was deleted");
        if let Some(held) = &mut self.held {
            held.lost_queue(token);
        }
        self.lost_queue = true;
    }

    /// Finds what a message came by.
    fn look_up(&mut self, message: &Message, publisher: Option<u64>) {
        let Some(held) = &mut self.held else { return };
        let subscriptions = held.subscriptions_mut();
        let own = publisher == Some(self.publisher);
        let version = subscriptions.version();
        let address = message.address();
        let is_same = |last: &LastTopic| {
            last.version == version
                && last.own == own
                && (Arc::ptr_eq(&last.address, address) || last.address.routing_key == address.routing_key)
        };
        if self.last_topic.as_deref().is_some_and(is_same) {
            return;
        }
        let mut topic = match self.last_topic.take() {
            Some(last) => last.topic,
            None => String::new(),
        };
        topics::topic_of(&address.routing_key, &mut topic);
        let matched = subscriptions.matched(&topic, own);
        let address = Arc::clone(address);
        self.last_topic = Some(Box::new(LastTopic { address, version, own, topic, matched }));
    }

    fn deliver_direct(&mut self, delivery: &Delivery) {
        let Content::Loaded(message) = &delivery.content else { return };
        let outgoing = Outgoing::of(message, self.version);
        self.look_up(message, outgoing.publisher);
        let Some(last) = self.last_topic.take() else { return };
        let matched = &last.matched;
        // What comes by the other queue too, comes by that one.
        let goes = !matched.own_only && !matched.queued && (matched.qos.is_some() || !last.topic.starts_with('$'));
        if goes {
            let sending = Sending {
                topic: &last.topic,
                matched,
                qos: QoS::AtMostOnce,
                packet_id: 0,
                dup: false,
                retain: outgoing.retained || outgoing.retain && matched.retain_as_published,
                expires_ms: delivery.expires_ms,
            };
            self.send_message(message, &outgoing, sending);
        }
        self.last_topic = Some(last);
    }

    fn deliver_queued(&mut self, delivery: Delivery, waited: Waited) {
        // `load` leaves none that is stored, and these consumers acknowledge.
        let (Content::Loaded(message), Some(lease)) = (&delivery.content, delivery.lease) else {
            return self.release(&delivery);
        };
        let message = Arc::clone(message);
        let outgoing = Outgoing::of(&message, self.version);
        let is_own_queue = delivery.token == TOKEN_OWN;
        self.look_up(&message, outgoing.publisher);
        let Some(last) = self.last_topic.take() else { return self.release(&delivery) };
        let by_shared;
        let matched = if is_own_queue {
            &last.matched
        } else {
            let shared = self.held.as_mut().and_then(|held| held.subscriptions_mut().shared(delivery.token));
            by_shared = shared.map(Matched::by).unwrap_or_default();
            &by_shared
        };
        // What a binding matches and a filter does not (4.7.2-1) may have another way to get here.
        let goes = !matched.own_only && (matched.queued || !last.topic.starts_with('$'));
        let stays = self.held.as_ref().is_some_and(|held| held.expiry_s() > 0);
        let qos = outgoing.qos.min(matched.qos.unwrap_or(QoS::ExactlyOnce));
        if goes
            && qos == QoS::ExactlyOnce
            && (is_own_queue || stays)
            && waited == Waited::No
            && let Some(ticket) = self.awaited(&delivery, &message)
        {
            self.in_flight.wait_for_disk(ticket, delivery);
            self.last_topic = Some(last);
            return;
        }
        let packet_id = match waited {
            _ if !goes || qos == QoS::AtMostOnce => Some(0),
            Waited::ForId(id) => Some(id),
            Waited::No | Waited::ForDisk => self.in_flight.id_for(&delivery),
        };
        let Some(packet_id) = packet_id else {
            self.in_flight.wait(delivery);
            self.last_topic = Some(last);
            return;
        };
        let sending = Sending {
            topic: &last.topic,
            matched,
            qos,
            packet_id,
            dup: delivery.redelivered && qos > QoS::AtMostOnce,
            retain: outgoing.retained || outgoing.retain && matched.retain_as_published,
            expires_ms: delivery.expires_ms,
        };
        let sent = goes && self.send_message(&message, &outgoing, sending) == Encoded::Sent;
        if sent && qos > QoS::AtMostOnce {
            let exactly_once = qos == QoS::ExactlyOnce;
            let again = (exactly_once && !is_own_queue && stays)
                .then(|| Again { message: Arc::clone(&message), expires_ms: delivery.expires_ms });
            let Delivery { queue, seq, .. } = delivery;
            let published = Published { queue, lease, seq, own: is_own_queue, exactly_once, again };
            self.in_flight.insert(packet_id, Sent::Publish(published));
        } else {
            self.accept(delivery.queue, lease);
            self.give_credit(1);
        }
        self.last_topic = Some(last);
    }

    /// Writes a PUBLISH.
    pub(crate) fn send_message(&mut self, message: &Message, outgoing: &Outgoing<'_>, sending: Sending<'_>) -> Encoded {
        let is_v5 = self.version == Version::V5;
        let message_expiry_s = match message.essentials().ttl_ms {
            None => None,
            Some(ttl_ms) if sending.expires_ms == u64::MAX => Some(seconds(ttl_ms)),
            // 3.3.2-5
            Some(_) if sending.expires_ms <= self.now_ms => return Encoded::Dropped,
            // 3.3.2-6
            Some(_) => Some(seconds(sending.expires_ms - self.now_ms)),
        };
        let alias = if is_v5 { self.aliases_out.of(sending.topic) } else { None };
        let is_known = alias.is_some_and(|(_, is_known)| is_known);
        let body = message.body();
        let publish = Publish {
            dup: sending.dup,
            qos: sending.qos,
            retain: sending.retain,
            topic: if is_known { "" } else { sending.topic },
            packet_id: sending.packet_id,
            topic_alias: alias.map(|(alias, _)| alias),
            message_expiry_s: message_expiry_s.filter(|_| is_v5),
            subscription_ids: if is_v5 { sending.matched.ids.clone() } else { Default::default() },
            application: std::borrow::Cow::Borrowed(&outgoing.application),
            payload: body,
        };
        if self.packet_bytes_max < u32::MAX && publish_bytes(&publish, self.version) > self.packet_bytes_max as usize {
            Stats::add(&self.stats.dropped_too_large, 1);
            return Encoded::Dropped;
        }
        encode_publish_head(&publish, self.version, self.out.tail());
        if let Some((alias, false)) = alias {
            self.aliases_out.tell(sending.topic, alias);
        }
        if body.len() < SHARED_BODY_BYTES_MIN {
            self.out.tail().extend_from_slice(body);
        } else {
            self.out.share(message.body_shared());
        }
        self.counted.delivered += 1;
        self.counted.packets_sent += 1;
        self.counted.payload_bytes_sent += body.len() as u64;
        Encoded::Sent
    }
}

/// Whole seconds, upwards: what has time left is not told that it has none.
fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1000)).unwrap_or(u32::MAX)
}
