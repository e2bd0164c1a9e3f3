//! `TagResource`: puts tags on a topic.

use std::borrow::Cow;

use gantry_broker::ExchangeSettings;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::fault;
use crate::sns::place::{Intent, Place};
use crate::sns::tags::{self, Given};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResource<'a> {
    #[serde(borrow, default)]
    resource_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    tags: Vec<Given<'a>>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for TagResource<'a> {
    const NAME: &'static str = "TagResource";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::tagged(call, &self.resource_arn, Intent::configure("SNS:TagResource"))?;
        let change = |settings: &mut ExchangeSettings| tags::add(settings, &self.tags);
        place.change(call, change)?.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output {}))
    }
}
