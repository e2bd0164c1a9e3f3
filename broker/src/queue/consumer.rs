//! Who gets the messages of a queue, and whose turn it is.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::groups::Groups;
use super::ordered::Ordered;
use super::ready::Ready;
use super::seek::{Key, Seek};
use super::selection::Selection;

/// What a look at a message costs at least, in the unit of a step's costs: a nanosecond or so.
pub(super) const LOOK_COST: usize = 1024;

/// A consumer of a queue; never given to another one while the queue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerId {
    index: u32,
    generation: u32,
}

impl ConsumerId {
    /// A reader of a stream.
    pub(crate) const fn of_reader(number: u32) -> Self {
        Self { index: number, generation: 0 }
    }

    /// The number of a reader of a stream.
    pub(crate) const fn reader(self) -> u32 {
        self.index
    }
}

/// How many messages a consumer is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credit {
    /// As many as there are and the outlet has room for.
    Unlimited,
    /// So many; each outcome gives one back (prefetch, receive maximum).
    Window(u32),
}

/// What a consumer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerOptions {
    /// How much it is granted.
    pub credit: Credit,
    /// Deliveries are leases that want an outcome; otherwise a delivery is the end of a message.
    pub acknowledges: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// Consumers of a higher priority are served first, as long as they have credit and room; 0 is usual.
    pub priority: i32,
}

#[derive(Debug)]
pub(super) struct Consumer<O> {
    generation: u32,
    pub(super) outlet: O,
    pub(super) options: ConsumerOptions,
    /// Deliveries it may still get; `u32::MAX` is without limit and does not count down.
    available: u32,
    /// It is in the ring.
    in_turn: bool,
    /// Leases that it has and has said nothing of.
    held: u32,
    /// Of those, how many were over before it said anything.
    lapsed: u32,
    /// Where it is not for every message.
    selection: Option<Box<Selection>>,
    /// How far it has looked, where it may have to pass messages over.
    seek: Option<Box<Seek>>,
}

/// What waits, for those who look for something in it.
pub(super) struct View<'a> {
    pub(super) ready: &'a Ready,
    pub(super) groups: Option<&'a Groups>,
    pub(super) ordered: Option<&'a Ordered>,
    /// Counts what came in, or came back.
    pub(super) arrivals: u64,
    pub(super) now_ms: u64,
    /// What has failed so often is not handed out any more.
    pub(super) receives_max: u32,
}

/// What came of looking for a message that somebody can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This one is for this consumer, whose credit and room have been taken.
    For(ConsumerId, Key),
    /// Somebody came to this one, and its time is over.
    Expired(Key),
    /// Somebody came to this one, and it has been handed out too often.
    Exhausted(Key),
    /// Somebody came to this one and does not want it, and nobody else comes for it.
    Unwanted(Key),
    /// Nobody can take any of what there is.
    Nothing,
    /// Nobody can say before this has been read from the disk.
    Unread,
    /// There is more to look at than one step may.
    TooMuch,
}

