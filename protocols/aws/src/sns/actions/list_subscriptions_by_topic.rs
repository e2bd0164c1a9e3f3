//! `ListSubscriptionsByTopic`: the subscriptions to a topic, a hundred a page.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::listed::Listed;
use crate::sns::page;
use crate::sns::place::{Intent, Place};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListSubscriptionsByTopic<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
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

impl<'a> Action<'a> for ListSubscriptionsByTopic<'a> {
    const NAME: &'static str = "ListSubscriptionsByTopic";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::look("SNS:ListSubscriptionsByTopic"))?;
        let (after, topic_id) = (page::after(self.next_token.as_deref())?, place.topic.exchange.id());
        let some = call.edge.sns.subscriptions.some_of_topic(topic_id, after.as_deref(), page::ENTRIES_ASKED);
        let (page, next_token) = page::page(some, |subscription| &subscription.id, None)?;
        let subscriptions = page.iter().map(|subscription| Listed::of(subscription)).collect();
        Ok(Reply::Now(Output { subscriptions, next_token }))
    }
}
