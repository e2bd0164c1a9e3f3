//! What an ordered queue hands out, and what that costs. Everything at once is in the tests of the state machine against its
//! model.

use std::sync::Arc;

use super::*;
use crate::message::Essentials;
use crate::message::tests::plain;
use crate::queue::consumer::{ConsumerOptions, Credit};
use crate::queue::entry::{Entry, Place};
use crate::queue::lease::Outcome;
use crate::queue::receive::{Receipt, Receipted, Receive};
use crate::queue::rules::{DeadLetter, Delayed, RetryDelay, Rules};
use crate::queue::selection::Selection;
use crate::queue::state::{Departure, Effects, Grant, State};
use crate::queue::tally::Tally;

/// What was handed to consumers.
#[derive(Debug, Default)]
struct Notes(Vec<(usize, Grant)>);

impl Effects<usize> for Notes {
    fn take_room(&mut self, _outlet: &usize) -> bool {
        true
    }
    fn deliver(&mut self, outlet: &usize, grant: Grant) {
        self.0.push((*outlet, grant));
    }
    fn dead_lettered(&mut self, _entry: Entry, _why: Departure, _to: &Arc<DeadLetter>) {}
    fn departed(&mut self, _entry: Entry, _why: Departure) {}
    fn tallied(&mut self, _position: Place, _tally: Tally) {}
}

impl Notes {
    /// Who was handed which, since the last time.
    fn take(&mut self) -> Vec<(usize, u64)> {
        self.0.drain(..).map(|(outlet, grant)| (outlet, grant.seq)).collect()
    }
}

fn queue(rules: Rules) -> State<usize> {
    State::new(Arc::new(Rules { ordered: true, ..rules }))
}

fn publish(state: &mut State<usize>, seq: u64, group: &str) {
    let group = (!group.is_empty()).then(|| Group::new(group.as_bytes(), false));
    let message = plain("", "q", Essentials { group, ..Essentials::default() }, b"");
    state.enqueue(Entry::new(seq, message, u64::MAX), 0, false).unwrap();
}

fn receive(state: &mut State<usize>, messages_max: usize, now_ms: u64) -> Vec<u64> {
    let ask = Receive { messages_max, lease_ms: 1000, leased_max: 20_000 };
    let taken = state.receive(&ask, now_ms, false, &mut Notes::default());
    taken.grants.iter().map(|(grant, _)| grant.seq).collect()
}

fn first(seq: u64) -> Receipt {
    Receipt { seq, receives: 1 }
}

fn remove(state: &mut State<usize>, seq: u64) -> Receipted {
    state.remove(first(seq), 0, &mut Notes::default())
}

fn give_back(state: &mut State<usize>, seq: u64, receives: u32) -> Receipted {
    state.extend(Receipt { seq, receives }, 0, u64::MAX, 0, &mut Notes::default())
}

const NOTHING: [u64; 0] = [];

#[test]
fn one_receive_takes_several_of_a_group_and_the_group_waits_until_all_are_done() {
    let mut state = queue(Rules::default());
    for (seq, group) in ["a", "b", "a", "b", "a", "", ""].into_iter().enumerate() {
        publish(&mut state, seq as u64, group);
    }
    assert_eq!(receive(&mut state, 2, 0), [0, 2], "those of one group rather than those of two");
    assert_eq!(receive(&mut state, 1, 0), [1]);
    assert_eq!(receive(&mut state, 10, 0), [5, 6], "what has no group is one, too");
    assert_eq!(receive(&mut state, 10, 0), NOTHING);
    assert!(!state.has_something());
    assert_eq!(remove(&mut state, 0), Receipted::Done);
    assert_eq!(receive(&mut state, 10, 0), NOTHING, "the other one is still in somebody's hands");
    assert_eq!(remove(&mut state, 2), Receipted::Done);
    assert_eq!(receive(&mut state, 10, 0), [4]);
    assert_eq!(remove(&mut state, 1), Receipted::Done);
    assert_eq!(receive(&mut state, 10, 0), [3]);
}

#[test]
fn what_comes_back_is_in_front_of_what_was_behind_it() {
    let mut state = queue(Rules::default());
    for seq in 0..6 {
        publish(&mut state, seq, if seq == 5 { "b" } else { "a" });
    }
    assert_eq!(receive(&mut state, 3, 0), [0, 1, 2]);
    assert_eq!(give_back(&mut state, 1, 1), Receipted::Done);
    assert_eq!(receive(&mut state, 10, 0), [5], "two of the group are still out");
    assert_eq!(remove(&mut state, 0), Receipted::Done);
    // The time of the last one is over, too.
    state.lapse(1000, &mut Notes::default());
    assert_eq!(remove(&mut state, 2), Receipted::NotLeased, "it waits, and its order must not change");
    assert_eq!(receive(&mut state, 10, 1000), [1, 2, 3, 4, 5]);
    assert_eq!(remove(&mut state, 2), Receipted::Stale);
}

