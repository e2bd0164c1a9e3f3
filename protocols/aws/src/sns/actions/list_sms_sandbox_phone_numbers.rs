//! `ListSMSSandboxPhoneNumbers`: numbers in the sandbox, and how far they are.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place;
use crate::sns::{fault, page};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSMSSandboxPhoneNumbers<'a> {
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
    #[serde(default)]
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    phone_number: Arc<str>,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    phone_numbers: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListSMSSandboxPhoneNumbers<'a> {
    const NAME: &'static str = "ListSMSSandboxPhoneNumbers";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let entries_max = match self.max_results {
            None => 100,
            Some(number) => usize::try_from(number)
                .ok()
                .filter(|number| (1..=100).contains(number))
                .ok_or_else(|| fault::invalid_parameter("MaxResults"))?,
        };
        place::check(call, "SNS:ListSMSSandboxPhoneNumbers", None, "*", "sms")?;
        let all = call.edge.sns.short_messages.sandbox(&call.caller.account);
        let (page, next_token) = page::page_of(all, |(number, _)| number, self.next_token.as_deref(), entries_max)?;
        let listed = page.into_iter().map(|(phone_number, status)| Listed { phone_number, status });
        Ok(Reply::Now(Output { phone_numbers: listed.collect(), next_token }))
    }
}
