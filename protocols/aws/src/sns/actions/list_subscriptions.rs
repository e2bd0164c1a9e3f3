//! `ListSubscriptions`: the caller's subscriptions, a hundred a page.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::listed::Listed;
use crate::sns::page;
use crate::sns::subscriptions::Subscription;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSubscriptions<'a> {
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    subscriptions: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListSubscriptions<'a> {
    const NAME: &'static str = "ListSubscriptions";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        call.vhost()?;
        let caller = &call.caller;
        let after = page::after(self.next_token.as_deref())?;
        // Not those to topics that the caller may not know of.
        let is_told = |subscription: &Subscription| {
            *subscription.owner == *caller.account
                && (*subscription.account != *caller.account || caller.may_look(&subscription.topic))
        };
        let some = call.edge.sns.subscriptions.some(after.as_deref(), page::ENTRIES_ASKED, is_told);
        let (page, next_token) = page::page(some, |subscription| &subscription.id, None)?;
        let subscriptions = page.iter().map(|subscription| Listed::of(subscription)).collect();
        Ok(Reply::Now(Output { subscriptions, next_token }))
    }
}
