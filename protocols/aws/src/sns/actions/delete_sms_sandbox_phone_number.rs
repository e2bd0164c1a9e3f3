//! `DeleteSMSSandboxPhoneNumber`: takes a number out of the sandbox.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::fault;
use crate::sns::platform::place;
use crate::sns::sms::number;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteSMSSandboxPhoneNumber<'a> {
    #[serde(borrow, default)]
    phone_number: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for DeleteSMSSandboxPhoneNumber<'a> {
    const NAME: &'static str = "DeleteSMSSandboxPhoneNumber";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let number = number::given(&self.phone_number, "PhoneNumber")?;
        place::check(call, "SNS:DeleteSMSSandboxPhoneNumber", Some(Access::Configure), "*", "sms")?;
        let (broker, account) = (&call.edge.broker, &call.caller.account);
        let pending = call.edge.sns.short_messages.forget(broker, account, &number)?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output {}))
    }
}
