//! Which web pages may connect. A browser tells the page's origin and lets any page try: it is on us to refuse.

use std::fmt;
use std::net::IpAddr;

/// The pages that may connect. Clients that are no browsers name no origin, and are not asked for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    same_host: bool,
    listed: Vec<String>,
}

/// What is no origin in a list of origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnOrigin(String);

impl fmt::Display for NotAnOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no origin: https://app.example.com, same-host or *", self.0)
    }
}

impl std::error::Error for NotAnOrigin {}

impl Default for Origins {
    /// Pages of the host that the broker is reached at.
    fn default() -> Self {
        Self { any: false, same_host: true, listed: Vec::new() }
    }
}

impl Origins {
    /// Reads a list with commas: origins such as `https://app.example.com`, `same-host` for pages of the host that the broker is
    /// reached at, at whichever port, and `*` for all. An empty list allows no page.
    pub fn parse(list: &str) -> Result<Self, NotAnOrigin> {
        let mut origins = Self { any: false, same_host: false, listed: Vec::new() };
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "*" => origins.any = true,
                "same-host" => origins.same_host = true,
                "null" => origins.listed.push(item.to_owned()),
                _ => {
                    let origin = item.trim_end_matches('/').to_ascii_lowercase();
                    if host_of(&origin).is_none_or(|host| host.contains(['/', '*', ' '])) {
                        return Err(NotAnOrigin(item.to_owned()));
                    }
                    origins.listed.push(without_default_port(&origin).to_owned());
                }
            }
        }
        Ok(origins)
    }

    /// Whether a page of this origin may connect at this `Host`.
    pub(crate) fn allow(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        let is_same_host = || host_of(&origin).is_some_and(|page| page.eq_ignore_ascii_case(without_port(host)));
        let is_listed = || self.listed.iter().any(|listed| listed == without_default_port(&origin));
        self.any || self.same_host && is_same_host() || is_listed()
    }
}

/// Whether a `Host` names this machine by itself, and not by a name that anybody may give to any address.
pub(crate) fn is_address_or_localhost(host: &str) -> bool {
    let host = without_port(host);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_localhost = |host: &str| host == "localhost" || host.ends_with(".localhost");
    bare.parse::<IpAddr>().is_ok() || is_localhost(&bare.to_ascii_lowercase())
}

/// The host of `scheme://host:port`.
fn host_of(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    Some(without_port(authority)).filter(|host| !host.is_empty() && !scheme.is_empty())
}

/// The host of `host:port`; one of IPv6 keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Browsers leave out the port that the scheme has anyway.
fn without_default_port(origin: &str) -> &str {
    let (port, scheme) = if origin.starts_with("https://") { (":443", "https") } else { (":80", "http") };
    if origin.starts_with(scheme) { origin.strip_suffix(port).unwrap_or(origin) } else { origin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_same_host_may_connect_whatever_their_port() {
        let origins = Origins::default();
        for (origin, host) in [
            ("http://example.com", "example.com:15675"),
            ("https://Example.COM:8443", "example.com:15676"),
            ("http://127.0.0.1:3000", "127.0.0.1:15675"),
            ("http://[::1]:3000", "[::1]:15675"),
            ("http://[::1]", "[::1]"),
        ] {
            assert!(origins.allow(origin, host), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://evil.example", "example.com"),
            ("http://example.com.evil.example", "example.com"),
            ("http://notexample.com", "example.com"),
            ("null", "example.com"),
            ("null", "null"),
            ("", "example.com"),
            ("", ""),
            ("http://", ""),
            ("example.com", "example.com"),
            ("://example.com", "example.com"),
            ("http://example.com@evil.example", "example.com"),
            ("http://[::2]", "[::1]"),
        ] {
            assert!(!origins.allow(origin, host), "{origin} {host}");
        }
    }

    #[test]
    fn a_list_names_schemes_hosts_and_ports() {
        let origins = Origins::parse("https://app.example.com, http://localhost:3000,https://b.example:443/").unwrap();
        for origin in
            ["https://app.example.com", "https://APP.example.com:443", "http://localhost:3000", "https://b.example"]
        {
            assert!(origins.allow(origin, "broker"), "{origin}");
        }
        for origin in
            ["http://app.example.com", "https://app.example.com:8443", "http://localhost", "http://broker", "null"]
        {
            assert!(!origins.allow(origin, "broker"), "{origin}");
        }
        assert!(Origins::parse("null").unwrap().allow("null", "broker"));
        assert!(Origins::parse("*").unwrap().allow("null", "broker"));
        let both = Origins::parse("same-host, https://app.example.com").unwrap();
        assert!(both.allow("http://broker", "broker") && both.allow("https://app.example.com", "broker"));
        assert!(!Origins::parse("").unwrap().allow("http://broker", "broker"));
        assert_eq!(Origins::parse("same-host"), Ok(Origins::default()));
        for wrong in ["app.example.com", "https://", "https://*.example.com", "https://a/b", "same_host"] {
            let told = Origins::parse(wrong).unwrap_err().to_string();
            assert!(told.contains(wrong), "{told}");
        }
    }

    #[test]
    fn a_name_is_not_this_machine_only_because_it_leads_here() {
        for host in ["localhost:15675", "LOCALHOST", "127.0.0.1", "[::1]:15675", "a.localhost", "10.1.2.3:1"] {
            assert!(is_address_or_localhost(host), "{host}");
        }
        for host in ["evil.example:15675", "localhost.evil.example", "", "notlocalhost"] {
            assert!(!is_address_or_localhost(host), "{host}");
        }
    }
}
