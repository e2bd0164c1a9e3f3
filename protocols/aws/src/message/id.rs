//! Ids of messages: UUIDs, and sequence numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use md5::{Digest, Md5};

use crate::sqs::ascii::{self, Ascii, Digits};

/// The id of a message.
pub(crate) type MessageId = [u8; 16];

/// Makes ids that never come twice: a counter that is mixed with what is random in each process. Nobody asks the operating system
/// for each of them, and nothing rests on their being hard to guess.
#[derive(Debug)]
pub(crate) struct MessageIds {
    random: [u64; 2],
    next: AtomicU64,
}

impl MessageIds {
    /// `random` is the process's own.
    pub(crate) fn new(random: [u64; 2]) -> Self {
        Self { random, next: AtomicU64::new(0) }
    }

    /// A new one.
    pub(crate) fn next(&self) -> MessageId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        // Each half is a mapping one to one of the count, so that two ids differ whatever their few fixed bits are.
        let high = mixed(count ^ self.random[0]);
        let low = mixed(count.wrapping_add(self.random[1]) ^ high.rotate_left(32));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        id[8..].copy_from_slice(&low.to_be_bytes());
        versioned(id, 4)
    }
}

/// The id of a message of a queue with order. Whoever sends a duplicate is told the id of the original, which may be gone: so it is
/// made of what is known of that.
pub(crate) fn of_original(queue: u64, key: u64, sent_ms: u64) -> MessageId {
    of_numbers([queue, key, sent_ms])
}

/// The id of a message that came by another protocol: the same each time it is received.
pub(crate) fn of_foreign(queue: u64, seq: u64) -> MessageId {
    of_numbers([!queue, seq, 0])
}

fn of_numbers(numbers: [u64; 3]) -> MessageId {
    let mut sum = Md5::new();
    for number in numbers {
        sum.update(number.to_be_bytes());
    }
    versioned(sum.finalize().into(), 3)
}

/// The finisher of SplitMix64: one to one, and each bit depends on all others.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

fn versioned(mut id: MessageId, version: u8) -> MessageId {
    id[6] = id[6] & 0x0F | version << 4;
    id[8] = id[8] & 0x3F | 0x80;
    id
}

/// An id as text: 36 characters.
pub(crate) fn text(id: &MessageId) -> Ascii<36> {
    let hex: Ascii<32> = ascii::hex(id);
    let mut text = [b'-'; 36];
    for (from, to, at) in [(0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)] {
        text[at..at + to - from].copy_from_slice(&hex.as_bytes()[from..to]);
    }
    Ascii::new(text)
}

/// An id of a text that is one: 36 characters, in small letters or large ones.
pub(crate) fn parsed(text: &[u8]) -> Option<MessageId> {
    if text.len() != 36 || [8, 13, 18, 23].iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte).to_digit(16));
    let mut id = [0; 16];
    for byte in &mut id {
        let (high, low) = (digits.next()??, digits.next()??);
        *byte = (high << 4 | low) as u8;
    }
    digits.next().is_none().then_some(id)
}

/// The number of a message in its queue, which only grows: 20 digits, as AWS has them.
pub(crate) fn sequence_number(seq: u64) -> Digits {
    const FIRST: u64 = 18_000_000_000_000_000_000;
    Digits(FIRST.saturating_add(seq))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_never_come_twice_and_are_uuids() {
        let ids = MessageIds::new([1, 2]);
        let many: HashSet<MessageId> = (0..100_000).map(|_| ids.next()).collect();
        assert_eq!(many.len(), 100_000);
        for id in many.iter().take(100) {
            let text = text(id);
            assert_eq!(text.len(), 36);
            assert_eq!(text.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&text.as_bytes()[19]));
        }
    }

    #[test]
    fn a_duplicate_is_told_the_id_of_its_original() {
        assert_eq!(of_original(1, 2, 3), of_original(1, 2, 3));
        let others = [of_original(2, 2, 3), of_original(1, 3, 3), of_original(1, 2, 4), of_foreign(1, 2)];
        assert!(!others.contains(&of_original(1, 2, 3)));
        assert_eq!(&*text(&[0xAB; 16]), "abababab-abab-abab-abab-abababababab");
        assert_eq!(parsed(b"ABababab-abab-abab-abab-abababababab"), Some([0xAB; 16]));
        let longer = "abababab-abab-abab-abab-ababababababa";
        for bad in ["", longer, "abababab-abab-abab-abab-abababababag", "ababababababababababababababababab--"] {
            assert_eq!(parsed(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn sequence_numbers_have_20_digits_and_grow() {
        assert_eq!(sequence_number(0), Digits(18_000_000_000_000_000_000));
        assert_eq!(sequence_number((77 << 40) + 1), Digits(18_000_000_000_000_000_000 + (77 << 40) + 1));
        assert_eq!(sequence_number(u64::MAX), Digits(u64::MAX));
    }
}
