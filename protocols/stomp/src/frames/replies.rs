//! Queues for replies: `reply-to:/temp-queue/name` in a SEND makes one, and its messages come without a SUBSCRIBE.

use gantry_broker::rights::Access;
use gantry_broker::{ConsumerOptions, Credit, Kind, Outlet, QueueName, QueueOptions};
use hashbrown::HashMap;

use crate::activemq::TemporaryKind;
use crate::client::Client;
use crate::destinations::rabbitmq::REPLY_QUEUE;
use crate::destinations::{Destination, Dialect};
use crate::error::Failure;
use crate::limits::{GENERATED_NAME_SAMPLE, REPLY_QUEUES_MAX};
use crate::subscriptions::{AckMode, Subscribed, Tag};

/// What the client calls them, and the addresses that those who reply are given.
#[derive(Debug, Default)]
pub(crate) struct ReplyQueues(HashMap<Box<str>, Box<str>>);

impl Client {
    /// The address that takes the place of a `reply-to`; none where that stays as it is.
    pub(super) fn reply_address(&mut self, reply_to: &[u8]) -> Result<Option<Box<str>>, Failure> {
        let text = String::from_utf8_lossy(reply_to);
        // What is no destination may mean something to whoever replies.
        let name = match (Destination::parse(self.settings.dialect, &text), self.settings.dialect) {
            (Ok(Destination::TempQueue(name)), Dialect::ActiveMq) => {
                return self.temporary_address(TemporaryKind::Queue, &name).map(Some);
            }
            (Ok(Destination::TempTopic(name)), Dialect::ActiveMq) => {
                return self.temporary_address(TemporaryKind::Topic, &name).map(Some);
            }
            (Ok(Destination::TempQueue(name)), Dialect::RabbitMq) => name,
            _ => return Ok(None),
        };
        if let Some(address) = self.reply_queues.0.get(&*name) {
            return Ok(Some(address.clone()));
        }
        if self.reply_queues.0.len() >= REPLY_QUEUES_MAX {
            let detail = format!("Too many reply queues (limit {REPLY_QUEUES_MAX})");
            return Err(Failure::soft("Reply queue limit exceeded", detail));
        }
        self.session.check(Access::Configure, Kind::Queue, GENERATED_NAME_SAMPLE)?;
        self.session.check(Access::Read, Kind::Queue, GENERATED_NAME_SAMPLE)?;
        let options = QueueOptions { exclusive: true, auto_delete: true, ..QueueOptions::default() };
        let vhost = std::sync::Arc::clone(self.session.vhost());
        // It does not survive, so there is nothing to wait for.
        let (queue, _nothing) = vhost.define_queue(QueueName::Generated, options, self.session.connection())?;
        let token = self.subscriptions.next_token();
        let outlet = Outlet { inbox: std::sync::Arc::clone(&self.inbox), token, shared_credit: None };
        let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: false, exclusive: false, priority: 0 };
        let consumer = vhost.subscribe(&queue, outlet, options, &mut self.wakes)?;
        let subscribed = Subscribed {
            tag: Tag::of_replies(&name),
            ack: AckMode::Auto,
            consumers: [consumer].into_iter().collect(),
            is_topic: false,
            shown: None,
        };
        self.tell_subscribed(&subscribed, 0);
        self.subscriptions.insert(token, subscribed);
        let address: Box<str> = format!("{REPLY_QUEUE}{}", queue.name()).into();
        self.reply_queues.0.insert(name.into(), address.clone());
        Ok(Some(address))
    }
}
