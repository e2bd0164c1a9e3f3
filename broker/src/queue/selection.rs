//! Which messages a consumer is for.

use std::sync::Arc;

use crate::message::Message;
use crate::selector::Selector;

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

    pub(super) fn takes(&self, message: &Message) -> bool {
        self.not_from.is_none_or(|connection| message.source().publisher(message.head()) != Some(connection))
            && self.selector.as_ref().is_none_or(|selector| selector.matches(message))
    }
}
