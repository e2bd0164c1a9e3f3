//! What is published -> message.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::BytesMut;
use gantry_broker::{Address, Essentials, Group, Message};

use super::SOURCE;
use super::head::{Head, VARIANT_BYTES, put_variant};
use crate::message::{ATTRIBUTE_BYTES, Checked, MessageId, put_attributes};

/// What is said to one protocol in place of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant<'a> {
    /// Such as `sqs` or `APNS`.
    pub(crate) protocol: &'static str,
    pub(crate) text: Cow<'a, str>,
}

/// A message that is published, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published<'a> {
    pub(crate) id: MessageId,
    /// In milliseconds since the epoch of Unix.
    pub(crate) published_ms: u64,
    /// The ARN of the topic.
    pub(crate) topic: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) body: &'a str,
    pub(crate) variants: &'a [Variant<'a>],
    pub(crate) group: Option<&'a str>,
    pub(crate) deduplication: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    /// Its number in a topic with order.
    pub(crate) sequence: Option<u64>,
    pub(crate) attributes: &'a Checked<'a>,
}

/// Makes the message, with one allocation for what is stored.
pub(crate) fn message(address: &Arc<Address>, published: &Published<'_>) -> Arc<Message> {
    let head = Head {
        id: published.id,
        published_ms: published.published_ms,
        topic: published.topic,
        subject: published.subject,
        group: published.group,
        deduplication: published.deduplication,
        trace: published.trace,
        sequence: published.sequence,
        set: &[],
        variants: &[],
        attributes: &[],
    };
    let of_variant = |variant: &Variant<'_>| VARIANT_BYTES + variant.protocol.len() + variant.text.len();
    let variants_bytes = published.variants.iter().map(of_variant).sum();
    let count = published.attributes.iter().count();
    let head_bytes = head.fixed_bytes(variants_bytes) + count * ATTRIBUTE_BYTES + published.attributes.bytes();
    let mut data = BytesMut::with_capacity(head_bytes + published.body.len());
    head.put(variants_bytes, &mut data);
    for variant in published.variants {
        put_variant(variant.protocol, &variant.text, &mut data);
    }
    put_attributes(published.attributes.iter(), &mut data);
    debug_assert_eq!(data.len(), head_bytes);
    let head_bytes = data.len() as u32;
    data.extend_from_slice(published.body.as_bytes());
    let group = published.group.map(|group| Group::new(group.as_bytes(), false));
    let essentials = Essentials { durable: true, group, ..Essentials::default() };
    Message::new(&SOURCE, Arc::clone(address), essentials, head_bytes, data.freeze())
}
