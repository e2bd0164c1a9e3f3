//! PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7): alike but for their reason codes.

use crate::codec::allowed;
use crate::codec::error::Result;
use crate::codec::header::{Frame, Side};
use crate::codec::packet::{Ack, UserProperties, Version};
use crate::codec::properties::{Allowed, Property, Section, id, unexpected};
use crate::codec::reason::Reason;
use crate::codec::wire::Reader;

/// What many packets have: why, and the user's own.
const DIAGNOSTICS: Allowed = Allowed::new(&[id::REASON_STRING, id::USER]);

pub(super) fn ack<'a>(frame: &Frame<'a>, version: Version, side: Side) -> Result<Ack<'a>> {
    let mut reader = Reader::new(frame.body);
    let mut ack = Ack::new(reader.packet_id()?, Reason::SUCCESS);
    // Reason and properties may be left out, the properties alone, too (3.4.2.1, 3.4.2.2.1).
    if version == Version::V5 && !reader.is_empty() {
        ack.reason = allowed::reason(reader.byte()?, frame.kind, side)?;
        if !reader.is_empty() {
            (ack.reason_string, ack.user_properties) = diagnostics(&mut reader)?;
        }
    }
    reader.end()?;
    Ok(ack)
}

/// A section of properties in which only a reason string and user properties may be.
pub(super) fn diagnostics<'a>(reader: &mut Reader<'a>) -> Result<(Option<&'a str>, UserProperties<'a>)> {
    let mut reason_string = None;
    let mut section = Section::take(reader, DIAGNOSTICS)?;
    let mut user = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::ReasonString(text) => reason_string = Some(text),
            Property::User(..) => user.add(place),
            _ => return unexpected(),
        }
    }
    Ok((reason_string, user.into_bytes()))
}
