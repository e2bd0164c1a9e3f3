//! SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10), and what a new subscriber is sent.

use std::sync::Arc;

use gantry_broker::{Error, Message, Pending};

use crate::client::Client;
use crate::codec::packet::{Packet, QoS, SubAck, Subscribe, Unsubscribe, Version};
use crate::codec::reason::Reason;
use crate::error::Failure;

impl Client {
    pub(crate) async fn subscribe(&mut self, subscribe: &Subscribe<'_>) {
        self.before_waiting();
        // What comes by the queue of QoS 0 is looked at as the subscriptions are now.
        self.deliver().await;
        let Self { held, session, wakes, .. } = self;
        let Some(held) = held else { return };
        let subscribed = held.subscribe(session, &subscribe.filters, subscribe.subscription_id, wakes).await;
        held.retained.add(subscribed.retained);
        let mut reasons = subscribed.reasons;
        if self.version < Version::V5 {
            // 3.9.3 of 3.1.1 knows one code for all failures, and 3.1 none: there it is the reserved bits that say so.
            for reason in &mut reasons {
                if reason.is_error() {
                    *reason = Reason::UNSPECIFIED_ERROR;
                }
            }
        }
        self.send(&Packet::SubAck(SubAck::new(subscribe.packet_id, reasons)));
    }

    pub(crate) async fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>) {
        self.before_waiting();
        let Some(held) = &mut self.held else { return };
        let reasons = held.unsubscribe(&unsubscribe.filters).await;
        self.send(&Packet::UnsubAck(SubAck::new(unsubscribe.packet_id, reasons)));
    }

    /// What follows may wait for the disk; whoever has been granted something, or acknowledged, need not.
    fn before_waiting(&mut self) {
        self.flush_accepted();
        self.wakes.wake();
    }

    /// A retained message is on its way to the disk. Who published it with QoS 1 or 2 is told when it is there.
    pub(crate) fn settle_retained(&mut self, pending: Pending, message: &Arc<Message>, qos: QoS) {
        if qos > QoS::AtMostOnce && !pending.is_nothing() {
            self.settling.push((pending, Arc::clone(message)));
        }
    }

    /// Waits for what has to be on the disk before anything is acknowledged. What the disk has no room for is tried again later,
    /// and nothing is acknowledged until there is.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        self.before_waiting();
        for (pending, message) in std::mem::take(&mut self.settling) {
            match pending.wait().await {
                Err(Error::Full) => self.unkept.push(message),
                done => done?,
            }
        }
        Ok(())
    }
}
