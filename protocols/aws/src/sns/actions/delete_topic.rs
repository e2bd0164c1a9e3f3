//! `DeleteTopic`: deletes a topic with its subscriptions. One that is not there is deleted already.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::topic::ARCHIVE_POLICY;
use crate::sns::place::{Intent, Place, topic_arn};
use crate::sns::subscribing::wait;
use crate::sns::{fault, faults, reconcile};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteTopic<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
}

impl<'a> Action<'a> for DeleteTopic<'a> {
    const NAME: &'static str = "DeleteTopic";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        topic_arn(&self.topic_arn, "TopicArn")?;
        let place = match Place::find(call, &self.topic_arn, "TopicArn", Intent::configure("SNS:DeleteTopic")) {
            Ok(place) => place,
            Err(error) if std::ptr::eq(error.fault, &raw const faults::NOT_FOUND) => return Ok(Reply::Now(())),
            Err(error) => return Err(error),
        };
        let (sns, exchange) = (&call.edge.sns, &place.topic.exchange);
        if place.topic.attribute(ARCHIVE_POLICY).is_some() {
            let message = "Cannot delete a topic with an ArchivePolicy";
            return Err(Error::new(&faults::INVALID_STATE, message));
        }
        place.vhost.delete_exchange(exchange.name(), false).await.map_err(fault::of_broker)?;
        sns.topics.forget(&place.topic);
        // Their bindings have gone with it; what is left of them goes now.
        for subscription in sns.subscriptions.of_topic(exchange.id()) {
            let ended = {
                let _one = sns.changes.lock();
                reconcile::end_one(&call.edge, &subscription)
            };
            wait(ended).await?;
        }
        sns.subscriptions.forget_topic(exchange.id());
        Ok(Reply::Now(()))
    }
}
