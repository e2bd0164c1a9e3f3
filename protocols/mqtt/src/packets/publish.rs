//! PUBLISH from the client (3.3), and the rest of the conversation where it is of QoS 2 (4.3.3).

use std::sync::Arc;

use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::{Error, Kind, Route, Ticket, TracedBy};

use crate::answers::Kind as Answer;
use crate::client::{Client, Stalled};
use crate::codec::packet::{Ack, Publish, QoS};
use crate::codec::reason::Reason;
use crate::convert::{self, Published};
use crate::error::{Failure, reason_of};
use crate::topics::{self, Key};

impl Client {
    pub(crate) fn publish(&mut self, publish: &Publish<'_>) -> Result<(), Failure> {
        let mut key = Key::new();
        self.topic_key(publish, &mut key)?;
        self.publishes = true;
        self.counted.published += 1;
        self.counted.payload_bytes_received += publish.payload.len() as u64;
        let (qos, packet_id) = (publish.qos, publish.packet_id);
        if qos == QoS::ExactlyOnce
            && let Some(held) = &self.held
            && let Some(ticket) = held.marks().ticket(u64::from(packet_id))
        {
            // 4.3.3-10: it is known, and was published then.
            if publish.retain {
                self.retain_again(publish, &key, ticket)?;
            }
            self.answers.add(Answer::Rec, packet_id, Reason::SUCCESS, Some(ticket));
            return Ok(());
        }
        if qos > QoS::AtMostOnce {
            self.publishing = self.publishing.saturating_add(1);
            // 3.3.4-7; what does not know the limit is not held to it.
            if self.is_v5() && self.publishing > self.settings.receive_max.get() {
                return Err(Failure::new(Reason::RECEIVE_MAXIMUM_EXCEEDED, "more publishes than the receive maximum"));
            }
        }
        let route = match self.route_for(&key) {
            Ok(route) => route,
            Err(error) => return self.refuse(qos, packet_id, &error),
        };
        let message = convert::message(Arc::clone(route.address()), &self.published(publish));
        if publish.retain {
            match self.session.vhost().retain(&message, self.now_ms) {
                Ok(pending) => self.settle_retained(pending, &message, qos),
                Err(error) => return self.refuse(qos, packet_id, &error),
            }
        }
        self.put(Stalled { route, message, qos, packet_id })
    }

    /// A retained PUBLISH of QoS 2 comes again: what is retained has to be on stable storage like its packet id, and is no part
    /// of the same record.
    fn retain_again(&mut self, publish: &Publish<'_>, key: &Key, ticket: Ticket) -> Result<(), Failure> {
        let route = self.route_for(key).map_err(Failure::from)?;
        let message = convert::message(Arc::clone(route.address()), &self.published(publish));
        let pending = if ticket == Ticket::default() {
            // Known from before a restart, which may have come between the two.
            self.session.vhost().retain(&message, self.now_ms).map_err(Failure::from)?
        } else {
            self.session.vhost().retained_stored(key)
        };
        self.settle_retained(pending, &message, publish.qos);
        Ok(())
    }

    /// What the container has to know of a PUBLISH.
    fn published<'p>(&self, publish: &'p Publish<'_>) -> Published<'p> {
        Published {
            version: self.version,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            publisher: self.publisher,
            expiry_s: publish.message_expiry_s,
            application: &publish.application,
            payload: publish.payload,
        }
    }

    /// The routing key of a PUBLISH, whose topic may be said by an alias (3.3.2.3.4).
    fn topic_key(&mut self, publish: &Publish<'_>, key: &mut Key) -> Result<(), Failure> {
        let Some(alias) = publish.topic_alias else {
            if publish.topic.is_empty() {
                return Err(Failure::protocol("neither topic nor topic alias"));
            }
            topics::key_of(publish.topic, key);
            return Ok(());
        };
        if alias.get() > self.settings.topic_alias_max {
            return Err(Failure::new(Reason::TOPIC_ALIAS_INVALID, "a topic alias above the maximum"));
        }
        let place = usize::from(alias.get()) - 1;
        if publish.topic.is_empty() {
            let topic = self.aliases_in.get(place).filter(|topic| !topic.is_empty());
            let topic = topic.ok_or_else(|| Failure::protocol("a topic alias that stands for nothing"))?;
            topics::key_of(topic, key);
            return Ok(());
        }
        if self.aliases_in.len() <= place {
            self.aliases_in.resize(place + 1, Box::default());
        }
        self.aliases_in[place] = publish.topic.into();
        topics::key_of(publish.topic, key);
        Ok(())
    }

