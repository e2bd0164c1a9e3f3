//! PUBLISH (3.3).

use std::borrow::Cow;
use std::num::NonZeroU16;

use smallvec::SmallVec;

use crate::codec::error::{DecodeError, Result, malformed, protocol_error};
use crate::codec::header::{Frame, Side};
use crate::codec::packet::{Publish, QoS, Version};
use crate::codec::properties::{Allowed, Property, Section, id, unexpected};
use crate::codec::reason::Reason;
use crate::codec::topic::has_wildcard;
use crate::codec::wire::Reader;

/// A client must not send a subscription identifier, but it belongs into the packet: another error than a wrong property.
const PUBLISH: Allowed = Allowed::new(&[
    id::PAYLOAD_FORMAT,
    id::MESSAGE_EXPIRY,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::SUBSCRIPTION_ID,
    id::TOPIC_ALIAS,
    id::USER,
]);

/// The fields are put together at the end and not in a value that is filled: that one would be moved in pieces.
#[inline(always)]
pub(super) fn publish<'a>(frame: &Frame<'a>, version: Version, side: Side) -> Result<Publish<'a>> {
    let qos = match frame.first >> 1 & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return malformed("PUBLISH with QoS 3"),
    };
    let mut reader = Reader::new(frame.body);
    let topic = reader.text()?;
    if has_wildcard(topic) {
        return Err(DecodeError::new(Reason::TOPIC_NAME_INVALID, "a topic name with a wildcard in it"));
    }
    let packet_id = if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? };
    // In 3.1 the flag has no meaning without QoS; in later versions it is not there.
    let dup = frame.first & 0x08 != 0 && qos > QoS::AtMostOnce;
    let retain = frame.first & 0x01 != 0;
    let properties = match version {
        Version::V5 if reader.rest().first() == Some(&0) => {
            reader.byte()?;
            Properties::default()
        }
        Version::V5 => properties(&mut reader, side)?,
        Version::V31 | Version::V311 => Properties::default(),
    };
    let Properties { topic_alias, message_expiry_s, subscription_ids, application } = properties;
    if topic.is_empty() && topic_alias.is_none() {
        return protocol_error("neither topic name nor topic alias");
    }
    let payload = reader.rest();
    Ok(Publish {
        dup,
        qos,
        retain,
        topic,
        packet_id,
        topic_alias,
        message_expiry_s,
        subscription_ids,
        application,
        payload,
    })
}

/// The fields of a PUBLISH that are properties.
#[derive(Default)]
struct Properties<'a> {
    topic_alias: Option<NonZeroU16>,
    message_expiry_s: Option<u32>,
    subscription_ids: SmallVec<[u32; 1]>,
    application: Cow<'a, [u8]>,
}

fn properties<'a>(reader: &mut Reader<'a>, side: Side) -> Result<Properties<'a>> {
    let mut properties = Properties::default();
    let mut section = Section::take(reader, PUBLISH)?;
    let mut application = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::TopicAlias(alias) => properties.topic_alias = Some(alias),
            Property::MessageExpiry(seconds) => properties.message_expiry_s = Some(seconds),
            Property::SubscriptionId(_) if side == Side::Client => {
                return protocol_error("a client sends a subscription identifier in PUBLISH");
            }
            Property::SubscriptionId(id) => properties.subscription_ids.push(id),
            Property::PayloadFormat(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::User(..) => application.add(place),
            _ => return unexpected(),
        }
    }
    properties.application = application.into_bytes();
    Ok(properties)
}
