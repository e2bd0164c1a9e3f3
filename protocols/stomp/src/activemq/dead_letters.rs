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

/// Bytes of the letters that are made in one record; a longer one has a record of its own.
const LETTER_BYTES_AT_ONCE: u64 = 4 << 20;

impl Client {
    /// Declares the queue.
    pub(crate) async fn open_dead_letters(&mut self) -> Result<(), Failure> {
        self.declare(DEAD_LETTERS, Headers::escaped(b"")).await?;
        self.has_dead_letters = true;
        Ok(())
    }

    /// Whether the queue is there. It may have been deleted since it was declared.
    pub(crate) fn has_dead_letters(&mut self) -> bool {
        let vhost = Arc::clone(self.session.vhost());
        self.has_dead_letters
            && vhost.route(&mut self.routes, "", DEAD_LETTERS.as_bytes()).is_ok_and(|route| !route.leads_nowhere())
    }

    /// Refuses deliveries for good, a bounded number at once: a letter is a copy. On failure the first so many are refused, and the
    /// others are the client's as before.
    pub(crate) fn refuse(&mut self, refused: &[Unacked]) -> Result<(), (usize, Failure)> {
        let mut done = 0;
        while done < refused.len() {
            let mut bytes = 0;
            let at_once = refused[done..].iter().take_while(|unacked| {
                let is_first = bytes == 0;
                bytes += unacked.letter_bytes().max(1);
                is_first || bytes <= LETTER_BYTES_AT_ONCE
            });
            let end = done + at_once.count();
            self.refuse_at_once(&refused[done..end]).map_err(|failure| (done, failure))?;
            done = end;
        }
        Ok(())
    }

    fn refuse_at_once(&mut self, refused: &[Unacked]) -> Result<(), Failure> {
        let mut transaction = Transaction::default();
        let others = self.gather_letters(refused, &mut transaction)?;
        if !transaction.publishes.is_empty() {
            let vhost = Arc::clone(self.session.vhost());
            vhost.commit_transaction(&transaction, self.now_ms, &mut self.wakes)?;
        }
        self.settle(others, Outcome::Reject);
        Ok(())
    }

    /// Adds the letters of what is refused to a transaction, and that it ends where it is. Returns what no letter is made of: it is
    /// simply rejected.
    pub(crate) fn gather_letters(
        &mut self,
        refused: &[Unacked],
        transaction: &mut Transaction,
    ) -> Result<Vec<Unacked>, Failure> {
        let mut others = Vec::new();
        let vhost = Arc::clone(self.session.vhost());
        for unacked in refused {
            let Some(message) = unacked.message.as_ref().filter(|_| !goes_elsewhere(&unacked.queue)) else {
                others.push(unacked.clone());
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
                None => accepts.push((Arc::clone(&unacked.queue), vec![unacked.lease])),
            }
        }
        Ok(others)
    }
}

/// Whether what a queue's consumers refuse goes where the queue says, and not there.
fn goes_elsewhere(queue: &Queue) -> bool {
    &**queue.name() == DEAD_LETTERS || queue.has_dead_letter_exchange()
}
