//! `ListTagsForResource`: the tags of a topic.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::place::{Intent, Place};
use crate::sns::tags::{self, Told};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTagsForResource<'a> {
    #[serde(borrow, default)]
    resource_arn: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    tags: Vec<Told>,
}

impl<'a> Action<'a> for ListTagsForResource<'a> {
    const NAME: &'static str = "ListTagsForResource";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::tagged(call, &self.resource_arn, Intent::look("SNS:ListTagsForResource"))?;
        Ok(Reply::Now(Output { tags: tags::all(&place.topic.settings).collect() }))
    }
}
