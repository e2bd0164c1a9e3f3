//! Message -> MESSAGE.

use std::sync::Arc;

use gantry_broker::protocol::{Output, SHARED_BODY_BYTES_MIN};
use gantry_broker::value::{Table, Value};
use gantry_broker::{Address, Message};

use super::head::Head;
use super::{SOURCE_ID, is_of_frame, names};
use crate::codec::{Answer, FrameWriter, Version, decimal};
use crate::destinations::{Dialect, TOPIC_EXCHANGE, Text, of_message, rabbitmq};

/// What is said of one delivery of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered<'a> {
    /// The subscription's own id; one that has none is not named.
    pub(crate) subscription: Option<&'a str>,
    /// What stands for where it was published, where that is the client's own name for it.
    pub(crate) destination: Option<&'a str>,
    /// First part of the message's id: what the subscription is called in the whole session.
    pub(crate) consumer_tag: &'a str,
    /// Second part of it.
    pub(crate) session: &'a str,
    /// Third part of it.
    pub(crate) tag: u64,
    /// It may have been delivered before.
    pub(crate) redelivered: bool,
    /// The client has to acknowledge it.
    pub(crate) ack: bool,
    pub(crate) version: Version,
    pub(crate) dialect: Dialect,
    /// Its place in a stream.
    pub(crate) offset: Option<u64>,
    /// How often it was delivered and came back.
    pub(crate) attempts: Option<u32>,
}

/// Writes a MESSAGE. A large body is shared, not copied.
pub(crate) fn write_message(out: &mut Output, message: &Message, delivered: &Delivered<'_>) {
    let mut destination = Text::new();
    match delivered.destination {
        Some(name) => destination.extend_from_slice(name.as_bytes()),
        None => of_message(delivered.dialect, message.address(), &mut destination),
    }
    let mut tag_text = [0; 20];
    let tag = decimal(delivered.tag, &mut tag_text);
    let id = [delivered.consumer_tag.as_bytes(), b"@@", delivered.session.as_bytes(), b"@@", tag];

    let mut frame = FrameWriter::new(out.tail(), delivered.version, Answer::Message);
    if let Some(subscription) = delivered.subscription {
        frame.header("subscription", subscription);
    }
    frame.header("destination", &destination).parts("message-id", &id);
    frame.header("redelivered", if delivered.redelivered { "true" } else { "false" });
    if delivered.ack && delivered.version >= Version::V1_2 {
        frame.parts("ack", &id);
    }
    if let Some(offset) = delivered.offset {
        frame.number("x-stream-offset", offset);
    }
    if let Some(attempts) = delivered.attempts {
        frame.number("x-delivery-count", u64::from(attempts));
    }
    let own = if message.source().id() == SOURCE_ID { Head::read(message.head()) } else { None };
    match own {
        Some(head) => {
            frame.lines(head.lines);
            if !head.set.is_empty() {
                put_headers(&head.headers_set(), delivered, &mut frame);
            }
        }
        None => put_properties(message, delivered, &mut frame),
    }
    let body = message.body();
    if delivered.dialect == Dialect::ActiveMq && own.is_some_and(|head| head.is_text()) {
        // By that its clients know a text. It came without a length, so there is no NUL in it.
        frame.body_without_length();
    } else {
        frame.body_apart(body.len());
    }
    if body.len() < SHARED_BODY_BYTES_MIN {
        out.tail().extend_from_slice(body);
    } else {
        out.share(message.body_shared());
    }
    FrameWriter::end(out.tail());
}

type Writer<'o> = FrameWriter<'o, bytes::BytesMut>;

/// The properties of a message of another protocol, by the names that RabbitMQ's plugin has for them.
fn put_properties(message: &Message, delivered: &Delivered<'_>, frame: &mut Writer<'_>) {
    let (neutral, essentials) = (message.properties(), message.essentials());
    let texts = [
        (names::CONTENT_TYPE, &neutral.content_type),
        (names::CONTENT_ENCODING, &neutral.content_encoding),
        (names::CORRELATION_ID, &neutral.correlation_id),
        (names::MESSAGE_ID, &neutral.message_id),
        (names::TYPE, &neutral.kind),
        (names::USER_ID, &neutral.user_id),
        (names::APP_ID, &neutral.app_id),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            frame.header(name, text);
        }
    }
    if let Some(key) = &neutral.reply_topic {
        let topic = Address { exchange: Arc::from(TOPIC_EXCHANGE), routing_key: key.clone() };
        let mut text = Text::new();
        of_message(delivered.dialect, &topic, &mut text);
        frame.header(names::REPLY_TO, &text);
    } else if let Some(reply_to) = &neutral.reply_to {
        let prefix = match delivered.dialect {
            _ if reply_to.is_empty() || rabbitmq::is_address(reply_to) => "",
            Dialect::RabbitMq => rabbitmq::REPLY_QUEUE,
            Dialect::ActiveMq => "/queue/",
        };
        frame.parts(names::REPLY_TO, &[prefix.as_bytes(), reply_to]);
    }
    if let Some(timestamp_s) = neutral.timestamp_s {
        let unit = if delivered.dialect == Dialect::ActiveMq { 1000 } else { 1 };
        frame.number(names::TIMESTAMP, timestamp_s.saturating_mul(unit));
    }
    if essentials.durable {
        frame.header(names::PERSISTENT, "true");
    }
    if essentials.priority > 0 {
        frame.number(names::PRIORITY, u64::from(essentials.priority));
    }
    if let Some(ttl_ms) = essentials.ttl_ms {
        frame.number(names::EXPIRATION, ttl_ms);
    }
    if let Some(headers) = &neutral.headers {
        put_headers(headers, delivered, frame);
    }
}

/// Typed headers as text. What is said of this delivery stands there already.
fn put_headers(headers: &Table, delivered: &Delivered<'_>, frame: &mut Writer<'_>) {
    for (name, value) in headers.iter() {
        let name = name.as_bytes();
        let is_said = (delivered.offset.is_some() && name == b"x-stream-offset")
            || (delivered.attempts.is_some() && name == b"x-delivery-count");
        if !is_said && !is_of_frame(name) {
            match value {
                Value::Text(text) => frame.header(name, text.as_bytes()),
                value => frame.header(name, value.to_text()),
            };
        }
    }
}
