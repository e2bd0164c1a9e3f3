//! SEND -> message.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_broker::message::now_ms;
use gantry_broker::queue::ARGUMENT_MS_MAX;
use gantry_broker::{Address, Essentials, Group, Message};

use super::head::{HEAD_BYTES, Head, flags, put_line};
use super::{SOURCE, is_of_frame, names};
use crate::codec::{Frame, escape};
use crate::destinations::{Dialect, rabbitmq};
use crate::error::Failure;

/// What a message is made of beside its frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// Number of the publisher's connection.
    pub(crate) connection: u64,
    /// Stands in place of the value of `reply-to`, where that was the connection's own name for a queue.
    pub(crate) reply_to: Option<&'a [u8]>,
    /// Whose manner the frame is in.
    pub(crate) dialect: Dialect,
}

/// Bytes that a head may need beyond the lines of its frame.
const ADDED_BYTES_USUAL: usize = 64;

/// The priority of a message that names none, for JMS.
const PRIORITY_USUAL: u8 = 4;

/// Makes the message of a SEND, with one allocation.
///
/// # Errors
/// A header that must be a number is none.
pub(crate) fn message(address: &Arc<Address>, frame: &Frame<'_>, sent: &Sent<'_>) -> Result<Arc<Message>, Failure> {
    let is_activemq = sent.dialect == Dialect::ActiveMq;
    let headers = frame.headers;
    let added = ADDED_BYTES_USUAL + sent.reply_to.map_or(0, <[u8]>::len);
    let mut data = BytesMut::with_capacity(HEAD_BYTES + headers.raw().len() + added + frame.body.len());
    let flags = if is_activemq { flags::ACTIVEMQ } else { 0 };
    // Known when the lines are read.
    let flags_at = data.len();
    Head { flags, connection: sent.connection, set: &[], lines: &[] }.put_fixed(&mut data);

    let mut essentials = Essentials::default();
    let (mut has_priority, mut has_timestamp, mut is_text) = (false, false, true);
    let (mut group, mut closes_group) = (None, false);
    for header in headers.first_lines() {
        let value = header.value;
        match str::from_utf8(header.name).unwrap_or_default() {
            names::PERSISTENT => essentials.durable = value == b"true",
            names::PRIORITY => {
                has_priority = true;
                essentials.priority = priority(value, if is_activemq { 9 } else { u8::MAX })?;
            }
            names::EXPIRATION => essentials.ttl_ms = Some(expiration_ms(&headers.meaning(value))?),
            names::EXPIRES if is_activemq => {
                let expires_ms = number(names::EXPIRES, value)?;
                if expires_ms > 0 {
                    essentials.ttl_ms = Some(expires_ms.saturating_sub(now_ms()).min(ARGUMENT_MS_MAX));
                }
            }
            names::TIMESTAMP => {
                has_timestamp = true;
                number(names::TIMESTAMP, value)?;
            }
            names::REPLY_TO => {
                put_reply_to(&headers.meaning(value), sent, &mut data);
                continue;
            }
            "receipt" if is_activemq => continue,
            "content-length" => {
                is_text = false;
                continue;
            }
            names::GROUP => group = Some(headers.meaning(value)).filter(|group| !group.is_empty()),
            names::GROUP_SEQUENCE => closes_group = value.trim_ascii_start().starts_with(b"-"),
            name if name.starts_with(names::SCHEDULED) || is_of_frame(header.name) => continue,
            _ => {}
        }
        if headers.is_escaped() {
            put_line(header.name, value, &mut data);
        } else {
            escape(header.name, &mut data);
            data.extend_from_slice(b":");
            escape(value, &mut data);
            data.extend_from_slice(b"\n");
        }
    }
    if is_activemq {
        // What its consumers read of every message.
        if !has_priority {
            essentials.priority = PRIORITY_USUAL;
            put_line(names::PRIORITY.as_bytes(), b"4", &mut data);
        }
        if !has_timestamp {
            put_line(names::TIMESTAMP.as_bytes(), now_ms().to_string().as_bytes(), &mut data);
        }
    }
    essentials.group = group.map(|group| Group::new(&group, closes_group));
    if is_text {
        data[flags_at] |= flags::TEXT;
    }
    let head_bytes = data.len() as u32;
    data.extend_from_slice(frame.body);
    Ok(Message::new(&SOURCE, Arc::clone(address), essentials, head_bytes, data.freeze()))
}

