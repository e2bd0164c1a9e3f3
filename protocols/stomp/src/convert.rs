//! Temporary.
use crate::codec::{Answer, Frame, FrameWriter, Version};
use crate::destinations::{Dialect, of_message};
use crate::error::Failure;
use bytes::BytesMut;
use gantry_broker::message::Edit;
use gantry_broker::protocol::Output;
use gantry_broker::{Address, Essentials, Message, Properties, Source};
use std::sync::Arc;
/// S.
pub struct StompSource;
/// S.
pub static SOURCE: StompSource = StompSource;
impl Source for StompSource {
    fn id(&self) -> u8 {
        4
    }
    fn properties(&self, _: &[u8]) -> Properties {
        Properties::default()
    }
    fn edited(&self, head: &[u8], _: &Edit<'_>, out: &mut BytesMut) {
        out.extend_from_slice(head)
    }
}
pub(crate) struct Sent<'a> {
    pub connection: u64,
    pub version: Version,
    pub reply_to: Option<&'a [u8]>,
    pub dialect: Dialect,
}
pub(crate) fn message(address: &Arc<Address>, frame: &Frame<'_>, sent: &Sent<'_>) -> Result<Arc<Message>, Failure> {
    let _ = (sent.connection, sent.version, sent.dialect);
    let mut head = Vec::new();
    for h in frame.headers.first_lines() {
        if matches!(h.name, b"destination" | b"content-length" | b"transaction" | b"receipt") {
            continue;
        }
        let v = if h.name == b"reply-to" { sent.reply_to.unwrap_or(h.value) } else { h.value };
        head.extend_from_slice(h.name);
        head.push(b':');
        head.extend_from_slice(v);
        head.push(b'\n');
    }
    let durable = frame.headers.get("persistent").as_deref() == Some("true");
    let data = gantry_broker::message::assemble(&head, frame.body.len(), frame.body);
    Ok(Message::new(
        &SOURCE,
        Arc::clone(address),
        Essentials { durable, priority: 0, ttl_ms: None },
        head.len() as u32,
        data.freeze(),
    ))
}
pub(crate) struct Delivered<'a> {
    pub subscription: Option<&'a str>,
    pub consumer_tag: &'a str,
    pub session: &'a str,
    pub tag: u64,
    pub redelivered: bool,
    pub ack: bool,
    pub version: Version,
    pub dialect: Dialect,
    pub offset: Option<u64>,
    pub attempts: Option<u32>,
}
pub(crate) fn write_message(out: &mut Output, message: &Message, d: &Delivered<'_>) {
    let tag = d.tag.to_string();
    let id: [&[u8]; 5] = [d.consumer_tag.as_bytes(), b"@@", d.session.as_bytes(), b"@@", tag.as_bytes()];
    let mut text = Default::default();
    of_message(d.dialect, message.address(), &mut text);
    let mut f = FrameWriter::new(out.tail(), d.version, Answer::Message);
    if let Some(s) = d.subscription {
        f.header("subscription", s);
    }
    f.header("destination", &text[..]);
    f.parts("message-id", &id);
    f.header("redelivered", if d.redelivered { "true" } else { "false" });
    if d.ack && d.version == Version::V1_2 {
        f.parts("ack", &id);
    }
    if let Some(o) = d.offset {
        f.number("x-stream-offset", o);
    }
    if let Some(o) = d.attempts {
        f.number("x-delivery-count", u64::from(o));
    }
    f.lines(message.head());
    f.body(message.body());
}
