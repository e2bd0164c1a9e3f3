//! `SendMessage`: puts a message into a queue. It is on stable storage when this answers.

use std::borrow::Cow;

use gantry_broker::Wakes;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::message_attributes::AttributeValue;
use crate::sqs::pairs::{Pairs, Text};
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::sending::{self, Entry, Told};
use crate::stats::Stats;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendMessage<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    message_body: Option<Text<'a>>,
    #[serde(default)]
    delay_seconds: Option<i64>,
    #[serde(borrow, default)]
    message_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    message_system_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    message_deduplication_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    message_group_id: Option<Text<'a>>,
}

impl<'a> Action<'a> for SendMessage<'a> {
    const NAME: &'static str = "SendMessage";
    type Output = Told;

    async fn run(self, call: &'a Call) -> Result<Reply<Told>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::write("sqs:SendMessage"))?;
        let entry = Entry {
            id: None,
            message_body: self.message_body,
            delay_seconds: self.delay_seconds,
            message_attributes: self.message_attributes,
            message_system_attributes: self.message_system_attributes,
            message_deduplication_id: self.message_deduplication_id,
            message_group_id: self.message_group_id,
        };
        sending::room(call).await?;
        let (told, ticket) = {
            let ready = sending::check(&place, &entry, "")?;
            sending::check_size(call, &place, &ready)?;
            sending::send(call, &place, &ready, &mut Wakes::new())?
        };
        durable(&call.edge.broker, ticket).await?;
        Stats::add(&call.edge.stats.confirmed, 1);
        Ok(Reply::Now(told))
    }
}
