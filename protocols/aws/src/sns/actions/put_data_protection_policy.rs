//! `PutDataProtectionPolicy`: sets what may not be in a topic's messages, and what is made unreadable in them.

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::place::{Intent, Place};
use crate::sns::subscribing::follow_topic;
use crate::sns::topics::{DATA_PROTECTION_POLICY, annotation};
use crate::sns::{fault, protection};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutDataProtectionPolicy<'a> {
    #[serde(borrow, default)]
    resource_arn: Option<Text<'a>>,
    #[serde(borrow, default)]
    data_protection_policy: Option<Text<'a>>,
}

impl<'a> Action<'a> for PutDataProtectionPolicy<'a> {
    const NAME: &'static str = "PutDataProtectionPolicy";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let arn = self.resource_arn.as_deref().ok_or_else(|| fault::missing("resourceArn"))?;
        let policy = self.data_protection_policy.as_deref().ok_or_else(|| fault::missing("dataProtectionPolicy"))?;
        let place = Place::find(call, arn, "ResourceArn", Intent::configure("SNS:PutDataProtectionPolicy"))?;
        // An empty one takes it away.
        if !policy.is_empty() {
            if place.topic.is_fifo {
                let reason = "DataProtectionPolicy Reason: Message data protection is not supported for FIFO topics";
                return Err(fault::invalid_parameter(reason));
            }
            protection::check(policy)?;
        }
        let pending = place.change(call, |settings| {
            let name = annotation(DATA_PROTECTION_POLICY);
            if policy.is_empty() {
                settings.annotations.remove(&name);
            } else {
                settings.annotations.insert(name, policy.to_owned());
            }
            Ok(())
        })?;
        pending.wait().await.map_err(fault::of_broker)?;
        // It holds for what waits to be delivered, too.
        follow_topic(&call.edge, &place.topic).await?;
        Ok(Reply::Now(()))
    }
}
