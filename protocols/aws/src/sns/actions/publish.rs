//! `Publish`: sends a message to all subscriptions of a topic, or to one endpoint. It is on stable storage when this answers.

use gantry_broker::Wakes;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::message::{AttributeValue, id};
use crate::sns::direct::{self, Target};
use crate::sns::fault;
use crate::sns::place::{Intent, Place};
use crate::sns::publishing::{self, Entry, Ready, Told};
use crate::sqs::pairs::{Pairs, Text};
use crate::stats::Stats;
use crate::waits::durable;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Publish<'a> {
    #[serde(borrow, default)]
    topic_arn: Option<Text<'a>>,
    #[serde(borrow, default)]
    target_arn: Option<Text<'a>>,
    #[serde(borrow, default)]
    phone_number: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    message_structure: Option<Text<'a>>,
    #[serde(borrow, default)]
    message_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    message_deduplication_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    message_group_id: Option<Text<'a>>,
}

impl<'a> Action<'a> for Publish<'a> {
    const NAME: &'static str = "Publish";
    type Output = Told;

    async fn run(self, call: &'a Call) -> Result<Reply<Told>, Error> {
        let entry = Entry {
            id: None,
            message: self.message,
            subject: self.subject,
            message_structure: self.message_structure,
            message_attributes: self.message_attributes,
            message_deduplication_id: self.message_deduplication_id,
            message_group_id: self.message_group_id,
        };
        if entry.message.is_none() {
            return Err(fault::missing("message"));
        }
        let ready = publishing::check(&entry, None)?;
        let (arn, phone) = (self.topic_arn.as_deref().or(self.target_arn.as_deref()), self.phone_number.as_deref());
        let told = match (arn, phone) {
            (None, Some(phone)) => to_one(call, Target::Phone(phone), ready, &entry).await?,
            (Some(arn), None) if self.topic_arn.is_none() && arn.contains(":endpoint/") => {
                to_one(call, Target::Endpoint(arn), ready, &entry).await?
            }
            (Some(arn), None) => to_topic(call, arn, ready, &entry).await?,
            (None, None) => {
                return Err(fault::invalid_parameter("TopicArn or TargetArn Reason: no value for required parameter"));
            }
            (Some(_), Some(_)) => {
                return Err(fault::invalid_parameter(
                    "PhoneNumber Reason: Only one of TopicArn, TargetArn and PhoneNumber can be given",
                ));
            }
        };
        Ok(Reply::Now(told))
    }
}

async fn to_topic(call: &Call, arn: &str, mut ready: Ready<'_>, entry: &Entry<'_>) -> Result<Told, Error> {
    let place = Place::find(call, arn, "TopicArn", Intent::write("SNS:Publish"))?;
    ready.check_for(&place, entry)?;
    publishing::room(call).await?;
    let (told, ticket) = publishing::publish(call, &place, &mut ready, &mut Wakes::new())?;
    durable(&call.edge.broker, ticket).await?;
    Stats::add(&call.edge.stats.confirmed, 1);
    Ok(told)
}

async fn to_one(call: &Call, target: Target<'_>, mut ready: Ready<'_>, entry: &Entry<'_>) -> Result<Told, Error> {
    ready.check_alone(entry)?;
    publishing::room(call).await?;
    let id = call.edge.sqs.ids.next();
    direct::publish(call, target, &ready, id).await?;
    Ok(Told { message_id: id::text(&id), sequence_number: None })
}
