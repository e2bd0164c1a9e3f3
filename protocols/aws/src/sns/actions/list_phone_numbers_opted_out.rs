//! `ListPhoneNumbersOptedOut`: numbers that want no messages, a hundred a page.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::limits::PAGE_ENTRIES;
use crate::sns::page;
use crate::sns::platform::place;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListPhoneNumbersOptedOut<'a> {
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output {
    phone_numbers: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListPhoneNumbersOptedOut<'a> {
    const NAME: &'static str = "ListPhoneNumbersOptedOut";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        place::check(call, "SNS:ListPhoneNumbersOptedOut", None, "*", "sms")?;
        let after = page::after(self.next_token.as_deref())?;
        let short_messages = &call.edge.sns.short_messages;
        let page = short_messages.opted_out(&call.caller.account, after.as_deref(), PAGE_ENTRIES + 1);
        let (phone_numbers, next_token) = page::page(page, |number| number, None)?;
        Ok(Reply::Now(Output { phone_numbers, next_token }))
    }
}
