//! A request, its answer, and why there is none.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method, StatusCode};

use super::guard::Reach;

/// So much of the body of an answer is read; the rest is left unread, and the connection with it.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speech {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: agreed on by ALPN with TLS, known before without.
    Http2,
}

/// A request that is to be made.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is to be done.
    pub method: Method,
    /// Where: `http` or `https`, a host, and whatever follows. A user and a password in it are not sent: see
    /// [`Answer::status`] 401 and whoever asks.
    pub url: Box<str>,
    /// Headers. `host` and `content-length` are added where they are missing.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Time for all of it, from the name's resolution to the end of the answer.
    pub timeout: Duration,
    /// Which addresses may be dialled.
    pub reach: Reach,
    /// Which HTTP is spoken.
    pub speech: Speech,
}

impl Ask {
    /// A POST to where the configuration allows everybody to reach, by HTTP/1.1 and with 15 seconds for it.
    pub fn post(url: &str, body: Bytes) -> Self {
        Self {
            method: Method::POST,
            url: url.into(),
            headers: HeaderMap::new(),
            body,
            timeout: Duration::from_secs(15),
            reach: Reach::Public,
            speech: Speech::Http1,
        }
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whether it worked.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the first [`ANSWER_BYTES_MAX`] of it.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// This is no URL that can be asked.
    #[error("not a URL that can be asked: {0}")]
    Url(&'static str),
    /// The configuration, or what is refused by default, forbids the host.
    #[error("the host {0} is not one that may be reached")]
    Host(String),
    /// The same of the address that the host has; where it has several, of the last one.
    #[error("the address {0} is not one that may be reached")]
    Address(IpAddr),
    /// The name has no address.
    #[error("the host {0} cannot be resolved")]
    Unknown(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    /// No TLS: the certificate is not trusted, or the other side speaks none.
    #[error("no TLS: {0}")]
    Tls(#[source] std::io::Error),
    /// Certificates that are to be trusted cannot be read.
    #[error("certificates to trust: {0}")]
    Roots(String),
    /// It took longer than it might.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection ended, or what came was not HTTP.
    #[error("no answer: {0}")]
    Broken(#[source] hyper::Error),
}

impl Refusal {
    /// Whether asking again is in vain, however often.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Host(_) | Self::Address(_))
    }
}
