//! `UntagResource`: takes tags off a topic. That one is not there is no error.

use std::borrow::Cow;

use gantry_broker::ExchangeSettings;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::place::{Intent, Place};
use crate::sns::{fault, tags};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResource<'a> {
    #[serde(borrow, default)]
    resource_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    tag_keys: Vec<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for UntagResource<'a> {
    const NAME: &'static str = "UntagResource";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::tagged(call, &self.resource_arn, Intent::configure("SNS:UntagResource"))?;
        let change = |settings: &mut ExchangeSettings| {
            self.tag_keys.iter().for_each(|key| tags::remove(settings, key));
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output {}))
    }
}
