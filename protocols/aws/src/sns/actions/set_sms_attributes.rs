//! `SetSMSAttributes`: sets what counts for short messages that do not say it themselves.

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::sms::attributes;
use crate::sns::{fault, given};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
pub(super) struct SetSMSAttributes<'a> {
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for SetSMSAttributes<'a> {
    const NAME: &'static str = "SetSMSAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        place::check(call, "SNS:SetSMSAttributes", Some(Access::Configure), "*", "sms")?;
        let given = given::map(Some(self.attributes.ok_or_else(|| fault::missing("attributes"))?));
        attributes::check(&given)?;
        let pending = call.edge.sns.short_messages.set(&call.edge.broker, &call.caller.account, given)?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output {}))
    }
}
