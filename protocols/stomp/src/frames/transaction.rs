//! BEGIN, COMMIT and ABORT.

use std::sync::Arc;

use gantry_broker::{Error, Lease, Message, Outcome, Queue, Route, Schedule, Transaction};
use hashbrown::HashMap;

use crate::client::{Client, Next};
use crate::codec::Frame;
use crate::error::Failure;
use crate::limits::{TRANSACTIONS_MAX, TX_BYTES_MAX, TX_FRAMES_MAX};
use crate::unacked::Unacked;

/// What a transaction has gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    publishes: Vec<(Arc<Route>, Arc<Message>)>,
    /// Messages that are due later than the commit.
    later: Vec<(Arc<Route>, Arc<Message>, Schedule)>,
    /// What the SENDs among it want to be answered.
    receipts: Vec<Box<[u8]>>,
    outcomes: Vec<(Unacked, Outcome)>,
    /// Bytes of messages and receipts.
    bytes: u64,
}

impl Gathered {
    /// Keeps what is said of deliveries until the commit.
    pub(super) fn hold(&mut self, taken: impl IntoIterator<Item = Unacked>, outcome: Outcome) {
        self.outcomes.extend(taken.into_iter().map(|unacked| (unacked, outcome)));
    }
}

/// The transactions of a connection, by their names.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<Box<[u8]>, Gathered>,
    /// Bytes of all of them.
    bytes: u64,
}

impl Transactions {
    /// Refuses the name of a transaction that has not begun.
    pub(super) fn check(&self, name: &[u8]) -> Result<(), Failure> {
        if self.open.contains_key(name) { Ok(()) } else { Err(unknown(name)) }
    }

    /// Whether messages wait in one.
    pub(crate) fn have_messages(&self) -> bool {
        self.bytes > 0
    }

    fn take(&mut self, name: &[u8]) -> Result<Gathered, Failure> {
        let gathered = self.open.remove(name).ok_or_else(|| unknown(name))?;
        self.bytes -= gathered.bytes;
        Ok(gathered)
    }

    /// A transaction that takes another frame.
    pub(super) fn with_room(&mut self, name: &[u8]) -> Result<&mut Gathered, Failure> {
        let gathered = self.open.get_mut(name).ok_or_else(|| unknown(name))?;
        if gathered.publishes.len() + gathered.later.len() + gathered.outcomes.len() >= TX_FRAMES_MAX {
            let detail = format!("Too many actions in transaction (limit {TX_FRAMES_MAX})");
            return Err(Failure::soft("Transaction too large", detail));
        }
        Ok(gathered)
    }

    pub(super) fn gather(
        &mut self,
        name: &[u8],
        route: Arc<Route>,
        message: Arc<Message>,
        schedule: Option<Schedule>,
        receipt: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let bytes = u64::from(message.bytes()) + receipt.map_or(0, <[u8]>::len) as u64;
        if self.bytes + bytes > TX_BYTES_MAX {
            let detail = format!("Too many bytes in the transactions of this connection (limit {TX_BYTES_MAX})");
            return Err(Failure::soft("Transaction too large", detail));
        }
        let gathered = self.with_room(name)?;
        match schedule {
            None => gathered.publishes.push((route, message)),
            Some(schedule) => gathered.later.push((route, message, schedule)),
        }
        gathered.receipts.extend(receipt.map(Box::from));
        gathered.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// The deliveries that wait for a commit; the transactions are gone.
    pub(crate) fn take_deliveries(&mut self) -> Vec<Unacked> {
        self.bytes = 0;
        let open = self.open.drain();
        open.flat_map(|(_, gathered)| gathered.outcomes).map(|(unacked, _)| unacked).collect()
    }
}

fn unknown(name: &[u8]) -> Failure {
    let name = String::from_utf8_lossy(name);
    Failure::soft("Bad transaction", format!("Invalid transaction identifier: \"{name}\"\n"))
}

fn name_of<'a>(frame: &Frame<'a>) -> Result<std::borrow::Cow<'a, [u8]>, Failure> {
    frame.headers.get_bytes("transaction").ok_or_else(|| {
        let detail = format!("\"{}\" must include a 'transaction' header\n", frame.command.as_str());
        Failure::soft("Missing transaction", detail)
    })
}

impl Client {
    pub(crate) fn begin(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let name = name_of(frame)?;
        let transactions = &mut self.transactions;
        if transactions.open.contains_key(&*name) {
            let name = String::from_utf8_lossy(&name);
            return Err(Failure::soft("Bad transaction", format!("Transaction \"{name}\" has begun already\n")));
        }
        if transactions.open.len() >= TRANSACTIONS_MAX {
            let detail = format!("Too many concurrent transactions (limit {TRANSACTIONS_MAX})");
            return Err(Failure::soft("Transaction limit exceeded", detail));
        }
        transactions.open.insert((*name).into(), Gathered::default());
        Ok(Next::Continue)
    }

    /// Everything at once, and answered when it is on stable storage.
    pub(crate) fn commit(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let Gathered { publishes, later, receipts, outcomes, .. } = self.transactions.take(&name_of(frame)?)?;
        self.flush_accepted();
        let mut accepts: Vec<(Arc<Queue>, Vec<Lease>)> = Vec::new();
        let (accepted, refused): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| *outcome == Outcome::Accept);
        for (unacked, _) in &accepted {
            match accepts.iter_mut().find(|(queue, _)| Arc::ptr_eq(queue, &unacked.queue)) {
                Some((_, leases)) => leases.push(unacked.lease),
                None => accepts.push((Arc::clone(&unacked.queue), vec![unacked.lease])),
            }
        }
        let transaction = Transaction { publishes, accepts, later };
        let vhost = Arc::clone(self.session.vhost());
        let (_, durable) = match vhost.commit_transaction(&transaction, self.now_ms, &mut self.wakes) {
            Ok(committed) => committed,
            Err(error) => {
                // Nothing has happened. The deliveries are the client's as before, and go back with the connection.
                self.unacked.put_back(accepted.into_iter().chain(refused).map(|(unacked, _)| unacked));
                return Err(match error {
                    Error::Full => Failure::hard("resource_error", "RESOURCE_ERROR - the disk is full"),
                    error => error.into(),
                });
            }
        };
        let all = accepted.iter().chain(&refused);
        self.credit.add(all.filter(|(unacked, _)| unacked.took_credit).count() as i64);
        for (unacked, outcome) in refused {
            self.settle([unacked], outcome);
        }
        for receipt in &receipts {
            self.receipts.add(receipt, self.version, durable, true);
        }
        if let Some(receipt) = frame.headers.get_bytes("receipt") {
            self.receipts.add(&receipt, self.version, durable, false);
        }
        Ok(Next::Answered)
    }

    /// Messages are forgotten; acknowledgements were never said, the deliveries are as they were.
    pub(crate) fn abort(&mut self, frame: &Frame<'_>) -> Result<Next, Failure> {
        let gathered = self.transactions.take(&name_of(frame)?)?;
        self.unacked.put_back(gathered.outcomes.into_iter().map(|(unacked, _)| unacked));
        Ok(Next::Continue)
    }
}
