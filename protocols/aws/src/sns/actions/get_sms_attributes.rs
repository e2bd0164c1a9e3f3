//! `GetSMSAttributes`: what counts for short messages that do not say it themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::sms::attributes;
use crate::sqs::pairs::{List, Text};

#[derive(Deserialize)]
pub(super) struct GetSMSAttributes<'a> {
    #[serde(borrow, default)]
    attributes: List<Text<'a>, NAMES_MAX>,
}

/// More names than there are.
const NAMES_MAX: usize = 16;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    attributes: BTreeMap<String, String>,
}

impl<'a> Action<'a> for GetSMSAttributes<'a> {
    const NAME: &'static str = "GetSMSAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        place::check(call, "SNS:GetSMSAttributes", None, "*", "sms")?;
        let set = call.edge.sns.short_messages.attributes(&call.caller.account);
        let names: Vec<&str> = self.attributes.iter().map(|name| &**name).collect();
        Ok(Reply::Now(Output { attributes: attributes::told(&set, &names) }))
    }
}
