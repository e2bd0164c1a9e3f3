//! Groups of messages, which consumers of a queue do not share.

use std::num::NonZeroU64;

/// The group that a message belongs to (`JMSXGroupID`): messages of one group go to one consumer at a time, in their order.
///
/// It stands for the group's id, and is the same in every process, since it is stored with the message. Two groups that are
/// taken for one, once in some billions, share a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(NonZeroU64);

/// The lowest bit says that the message is the last one of its group.
const CLOSES: u64 = 1;
/// Set in every one, so that none is zero. Worked out when the program is built: no input reaches it.
const ALWAYS: NonZeroU64 = NonZeroU64::MIN.saturating_mul(NonZeroU64::new(1 << 63).unwrap());

impl Group {
    /// The group of this id. `closes`: whoever has the group need not have what follows (`JMSXGroupSeq` is negative).
    pub fn new(id: &[u8], closes: bool) -> Self {
        // FNV-1a, and then a step that has all bits depend on all others.
        let mut hash = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
        Self::from_bits(hash & !CLOSES | u64::from(closes))
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(ALWAYS | bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0.get()
    }

    /// The same for all messages of the group.
    pub(crate) const fn key(self) -> u64 {
        self.0.get() & !CLOSES
    }

    /// Whether the group ends with this message.
    pub const fn closes(self) -> bool {
        self.0.get() & CLOSES != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn groups_are_told_apart_and_stay_the_same_for_ever() {
        let keys: HashSet<u64> = (0..100_000_u32).map(|n| Group::new(n.to_string().as_bytes(), false).key()).collect();
        assert_eq!(keys.len(), 100_000);
        let (goes_on, closes) = (Group::new(b"orders", false), Group::new(b"orders", true));
        assert_eq!(goes_on.key(), closes.key());
        assert!(!goes_on.closes() && closes.closes());
        assert_eq!(Group::from_bits(closes.bits()), closes);
        // It is on disks.
        assert_eq!(goes_on.bits(), STORED);
    }

    const STORED: u64 = 13_064_327_983_236_620_466;
}
