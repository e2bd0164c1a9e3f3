//! The state machine against the model, from a seed that proptest prints when something fails.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::consumer::{ConsumerId, ConsumerOptions, Credit};
use super::entry::{Entry, Place};
use super::lease::{Lease, Outcome};
use super::model::{Expected, Item, Model};
use super::rules::DeadLetter;
use super::state::{Departure, Effects, Grant, NotSealed, SealIf, State, SubscribeError};
use crate::message::Essentials;
use crate::message::tests::plain;

/// Notes what a queue asks for; outlets are numbers.
#[derive(Debug, Default)]
struct Notes {
    room: Vec<usize>,
    delivered: Vec<(usize, Grant)>,
    departed: Vec<(u64, Departure)>,
    retried: Vec<u32>,
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
        self.departed(entry, why);
    }

    fn departed(&mut self, entry: Entry, why: Departure) {
        self.departed.push((entry.seq, why));
    }

    fn retried(&mut self, _position: Place, attempts: u32) {
        self.retried.push(attempts);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue {
        ttl_ms: Option<u64>,
        bytes: u8,
    },
    /// Two publishers: the one with the later number comes first.
    Overtake,
    Subscribe {
        credit: Credit,
        acknowledges: bool,
        exclusive: bool,
        room: usize,
    },
    Unsubscribe(prop::sample::Index),
    Resume {
        who: prop::sample::Index,
        room: usize,
    },
    Settle {
        which: prop::sample::Index,
        outcome: Outcome,
    },
    SettleAgain(prop::sample::Index),
    Fetch {
        acknowledges: bool,
    },
    Purge,
    Pass {
        ms: u64,
    },
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
        1 => Just(Outcome::Reject),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ttl_ms = prop_oneof![4 => Just(None), 1 => Just(Some(0)), 2 => (1..50u64).prop_map(Some)];
    prop_oneof![
        40 => (ttl_ms, any::<u8>()).prop_map(|(ttl_ms, bytes)| Step::Enqueue { ttl_ms, bytes }),
        8 => Just(Step::Overtake),
        8 => (credit(), any::<bool>(), prop::bool::weighted(0.1), 0..20usize)
            .prop_map(|(credit, acknowledges, exclusive, room)| Step::Subscribe { credit, acknowledges, exclusive, room }),
        4 => any::<prop::sample::Index>().prop_map(Step::Unsubscribe),
        12 => (any::<prop::sample::Index>(), 0..10usize).prop_map(|(who, room)| Step::Resume { who, room }),
        40 => (any::<prop::sample::Index>(), outcome()).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        4 => any::<prop::sample::Index>().prop_map(Step::SettleAgain),
        6 => any::<bool>().prop_map(|acknowledges| Step::Fetch { acknowledges }),
        1 => Just(Step::Purge),
        8 => (1..30u64).prop_map(|ms| Step::Pass { ms }),
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
    ids: HashMap<usize, ConsumerId>,
    leases: HashMap<u64, Lease>,
    old_leases: Vec<Lease>,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            state: State::new(Arc::default()),
            model: Model::default(),
            notes: Notes::default(),
            now_ms: 0,
            next_seq: 0,
            entered: 0,
            ids: HashMap::new(),
            leases: HashMap::new(),
            old_leases: Vec::new(),
        }
    }
}

