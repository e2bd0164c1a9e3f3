//! `GetSMSSandboxAccountStatus`: whether messages go to numbers that were verified only.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;

#[derive(Deserialize)]
pub(super) struct GetSMSSandboxAccountStatus<'a> {
    #[serde(skip)]
    request: PhantomData<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    is_in_sandbox: bool,
}

impl<'a> Action<'a> for GetSMSSandboxAccountStatus<'a> {
    const NAME: &'static str = "GetSMSSandboxAccountStatus";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let Self { request: PhantomData } = self;
        place::check(call, "SNS:GetSMSSandboxAccountStatus", None, "*", "sms")?;
        Ok(Reply::Now(Output { is_in_sandbox: call.edge.settings.sns.sms.is_in_sandbox }))
    }
}
