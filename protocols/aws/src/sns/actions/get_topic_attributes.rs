//! `GetTopicAttributes`: what is set on a topic, and how many subscriptions it has.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::date;
use crate::error::Error;
use crate::sns::archive;
use crate::sns::attributes::topic_told::told;
use crate::sns::place::{Intent, Place};
use crate::sqs::pairs::Pairs;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetTopicAttributes<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    attributes: Pairs<'static, String>,
}

impl<'a> Action<'a> for GetTopicAttributes<'a> {
    const NAME: &'static str = "GetTopicAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::look("SNS:GetTopicAttributes"))?;
        let counts = call.edge.sns.subscriptions.counts(place.topic.exchange.id());
        let mut attributes = told(&place.topic, &counts);
        if let Some(begins_ms) = archive::begins_ms(&place.vhost, &place.topic.exchange) {
            attributes.push("BeginningArchiveTime", date::iso_ms(begins_ms));
        }
        Ok(Reply::Now(Output { attributes }))
    }
}
