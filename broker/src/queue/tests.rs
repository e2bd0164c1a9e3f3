//! The state machine against the model, from a seed that proptest prints when something fails. All rules at once, in any
//! combination, and changed on the way.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;

use super::consumer::{ConsumerId, ConsumerOptions, Credit};
use super::entry::{Entry, Place};
use super::lease::{Lease, Outcome};
use super::model::{Choice, Expected, Item, Model};
use super::receive::{Receipt, Receive};
use super::rules::{DeadLetter, Delayed, Overflow, RetryDelay, Rules};
use super::selection::Selection;
use super::state::{Departure, Effects, Grant, NotSealed, STEP_ENTRIES_MAX, SealIf, State, SubscribeError};
use super::tally::Tally;
use crate::group::Group;
use crate::message::tests::plain;
use crate::message::{Essentials, Message};
use crate::selector::Selector;

/// Notes what a queue asks for; outlets are numbers.
#[derive(Debug, Default)]
struct Notes {
    room: Vec<usize>,
    delivered: Vec<(usize, Grant)>,
    /// Messages that left, why, and whether they went on.
    departed: Vec<(u64, Departure, bool)>,
    /// What is remembered of messages over restarts, by their slots.
    tallies: HashMap<u32, Tally>,
}

impl Effects<usize> for Notes {
    fn take_room(&mut self, outlet: &usize) -> bool {
        let room = &mut self.room[*outlet];
        let some = *room > 0;
        *room -= usize::from(some);
        some
    }

    fn deliver(&mut self, outlet: &usize, grant: Grant) {
        self.delivered.push((*outlet, grant));
    }

    fn dead_lettered(&mut self, entry: Entry, why: Departure, _to: &Arc<DeadLetter>) {
        self.departed.push((entry.seq, why, true));
    }

    fn departed(&mut self, entry: Entry, why: Departure) {
        self.departed.push((entry.seq, why, false));
    }

    fn tallied(&mut self, position: Place, tally: Tally) {
        if let Some(position) = position.get() {
            self.tallies.insert(position.slot, tally);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Publish {
    ttl_ms: Option<u64>,
    bytes: u8,
    priority: u8,
    group: Option<Group>,
    delay_ms: Option<u32>,
    /// It is on the disk only.
    stored: bool,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Remove,
    /// So long, and how long it may be in all.
    Extend(u64, u64),
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Publish),
    /// A publisher that has asked for room and is slow.
    Begin(Publish),
    /// The slow one comes, or does not come.
    Finish {
        which: Index,
        comes: bool,
    },
    Subscribe {
        options: ConsumerOptions,
        room: usize,
        /// Messages of this priority and above, and whether the others may leave.
        choice: Option<(u8, bool)>,
    },
    Unsubscribe {
        who: Index,
        leaves: bool,
    },
    Resume {
        who: Index,
        room: usize,
    },
    Settle {
        which: Index,
        outcome: Outcome,
    },
    SettleAgain(Index),
    SettleLate(Index),
    Fetch {
        acknowledges: bool,
    },
    Receive(Receive),
    /// Says something by a receipt, which may be made up.
    Say {
        which: Index,
        receives: i32,
        what: Word,
    },
    DiscardAll,
    Purge,
    Pass {
        ms: u64,
    },
    SetRules(Box<Rules>),
    Seal(SealIf),
    Close,
}

fn credit() -> impl Strategy<Value = Credit> {
    prop_oneof![Just(Credit::Unlimited), (0..5u32).prop_map(Credit::Window), Just(Credit::Window(u32::MAX))]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Accept),
        2 => Just(Outcome::Release),
        3 => Just(Outcome::Retry),
        2 => Just(Outcome::Return),
        1 => Just(Outcome::Reject),
    ]
}

fn options() -> impl Strategy<Value = ConsumerOptions> {
    (credit(), any::<bool>(), prop::bool::weighted(0.05), prop_oneof![3 => Just(0), 1 => -1..3]).prop_map(
        |(credit, acknowledges, exclusive, priority)| ConsumerOptions { credit, acknowledges, exclusive, priority },
    )
}

