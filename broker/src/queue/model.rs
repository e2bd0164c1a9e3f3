//! What a queue has to do, said as plainly as possible: lists that are searched from end to end.

use std::cmp::Reverse;

use std::collections::{HashMap, HashSet};

use super::consumer::Credit;
use super::lease::Outcome;
use super::receive::{Receipt, Receipted, Receive};
use super::rules::{Delayed, Overflow, Rules};
use super::state::Departure;
use crate::group::Group;

/// A message, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) seq: u64,
    pub(super) bytes: u32,
    pub(super) expires_ms: u64,
    pub(super) attempts: u32,
    pub(super) priority: u8,
    pub(super) redelivered: bool,
    /// The priority that it was published with, which consumers choose by.
    pub(super) choice: u8,
    pub(super) group: Option<Group>,
    /// It is on the disk only.
    pub(super) unread: bool,
    /// Somebody has received it, at some time.
    pub(super) received: bool,
}

/// Who has a group.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    name: usize,
    leased: u32,
    has_left: bool,
}

/// What a consumer is for: messages published with this priority or a higher one. The others may leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub(super) at_least: u8,
    pub(super) discards: bool,
}

/// What looking for a message has come to.
enum Looked {
    Nothing,
    Unread,
    Expired(usize),
    Exhausted(usize),
    Unwanted(usize),
    Takes(usize),
}

/// A message that somebody has.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) item: Item,
    /// None where it was fetched.
    pub(super) by: Option<usize>,
    until_ms: Option<u64>,
    /// Where it was received: when.
    pub(super) since_ms: Option<u64>,
}

/// Where the message of a receipt is, by its place in the list.
enum At {
    Held(usize),
    Waiting(usize),
    Elsewhere,
    Nowhere,
}

/// A consumer.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) name: usize,
    pub(super) credit: Credit,
    pub(super) acknowledges: bool,
    pub(super) exclusive: bool,
    pub(super) priority: i32,
    /// It was told that there is no room, and has not been told that there is some again.
    starved: bool,
    /// Leases of which it has said nothing, over or not.
    held: u32,
    /// Of those, how many are over.
    late: u32,
    /// Deliveries without a lease, which use credit up for good.
    ended: u32,
    choice: Option<Choice>,
    /// Messages that it has passed over.
    passed: HashSet<u64>,
}

/// A delivery that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) to: usize,
    pub(super) seq: u64,
    pub(super) attempts: u32,
    pub(super) redelivered: bool,
    pub(super) leased: bool,
}

/// A queue.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) rules: Rules,
    /// The highest priority first, and in each by number.
    pub(super) waiting: Vec<Item>,
    /// What is to be tried again, with the time for it.
    pub(super) later: Vec<(u64, Item)>,
    /// Bodies of messages that have been promised room.
    pub(super) promised: Vec<u32>,
    /// In the order in which they were handed out.
    pub(super) held: Vec<Held>,
    /// Consumers that have not said anything yet of leases that are over.
    pub(super) late: Vec<(u64, usize)>,
    /// In the order of their turns; those that cannot take anything keep no place.
    pub(super) turn: Vec<usize>,
    /// In the order in which they came.
    pub(super) consumers: Vec<Consumer>,
    /// Who gets everything, where only one does.
    pub(super) active: Option<usize>,
    pub(super) hands_over: bool,
    /// The active one has left, and so many of its messages have not come back.
    pub(super) leaving: Option<(usize, u32)>,
    pub(super) closed: bool,
    /// Messages that have left, and why; none where that was their delivery.
    pub(super) gone: Vec<(u64, Option<Departure>)>,
    pub(super) owners: HashMap<u64, Owner>,
    /// Somebody has to know what is in a message that is on the disk only.
    pub(super) is_unread: bool,
}

impl Model {
    fn knows_groups(&self) -> bool {
        let items = || self.waiting.iter().chain(self.later.iter().map(|(_, item)| item));
        let all = items().chain(self.held.iter().map(|held| &held.item));
        !self.owners.is_empty() || all.into_iter().any(|item| item.group.is_some())
    }

