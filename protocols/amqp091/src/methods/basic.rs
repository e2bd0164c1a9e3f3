//! Class basic, apart from the content of publishes.

use std::sync::Arc;

use gantry_broker::replies::REPLY_TO;
use gantry_broker::rights::Access;
use gantry_broker::value::Table;
use gantry_broker::{ConsumerOptions, Credit, Item, Kind, Lease, Outcome, Outlet, Queue};

use super::streams::not_of_streams;
use crate::channel::{Consumer, Mode};
use crate::codec::methods as m;
use crate::codec::{ReplyCode, ShortText};
use crate::error::Failure;
use crate::limits::CONSUMERS_MAX;
use crate::session::Client;
use crate::unacked::Unacked;

impl Client {
    pub(super) fn qos(&mut self, channel: u16, qos: &m::BasicQos) -> Result<(), Failure> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(Failure::new(ReplyCode::NotImplemented, text));
        }
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        if qos.global {
            open.limit_shared_credit(qos.prefetch_count);
            self.resume_starved(channel);
        } else {
            open.prefetch = qos.prefetch_count;
        }
        self.send(channel, m::BasicQosOk {});
        Ok(())
    }

    pub(super) async fn consume(&mut self, channel: u16, consume: &m::BasicConsume<'_>) -> Result<(), Failure> {
        if consume.queue.as_str() == REPLY_TO {
            return self.consume_replies(channel, consume);
        }
        let name = self.queue_name(channel, consume.queue.as_str())?;
        self.session.check(Access::Read, Kind::Queue, &name)?;
        let queue = self.session.vhost().queue(&name, self.session.connection())?;
        if queue.is_stream() {
            return self.consume_stream(channel, consume, &queue).await;
        }
        let priority = priority(&name, self.session.vhost().name(), &consume.arguments.decode()?)?;
        let inbox = Arc::clone(&self.inbox);
        self.check_consumers_max()?;
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let tag = match consume.consumer_tag.as_str() {
            "" => generated_tag(channel, open.consumers.len()),
            tag => tag.to_owned(),
        };
        open.check_new_tag(&tag)?;
        let credit = match open.prefetch {
            0 => Credit::Unlimited,
            prefetch => Credit::Window(u32::from(prefetch)),
        };
        let no_ack = consume.no_ack;
        let credit = if no_ack { Credit::Unlimited } else { credit };
        let shared_credit = (!no_ack).then(|| Arc::clone(&open.credit));
        let token = self.tokens.next(channel);
        let options = ConsumerOptions { credit, acknowledges: !no_ack, exclusive: consume.exclusive, priority };
        // The answer comes before the first delivery, which waits in the inbox until later.
        let outlet = Outlet { inbox, token, shared_credit };
        let subscription = self.session.vhost().subscribe(&queue, outlet, options, &mut self.wakes)?;
        if let Some(open) = self.channels.get_mut(&channel) {
            open.tags.insert(token, tag.clone().into_boxed_str());
            let consumer = Consumer { token, no_ack, subscription };
            open.consumers.insert(tag.clone().into_boxed_str(), consumer);
            let how = (!no_ack, consume.exclusive, open.prefetch);
            self.tell_consumer_created(channel, (&name, &tag), how, consume.arguments);
        }
        if !consume.no_wait {
            self.send(channel, m::BasicConsumeOk { consumer_tag: ShortText::cut(&tag) });
        }
        Ok(())
    }

    /// Refuses one consumer too many.
    pub(super) fn check_consumers_max(&self) -> Result<(), Failure> {
        if self.channels.values().map(|open| open.consumers.len()).sum::<usize>() < CONSUMERS_MAX {
            return Ok(());
        }
        let text = format!("reached maximum ({CONSUMERS_MAX}) of consumers per connection");
        Err(Failure::new(ReplyCode::NotAllowed, text))
    }

    pub(super) async fn cancel(&mut self, channel: u16, cancel: &m::BasicCancel<'_>) {
        let tag = cancel.consumer_tag.as_str();
        if let Some(token) = self.end_consumer(channel, tag) {
            // What had been granted is sent before the answer: nothing comes after it, and what wants no acknowledgement
            // would be lost.
            self.deliver_all().await;
            if let Some(open) = self.channels.get_mut(&channel) {
                open.tags.remove(&token);
            }
        }
        if !cancel.no_wait {
            self.send(channel, m::BasicCancelOk { consumer_tag: cancel.consumer_tag });
        }
    }

    /// Ends a consumer of a queue or of replies, and tells its token: nothing more is granted to it.
    fn end_consumer(&mut self, channel: u16, tag: &str) -> Option<u64> {
        let open = self.channels.get_mut(&channel)?;
        if let Some(consumer) = open.consumers.remove(tag) {
            self.tell_consumer_deleted(channel, consumer.subscription.queue().name(), tag);
            consumer.subscription.cancel();
            return Some(consumer.token);
        }
        let replies = open.replies.take_if(|replies| *replies.tag == *tag)?;
        Some(replies.token)
    }

    pub(super) async fn get(&mut self, channel: u16, get: &m::BasicGet<'_>) -> Result<(), Failure> {
        let name = self.queue_name(channel, get.queue.as_str())?;
        self.session.check(Access::Read, Kind::Queue, &name)?;
        let queue = self.session.vhost().queue(&name, self.session.connection())?;
        if queue.is_stream() {
            return Err(not_of_streams("basic.get", &queue));
        }
        loop {
            let Some((delivery, waiting)) = queue.fetch(0, !get.no_ack) else {
                self.send(channel, m::BasicGetEmpty::default());
                return Ok(());
            };
            self.taken.push(Item::Delivery(delivery));
            let broker = Arc::clone(self.session.broker());
            broker.load(&mut self.taken).await;
            // What cannot be read is not there; the next one is.
            if let Some(Item::Delivery(delivery)) = self.taken.pop() {
                self.send_get_ok(channel, delivery, waiting);
                return Ok(());
            }
        }
    }

    pub(crate) fn ack(&mut self, channel: u16, ack: &m::BasicAck) -> Result<(), Failure> {
        self.acknowledge(channel, ack.delivery_tag, ack.multiple, Outcome::Accept)
    }

    pub(super) fn nack(&mut self, channel: u16, tag: u64, multiple: bool, requeue: bool) -> Result<(), Failure> {
        let outcome = if requeue { Outcome::Return } else { Outcome::Reject };
        self.acknowledge(channel, tag, multiple, outcome)
    }

    /// RabbitMQ 4.3 takes a reject for a failure, and a nack for a message that was returned.
    pub(super) fn reject(&mut self, channel: u16, tag: u64, requeue: bool) -> Result<(), Failure> {
        let outcome = if requeue { Outcome::Retry } else { Outcome::Reject };
        self.acknowledge(channel, tag, false, outcome)
    }

    fn acknowledge(&mut self, channel: u16, tag: u64, multiple: bool, outcome: Outcome) -> Result<(), Failure> {
        let Some(open) = self.idle_channel(channel)? else { return Ok(()) };
        let mut taken: smallvec::SmallVec<[Unacked; 1]> = smallvec::SmallVec::new();
        let found = if multiple {
            open.unacked.take_up_to(tag, |unacked| taken.push(unacked))
        } else {
            taken.extend(open.unacked.take(tag));
            !taken.is_empty()
        };
        if !found {
            return Err(Failure::new(ReplyCode::PreconditionFailed, format!("unknown delivery tag {tag}")));
        }
        if let Mode::Tx(tx) = &mut open.mode {
            match outcome {
                Outcome::Accept => tx.accepted.extend(taken),
                outcome => tx.refusals.extend(taken.into_iter().map(|unacked| (unacked, outcome))),
            }
            return Ok(());
        }
        let consumed = taken.iter().filter(|unacked| unacked.consumed).count();
        open.credit.add(consumed as i64);
        let starved = open.credit.was_starved();
        match outcome {
            Outcome::Accept => {
                for unacked in taken {
                    self.accept(unacked.queue, unacked.lease);
                }
            }
            outcome => self.settle(taken, outcome),
        }
        if starved {
            self.flush_accepted();
            self.resume_channel(channel);
        }
        Ok(())
    }

    /// Says the outcome of deliveries, queue by queue.
    pub(super) fn settle(&mut self, unacked: impl IntoIterator<Item = Unacked>, outcome: Outcome) {
        let mut current: Option<(Arc<Queue>, Vec<Lease>)> = None;
        for unacked in unacked {
            match &mut current {
                Some((queue, leases)) if Arc::ptr_eq(queue, &unacked.queue) => leases.push(unacked.lease),
                _ => {
                    if let Some((queue, leases)) = current.take() {
                        queue.settle(&leases, outcome, &mut self.wakes);
                    }
                    current = Some((unacked.queue, vec![unacked.lease]));
                }
            }
        }
        if let Some((queue, leases)) = current {
            queue.settle(&leases, outcome, &mut self.wakes);
        }
    }

    pub(crate) fn resume_starved(&mut self, channel: u16) {
        if self.channels.get(&channel).is_some_and(|open| open.credit.was_starved()) {
            self.resume_channel(channel);
        }
    }

    fn resume_channel(&mut self, channel: u16) {
        if let Some(open) = self.channels.get(&channel) {
            for consumer in open.consumers.values().filter(|consumer| !consumer.no_ack) {
                consumer.subscription.resume(&mut self.wakes);
            }
        }
    }

    pub(super) fn recover(&mut self, channel: u16, requeue: bool, answer: bool) -> Result<(), Failure> {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let mut taken = Vec::with_capacity(open.unacked.len());
        open.unacked.take_up_to(0, |unacked| taken.push(unacked));
        open.credit.add(taken.iter().filter(|unacked| unacked.consumed).count() as i64);
        self.settle(taken, Outcome::Retry);
        self.resume_starved(channel);
        if answer {
            self.send(channel, m::BasicRecoverOk {});
        }
        Ok(())
    }
}