/// Each rule is there as often as not.
fn rules() -> impl Strategy<Value = Rules> {
    let ms = || prop::option::of(1..40u64);
    let which = prop_oneof![Just(Delayed::All), Just(Delayed::Returned)];
    let delay = (1..10u64, 0..30u64, which).prop_map(|(min_ms, more_ms, which)| RetryDelay {
        min_ms,
        max_ms: min_ms + more_ms,
        which,
    });
    let overflow =
        prop_oneof![Just(Overflow::DropHead), Just(Overflow::RejectPublish), Just(Overflow::RejectPublishDeadLetter)];
    let limits = (prop::option::of(0..8u64), prop::option::of(0..600u64), overflow);
    let alone = (any::<bool>(), any::<bool>());
    let attempts = (prop::option::of(0..4u32), prop::option::of(delay), prop::option::of(1..4u32), any::<bool>());
    let lasts = (ms(), prop::option::weighted(0.3, 0..20u64));
    (prop::option::of(0..40u64), limits, prop_oneof![Just(0), 1..5u8, Just(255)], alone, attempts, lasts, any::<bool>())
        .prop_map(|(ttl_ms, limits, priority_max, alone, attempts, lasts, dead_letters)| {
            let to = Arc::new(DeadLetter { exchange: "".into(), key: None, at_least_once: false, is_redrive: false });
            Rules {
                ttl_ms,
                dead_letter: dead_letters.then(|| Arc::clone(&to)),
                length_max: limits.0,
                bytes_max: limits.1,
                overflow: limits.2,
                priority_max,
                single_active: alone.0,
                takes_over: alone.0 && alone.1,
                delivery_limit: attempts.0,
                retry_delay: attempts.1,
                lease_ms: lasts.0,
                delay_ms: lasts.1,
                receives_max: attempts.2,
                redrive: attempts.3.then_some(to),
                ..Rules::default()
            }
        })
}

fn publish() -> impl Strategy<Value = Publish> {
    let ttl_ms = prop_oneof![4 => Just(None), 1 => Just(Some(0)), 2 => (1..50u64).prop_map(Some)];
    let priority = prop_oneof![2 => Just(0), 2 => 0..7u8, 1 => any::<u8>()];
    let group = prop_oneof![
        3 => Just(None),
        2 => (0..4u8, prop::bool::weighted(0.1)).prop_map(|(id, closes)| Some(Group::new(&[id], closes))),
    ];
    let delay_ms = prop_oneof![6 => Just(None), 1 => Just(Some(0)), 1 => (1..30u32).prop_map(Some)];
    (ttl_ms, any::<u8>(), priority, group, delay_ms, prop::bool::weighted(0.3)).prop_map(
        |(ttl_ms, bytes, priority, group, delay_ms, stored)| Publish {
            ttl_ms,
            bytes,
            priority,
            group,
            delay_ms,
            stored,
        },
    )
}

/// When a test begins, in milliseconds since the epoch of Unix.
const START_MS: u64 = 1000;

/// Of a message that is found after a restart: received or not, and in somebody's hands or not.
fn tally() -> impl Strategy<Value = Tally> {
    let until_ms = prop_oneof![2 => Just(0), 1 => 1..=START_MS, 2 => START_MS + 1..START_MS + 60];
    let times = prop_oneof![2 => Just((0, 0)), 1 => (1..START_MS, until_ms)];
    (0..3u32, times).prop_map(|(attempts, (first_ms, until_ms))| Tally { attempts, first_ms, until_ms })
}

fn word() -> impl Strategy<Value = Word> {
    let ms = prop_oneof![1 => Just(0), 2 => 1..60u64];
    prop_oneof![Just(Word::Remove), (ms, 0..100u64).prop_map(|(ms, total_ms_max)| Word::Extend(ms, total_ms_max))]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        40 => publish().prop_map(Step::Publish),
        10 => publish().prop_map(Step::Begin),
        10 => (any::<Index>(), prop::bool::weighted(0.8)).prop_map(|(which, comes)| Step::Finish { which, comes }),
        8 => (options(), 0..20usize, prop::option::weighted(0.4, (0..7u8, prop::bool::weighted(0.2))))
            .prop_map(|(options, room, choice)| Step::Subscribe { options, room, choice }),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(who, leaves)| Step::Unsubscribe { who, leaves }),
        12 => (any::<Index>(), 0..10usize).prop_map(|(who, room)| Step::Resume { who, room }),
        40 => (any::<Index>(), outcome()).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        4 => any::<Index>().prop_map(Step::SettleAgain),
        6 => any::<Index>().prop_map(Step::SettleLate),
        6 => any::<bool>().prop_map(|acknowledges| Step::Fetch { acknowledges }),
        12 => (0..5usize, 0..40u64, prop_oneof![3 => Just(usize::MAX), 1 => 0..6usize])
            .prop_map(|(messages_max, lease_ms, leased_max)| Step::Receive(Receive { messages_max, lease_ms, leased_max })),
        16 => (any::<Index>(), prop_oneof![8 => Just(0), 1 => -1..2i32], word())
            .prop_map(|(which, receives, what)| Step::Say { which, receives, what }),
        1 => Just(Step::DiscardAll),
        1 => Just(Step::Purge),
        10 => (1..30u64).prop_map(|ms| Step::Pass { ms }),
        2 => rules().prop_map(|rules| Step::SetRules(Box::new(rules))),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(unused, empty)| Step::Seal(SealIf { unused, empty })),
        1 => Just(Step::Close),
    ]
}

