//! ACK and NACK.

use gantry_broker::Outcome;
use smallvec::SmallVec;

use super::declare::flag;
use crate::client::{Client, Next};
use crate::codec::{Frame, Version};
use crate::destinations::Dialect;
use crate::error::Failure;
use crate::unacked::Unacked;

/// What parts the id of a message.
const SEPARATOR: &str = "@@";

impl Client {
    pub(crate) fn ack(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        self.acknowledge(frame, Outcome::Accept)
    }

    pub(crate) fn nack(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        // ActiveMQ gives nobody again what one consumer has refused.
        let is_activemq = self.settings.dialect == Dialect::ActiveMq;
        let requeue = flag(frame.headers, "requeue").unwrap_or(!is_activemq);
        if is_activemq && !requeue && !self.has_dead_letters() {
            return Ok(Next::Ask);
        }
        self.acknowledge(frame, if requeue { Outcome::Return } else { Outcome::Reject })
    }

    fn acknowledge(&mut self, frame: &Frame<'_>, outcome: Outcome) -> Result<Next, Failure> {
        let transaction = frame.headers.get_bytes("transaction");
        if let Some(name) = &transaction {
            self.transactions.check(name)?;
        }
        let tag = self.delivery_tag(frame)?;
        if let Some(name) = &transaction {
            self.transactions.check_room(name, 1, 0)?;
        }
        let mut taken: SmallVec<[Unacked; 1]> = SmallVec::new();
        match self.unacked.get(tag) {
            Some(named) if named.is_cumulative => {
                // RabbitMQ takes all of the connection that came before, whichever subscription they are of.
                let token = (self.settings.dialect == Dialect::ActiveMq).then_some(named.token);
                let wanted = |unacked: &Unacked| token.is_none_or(|token| unacked.token == token);
                self.unacked.take_up_to(tag, wanted, |unacked| taken.push(unacked));
            }
            Some(_) => taken.extend(self.unacked.take(tag)),
            None => {
                let detail = format!("PRECONDITION_FAILED - unknown delivery tag {tag}");
                return Err(Failure::hard("precondition_failed", detail));
            }
        }
        if let Some(name) = &transaction {
            self.transactions.hold(name, taken, outcome);
            return Ok(Next::Continue);
        }
        if outcome == Outcome::Reject
            && self.settings.dialect == Dialect::ActiveMq
            && let Err((refused, failure)) = self.refuse(&taken)
        {
            let done = taken.drain(..refused).filter(|unacked| unacked.took_credit).count();
            self.credit.add(done as i64);
            self.unacked.put_back(taken);
            return Err(failure);
        }
        self.credit.add(taken.iter().filter(|unacked| unacked.took_credit).count() as i64);
        match outcome {
            Outcome::Accept => {
                for unacked in taken {
                    self.accept(unacked.queue, unacked.lease);
                }
            }
            // Done above.
            Outcome::Reject if self.settings.dialect == Dialect::ActiveMq => {}
            outcome => self.settle(taken, outcome),
        }
        let Some(receipt) = frame.headers.get_bytes("receipt") else { return Ok(Next::Answered) };
        // Whoever asks wants to know that it does not come again.
        self.flush_accepted();
        let appended = self.session.broker().appended();
        self.receipts.add(&receipt, self.version, Some(appended), false);
        Ok(Next::Answered)
    }

    /// The tag of the delivery that a frame is about.
    fn delivery_tag(&self, frame: &Frame<'_>) -> Result<u64, Failure> {
        let name = if self.version == Version::V1_2 { "id" } else { "message-id" };
        let command = frame.command.as_str();
        let Some(value) = frame.headers.get(name) else {
            let detail = format!("\"{command}\" must include the \"{name}\" header\n");
            return Err(Failure::soft("Missing header", detail));
        };
        // The last separators count: a subscription's id may have one itself.
        let mut parts = value.rsplitn(3, SEPARATOR);
        let (tag, session, consumer) = (parts.next(), parts.next(), parts.next());
        let tag = tag.and_then(|tag| tag.parse::<u64>().ok());
        let (Some(tag), Some(session), Some(consumer)) = (tag, session, consumer) else {
            let detail = format!("\"{command}\" must include a valid \"{name}\" header\n");
            return Err(Failure::soft("Invalid header", detail));
        };
        // An id of another session means another message.
        if *session != *self.session_id || !self.is_known(consumer, tag) {
            let detail = format!("Message with id \"{value}\" has no subscription");
            return Err(Failure::soft("Subscription not found", detail));
        }
        Ok(tag)
    }

    /// Whether there is such a subscription, or was when the message came.
    fn is_known(&self, consumer: &str, tag: u64) -> bool {
        self.unacked.get(tag).is_some() || self.subscriptions.contains_text(consumer)
    }
}
