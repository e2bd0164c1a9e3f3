//! PUBLISH (3.3).

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

#[inline]
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
    let mut publish = Publish {
        // In 3.1 the flag has no meaning without QoS; in later versions it is not there.
        dup: frame.first & 0x08 != 0 && qos > QoS::AtMostOnce,
        qos,
        retain: frame.first & 0x01 != 0,
        packet_id: if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? },
        ..Publish::new(topic, &[])
    };
    if version == Version::V5 {
        properties(&mut reader, &mut publish, side)?;
    }
    if topic.is_empty() && publish.topic_alias.is_none() {
        return protocol_error("neither topic name nor topic alias");
    }
    publish.payload = reader.rest();
    Ok(publish)
}

fn properties<'a>(reader: &mut Reader<'a>, publish: &mut Publish<'a>, side: Side) -> Result<()> {
    let mut section = Section::take(reader, PUBLISH)?;
    let mut application = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::TopicAlias(alias) => publish.topic_alias = Some(alias),
            Property::MessageExpiry(seconds) => publish.message_expiry_s = Some(seconds),
            Property::SubscriptionId(_) if side == Side::Client => {
                return protocol_error("a client sends a subscription identifier in PUBLISH");
            }
            Property::SubscriptionId(id) => publish.subscription_ids.push(id),
            Property::PayloadFormat(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::User(..) => application.add(place),
            _ => return unexpected(),
        }
    }
    publish.application = application.into_bytes();
    Ok(())
}
