//! Knows what was published to a queue, confirmed and acknowledged, and judges what is in the queue after a crash.
//!
//! The promise (confirmed messages are there, in order, once; an acknowledged one comes again only marked redelivered)
//! is spelled out in [`Ledger::judge`]. What was neither confirmed nor refused may be there or not, but once it has been
//! seen in either state after a crash it must stay so: the ledger forgets what was gone, and holds on to what was there.

use std::collections::BTreeMap;

/// How far a publish has come, as far as its publisher can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Publish {
    Sent,
    Confirmed,
}

/// How far an acknowledgement has come, as far as its consumer can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settle {
    No,
    Sent,
    /// By a transaction whose commit was answered.
    Durable,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    persistent: bool,
    publish: Publish,
    settle: Settle,
}

/// A message that was found in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number, which counts up in the order of publishing.
    pub number: u64,
    /// As it was delivered.
    pub redelivered: bool,
}

/// All that is known of one queue with one publisher.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<u64, Entry>,
}

impl Ledger {
    /// A message is about to be published.
    pub fn sent(&mut self, number: u64, persistent: bool) {
        self.entries.insert(number, Entry { persistent, publish: Publish::Sent, settle: Settle::No });
    }

    /// The broker has confirmed it.
    pub fn confirmed(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.publish = Publish::Confirmed;
        }
    }

    /// An acknowledgement is about to be sent.
    pub fn acknowledged(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.settle = Settle::Sent;
        }
    }

    /// The transaction of the acknowledgement was committed: it must never come again.
    pub fn acknowledged_for_good(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.settle = Settle::Durable;
        }
    }

    /// How many messages must be in the queue.
    #[must_use]
    pub fn owed(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_owed()).count()
    }

    /// Compares what is in the queue after the broker has come back with what was promised, and returns each broken
    /// promise in words. Afterwards the ledger knows what the queue holds.
    pub fn judge(&mut self, found: &[Found]) -> Vec<String> {
        let mut broken = Vec::new();
        for pair in found.windows(2) {
            if pair[0].number >= pair[1].number {
                broken.push(format!("{} comes before {}", pair[0].number, pair[1].number));
            }
        }
        let mut left = BTreeMap::new();
        for &Found { number, redelivered } in found {
            let Some(entry) = self.entries.get(&number) else {
                broken.push(format!("{number} was never published, or was gone after an earlier crash"));
                continue;
            };
            match entry.settle {
                Settle::Durable => broken.push(format!("{number} was acknowledged in a committed transaction")),
                Settle::Sent if !redelivered => {
                    broken.push(format!("{number} was acknowledged, and comes again unmarked"));
                }
                Settle::Sent | Settle::No => {}
            }
            // It has survived a crash: from now on it is owed, confirmed or not.
            if left.insert(number, Entry { publish: Publish::Confirmed, settle: Settle::No, ..*entry }).is_some() {
                broken.push(format!("{number} is there twice"));
            }
        }
        for (number, entry) in &self.entries {
            if entry.is_owed() && !left.contains_key(number) {
                broken.push(format!("{number} was confirmed, and is gone"));
            }
        }
        self.entries = left;
        broken
    }
}

impl Entry {
    fn is_owed(self) -> bool {
        self.persistent && self.publish == Publish::Confirmed && self.settle == Settle::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for number in 0..6 {
            ledger.sent(number, number != 5);
        }
        (0..4).for_each(|number| ledger.confirmed(number));
        ledger.confirmed(5);
        ledger.acknowledged(0);
        ledger.acknowledged_for_good(1);
        ledger
    }

    fn found(numbers: &[u64]) -> Vec<Found> {
        numbers.iter().map(|&number| Found { number, redelivered: number == 0 }).collect()
    }

    #[test]
    fn all_that_may_happen_is_accepted() {
        for numbers in [&[2, 3][..], &[0, 2, 3], &[2, 3, 4], &[2, 3, 5], &[0, 2, 3, 4, 5]] {
            assert_eq!(ledger().judge(&found(numbers)), Vec::<String>::new(), "{numbers:?}");
        }
        assert_eq!(ledger().owed(), 2);
    }

    #[test]
    fn each_broken_promise_is_told() {
        let told = |numbers: &[u64]| ledger().judge(&found(numbers));
        assert_eq!(told(&[3]), ["2 was confirmed, and is gone"]);
        assert_eq!(told(&[3, 2]), ["3 comes before 2"]);
        assert_eq!(told(&[2, 2, 3]), ["2 comes before 2", "2 is there twice"]);
        assert_eq!(told(&[1, 2, 3]), ["1 was acknowledged in a committed transaction"]);
        assert_eq!(told(&[2, 3, 9]), ["9 was never published, or was gone after an earlier crash"]);
        let unmarked = [0, 2, 3].map(|number| Found { number, redelivered: false });
        assert_eq!(ledger().judge(&unmarked), ["0 was acknowledged, and comes again unmarked"]);
    }

    #[test]
    fn what_was_seen_after_a_crash_stays_as_it_was() {
        let mut ledger = ledger();
        assert_eq!(ledger.judge(&found(&[2, 3, 4])), Vec::<String>::new());
        assert_eq!(ledger.judge(&found(&[2, 3])), ["4 was confirmed, and is gone"]);
        assert_eq!(ledger.judge(&found(&[0, 2, 3])), ["0 was never published, or was gone after an earlier crash"]);
    }
}