    fn seeks(&self) -> bool {
        self.rules.ordered || self.knows_groups() || self.consumers.iter().any(|consumer| consumer.choice.is_some())
    }

    /// Where nobody has to look for messages, nobody remembers any.
    pub(super) fn tidy(&mut self) {
        if !self.seeks() {
            self.consumers.iter_mut().for_each(|consumer| consumer.passed.clear());
        }
    }

    /// A group may go to anybody.
    fn free(&mut self, key: u64) {
        // Where nobody had it, nobody has passed anything over for that.
        if self.owners.remove(&key).is_none() {
            return;
        }
        let seqs: Vec<u64> = self.waiting.iter().filter(|item| is_of(item, key)).map(|item| item.seq).collect();
        for consumer in &mut self.consumers {
            consumer.passed.retain(|seq| !seqs.contains(seq));
        }
    }

    fn end_lease(&mut self, item: &Item, by: Option<usize>) {
        if self.rules.ordered {
            return;
        }
        let (Some(group), Some(name)) = (item.group, by) else { return };
        let Some(owner) = self.owners.get_mut(&group.key()).filter(|owner| owner.name == name) else { return };
        owner.leased = owner.leased.saturating_sub(1);
        if owner.has_left && owner.leased == 0 {
            self.free(group.key());
        }
    }

    /// The first message of an ordered queue that somebody may have: a consumer, or whoever comes and has the message `before`.
    fn next_in_order(&self, name: Option<usize>, before: Option<&Item>) -> Option<usize> {
        let group = |item: &Item| item.group.map(|group| group.key());
        let is_next = |at: usize| {
            let item = &self.waiting[at];
            let is_same = |other: &Item| group(other) == group(item);
            !self.waiting[..at].iter().any(is_same)
                && !self.later.iter().any(|(_, other)| is_same(other) && other.seq < item.seq)
        };
        let is_free = |at: &usize| {
            let item = &self.waiting[*at];
            let mut held = self.held.iter().filter(|held| group(&held.item) == group(item));
            held.all(|held| name.is_some() && held.by == name)
        };
        let mut next = (0..self.waiting.len()).filter(|at| is_next(*at));
        if let Some(before) = before
            && let Some(at) = next.clone().find(|at| group(&self.waiting[*at]) == group(before))
        {
            return Some(at);
        }
        next.find(is_free)
    }

