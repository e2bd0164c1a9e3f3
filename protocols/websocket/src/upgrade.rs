//! Whether a request becomes a WebSocket connection (RFC 6455, section 4.2), and what is answered.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::Compression;
use crate::extension::{self, Deflate};
use crate::origins::{Origins, is_address_or_localhost};
use crate::request::{Malformed, Request};

/// The version of the protocol that there is.
const VERSION: &str = "13";

/// Bytes of a key, decoded.
const KEY_BYTES: usize = 16;

/// What requests are judged by.
pub(crate) struct Rules<'a> {
    pub(crate) paths: &'a [String],
    pub(crate) origins: &'a Origins,
    /// The names of the subprotocols, and whether a client may name none.
    pub(crate) subprotocols: &'a [&'static str],
    pub(crate) needs_subprotocol: bool,
    pub(crate) compression: Compression,
}

/// A request that is granted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// Which of the subprotocols; none where the client has named none.
    pub(crate) subprotocol: Option<usize>,
    /// How messages may be compressed, where they may.
    pub(crate) deflate: Option<Deflate>,
    /// Somebody else may be behind the peer.
    pub(crate) relayed: bool,
    /// What is answered.
    pub(crate) answer: String,
}

/// A request that is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Status code and phrase.
    pub(crate) status: &'static str,
    /// Header lines.
    headers: &'static str,
    /// What is wrong, for a person.
    pub(crate) text: String,
}

impl Refusal {
    fn new(status: &'static str, text: impl Into<String>) -> Self {
        Self { status, headers: "Connection: close\r\n", text: text.into() }
    }

    /// Longer than what is read of a request.
    pub(crate) fn too_long() -> Self {
        Self::new("431 Request Header Fields Too Large", "the head of the request is too long")
    }

    /// The answer.
    pub(crate) fn answer(&self) -> String {
        let Self { status, headers, text } = self;
        let bytes = text.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {bytes}\r\n\r\n{text}\n"
        )
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Syntax(text) => Self::new("400 Bad Request", text),
            Malformed::TooManyHeaders => {
                Self::new("431 Request Header Fields Too Large", "the request has too many headers")
            }
        }
    }
}

/// Judges a request.
pub(crate) fn judge(rules: &Rules<'_>, request: &Request) -> Result<Upgrade, Refusal> {
    let bad = |text: &str| Refusal::new("400 Bad Request", text);
    let path = request.path.strip_suffix('/').unwrap_or(&request.path);
    if !rules.paths.iter().any(|served| served.strip_suffix('/').unwrap_or(served) == path) {
        return Err(Refusal::new("404 Not Found", format!("WebSocket is at {}", rules.paths.join(", "))));
    }
    let Some(host) = request.host.as_deref().filter(|_| request.is_http_1_1) else {
        return Err(bad("WebSocket begins with a request of HTTP/1.1 that has a Host header"));
    };
    if !request.is_get || !request.upgrade && !request.connection_upgrade {
        return Err(plain_request(rules));
    }
    if !request.upgrade || !request.connection_upgrade {
        return Err(bad("a WebSocket request has the headers \"Upgrade: websocket\" and \"Connection: Upgrade\""));
    }
    if request.version.as_deref() != Some(VERSION) {
        return Err(Refusal {
            headers: "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n",
            ..Refusal::new("426 Upgrade Required", "the version of WebSocket here is 13 (RFC 6455)")
        });
    }
    let key = request.key.as_deref().unwrap_or_default();
    if BASE64_STANDARD.decode(key).ok().is_none_or(|key| key.len() != KEY_BYTES) {
        return Err(bad("Sec-WebSocket-Key is 16 bytes in base 64"));
    }
    if request.origin.as_deref().is_some_and(|origin| !rules.origins.allow(origin, host)) {
        return Err(Refusal::new("403 Forbidden", "pages of this origin may not connect here (websocket.origins)"));
    }
    let subprotocol = subprotocol(rules, request)?;
    let named = match &subprotocol {
        Some((_, name)) => format!("Sec-WebSocket-Protocol: {name}\r\n"),
        None => String::new(),
    };
    let deflate = match rules.compression {
        Compression::None => None,
        Compression::PermessageDeflate => extension::agree(&request.extensions),
    };
    let extended = match deflate {
        Some(deflate) => format!("Sec-WebSocket-Extensions: {}\r\n", deflate.answer()),
        None => String::new(),
    };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{named}{extended}\r\n"
    );
    // A page can have its own name lead to this machine; then it is of the same host, and still not from here.
    let is_foreign_page = request.origin.is_some() && !is_address_or_localhost(host);
    let relayed = request.is_forwarded || is_foreign_page;
    Ok(Upgrade { subprotocol: subprotocol.map(|(n, _)| n), deflate, relayed, answer })
}

/// The first of those that the client names which is served, as the client writes it.
fn subprotocol<'r>(rules: &Rules<'_>, request: &'r Request) -> Result<Option<(usize, &'r str)>, Refusal> {
    let place = |name: &str| rules.subprotocols.iter().position(|served| served.eq_ignore_ascii_case(name));
    let found = request.subprotocols.iter().find_map(|name| Some((place(name)?, name.as_str())));
    if found.is_none() && (rules.needs_subprotocol || !request.subprotocols.is_empty()) {
        let served = rules.subprotocols.join(", ");
        return Err(Refusal::new(
            "400 Bad Request",
            format!("the subprotocols (Sec-WebSocket-Protocol) here are {served}"),
        ));
    }
    Ok(found)
}

/// Somebody has come with a browser, or with a client for something else.
fn plain_request(rules: &Rules<'_>) -> Refusal {
    let text = format!(
        "This is a WebSocket endpoint for messaging: connect with a WebSocket client (ws://, path {}, subprotocol {}).",
        rules.paths.join(" or "),
        rules.subprotocols.join(" or ")
    );
    let headers = "Upgrade: websocket\r\nConnection: Upgrade, close\r\n";
    Refusal { headers, ..Refusal::new("426 Upgrade Required", text) }
}

#[cfg(test)]
mod tests;
