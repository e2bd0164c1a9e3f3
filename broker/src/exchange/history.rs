//! Recent history: the last messages of an exchange, for whatever is bound to it next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::room::Room;
use crate::message::Message;

/// Messages that are remembered where the exchange does not say.
pub(crate) const HISTORY_MESSAGES: usize = 20;

/// Bytes of messages that one exchange remembers at most.
pub(crate) const HISTORY_BYTES_MAX: usize = 16 << 20;

/// Bytes of messages that all exchanges of the process remember at most.
static ROOM: Room = Room::new(128 << 20);

/// What a message takes beside head and body, about.
const MESSAGE_BYTES: usize = 256;

/// The last messages, the oldest one first.
#[derive(Debug)]
pub(crate) struct History {
    messages_max: usize,
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
}

fn bytes_of(message: &Message) -> usize {
    message.bytes() as usize + MESSAGE_BYTES
}

impl History {
    /// Remembers so many messages at most. The number may be absurd.
    pub(crate) fn new(messages_max: usize) -> Self {
        Self { messages_max, messages: VecDeque::new(), bytes: 0 }
    }

    /// Remembers a message that is about to be published: [`History::trim`] or [`History::take_back`] follows.
    pub(crate) fn store(&mut self, message: &Arc<Message>) {
        self.bytes += bytes_of(message);
        ROOM.take(bytes_of(message));
        self.messages.push_back(Arc::clone(message));
        self.forget_oldest(usize::MAX);
    }

    /// A message has been published: the oldest ones go for it.
    pub(crate) fn trim(&mut self) {
        self.forget_oldest(self.messages_max);
    }

    fn forget_oldest(&mut self, messages_max: usize) {
        while self.messages.len() > messages_max || self.bytes > HISTORY_BYTES_MAX || ROOM.is_overdrawn() {
            let Some(oldest) = self.messages.pop_front() else { break };
            self.forgot(&oldest);
        }
    }

    /// The message was not published after all. Only what had to go for want of room does not come back.
    pub(crate) fn take_back(&mut self, message: &Arc<Message>) {
        if let Some(index) = self.messages.iter().rposition(|other| Arc::ptr_eq(other, message))
            && let Some(message) = self.messages.remove(index)
        {
            self.forgot(&message);
        }
    }

    fn forgot(&mut self, message: &Message) {
        self.bytes -= bytes_of(message);
        ROOM.give_back(bytes_of(message));
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.messages.iter().skip(self.messages.len().saturating_sub(self.messages_max))
    }
}

impl Drop for History {
    fn drop(&mut self) {
        ROOM.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Essentials;
    use crate::message::tests::plain;

    fn bodies(history: &History) -> Vec<&[u8]> {
        history.messages().map(|message| message.body()).collect()
    }

    #[test]
    fn the_last_messages_are_remembered_in_order_and_one_can_be_taken_back() {
        let mut history = History::new(3);
        let messages: Vec<_> = (0..5_u8).map(|n| plain("x", "k", Essentials::default(), &[n])).collect();
        for message in &messages[..4] {
            history.store(message);
            history.trim();
        }
        history.store(&messages[4]);
        assert_eq!(bodies(&history), [[2], [3], [4]]);
        history.take_back(&messages[4]);
        history.take_back(&messages[0]);
        assert_eq!(bodies(&history), [[1], [2], [3]]);
    }

    #[test]
    fn large_messages_are_not_remembered_in_any_number() {
        let mut history = History::new(usize::MAX);
        for n in 0..40_u8 {
            history.store(&plain("x", "k", Essentials::default(), &vec![n; 1 << 20]));
        }
        assert_eq!(history.messages.len(), 15);
        assert_eq!(history.messages.back().unwrap().body()[0], 39);
        history.store(&plain("x", "k", Essentials::default(), &vec![40; HISTORY_BYTES_MAX]));
        assert!(history.messages.is_empty() && history.bytes == 0);
    }
}
