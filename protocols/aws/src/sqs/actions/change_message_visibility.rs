//! `ChangeMessageVisibility`: a message is somebody's for longer, or for no longer. It is certain when this answers.

use std::borrow::Cow;

use gantry_broker::{Receipted, Wakes};
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::limits::VISIBILITY_S_MAX;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::receiving::{changed, receipt, visibility_ms};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeMessageVisibility<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    receipt_handle: Option<Text<'a>>,
    #[serde(default)]
    visibility_timeout: Option<i64>,
}

impl<'a> Action<'a> for ChangeMessageVisibility<'a> {
    const NAME: &'static str = "ChangeMessageVisibility";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:ChangeMessageVisibility"))?;
        let handle = self.receipt_handle.as_deref();
        let seconds = self.visibility_timeout.ok_or_else(|| fault::missing_parameter("VisibilityTimeout"))?;
        let receipt = receipt(&call.edge, &place, handle)?;
        let asked = [(receipt, visibility_ms(seconds)?)];
        let said = place.queue.extend(&asked, VISIBILITY_S_MAX * 1000, &mut Wakes::new());
        let said = said.first().copied().unwrap_or(Receipted::NotThere);
        changed(&place, handle.unwrap_or_default(), seconds, said)?;
        durable(&call.edge.broker, Some(call.edge.broker.appended())).await?;
        Ok(Reply::Now(()))
    }
}
