//! `ListQueueTags`: the tags of a queue.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::pairs::Pairs;
use crate::sqs::place::{Intent, Place};
use crate::sqs::tags;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListQueueTags<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    tags: Pairs<'static, String>,
}

impl<'a> Action<'a> for ListQueueTags<'a> {
    const NAME: &'static str = "ListQueueTags";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::look("sqs:ListQueueTags"))?;
        let owned = |(key, value): (&str, &str)| (key.to_owned().into(), value.to_owned());
        Ok(Reply::Now(Output { tags: Pairs(tags::all(&place.profile.settings).map(owned).collect()) }))
    }
}