impl<O> Consumer<O> {
    /// Looks for the first message that it can take. `budget` counts down by what that costs; `furthest` is raised to where it has looked.
    fn look(&mut self, id: ConsumerId, view: &View<'_>, budget: &mut usize, furthest: &mut u64) -> Found {
        if let Some(ordered) = view.ordered {
            let key = ordered.first_for(Some(id)).map(|seq| Key::new(0, seq));
            let Some(next) = key.and_then(|key| view.ready.get(key)) else { return Found::Nothing };
            let key = Key::of(next);
            return match next {
                _ if next.expires_ms < view.now_ms => Found::Expired(key),
                _ if next.attempts >= view.receives_max => Found::Exhausted(key),
                _ => Found::For(id, key),
            };
        }
        if self.selection.is_none() && view.groups.is_none() {
            let Some(first) = view.ready.first() else { return Found::Nothing };
            let key = Key::of(first);
            return if first.attempts >= view.receives_max { Found::Exhausted(key) } else { Found::For(id, key) };
        }
        let seek = self.seek.get_or_insert_default();
        while let Some(entry) = seek.next(view.ready, view.arrivals) {
            // What is left suffices for one more look, whatever it costs: each step gets somewhere.
            if *budget == 0 {
                return Found::TooMuch;
            }
            *budget = budget.saturating_sub(LOOK_COST);
            let key = Key::of(entry);
            let may_take = view.groups.is_none_or(|groups| groups.may_take(entry.seq, id));
            if may_take {
                if entry.expires_ms < view.now_ms {
                    return Found::Expired(key);
                }
                if entry.attempts >= view.receives_max {
                    return Found::Exhausted(key);
                }
                match (&self.selection, &entry.message) {
                    (None, _) => return Found::For(id, key),
                    (Some(_), None) => return Found::Unread,
                    (Some(selection), Some(message)) => {
                        let look = selection.look(message);
                        *budget = budget.saturating_sub(look.cost.saturating_sub(LOOK_COST));
                        if look.matches {
                            return Found::For(id, key);
                        }
                        if selection.discards {
                            return Found::Unwanted(key);
                        }
                    }
                }
            }
            let (looked_to, leads_on) = seek.pass(key);
            *furthest = (*furthest).max(looked_to);
            // Where somebody else has the group, there is nothing behind it either, until it is free again.
            if leads_on
                && may_take
                && let Some(next) = view.groups.and_then(|groups| groups.behind(key))
            {
                seek.miss(next, true);
            }
        }
        Found::Nothing
    }

    /// Takes credit for one message; whether there is more.
    fn charge(&mut self) -> bool {
        self.held += u32::from(self.options.acknowledges);
        if self.available != u32::MAX {
            self.available -= 1;
        }
        self.in_turn = self.available > 0;
        self.in_turn
    }

    /// One without a limit that lets its time run out gets nothing more until it has caught up: it would take the same
    /// messages again and again, and each time leave something behind.
    fn can_take(&self) -> bool {
        self.available > 0 && (self.available != u32::MAX || self.lapsed == 0)
    }
}

/// Whose turn it is among the consumers of one priority.
#[derive(Debug)]
struct Ring {
    priority: i32,
    turn: VecDeque<u32>,
}

/// The consumers of a queue. Those that can take something stand in a ring, one for each priority; a consumer without credit
/// or room leaves it and comes back when there is some, so that a thousand idle consumers cost a message nothing.
#[derive(Debug)]
pub(super) struct Consumers<O> {
    slots: Vec<Option<Consumer<O>>>,
    /// The highest priority first. An empty ring stays until its last consumer goes.
    rings: SmallVec<[Ring; 1]>,
    len: usize,
    /// Rises with every consumer: who came first has the lesser one.
    generation: u32,
    alone: Option<Alone>,
    /// Consumers that are not for every message.
    choosy: usize,
    /// No consumer that remembers how far it has looked has looked further than this number.
    furthest: u64,
}

/// Only one consumer gets anything.
#[derive(Debug)]
struct Alone {
    active: Option<ConsumerId>,
    /// A consumer of a higher priority follows as soon as the active one has nothing any more.
    takes_over: bool,
    /// There is one, and the active one gets nothing more.
    hands_over: bool,
    /// The active one has left, and so many of its messages are still on their way back: the next one gets them in order.
    leaving: Option<(ConsumerId, u32)>,
}

impl<O> Default for Consumers<O> {
    fn default() -> Self {
        let (slots, rings) = (Vec::new(), SmallVec::new());
        Self { slots, rings, len: 0, generation: 0, alone: None, choosy: 0, furthest: 0 }
    }
}

