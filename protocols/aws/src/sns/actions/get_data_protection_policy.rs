//! `GetDataProtectionPolicy`: what may not be in a topic's messages, as it was set.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::fault;
use crate::sns::place::{Intent, Place};
use crate::sns::topics::DATA_PROTECTION_POLICY;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetDataProtectionPolicy<'a> {
    #[serde(borrow, default)]
    resource_arn: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    data_protection_policy: String,
}

impl<'a> Action<'a> for GetDataProtectionPolicy<'a> {
    const NAME: &'static str = "GetDataProtectionPolicy";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let arn = self.resource_arn.as_deref().ok_or_else(|| fault::missing("resourceArn"))?;
        let place = Place::find(call, arn, "ResourceArn", Intent::look("SNS:GetDataProtectionPolicy"))?;
        let policy = place.topic.attribute(DATA_PROTECTION_POLICY).unwrap_or_default();
        Ok(Reply::Now(Output { data_protection_policy: policy.to_owned() }))
    }
}