/// Both, side by side.
struct Pair {
    state: State<usize>,
    model: Model,
    notes: Notes,
    now_ms: u64,
    next_seq: u64,
    entered: u64,
    refused: u64,
    /// Publishers that have asked and not come yet: their number, and whether they were promised room.
    slow: Vec<(u64, Publish, bool)>,
    ids: HashMap<usize, ConsumerId>,
    leases: HashMap<u64, Lease>,
    late: Vec<Lease>,
    old_leases: Vec<Lease>,
    /// All there ever were.
    receipts: Vec<Receipt>,
    /// What is on the disk.
    stored: HashMap<u64, Arc<Message>>,
}

impl Pair {
    /// A queue that finds messages of an earlier run, just published.
    fn new(rules: &Rules, found: &[(Publish, Tally)]) -> Self {
        let mut state = State::new(Arc::new(rules.clone()));
        let mut model = Model::default();
        model.set_rules(rules.clone());
        let mut stored = HashMap::new();
        for (seq, (publish, tally)) in found.iter().enumerate() {
            let (mut entry, mut item) = both(seq as u64, *publish, START_MS);
            store(&mut entry, *publish, &mut stored);
            // Before the restart it was in somebody's hands.
            let is_over = (1..=START_MS).contains(&tally.until_ms);
            (item.attempts, item.received) = (tally.attempts + u32::from(is_over), tally.first_ms > 0);
            (entry.redelivered, item.redelivered) = (tally.attempts > 0, item.attempts > 0);
            let essentials = Essentials { group: publish.group, delay_ms: publish.delay_ms, ..Essentials::default() };
            state.restore(entry, *tally, START_MS, &essentials, START_MS);
            if tally.until_ms > START_MS {
                let since_ms = if tally.attempts == 0 { tally.first_ms } else { START_MS };
                model.hold_received(item, tally.until_ms, since_ms, START_MS);
            } else {
                // What somebody has had is not delayed once more.
                let delay_ms = if item.attempts > 0 || item.received { Some(0) } else { publish.delay_ms };
                model.enter(item, delay_ms, START_MS, START_MS);
            }
        }
        let leases = state.received_leases().collect();
        let receipts = (found.iter().enumerate())
            .map(|(seq, (_, tally))| Receipt { seq: seq as u64, receives: tally.attempts + 1 })
            .collect();
        Self {
            state,
            model,
            notes: Notes::default(),
            now_ms: START_MS,
            next_seq: found.len() as u64,
            entered: 0,
            refused: 0,
            slow: Vec::new(),
            ids: HashMap::new(),
            leases,
            late: Vec::new(),
            old_leases: Vec::new(),
            receipts,
            stored,
        }
    }

    /// A publisher asks for room, if it has to, and gets a number.
    fn begin(&mut self, publish: Publish) -> Option<(u64, Publish, bool)> {
        let asks = self.model.rules.may_refuse();
        if asks {
            let promised = self.state.promise(u32::from(publish.bytes));
            assert_eq!(promised, self.model.promise(u32::from(publish.bytes)));
            if !promised {
                self.refused += 1;
                return None;
            }
        }
        self.next_seq += 1;
        Some((self.next_seq - 1, publish, asks))
    }

    fn finish(&mut self, (seq, publish, promised): (u64, Publish, bool), comes: bool) {
        if promised {
            self.state.keep_promise(u32::from(publish.bytes));
            self.model.keep_promise(u32::from(publish.bytes));
        }
        if !comes {
            return;
        }
        let (entry, mut item) = both(seq, publish, self.now_ms);
        let taken = self.state.enqueue(entry, self.now_ms, false).is_ok();
        assert_eq!(taken, !self.model.closed);
        match self.state.newcomer(seq, publish.priority).filter(|_| taken) {
            Some(entry) => store(entry, publish, &mut self.stored),
            None => item.unread = false,
        }
        if taken {
            self.entered += 1;
            self.model.enter(item, publish.delay_ms, self.now_ms, self.now_ms);
        }
    }

