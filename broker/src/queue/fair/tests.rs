//! Who gets what where one group has much more than others.

use std::sync::Arc;

use crate::group::Group;
use crate::message::Essentials;
use crate::message::tests::plain;
use crate::queue::entry::{Entry, Place};
use crate::queue::receive::{Receipt, Receipted, Receive};
use crate::queue::rules::{DeadLetter, Rules};
use crate::queue::state::{Departure, Effects, Grant, State};
use crate::queue::tally::Tally;

/// Nobody consumes.
struct Nothing;

impl Effects<()> for Nothing {
    fn take_room(&mut self, (): &()) -> bool {
        false
    }
    fn deliver(&mut self, (): &(), _grant: Grant) {}
    fn dead_lettered(&mut self, _entry: Entry, _why: Departure, _to: &Arc<DeadLetter>) {}
    fn departed(&mut self, _entry: Entry, _why: Departure) {}
    fn tallied(&mut self, _position: Place, _tally: Tally) {}
}

/// A queue and the groups of its messages, by their numbers.
struct Bench {
    state: State<()>,
    groups: Vec<&'static str>,
}

impl Bench {
    fn new(fair: bool) -> Self {
        Self { state: State::new(Arc::new(Rules { fair, ..Rules::default() })), groups: Vec::new() }
    }

    fn publish(&mut self, group: &'static str, count: usize) {
        for _ in 0..count {
            let of = (!group.is_empty()).then(|| Group::new(group.as_bytes(), false));
            let message = plain("", "q", Essentials { group: of, ..Essentials::default() }, b"");
            self.state.enqueue(Entry::new(self.groups.len() as u64, message, u64::MAX), 0, false).unwrap();
            self.groups.push(group);
        }
    }

    fn receive(&mut self, messages_max: usize) -> Vec<u64> {
        let ask = Receive { messages_max, lease_ms: 1000, leased_max: usize::MAX };
        let taken = self.state.receive(&ask, 0, false, &mut Nothing);
        taken.grants.into_iter().map(|(grant, _)| grant.seq).collect()
    }

    fn of(&mut self, messages_max: usize) -> Vec<&'static str> {
        self.receive(messages_max).into_iter().map(|seq| self.groups[seq as usize]).collect()
    }

    fn remove(&mut self, seq: u64) {
        assert_eq!(self.state.remove(Receipt { seq, receives: 1 }, 0, &mut Nothing), Receipted::Done);
    }
}

#[test]
fn who_sends_a_lot_does_not_keep_others_waiting() {
    let mut bench = Bench::new(true);
    bench.publish("loud", 10_000);
    bench.publish("quiet", 3);
    bench.publish("", 2);
    bench.publish("other", 1);
    assert_eq!(bench.of(10), ["loud"; 10]);
    assert_eq!(bench.of(10), ["quiet", "quiet", "quiet", "", "", "other", "loud", "loud", "loud", "loud"]);
    bench.publish("other", 1);
    assert_eq!(bench.of(2), ["other", "loud"]);
}

#[test]
fn where_it_is_not_asked_for_messages_come_in_their_order() {
    let mut bench = Bench::new(false);
    bench.publish("loud", 100);
    bench.publish("quiet", 3);
    assert_eq!(bench.receive(200), (0..103).collect::<Vec<_>>());
}

#[test]
fn groups_that_have_as_much_as_others_get_messages_in_their_order() {
    let mut bench = Bench::new(true);
    for _ in 0..100 {
        for group in ["a", "b", "c", "", "d"] {
            bench.publish(group, 1);
        }
    }
    assert_eq!(bench.receive(500), (0..500).collect::<Vec<_>>());
}

#[test]
fn a_group_is_quiet_again_when_its_messages_are_done_or_come_back() {
    let mut bench = Bench::new(true);
    bench.publish("a", 30);
    let received = bench.receive(20);
    bench.publish("b", 30);
    assert_eq!(bench.of(5), ["b"; 5]);
    received[..18].iter().for_each(|seq| bench.remove(*seq));
    assert_eq!(bench.of(3), ["a"; 3]);
    // The time of the others is over.
    bench.state.lapse(1000, &mut Nothing);
    assert_eq!(bench.receive(1), [18]);
}

#[test]
fn rules_can_change_and_nothing_is_lost_or_comes_twice() {
    let mut bench = Bench::new(false);
    let mut all = Vec::new();
    for round in 0..40 {
        bench.publish(["a", "a", "", "b"][round % 4], 50);
        let rules = Rules { fair: round % 3 > 0, ..Rules::default() };
        bench.state.set_rules(Arc::new(rules));
        for seq in bench.receive(30) {
            if seq % 2 == 0 {
                bench.remove(seq);
            }
            all.push(seq);
        }
    }
    while all.len() < bench.groups.len() {
        let received = bench.receive(7);
        assert!(!received.is_empty());
        all.extend(received);
    }
    assert_eq!(bench.receive(7).len(), 0);
    all.sort_unstable();
    assert_eq!(all, (0..bench.groups.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_purge_forgets_what_waited() {
    let mut bench = Bench::new(true);
    bench.publish("a", 30);
    bench.publish("", 30);
    assert_eq!(bench.receive(20).len(), 20);
    drop(bench.state.purge());
    bench.publish("b", 1);
    bench.publish("a", 1);
    assert_eq!(bench.of(10), ["b", "a"]);
}
