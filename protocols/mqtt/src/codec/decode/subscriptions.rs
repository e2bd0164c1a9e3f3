//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (3.8 to 3.11).

use smallvec::SmallVec;

use super::acks::diagnostics;
use crate::codec::allowed;
use crate::codec::error::{DecodeError, Result, malformed, protocol_error};
use crate::codec::header::{Frame, Kind, Side};
use crate::codec::packet::{
    Filter, NO_PROPERTIES, QoS, RetainHandling, SubAck, Subscribe, SubscribeOptions, Unsubscribe, Version,
};
use crate::codec::properties::{Allowed, Property, Section, id, unexpected};
use crate::codec::reason::Reason;
use crate::codec::wire::Reader;

/// Filters in one packet. A decoded one takes many times the bytes that it came in, so that the size of the packet alone is no
/// bound for memory.
pub const FILTERS_MAX: usize = 65_535;

const SUBSCRIBE: Allowed = Allowed::new(&[id::SUBSCRIPTION_ID, id::USER]);
const UNSUBSCRIBE: Allowed = Allowed::new(&[id::USER]);

pub(super) fn subscribe(body: &[u8], version: Version) -> Result<Subscribe<'_>> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut subscribe =
        Subscribe { packet_id, subscription_id: None, user_properties: NO_PROPERTIES, filters: SmallVec::new() };
    if version == Version::V5 {
        let mut section = Section::take(&mut reader, SUBSCRIBE)?;
        let mut user = section.gather();
        while let Some((property, place)) = section.next()? {
            match property {
                Property::SubscriptionId(_) if subscribe.subscription_id.is_some() => {
                    return protocol_error("a property comes twice");
                }
                Property::SubscriptionId(id) => subscribe.subscription_id = Some(id),
                Property::User(..) => user.add(place),
                _ => return unexpected(),
            }
        }
        subscribe.user_properties = user.into_bytes();
    }
    while !reader.is_empty() {
        let filter = filter(&mut reader, subscribe.filters.len())?;
        let options = options(reader.byte()?, version)?;
        if options.no_local && filter.is_shared() {
            return protocol_error("no-local in a shared subscription");
        }
        subscribe.filters.push((filter, options));
    }
    if subscribe.filters.is_empty() {
        return protocol_error("SUBSCRIBE without a filter");
    }
    Ok(subscribe)
}

pub(super) fn unsubscribe(body: &[u8], version: Version) -> Result<Unsubscribe<'_>> {
    let mut reader = Reader::new(body);
    let packet_id = reader.packet_id()?;
    let mut unsubscribe = Unsubscribe { packet_id, user_properties: NO_PROPERTIES, filters: SmallVec::new() };
    if version == Version::V5 {
        let mut section = Section::take(&mut reader, UNSUBSCRIBE)?;
        let mut user = section.gather();
        while let Some((_, place)) = section.next()? {
            user.add(place);
        }
        unsubscribe.user_properties = user.into_bytes();
    }
    while !reader.is_empty() {
        let filter = filter(&mut reader, unsubscribe.filters.len())?;
        unsubscribe.filters.push(filter);
    }
    if unsubscribe.filters.is_empty() {
        return protocol_error("UNSUBSCRIBE without a filter");
    }
    Ok(unsubscribe)
}

fn filter<'a>(reader: &mut Reader<'a>, filters_before: usize) -> Result<Filter<'a>> {
    if filters_before >= FILTERS_MAX {
        return Err(DecodeError::new(Reason::QUOTA_EXCEEDED, "more than 65,535 filters in one packet"));
    }
    match reader.text()? {
        "" => malformed("an empty filter"),
        whole => Ok(Filter::new(whole)),
    }
}

/// Subscription options (3.8.3.1); before 5.0 the byte is the QoS.
fn options(byte: u8, version: Version) -> Result<SubscribeOptions> {
    let reserved = match version {
        // The upper bits have no meaning there.
        Version::V31 => 0,
        Version::V311 => 0b1111_1100,
        Version::V5 => 0b1100_0000,
    };
    if byte & reserved != 0 {
        return malformed("reserved bits of the subscription options");
    }
    let qos = match byte & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        2 => QoS::ExactlyOnce,
        _ => return protocol_error("a subscription of QoS 3"),
    };
    if version != Version::V5 {
        return Ok(SubscribeOptions { qos, ..SubscribeOptions::default() });
    }
    let retain_handling = match byte >> 4 {
        0 => RetainHandling::Send,
        1 => RetainHandling::SendIfNew,
        2 => RetainHandling::DoNotSend,
        _ => return protocol_error("retain handling 3"),
    };
    let (no_local, retain_as_published) = (byte & 0b100 != 0, byte & 0b1000 != 0);
    Ok(SubscribeOptions { qos, no_local, retain_as_published, retain_handling })
}

pub(super) fn suback<'a>(frame: &Frame<'a>, version: Version) -> Result<SubAck<'a>> {
    let mut reader = Reader::new(frame.body);
    let packet_id = reader.packet_id()?;
    let mut suback = SubAck::new(packet_id, SmallVec::new());
    if version == Version::V5 {
        (suback.reason_string, suback.user_properties) = diagnostics(&mut reader)?;
    } else if frame.kind == Kind::UnsubAck {
        reader.end()?;
        return Ok(suback);
    }
    for &code in reader.rest() {
        let reason = allowed::reason(code, frame.kind, Side::Server)?;
        if version != Version::V5 && code > 2 && code != 0x80 {
            return protocol_error("a return code that does not exist");
        }
        suback.reasons.push(reason);
    }
    if suback.reasons.is_empty() {
        return protocol_error("an acknowledgement of no filter");
    }
    Ok(suback)
}
