//! Who gets the messages of a queue, and whose turn it is.

use std::collections::VecDeque;

/// A consumer of a queue; never given to another one while the queue lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerId {
    index: u32,
    generation: u32,
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
}

/// The consumers of a queue. Those that can take something stand in a ring; a consumer without credit or room leaves it and
/// comes back when there is some, so that a thousand idle consumers cost a message nothing.
#[derive(Debug)]
pub(super) struct Consumers<O> {
    slots: Vec<Option<Consumer<O>>>,
    turn: VecDeque<u32>,
    len: usize,
    generation: u32,
}

impl<O> Default for Consumers<O> {
    fn default() -> Self {
        Self { slots: Vec::new(), turn: VecDeque::new(), len: 0, generation: 0 }
    }
}

impl<O> Consumers<O> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn any_exclusive(&self) -> bool {
        self.slots.iter().flatten().any(|consumer| consumer.options.exclusive)
    }

    pub(super) fn insert(&mut self, outlet: O, options: ConsumerOptions) -> ConsumerId {
        self.generation = self.generation.wrapping_add(1);
        let available = match options.credit {
            Credit::Unlimited => u32::MAX,
            Credit::Window(window) => window.min(u32::MAX - 1),
        };
        let consumer = Consumer { generation: self.generation, outlet, options, available, in_turn: false };
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
        id
    }

    pub(super) fn remove(&mut self, id: ConsumerId) -> Option<Consumer<O>> {
        self.get_mut(id)?;
        self.len -= 1;
        // Its index may still stand in the ring, where it must not give its turn to the next one in this slot.
        self.turn.retain(|index| *index != id.index);
        let removed = self.slots[id.index as usize].take();
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        removed
    }

    fn get_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer<O>> {
        self.slots.get_mut(id.index as usize)?.as_mut().filter(|consumer| consumer.generation == id.generation)
    }

    /// Puts a consumer at the end of the ring if it has credit and is not in it.
    pub(super) fn line_up(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.get_mut(id)
            && !consumer.in_turn
            && consumer.available > 0
        {
            consumer.in_turn = true;
            self.turn.push_back(id.index);
        }
    }

    /// Gives credit back after an outcome.
    pub(super) fn refill(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.get_mut(id) {
            if consumer.available < u32::MAX - 1 {
                consumer.available += 1;
            }
            self.line_up(id);
        }
    }

    /// Whose turn it is: the first in the ring for whom `take_room` agrees. Takes its credit and moves it to the end.
    pub(super) fn next(&mut self, mut take_room: impl FnMut(&O) -> bool) -> Option<(ConsumerId, &Consumer<O>)> {
        while let Some(index) = self.turn.pop_front() {
            let Some(consumer) = self.slots[index as usize].as_mut() else { continue };
            if consumer.available == 0 || !take_room(&consumer.outlet) {
                consumer.in_turn = false;
                continue;
            }
            if consumer.available != u32::MAX {
                consumer.available -= 1;
            }
            consumer.in_turn = consumer.available > 0;
            if consumer.in_turn {
                self.turn.push_back(index);
            }
            let id = ConsumerId { index, generation: consumer.generation };
            return self.slots[index as usize].as_ref().map(|consumer| (id, consumer));
        }
        None
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Consumer<O>> + use<O> {
        std::mem::take(self).slots.into_iter().flatten()
    }
}
