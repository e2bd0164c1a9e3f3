//! SEND.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::{Error, Kind, Message, Published, Route, TracedBy};
use hashbrown::HashMap;

use crate::activemq::{TemporaryKind, refuse_transformation, schedule};
use crate::client::{Client, Next, Stalled};
use crate::codec::{Answer, Frame, FrameWriter, Headers};
use crate::convert::{self, Sent};
use crate::destinations::{Destination, Dialect, TOPIC_EXCHANGE};
use crate::error::Failure;
use crate::limits::{COMPOSITE_BYTES_MAX, DESTINATIONS_KNOWN_MAX};

/// The headers of a SEND that say what becomes of it.
#[derive(Default)]
struct Said<'a> {
    destination: Option<Cow<'a, [u8]>>,
    transaction: Option<Cow<'a, [u8]>>,
    receipt: Option<Cow<'a, [u8]>>,
    reply_to: Option<Cow<'a, [u8]>>,
    user_id: Option<Cow<'a, [u8]>>,
    has_message_id: bool,
    has_transformation: bool,
    is_scheduled: bool,
}

impl<'a> Said<'a> {
    /// All of them in one go: the first of each name counts.
    fn of(headers: Headers<'a>) -> Self {
        let mut said = Self::default();
        for header in headers.lines() {
            let name = headers.meaning(header.name);
            let place = match &*name {
                b"destination" => &mut said.destination,
                b"transaction" => &mut said.transaction,
                b"receipt" => &mut said.receipt,
                b"reply-to" => &mut said.reply_to,
                b"user-id" => &mut said.user_id,
                b"message-id" => {
                    said.has_message_id = true;
                    continue;
                }
                b"transformation" => {
                    said.has_transformation = true;
                    continue;
                }
                name if name.starts_with(b"AMQ_SCHEDULED_") => {
                    said.is_scheduled = true;
                    continue;
                }
                _ => continue,
            };
            if place.is_none() {
                *place = Some(headers.meaning(header.value));
            }
        }
        said
    }
}

/// Where messages to a destination are published, once that is known and there.
#[derive(Clone, Debug)]
struct Target {
    exchange: Box<str>,
    key: Box<[u8]>,
    /// It is a queue that is declared when it is used.
    is_declared: bool,
    /// The others of a composite destination, which is not remembered: a queue of it that was deleted meanwhile is declared
    /// again before any of them has the message.
    others: Box<[Target]>,
}

/// The destinations that a connection has sent to: neither read nor declared again.
#[derive(Debug, Default)]
pub(crate) struct Targets(HashMap<Box<[u8]>, Arc<Target>>);

impl Targets {
    fn get(&self, destination: &[u8]) -> Option<Arc<Target>> {
        self.0.get(destination).cloned()
    }

    fn insert(&mut self, destination: &[u8], target: Target) {
        if self.0.len() >= DESTINATIONS_KNOWN_MAX {
            self.0.clear();
        }
        self.0.insert(destination.into(), Arc::new(target));
    }

    fn forget(&mut self, destination: &[u8]) {
        self.0.remove(destination);
    }
}

impl Client {
    /// SEND to a destination that is known; one that is not has to be asked for.
    pub(crate) fn send(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let said = Said::of(frame.headers);
        if said.has_message_id && self.settings.dialect == Dialect::RabbitMq {
            return Err(Failure::soft("Invalid header", "'message-id' is not allowed on 'SEND'.\n"));
        }
        if let Some(name) = &said.transaction {
            // RabbitMQ looks at nothing else of a frame whose transaction there is not.
            self.transactions.check(name)?;
        }
        let Some(destination) = &said.destination else { return Err(missing_destination(frame)) };
        match self.targets.get(destination) {
            Some(target) => {
                let is_looked_at_later = said.transaction.is_some() || said.is_scheduled || !target.others.is_empty();
                if is_looked_at_later && self.leads_nowhere(&target)? {
                    self.targets.forget(destination);
                    return Ok(Next::Ask);
                }
                self.send_to(frame, &said, &target)
            }
            None => Ok(Next::Ask),
        }
    }

