//! `DeleteMessageBatch`: up to ten messages are done. Each may fail on its own.

use std::borrow::Cow;

use gantry_broker::Wakes;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::batch::{Entries, Told, check_ids};
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::receiving::{deleted, receipt};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteMessageBatch<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    entries: Entries<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    receipt_handle: Option<Text<'a>>,
}

impl<'a> Action<'a> for DeleteMessageBatch<'a> {
    const NAME: &'static str = "DeleteMessageBatch";
    type Output = Told;

    async fn run(self, call: &'a Call) -> Result<Reply<Told>, Error> {
        // Batches have no names of their own in policies.
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:DeleteMessage"))?;
        check_ids(
            self.entries.sent,
            self.entries.iter().map(|entry| entry.id.as_deref()),
            "DeleteMessageBatchRequestEntry",
        )?;
        let mut told = Told::of(self.entries.len());
        let mut asked = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter() {
            let (id, handle) = (entry.id.as_deref().unwrap_or_default(), entry.receipt_handle.as_deref());
            match receipt(&call.edge, &place, handle) {
                Ok(receipt) => asked.push((id, handle.unwrap_or_default(), receipt)),
                Err(error) => told.failed(id, error),
            }
        }
        let receipts: Vec<_> = asked.iter().map(|(_, _, receipt)| *receipt).collect();
        let (said, ticket) = place.queue.remove(&receipts, &mut Wakes::new());
        for ((id, handle, _), said) in asked.into_iter().zip(said) {
            match deleted(&place, handle, said) {
                Ok(()) => told.done(id),
                Err(error) => told.failed(id, error),
            }
        }
        durable(&call.edge.broker, ticket).await?;
        Ok(Reply::Now(told))
    }
}
