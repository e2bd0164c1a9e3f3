//! `RemovePermission`: takes a statement out of a topic's policy.

use std::borrow::Cow;

use gantry_broker::ExchangeSettings;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::topic::POLICY;
use crate::sns::place::{Intent, Place};
use crate::sns::topics::annotation;
use crate::sns::{fault, policy};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemovePermission<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Cow<'a, str>,
}

impl<'a> Action<'a> for RemovePermission<'a> {
    const NAME: &'static str = "RemovePermission";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::configure("SNS:RemovePermission"))?;
        if self.label.is_empty() {
            return Err(fault::missing("label"));
        }
        let change = |settings: &mut ExchangeSettings| {
            if let Some(policy) = settings.annotations.get_mut(&annotation(POLICY)) {
                *policy = policy::without(policy, &self.label)?;
            }
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(()))
    }
}
