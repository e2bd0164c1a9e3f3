//! `GetQueueUrl`: the URL of a queue by its name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::{Error, faults};

/// Asks for the URL of a queue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueUrl<'a> {
    #[serde(borrow)]
    queue_name: Cow<'a, str>,
}

/// Where it is.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    queue_url: String,
}

impl<'a> Action<'a> for GetQueueUrl<'a> {
    const NAME: &'static str = "GetQueueUrl";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let vhost = call.vhost()?;
        if vhost.queue_of_anyone(&self.queue_name).is_err() {
            return Err(Error::new(&faults::QUEUE_DOES_NOT_EXIST, "The specified queue does not exist."));
        }
        Ok(Reply::Now(Output { queue_url: call.queue_url(&call.caller.account, &self.queue_name) }))
    }
}
