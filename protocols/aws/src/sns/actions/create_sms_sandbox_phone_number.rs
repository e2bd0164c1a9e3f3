//! `CreateSMSSandboxPhoneNumber`: puts a number into the sandbox, and sends it the password that verifies it.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::direct::{self, Target};
use crate::sns::platform::place;
use crate::sns::publishing::{self, Entry};
use crate::sns::sms::{number, sandbox};
use crate::sns::{fault, given};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateSMSSandboxPhoneNumber<'a> {
    #[serde(borrow, default)]
    phone_number: Cow<'a, str>,
    #[serde(borrow, default)]
    language_code: Option<Text<'a>>,
}

#[derive(Serialize)]
pub(super) struct Output {}

impl<'a> Action<'a> for CreateSMSSandboxPhoneNumber<'a> {
    const NAME: &'static str = "CreateSMSSandboxPhoneNumber";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let number = number::given(&self.phone_number, "PhoneNumber")?;
        place::check(call, "SNS:CreateSMSSandboxPhoneNumber", Some(Access::Configure), "*", "sms")?;
        let random = getrandom::u64().map_err(|error| Error::internal(&error))?;
        let password = format!("{:06}", random % 1_000_000);
        let message = sandbox::message(&password, self.language_code.as_deref())?;
        let (broker, account) = (&call.edge.broker, &call.caller.account);
        let pending = call.edge.sns.short_messages.ask(broker, account, &number, password, given::now_ms())?;
        pending.wait().await.map_err(fault::of_broker)?;
        let entry = Entry { message: Some(Text(message.into())), ..Entry::default() };
        let ready = publishing::check(&entry, None)?;
        direct::publish(call, Target::Phone(&number), &ready, call.edge.sqs.ids.next()).await?;
        Ok(Reply::Now(Output {}))
    }
}
