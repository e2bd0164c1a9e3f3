//! What the journal keeps of a message beside itself, in the mark of its reference: how often it has failed, and, where it was
//! received, when for the first time and until when somebody has it.

/// First of January 2020, in seconds since the epoch of Unix.
const EPOCH_S: u64 = 1_577_836_800;

/// Attempts of a message that was received. The 32 bits below a plain number of attempts are all there is of one that was not.
const ATTEMPTS_BITS: u32 = 13;
/// From when it was first received to when the lease ends, in seconds: twelve days. 0 where nobody has it.
const LEASE_BITS: u32 = 20;
/// When it was first received, in seconds since [`EPOCH_S`]: until 2088. Never 0.
const FIRST_BITS: u32 = 31;

const ATTEMPTS_MAX: u64 = (1 << ATTEMPTS_BITS) - 1;
const LEASE_S_MAX: u64 = (1 << LEASE_BITS) - 1;
const FIRST_S_MAX: u64 = (1 << FIRST_BITS) - 1;

/// What is remembered of a message over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How often it has failed.
    pub(super) attempts: u32,
    /// When it was received for the first time, in milliseconds since the epoch of Unix; 0 for never.
    pub(super) first_ms: u64,
    /// Until when whoever received it has it; 0 where nobody does.
    pub(super) until_ms: u64,
}

impl Tally {
    /// As a mark of the journal. Times are kept in seconds, the end of a lease as the next whole one; where a message was first
    /// received very long before its lease ends, that time gives way. Of a message that was received 8191 attempts are
    /// remembered at most.
    pub(super) fn mark(self) -> u64 {
        if self.first_ms == 0 {
            return u64::from(self.attempts);
        }
        let mut first_s = (self.first_ms / 1000).saturating_sub(EPOCH_S);
        let mut lease_s = 0;
        if self.until_ms > 0 {
            let until_s = self.until_ms.div_ceil(1000).saturating_sub(EPOCH_S);
            first_s = first_s.max(until_s.saturating_sub(LEASE_S_MAX));
            lease_s = until_s.saturating_sub(first_s).max(1);
        }
        let first_s = first_s.clamp(1, FIRST_S_MAX);
        let attempts = u64::from(self.attempts).min(ATTEMPTS_MAX);
        first_s << (LEASE_BITS + ATTEMPTS_BITS) | lease_s << ATTEMPTS_BITS | attempts
    }

    /// What a mark says. Formats before 4 only counted attempts.
    pub(super) fn of(mark: u64) -> Self {
        if let Ok(attempts) = u32::try_from(mark) {
            return Self { attempts, ..Self::default() };
        }
        let first_s = EPOCH_S + (mark >> (LEASE_BITS + ATTEMPTS_BITS));
        let lease_s = mark >> ATTEMPTS_BITS & LEASE_S_MAX;
        Self {
            attempts: (mark & ATTEMPTS_MAX) as u32,
            first_ms: first_s * 1000,
            until_ms: if lease_s > 0 { (first_s + lease_s) * 1000 } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_790_000_000_123;

    #[test]
    fn a_message_that_was_never_received_has_the_mark_that_it_always_had() {
        for attempts in [0, 1, 7, u32::MAX] {
            let tally = Tally { attempts, ..Tally::default() };
            assert_eq!(tally.mark(), u64::from(attempts));
            assert_eq!(Tally::of(u64::from(attempts)), tally);
        }
    }

    #[test]
    fn it_is_on_disks() {
        let tally = Tally { attempts: 5, first_ms: 1_790_000_000_000, until_ms: 1_790_000_030_000 };
        assert_eq!(tally.mark(), MARK);
        assert_eq!(Tally::of(MARK), tally);
    }

    const MARK: u64 = (1_790_000_000 - 1_577_836_800) << 33 | 30 << 13 | 5;

    #[test]
    fn times_that_make_no_sense_are_bounded() {
        for (first_ms, until_ms) in [(1, 1), (1, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 1), (NOW_MS, u64::MAX)] {
            let tally = Tally::of(Tally { attempts: u32::MAX, first_ms, until_ms }.mark());
            assert!(tally.attempts == 8191 && tally.first_ms > 0 && tally.until_ms > tally.first_ms, "{tally:?}");
        }
        // A message that somebody keeps for the thirteenth day.
        let until_ms = NOW_MS + 13 * 86_400_000;
        let tally = Tally::of(Tally { attempts: 0, first_ms: NOW_MS, until_ms }.mark());
        assert!(tally.until_ms >= until_ms && tally.until_ms < until_ms + 1000, "the lease is exact");
        assert!(tally.first_ms > NOW_MS && tally.first_ms < NOW_MS + 86_400_000);
    }

    proptest! {
        #[test]
        fn a_lease_never_ends_earlier_than_it_would_have(
            first_ms in NOW_MS..NOW_MS + 10_000_000_000,
            lease_ms in prop::option::of(0..1_000_000_000_u64),
            attempts in 0..8192u32,
        ) {
            let until_ms = lease_ms.map_or(0, |ms| first_ms + ms);
            let tally = Tally::of(Tally { attempts, first_ms, until_ms }.mark());
            prop_assert_eq!(tally.attempts, attempts);
            prop_assert!(first_ms - tally.first_ms < 1000);
            match lease_ms {
                None => prop_assert_eq!(tally.until_ms, 0),
                Some(_) => prop_assert!(tally.until_ms >= until_ms && tally.until_ms - until_ms <= 1000),
            }
        }
    }
}