impl Pair {
    fn enqueue(&mut self, seq: u64, ttl_ms: Option<u64>, bytes: u32) {
        let expires_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| self.now_ms + ttl_ms);
        let message = plain("", "q", Essentials::default(), b"");
        let entry = Entry {
            seq,
            message: Some(message),
            position: Place::NONE,
            bytes,
            expires_ms,
            attempts: 0,
            redelivered: false,
        };
        let taken = self.state.enqueue(entry, self.now_ms).is_ok();
        assert_eq!(taken, !self.model.closed);
        if taken {
            self.entered += 1;
            self.model.put(Item { seq, bytes, expires_ms, attempts: 0, redelivered: false });
        }
    }

    fn settle(&mut self, lease: Lease, outcome: Outcome) -> bool {
        self.state.settle(lease, outcome, &mut self.notes)
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Enqueue { ttl_ms, bytes } => {
                let seq = self.next_seq;
                self.next_seq += 1;
                self.enqueue(seq, ttl_ms, u32::from(bytes));
            }
            Step::Overtake => {
                let seq = self.next_seq;
                self.next_seq += 2;
                self.enqueue(seq + 1, None, 3);
                self.grant();
                self.enqueue(seq, None, 5);
            }
            Step::Subscribe { credit, acknowledges, exclusive, room } => {
                let name = self.notes.room.len();
                self.notes.room.push(room);
                let subscribed =
                    self.state.subscribe(name, ConsumerOptions { credit, acknowledges, exclusive, priority: 0 });
                let agreed = self.model.subscribe(name, credit, acknowledges, exclusive);
                assert_eq!(subscribed.is_ok(), agreed);
                match subscribed {
                    Ok(id) => drop(self.ids.insert(name, id)),
                    Err(SubscribeError::Closed) => assert!(self.model.closed),
                    Err(SubscribeError::InExclusiveUse) => assert!(!self.model.consumers.is_empty()),
                }
            }
            Step::Unsubscribe(who) => {
                let Some(name) = self.some_consumer(who) else { return };
                let id = self.ids[&name];
                assert!(self.state.unsubscribe(id));
                assert!(!self.state.unsubscribe(id), "a second time there is nobody");
                self.model.unsubscribe(name);
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
                self.model.settle(seq, outcome);
            }
            Step::SettleAgain(which) => {
                if !self.old_leases.is_empty() {
                    let lease = *which.get(&self.old_leases);
                    assert!(!self.settle(lease, Outcome::Accept), "an old lease is not a new one");
                    assert!(self.state.leased_place(lease).is_none());
                }
            }
            Step::Fetch { acknowledges } => {
                self.model.expire(self.now_ms + 1);
                let expected = (!self.model.waiting.is_empty()).then(|| self.model.waiting.remove(0));
                let granted = self.state.fetch(self.now_ms, acknowledges, false, &mut self.notes);
                assert_eq!(granted.is_some(), expected.is_some());
                if let (Some(granted), Some(item)) = (granted, expected) {
                    assert_eq!((granted.bytes, granted.attempts), (item.bytes, item.attempts));
                    assert_eq!(granted.redelivered, item.redelivered);
                    assert_eq!(granted.lease.is_some(), acknowledges);
                    match granted.lease {
                        Some(lease) => {
                            self.leases.insert(item.seq, lease);
                            self.model.held.push(super::model::Held { item, by: None });
                        }
                        None => self.model.gone.push(item.seq),
                    }
                }
            }
            Step::Purge => {
                assert_eq!(self.state.purge(&mut self.notes), self.model.waiting.len());
                self.model.gone.extend(self.model.waiting.drain(..).map(|item| item.seq));
            }
            Step::Pass { ms } => self.now_ms += ms,
            Step::Seal(conditions) => {
                let unmet = if conditions.unused && !self.model.consumers.is_empty() {
                    Err(NotSealed::InUse)
                } else if conditions.empty && !self.model.waiting.is_empty() {
                    Err(NotSealed::NotEmpty)
                } else {
                    self.model.closed = true;
                    Ok(())
                };
                assert_eq!(self.state.seal(conditions), unmet);
            }
            Step::Close => {
                let (outlets, waiting) = self.state.close(&mut self.notes);
                let mut names: Vec<_> = self.model.consumers.drain(..).map(|consumer| consumer.name).collect();
                let mut outlets = outlets;
                names.sort_unstable();
                outlets.sort_unstable();
                assert_eq!(outlets, names);
                assert_eq!(waiting, self.model.waiting.len());
                self.model.gone.extend(self.model.waiting.drain(..).map(|item| item.seq));
                self.model.gone.extend(self.model.held.drain(..).map(|held| held.item.seq));
                self.old_leases.extend(self.leases.drain().map(|(_, lease)| lease));
                self.model.closed = true;
            }
        }
    }

    fn some_consumer(&self, who: prop::sample::Index) -> Option<usize> {
        (!self.model.consumers.is_empty()).then(|| who.get(&self.model.consumers).name)
    }

    /// What the state machine grants is what the model expects: who, what, in which order, as which attempt.
    fn grant(&mut self) {
        let mut room = self.notes.room.clone();
        let expected = self.model.grant(self.now_ms, &mut room);
        self.state.grant(self.now_ms, false, &mut self.notes);
        assert_eq!(self.notes.room, room);
        let delivered = std::mem::take(&mut self.notes.delivered);
        assert_eq!(delivered.len(), expected.len(), "{delivered:?} {expected:?}");
        for ((outlet, grant), expected) in delivered.into_iter().zip(expected) {
            let Expected { to, seq, attempts, redelivered, leased } = expected;
            assert_eq!((outlet, grant.attempts, grant.redelivered), (to, attempts, redelivered));
            assert_eq!(grant.lease.is_some(), leased);
            if let Some(lease) = grant.lease {
                assert_eq!(self.state.leased_seq(lease), Some(seq));
                assert!(self.leases.insert(seq, lease).is_none());
            }
        }
    }

    /// Everything that can be seen agrees, and each message is in one place.
    fn check(&self) {
        let Model { waiting, held, gone, consumers, closed, .. } = &self.model;
        assert_eq!(self.state.ready_len(), waiting.len());
        assert_eq!(self.state.leased_len(), held.len());
        assert_eq!(self.state.consumers_len(), consumers.len());
        assert_eq!(self.state.is_closed(), *closed);
        let sum = |bytes: &mut dyn Iterator<Item = u32>| bytes.map(u64::from).sum::<u64>();
        let waiting_bytes = sum(&mut waiting.iter().map(|item| item.bytes));
        let held_bytes = sum(&mut held.iter().map(|held| held.item.bytes));
        assert_eq!(self.state.bytes(), (waiting_bytes, held_bytes));
        let first = waiting.first().map(|first| first.expires_ms).filter(|at| *at != u64::MAX);
        assert_eq!(self.state.next_expiry_ms(), first);
        assert_eq!(self.entered, (waiting.len() + held.len() + gone.len()) as u64);

        let counters = self.state.counters();
        assert_eq!(counters.enqueued, self.entered);
        let departed = |why| self.notes.departed.iter().filter(|(_, departure)| *departure == why).count() as u64;
        assert_eq!(counters.accepted, departed(Departure::Accepted));
        assert_eq!(counters.rejected, departed(Departure::Rejected));
        assert_eq!(counters.expired, departed(Departure::Expired));
        // What left without a lease is the only thing that no departure tells of.
        assert_eq!(gone.len() as u64, self.notes.departed.len() as u64 + counters.delivered_no_ack);
        let mut all: Vec<_> = gone.iter().copied().chain(waiting.iter().map(|item| item.seq)).collect();
        all.extend(held.iter().map(|held| held.item.seq));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a message is in one place");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_does_what_its_model_does(steps in prop::collection::vec(step(), 1..250)) {
        let mut pair = Pair::default();
        for step in steps {
            pair.apply(step);
            pair.grant();
            pair.check();
        }
    }
}

