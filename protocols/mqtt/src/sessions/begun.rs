//! Deliveries of QoS 2 of shared queues that were begun to a session's client and wait for it to come back: nobody else gets
//! them meanwhile (4.8.2-4).
//!
//! The leases stay with the session, and with them what is needed to send the same PUBLISH again; they are as many as the client
//! took at the same time, at most. They go back to their queues when the session ends, or is no member any more. A process that
//! dies gives all of them back.

use std::sync::Arc;

use gantry_broker::{Queue, Wakes};
use hashbrown::HashSet;

use super::groups::{member_qos, shared_queue_name};
use super::held::Held;
use super::kept::Kept;
use crate::codec::packet::QoS;
use crate::inflight::{Published, to_queues};
use crate::subscriptions::{Subscription, Subscriptions};

/// A delivery that was begun, and its packet id.
pub(crate) type Begun = (u16, Published);

impl Held {
    /// Keeps those of the deliveries under way that are to be completed to this client when it comes back, if it may. Returns the
    /// others, which are to be given back now.
    pub(crate) fn keep_begun(&mut self, under_way: Vec<Begun>) -> Vec<Published> {
        let is_begun = |published: &Published| published.again.is_some();
        if self.expiry_s() == 0 || !under_way.iter().any(|(_, published)| is_begun(published)) {
            return under_way.into_iter().map(|(_, published)| published).collect();
        }
        let names = queues_of(&self.kept.subscriptions);
        let (stay, go): (Vec<_>, Vec<_>) = under_way
            .into_iter()
            .partition(|(_, published)| is_begun(published) && names.contains(&**published.queue.name()));
        self.kept.begun.extend(stay);
        go.into_iter().map(|(_, published)| published).collect()
    }

    /// What was begun and is to be sent again, each queue's in order.
    pub(crate) fn take_begun(&mut self, wakes: &mut Wakes) -> Vec<Begun> {
        self.kept.release_strange(wakes);
        let mut begun = std::mem::take(&mut self.kept.begun);
        begun.sort_unstable_by_key(|(_, published)| published.order());
        begun
    }

    /// The subscription that a shared queue is consumed for.
    pub(crate) fn consuming(&self, queue: &Arc<Queue>) -> Option<&Subscription> {
        self.kept.subscriptions.shared(self.shared_token(queue)?)
    }
}

impl Kept {
    /// Gives back what was begun and comes by no subscription any more.
    pub(super) fn release_strange(&mut self, wakes: &mut Wakes) {
        if self.begun.is_empty() {
            return;
        }
        let names = queues_of(&self.subscriptions);
        let (stay, go): (Vec<_>, Vec<_>) = std::mem::take(&mut self.begun)
            .into_iter()
            .partition(|(_, published)| names.contains(&**published.queue.name()));
        self.begun = stay;
        to_queues(go.into_iter().map(|(_, published)| published).collect(), wakes);
    }

    /// Gives back everything that was begun: the session ends.
    pub(super) fn release_begun(&mut self) {
        let begun = std::mem::take(&mut self.begun);
        to_queues(begun.into_iter().map(|(_, published)| published).collect(), &mut Wakes::new());
    }
}

/// The shared queues that a session without a connection is a member of.
fn queues_of(subscriptions: &Subscriptions) -> HashSet<String> {
    let staying = subscriptions.iter().filter(|one| member_qos(one) > QoS::AtMostOnce);
    staying.filter_map(|one| Some(shared_queue_name(one.group.as_deref()?, &one.filter))).collect()
}
