//! `ChangeMessageVisibilityBatch`: up to ten messages are somebody's for longer, or for no longer. Each may fail on its own.

use std::borrow::Cow;

use gantry_broker::{Receipt, Wakes};
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::batch::{Entries, Told, check_ids};
use crate::sqs::fault;
use crate::sqs::limits::VISIBILITY_S_MAX;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::receiving::{changed, receipt, visibility_ms};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeMessageVisibilityBatch<'a> {
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
    #[serde(default)]
    visibility_timeout: Option<i64>,
}

impl<'a> Action<'a> for ChangeMessageVisibilityBatch<'a> {
    const NAME: &'static str = "ChangeMessageVisibilityBatch";
    type Output = Told;

    async fn run(self, call: &'a Call) -> Result<Reply<Told>, Error> {
        // Batches have no names of their own in policies.
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:ChangeMessageVisibility"))?;
        let ids = self.entries.iter().map(|entry| entry.id.as_deref());
        check_ids(self.entries.sent, ids, "ChangeMessageVisibilityBatchRequestEntry")?;
        let mut told = Told::of(self.entries.len());
        let mut asked = Vec::with_capacity(self.entries.len());
        for entry in self.entries.iter() {
            match read(call, &place, entry) {
                Ok(ask) => asked.push((entry, ask)),
                Err(error) => told.failed(entry.id.as_deref().unwrap_or_default(), error),
            }
        }
        let asks: Vec<_> = asked.iter().map(|(_, ask)| *ask).collect();
        let said = place.queue.extend(&asks, VISIBILITY_S_MAX * 1000, &mut Wakes::new());
        for ((entry, _), said) in asked.into_iter().zip(said) {
            let (id, handle) = (entry.id.as_deref().unwrap_or_default(), entry.receipt_handle.as_deref());
            let seconds = entry.visibility_timeout.unwrap_or_default();
            match changed(&place, handle.unwrap_or_default(), seconds, said) {
                Ok(()) => told.done(id),
                Err(error) => told.failed(id, error),
            }
        }
        if told.any_done() {
            durable(&call.edge.broker, Some(call.edge.broker.appended())).await?;
        }
        Ok(Reply::Now(told))
    }
}

fn read(call: &Call, place: &Place, entry: &Entry<'_>) -> Result<(Receipt, u64), Error> {
    let receipt = receipt(&call.edge, place, entry.receipt_handle.as_deref())?;
    let seconds = entry.visibility_timeout.ok_or_else(|| fault::missing_parameter("VisibilityTimeout"))?;
    Ok((receipt, visibility_ms(seconds)?))
}