    fn settle(&mut self, lease: Lease, outcome: Outcome) -> bool {
        self.state.settle(lease, outcome, self.now_ms, &mut self.notes)
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Publish(publish) => {
                if let Some(begun) = self.begin(publish) {
                    self.finish(begun, true);
                }
            }
            Step::Begin(publish) => {
                let begun = self.begin(publish);
                self.slow.extend(begun);
            }
            Step::Finish { which, comes } => {
                if !self.slow.is_empty() {
                    let begun = self.slow.remove(which.index(self.slow.len()));
                    self.finish(begun, comes);
                }
            }
            Step::Subscribe { options, room, choice } => {
                let name = self.notes.room.len();
                self.notes.room.push(room);
                let subscribed = self.state.subscribe(name, options, selection(choice));
                let choice = choice.map(|(at_least, discards)| Choice { at_least, discards });
                let agreed = self.model.subscribe(name, options, choice);
                assert_eq!(subscribed.is_ok(), agreed);
                match subscribed {
                    Ok(id) => drop(self.ids.insert(name, id)),
                    Err(SubscribeError::Closed) => assert!(self.model.closed),
                    Err(SubscribeError::CannotChoose) => assert!(self.model.rules.ordered && choice.is_some()),
                    Err(SubscribeError::InExclusiveUse) => assert!(!self.model.closed),
                }
            }
            Step::Unsubscribe { who, leaves } => {
                let Some(name) = self.some_consumer(who) else { return };
                let id = self.ids[&name];
                assert!(self.state.unsubscribe(id, leaves));
                assert!(!self.state.unsubscribe(id, leaves), "a second time there is nobody");
                self.model.unsubscribe(name, leaves);
            }
            Step::Resume { who, room } => {
                let Some(name) = self.some_consumer(who) else { return };
                self.notes.room[name] += room;
                self.state.resume(self.ids[&name]);
                self.model.resume(name);
            }
            Step::Settle { which, outcome } => {
                if self.model.held.is_empty() {
                    return;
                }
                let seq = which.get(&self.model.held).item.seq;
                let lease = self.leases.remove(&seq).expect("what is held has a lease");
                assert!(self.settle(lease, outcome));
                assert!(!self.settle(lease, Outcome::Accept), "a second time there is nothing");
                self.old_leases.push(lease);
                self.model.settle(seq, outcome, self.now_ms);
            }
            Step::SettleAgain(which) => {
                if !self.old_leases.is_empty() {
                    let lease = *which.get(&self.old_leases);
                    assert!(!self.settle(lease, Outcome::Accept), "an old lease is not a new one");
                    assert!(self.state.leased_place(lease).is_none());
                }
            }
            Step::SettleLate(which) => {
                if self.late.is_empty() {
                    return;
                }
                let at = which.index(self.late.len());
                let lease = self.late.remove(at);
                assert!(!self.settle(lease, Outcome::Accept), "it is too late");
                self.old_leases.push(lease);
                self.model.say_late(at);
            }
            Step::Fetch { acknowledges } => {
                self.model.take_due(self.now_ms);
                let expected = self.model.take_first(None, self.now_ms);
                let granted = self.state.fetch(self.now_ms, acknowledges, false, &mut self.notes);
                assert_eq!(granted.is_some(), expected.is_some());
                self.model.expire(self.now_ms + 1);
                assert_eq!(self.state.ready_len(), self.model.waiting.len() + self.model.later.len());
                if let (Some(granted), Some(item)) = (granted, expected) {
                    assert_eq!((granted.bytes, granted.attempts), (item.bytes + 4, item.attempts));
                    assert_eq!(granted.redelivered, item.redelivered);
                    assert_eq!(granted.lease.is_some(), acknowledges);
                    match granted.lease {
                        Some(lease) => {
                            self.leases.insert(item.seq, lease);
                            self.model.hold(item, None, self.now_ms);
                        }
                        None => self.model.gone.push((item.seq, None)),
                    }
                }
            }
            Step::Receive(ask) => {
                let (expected, limit_reached) = self.model.receive(&ask, self.now_ms);
                let taken = self.state.receive(&ask, self.now_ms, false, &mut self.notes);
                assert_eq!(taken.limit_reached, limit_reached);
                assert_eq!(taken.grants.len(), expected.len());
                for ((grant, first_ms), item) in taken.grants.into_iter().zip(expected) {
                    assert_eq!(
                        (grant.seq, grant.attempts, grant.redelivered),
                        (item.seq, item.attempts, item.redelivered)
                    );
                    assert_eq!(first_ms == self.now_ms, !item.received || first_ms == self.now_ms);
                    assert!(first_ms <= self.now_ms);
                    let lease = grant.lease.expect("what is received is leased");
                    assert!(self.leases.insert(grant.seq, lease).is_none());
                    self.receipts.push(Receipt { seq: grant.seq, receives: grant.attempts + 1 });
                }
            }
            Step::Say { which, receives, what } => {
                if self.receipts.is_empty() {
                    return;
                }
                let receipt = *which.get(&self.receipts);
                let receipt = Receipt { receives: receipt.receives.saturating_add_signed(receives), ..receipt };
                let (now_ms, notes) = (self.now_ms, &mut self.notes);
                let held_before = self.model.held.len();
                let (said, expected) = match what {
                    Word::Remove => (self.state.remove(receipt, now_ms, notes), self.model.remove(receipt, now_ms)),
                    Word::Extend(ms, max) => (
                        self.state.extend(receipt, ms, max, now_ms, notes),
                        self.model.extend(receipt, ms, max, now_ms),
                    ),
                };
                assert_eq!(said, expected);
                if self.model.held.len() < held_before {
                    self.old_leases.push(self.leases.remove(&receipt.seq).expect("it was leased"));
                }
            }
            Step::DiscardAll => {
                let (count, discarded) = self.state.discard_all();
                self.note_discarded(discarded);
                let (expected, received) = self.model.discard_all();
                assert_eq!(count, expected);
                self.old_leases.extend(received.iter().filter_map(|seq| self.leases.remove(seq)));
            }
            Step::Purge => {
                let (count, discarded) = self.state.purge();
                self.note_discarded(discarded);
                assert_eq!(count, self.model.discard());
            }
            Step::Pass { ms } => {
                self.now_ms += ms;
                self.state.lapse(self.now_ms, &mut self.notes);
                let late_before = self.model.late.len();
                for seq in self.model.lapse(self.now_ms) {
                    let lease = self.leases.remove(&seq).expect("what is held has a lease");
                    match self.model.late[late_before..].iter().any(|(late, _)| *late == seq) {
                        true => self.late.push(lease),
                        false => self.old_leases.push(lease),
                    }
                }
            }
            Step::SetRules(mut rules) => {
                // What it is declared with, it is for ever.
                rules.ordered = self.model.rules.ordered;
                self.state.set_rules(Arc::new((*rules).clone()));
                self.model.set_rules(*rules);
            }
            Step::Seal(conditions) => {
                let waits = !self.model.waiting.is_empty() || !self.model.later.is_empty();
                let unmet = if conditions.unused && !self.model.consumers.is_empty() {
                    Err(NotSealed::InUse)
                } else if conditions.empty && waits {
                    Err(NotSealed::NotEmpty)
                } else {
                    self.model.closed = true;
                    Ok(())
                };
                assert_eq!(self.state.seal(conditions), unmet);
            }
            Step::Close => {
                let (mut outlets, waiting, discarded) = self.state.close();
                self.note_discarded(discarded);
                let mut names: Vec<_> = self.model.consumers.iter().map(|consumer| consumer.name).collect();
                names.sort_unstable();
                outlets.sort_unstable();
                assert_eq!(outlets, names);
                assert_eq!(waiting, self.model.discard());
                let held = self.model.held.drain(..).map(|held| (held.item.seq, Some(Departure::Discarded)));
                self.model.gone.extend(held);
                self.old_leases.extend(self.leases.drain().map(|(_, lease)| lease));
                self.old_leases.append(&mut self.late);
                let Model { rules, gone, promised, .. } = std::mem::take(&mut self.model);
                self.model = Model { rules, gone, promised, closed: true, ..Model::default() };
            }
        }
    }

    fn note_discarded(&mut self, discarded: impl Iterator<Item = Entry>) {
        self.notes.departed.extend(discarded.map(|entry| (entry.seq, Departure::Discarded, false)));
    }

    fn some_consumer(&self, who: Index) -> Option<usize> {
        (!self.model.consumers.is_empty()).then(|| who.get(&self.model.consumers).name)
    }

    /// What the state machine grants is what the model expects: who, what, in which order, as which attempt. What it asks for is
    /// read, and looked at.
    fn grant(&mut self) {
        self.model.tidy();
        self.grant_once();
        let mut rounds = 0;
        while self.state.is_unread() {
            let read = self.state.wanted();
            for (key, position, _) in &read {
                self.state.lend(*key, *position, Arc::clone(&self.stored[&key.seq]));
            }
            let is_read = |seq| read.iter().any(|(key, ..)| key.seq == seq);
            self.model.waiting.iter_mut().for_each(|item| item.unread &= !is_read(item.seq));
            self.grant_once();
            for (key, ..) in read {
                self.state.take_back(key);
                let stored = &self.stored;
                let waiting = self.model.waiting.iter_mut().find(|item| item.seq == key.seq);
                waiting.into_iter().for_each(|item| item.unread = stored.contains_key(&item.seq));
            }
            rounds += 1;
            assert!(rounds < 1000, "each time, it has looked at something");
        }
        self.model.tidy();
    }

    fn grant_once(&mut self) {
        let mut room = self.notes.room.clone();
        let expected = self.model.grant(self.now_ms, &mut room);
        self.state.grant(self.now_ms, false, &mut self.notes);
        let delivered = std::mem::take(&mut self.notes.delivered);
        assert_eq!(delivered.len(), expected.len(), "{delivered:?} {expected:?}");
        for ((outlet, grant), expected) in delivered.into_iter().zip(expected) {
            let Expected { to, seq, attempts, redelivered, leased } = expected;
            assert_eq!((outlet, grant.seq, grant.attempts, grant.redelivered), (to, seq, attempts, redelivered));
            assert_eq!(grant.lease.is_some(), leased);
            if let Some(lease) = grant.lease {
                assert_eq!(self.state.leased_seq(lease), Some(seq));
                assert!(self.leases.insert(seq, lease).is_none());
            }
        }
        assert_eq!(self.notes.room, room);
        assert_eq!(self.state.is_unread(), self.model.is_unread);
    }

    /// Everything that can be seen agrees, and each message is in one place.
    fn check(&mut self, found: usize) {
        let Model { waiting, later, held, late, gone, consumers, closed, rules, .. } = &self.model;
        assert_eq!(self.state.ready_len(), waiting.len() + later.len());
        assert_eq!(self.state.leased_len(), held.len());
        assert_eq!(self.state.lapsed_len(), late.len());
        assert_eq!(self.state.consumers_len(), consumers.len());
        assert_eq!(self.state.is_closed(), *closed);
        let sum = |bytes: &mut dyn Iterator<Item = u32>| bytes.map(u64::from).sum::<u64>();
        let all_waiting = || waiting.iter().chain(later.iter().map(|(_, item)| item));
        let waiting_bytes = sum(&mut all_waiting().map(|item| item.bytes));
        let held_bytes = sum(&mut held.iter().map(|held| held.item.bytes));
        assert_eq!(self.state.bytes(), (waiting_bytes, held_bytes));
        assert!(!self.state.is_unfinished());
        if rules.may_drop() {
            assert!(rules.length_max.is_none_or(|max| waiting.len() as u64 <= max));
        }
        // Nothing that is due is slept through.
        let expiry = waiting.first().map(|first| first.expires_ms).filter(|at| *at != u64::MAX);
        let due = later.iter().map(|(due_ms, _)| *due_ms).min();
        let deadline = self.model.next_deadline_ms();
        let next = [expiry, due, deadline].into_iter().flatten().min();
        assert_eq!(self.state.next_ms().is_some(), next.is_some());
        assert!(self.state.next_ms() <= next);

        assert_eq!(self.entered + found as u64, (all_waiting().count() + held.len() + gone.len()) as u64);
        let counters = self.state.counters();
        assert_eq!((counters.enqueued, counters.refused), (self.entered, self.refused));
        let count = |why| gone.iter().filter(|(_, departure)| *departure == Some(why)).count() as u64;
        assert_eq!(counters.accepted, count(Departure::Accepted));
        assert_eq!(counters.rejected, count(Departure::Rejected));
        assert_eq!(counters.expired, count(Departure::Expired));
        assert_eq!(counters.overflowed, count(Departure::Overflowed));
        assert_eq!(counters.exhausted, count(Departure::Exhausted));
        assert_eq!(counters.delivered_no_ack, gone.iter().filter(|(_, why)| why.is_none()).count() as u64);

        let mut departed: Vec<_> = self.notes.departed.iter().map(|(seq, why, _)| (*seq, *why as u8)).collect();
        let mut expected: Vec<_> = gone.iter().filter_map(|(seq, why)| Some((*seq, (*why)? as u8))).collect();
        departed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(departed, expected);
        let mut all: Vec<_> = gone.iter().map(|(seq, _)| *seq).chain(all_waiting().map(|item| item.seq)).collect();
        all.extend(held.iter().map(|held| held.item.seq));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a message is in one place");
    }
}