/// Makes a message that nobody has sent. `lines` are its headers, escaped, each with a line feed.
pub(crate) fn of_broker(address: &Arc<Address>, lines: &str, body: &[u8], now_ms: u64) -> Arc<Message> {
    let mut data = BytesMut::with_capacity(HEAD_BYTES + lines.len() + ADDED_BYTES_USUAL + body.len());
    Head { flags: flags::ACTIVEMQ | flags::TEXT, connection: 0, set: &[], lines: &[] }.put_fixed(&mut data);
    data.extend_from_slice(lines.as_bytes());
    put_line(names::TIMESTAMP.as_bytes(), now_ms.to_string().as_bytes(), &mut data);
    let head_bytes = data.len() as u32;
    data.extend_from_slice(body);
    Message::new(&SOURCE, Arc::clone(address), Essentials::default(), head_bytes, data.freeze())
}

/// A name of a queue alone is no address: as RabbitMQ's plugin, it is made one.
fn put_reply_to(value: &[u8], sent: &Sent<'_>, data: &mut BytesMut) {
    data.extend_from_slice(names::REPLY_TO.as_bytes());
    data.extend_from_slice(b":");
    let value = sent.reply_to.unwrap_or(value);
    if sent.dialect == Dialect::RabbitMq && !value.is_empty() && !rabbitmq::is_address(value) {
        data.extend_from_slice(rabbitmq::REPLY_QUEUE.as_bytes());
    }
    escape(value, data);
    data.extend_from_slice(b"\n");
}

fn not_a_number(name: &str) -> Failure {
    Failure::soft("Invalid header", format!("'{name}' is not a number.\n"))
}

/// A number that is not negative, with spaces around it as RabbitMQ takes them.
fn number(name: &str, value: &[u8]) -> Result<u64, Failure> {
    let text = str::from_utf8(value).unwrap_or_default();
    text.trim().parse().map_err(|_| not_a_number(name))
}

/// A priority; one that is beyond what there is, is the nearest that there is.
fn priority(value: &[u8], max: u8) -> Result<u8, Failure> {
    let text = str::from_utf8(value).unwrap_or_default();
    let number: i64 = text.trim().parse().map_err(|_| not_a_number(names::PRIORITY))?;
    Ok(number.clamp(0, i64::from(max)) as u8)
}

/// Milliseconds in decimal digits, no more than RabbitMQ's timers hold; refused in its words.
fn expiration_ms(value: &[u8]) -> Result<u64, Failure> {
    let text = String::from_utf8_lossy(value);
    let invalid = |why: &str| {
        let detail = format!("PRECONDITION_FAILED - invalid expiration '{}': {why}", crate::destinations::shown(&text));
        Err(Failure::hard("precondition_failed", detail))
    };
    let digits = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
    let Ok(number) = digits[..end].parse::<u128>() else {
        return invalid(if end == 0 { "no_integer" } else { "{value_too_large}" });
    };
    let left = crate::destinations::shown(&digits[end..]);
    if !left.is_empty() {
        return invalid(&format!("{{leftover_string,\"{left}\"}}"));
    }
    match u64::try_from(number) {
        _ if text.starts_with('-') && number > 0 => invalid(&format!("{{value_negative,-{number}}}")),
        Ok(ms) if ms <= ARGUMENT_MS_MAX => Ok(ms),
        _ => invalid(&format!("{{value_too_large,{number}}}")),
    }
}