#[test]
fn a_message_that_waits_to_be_tried_again_holds_its_successors_up_and_nobody_else() {
    let retry_delay = Some(RetryDelay { min_ms: 100, max_ms: 100, which: Delayed::All });
    let mut state = queue(Rules { retry_delay, ..Rules::default() });
    for (seq, group) in ["a", "a", "b"].into_iter().enumerate() {
        publish(&mut state, seq as u64, group);
    }
    let mut notes = Notes::default();
    let grant = state.fetch(0, true, false, &mut notes).unwrap();
    state.settle(grant.lease.unwrap(), Outcome::Retry, 0, &mut notes);
    assert_eq!(receive(&mut state, 10, 99), [2]);
    assert_eq!(receive(&mut state, 10, 100), [0, 1]);
}

#[test]
fn a_group_goes_to_one_consumer_at_a_time_while_it_has_any_of_it() {
    let mut state = queue(Rules::default());
    let mut notes = Notes::default();
    let options = ConsumerOptions { credit: Credit::Window(2), acknowledges: true, exclusive: false, priority: 0 };
    for name in 0..2 {
        state.subscribe(name, options, Selection::default()).unwrap();
    }
    for (seq, group) in ["a", "a", "a", "b"].into_iter().enumerate() {
        publish(&mut state, seq as u64, group);
    }
    state.grant(0, false, &mut notes);
    let leases: Vec<_> = notes.0.iter().map(|(_, grant)| grant.lease.unwrap()).collect();
    // The first one has no credit for the third of its group, and the second one may not have it.
    assert_eq!(notes.take(), [(0, 0), (1, 3), (0, 1)]);
    assert_eq!(receive(&mut state, 10, 0), NOTHING);
    state.settle(leases[0], Outcome::Accept, 0, &mut notes);
    state.grant(0, false, &mut notes);
    let third = notes.0[0].1.lease.unwrap();
    assert_eq!(notes.take(), [(0, 2)]);
    // Both that are left come back, the second first: now the group is anybody's, and in order.
    state.settle(third, Outcome::Release, 0, &mut notes);
    state.settle(leases[2], Outcome::Retry, 0, &mut notes);
    state.grant(0, false, &mut notes);
    assert_eq!(notes.take(), [(1, 1)], "to the one whose turn it is, who has no credit for more");
    state.settle(leases[1], Outcome::Accept, 0, &mut notes);
    state.grant(0, false, &mut notes);
    assert_eq!(notes.take(), [(1, 2)], "and nobody else gets the next");
}

#[test]
fn who_chooses_cannot_consume_from_it() {
    let mut state = queue(Rules::default());
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };
    let selection = Selection { not_from: Some(1), ..Selection::default() };
    assert!(state.subscribe(0, options, selection).is_err());
}

#[test]
fn too_many_in_flight_are_fewer_and_no_error() {
    let mut state = queue(Rules::default());
    for seq in 0..5 {
        publish(&mut state, seq, "a");
    }
    let ask = Receive { messages_max: 10, lease_ms: 1000, leased_max: 2 };
    assert_eq!(state.receive(&ask, 0, false, &mut Notes::default()).grants.len(), 2);
    let taken = state.receive(&ask, 0, false, &mut Notes::default());
    assert!(taken.grants.is_empty() && !taken.limit_reached);
}

/// Messages come, in groups by turns; all are received and removed. How many changes of groups that took for each message.
fn turn_over(groups: u64, each: u64) -> u64 {
    let mut state = queue(Rules::default());
    let messages = groups * each;
    for seq in 0..messages {
        publish(&mut state, seq, &(seq % groups).to_string());
    }
    let mut last = vec![None; groups as usize];
    let mut count = 0;
    while count < messages {
        let received = receive(&mut state, 10, 0);
        assert!(!received.is_empty());
        for seq in received {
            let last = &mut last[(seq % groups) as usize];
            assert!(*last < Some(seq), "in order");
            *last = Some(seq);
            assert_eq!(remove(&mut state, seq), Receipted::Done);
            count += 1;
        }
    }
    let ordered = state.ordered().unwrap();
    assert_eq!((ordered.groups_len(), ordered.free.len(), ordered.of.len()), (0, 0, 0));
    ordered.changes / messages
}

#[test]
fn a_message_costs_the_same_few_steps_whatever_the_number_of_groups() {
    assert_eq!([turn_over(1, 2000), turn_over(1_000, 20), turn_over(100_000, 1)], [4; 3]);
}

#[test]
#[ignore = "a measurement"]
fn what_a_message_of_an_ordered_queue_costs() {
    for (groups, each) in [(1, 100_000), (1_000, 100), (100_000, 1)] {
        let begin = std::time::Instant::now();
        turn_over(groups, each);
        println!("{groups} groups: {} ns a message", begin.elapsed().as_nanos() as u64 / (groups * each));
    }
}