fn both(seq: u64, publish: Publish, now_ms: u64) -> (Entry, Item) {
    let Publish { ttl_ms, bytes, priority, group, delay_ms, stored } = publish;
    let expires_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| now_ms + ttl_ms);
    let message = plain("", "q", Essentials { priority, group, delay_ms, ..Essentials::default() }, b"");
    let mut entry = Entry::new(seq, message, expires_ms);
    (entry.bytes, entry.head_bytes) = (u32::from(bytes) + 4, 4);
    let bytes = u32::from(bytes);
    let choice = priority;
    let item = Item {
        seq,
        bytes,
        expires_ms,
        attempts: 0,
        priority,
        redelivered: false,
        choice,
        group,
        unread: stored,
        received: false,
    };
    (entry, item)
}

/// Has a message be on the disk only, if it is to be.
fn store(entry: &mut Entry, publish: Publish, stored: &mut HashMap<u64, Arc<Message>>) {
    if publish.stored
        && let Some(message) = entry.message.take()
    {
        entry.position = gantry_storage::Position { segment: 1, offset: 0, slot: entry.seq as u32 }.into();
        stored.insert(entry.seq, message);
    }
}

fn selection(choice: Option<(u8, bool)>) -> Selection {
    let Some((at_least, discards)) = choice else { return Selection::default() };
    let selector = Selector::parse(&format!("JMSPriority >= {at_least}")).unwrap();
    Selection { selector: Some(Arc::new(selector)), not_from: None, discards }
}

