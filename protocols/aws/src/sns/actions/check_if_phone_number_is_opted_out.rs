//! `CheckIfPhoneNumberIsOptedOut`: whether the holder of a number wants no messages.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::sms::number;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CheckIfPhoneNumberIsOptedOut<'a> {
    #[serde(borrow, default)]
    phone_number: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    is_opted_out: bool,
}

impl<'a> Action<'a> for CheckIfPhoneNumberIsOptedOut<'a> {
    const NAME: &'static str = "CheckIfPhoneNumberIsOptedOut";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let number = number::given(&self.phone_number, "PhoneNumber")?;
        place::check(call, "SNS:CheckIfPhoneNumberIsOptedOut", None, "*", "sms")?;
        let is_opted_out = call.edge.sns.short_messages.has_opted_out(&call.caller.account, &number);
        Ok(Reply::Now(Output { is_opted_out }))
    }
}
