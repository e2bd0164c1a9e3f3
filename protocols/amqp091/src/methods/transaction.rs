//! Class tx.

use std::sync::Arc;

use gantry_broker::{Error, Lease, Outcome, Queue};

use crate::channel::{Mode, Tx};
use crate::codec::ReplyCode;
use crate::codec::methods as m;
use crate::error::Failure;
use crate::session::Client;

impl Client {
    pub(super) fn tx_select(&mut self, channel: u16) -> Result<(), Failure> {
        let Some(open) = self.open_channel(channel)? else { return Ok(()) };
        match open.mode {
            Mode::Plain => open.mode = Mode::Tx(Box::default()),
            Mode::Tx(_) => {}
            Mode::Confirm { .. } => {
                return Err(Failure::new(ReplyCode::PreconditionFailed, "cannot switch from confirm to tx mode"));
            }
        }
        self.send(channel, m::TxSelectOk {});
        Ok(())
    }

    fn take_tx(&mut self, channel: u16) -> Result<Tx, Failure> {
        let Some(Mode::Tx(tx)) = self.open_channel(channel)?.map(|open| &mut open.mode) else {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "channel is not transactional"));
        };
        let tx = std::mem::take(&mut **tx);
        self.tx_bytes -= tx.bytes;
        Ok(tx)
    }

    /// Everything at once, and answered when it is on stable storage.
    pub(super) async fn tx_commit(&mut self, channel: u16) -> Result<(), Failure> {
        let mut tx = self.take_tx(channel)?;
        let mut consumed = 0;
        let mut accepts: Vec<(Arc<Queue>, Vec<Lease>)> = Vec::new();
        for unacked in tx.accepted {
            consumed += i64::from(unacked.consumed);
            match accepts.iter_mut().find(|(queue, _)| Arc::ptr_eq(queue, &unacked.queue)) {
                Some((_, leases)) => leases.push(unacked.lease),
                None => accepts.push((unacked.queue, vec![unacked.lease])),
            }
        }
        tx.transaction.accepts = accepts;
        let vhost = self.session.vhost().clone();
        let (routed, durable) = match vhost.commit_transaction(&tx.transaction, self.now_ms, &mut self.wakes) {
            Ok(committed) => committed,
            Err(error) => {
                // Nothing has happened; the deliveries go back with the channel, as every failure ends it.
                for (queue, leases) in tx.transaction.accepts {
                    queue.settle(&leases, Outcome::Retry, &mut self.wakes);
                }
                self.settle(tx.refusals.into_iter().map(|(unacked, _)| unacked), Outcome::Retry);
                return Err(match error {
                    Error::Full => Failure::new(ReplyCode::ResourceError, "the disk is full"),
                    error => error.into(),
                });
            }
        };
        for (unacked, outcome) in tx.refusals {
            consumed += i64::from(unacked.consumed);
            self.settle([unacked], outcome);
        }
        for index in tx.mandatory {
            if routed.get(index) == Some(&0) {
                let (_, message) = &tx.transaction.publishes[index];
                self.give_back(channel, message);
            }
        }
        if let Some(open) = self.open_channel(channel)? {
            open.credit.add(consumed);
        }
        self.resume_starved(channel);
        self.wakes.wake();
        if let Some(ticket) = durable {
            let mut watermark = self.session.broker().watch_durable();
            // The sender goes when the journal has failed; then nothing is promised any more.
            watermark
                .wait_for(|durable| *durable >= ticket)
                .await
                .map_err(|_| Error::Storage("the journal failed".into()))?;
        }
        self.send(channel, m::TxCommitOk {});
        Ok(())
    }

    pub(super) fn tx_rollback(&mut self, channel: u16) -> Result<(), Failure> {
        let tx = self.take_tx(channel)?;
        // Publishes are forgotten; acknowledgements were never said, the deliveries are as they were.
        if let Some(open) = self.open_channel(channel)? {
            let refused = tx.refusals.into_iter().map(|(unacked, _)| unacked);
            let mut back: Vec<_> = tx.accepted.into_iter().chain(refused).collect();
            open.unacked.take_up_to(0, |unacked| back.push(unacked));
            back.sort_unstable_by_key(|unacked| unacked.tag);
            for unacked in back {
                open.unacked.push(unacked);
            }
        }
        self.send(channel, m::TxRollbackOk {});
        Ok(())
    }
}
