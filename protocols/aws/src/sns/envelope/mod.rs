//! The JSON document in which a message leaves a topic, made when it leaves; and the text that its signature is of.
//!
//! Members, their order and the spaces between them are as AWS has them: there are readers that look for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::convert::Notice;
use crate::date;
use crate::message::Value;

#[cfg(test)]
mod tests;

/// A signature of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature<'a> {
    /// 1 is of the SHA-1 of the text, 2 of its SHA-256.
    pub(crate) version: u8,
    /// In base64.
    pub(crate) value: &'a str,
    /// Where the certificate is.
    pub(crate) certificate_url: &'a str,
}

/// What a subscriber is asked to confirm, or that it has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirmation<'a> {
    /// `SubscriptionConfirmation` or `UnsubscribeConfirmation`.
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
    pub(crate) token: &'a str,
    /// The ARN of the topic.
    pub(crate) topic: &'a str,
    /// For people.
    pub(crate) message: &'a str,
    pub(crate) subscribe_url: &'a str,
    /// In milliseconds since the epoch of Unix.
    pub(crate) sent_ms: u64,
}

/// First numbers of a topic with order have as many digits as all others.
const SEQUENCE_FIRST: u64 = 10_000_000_000_000_000_000;

/// The number of a message in a topic with order, as clients are told it: 20 digits.
pub(crate) fn sequence_number(seq: u64) -> u64 {
    SEQUENCE_FIRST.saturating_add(seq)
}

/// Writes the members of an object, in order.
struct Members {
    json: String,
}

impl Members {
    fn new(bytes: usize) -> Self {
        let mut json = String::with_capacity(bytes);
        json.push('{');
        Self { json }
    }

    fn name(&mut self, name: &str) {
        self.json.push_str(if self.json.len() == 1 { "\n  \"" } else { ",\n  \"" });
        self.json.push_str(name);
        self.json.push_str("\" : ");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        quote(text, &mut self.json);
    }

    fn signature(&mut self, signature: Option<&Signature<'_>>) {
        if let Some(Signature { version, value, certificate_url }) = signature {
            self.text("SignatureVersion", if *version == 2 { "2" } else { "1" });
            self.text("Signature", value);
            self.text("SigningCertURL", certificate_url);
        }
    }

    fn end(mut self) -> String {
        self.json.push_str("\n}");
        self.json
    }
}

/// Writes a text as JSON: quotes, backslashes and control characters are escaped, and nothing else.
pub(crate) fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0C => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if escape.is_empty() {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push_str("\\u00");
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The document of a notification. What is of a topic with order is not signed.
pub(crate) fn notification(notice: &Notice<'_>, unsubscribe_url: &str, signature: Option<&Signature<'_>>) -> String {
    let mut members = Members::new(1024 + notice.message.len() + notice.message.len() / 8);
    members.text("Type", "Notification");
    members.text("MessageId", &notice.id);
    if let Some(seq) = notice.sequence {
        members.text("SequenceNumber", &sequence_number(seq).to_string());
    }
    members.text("TopicArn", &notice.topic);
    if let Some(subject) = &notice.subject {
        members.text("Subject", subject);
    }
    members.text("Message", &notice.message);
    members.text("Timestamp", &date::iso_ms(notice.published_ms));
    members.signature(signature);
    members.text("UnsubscribeURL", unsubscribe_url);
    let mut any = false;
    for attribute in notice.attributes() {
        if any {
            members.json.push_str(",\n    ");
        } else {
            members.name("MessageAttributes");
            members.json.push_str("{\n    ");
        }
        any = true;
        quote(attribute.name, &mut members.json);
        members.json.push_str(" : {\"Type\":");
        quote(attribute.data_type, &mut members.json);
        members.json.push_str(",\"Value\":");
        match attribute.value {
            Value::Text(text) => quote(text, &mut members.json),
            Value::Binary(bytes) => {
                members.json.push('"');
                STANDARD.encode_string(bytes, &mut members.json);
                members.json.push('"');
            }
        }
        members.json.push('}');
    }
    if any {
        members.json.push_str("\n  }");
    }
    if notice.is_replayed {
        members.text("Replayed", "true");
    }
    members.end()
}

/// The document that asks a subscriber to confirm, or says that it is one no more.
pub(crate) fn confirmation(confirmation: &Confirmation<'_>, signature: &Signature<'_>) -> String {
    let Confirmation { kind, id, token, topic, message, subscribe_url, sent_ms } = confirmation;
    let mut members = Members::new(2048);
    members.text("Type", kind);
    members.text("MessageId", id);
    members.text("Token", token);
    members.text("TopicArn", topic);
    members.text("Message", message);
    members.text("SubscribeURL", subscribe_url);
    members.text("Timestamp", &date::iso_ms(*sent_ms));
    members.signature(Some(signature));
    members.end()
}

/// The text that the signature of a notification is of: names and values, a line each, in the order of the names.
pub(crate) fn string_to_sign(notice: &Notice<'_>) -> String {
    let time = date::iso_ms(notice.published_ms);
    lines(&[
        ("Message", Some(&*notice.message)),
        ("MessageId", Some(&*notice.id)),
        ("Subject", notice.subject.as_deref()),
        ("Timestamp", Some(&*time)),
        ("TopicArn", Some(&*notice.topic)),
        ("Type", Some("Notification")),
    ])
}

/// As [`string_to_sign`], of a confirmation.
pub(crate) fn confirmation_to_sign(confirmation: &Confirmation<'_>) -> String {
    let time = date::iso_ms(confirmation.sent_ms);
    lines(&[
        ("Message", Some(confirmation.message)),
        ("MessageId", Some(confirmation.id)),
        ("SubscribeURL", Some(confirmation.subscribe_url)),
        ("Timestamp", Some(&*time)),
        ("Token", Some(confirmation.token)),
        ("TopicArn", Some(confirmation.topic)),
        ("Type", Some(confirmation.kind)),
    ])
}

fn lines(lines: &[(&str, Option<&str>)]) -> String {
    let mut text =
        String::with_capacity(lines.iter().map(|(name, value)| name.len() + value.map_or(0, str::len) + 2).sum());
    for (name, value) in lines {
        if let Some(value) = value {
            text.push_str(name);
            text.push('\n');
            text.push_str(value);
            text.push('\n');
        }
    }
    text
}
