//! What is sent -> message.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_broker::{Address, Essentials, Group, Message};

use super::SOURCE;
use super::head::Head;
use crate::message::{ATTRIBUTE_BYTES, Checked, MessageId, Sum, put_attributes};

/// A message that is sent, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) id: MessageId,
    /// In milliseconds since the epoch of Unix.
    pub(crate) sent_ms: u64,
    pub(crate) sender: &'a str,
    pub(crate) body: &'a str,
    pub(crate) body_sum: Sum,
    pub(crate) group: Option<&'a str>,
    pub(crate) deduplication: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) attributes: &'a Checked<'a>,
    pub(crate) attributes_sum: Option<Sum>,
    /// It waits for so long before anybody gets it, in milliseconds.
    pub(crate) delay_ms: Option<u32>,
}

/// Makes the message, with one allocation for what is stored.
pub(crate) fn message(address: &Arc<Address>, sent: &Sent<'_>) -> Arc<Message> {
    let head = Head {
        id: sent.id,
        sent_ms: sent.sent_ms,
        body_sum: sent.body_sum,
        sender: sent.sender,
        group: sent.group,
        deduplication: sent.deduplication,
        trace: sent.trace,
        set: &[],
        attributes_sum: sent.attributes_sum,
        attributes: &[],
    };
    let count = sent.attributes.iter().count();
    let head_bytes = head.fixed_bytes() + count * ATTRIBUTE_BYTES + sent.attributes.bytes();
    let mut data = BytesMut::with_capacity(head_bytes + sent.body.len());
    head.put(&mut data);
    put_attributes(sent.attributes.iter(), &mut data);
    debug_assert_eq!(data.len(), head_bytes);
    let head_bytes = data.len() as u32;
    data.extend_from_slice(sent.body.as_bytes());
    let group = sent.group.map(|group| Group::new(group.as_bytes(), false));
    let essentials = Essentials { durable: true, group, delay_ms: sent.delay_ms, ..Essentials::default() };
    Message::new(&SOURCE, Arc::clone(address), essentials, head_bytes, data.freeze())
}
