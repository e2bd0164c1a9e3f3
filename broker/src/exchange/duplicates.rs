//! What was seen lately: the deduplication headers of messages.

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sha2::{Digest, Sha256};

use super::room::Room;
use crate::message::Properties;
use crate::value::Value;

/// Headers that one exchange remembers at most, whatever its `x-cache-size` says.
pub(crate) const ENTRIES_MAX: usize = 4_000_000;

/// Headers that all exchanges of the process remember at most.
static ROOM: Room = Room::new(8_000_000);

/// The header that tells messages apart.
pub(crate) const HEADER: &str = "x-deduplication-header";

/// Stands for the value of a message's deduplication header; none where it has no such header, or one that is a list or a
/// table. The same in every process, since it is stored; among four million remembered keys, one new message in 10^12 would be
/// taken for one of them.
pub(crate) fn deduplication_key(properties: &Properties) -> Option<u64> {
    let mut state = Sha256::new();
    // Text is told from numbers as in `text_key`.
    match properties.headers.as_ref()?.get(HEADER)? {
        Value::Array(_) | Value::Table(_) | Value::Decimal { .. } => return None,
        Value::Text(text) => state.update([b"t", text.as_bytes()].concat()),
        Value::Binary(bytes) => state.update([b"t", &bytes[..]].concat()),
        Value::Null => state.update(b"0"),
        Value::Bool(value) => state.update([b'b', u8::from(*value)]),
        value => match (value.as_integer(), value) {
            (Some(number), _) => state.update([&b"i"[..], &number.to_be_bytes()].concat()),
            (None, Value::Timestamp(number)) => state.update([&b"i"[..], &i128::from(*number).to_be_bytes()].concat()),
            (None, value) => {
                state.update([&b"f"[..], &value.as_float().unwrap_or_default().to_bits().to_be_bytes()].concat());
            }
        },
    }
    Some(first_bytes(state))
}

/// Stands for a text that tells messages apart: the same as where it is the value of a deduplication header.
pub(crate) fn text_key(text: &[u8]) -> u64 {
    first_bytes(Sha256::new().chain_update(b"t").chain_update(text))
}

fn first_bytes(state: Sha256) -> u64 {
    let digest: [u8; 32] = state.finalize().into();
    digest[..8].iter().fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Keys that were seen lately. When there is no room for one more, the oldest one is forgotten.
#[derive(Debug)]
pub(crate) struct Duplicates<P> {
    entries_max: usize,
    seen: HashMap<u64, Seen<P>>,
    /// In the order in which they came; one that was forgotten before its turn may still stand here.
    order: VecDeque<(u64, u64)>,
    count: u64,
}

#[derive(Debug)]
struct Seen<P> {
    /// When it is forgotten, in milliseconds since the epoch of Unix; `u64::MAX` for never.
    until_ms: u64,
    number: u64,
    kept: P,
}

/// A key that was not known.
#[derive(Debug)]
pub(crate) struct New<P> {
    /// What was kept with keys that had to be forgotten for it.
    pub(crate) forgotten: Vec<P>,
}

impl<P: Copy> Duplicates<P> {
    /// For so many keys at most. The number may be absurd.
    pub(crate) fn new(entries_max: usize) -> Self {
        let entries_max = entries_max.min(ENTRIES_MAX);
        Self { entries_max, seen: HashMap::new(), order: VecDeque::new(), count: 0 }
    }

    /// Remembers a key, with something of the caller's, until some time. None where it is known already.
    pub(crate) fn insert(&mut self, key: u64, until_ms: u64, now_ms: u64, kept: P) -> Option<New<P>> {
        let mut forgotten = Vec::new();
        self.count += 1;
        let number = self.count;
        match self.seen.entry(key) {
            Entry::Occupied(mut known) => {
                if known.get().until_ms > now_ms {
                    return None;
                }
                forgotten.push(known.get().kept);
                known.insert(Seen { until_ms, number, kept });
            }
            Entry::Vacant(place) => {
                place.insert(Seen { until_ms, number, kept });
                ROOM.take(1);
            }
        }
        self.order.push_back((key, number));
        self.forget_oldest(now_ms, &mut forgotten);
        Some(New { forgotten })
    }

    fn forget_oldest(&mut self, now_ms: u64, forgotten: &mut Vec<P>) {
        while let Some(&(key, number)) = self.order.front() {
            let stands = self.seen.get(&key).filter(|seen| seen.number == number);
            let is_over = stands.is_none_or(|seen| seen.until_ms <= now_ms);
            let is_full = self.seen.len() > self.entries_max || ROOM.is_overdrawn() && self.seen.len() > 1;
            if !is_over && !is_full {
                break;
            }
            if let Some(seen) = stands {
                forgotten.push(seen.kept);
                self.seen.remove(&key);
                ROOM.give_back(1);
            }
            self.order.pop_front();
        }
        // Keys that were forgotten out of their turn must not pile up behind one that stays.
        if self.order.len() > 2 * self.seen.len() + 64 {
            self.order.retain(|(key, number)| self.seen.get(key).is_some_and(|seen| seen.number == *number));
        }
    }

    /// Changes what is kept with a key. What is not kept any more: what was before or, where the key has been forgotten
    /// meanwhile, this.
    pub(crate) fn keep(&mut self, key: u64, kept: P) -> P {
        match self.seen.get_mut(&key) {
            Some(seen) => std::mem::replace(&mut seen.kept, kept),
            None => kept,
        }
    }

    /// Forgets a key: its message was not published after all.
    pub(crate) fn take_back(&mut self, key: u64) {
        if self.seen.remove(&key).is_some() {
            ROOM.give_back(1);
        }
    }

    /// Everything that is kept, in no particular order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = P> {
        self.seen.values().map(|seen| seen.kept)
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.seen.len()
    }
}