fn run(rules: &Rules, found: &[(Publish, Tally)], steps: Vec<Step>) {
    let mut pair = Pair::new(rules, found);
    pair.grant();
    for step in steps {
        let before = pair.notes.departed.len();
        let goes_on = |rules: &Rules| (rules.dead_letter.is_some(), rules.redrive.is_some());
        let dead_letters = goes_on(&pair.model.rules);
        pair.apply(step);
        let dead_letters_after = goes_on(&pair.model.rules);
        pair.grant();
        pair.check(found.len());
        if dead_letters == dead_letters_after {
            for (_, why, went_on) in &pair.notes.departed[before..] {
                let expected = match why {
                    Departure::Accepted | Departure::Discarded => false,
                    Departure::Expired | Departure::Overflowed => dead_letters.0,
                    Departure::Rejected | Departure::Exhausted => dead_letters.0 || dead_letters.1,
                };
                assert_eq!(*went_on, expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_does_what_its_model_does(steps in prop::collection::vec(step(), 1..160)) {
        run(&Rules::default(), &[], steps);
    }

    #[test]
    fn a_queue_with_any_rules_does_what_its_model_does(
        rules in rules(),
        found in prop::collection::vec((publish(), tally()), 0..10),
        steps in prop::collection::vec(step(), 1..160),
    ) {
        run(&rules, &found, steps);
    }

    #[test]
    fn an_ordered_queue_does_what_its_model_does(
        rules in prop_oneof![Just(Rules::default()), rules()],
        found in prop::collection::vec((publish(), tally()), 0..10),
        steps in prop::collection::vec(step(), 1..160),
    ) {
        run(&Rules { ordered: true, ..rules }, &found, steps);
    }
}

fn entry(seq: u64) -> Entry {
    Entry::new(seq, plain("", "q", Essentials::default(), b"body"), u64::MAX)
}

const PREFETCH_10: ConsumerOptions =
    ConsumerOptions { credit: Credit::Window(10), acknowledges: true, exclusive: false, priority: 0 };

#[test]
fn consumers_with_credit_get_the_same_number_of_messages() {
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![100; 3], ..Notes::default() };
    for name in 0..3 {
        state.subscribe(name, PREFETCH_10, Selection::default()).unwrap();
    }
    for seq in 0..21 {
        state.enqueue(entry(seq), 0, false).unwrap();
        state.grant(0, false, &mut notes);
    }
    let order: Vec<_> = notes.delivered.iter().map(|(outlet, _)| *outlet).collect();
    assert_eq!(order, (0..21).map(|n| n % 3).collect::<Vec<_>>());
}

#[test]
fn a_burst_of_leases_and_messages_leaves_no_memory_behind() {
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![usize::MAX], ..Notes::default() };
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };
    state.subscribe(0, options, Selection::default()).unwrap();
    for round in 0..3 {
        for seq in round * 10_000..(round + 1) * 10_000 {
            state.enqueue(entry(seq), 0, false).unwrap();
        }
        state.grant(0, false, &mut notes);
        for (_, grant) in std::mem::take(&mut notes.delivered) {
            assert!(state.settle(grant.lease.unwrap(), Outcome::Accept, 0, &mut notes));
        }
        assert_eq!((state.ready_len(), state.leased_len(), state.bytes()), (0, 0, (0, 0)));
        assert!(state.capacity() <= 2048, "{}", state.capacity());
    }
}

#[test]
fn with_scarce_memory_a_lease_keeps_no_body_that_is_stored() {
    let mut state = State::<usize>::new(Arc::default());
    let mut notes = Notes::default();
    let position = gantry_storage::Position { segment: 1, offset: 0, slot: 0 };
    state.enqueue(Entry { position: position.into(), ..entry(0) }, 0, false).unwrap();
    state.enqueue(entry(1), 0, false).unwrap();
    for stored in [true, false] {
        let grant = state.fetch(0, true, true, &mut notes).unwrap();
        assert!(grant.message.is_some(), "whoever gets it gets its body");
        assert!(state.settle(grant.lease.unwrap(), Outcome::Release, 0, &mut notes));
        let again = state.fetch(0, true, true, &mut notes).unwrap();
        assert_eq!(again.message.is_none(), stored);
    }
}

#[test]
fn consumers_of_a_higher_priority_come_first_while_they_have_credit() {
    let mut rings = super::consumer::Consumers::default();
    let options = |priority, window| ConsumerOptions {
        credit: Credit::Window(window),
        acknowledges: true,
        exclusive: false,
        priority,
    };
    rings.insert("low", options(-1, 10), Selection::default());
    rings.insert("usual", options(0, 10), Selection::default());
    let first = rings.insert("high", options(10, 2), Selection::default());
    let other = rings.insert("high too", options(10, 1), Selection::default());
    let mut next = |room: &[&str]| rings.next(|outlet| room.contains(outlet)).map(|(_, consumer)| consumer.outlet);
    let all = ["low", "usual", "high", "high too"];
    let order: Vec<_> = (0..4).map(|_| next(&all)).collect();
    assert_eq!(order, [Some("high"), Some("high too"), Some("high"), Some("usual")]);
    assert_eq!(next(&["low"]), Some("low"));
    rings.refill(other);
    rings.refill(first);
    assert!(rings.remove(other, false).is_some());
    assert_eq!(rings.next(|_| true).map(|(_, consumer)| consumer.outlet), Some("high"));
    assert!(rings.remove(first, false).is_some());
    assert_eq!(rings.next(|_| true).map(|(_, consumer)| consumer.outlet), Some("low"));
}

#[test]
fn a_burst_of_expired_messages_goes_in_bounded_steps_and_nothing_else_is_handed_out_meanwhile() {
    const BURST: u64 = 3 * STEP_ENTRIES_MAX as u64 + 7;
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![usize::MAX], ..Notes::default() };
    for seq in 0..=BURST {
        let expires_ms = if seq < BURST { 5 } else { u64::MAX };
        state.enqueue(Entry { expires_ms, ..entry(seq) }, 0, false).unwrap();
    }
    state.subscribe(0, ConsumerOptions { acknowledges: false, ..PREFETCH_10 }, Selection::default()).unwrap();
    for step in 1..=3 {
        state.grant(10, false, &mut notes);
        assert_eq!(notes.departed.len(), step * STEP_ENTRIES_MAX);
        assert_eq!((notes.delivered.len(), state.next_ms()), (0, Some(super::state::AT_ONCE_MS)));
    }
    assert!(state.fetch(10, true, false, &mut notes).is_some(), "the one that lives");
    assert_eq!((notes.departed.len() as u64, state.next_ms()), (BURST, None));
}