fn entry(seq: u64) -> Entry {
    let message = Some(plain("", "q", Essentials::default(), b"body"));
    Entry { seq, message, position: Place::NONE, bytes: 8, expires_ms: u64::MAX, attempts: 0, redelivered: false }
}

const PREFETCH_10: ConsumerOptions =
    ConsumerOptions { credit: Credit::Window(10), acknowledges: true, exclusive: false, priority: 0 };

#[test]
fn consumers_with_credit_get_the_same_number_of_messages() {
    let mut state = State::new(Arc::default());
    let mut notes = Notes { room: vec![100; 3], ..Notes::default() };
    for name in 0..3 {
        state.subscribe(name, PREFETCH_10).unwrap();
    }
    for seq in 0..21 {
        state.enqueue(entry(seq), 0).unwrap();
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
    state.subscribe(0, options).unwrap();
    for round in 0..3 {
        for seq in round * 10_000..(round + 1) * 10_000 {
            state.enqueue(entry(seq), 0).unwrap();
        }
        state.grant(0, false, &mut notes);
        for (_, grant) in std::mem::take(&mut notes.delivered) {
            assert!(state.settle(grant.lease.unwrap(), Outcome::Accept, &mut notes));
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
    state.enqueue(Entry { position: position.into(), ..entry(0) }, 0).unwrap();
    state.enqueue(entry(1), 0).unwrap();
    for stored in [true, false] {
        let grant = state.fetch(0, true, true, &mut notes).unwrap();
        assert!(grant.message.is_some(), "whoever gets it gets its body");
        assert!(state.settle(grant.lease.unwrap(), Outcome::Release, &mut notes));
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
    rings.insert("low", options(-1, 10));
    rings.insert("usual", options(0, 10));
    let first = rings.insert("high", options(10, 2));
    let other = rings.insert("high too", options(10, 1));
    let mut next = |room: &[&str]| rings.next(|outlet| room.contains(outlet)).map(|(_, consumer)| consumer.outlet);
    let all = ["low", "usual", "high", "high too"];
    let order: Vec<_> = (0..4).map(|_| next(&all)).collect();
    assert_eq!(order, [Some("high"), Some("high too"), Some("high"), Some("usual")]);
    assert_eq!(next(&["low"]), Some("low"));
    rings.refill(other);
    rings.refill(first);
    assert!(rings.remove(other).is_some());
    assert_eq!(rings.next(|_| true).map(|(_, consumer)| consumer.outlet), Some("high"));
    assert!(rings.remove(first).is_some());
    assert_eq!(rings.next(|_| true).map(|(_, consumer)| consumer.outlet), Some("low"));
}