    fn look(&mut self, name: usize, now_ms: u64) -> Looked {
        let knows_groups = self.knows_groups();
        if self.rules.ordered {
            let Some(at) = self.next_in_order(Some(name), None) else { return Looked::Nothing };
            let item = &self.waiting[at];
            return match item {
                _ if item.expires_ms < now_ms => Looked::Expired(at),
                _ if is_exhausted(&self.rules, item) => Looked::Exhausted(at),
                _ => Looked::Takes(at),
            };
        }
        let (waiting, owners) = (&self.waiting, &self.owners);
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.name == name) else {
            return Looked::Nothing;
        };
        if consumer.choice.is_none() && !knows_groups {
            return if is_exhausted(&self.rules, &waiting[0]) { Looked::Exhausted(0) } else { Looked::Takes(0) };
        }
        for (at, item) in waiting.iter().enumerate() {
            if consumer.passed.contains(&item.seq) {
                continue;
            }
            let owner = item.group.and_then(|group| owners.get(&group.key()));
            if owner.is_none_or(|owner| owner.name == name) {
                if item.expires_ms < now_ms {
                    return Looked::Expired(at);
                }
                if is_exhausted(&self.rules, item) {
                    return Looked::Exhausted(at);
                }
                match consumer.choice {
                    None => return Looked::Takes(at),
                    Some(_) if item.unread => return Looked::Unread,
                    Some(choice) if item.choice >= choice.at_least => return Looked::Takes(at),
                    Some(choice) if choice.discards => return Looked::Unwanted(at),
                    Some(_) => {}
                }
            }
            consumer.passed.insert(item.seq);
        }
        Looked::Nothing
    }

    pub(super) fn set_rules(&mut self, rules: Rules) {
        let was_alone = std::mem::replace(&mut self.rules, rules).single_active;
        if !was_alone && !self.rules.single_active {
            return;
        }
        if !self.rules.single_active {
            self.active = None;
        }
        self.hands_over = false;
        self.leaving = None;
        self.turn.clear();
        let names: Vec<_> = self.consumers.iter().map(|consumer| consumer.name).collect();
        for name in names {
            self.ask_again(name);
        }
        self.elect();
    }

    /// Whether there is room for one more.
    pub(super) fn promise(&mut self, bytes: u32) -> bool {
        let len = self.waiting.len() + self.promised.len() + 1;
        let all: u64 =
            self.waiting.iter().map(|item| item.bytes).chain(self.promised.iter().copied()).map(u64::from).sum();
        let too_many = self.rules.length_max.is_some_and(|max| len as u64 > max);
        let too_much = self.rules.bytes_max.is_some_and(|max| all + u64::from(bytes) > max);
        if self.rules.overflow != Overflow::DropHead && (too_many || too_much) {
            return false;
        }
        self.promised.push(bytes);
        true
    }

    pub(super) fn keep_promise(&mut self, bytes: u32) {
        let at = self.promised.iter().position(|promised| *promised == bytes).expect("it was promised");
        self.promised.remove(at);
    }

    /// A message that is new here, published at `from_ms`.
    pub(super) fn enter(&mut self, mut item: Item, delay_ms: Option<u32>, from_ms: u64, now_ms: u64) {
        self.adapt(&mut item, from_ms);
        let due_ms = from_ms + delay_ms.map(u64::from).or(self.rules.delay_ms).unwrap_or(0);
        if due_ms > now_ms { self.later.push((due_ms, item)) } else { self.put(item) }
    }

    fn adapt(&self, item: &mut Item, from_ms: u64) {
        item.priority = if self.rules.ordered { 0 } else { item.priority.min(self.rules.priority_max) };
        if let Some(ttl_ms) = self.rules.ttl_ms {
            item.expires_ms = item.expires_ms.min(from_ms + ttl_ms);
        }
    }

    fn put(&mut self, item: Item) {
        let place = |item: &Item| (Reverse(item.priority), item.seq);
        self.consumers.iter_mut().for_each(|consumer| consumer.passed.retain(|seq| *seq != item.seq));
        let at = self.waiting.partition_point(|other| place(other) < place(&item));
        self.waiting.insert(at, item);
    }

    pub(super) fn hold(&mut self, item: Item, by: Option<usize>, now_ms: u64) {
        let until_ms = self.rules.lease_ms.map(|ms| now_ms + ms);
        self.held.push(Held { item, by, until_ms, since_ms: None });
    }

    /// Takes what comes up; what may not be handed out any more goes.
    pub(super) fn take_first(&mut self, before: Option<&Item>, now_ms: u64) -> Option<Item> {
        loop {
            self.expire(now_ms + 1);
            if self.rules.ordered {
                let at = self.next_in_order(None, before)?;
                let item = self.waiting.remove(at);
                let why = match item {
                    _ if item.expires_ms <= now_ms => Departure::Expired,
                    _ if is_exhausted(&self.rules, &item) => Departure::Exhausted,
                    item => return Some(item),
                };
                self.gone.push((item.seq, Some(why)));
                continue;
            }
            if !is_exhausted(&self.rules, self.waiting.first()?) {
                return Some(self.waiting.remove(0));
            }
            self.gone.push((self.waiting.remove(0).seq, Some(Departure::Exhausted)));
        }
    }

    /// A message that was in somebody's hands before a restart, and still is.
    pub(super) fn hold_received(&mut self, mut item: Item, until_ms: u64, since_ms: u64, from_ms: u64) {
        self.adapt(&mut item, from_ms);
        self.held.push(Held { item, by: None, until_ms: Some(until_ms), since_ms: Some(since_ms) });
    }

    /// The messages, and whether there are too many in somebody's hands.
    pub(super) fn receive(&mut self, ask: &Receive, now_ms: u64) -> (Vec<Item>, bool) {
        let mut taken = Vec::new();
        if self.closed {
            return (taken, false);
        }
        self.take_due(now_ms);
        while taken.len() < ask.messages_max {
            if self.held.len() >= ask.leased_max {
                let limit_reached = taken.is_empty() && !self.rules.ordered;
                return (taken, limit_reached);
            }
            let Some(item) = self.take_first(taken.last(), now_ms) else { break };
            taken.push(item.clone());
            let item = Item { received: true, ..item };
            self.held.push(Held { item, by: None, until_ms: Some(now_ms + ask.lease_ms), since_ms: Some(now_ms) });
        }
        (taken, false)
    }

    fn find(&self, receipt: Receipt) -> At {
        let Receipt { seq, receives } = receipt;
        if let Some(at) = self.held.iter().position(|held| held.item.seq == seq && held.since_ms.is_some()) {
            return if self.held[at].item.attempts + 1 == receives { At::Held(at) } else { At::Elsewhere };
        }
        if let Some(at) = self.waiting.iter().position(|item| item.seq == seq) {
            return if self.waiting[at].attempts > receives { At::Elsewhere } else { At::Waiting(at) };
        }
        let others = self.held.iter().map(|held| &held.item).chain(self.later.iter().map(|(_, item)| item));
        let is_here = others.into_iter().any(|item| item.seq == seq && item.received);
        if is_here { At::Elsewhere } else { At::Nowhere }
    }

    pub(super) fn remove(&mut self, receipt: Receipt, now_ms: u64) -> Receipted {
        match self.find(receipt) {
            At::Nowhere => return Receipted::NotThere,
            At::Elsewhere => return Receipted::Stale,
            At::Waiting(_) if self.rules.ordered => return Receipted::NotLeased,
            At::Waiting(at) => {
                let item = self.waiting.remove(at);
                self.gone.push((item.seq, Some(Departure::Accepted)));
            }
            At::Held(_) => self.settle(receipt.seq, Outcome::Accept, now_ms),
        }
        Receipted::Done
    }

    pub(super) fn extend(&mut self, receipt: Receipt, ms: u64, total_ms_max: u64, now_ms: u64) -> Receipted {
        let at = match self.find(receipt) {
            At::Nowhere => return Receipted::NotThere,
            At::Elsewhere => return Receipted::Stale,
            At::Waiting(_) => return Receipted::NotLeased,
            At::Held(at) => at,
        };
        let held = &mut self.held[at];
        if held.since_ms.is_some_and(|since_ms| now_ms + ms > since_ms + total_ms_max) {
            return Receipted::TooLong;
        }
        held.until_ms = Some(now_ms + ms);
        if ms == 0 {
            self.settle(receipt.seq, Outcome::Retry, now_ms);
        }
        Receipted::Done
    }

    /// Everything that waits goes, and everything that was received. How many messages, and which of them were received.
    pub(super) fn discard_all(&mut self) -> (usize, Vec<u64>) {
        let (received, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.since_ms.is_some());
        self.held = others;
        let seqs: Vec<u64> = received.iter().map(|held| held.item.seq).collect();
        self.gone.extend(seqs.iter().map(|seq| (*seq, Some(Departure::Discarded))));
        (self.discard() + seqs.len(), seqs)
    }

    pub(super) fn consumer(&mut self, name: usize) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.name == name)
    }

    fn may_take(&self, name: usize) -> bool {
        let alone = self.rules.single_active && (self.active != Some(name) || self.hands_over);
        !alone
            && self.consumers.iter().any(|consumer| {
                let has_credit = match consumer.credit {
                    Credit::Unlimited => consumer.late == 0,
                    Credit::Window(window) => consumer.held + consumer.ended < window,
                };
                consumer.name == name && has_credit && !consumer.starved
            })
    }

    /// Those that can take something and have no turn get the last one.
    fn line_up(&mut self, name: usize) {
        if self.may_take(name) && !self.turn.contains(&name) {
            self.turn.push(name);
        }
    }

    /// There is a reason to ask it for room again.
    fn ask_again(&mut self, name: usize) {
        if self.rules.single_active && (self.active != Some(name) || self.hands_over) {
            return;
        }
        if let Some(consumer) = self.consumer(name) {
            consumer.starved = false;
        }
        self.line_up(name);
    }

    /// The active one stays until it goes, lets its time run out, or hands over to one of a higher priority.
    fn elect(&mut self) {
        if !self.rules.single_active || self.leaving.is_some() {
            return;
        }
        let best = |consumer: &&Consumer| (Reverse(consumer.late == 0), Reverse(consumer.priority));
        let best = self.consumers.iter().min_by_key(best).cloned();
        let current = self.active.and_then(|name| self.consumer(name).cloned());
        let before = self.active;
        (self.active, self.hands_over) = match (current, best) {
            (_, None) => (None, false),
            (None, Some(best)) => (Some(best.name), false),
            (Some(current), Some(best)) => {
                let stuck = current.late > 0 && best.late == 0;
                let outranked = self.rules.takes_over && best.late == 0 && best.priority > current.priority;
                if stuck || outranked && current.held == 0 {
                    (Some(best.name), false)
                } else {
                    (Some(current.name), outranked)
                }
            }
        };
        if self.active != before {
            self.turn.clear();
        }
        if let Some(active) = self.active {
            self.ask_again(active);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        name: usize,
        options: super::consumer::ConsumerOptions,
        choice: Option<Choice>,
    ) -> bool {
        let super::consumer::ConsumerOptions { credit, acknowledges, exclusive, priority } = options;
        let taken = self.consumers.iter().any(|other| other.exclusive)
            || exclusive && (self.rules.single_active || !self.consumers.is_empty());
        if self.closed || taken || self.rules.ordered && choice.is_some() {
            return false;
        }
        self.consumers.push(Consumer {
            name,
            credit,
            acknowledges,
            exclusive,
            priority,
            starved: false,
            held: 0,
            late: 0,
            ended: 0,
            choice,
            passed: HashSet::new(),
        });
        self.line_up(name);
        self.elect();
        true
    }

    pub(super) fn unsubscribe(&mut self, name: usize, leaves: bool) {
        let held = self.consumer(name).map_or(0, |consumer| consumer.held);
        self.consumers.retain(|consumer| consumer.name != name);
        self.turn.retain(|other| *other != name);
        if self.active == Some(name) {
            self.active = None;
            self.hands_over = false;
            self.leaving = (leaves && held > 0).then_some((name, held));
        }
        self.elect();
        let of_it: Vec<_> = self.owners.iter().filter(|(_, owner)| owner.name == name).map(|(key, _)| *key).collect();
        for key in of_it {
            match self.owners.get_mut(&key) {
                Some(owner) if owner.leased > 0 => owner.has_left = true,
                _ => self.free(key),
            }
        }
    }

    pub(super) fn resume(&mut self, name: usize) {
        self.ask_again(name);
    }

    fn refill(&mut self, name: usize) {
        if let Some((left, held)) = &mut self.leaving
            && *left == name
        {
            *held -= 1;
            if *held == 0 {
                self.leaving = None;
                self.elect();
            }
            return;
        }
        if let Some(consumer) = self.consumer(name) {
            consumer.held -= 1;
            if self.hands_over {
                self.elect();
            }
            self.ask_again(name);
        }
    }

    /// An outcome of a message that is held.
    pub(super) fn settle(&mut self, seq: u64, outcome: Outcome, now_ms: u64) {
        let Some(at) = self.held.iter().position(|held| held.item.seq == seq) else { return };
        let Held { item, by, since_ms, .. } = self.held.remove(at);
        self.end_lease(&item, by);
        match outcome {
            Outcome::Accept => self.gone.push((seq, Some(Departure::Accepted))),
            Outcome::Reject => self.gone.push((seq, Some(Departure::Rejected))),
            Outcome::Release => self.put(item),
            Outcome::Retry | Outcome::Return => {
                self.retry(item, outcome == Outcome::Return, since_ms.is_some(), now_ms)
            }
        }
        if let Some(name) = by {
            self.refill(name);
        }
    }

    fn retry(&mut self, mut item: Item, returned: bool, was_received: bool, now_ms: u64) {
        item.attempts += 1;
        item.redelivered = true;
        if self.rules.delivery_limit.is_some_and(|limit| item.attempts > limit) {
            return self.gone.push((item.seq, Some(Departure::Exhausted)));
        }
        match self.rules.retry_delay {
            Some(delay) if !was_received && (returned || delay.which == Delayed::All) => {
                let wait_ms = (delay.min_ms * u64::from(item.attempts)).min(delay.max_ms);
                self.later.push((now_ms + wait_ms, item));
            }
            _ => self.put(item),
        }
    }

    /// When the first lease ends.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        self.held.iter().filter_map(|held| held.until_ms).min()
    }

    /// What has been held for too long goes back. Which messages, in order.
    pub(super) fn lapse(&mut self, now_ms: u64) -> Vec<u64> {
        let mut over = Vec::new();
        loop {
            let first = self.held.iter().enumerate().filter(|(_, held)| held.until_ms.is_some_and(|ms| ms <= now_ms));
            let Some((at, _)) = first.min_by_key(|(at, held)| (held.until_ms, *at)) else { return over };
            let Held { item, by, since_ms, .. } = self.held.remove(at);
            over.push(item.seq);
            if let Some(name) = by {
                self.late.push((item.seq, name));
                if let Some(consumer) = self.consumer(name) {
                    consumer.late += 1;
                    self.elect();
                }
            }
            self.end_lease(&item, by);
            self.retry(item, false, since_ms.is_some(), now_ms);
        }
    }

    /// Something was said too late.
    pub(super) fn say_late(&mut self, at: usize) {
        let (_, name) = self.late.remove(at);
        if let Some(consumer) = self.consumer(name) {
            consumer.late -= 1;
        }
        self.refill(name);
    }

    pub(super) fn take_due(&mut self, now_ms: u64) {
        let (due, later): (Vec<_>, _) =
            std::mem::take(&mut self.later).into_iter().partition(|(due_ms, _)| *due_ms <= now_ms);
        self.later = later;
        for (_, item) in due {
            self.put(item);
        }
    }

    pub(super) fn expire(&mut self, before_ms: u64) {
        while self.waiting.first().is_some_and(|first| first.expires_ms < before_ms) {
            self.gone.push((self.waiting.remove(0).seq, Some(Departure::Expired)));
        }
    }

    fn drop_overflow(&mut self) {
        if self.rules.overflow != Overflow::DropHead {
            return;
        }
        let bytes = |waiting: &[Item]| waiting.iter().map(|item| u64::from(item.bytes)).sum::<u64>();
        while self.rules.length_max.is_some_and(|max| self.waiting.len() as u64 > max)
            || self.rules.bytes_max.is_some_and(|max| bytes(&self.waiting) > max)
        {
            self.gone.push((self.waiting.remove(0).seq, Some(Departure::Overflowed)));
        }
    }

    /// Everything that waits goes.
    pub(super) fn discard(&mut self) -> usize {
        let later = self.later.drain(..).map(|(_, item)| item);
        let all: Vec<_> =
            self.waiting.drain(..).chain(later).map(|item| (item.seq, Some(Departure::Discarded))).collect();
        let count = all.len();
        self.gone.extend(all);
        count
    }

    /// Who gets what. `room` says how many deliveries an outlet takes.
    pub(super) fn grant(&mut self, now_ms: u64, room: &mut [usize]) -> Vec<Expected> {
        let mut expected = Vec::new();
        self.take_due(now_ms);
        loop {
            self.expire(now_ms);
            self.is_unread = false;
            if self.waiting.is_empty() {
                return expected;
            }
            if !self.seeks() && is_exhausted(&self.rules, &self.waiting[0]) && !self.hands_over && !self.turn.is_empty()
            {
                self.gone.push((self.waiting.remove(0).seq, Some(Departure::Exhausted)));
                continue;
            }
            if self.hands_over || !self.grant_one(now_ms, room, &mut expected) {
                break;
            }
        }
        self.expire(now_ms + 1);
        self.drop_overflow();
        expected
    }

    /// Asks everybody once, those of the highest priority first. Whether anything came of it.
    fn grant_one(&mut self, now_ms: u64, room: &mut [usize], expected: &mut Vec<Expected>) -> bool {
        let priority = |consumers: &[Consumer], name: usize| {
            consumers.iter().find(|consumer| consumer.name == name).map_or(i32::MIN, |consumer| consumer.priority)
        };
        let mut asked = self.turn.clone();
        asked.sort_by_key(|name| Reverse(priority(&self.consumers, *name)));
        for name in asked {
            self.turn.retain(|other| *other != name);
            if !self.may_take(name) {
                continue;
            }
            let looked = self.look(name, now_ms);
            match looked {
                Looked::Takes(_) if room[name] == 0 => {
                    if let Some(consumer) = self.consumer(name) {
                        consumer.starved = true;
                    }
                }
                Looked::Nothing => self.turn.push(name),
                Looked::Unread => {
                    self.is_unread = true;
                    self.turn.push(name);
                }
                Looked::Expired(at) => {
                    self.turn.insert(0, name);
                    self.gone.push((self.waiting.remove(at).seq, Some(Departure::Expired)));
                    return true;
                }
                Looked::Exhausted(at) => {
                    self.turn.insert(0, name);
                    self.gone.push((self.waiting.remove(at).seq, Some(Departure::Exhausted)));
                    return true;
                }
                Looked::Unwanted(at) => {
                    self.turn.insert(0, name);
                    self.gone.push((self.waiting.remove(at).seq, Some(Departure::Discarded)));
                    return true;
                }
                Looked::Takes(at) => {
                    room[name] -= 1;
                    expected.extend(self.hand_out(name, at, now_ms));
                    return true;
                }
            }
        }
        false
    }

    fn hand_out(&mut self, name: usize, at: usize, now_ms: u64) -> Option<Expected> {
        let item = self.waiting.remove(at);
        let consumer = self.consumer(name)?;
        let leased = consumer.acknowledges;
        let Item { seq, attempts, redelivered, group, .. } = item;
        if leased {
            consumer.held += 1;
            self.hold(item, Some(name), now_ms);
        } else {
            consumer.ended += 1;
            self.gone.push((seq, None));
        }
        match group {
            _ if self.rules.ordered => {}
            Some(group) if group.closes() => self.free(group.key()),
            Some(group) => {
                let owner = self.owners.entry(group.key()).or_insert(Owner { name, leased: 0, has_left: false });
                owner.leased += u32::from(leased);
            }
            None => {}
        }
        self.line_up(name);
        Some(Expected { to: name, seq, attempts, redelivered, leased })
    }
}

/// Whether it may not be handed out any more.
fn is_exhausted(rules: &Rules, item: &Item) -> bool {
    rules.redrive.is_some() && rules.receives_max.is_some_and(|max| item.attempts >= max)
}

fn is_of(item: &Item, key: u64) -> bool {
    item.group.is_some_and(|group| group.key() == key)
}