    /// Where it goes, if the client may publish there.
    fn route_for(&mut self, key: &[u8]) -> Result<Arc<Route>, Error> {
        let exchange = &*self.settings.exchange;
        self.session.check(Access::Write, Kind::Exchange, exchange)?;
        self.session.check_topic(TopicAccess::Write, exchange, key, Some(&self.client_id))?;
        self.session.vhost().route(&mut self.routes, exchange, key)
    }

    /// Publishes, and notes what the client is to be told. Where the disk is full, the message waits, and nothing is read from
    /// this client until there is room: it is neither lost nor acknowledged.
    fn put(&mut self, publish: Stalled) -> Result<(), Failure> {
        let Stalled { route, message, qos, packet_id } = &publish;
        let marks = match &self.held {
            Some(held) if *qos == QoS::ExactlyOnce => Some(held.marks()),
            _ => None,
        };
        let vhost = self.session.vhost();
        let number = u64::from(*packet_id);
        let published = if vhost.is_traced() {
            let connection = self.ends.name();
            let by = TracedBy { connection: &connection, channel: 0, user: &self.session.user().name };
            match marks {
                Some(marks) => {
                    let mark = (marks, number);
                    vhost.publish_marked_traced(route, message, self.now_ms, mark, &mut self.wakes, by)
                }
                None => vhost.publish_traced(route, message, self.now_ms, &mut self.wakes, by),
            }
        } else {
            match marks {
                Some(marks) => vhost.publish_marked(route, message, self.now_ms, marks, number, &mut self.wakes),
                None => vhost.publish(route, message, self.now_ms, &mut self.wakes),
            }
        };
        let published = match published {
            Ok(published) => published,
            Err(Error::Full) => {
                self.stalled = Some(Box::new(publish));
                return Ok(());
            }
            Err(error) => return self.refuse(*qos, *packet_id, &error),
        };
        let (qos, packet_id) = (*qos, *packet_id);
        let refused = published.refused > 0;
        let reason = if refused {
            Reason::QUOTA_EXCEEDED
        } else if published.routed == 0 {
            Reason::NO_MATCHING_SUBSCRIBERS
        } else {
            Reason::SUCCESS
        };
        let mut durable = published.durable;
        if refused && let Some(marks) = marks {
            // 4.3.3-9: an error ends the conversation, and the client may use the id for something else.
            durable = durable.max(marks.remove(u64::from(packet_id)));
        }
        let answer = match qos {
            QoS::AtMostOnce => return Ok(()),
            QoS::AtLeastOnce => Answer::Ack,
            QoS::ExactlyOnce => Answer::Rec,
        };
        if refused && !self.is_v5() {
            // There are no words for it: as in RabbitMQ the client waits, and sends it again when it comes back.
            self.publishing = self.publishing.saturating_sub(1);
            return Ok(());
        }
        self.answers.add(answer, packet_id, reason, durable);
        Ok(())
    }

    /// Whether something of this client waits for room on the disk, and nothing is read from it meanwhile.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.is_some() || !self.unkept.is_empty()
    }

    /// Tries again what the disk had no room for.
    pub(crate) fn retry_stalled(&mut self) -> Result<(), Failure> {
        for message in std::mem::take(&mut self.unkept) {
            let pending = self.session.vhost().retained_stored(&message.address().routing_key);
            if !pending.is_nothing() {
                self.settling.push((pending, message));
            }
        }
        match self.stalled.take() {
            Some(publish) => self.put(*publish),
            None => Ok(()),
        }
    }

    /// Answers a PUBLISH that is not taken. Where there is nothing to answer with, the connection ends (3.3.5-2 of 3.1.1).
    fn refuse(&mut self, qos: QoS, packet_id: u16, error: &Error) -> Result<(), Failure> {
        if !self.is_v5() || matches!(error, Error::Storage(_)) {
            return Err(error.clone().into());
        }
        let answer = match qos {
            QoS::AtMostOnce => return Err(error.clone().into()),
            QoS::AtLeastOnce => Answer::Ack,
            QoS::ExactlyOnce => Answer::Rec,
        };
        self.answers.add(answer, packet_id, reason_of(error), None);
        Ok(())
    }

    /// The client lets go of a packet id (4.3.3).
    pub(crate) fn pubrel(&mut self, ack: &Ack<'_>) {
        let removed = self.held.as_ref().and_then(|held| held.marks().remove(u64::from(ack.packet_id)));
        // Before the removal is on stable storage, a new message with this id would be taken for the old one after a crash.
        let reason = if removed.is_some() { Reason::SUCCESS } else { Reason::PACKET_IDENTIFIER_NOT_FOUND };
        self.answers.add(Answer::Comp, ack.packet_id, reason, removed);
    }
}
