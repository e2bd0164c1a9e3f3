//! SEND to several destinations: one record of the journal has all of them, so that a crash leaves all or none.

use std::sync::Arc;

use gantry_broker::{Error, Message, Route, Transaction};

use crate::client::{Client, Next};
use crate::error::Failure;

impl Client {
    /// Publishes one message for each part, together.
    pub(crate) fn publish_together(
        &mut self,
        publishes: Vec<(Arc<Route>, Arc<Message>)>,
        receipt: Option<&[u8]>,
    ) -> Result<Next, Failure> {
        let count = publishes.len() as u64;
        let transaction = Transaction { publishes, ..Transaction::default() };
        let vhost = Arc::clone(self.session.vhost());
        match vhost.commit_transaction(&transaction, self.now_ms, &mut self.wakes) {
            Ok((_, durable)) => {
                self.published += count;
                if let Some(receipt) = receipt {
                    self.receipts.add(receipt, self.version, durable, true);
                }
                Ok(Next::Answered)
            }
            Err(Error::TransactionRefused) => {
                Err(Failure::soft("Message refused", "A queue has no room for the message\n"))
            }
            Err(error) => Err(error.into()),
        }
    }
}
