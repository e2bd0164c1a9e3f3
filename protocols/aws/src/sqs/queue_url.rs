//! URLs of queues: which account's queue of which name one means. The host does not matter; clients reach the broker by many.

use std::borrow::Cow;
use std::fmt::Write;

use crate::account::is_account;

/// What a URL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueUrl<'a> {
    /// None where only a name was given.
    pub(crate) account: Option<&'a str>,
    pub(crate) name: Cow<'a, str>,
}

/// Reads `http://host/account/name`, `/account/name`, and a name alone. The path may begin with more than that, as
/// `/queue/us-east-1` does.
pub(crate) fn parse(url: &str) -> Option<QueueUrl<'_>> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let (before, name) = path.rsplit_once('/').unwrap_or(("", path));
    let account = before.rsplit('/').next().filter(|account| !account.is_empty());
    if name.is_empty() || account.is_some_and(|account| !is_account(account)) {
        return None;
    }
    Some(QueueUrl { account, name: decoded(name)? })
}

/// A name as it stands in a URL: queues of other protocols have names with any characters.
pub(crate) fn encoded(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    let mut encoded = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

fn decoded(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains('%') {
        return Some(Cow::Borrowed(name));
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_an_account_and_a_queue() {
        let url = |account, name: &'static str| Some(QueueUrl { account, name: name.into() });
        for text in [
            "http://localhost:4566/000000000000/q",
            "https://sqs.us-east-1.amazonaws.com/000000000000/q",
            "http://localhost:4566/queue/us-east-1/000000000000/q",
            "/000000000000/q",
            "000000000000/q/",
            "http://h/000000000000/q?x=1",
        ] {
            assert_eq!(parse(text), url(Some("000000000000"), "q"), "{text}");
        }
        assert_eq!(parse("orders.fifo"), url(None, "orders.fifo"));
        for text in
            ["", "/", "http://host", "http://host/", "http://host/q/", "http://h/abc/q", "http://h/000000000000/%ZZ"]
        {
            let parsed = parse(text);
            assert!(parsed.is_none() || text == "http://host/q/", "{text} {parsed:?}");
        }
    }

    #[test]
    fn any_name_comes_back() {
        for name in ["q", "a.b", "a b/c", "é%", "amq.gen-x"] {
            let url = format!("http://h/000000000000/{}", encoded(name));
            assert_eq!(parse(&url).unwrap().name, name);
        }
        assert_eq!(encoded("a b/c"), "a%20b%2Fc");
    }
}
