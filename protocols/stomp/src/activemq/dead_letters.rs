//! Where ActiveMQ puts what a client refuses: into the queue `ActiveMQ.DLQ`, where the queue that it was in says nothing else. The
//! letter and the end of what it was made of are one record of the journal.

use std::sync::Arc;

use gantry_broker::message::Edit;
use gantry_broker::value::Value;
use gantry_broker::{Address, Lease, Outcome, Queue, Transaction};

use crate::client::Client;
use crate::codec::Headers;
use crate::destinations::{Dialect, Text, of_message};
use crate::error::Failure;
use crate::unacked::Unacked;

/// The name of the queue.
const DEAD_LETTERS: &str = "ActiveMQ.DLQ";

impl Client {
    /// Declares the queue.
    pub(crate) async fn open_dead_letters(&mut self) -> Result<(), Failure> {
        self.declare(DEAD_LETTERS, Headers::escaped(b"")).await?;
        self.has_dead_letters = true;
        Ok(())
    }

    /// Refuses deliveries for good.
    pub(crate) fn refuse(&mut self, refused: impl IntoIterator<Item = Unacked>) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        let mut others = Vec::new();
        let vhost = Arc::clone(self.session.vhost());
        for unacked in refused {
            let Some(message) = unacked.message.as_ref().filter(|_| !goes_elsewhere(&unacked.queue)) else {
                others.push(unacked);
                continue;
            };
            let route = vhost.route(&mut self.routes, "", DEAD_LETTERS.as_bytes())?;
            let mut origin = Text::new();
            of_message(Dialect::ActiveMq, message.address(), &mut origin);
            let set = [("original-destination", Value::Text((&*origin).into()))];
            let address: &Arc<Address> = route.address();
            let letter = message.edited(Arc::clone(address), &Edit { set: &set, remove: &[], without_ttl: true });
            transaction.publishes.push((route, letter));
            let accepts: &mut Vec<(Arc<Queue>, Vec<Lease>)> = &mut transaction.accepts;
            match accepts.iter_mut().find(|(queue, _)| Arc::ptr_eq(queue, &unacked.queue)) {
                Some((_, leases)) => leases.push(unacked.lease),
                None => accepts.push((unacked.queue, vec![unacked.lease])),
            }
        }
        self.settle(others, Outcome::Reject);
        if !transaction.publishes.is_empty() {
            vhost.commit_transaction(&transaction, self.now_ms, &mut self.wakes)?;
        }
        Ok(())
    }
}

/// Whether what a queue's consumers refuse goes where the queue says, and not there.
fn goes_elsewhere(queue: &Queue) -> bool {
    &**queue.name() == DEAD_LETTERS || queue.has_dead_letter_exchange()
}
