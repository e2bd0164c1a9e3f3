//! Names of requests: they tie a reply to what the log says. Nobody has to guess one, so they need not be secret.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of a request, written as a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u128);

/// Where this process begins, so that two of them do not give the same names.
static SEED: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())));
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Version and variant of a random UUID.
const VERSION: u128 = 0x4 << 76;
const VERSION_MASK: u128 = 0xf << 76;
const VARIANT: u128 = 0b10 << 62;
const VARIANT_MASK: u128 = 0b11 << 62;

impl RequestId {
    /// The next one.
    pub fn next() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (high, low) = (mix(SEED.wrapping_add(number)), mix(SEED.rotate_left(32) ^ number));
        let bits = (u128::from(high) << 64) | u128::from(low);
        Self(bits & !VERSION_MASK & !VARIANT_MASK | VERSION | VARIANT)
    }

    /// Its text of 36 characters.
    pub fn text(self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let digits = (0..32).map(|digit| HEX[(self.0 >> (124 - 4 * digit)) as usize & 0xf]);
        let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
        for (place, digit) in places.zip(digits) {
            text[place] = digit;
        }
        text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

/// Spreads a number over all bits: the finalizer of splitmix64.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_uuids_and_differ() {
        let names: HashSet<String> = (0..1_000).map(|_| RequestId::next().to_string()).collect();
        assert_eq!(names.len(), 1_000);
        for name in names {
            let dashes: Vec<_> = name.match_indices('-').map(|(at, _)| at).collect();
            assert_eq!((name.len(), dashes), (36, vec![8, 13, 18, 23]));
            assert_eq!(&name[14..15], "4");
            assert!(["8", "9", "a", "b"].contains(&&name[19..20]), "{name}");
        }
    }
}
