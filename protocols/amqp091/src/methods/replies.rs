//! Direct reply-to: replies that come to the channel that asked, without a queue.

use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::replies::REPLY_TO;
use gantry_broker::{Error, Kind, Outlet, Pending, ReplyConsumer, Resource};

use super::basic::generated_tag;
use crate::channel::Channel;
use crate::codec::methods as m;
use crate::codec::{Properties, ReplyCode, ShortText};
use crate::error::Failure;
use crate::session::Client;

/// The consumer of replies of a channel, which is one at most.
#[derive(Debug)]
pub(crate) struct Replies {
    pub(crate) tag: Box<str>,
    pub(crate) token: u64,
    pub(crate) consumer: ReplyConsumer,
}

impl Client {
    /// basic.consume of `amq.rabbitmq.reply-to`. It is no queue: there is no right to it, and nothing to give back to.
    pub(super) fn consume_replies(&mut self, channel: u16, consume: &m::BasicConsume<'_>) -> Result<(), Failure> {
        let inbox = Arc::clone(&self.inbox);
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        let tag = match consume.consumer_tag.as_str() {
            "" => generated_tag(channel, open.consumers.len()),
            tag => tag.to_owned(),
        };
        open.check_new_tag(&tag)?;
        if !consume.no_ack {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "reply consumer cannot acknowledge"));
        }
        if open.replies.is_some() {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "reply consumer already set"));
        }
        let token = self.tokens.next(channel);
        let consumer = self.session.vhost().take_replies(Outlet { inbox, token, shared_credit: None })?;
        if let Some(open) = self.channels.get_mut(&channel) {
            let tag: Box<str> = Box::from(&*tag);
            open.tags.insert(token, tag.clone());
            open.replies = Some(Replies { tag, token, consumer });
        }
        if !consume.no_wait {
            self.send(channel, m::BasicConsumeOk { consumer_tag: ShortText::cut(&tag) });
        }
        Ok(())
    }

    /// queue.declare of an address, passive or not: nothing is made, and the answer tells whether the requester is still
    /// there.
    pub(super) fn declare_address(&mut self, channel: u16, name: &str, no_wait: bool) -> Result<(), Failure> {
        let vhost = self.session.vhost();
        if name != REPLY_TO && !vhost.takes_replies(name.as_bytes()) {
            let resource = Resource { kind: Kind::Queue, name: Arc::from(name), vhost: Arc::clone(vhost.name()) };
            return Err(Error::NotFound(resource).into());
        }
        if let Some(open) = self.open_channel(channel)? {
            open.last_queue = Some(Box::from(name));
        }
        let ok = m::QueueDeclareOk { queue: ShortText::cut(name), message_count: 0, consumer_count: 1 };
        // There is nothing to wait for, but what was declared before may be on its way to the disk.
        self.answer_when_durable(channel, m::QueueDeclare::IDS, Pending::nothing(), (!no_wait).then_some(ok));
        Ok(())
    }
}

/// The address that takes the place of `amq.rabbitmq.reply-to` in a request; none in other messages.
pub(crate) fn address_for(replies: Option<&Replies>, properties: &Properties<'_>) -> Result<Option<Bytes>, Failure> {
    match properties.reply_to {
        Some(reply_to) if reply_to.as_bytes() == REPLY_TO.as_bytes() => match replies {
            Some(replies) => Ok(Some(replies.consumer.address().clone())),
            None => Err(Failure::new(ReplyCode::PreconditionFailed, "fast reply consumer does not exist")),
        },
        _ => Ok(None),
    }
}

impl Channel {
    /// Refuses the tag of another consumer.
    pub(crate) fn check_new_tag(&self, tag: &str) -> Result<(), Failure> {
        if self.consumers.contains_key(tag) || self.replies.as_ref().is_some_and(|replies| *replies.tag == *tag) {
            return Err(Failure::new(ReplyCode::NotAllowed, format!("attempt to reuse consumer tag '{tag}'")));
        }
        Ok(())
    }
}
