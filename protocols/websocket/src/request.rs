//! The request that begins a connection (RFC 9112; RFC 6455, section 4.2.1), parsed and not judged.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gantry_broker::protocol::Credentials;
use httparse::{EMPTY_HEADER, Error, Status};

use crate::limits::HEADERS_MAX;

/// What matters of a request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// `GET`, and HTTP/1.1 or later.
    pub(crate) is_get: bool,
    pub(crate) is_http_1_1: bool,
    /// Without its query.
    pub(crate) path: String,
    pub(crate) host: Option<String>,
    pub(crate) origin: Option<String>,
    /// `Upgrade` names `websocket`, and `Connection` names `Upgrade`.
    pub(crate) upgrade: bool,
    pub(crate) connection_upgrade: bool,
    pub(crate) version: Option<String>,
    pub(crate) key: Option<String>,
    /// In the order of the client's preference.
    pub(crate) subprotocols: Vec<String>,
    /// Extensions that the client offers, as one list.
    pub(crate) extensions: String,
    pub(crate) credentials: Option<Credentials>,
    /// A proxy says that it asks for somebody else.
    pub(crate) is_forwarded: bool,
}

/// What is wrong with a request as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It is none.
    Syntax(&'static str),
    /// It has more headers than are read.
    TooManyHeaders,
}

/// Headers that a proxy adds.
const FORWARDING: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

impl Request {
    /// Parses a head that ends with its empty line.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Malformed> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(head) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Err(Malformed::Syntax("the request is not complete")),
            Err(Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
            Err(_) => return Err(Malformed::Syntax("this is no HTTP request")),
        }
        let target = parsed.path.unwrap_or_default();
        let mut request = Self {
            is_get: parsed.method == Some("GET"),
            is_http_1_1: parsed.version == Some(1),
            path: target.split('?').next().unwrap_or_default().to_owned(),
            ..Self::default()
        };
        for header in parsed.headers.iter() {
            request.header(header.name, header.value)?;
        }
        Ok(request)
    }

    fn header(&mut self, name: &str, value: &[u8]) -> Result<(), Malformed> {
        let name = name.to_ascii_lowercase();
        let text = || std::str::from_utf8(value).map(str::trim).map_err(|_| Malformed::Syntax("a header is no text"));
        // One of two could be what a proxy has looked at, and the other what we do.
        let once = |place: &mut Option<String>| {
            let before = place.replace(text()?.to_owned());
            if before.is_some() { Err(Malformed::Syntax("a header is there twice")) } else { Ok(()) }
        };
        match name.as_str() {
            "host" => once(&mut self.host)?,
            "origin" => once(&mut self.origin)?,
            "sec-websocket-version" => once(&mut self.version)?,
            "sec-websocket-key" => once(&mut self.key)?,
            "upgrade" => self.upgrade |= names(text()?, "websocket"),
            "connection" => self.connection_upgrade |= names(text()?, "upgrade"),
            "sec-websocket-protocol" => self.subprotocols.extend(items(text()?).map(str::to_owned)),
            "sec-websocket-extensions" => {
                if !self.extensions.is_empty() {
                    self.extensions.push(',');
                }
                self.extensions.push_str(text()?);
            }
            "authorization" => {
                if self.credentials.is_some() {
                    return Err(Malformed::Syntax("a header is there twice"));
                }
                self.credentials = basic(text()?)?;
            }
            _ => self.is_forwarded |= FORWARDING.contains(&name.as_str()),
        }
        Ok(())
    }
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn names(list: &str, wanted: &str) -> bool {
    items(list).any(|item| item.eq_ignore_ascii_case(wanted))
}

/// A login of the basic scheme (RFC 7617). Other schemes are of no interest.
fn basic(authorization: &str) -> Result<Option<Credentials>, Malformed> {
    let Some((scheme, encoded)) = authorization.split_once(' ') else { return Ok(None) };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|login| login.split_once(':')) {
        Some((user, password)) => Ok(Some(Credentials { user: user.to_owned(), password: password.to_owned() })),
        None => Err(Malformed::Syntax("the Authorization header is no user and password")),
    }
}