impl<O> Consumers<O> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn any_exclusive(&self) -> bool {
        self.slots.iter().flatten().any(|consumer| consumer.options.exclusive)
    }

    /// Whether somebody may be able to take something.
    pub(super) fn any_in_turn(&self) -> bool {
        !self.alone.as_ref().is_some_and(|alone| alone.hands_over)
            && self.rings.iter().any(|ring| !ring.turn.is_empty())
    }

    /// Whether some of them are not for every message.
    pub(super) fn any_choosy(&self) -> bool {
        self.choosy > 0
    }

    pub(super) fn insert(&mut self, outlet: O, options: ConsumerOptions, selection: Selection) -> ConsumerId {
        self.generation = self.generation.wrapping_add(1);
        let available = match options.credit {
            Credit::Unlimited => u32::MAX,
            Credit::Window(window) => window.min(u32::MAX - 1),
        };
        let selection = (!selection.is_everything()).then(|| Box::new(selection));
        self.choosy += usize::from(selection.is_some());
        let consumer = Consumer {
            generation: self.generation,
            outlet,
            options,
            available,
            in_turn: false,
            held: 0,
            lapsed: 0,
            selection,
            seek: None,
        };
        let index = match self.slots.iter().position(Option::is_none) {
            Some(index) => {
                self.slots[index] = Some(consumer);
                index
            }
            None => {
                self.slots.push(Some(consumer));
                self.slots.len() - 1
            }
        } as u32;
        self.len += 1;
        let id = ConsumerId { index, generation: self.generation };
        self.line_up(id);
        self.elect();
        id
    }

    /// Has only one consumer at a time get anything, or all of them.
    pub(super) fn set_alone(&mut self, alone: bool, takes_over: bool) {
        if !alone && self.alone.is_none() {
            return;
        }
        let active = self.alone.take().and_then(|alone| alone.active);
        self.alone = alone.then_some(Alone { active, takes_over, hands_over: false, leaving: None });
        self.rings.clear();
        let mut ids: Vec<_> = self.ids().collect();
        ids.sort_unstable_by_key(|id| id.generation);
        for id in ids {
            if let Some(consumer) = self.get_mut(id) {
                consumer.in_turn = false;
            }
            self.line_up(id);
        }
        self.elect();
    }

    fn ids(&self) -> impl Iterator<Item = ConsumerId> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let generation = slot.as_ref()?.generation;
            Some(ConsumerId { index: index as u32, generation })
        })
    }

    /// Finds out who is to be the active one: of the highest priority, and of those the one that came first.
    fn elect(&mut self) {
        let Some(Alone { active, takes_over, leaving: None, .. }) = self.alone else { return };
        let best = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.as_ref()?))).max_by_key(
            |(_, consumer)| (consumer.lapsed == 0, consumer.options.priority, std::cmp::Reverse(consumer.generation)),
        );
        let best = best.map(|(index, consumer)| {
            let id = ConsumerId { index: index as u32, generation: consumer.generation };
            (id, consumer.options.priority, consumer.lapsed == 0)
        });
        let current = active.and_then(|id| self.get(id));
        let (next, hands_over) = match (current, best) {
            (None, best) => (best.map(|(id, ..)| id), false),
            (Some(current), Some((id, _, true))) if current.lapsed > 0 => (Some(id), false),
            (Some(current), Some((id, priority, true))) if takes_over && priority > current.options.priority => {
                if current.held == 0 {
                    (Some(id), false)
                } else {
                    (active, true)
                }
            }
            (Some(_), _) => (active, false),
        };
        if let Some(alone) = &mut self.alone {
            alone.active = next;
            alone.hands_over = hands_over;
        }
        if next != active {
            // Whoever was in turn is not any more; there is no other.
            self.rings.clear();
            for consumer in self.slots.iter_mut().flatten() {
                consumer.in_turn = false;
            }
        }
        if let Some(next) = next {
            self.line_up(next);
        }
    }

    /// A consumer has let the time of a lease run out.
    pub(super) fn lapse(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.get_mut(id) {
            consumer.lapsed += 1;
            self.elect();
        }
    }

    /// A consumer has let the time of a lease run out that nobody remembers: it does not get the credit back.
    pub(super) fn lose(&mut self, id: ConsumerId) {
        self.one_less(id);
    }

    /// A consumer has one lease less. True where nothing else is to be done, because it is not there any more.
    fn one_less(&mut self, id: ConsumerId) -> bool {
        if let Some(Alone { leaving: Some((left, held)), .. }) = &mut self.alone
            && *left == id
        {
            *held -= 1;
            if *held == 0 {
                self.end_leaving();
            }
            return true;
        }
        if let Some(consumer) = self.get_mut(id) {
            consumer.held = consumer.held.saturating_sub(1);
            if self.alone.as_ref().is_some_and(|alone| alone.hands_over) {
                self.elect();
            }
        }
        false
    }

    /// A consumer has said something of a lease whose time was over.
    pub(super) fn catch_up(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.get_mut(id) {
            consumer.lapsed = consumer.lapsed.saturating_sub(1);
        }
        self.refill(id);
    }

    fn end_leaving(&mut self) {
        if let Some(alone) = &mut self.alone {
            alone.leaving = None;
        }
        self.elect();
    }

    /// Removes a consumer. `leaves`: what it has will be given back at once; otherwise it may keep that.
    pub(super) fn remove(&mut self, id: ConsumerId, leaves: bool) -> Option<Consumer<O>> {
        self.get_mut(id)?;
        self.len -= 1;
        // Its index may still stand in the ring, where it must not give its turn to the next one in this slot.
        let removed = self.slots[id.index as usize].take();
        if let Some(removed) = &removed {
            self.choosy -= usize::from(removed.selection.is_some());
            let priority = removed.options.priority;
            let last = !self.slots.iter().flatten().any(|consumer| consumer.options.priority == priority);
            if last {
                self.rings.retain(|ring| ring.priority != priority);
            } else {
                ring(&mut self.rings, priority).retain(|index| *index != id.index);
            }
        }
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        if let (Some(alone), Some(removed)) = (&mut self.alone, &removed)
            && alone.active == Some(id)
        {
            alone.active = None;
            alone.hands_over = false;
            alone.leaving = (leaves && removed.held > 0).then_some((id, removed.held));
        }
        self.elect();
        removed
    }

    pub(super) fn get(&self, id: ConsumerId) -> Option<&Consumer<O>> {
        self.slots.get(id.index as usize)?.as_ref().filter(|consumer| consumer.generation == id.generation)
    }

    fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer<O>> {
        self.slots.get_mut(id.index as usize)?.as_mut().filter(|consumer| consumer.generation == id.generation)
    }

    /// Puts a consumer at the end of the ring if it has credit and is not in it.
    pub(super) fn line_up(&mut self, id: ConsumerId) {
        if self.alone.as_ref().is_some_and(|alone| alone.active != Some(id) || alone.hands_over) {
            return;
        }
        if let Some(consumer) = self.get_mut(id)
            && !consumer.in_turn
            && consumer.can_take()
        {
            consumer.in_turn = true;
            let priority = consumer.options.priority;
            ring(&mut self.rings, priority).push_back(id.index);
        }
    }

    /// Gives credit back after an outcome.
    pub(super) fn refill(&mut self, id: ConsumerId) {
        if self.one_less(id) {
            return;
        }
        if let Some(consumer) = self.get_mut(id) {
            if consumer.available < u32::MAX - 1 {
                consumer.available += 1;
            }
            self.line_up(id);
        }
    }

    /// Whose turn it is: the first, of the highest priority, for whom `take_room` agrees. Takes its credit and moves it to the
    /// end of its ring.
    pub(super) fn next(&mut self, mut take_room: impl FnMut(&O) -> bool) -> Option<(ConsumerId, &Consumer<O>)> {
        let Self { slots, rings, alone, .. } = self;
        if alone.as_ref().is_some_and(|alone| alone.hands_over) {
            return None;
        }
        for Ring { turn, .. } in rings {
            while let Some(index) = turn.pop_front() {
                let Some(consumer) = slots[index as usize].as_mut() else { continue };
                if !consumer.can_take() || !take_room(&consumer.outlet) {
                    consumer.in_turn = false;
                    continue;
                }
                if consumer.charge() {
                    turn.push_back(index);
                }
                let id = ConsumerId { index, generation: consumer.generation };
                return slots[index as usize].as_ref().map(|consumer| (id, consumer));
            }
        }
        None
    }

    /// As [`Consumers::next`], where what waits is not for everybody: each of those that can take something looks for a message
    /// in its turn, and whoever finds none keeps its place among those. `budget` counts down with each message looked at;
    /// `unread` is set where somebody has to know what is in a message that is only on the disk.
    pub(super) fn find(
        &mut self,
        view: &View<'_>,
        budget: &mut usize,
        unread: &mut bool,
        mut take_room: impl FnMut(&O) -> bool,
    ) -> Found {
        let Self { slots, rings, alone, furthest, .. } = self;
        if alone.as_ref().is_some_and(|alone| alone.hands_over) {
            return Found::Nothing;
        }
        for Ring { turn, .. } in rings {
            for _ in 0..turn.len() {
                let Some(index) = turn.pop_front() else { break };
                let Some(consumer) = slots[index as usize].as_mut() else { continue };
                if !consumer.can_take() {
                    consumer.in_turn = false;
                    continue;
                }
                let id = ConsumerId { index, generation: consumer.generation };
                match consumer.look(id, view, budget, furthest) {
                    Found::Nothing => turn.push_back(index),
                    Found::Unread => {
                        *unread = true;
                        turn.push_back(index);
                    }
                    Found::For(..) if !take_room(&consumer.outlet) => consumer.in_turn = false,
                    found @ Found::For(..) => {
                        if consumer.charge() {
                            turn.push_back(index);
                        }
                        return found;
                    }
                    found => {
                        turn.push_front(index);
                        return found;
                    }
                }
            }
        }
        Found::Nothing
    }

    /// The places from which consumers that can take something wait for messages to be read, one each.
    pub(super) fn unread(&mut self, ready: &Ready, arrivals: u64) -> Vec<Key> {
        let Self { slots, rings, .. } = self;
        let waiting = rings.iter().flat_map(|ring| ring.turn.iter());
        let mut places = Vec::new();
        for index in waiting {
            if let Some(consumer) = slots[*index as usize].as_mut()
                && consumer.selection.is_some()
                && let Some(seek) = &mut consumer.seek
                && let Some(entry) = seek.next(ready, arrivals)
            {
                places.push(Key::of(entry));
            }
        }
        places
    }

    /// A message has come to its place, or may be looked at once more.
    pub(super) fn miss(&mut self, key: Key) {
        if key.seq < self.furthest {
            let seeks = self.slots.iter_mut().flatten().filter_map(|consumer| consumer.seek.as_mut());
            seeks.for_each(|seek| seek.miss(key, false));
        }
    }

    /// A group is free, and this is its first message of a priority: it and those behind it may be looked at once more.
    pub(super) fn show(&mut self, key: Key) {
        if key.seq < self.furthest {
            let seeks = self.slots.iter_mut().flatten().filter_map(|consumer| consumer.seek.as_mut());
            seeks.for_each(|seek| seek.miss(key, true));
        }
    }

    /// A message is gone from its place; `next` is behind it in its group. Whether somebody has to look at that one now.
    pub(super) fn follow(&mut self, gone: Key, next: Key) -> bool {
        if gone.seq >= self.furthest {
            return false;
        }
        let seeks = self.slots.iter_mut().flatten().filter_map(|consumer| consumer.seek.as_mut());
        let mut any = false;
        for seek in seeks {
            any |= seek.follow(gone, next);
        }
        any
    }

    /// Nobody has to look for messages any more.
    pub(super) fn stop_looking(&mut self) {
        self.furthest = 0;
        self.slots.iter_mut().flatten().for_each(|consumer| consumer.seek = None);
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Consumer<O>> + use<O> {
        std::mem::take(self).slots.into_iter().flatten()
    }
}

/// The ring of a priority.
fn ring(rings: &mut SmallVec<[Ring; 1]>, priority: i32) -> &mut VecDeque<u32> {
    let index = match rings.binary_search_by(|ring| priority.cmp(&ring.priority)) {
        Ok(index) => index,
        Err(index) => {
            rings.insert(index, Ring { priority, turn: VecDeque::new() });
            index
        }
    };
    &mut rings[index].turn
}
