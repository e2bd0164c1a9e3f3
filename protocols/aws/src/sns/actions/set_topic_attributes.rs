//! `SetTopicAttributes`: changes one thing that is set on a topic. It holds at once.

use std::borrow::Cow;

use gantry_broker::ExchangeSettings;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::topic::{self, ARCHIVE_POLICY};
use crate::sns::place::{Intent, Place};
use crate::sns::subscribing::{follow_topic, wait};
use crate::sns::topics::annotation;
use crate::sns::{archive, fault, faults};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetTopicAttributes<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    attribute_name: Cow<'a, str>,
    #[serde(borrow, default)]
    attribute_value: Option<Text<'a>>,
}

impl<'a> Action<'a> for SetTopicAttributes<'a> {
    const NAME: &'static str = "SetTopicAttributes";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::configure("SNS:SetTopicAttributes"))?;
        let (name, value) = (&*self.attribute_name, self.attribute_value.as_deref().unwrap_or_default());
        let change = |settings: &mut ExchangeSettings| topic::apply(name, value, settings);
        let change = |settings: &mut ExchangeSettings| {
            change(settings)?;
            let is_archived = settings.annotations.contains_key(&annotation(ARCHIVE_POLICY));
            if name == ARCHIVE_POLICY && !is_archived && archive::is_replayed(&call.edge, &place.topic.exchange) {
                // What came since it began is nowhere else.
                let message = "Cannot deactivate an ArchivePolicy while a replay is in progress";
                return Err(Error::new(&faults::INVALID_STATE, message));
            }
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(fault::of_broker)?;
        if name == ARCHIVE_POLICY {
            wait(archive::follow(&call.edge, &place.vhost, &place.topic.exchange).map_err(fault::of_broker)?).await?;
        }
        // How messages are delivered may be another way now.
        follow_topic(&call.edge, &place.topic).await?;
        Ok(Reply::Now(()))
    }
}