#[test]
fn a_limit_that_comes_late_is_applied_in_bounded_steps() {
    let mut state = State::<usize>::new(Arc::default());
    let mut notes = Notes::default();
    for seq in 0..10_000 {
        state.enqueue(entry(seq), 0, false).unwrap();
    }
    state.set_rules(Arc::new(Rules { length_max: Some(10), ..Rules::default() }));
    let mut steps = 0;
    while steps == 0 || state.next_ms().is_some() {
        let before = notes.departed.len();
        state.grant(0, false, &mut notes);
        assert!(notes.departed.len() - before <= STEP_ENTRIES_MAX);
        steps += 1;
    }
    assert_eq!((state.ready_len(), steps), (10, 3));
}

#[test]
fn looks_that_cost_more_are_fewer_in_a_step() {
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![usize::MAX], ..Notes::default() };
    let headers: crate::value::Table =
        [("h", crate::value::Value::from("a".repeat(64 << 10).as_str()))].into_iter().collect();
    let message =
        crate::native::message(&Arc::from(""), bytes::Bytes::new(), Essentials::default(), headers, None, b"");
    for seq in 0..100 {
        state.enqueue(Entry::new(seq, Arc::clone(&message), u64::MAX), 0, false).unwrap();
    }
    // Half of what one step may spend.
    let selector = Arc::new(Selector::parse("h LIKE '%_b%'").unwrap());
    let selection = Selection { selector: Some(selector), not_from: None, discards: true };
    state.subscribe(0, PREFETCH_10, selection).unwrap();
    let mut steps = 0;
    while steps == 0 || state.is_unfinished() {
        let before = notes.departed.len();
        state.grant(0, false, &mut notes);
        assert!(notes.departed.len() - before <= 2);
        steps += 1;
    }
    assert!(steps >= 50);
    assert_eq!(state.ready_len(), 0);
}

