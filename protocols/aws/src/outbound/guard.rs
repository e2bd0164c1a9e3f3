//! Which hosts and addresses may be reached: whoever may subscribe a URL must not thereby reach what only this machine can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::ask::Refusal;

/// On whose behalf an address is dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Of somebody who is elsewhere: no address of this machine.
    #[default]
    Public,
    /// Of somebody who is on this machine: its loopback addresses, too.
    Loopback,
    /// The configuration names the URL: nothing is forbidden.
    Configured,
}

/// An entry of a list: a host, a pattern of hosts, or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A host by its full name, in lower case.
    Host(Box<str>),
    /// All hosts whose names end with a dot and this, written `*.example.org`; `*` is all hosts, and empty here.
    Under(Box<str>),
    /// A network: an address and how many of its first bits count.
    Network(IpAddr, u8),
}

/// Something that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no host, no pattern like *.example.org and no network like 10.0.0.0/8")]
pub struct InvalidRule(pub String);

/// Lists of what may be reached and what may not.
///
/// What is denied is refused. Where something is allowed, the rest is refused. What is refused by default (link-local, loopback
/// for those who are elsewhere, addresses that are none of a host) needs an entry of its own: the host by its full name, or a network
/// that is no wider than what is refused.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// What may be reached; everything, where it is empty.
    pub allow: Vec<Rule>,
    /// What may not be reached.
    pub deny: Vec<Rule>,
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule(text.to_owned());
        let address = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Some((network, bits)) = text.split_once('/') {
            let network = address(network).map_err(|_| invalid())?;
            let bits = bits.parse().ok().filter(|bits| *bits <= width(network)).ok_or_else(invalid)?;
            return Ok(Self::Network(network, bits));
        }
        if let Ok(address) = address(text) {
            return Ok(Self::Network(address, width(address)));
        }
        let is_name = |name: &str| {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(is_part) && !name.starts_with('.')
        };
        let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase().into_boxed_str();
        match text.strip_prefix('*') {
            Some("") => Ok(Self::Under("".into())),
            Some(rest) => {
                let name = rest.strip_prefix('.').filter(|name| is_name(name)).ok_or_else(invalid)?;
                Ok(Self::Under(plain(name)))
            }
            None if is_name(text) => Ok(Self::Host(plain(text))),
            None => Err(invalid()),
        }
    }
}

impl Rule {
    fn has_host(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => **name == *host,
            Self::Under(name) if name.is_empty() => true,
            Self::Under(name) => host.strip_suffix(&**name).is_some_and(|rest| rest.ends_with('.')),
            Self::Network(..) => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let Self::Network(network, bits) = self else { return false };
        is_within(address, *network, *bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let unlike = address.to_bits() ^ network.to_bits();
            unlike.checked_shr(32 - u32::from(bits.min(32))).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let unlike = address.to_bits() ^ network.to_bits();
            unlike.checked_shr(128 - u32::from(bits.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// The address that is meant in the end: those of IPv6 that stand for one of IPv4 are that one.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    if let Some(four) = six.to_ipv4_mapped() {
        return four.into();
    }
    let four = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::from(Ipv4Addr::new(a, b, c, d))
    };
    match six.segments() {
        // Through a translator, 6to4, and the old form of an IPv4 address; ::1 and :: are none.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        _ => address,
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(first: u16, last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last))
}

/// This machine.
const LOOPBACK: [(IpAddr, u8); 2] = [(v4(127, 0, 0, 0), 8), (v6(0, 1), 128)];

/// What is refused by default, whoever asks.
const REFUSED: [(IpAddr, u8); 9] = [
    // "This network": the kernel takes 0.0.0.0 for loopback.
    (v4(0, 0, 0, 0), 8),
    (v6(0, 0), 128),
    // Link-local, where clouds tell a machine its secrets, and the address of that in IPv6.
    (v4(169, 254, 0, 0), 16),
    (v6(0xfe80, 0), 10),
    (IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)), 128),
    // To many, and to nobody.
    (v4(224, 0, 0, 0), 4),
    (v6(0xff00, 0), 8),
    (v4(240, 0, 0, 0), 4),
    (v6(0xfec0, 0), 10),
];

