//! `GetQueueUrl`: the URL of a queue by its name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueUrl<'a> {
    #[serde(borrow, default)]
    queue_name: Cow<'a, str>,
    #[serde(borrow, default, rename = "QueueOwnerAWSAccountId")]
    owner: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    queue_url: String,
}

impl<'a> Action<'a> for GetQueueUrl<'a> {
    const NAME: &'static str = "GetQueueUrl";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        if self.queue_name.is_empty() {
            return Err(fault::missing_parameter("QueueName"));
        }
        let account = self.owner.as_deref().unwrap_or(&call.caller.account);
        let place = Place::named(call, account, &self.queue_name, Intent::look("sqs:GetQueueUrl"))?;
        Ok(Reply::Now(Output { queue_url: place.url(call) }))
    }
}
