//! Variable-length integers: seven bits a byte, low ones first.

/// Appends one number.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one number off the front; `None` where it is cut short or longer than a `u64`.
pub(crate) fn take(from: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = from.split_first()?;
    if first < 0x80 {
        *from = rest;
        return Some(u64::from(first));
    }
    let mut value = 0u64;
    for (index, &byte) in from.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            *from = &from[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Takes one number that has to fit in 32 bits.
pub(crate) fn take_u32(from: &mut &[u8]) -> Option<u32> {
    u32::try_from(take(from)?).ok()
}

/// Maps small negative and positive differences to small numbers.
pub(crate) fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut rest = out.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            let mut cut = &out[..out.len() - 1];
            assert_eq!(take(&mut cut), None, "a cut number must not be read");
        }
        for difference in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(difference)), difference);
        }
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
    }
}
