//! `GetQueueAttributes`: what is set on a queue, and how full it is.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::attributes::{Counts, told};
use crate::sqs::pairs::{Pairs, Text};
use crate::sqs::place::{Intent, Place};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    attribute_names: Option<Vec<Text<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    attributes: Pairs<'static, String>,
}

impl<'a> Action<'a> for GetQueueAttributes<'a> {
    const NAME: &'static str = "GetQueueAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::look("sqs:GetQueueAttributes"))?;
        let wanted = self.attribute_names.iter().flatten().map(|name| &**name);
        let counts = || {
            let status = place.queue.status();
            // What no queue for dead letters takes is the source's, as long as that lasts.
            let visible = status.ready.saturating_sub(status.delayed) + status.redriving;
            Counts { visible, in_flight: status.unacked, delayed: status.delayed }
        };
        let told = told(wanted, &place.profile.settings, &place.arn(call), counts)?;
        let attributes = Pairs(told.into_iter().map(|(name, value)| (name.into(), value)).collect());
        Ok(Reply::Now(Output { attributes }))
    }
}
