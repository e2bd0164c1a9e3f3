//! Class queue.

use gantry_broker::replies::REPLY_TO;
use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::value::Value;
use gantry_broker::{DeleteQueue, Kind, Pending, QueueName, QueueOptions, QueueType};

use super::exchange::without_line_ends;
use super::streams::not_of_streams;
use crate::codec::methods as m;
use crate::codec::{RawTable, ReplyCode, ShortText};
use crate::error::Failure;
use crate::session::Client;

impl Client {
    /// The queue that a name means: an empty one is the last that the channel declared.
    pub(super) fn queue_name(&mut self, channel: u16, name: &str) -> Result<String, Failure> {
        if !name.is_empty() {
            return Ok(without_line_ends(name));
        }
        let last = self.open_channel(channel)?.and_then(|open| open.last_queue.clone());
        match last {
            Some(last) => Ok(last.into_string()),
            None => Err(Failure::new(ReplyCode::NotFound, "no previously declared queue")),
        }
    }

    pub(super) fn queue_declare(&mut self, channel: u16, declare: &m::QueueDeclare<'_>) -> Result<(), Failure> {
        let (vhost, connection) = (self.session.vhost().clone(), self.session.connection());
        let given = without_line_ends(declare.queue.as_str());
        if given.starts_with(REPLY_TO) {
            return self.declare_address(channel, &given, declare.no_wait);
        }
        let (queue, pending) = if declare.passive {
            // Without the short form for the last queue, as in RabbitMQ.
            self.session.check_any(Kind::Queue, &given)?;
            let queue = vhost.queue(&given, connection)?;
            queue.touch();
            (queue, Pending::nothing())
        } else {
            let options = QueueOptions {
                durable: declare.durable,
                auto_delete: declare.auto_delete,
                exclusive: declare.exclusive,
                arguments: declare.arguments.decode()?,
            };
            if given.is_empty() && options.queue_type() != QueueType::Classic {
                let text = format!("Cannot declare a server-named queue for type {}", options.queue_type().name());
                return Err(Failure::new(ReplyCode::PreconditionFailed, text));
            }
            // RabbitMQ asks for the right to the name that it made; patterns cannot tell one such name from another.
            let right_to = if given.is_empty() { GENERATED_NAME_SAMPLE } else { &given };
            self.session.check(Access::Configure, Kind::Queue, right_to)?;
            if given.is_empty() {
                self.check_dead_letter(right_to, &options)?;
                vhost.define_queue(QueueName::Generated, options, connection)?
            } else if let Some(found) = vhost.declared_queue(&given, &options, connection)? {
                found
            } else {
                self.check_dead_letter(right_to, &options)?;
                vhost.define_queue(QueueName::Given(&given), options, connection)?
            }
        };
        if let Some(open) = self.open_channel(channel)? {
            open.last_queue = Some(Box::from(&**queue.name()));
        }
        let status = queue.status();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let ok = m::QueueDeclareOk {
            queue: ShortText::cut(queue.name()),
            message_count: count(status.ready),
            consumer_count: count(status.consumers),
        };
        self.answer_when_durable(channel, m::QueueDeclare::IDS, pending, (!declare.no_wait).then_some(ok));
        Ok(())
    }

    /// Messages of a new queue will be read from it and written to its dead-letter exchange on the user's behalf.
    fn check_dead_letter(&mut self, name: &str, options: &QueueOptions) -> Result<(), Failure> {
        if let Some(exchange) = options.arguments.get("x-dead-letter-exchange").and_then(Value::as_str) {
            self.session.check(Access::Read, Kind::Queue, name)?;
            self.session.check(Access::Write, Kind::Exchange, exchange)?;
        }
        Ok(())
    }

    pub(super) fn queue_bind(&mut self, channel: u16, bind: &m::QueueBind<'_>) -> Result<(), Failure> {
        let queue = self.queue_name(channel, bind.queue.as_str())?;
        let key = self.binding_key(channel, bind.queue.as_str(), bind.binding_key.as_str())?;
        let pending = self.bind_queue(&queue, bind.exchange.as_str(), &key, bind.arguments, true)?;
        self.answer_when_durable(channel, m::QueueBind::IDS, pending, (!bind.no_wait).then_some(m::QueueBindOk {}));
        Ok(())
    }

    pub(super) fn queue_unbind(&mut self, channel: u16, unbind: &m::QueueUnbind<'_>) -> Result<(), Failure> {
        let queue = self.queue_name(channel, unbind.queue.as_str())?;
        let key = self.binding_key(channel, unbind.queue.as_str(), unbind.binding_key.as_str())?;
        let pending = self.bind_queue(&queue, unbind.exchange.as_str(), &key, unbind.arguments, false)?;
        self.answer_when_durable(channel, m::QueueUnbind::IDS, pending, Some(m::QueueUnbindOk {}));
        Ok(())
    }

    /// Without a queue and a key, the key is the name of the last queue, too (queue.bind, rule "queue-known").
    fn binding_key(&mut self, channel: u16, queue: &str, key: &str) -> Result<String, Failure> {
        if queue.is_empty() && key.is_empty() { self.queue_name(channel, "") } else { Ok(key.to_owned()) }
    }

    fn bind_queue(
        &mut self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: RawTable<'_>,
        bind: bool,
    ) -> Result<Pending, Failure> {
        let exchange = without_line_ends(exchange);
        self.session.check(Access::Write, Kind::Queue, queue)?;
        self.session.check(Access::Read, Kind::Exchange, &exchange)?;
        self.session.check_topic(TopicAccess::Read, &exchange, key.as_bytes(), None)?;
        let arguments = arguments.decode()?;
        let (vhost, connection) = (self.session.vhost().clone(), self.session.connection());
        let destination = (Kind::Queue, queue);
        Ok(if bind {
            vhost.define_binding(&exchange, destination, key.as_bytes(), &arguments, connection)?
        } else {
            vhost.remove_binding(&exchange, destination, key.as_bytes(), &arguments, connection)?
        })
    }

    pub(super) fn queue_purge(&mut self, channel: u16, purge: &m::QueuePurge<'_>) -> Result<(), Failure> {
        let name = self.queue_name(channel, purge.queue.as_str())?;
        self.session.check(Access::Read, Kind::Queue, &name)?;
        let queue = self.session.vhost().queue(&name, self.session.connection())?;
        if queue.is_stream() {
            return Err(not_of_streams("queue.purge", &queue));
        }
        let purged = queue.purge();
        if !purge.no_wait {
            self.send(channel, m::QueuePurgeOk { message_count: u32::try_from(purged).unwrap_or(u32::MAX) });
        }
        Ok(())
    }

    pub(super) async fn queue_delete(&mut self, channel: u16, delete: &m::QueueDelete<'_>) -> Result<(), Failure> {
        let name = self.queue_name(channel, delete.queue.as_str())?;
        self.session.check(Access::Configure, Kind::Queue, &name)?;
        let (vhost, connection) = (self.session.vhost().clone(), self.session.connection());
        let conditions = DeleteQueue { if_unused: delete.if_unused, if_empty: delete.if_empty };
        let waited = vhost.delete_queue(&name, conditions, connection).await?;
        if !delete.no_wait {
            self.send(channel, m::QueueDeleteOk { message_count: u32::try_from(waited).unwrap_or(u32::MAX) });
        }
        Ok(())
    }
}

/// What names made by the server look like.
const GENERATED_NAME_SAMPLE: &str = "amq.gen-AAAAAAAAAAAAAAAAAAAAAA";