#[test]
fn a_group_that_becomes_free_again_and_again_is_not_looked_through_each_time() {
    const MESSAGES: u64 = 4000;
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![usize::MAX; 2], ..Notes::default() };
    for seq in 0..MESSAGES {
        // Every other one has the group, or else closes it.
        let group = Some(Group::new(b"g", seq % 2 == 1));
        let message = plain("", "q", Essentials { group, ..Essentials::default() }, b"");
        state.enqueue(Entry::new(seq, message, u64::MAX), 0, false).unwrap();
    }
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };
    for name in 0..2 {
        state.subscribe(name, options, Selection::default()).unwrap();
    }
    let mut steps = 0;
    while steps == 0 || state.is_unfinished() {
        state.grant(0, false, &mut notes);
        steps += 1;
    }
    let order: Vec<u64> = notes.delivered.iter().map(|(_, grant)| grant.seq).collect();
    assert_eq!(order, (0..MESSAGES).collect::<Vec<_>>());
    assert!(notes.delivered.iter().any(|(name, _)| *name == 0) && notes.delivered.iter().any(|(name, _)| *name == 1));
    // A few looks for each message, of which a step may do 1024; by the square they would be some thousand steps.
    assert!(steps <= 20, "{steps}");
}

/// What a message costs a queue that has neither selectors nor groups. To be counted, not timed:
/// `valgrind --tool=cachegrind --cache-sim=no` on a release build of the tests.
#[test]
#[ignore = "a measurement"]
fn what_a_plain_message_costs() {
    const MESSAGES: u64 = 5_000_000;
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![usize::MAX], ..Notes::default() };
    let options = ConsumerOptions { credit: Credit::Unlimited, acknowledges: true, exclusive: false, priority: 0 };
    state.subscribe(0, options, Selection::default()).unwrap();
    let message = plain("", "q", Essentials::default(), b"body");
    for seq in 0..MESSAGES {
        state.enqueue(Entry::new(seq, Arc::clone(&message), u64::MAX), 0, false).unwrap();
        state.grant(0, false, &mut notes);
        for (_, grant) in notes.delivered.drain(..) {
            state.settle(grant.lease.unwrap(), Outcome::Accept, 0, &mut Notes::default());
        }
        state.grant(0, false, &mut notes);
    }
    assert_eq!(state.counters().accepted, MESSAGES);
}
