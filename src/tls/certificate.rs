//! Who a client's certificate is for, in RabbitMQ's words: users of SASL EXTERNAL are named by them.
//!
//! RabbitMQ prints a distinguished name after RFC 4514: the last part first, parts joined by a comma, the values of a part with
//! several by a plus sign in their order, names of types in capitals, and anything but printable ASCII as `\C3\9F`. What it does
//! where the RFC leaves a choice was tried on RabbitMQ 3.10; `tests.rs` has the results.

use std::fmt::Write;
use std::net::IpAddr;

use gantry_broker::protocol::PeerCertificate;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, GeneralName, X509Certificate, X509Error, X509Name};

use crate::config::LoginFrom;

/// Reads a certificate that has been verified.
pub(super) fn read(der: &[u8], login_from: LoginFrom) -> Result<PeerCertificate, X509Error> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    let subject = distinguished_name(certificate.subject());
    let common_name = common_name(certificate.subject());
    let extension = certificate.subject_alternative_name()?;
    let names = extension.as_ref().map_or(&[][..], |names| &names.value.general_names);
    let first = |wanted: LoginFrom| names.iter().find_map(|name| alternative_name(name).filter(|it| it.0 == wanted));
    let login = match login_from {
        LoginFrom::DistinguishedName => Some(subject.clone()),
        LoginFrom::CommonName => common_name.clone(),
        wanted => first(wanted).map(|(_, name)| name),
    };
    Ok(PeerCertificate {
        // A certificate that names nobody must not become the user with the empty name.
        login: login.filter(|login| !login.is_empty()),
        alternative_name: names.iter().find_map(alternative_name).map(|(_, name)| name),
        subject,
        common_name,
    })
}

/// The name as text, with the kind that it is.
fn alternative_name(name: &GeneralName<'_>) -> Option<(LoginFrom, String)> {
    match name {
        GeneralName::DNSName(name) => Some((LoginFrom::SanDns, (*name).to_owned())),
        GeneralName::RFC822Name(name) => Some((LoginFrom::SanEmail, (*name).to_owned())),
        GeneralName::URI(name) => Some((LoginFrom::SanUri, (*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?;
            Some((LoginFrom::SanIp, ip.to_string()))
        }
        _ => None,
    }
}

/// Several common names are joined by a comma.
fn common_name(subject: &X509Name<'_>) -> Option<String> {
    let names: Vec<_> = subject.iter_common_name().map(text).collect();
    if names.is_empty() { None } else { Some(names.join(",")) }
}

fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut printed = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (n, part) in parts.iter().rev().enumerate() {
        for (m, attribute) in part.iter().enumerate() {
            if m > 0 {
                printed.push('+');
            } else if n > 0 {
                printed.push(',');
            }
            let oid = attribute.attr_type().to_id_string();
            printed.push_str(TYPES.iter().find(|(known, _)| *known == oid).map_or(oid.as_str(), |(_, name)| name));
            printed.push('=');
            escape(&text(attribute), &mut printed);
        }
    }
    printed
}

/// The types that have a name here; any other is printed as its number.
const TYPES: [(&str, &str); 16] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
];

/// The value of an attribute, whatever kind of string it is.
fn text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let bytes = attribute.as_slice();
    match attribute.attr_value().tag() {
        // Its characters are 16 bits wide.
        Tag::BmpString => {
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        Tag::UniversalString => {
            let chars = bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            chars.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        // Taken for Latin-1, as everyone does.
        Tag::T61String => bytes.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

fn escape(value: &str, printed: &mut String) {
    let last = value.len().saturating_sub(1);
    for (n, byte) in value.bytes().enumerate() {
        let at_an_end = (byte == b' ' && (n == 0 || n == last)) || (byte == b'#' && n == 0);
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => {
                printed.push('\\');
                printed.push(char::from(byte));
            }
            _ if at_an_end => {
                printed.push('\\');
                printed.push(char::from(byte));
            }
            b' '..b'~' => printed.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(printed, "\\{byte:02X}")),
        }
    }
}