impl Guard {
    /// Whether a host may be reached, as far as its name tells.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check_host(&self, host: &str, reach: Reach) -> Result<(), Refusal> {
        if reach != Reach::Configured && self.deny.iter().any(|rule| rule.has_host(host)) {
            return Err(Refusal::Host(host.to_owned()));
        }
        Ok(())
    }

    /// Whether an address may be dialled that a host has.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn check_address(&self, host: &str, address: IpAddr, reach: Reach) -> Result<(), Refusal> {
        if reach == Reach::Configured {
            return Ok(());
        }
        let meant = meant(address);
        let denied = |rule: &Rule| rule.has_address(meant) || rule.has_address(address);
        if self.deny.iter().any(denied) {
            return Err(Refusal::Address(address));
        }
        let loopback = if reach == Reach::Loopback { [].as_slice() } else { &LOOPBACK };
        let refused = REFUSED.iter().chain(loopback).find(|(network, bits)| is_within(meant, *network, *bits));
        let is_allowed = match refused {
            Some((_, bits)) => self.allow.iter().any(|rule| match rule {
                Rule::Host(name) => **name == *host,
                Rule::Network(_, own) => own >= bits && rule.has_address(meant),
                Rule::Under(_) => false,
            }),
            None => {
                self.allow.is_empty()
                    || self.allow.iter().any(|rule| rule.has_host(host) || rule.has_address(meant))
                    // Who is here may reach what is here, unless it is denied.
                    || LOOPBACK.iter().any(|(network, bits)| is_within(meant, *network, *bits))
            }
        };
        if is_allowed { Ok(()) } else { Err(Refusal::Address(address)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], deny: &[&str]) -> Guard {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Guard { allow: rules(allow), deny: rules(deny) }
    }

    fn is_let(guard: &Guard, host: &str, address: &str, reach: Reach) -> bool {
        guard.check_host(host, reach).is_ok() && guard.check_address(host, address.parse().unwrap(), reach).is_ok()
    }

    #[test]
    fn rules_are_hosts_patterns_and_networks() {
        assert_eq!("Hooks.Example.org.".parse(), Ok(Rule::Host("hooks.example.org".into())));
        assert_eq!("*.example.org".parse(), Ok(Rule::Under("example.org".into())));
        assert_eq!("*".parse(), Ok(Rule::Under("".into())));
        assert_eq!("10.0.0.0/8".parse(), Ok(Rule::Network(v4(10, 0, 0, 0), 8)));
        assert_eq!("[fe80::]/10".parse(), Ok(Rule::Network(v6(0xfe80, 0), 10)));
        assert_eq!("127.0.0.1".parse(), Ok(Rule::Network(v4(127, 0, 0, 1), 32)));
        for wrong in ["", "10.0.0.0/33", "::/129", "a b", "*x", "*.", "http://x", "x/8", "10.0.0.0/-1", "a:80", ".x"] {
            assert_eq!(wrong.parse::<Rule>(), Err(InvalidRule(wrong.to_owned())));
        }
    }

    #[test]
    fn without_lists_only_what_is_of_this_machine_and_its_link_is_refused() {
        let open = Guard::default();
        for address in ["93.184.216.34", "10.1.2.3", "192.168.0.1", "2001:db8::1", "fd12::1"] {
            assert!(is_let(&open, "x", address, Reach::Public), "{address}");
        }
        for address in
            ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1"]
        {
            assert!(!is_let(&open, "x", address, Reach::Public), "{address}");
        }
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(is_let(&open, "x", address, Reach::Loopback), "{address}");
        }
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fec0::1",
        ];
        for address in never {
            for reach in [Reach::Public, Reach::Loopback] {
                assert!(!is_let(&open, "x", address, reach), "{address}");
            }
            assert!(is_let(&open, "x", address, Reach::Configured), "{address}");
        }
    }

    #[test]
    fn what_is_denied_is_refused_and_where_something_is_allowed_the_rest_is() {
        let denying = guard(&[], &["*.internal", "secret.example.org", "10.0.0.0/8"]);
        assert!(is_let(&denying, "example.org", "93.184.216.34", Reach::Public));
        assert!(!is_let(&denying, "a.internal", "93.184.216.34", Reach::Public));
        assert!(is_let(&denying, "internal", "93.184.216.34", Reach::Public), "not under it");
        assert!(is_let(&denying, "notinternal", "93.184.216.34", Reach::Public));
        assert!(!is_let(&denying, "secret.example.org", "93.184.216.34", Reach::Public));
        assert!(!is_let(&denying, "example.org", "10.200.0.1", Reach::Public));
        assert!(!is_let(&denying, "example.org", "::ffff:10.200.0.1", Reach::Public));
        assert!(is_let(&denying, "a.internal", "10.200.0.1", Reach::Configured));

        let allowing = guard(&["*.example.org", "10.0.0.0/8"], &["10.6.0.0/16"]);
        assert!(is_let(&allowing, "a.example.org", "93.184.216.34", Reach::Public));
        assert!(!is_let(&allowing, "example.com", "93.184.216.34", Reach::Public));
        assert!(is_let(&allowing, "example.com", "10.1.1.1", Reach::Public));
        assert!(!is_let(&allowing, "a.example.org", "10.6.1.1", Reach::Public), "denied is denied");
        assert!(is_let(&allowing, "localhost", "127.0.0.1", Reach::Loopback));
        assert!(!is_let(&allowing, "a.example.org", "127.0.0.1", Reach::Public), "a name that points here");
        assert!(!is_let(&guard(&[], &["127.0.0.1"]), "localhost", "127.0.0.1", Reach::Loopback));
    }

    #[test]
    fn what_is_refused_by_default_needs_an_entry_of_its_own() {
        for rule in ["*", "0.0.0.0/0", "*.example.org", "160.0.0.0/4"] {
            assert!(!is_let(&guard(&[rule], &[]), "a.example.org", "169.254.1.1", Reach::Public), "{rule}");
        }
        for rule in ["169.254.0.0/16", "169.254.1.0/24", "169.254.1.1", "a.example.org"] {
            assert!(is_let(&guard(&[rule], &[]), "a.example.org", "169.254.1.1", Reach::Public), "{rule}");
        }
        assert!(is_let(&guard(&["localhost"], &[]), "localhost", "127.0.0.1", Reach::Public));
        assert!(is_let(&guard(&["::1"], &[]), "x", "::1", Reach::Public));
    }
}
