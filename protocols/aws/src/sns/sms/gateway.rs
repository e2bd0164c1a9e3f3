//! A gateway for short messages: whatever takes a request of HTTP. What it wants is a template, which the configuration has.

use std::fmt::{self, Write};

/// What the configuration says of it.
#[derive(Clone)]
pub struct Gateway {
    /// Where requests go; names in braces are filled in.
    pub url: Box<str>,
    /// The body, with names in braces: `{phone_number}`, `{message}`, `{message_id}`, `{sender_id}`, `{sms_type}`,
    /// `{origination_number}`, `{max_price}`, `{entity_id}`, `{template_id}`.
    pub body: Box<str>,
    /// What the body is: it says how values are escaped.
    pub content_type: Box<str>,
    /// The header `authorization`, which is a secret; empty for none.
    pub authorization: Box<str>,
}

impl fmt::Debug for Gateway {
    // Its URL may have a password in it, as the header has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("content_type", &self.content_type).finish_non_exhaustive()
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            url: "".into(),
            body: r#"{"to":"{phone_number}","text":"{message}","from":"{sender_id}","type":"{sms_type}","id":"{message_id}"}"#
                .into(),
            content_type: "application/json".into(),
            authorization: "".into(),
        }
    }
}

/// A message, and what is to be said of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Short<'a> {
    pub(crate) phone_number: &'a str,
    pub(crate) message: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) sender_id: &'a str,
    pub(crate) sms_type: &'a str,
    pub(crate) origination_number: &'a str,
    pub(crate) max_price: &'a str,
    pub(crate) entity_id: &'a str,
    pub(crate) template_id: &'a str,
}

impl Short<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "phone_number" => self.phone_number,
            "message" => self.message,
            "message_id" => self.message_id,
            "sender_id" => self.sender_id,
            "sms_type" => self.sms_type,
            "origination_number" => self.origination_number,
            "max_price" => self.max_price,
            "entity_id" => self.entity_id,
            "template_id" => self.template_id,
            _ => return None,
        })
    }
}

impl Gateway {
    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// The URL and the body of the request that hands a message over.
    pub(crate) fn request(&self, short: &Short<'_>) -> (String, String) {
        let body = if self.content_type.starts_with("application/x-www-form-urlencoded") {
            filled(&self.body, short, percent)
        } else if self.content_type.contains("json") {
            filled(&self.body, short, json)
        } else if self.content_type.contains("xml") {
            filled(&self.body, short, xml)
        } else {
            filled(&self.body, short, |text, value| text.push_str(value))
        };
        (filled(&self.url, short, percent), body)
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The gateway has the message.
    Taken,
    /// Later, perhaps.
    Later,
    /// Never.
    Never,
    /// Never again: whoever has the number wants none. That is what 410 says.
    OptedOut,
}

impl Answered {
    /// What a status means.
    pub(crate) fn of(status: u16) -> Self {
        match status {
            200..=299 => Self::Taken,
            410 => Self::OptedOut,
            408 | 425 | 429 | 500.. => Self::Later,
            _ => Self::Never,
        }
    }
}

/// A template with its names in braces filled in. Braces around anything else stay as they are.
fn filled(template: &str, short: &Short<'_>, escape: fn(&mut String, &str)) -> String {
    let mut text = String::with_capacity(template.len() + short.message.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let named = rest.find('}').and_then(|end| Some((end, short.get(&rest[1..end])?)));
        match named {
            Some((end, value)) => {
                escape(&mut text, value);
                rest = &rest[end + 1..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

fn percent(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

fn json(text: &mut String, value: &str) {
    // As a JSON string, without its quotation marks: the template has these.
    let quoted = serde_json::Value::from(value).to_string();
    text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}

fn xml(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '&' => text.push_str("&amp;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            letter if letter.is_control() && !matches!(letter, '\n' | '\r' | '\t') => {}
            letter => text.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Short<'static> = Short {
        phone_number: "+15550100",
        message: "5 & \"6\"\n<7>",
        message_id: "id",
        sender_id: "Shop",
        sms_type: "Transactional",
        origination_number: "",
        max_price: "",
        entity_id: "",
        template_id: "",
    };

    fn gateway(content_type: &str, body: &str) -> Gateway {
        Gateway {
            url: "http://g/send?to={phone_number}".into(),
            body: body.into(),
            content_type: content_type.into(),
            ..Gateway::default()
        }
    }

    #[test]
    fn a_template_is_filled_as_its_format_wants() {
        let default = Gateway::default();
        assert!(!default.is_set());
        let (_, body) = default.request(&SHORT);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["text"], SHORT.message);
        assert_eq!(value["to"], "+15550100");
        let form =
            gateway("application/x-www-form-urlencoded", "To={phone_number}&Body={message}&From={origination_number}");
        let (url, body) = form.request(&SHORT);
        assert_eq!(url, "http://g/send?to=%2B15550100");
        assert_eq!(body, "To=%2B15550100&Body=5%20%26%20%226%22%0A%3C7%3E&From=");
        let (_, body) = gateway("text/xml", "<to>{phone_number}</to><m>{message}</m>").request(&SHORT);
        assert_eq!(body, "<to>+15550100</to><m>5 &amp; &quot;6&quot;\n&lt;7&gt;</m>");
        let (_, body) = gateway("text/plain", "{message}").request(&SHORT);
        assert_eq!(body, SHORT.message);
    }

    #[test]
    fn only_known_names_are_filled_in_and_only_once() {
        let short = Short { message: "{phone_number}", ..SHORT };
        let (_, body) = gateway("text/plain", "{{message}} {other} {phone_number").request(&short);
        assert_eq!(body, "{{phone_number}} {other} {phone_number");
    }

    #[test]
    fn statuses_say_what_became_of_a_message() {
        for (status, answered) in [
            (200, Answered::Taken),
            (202, Answered::Taken),
            (302, Answered::Never),
            (400, Answered::Never),
            (410, Answered::OptedOut),
            (429, Answered::Later),
            (503, Answered::Later),
        ] {
            assert_eq!(Answered::of(status), answered, "{status}");
        }
    }
}
