//! `ListOriginationNumbers`: numbers that messages come from, which the configuration names.

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
pub(super) struct ListOriginationNumbers<'a> {
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
    route_type: &'static str,
    number_capabilities: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    phone_numbers: Vec<Listed>,
}

impl<'a> Action<'a> for ListOriginationNumbers<'a> {
    const NAME: &'static str = "ListOriginationNumbers";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let entries_max = match self.max_results {
            None => 30,
            Some(number) => usize::try_from(number)
                .ok()
                .filter(|number| (1..=30).contains(number))
                .ok_or_else(|| fault::invalid_parameter("MaxResults"))?,
        };
        place::check(call, "SNS:ListOriginationNumbers", None, "*", "sms")?;
        let mut all: Vec<&Arc<str>> = call.edge.settings.sns.sms.origination_numbers.iter().collect();
        all.sort_unstable();
        let (page, next_token) = page::page_of(all, |number| number, self.next_token.as_deref(), entries_max)?;
        let listed = page.into_iter().map(|number| Listed {
            phone_number: Arc::clone(number),
            status: "ACTIVE",
            route_type: "Transactional",
            number_capabilities: ["SMS"],
        });
        Ok(Reply::Now(Output { next_token, phone_numbers: listed.collect() }))
    }
}