    /// Whether a queue of a destination was deleted since it was declared, where nobody would see that after the message is published.
    fn leads_nowhere(&mut self, target: &Target) -> Result<bool, Failure> {
        let vhost = self.session.vhost();
        for target in std::iter::once(target).chain(&target.others).filter(|target| target.is_declared) {
            if vhost.route(&mut self.routes, &target.exchange, &target.key)?.leads_nowhere() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// SEND to a destination that this connection has not sent to before, or that has gone since.
    pub(crate) async fn send_new(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let said = Said::of(frame.headers);
        let Some(text) = &said.destination else { return Err(missing_destination(frame)) };
        let target = match Destination::parse(self.settings.dialect, utf8(text)?)? {
            Destination::Composite(parts) => {
                let mut targets = Vec::with_capacity(parts.len());
                for part in &parts {
                    targets.push(self.target(part, text, frame).await?);
                }
                let first = targets.remove(0);
                Target { others: targets.into(), ..first }
            }
            destination => self.target(&destination, text, frame).await?,
        };
        if target.others.is_empty() {
            self.targets.insert(text, target.clone());
        }
        match self.send_to(frame, &said, &Arc::new(Target { is_declared: false, ..target }))? {
            Next::Ask => Ok(Next::Continue),
            next => Ok(next),
        }
    }

    /// Where messages to a destination go that is not composite. A queue that is declared by using it is there afterwards.
    async fn target(
        &mut self,
        destination: &Destination<'_>,
        text: &[u8],
        frame: &Frame<'_>,
    ) -> Result<Target, Failure> {
        let target = |exchange: &str, key: &str, is_declared| Target {
            exchange: exchange.into(),
            key: key.as_bytes().into(),
            is_declared,
            others: Box::default(),
        };
        let is_activemq = self.settings.dialect == Dialect::ActiveMq;
        Ok(match destination {
            Destination::Queue(name) => {
                self.declare(name, frame.headers).await?;
                target("", name, true)
            }
            Destination::TempQueue(name) if is_activemq => {
                target("", self.temporary(TemporaryKind::Queue, name)?.name(), false)
            }
            Destination::TempTopic(name) if is_activemq => {
                target("", self.temporary(TemporaryKind::Topic, name)?.name(), false)
            }
            Destination::AmqQueue(name) | Destination::ReplyQueue(name) | Destination::ReplyTopic(name) => {
                target("", name, false)
            }
            Destination::Topic(key) => target(TOPIC_EXCHANGE, key, false),
            Destination::Exchange { exchange, key } => target(exchange, key.as_deref().unwrap_or(""), false),
            _ => return Err(invalid_destination(text, frame)),
        })
    }

    /// Checks that a message may go there, and makes it.
    fn message_to(
        &mut self,
        frame: &Frame<'_>,
        said: &Said<'_>,
        target: &Target,
    ) -> Result<(Arc<Route>, Arc<Message>), Failure> {
        self.session.check(Access::Write, Kind::Exchange, &target.exchange)?;
        let vhost = self.session.vhost();
        let route = vhost.route(&mut self.routes, &target.exchange, &target.key)?;
        self.session.check_topic(TopicAccess::Write, &target.exchange, &target.key, None)?;
        let reply_to = match &said.reply_to {
            Some(reply_to) => self.reply_address(reply_to)?,
            None => None,
        };
        let sent = Sent {
            connection: self.session.connection(),
            reply_to: reply_to.as_deref().map(str::as_bytes),
            dialect: self.settings.dialect,
        };
        let message = convert::message(route.address(), frame, &sent)?;
        Ok((route, message))
    }

    /// SEND to a composite destination, or for later.
    fn send_together(&mut self, frame: &Frame<'_>, said: &Said<'_>, target: &Target) -> Result<Next, Failure> {
        let schedule = if said.is_scheduled { schedule(frame.headers)? } else { None };
        let copies = 1 + target.others.len();
        if !target.others.is_empty() && frame.body.len().saturating_mul(copies) > COMPOSITE_BYTES_MAX {
            let detail =
                format!("The copies of a message to several destinations have more than {COMPOSITE_BYTES_MAX} bytes\n");
            return Err(Failure::soft("Message too large", detail));
        }
        let mut publishes = Vec::with_capacity(copies);
        for target in std::iter::once(target).chain(&target.others) {
            publishes.push(self.message_to(frame, said, target)?);
        }
        let Some(name) = &said.transaction else {
            return self.publish_together(publishes, schedule, said.receipt.as_deref());
        };
        let receipt_bytes = said.receipt.as_deref().map_or(0, <[u8]>::len);
        let bytes = publishes.iter().map(|(_, message)| u64::from(message.bytes())).sum::<u64>() + receipt_bytes as u64;
        // All of them or none.
        self.transactions.check_room(name, publishes.len(), bytes)?;
        for (index, (route, message)) in publishes.into_iter().enumerate() {
            let receipt = said.receipt.as_deref().filter(|_| index == 0);
            self.transactions.gather(name, route, message, schedule, receipt)?;
            self.published += 1;
        }
        Ok(Next::Answered)
    }

    fn send_to(&mut self, frame: &Frame<'_>, said: &Said<'_>, target: &Target) -> Result<Next, Failure> {
        self.publishes = true;
        if said.has_transformation {
            refuse_transformation(frame.headers, self.settings.dialect)?;
        }
        if let Some(user_id) = &said.user_id
            && **user_id != *self.session.user().name.as_bytes()
        {
            let detail = format!(
                "PRECONDITION_FAILED - user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user_id),
                self.session.user().name
            );
            return Err(Failure::hard("precondition_failed", detail));
        }
        if !target.others.is_empty() || said.is_scheduled {
            return self.send_together(frame, said, target);
        }
        let (route, message) = self.message_to(frame, said, target)?;
        if let Some(name) = &said.transaction {
            self.transactions.gather(name, route, message, None, said.receipt.as_deref())?;
            self.published += 1;
            return Ok(Next::Answered);
        }
        let published = match self.publish(&route, &message) {
            Ok(published) => published,
            Err(Error::Full) => {
                // Neither lost nor confirmed: nothing is read from this client until there is room.
                self.published += 1;
                let receipt = said.receipt.as_deref().map(Box::from);
                self.stalled = Some(Box::new(Stalled { route, message, receipt }));
                return Ok(Next::Answered);
            }
            Err(error) => return Err(error.into()),
        };
        if target.is_declared && published.routed == 0 && published.refused == 0 {
            // The queue was deleted meanwhile. A client that sends to a queue has it, and not only for the first message.
            if let Some(destination) = &said.destination {
                self.targets.forget(destination);
            }
            return Ok(Next::Ask);
        }
        self.published += 1;
        self.confirm(said.receipt.as_deref(), &published);
        Ok(Next::Answered)
    }

    fn publish(&mut self, route: &Arc<Route>, message: &Arc<Message>) -> Result<Published, Error> {
        let vhost = self.session.vhost();
        if vhost.is_traced() {
            let connection = self.ends.name();
            let by = TracedBy { connection: &connection, channel: 1, user: &self.session.user().name };
            return vhost.publish_traced(route, message, self.now_ms, &mut self.wakes, by);
        }
        vhost.publish(route, message, self.now_ms, &mut self.wakes)
    }

    /// The receipt of a message, once the disk has it; or that a queue has refused it.
    fn confirm(&mut self, receipt: Option<&[u8]>, published: &Published) {
        let Some(receipt) = receipt else { return };
        if published.refused == 0 {
            return self.receipts.add(receipt, self.version, published.durable, true);
        }
        let version = self.version;
        self.receipts.add_frame(published.durable, 0, |frames| write_refusal(frames, version, receipt));
    }

    /// Tries again what the disk had no room for.
    pub(crate) fn retry_stalled(&mut self) -> Result<(), Failure> {
        let Some(stalled) = self.stalled.take() else { return Ok(()) };
        match self.publish(&stalled.route, &stalled.message) {
            Ok(published) => self.confirm(stalled.receipt.as_deref(), &published),
            Err(Error::Full) => self.stalled = Some(stalled),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// RabbitMQ tells nothing of a message that a full queue refuses, and its publisher waits for the receipt for ever.
fn write_refusal(out: &mut bytes::BytesMut, version: crate::codec::Version, receipt: &[u8]) {
    let mut frame = FrameWriter::new(out, version, Answer::Error);
    frame.header("message", "Message refused");
    frame.header("content-type", "text/plain");
    frame.header("version", crate::error::VERSIONS);
    frame.header("receipt-id", receipt);
    frame.body(b"A queue has no room for the message\n");
}

/// The text of a destination: two that are none must not become one.
pub(super) fn utf8(text: &[u8]) -> Result<&str, Failure> {
    str::from_utf8(text).map_err(|_| Failure::soft("Invalid destination", "A destination has to be UTF-8\n"))
}

pub(super) fn missing_destination(frame: &Frame<'_>) -> Failure {
    let detail = format!("\"{}\" must include a 'destination' header\n", frame.command.as_str());
    Failure::soft("Missing destination", detail)
}

pub(super) fn invalid_destination(text: &[u8], frame: &Frame<'_>) -> Failure {
    let (text, command) = (String::from_utf8_lossy(text), frame.command.as_str());
    Failure::soft("Invalid destination", format!("'{text}' is not a valid destination for '{command}'\n"))
}
