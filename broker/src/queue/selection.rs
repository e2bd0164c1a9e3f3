//! Which messages a consumer is for.

use std::sync::Arc;

use crate::message::Message;
use crate::selector::{Look, Selector};

/// Which messages a consumer gets: all of them, if nothing is said. The others stay for those that come for them.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Those that meet this condition.
    pub selector: Option<Arc<Selector>>,
    /// Those that this connection has not published, as far as their source tells ([`Source::publisher`]).
    ///
    /// [`Source::publisher`]: crate::Source::publisher
    pub not_from: Option<u64>,
    /// What the consumer is not for leaves the queue: for a queue that stands for one subscription to a topic, where nobody
    /// else comes for it.
    pub discards: bool,
}

impl Selection {
    /// Whether it passes anything over.
    pub(super) fn is_everything(&self) -> bool {
        self.selector.is_none() && self.not_from.is_none()
    }

    /// Whether the consumer is for a message, and what it cost to find out.
    pub(super) fn look(&self, message: &Message) -> Look {
        if self.not_from.is_some_and(|connection| message.source().publisher(message.head()) == Some(connection)) {
            return Look { matches: false, cost: 0 };
        }
        self.selector.as_ref().map_or(Look { matches: true, cost: 0 }, |selector| selector.look(message))
    }
}
