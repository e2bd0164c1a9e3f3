//! Networks, as an address and how many of its bits count: `10.0.0.0/8`.

use std::net::IpAddr;

/// A network of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network {
    is_v6: bool,
    bits: u8,
    /// The bits that count, on the left; the others are 0.
    base: u128,
}

impl Network {
    /// Reads `ADDRESS/BITS`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((address, bits)) = text.split_once('/').filter(|(_, bits)| !bits.contains('/')) else {
            return Err("Malformed CIDR, one '/' required".to_owned());
        };
        let Ok(bits) = bits.parse::<i32>() else {
            return Err("Malformed CIDR, mask bits must be an integer".to_owned());
        };
        if bits < 0 {
            return Err("Malformed CIDR, mask bits must not be negative".to_owned());
        }
        let Some((is_v6, all)) = left_aligned(address) else {
            return Err(format!("Nonstandard IP address: {address}"));
        };
        let (bits_max, family) = if is_v6 { (128, "IPv6") } else { (32, "IPv4") };
        match u8::try_from(bits) {
            Ok(bits) if bits <= bits_max => Ok(Self { is_v6, bits, base: masked(all, bits) }),
            _ => Err(format!("{family} mask bits must be < {}", bits_max + 1)),
        }
    }

    /// Whether a text is an address in it.
    pub(super) fn contains(&self, text: &str) -> bool {
        left_aligned(text).is_some_and(|(is_v6, all)| is_v6 == self.is_v6 && masked(all, self.bits) == self.base)
    }

    /// The networks that an address may be in, one for each of these numbers of bits and its family.
    pub(super) fn around<'a>(
        text: &str,
        sizes: impl Iterator<Item = &'a (bool, u8)> + 'a,
    ) -> impl Iterator<Item = Self> + 'a {
        let address = left_aligned(text);
        sizes.filter_map(move |&(is_v6, bits)| {
            let (_, all) = address.filter(|(address_is_v6, _)| *address_is_v6 == is_v6)?;
            Some(Self { is_v6, bits, base: masked(all, bits) })
        })
    }

    /// Its family, and how many bits count.
    pub(super) fn size(&self) -> (bool, u8) {
        (self.is_v6, self.bits)
    }
}

/// An address with its first bit on the left, and whether it is of version 6.
fn left_aligned(text: &str) -> Option<(bool, u128)> {
    // Longer texts are none; parsing would find that out later.
    if text.len() > 45 {
        return None;
    }
    match text.parse().ok()? {
        IpAddr::V4(address) => Some((false, u128::from(address.to_bits()) << 96)),
        IpAddr::V6(address) => Some((true, address.to_bits())),
    }
}

fn masked(all: u128, bits: u8) -> u128 {
    if bits == 0 { 0 } else { all & (u128::MAX << (128 - u32::from(bits))) }
}
