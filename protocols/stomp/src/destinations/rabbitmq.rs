//! Destinations in the manner of RabbitMQ's plugin.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use md5::{Digest as _, Md5};

use super::{Destination, DestinationError, Text, shown};

/// Those that there are, as errors list them.
pub(crate) const KINDS: &str = "/temp-queue, /exchange, /topic, /queue, /amq/queue, /reply-queue/";

/// How the address of a queue begins in which somebody waits for an answer.
pub(crate) const REPLY_QUEUE: &str = "/reply-queue/";

pub(super) fn parse(text: &str) -> Result<Destination<'_>, DestinationError> {
    // A name without any slash is a queue.
    let Some(path) = text.strip_prefix('/') else {
        return if text.contains('/') { unknown(text) } else { Ok(Destination::Queue(percent_decode(text))) };
    };
    let (kind, rest) = behind_word(path);
    match kind {
        "queue" => one_name("queue", rest).map(Destination::Queue),
        "topic" => one_name("topic", rest).map(Destination::Topic),
        "temp-queue" => one_name("temp_queue", rest).map(Destination::TempQueue),
        "exchange" => exchange(rest),
        // Its name may have slashes in it. The other is ActiveMQ's word for it, from a publisher there.
        "reply-queue" | "remote-temp-queue" => match rest.strip_prefix('/') {
            None => unknown(text),
            Some("") => invalid("reply_queue", rest),
            Some(name) => Ok(Destination::ReplyQueue(percent_decode(name))),
        },
        "amq" => match rest.strip_prefix('/').map(behind_word) {
            Some(("queue", rest)) => one_name("amqqueue", rest).map(Destination::AmqQueue),
            _ => unknown(text),
        },
        _ => unknown(text),
    }
}

/// What stands before the first slash, and the slash with what is behind it.
fn behind_word(path: &str) -> (&str, &str) {
    path.split_at(path.find('/').unwrap_or(path.len()))
}

/// `rest` is empty, or a slash and more.
fn one_name<'a>(kind: &'static str, rest: &'a str) -> Result<Cow<'a, str>, DestinationError> {
    match rest.strip_prefix('/') {
        Some(name) if !name.is_empty() && !name.contains('/') => Ok(percent_decode(name)),
        _ => invalid(kind, rest),
    }
}

fn exchange(rest: &str) -> Result<Destination<'_>, DestinationError> {
    let mut names = rest.strip_prefix('/').unwrap_or_default().split('/');
    match (names.next(), names.next(), names.next()) {
        // The default exchange has no name here: it would mean something else for SEND than for SUBSCRIBE.
        (None | Some(""), ..) | (.., Some(_)) => invalid("exchange", rest),
        (Some(name), key, None) => {
            Ok(Destination::Exchange { exchange: percent_decode(name), key: key.map(percent_decode) })
        }
    }
}

fn invalid<T>(kind: &'static str, rest: &str) -> Result<T, DestinationError> {
    Err(DestinationError::Invalid { kind, rest: shown(rest) })
}

fn unknown<T>(text: &str) -> Result<T, DestinationError> {
    Err(DestinationError::Unknown(shown(text)))
}

/// Whether a `reply-to` can be sent to as it is.
pub(crate) fn is_address(text: &[u8]) -> bool {
    let kinds = ["/queue/", "/topic/", "/exchange/", "/amq/queue/", REPLY_QUEUE, "/remote-temp-queue/"];
    kinds.iter().any(|kind| text.starts_with(kind.as_bytes()))
}

/// `%2F` is a slash that belongs to a name. Nothing else is decoded: clients write `%` as itself.
fn percent_decode(text: &str) -> Cow<'_, str> {
    if text.contains("%2F") { Cow::Owned(text.replace("%2F", "/")) } else { Cow::Borrowed(text) }
}

/// Writes a name into the destination of a message: bytes that are not printable ASCII, `/` and `%` in hexadecimal digits.
pub(super) fn percent_encode(bytes: &[u8], text: &mut Text) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        match byte {
            b'/' | b'%' | ..32 | 128.. => {
                text.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            byte => text.push(byte),
        }
    }
}

/// How the names of the queues of subscriptions begin.
pub(crate) const SUBSCRIPTION_QUEUE: &str = "stomp-subscription-";

/// The name of the queue of a durable subscription to `key` of an exchange: the one that RabbitMQ's plugin gives it, so that
/// subscriptions are found again by those who come from there.
pub fn durable_queue(key: &str, subscription: &str) -> String {
    let mut hash = Md5::new();
    // The pair in Erlang's external term format, version 131.
    hash.update([131, b'h', 2]);
    hash.update(characters(key));
    hash.update(characters(subscription));
    format!("{SUBSCRIPTION_QUEUE}{}", BASE64_URL_SAFE_NO_PAD.encode(hash.finalize()))
}

/// A text as Erlang writes a list of its characters.
fn characters(text: &str) -> Vec<u8> {
    let codes: Vec<u32> = text.chars().map(u32::from).collect();
    let (count, end) = (codes.len() as u32, b'j');
    let short = u16::try_from(count).ok().filter(|_| codes.iter().all(|code| *code < 256));
    match short {
        Some(0) => vec![end],
        Some(count) => {
            [b"k", &count.to_be_bytes()[..]].concat().into_iter().chain(codes.iter().map(|code| *code as u8)).collect()
        }
        None => {
            let mut out = [b"l", &count.to_be_bytes()[..]].concat();
            for code in codes {
                match u8::try_from(code) {
                    Ok(byte) => out.extend([b'a', byte]),
                    Err(_) => out.extend([b"b", &code.to_be_bytes()[..]].concat()),
                }
            }
            out.push(end);
            out
        }
    }
}
