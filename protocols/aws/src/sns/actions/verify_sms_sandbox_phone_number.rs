//! `VerifySMSSandboxPhoneNumber`: somebody says the password that a number was sent.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::sms::{number, sandbox};
use crate::sns::{fault, given};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VerifySMSSandboxPhoneNumber<'a> {
    #[serde(borrow, default)]
    phone_number: Cow<'a, str>,
    #[serde(borrow, default)]
    one_time_password: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for VerifySMSSandboxPhoneNumber<'a> {
    const NAME: &'static str = "VerifySMSSandboxPhoneNumber";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let number = number::given(&self.phone_number, "PhoneNumber")?;
        sandbox::check_password(&self.one_time_password)?;
        place::check(call, "SNS:VerifySMSSandboxPhoneNumber", Some(Access::Configure), "*", "sms")?;
        let (broker, account, now_ms) = (&call.edge.broker, &call.caller.account, given::now_ms());
        let short_messages = &call.edge.sns.short_messages;
        let (pending, answer) = short_messages.verify(broker, account, &number, &self.one_time_password, now_ms)?;
        // A wrong guess counts, even if the program stops now.
        pending.wait().await.map_err(fault::of_broker)?;
        answer.map(|()| Reply::Now(Output {}))
    }
}
