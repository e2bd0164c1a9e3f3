//! `OptInPhoneNumber`: a number gets messages again.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::sms::number;
use crate::sns::{fault, given};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OptInPhoneNumber<'a> {
    #[serde(borrow, default)]
    phone_number: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for OptInPhoneNumber<'a> {
    const NAME: &'static str = "OptInPhoneNumber";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let number = number::given(&self.phone_number, "PhoneNumber")?;
        place::check(call, "SNS:OptInPhoneNumber", Some(Access::Configure), "*", "sms")?;
        let (broker, account) = (&call.edge.broker, &call.caller.account);
        let pending = call.edge.sns.short_messages.opt_in(broker, account, &number, given::now_ms())?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output {}))
    }
}
