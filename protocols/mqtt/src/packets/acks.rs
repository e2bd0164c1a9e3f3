//! What the client says of messages that it was sent: PUBACK (3.4), PUBREC (3.5), PUBCOMP (3.7).

use crate::answers::Kind as Answer;
use crate::client::Client;
use crate::codec::packet::Ack;
use crate::codec::reason::Reason;
use crate::error::Failure;
use crate::inflight::{MARK_PUBREL, Published, Sent};

impl Client {
    pub(crate) fn puback(&mut self, ack: &Ack<'_>) -> Result<(), Failure> {
        let is_answer = |sent: &Sent| matches!(sent, Sent::Publish(Published { exactly_once: false, .. }));
        match self.in_flight.remove_if(ack.packet_id, is_answer) {
            Some(Sent::Publish(published)) => self.done(published),
            // 4.3.3: a message of QoS 2 is not acknowledged in this way.
            _ if self.in_flight.get(ack.packet_id).is_some() => {
                return Err(Failure::protocol("PUBACK for a message of QoS 2"));
            }
            // The session may have forgotten it, and who acknowledges twice does no harm.
            _ => {}
        }
        Ok(())
    }

    /// Whatever the reason: the client has it, or does not want it.
    fn done(&mut self, published: Published) {
        self.counted.acknowledged += 1;
        self.accept(published.queue, published.lease);
        self.give_credit(1);
    }

    pub(crate) fn pubrec(&mut self, ack: &Ack<'_>) -> Result<(), Failure> {
        let id = ack.packet_id;
        let is_answer = |sent: &Sent| matches!(sent, Sent::Publish(Published { exactly_once: true, .. }));
        match self.in_flight.remove_if(id, is_answer) {
            Some(Sent::Publish(published)) => self.received(id, published, ack.reason),
            _ => match self.in_flight.get(id) {
                Some(Sent::Publish(_)) => Err(Failure::protocol("PUBREC for a message of QoS 1")),
                Some(Sent::Released { .. }) if ack.reason.is_error() => {
                    self.forget(id);
                    Ok(())
                }
                // It comes behind the first one, which may still wait for the disk.
                Some(Sent::Released { .. }) => {
                    self.answers.add(Answer::Rel, id, Reason::SUCCESS, None);
                    Ok(())
                }
                None if ack.reason.is_error() => Ok(()),
                None => {
                    self.answers.add(Answer::Rel, id, Reason::PACKET_IDENTIFIER_NOT_FOUND, None);
                    Ok(())
                }
            },
        }
    }

    /// The client has a message of QoS 2, and says what it thinks of it.
    fn received(&mut self, id: u16, published: Published, reason: Reason) -> Result<(), Failure> {
        if reason.is_error() {
            // 4.3.3-4: this is the end of it.
            self.done(published);
            return Ok(());
        }
        self.counted.acknowledged += 1;
        // Of a shared queue, where the session may be resumed.
        let marks = self.held.as_ref().filter(|held| published.own || held.expiry_s() > 0).map(|held| held.marks());
        let Some(marks) = marks else {
            // What another member of the group could have got is done now, whatever becomes of this client.
            self.accept(published.queue, published.lease);
            self.answers.add(Answer::Rel, id, Reason::SUCCESS, None);
            self.in_flight.insert(id, Sent::Released { marked: false, took_credit: true });
            return Ok(());
        };
        let number = MARK_PUBREL + u64::from(id);
        let ticket = match published.queue.accept_marked(published.lease, marks, number, &mut self.wakes) {
            // None: the queue is gone, and the message with it; the client is led to the end all the same.
            Ok(ticket) => ticket,
            Err(error) => {
                // The connection ends, and the message goes back like all that are under way.
                self.in_flight.insert(id, Sent::Publish(published));
                return Err(error.into());
            }
        };
        self.answers.add(Answer::Rel, id, Reason::SUCCESS, ticket);
        self.in_flight.insert(id, Sent::Released { marked: ticket.is_some(), took_credit: true });
        Ok(())
    }

    pub(crate) fn pubcomp(&mut self, ack: &Ack<'_>) -> Result<(), Failure> {
        match self.in_flight.get(ack.packet_id) {
            Some(Sent::Released { .. }) => self.forget(ack.packet_id),
            Some(Sent::Publish(_)) => return Err(Failure::protocol("PUBCOMP before PUBREC")),
            None => {}
        }
        Ok(())
    }

    /// A message of QoS 2 is done.
    fn forget(&mut self, id: u16) {
        let is_released = |sent: &Sent| matches!(sent, Sent::Released { .. });
        let Some(Sent::Released { marked, took_credit }) = self.in_flight.remove_if(id, is_released) else { return };
        if marked && let Some(held) = &self.held {
            // Nothing waits for this: lost in a crash, PUBREL is sent once more, which changes nothing for the client.
            held.marks().remove(MARK_PUBREL + u64::from(id));
        }
        if took_credit {
            self.give_credit(1);
        }
    }
}
