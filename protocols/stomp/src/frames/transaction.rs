//! BEGIN, COMMIT and ABORT.

use std::sync::Arc;

use gantry_broker::{Error, Lease, Message, Outcome, Queue, Route, Schedule, Transaction};
use hashbrown::HashMap;

use crate::client::{Client, Next};
use crate::codec::Frame;
use crate::destinations::Dialect;
use crate::error::Failure;
use crate::limits::{TRANSACTIONS_MAX, TX_BYTES_MAX, TX_FRAME_BYTES, TX_FRAMES_MAX};
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
    fn frames(&self) -> usize {
        self.publishes.len() + self.later.len() + self.outcomes.len()
    }
}

/// The transactions of a connection, by their names.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: HashMap<Box<[u8]>, Gathered>,
    /// Bytes of all of them.
    bytes: u64,
    /// Messages and outcomes of all of them.
    frames: usize,
}

impl Transactions {
    /// Refuses the name of a transaction that has not begun.
    pub(super) fn check(&self, name: &[u8]) -> Result<(), Failure> {
        if self.open.contains_key(name) { Ok(()) } else { Err(unknown(name)) }
    }

    /// Bytes of the letters that would be made of what one refuses.
    fn letter_bytes(&self, name: &[u8]) -> u64 {
        let outcomes = self.open.get(name).map(|gathered| gathered.outcomes.as_slice()).unwrap_or_default();
        outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Reject)
            .map(|(unacked, _)| unacked.letter_bytes())
            .sum()
    }

    /// Whether messages wait in one.
    pub(crate) fn have_messages(&self) -> bool {
        self.bytes > 0
    }

    fn take(&mut self, name: &[u8]) -> Result<Gathered, Failure> {
        let gathered = self.open.remove(name).ok_or_else(|| unknown(name))?;
        self.bytes -= gathered.bytes;
        self.frames -= gathered.frames();
        Ok(gathered)
    }

    /// Refuses further frames, and messages of so many bytes, where the transactions of this connection have as many as they may.
    pub(super) fn check_room(&self, name: &[u8], frames: usize, bytes: u64) -> Result<(), Failure> {
        self.check(name)?;
        if self.bytes + bytes + frames as u64 * TX_FRAME_BYTES > TX_BYTES_MAX {
            let detail = format!("Too many bytes in the transactions of this connection (limit {TX_BYTES_MAX})");
            return Err(Failure::soft("Transaction too large", detail));
        }
        if self.frames + frames > TX_FRAMES_MAX {
            let detail = format!("Too many actions in the transactions of this connection (limit {TX_FRAMES_MAX})");
            return Err(Failure::soft("Transaction too large", detail));
        }
        Ok(())
    }

    /// Keeps what is said of deliveries until the commit.
    pub(super) fn hold(&mut self, name: &[u8], taken: impl IntoIterator<Item = Unacked>, outcome: Outcome) {
        let Some(gathered) = self.open.get_mut(name) else { return };
        let before = gathered.outcomes.len();
        gathered.outcomes.extend(taken.into_iter().map(|unacked| (unacked, outcome)));
        self.frames += gathered.outcomes.len() - before;
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
        self.check_room(name, 1, bytes)?;
        let bytes = bytes + TX_FRAME_BYTES;
        let gathered = self.open.get_mut(name).ok_or_else(|| unknown(name))?;
        self.frames += 1;
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
        (self.bytes, self.frames) = (0, 0);
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
        let name = name_of(frame)?;
        // ActiveMQ keeps what is refused; RabbitMQ leaves that to the queue.
        let letter_bytes = self.transactions.letter_bytes(&name);
        let keeps_refused = self.settings.dialect == Dialect::ActiveMq && letter_bytes > 0;
        if keeps_refused {
            self.transactions.check_room(&name, 0, letter_bytes)?;
            if !self.has_dead_letters() {
                return Ok(Next::Ask);
            }
        }
        let Gathered { publishes, later, receipts, outcomes, .. } = self.transactions.take(&name)?;
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
        let mut transaction = Transaction { publishes, accepts, later };
        let (rejected, returned): (Vec<_>, Vec<_>) =
            refused.into_iter().partition(|(_, outcome)| keeps_refused && *outcome == Outcome::Reject);
        let rejected: Vec<_> = rejected.into_iter().map(|(unacked, _)| unacked).collect();
        let vhost = Arc::clone(self.session.vhost());
        let committed = self.gather_letters(&rejected, &mut transaction).and_then(|others| {
            let (_, durable) =
                vhost.commit_transaction(&transaction, self.now_ms, &mut self.wakes).map_err(|error| match error {
                    Error::Full => Failure::hard("resource_error", "RESOURCE_ERROR - the disk is full"),
                    error => error.into(),
                })?;
            Ok((others, durable))
        });
        let (others, mut durable) = match committed {
            Ok(committed) => committed,
            Err(failure) => {
                // Nothing has happened. The deliveries are the client's as before, and go back with the connection.
                let all = accepted.into_iter().chain(returned).map(|(unacked, _)| unacked);
                self.unacked.put_back(all.chain(rejected));
                return Err(failure);
            }
        };
        let all = accepted.iter().chain(&returned).map(|(unacked, _)| unacked).chain(&rejected);
        self.credit.add(all.filter(|unacked| unacked.took_credit).count() as i64);
        if !(others.is_empty() && returned.is_empty()) {
            self.settle(others, Outcome::Reject);
            for (unacked, outcome) in returned {
                self.settle([unacked], outcome);
            }
            // Its receipt says that these do not come again either.
            durable = Some(self.session.broker().appended());
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
