//! DISCONNECT (3.14) and AUTH (3.15).

use crate::codec::allowed;
use crate::codec::error::{Result, protocol_error};
use crate::codec::header::{Kind, Side};
use crate::codec::packet::{Auth, Disconnect, NO_PROPERTIES, Version};
use crate::codec::properties::{Allowed, Property, Section, id, unexpected};
use crate::codec::reason::Reason;
use crate::codec::wire::Reader;

const DISCONNECT: Allowed = Allowed::new(&[id::SESSION_EXPIRY, id::SERVER_REFERENCE, id::REASON_STRING, id::USER]);
const AUTH: Allowed = Allowed::new(&[id::AUTHENTICATION_METHOD, id::AUTHENTICATION_DATA, id::REASON_STRING, id::USER]);

pub(super) fn disconnect(body: &[u8], version: Version, side: Side) -> Result<Disconnect<'_>> {
    let mut reader = Reader::new(body);
    let mut disconnect = Disconnect::new(Reason::NORMAL_DISCONNECTION);
    // Reason and properties may be left out, the properties alone, too (3.14.2.1, 3.14.2.2.1).
    if version == Version::V5 && !reader.is_empty() {
        disconnect.reason = allowed::reason(reader.byte()?, Kind::Disconnect, side)?;
        if !reader.is_empty() {
            disconnect_properties(&mut reader, &mut disconnect, side)?;
        }
    }
    reader.end()?;
    Ok(disconnect)
}

fn disconnect_properties<'a>(reader: &mut Reader<'a>, disconnect: &mut Disconnect<'a>, side: Side) -> Result<()> {
    let mut section = Section::take(reader, DISCONNECT)?;
    let mut user = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::SessionExpiry(_) if side == Side::Server => {
                return protocol_error("a server sends a session expiry in DISCONNECT");
            }
            Property::ServerReference(_) if side == Side::Client => {
                return protocol_error("a client sends a server reference");
            }
            Property::SessionExpiry(seconds) => disconnect.session_expiry_s = Some(seconds),
            Property::ServerReference(server) => disconnect.server_reference = Some(server),
            Property::ReasonString(text) => disconnect.reason_string = Some(text),
            Property::User(..) => user.add(place),
            _ => return unexpected(),
        }
    }
    disconnect.user_properties = user.into_bytes();
    Ok(())
}

pub(super) fn auth(body: &[u8], side: Side) -> Result<Auth<'_>> {
    let mut reader = Reader::new(body);
    let mut auth =
        Auth { reason: Reason::SUCCESS, method: None, data: None, reason_string: None, user_properties: NO_PROPERTIES };
    // A remaining length of 0 stands for success without properties (3.15.2.1).
    auth.reason = allowed::reason(if body.is_empty() { 0 } else { reader.byte()? }, Kind::Auth, side)?;
    if reader.is_empty() {
        return if body.is_empty() { Ok(auth) } else { protocol_error("AUTH without a method") };
    }
    let mut section = Section::take(&mut reader, AUTH)?;
    let mut user = section.gather();
    while let Some((property, place)) = section.next()? {
        match property {
            Property::AuthenticationMethod(method) => auth.method = Some(method),
            Property::AuthenticationData(data) => auth.data = Some(data),
            Property::ReasonString(text) => auth.reason_string = Some(text),
            Property::User(..) => user.add(place),
            _ => return unexpected(),
        }
    }
    auth.user_properties = user.into_bytes();
    reader.end()?;
    if auth.method.is_none() {
        return protocol_error("AUTH without a method");
    }
    Ok(auth)
}