impl<P> Drop for Duplicates<P> {
    fn drop(&mut self) {
        ROOM.give_back(self.seen.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_until_its_time_is_over_or_others_need_its_place() {
        let mut seen = Duplicates::new(3);
        assert!(seen.insert(1, 1000, 0, 'a').is_some());
        assert!(seen.insert(1, 1000, 999, 'b').is_none());
        assert_eq!(seen.insert(1, u64::MAX, 1000, 'c').unwrap().forgotten, ['a']);
        for key in 2..4 {
            assert!(seen.insert(key, u64::MAX, 1000, 'd').unwrap().forgotten.is_empty());
        }
        assert_eq!(seen.insert(4, u64::MAX, 1000, 'e').unwrap().forgotten, ['c']);
        assert!(seen.insert(1, u64::MAX, 1000, 'f').is_some());
        seen.take_back(4);
        assert!(seen.insert(4, u64::MAX, 1000, 'g').is_some());
        assert_eq!(seen.len(), 3);
        assert_eq!((seen.keep(4, 'h'), seen.keep(4, 'i')), ('g', 'h'));
        assert_eq!(seen.keep(2, 'j'), 'j', "it was forgotten before");
    }

    #[test]
    fn neither_an_absurd_size_nor_keys_taken_back_cost_memory() {
        let mut seen = Duplicates::new(usize::MAX);
        assert!(seen.insert(0, u64::MAX, 0, ()).is_some());
        for key in 1..100_000 {
            assert!(seen.insert(key, u64::MAX, 0, ()).is_some());
            seen.take_back(key);
        }
        assert!(seen.order.len() < 200 && seen.seen.capacity() < 200);
    }

    #[test]
    fn a_header_counts_by_its_value_and_not_by_its_width() {
        let key = |value: Value| {
            let headers = Some([(HEADER, value)].into_iter().collect());
            deduplication_key(&Properties { headers, ..Properties::default() })
        };
        assert_eq!(key(Value::I8(5)), key(Value::I64(5)));
        assert_ne!(key(Value::I8(5)), key(Value::from("5")));
        assert_ne!(key(Value::Bool(true)), key(Value::from("1")));
        assert_eq!(key(Value::Array(Vec::new())), None);
        assert!(key(Value::Null).is_some());
        assert_eq!(key(Value::from("5")), Some(text_key(b"5")));
        assert_eq!(deduplication_key(&Properties::default()), None);
    }
}
