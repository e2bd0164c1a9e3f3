//! Messages of this program's own, which wait in the queue of a subscription as all others do: the question whether an endpoint
//! wants what is published, and the news that it gets nothing any more.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gantry_broker::message::{Edit, now_ms};
use gantry_broker::{Address, Error, Essentials, Kind, Message, Properties, Resource, Source, Ticket, Wakes};
use serde::{Deserialize, Serialize};

use super::parcel::Sort;
use crate::Edge;
use crate::message::id;
use crate::sns::Subscription;

/// The number of this source in stored messages.
const SOURCE_ID: u8 = 7;

/// A message of this program's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    /// What it is.
    pub(crate) sort: Sort,
    /// Its id: a UUID.
    pub(crate) id: Box<str>,
    /// What confirms, or brings back.
    pub(crate) token: Box<str>,
    /// What URLs begin with: scheme and host, as the client has used them.
    pub(crate) base_url: Box<str>,
    /// When it was made, in milliseconds since the epoch of Unix.
    pub(crate) made_ms: u64,
}

/// This program as a source of messages.
#[derive(Debug)]
pub struct NoticeSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: NoticeSource = NoticeSource;

impl Source for NoticeSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Properties {
        let notice: Option<Notice> = serde_json::from_slice(head).ok();
        let id = notice.as_ref().map(|notice| Bytes::copy_from_slice(notice.id.as_bytes()));
        Properties { message_id: id, timestamp_s: notice.map(|notice| notice.made_ms / 1000), ..Properties::default() }
    }

    // It is for one endpoint only, and never goes on.
    fn edited(&self, head: &[u8], _: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head);
    }
}

/// The message that waits in a queue.
pub(crate) fn message(notice: &Notice, queue: &str, text: &str) -> Arc<Message> {
    // Nothing in it can fail to be written.
    let head = serde_json::to_vec(notice).unwrap_or_default();
    let address = Address { exchange: Arc::from(""), routing_key: Bytes::copy_from_slice(queue.as_bytes()) };
    let essentials = Essentials { durable: true, ..Essentials::default() };
    let mut data = BytesMut::with_capacity(head.len() + text.len());
    data.extend_from_slice(&head);
    data.extend_from_slice(text.as_bytes());
    Message::new(&SOURCE, Arc::new(address), essentials, head.len() as u32, data.freeze())
}

/// Has the endpoint of a subscription asked whether it wants what is published: by the subscription's own queue, so that it is
/// asked until it answers or its policy of retries ends. `base_url`: scheme and host, as the client has used them. What to wait for
/// until that is certain.
///
/// # Errors
/// The queue is not there, or the disk is full.
pub(crate) fn ask(
    edge: &Edge,
    subscription: &Subscription,
    token: &str,
    base_url: &str,
) -> Result<Option<Ticket>, Error> {
    let topic = &subscription.topic_arn;
    let text = format!(
        "You have chosen to subscribe to the topic {topic}.\nTo confirm the subscription, visit the SubscribeURL included in this \
         message."
    );
    put(edge, subscription, Sort::SubscriptionConfirmation, &text, (token, base_url))
}

/// Has the endpoint of a subscription told that it gets nothing any more, and how that can be taken back; as [`ask`]. What waits
/// in front of it is still delivered.
///
/// # Errors
/// As there.
pub(crate) fn take_leave(
    edge: &Edge,
    subscription: &Subscription,
    token: &str,
    base_url: &str,
) -> Result<Option<Ticket>, Error> {
    let arn = &subscription.arn;
    let text = format!(
        "You have chosen to deactivate subscription {arn}.\nTo cancel this operation and restore the subscription, visit the \
         SubscribeURL included in this message."
    );
    put(edge, subscription, Sort::UnsubscribeConfirmation, &text, (token, base_url))
}

fn put(
    edge: &Edge,
    subscription: &Subscription,
    sort: Sort,
    text: &str,
    (token, base_url): (&str, &str),
) -> Result<Option<Ticket>, Error> {
    let name = subscription.queue_name();
    let missing = || {
        let (name, vhost) = (Arc::clone(&subscription.vhost), Arc::clone(&subscription.vhost));
        Error::NotFound(Resource { kind: Kind::VirtualHost, name, vhost })
    };
    let vhost = edge.broker.vhost(&subscription.vhost).ok_or_else(missing)?;
    let queue = vhost.queue_of_anyone(&name)?;
    let made_ms = now_ms();
    let id = id::text(&edge.sqs.ids.next()).to_string().into();
    let notice = Notice { sort, id, token: token.into(), base_url: base_url.into(), made_ms };
    let sent = vhost.send(&queue, &message(&notice, &name, text), None, made_ms, &mut Wakes::new())?;
    Ok(sent.durable)
}

/// What a message says, where it is one of these.
pub(super) fn read(message: &Message) -> Option<Notice> {
    if message.source().id() != SOURCE_ID {
        return None;
    }
    serde_json::from_slice(message.head()).ok()
}
