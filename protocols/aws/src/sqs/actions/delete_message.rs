//! `DeleteMessage`: a message is done. It is certain when this answers.

use std::borrow::Cow;

use gantry_broker::{Receipted, Wakes};
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::receiving::{deleted, receipt};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteMessage<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    receipt_handle: Option<Text<'a>>,
}

impl<'a> Action<'a> for DeleteMessage<'a> {
    const NAME: &'static str = "DeleteMessage";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:DeleteMessage"))?;
        let handle = self.receipt_handle.as_deref();
        let receipt = receipt(&call.edge, &place, handle)?;
        let (said, ticket) = place.queue.remove(&[receipt], &mut Wakes::new());
        let said = said.first().copied().unwrap_or(Receipted::NotThere);
        deleted(&place, handle.unwrap_or_default(), said)?;
        durable(&call.edge.broker, ticket).await?;
        Ok(Reply::Now(()))
    }
}