pub(super) fn generated_tag(channel: u16, consumers: usize) -> String {
    let mut random = [0_u8; 12];
    if getrandom::fill(&mut random).is_err() {
        // A tag is unique on its channel; nothing depends on nobody guessing it.
        random[..2].copy_from_slice(&channel.to_be_bytes());
        random[2..10].copy_from_slice(&(consumers as u64).to_be_bytes());
    }
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("amq.ctag-{hex}")
}

/// `x-priority` of a consumer. An argument that belongs to streams has no place here.
fn priority(queue: &str, vhost: &str, arguments: &Table) -> Result<i32, Failure> {
    let invalid = |name: &str, why: String| {
        let text =
            format!("invalid arg '{name}' for queue '{queue}' in vhost '{vhost}' of queue type rabbit_classic_queue");
        let text = if why.is_empty() {
            text
        } else {
            format!("invalid arg '{name}' for queue '{queue}' in vhost '{vhost}': {why}")
        };
        Failure::new(ReplyCode::PreconditionFailed, text)
    };
    if arguments.contains("x-stream-offset") {
        return Err(invalid("x-stream-offset", String::new()));
    }
    let Some(value) = arguments.get("x-priority") else { return Ok(0) };
    let number = value
        .as_integer()
        .ok_or_else(|| invalid("x-priority", format!("\"expected integer, got {}\"", value.type_name())))?;
    // What is beyond this range comes first or last all the same.
    Ok(number.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as i32)
}
