//! What a URL says of where to go.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;

use super::ask::{Ask, Refusal, Speech};
use super::line::Request;
use crate::http::Whole;

/// Most bytes of a URL.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    pub(crate) is_tls: bool,
    /// In lower case, without the brackets of an address of IPv6.
    pub(crate) host: Box<str>,
    /// Where the host is an address, that.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
}

/// A URL, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    /// As it is in the URL, without a user.
    authority: HeaderValue,
    path: PathAndQuery,
}

impl Target {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// It is none of `http` and `https` with a host.
    pub(crate) fn of(url: &str) -> Result<Self, Refusal> {
        if url.len() > URL_BYTES_MAX {
            return Err(Refusal::Url("it is too long"));
        }
        let uri: Uri = url.parse().map_err(|_| Refusal::Url("it cannot be read"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Refusal::Url("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or(Refusal::Url("it has no host"))?;
        let shown = authority.as_str().rsplit('@').next().unwrap_or_default();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        if host.is_empty() {
            return Err(Refusal::Url("it has no host"));
        }
        // "host:" and "host:99999" are a host for the parser.
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if shown.len() > authority.host().len() => return Err(Refusal::Url("its port is none")),
            None if is_tls => 443,
            None => 80,
        };
        let path = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self {
            address: Address { is_tls, ip: host.parse().ok(), host: host.to_ascii_lowercase().into(), port },
            authority: HeaderValue::from_str(shown).map_err(|_| Refusal::Url("it cannot be read"))?,
            path,
        })
    }

    /// The request as it is sent.
    ///
    /// # Errors
    /// The parts do not make a request.
    pub(crate) fn request(&self, ask: &Ask) -> Result<Request, Refusal> {
        let unlikely = |_| Refusal::Url("it makes no request");
        let uri = match ask.speech {
            Speech::Http1 => Uri::from(self.path.clone()),
            Speech::Http2 => Uri::builder()
                .scheme(if self.address.is_tls { "https" } else { "http" })
                .authority(self.authority.as_bytes())
                .path_and_query(self.path.clone())
                .build()
                .map_err(unlikely)?,
        };
        let mut request = Request::new(Whole::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = ask.headers.clone();
        if ask.speech == Speech::Http1 && !ask.headers.contains_key(HOST) {
            request.headers_mut().insert(HOST, self.authority.clone());
        }
        if !ask.headers.contains_key(CONTENT_LENGTH) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<(bool, String, u16), String> {
        let target = Target::of(url).map_err(|refusal| refusal.to_string())?;
        Ok((target.address.is_tls, target.address.host.into(), target.address.port))
    }

    #[test]
    fn a_url_says_where_to_go() {
        assert_eq!(address("http://Example.ORG/x?y"), Ok((false, "example.org".into(), 80)));
        assert_eq!(address("https://example.org.:8443"), Ok((true, "example.org".into(), 8443)));
        assert_eq!(address("https://user:pass@example.org/"), Ok((true, "example.org".into(), 443)));
        assert_eq!(address("http://[::1]:81/"), Ok((false, "::1".into(), 81)));
        assert_eq!(Target::of("http://[::1]/").unwrap().address.ip, Some("::1".parse().unwrap()));
        assert_eq!(Target::of("http://127.0.0.1/").unwrap().address.ip, Some("127.0.0.1".parse().unwrap()));
        let long = format!("http://x/{}", "y".repeat(URL_BYTES_MAX));
        let none = [
            "",
            "x",
            "/x",
            "ftp://x/",
            "http://",
            "http:///x",
            "http://user@/",
            "http://x:99999/",
            "http://x:/",
            "http://x y/",
            "http://x\r\nHost: y/",
            "mailto:a@b",
            "http://.",
            "https://[::1",
            &long,
        ];
        for url in none {
            assert!(address(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_request_has_a_host_and_a_length_and_no_user() {
        let ask = Ask::post("http://ann:secret@example.org:81/a?b#c", bytes::Bytes::from_static(b"body"));
        let request = Target::of(&ask.url).unwrap().request(&ask).unwrap();
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers()["host"], "example.org:81");
        assert_eq!(request.headers()["content-length"], "4");
        let ask = Ask { speech: Speech::Http2, ..ask };
        let request = Target::of(&ask.url).unwrap().request(&ask).unwrap();
        assert_eq!(request.uri(), "http://example.org:81/a?b");
        assert!(!request.headers().contains_key("host"));
    }
}
