//! `CreateTopic`: makes a topic, or finds one that is as it is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::rights::Access;
use gantry_broker::vhost::Exchange;
use gantry_broker::{ExchangeSettings, VirtualHost};
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::iam::Decision;
use crate::sns::attributes::topic::{self, FIFO_TOPIC};
use crate::sns::attributes::topic_told::is_same;
use crate::sns::subscribing::wait;
use crate::sns::tags::{self, Given};
use crate::sns::topics::{self, Topic, annotation};
use crate::sns::{archive, fault, names, place, protection};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateTopic<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
    #[serde(borrow, default)]
    tags: Option<Vec<Given<'a>>>,
    #[serde(borrow, default)]
    data_protection_policy: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    topic_arn: String,
}

impl<'a> Action<'a> for CreateTopic<'a> {
    const NAME: &'static str = "CreateTopic";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let (name, account) = (&*self.name, &*call.caller.account);
        let given = self.attributes.clone().unwrap_or_default();
        let is_fifo = topic::is_fifo(&given)?;
        names::check_topic_name(name, is_fifo)?;
        let vhost = call.vhost()?;
        let arn = Arn::topic(&call.region, account, name).to_string();
        if !call.caller.may(Access::Configure, name) {
            return Err(place::denied(call, "SNS:CreateTopic", &arn, Decision::Silent));
        }
        let settings = self.settings(call, &given, is_fifo)?;
        // Of several who create it at once, the others find what the first has made.
        let (topic, pending) = {
            let _one = call.edge.sns.changes.lock();
            let declared = vhost.declare_exchange_with(name, topics::options(), settings.clone());
            let (exchange, is_new, pending) = declared.map_err(fault::of_broker)?;
            let topic = found(call, &vhost, &exchange)?;
            if !is_new {
                self.check_same(&given, &settings, &topic.settings)?;
            }
            (topic, pending)
        };
        pending.wait().await.map_err(fault::of_broker)?;
        wait(archive::follow(&call.edge, &vhost, &topic.exchange).map_err(fault::of_broker)?).await?;
        Ok(Reply::Now(Output { topic_arn: topic.arn.to_string() }))
    }
}

impl CreateTopic<'_> {
    /// The settings of a topic that is new.
    fn settings(&self, call: &Call, given: &Pairs<'_, Text<'_>>, is_fifo: bool) -> Result<ExchangeSettings, Error> {
        let mut settings = ExchangeSettings::default();
        topics::set_region(&mut settings, &call.region);
        topic::set_usual(&mut settings, is_fifo);
        for (name, value) in given.iter().filter(|(name, _)| *name != FIFO_TOPIC) {
            topic::apply(name, value, &mut settings)?;
        }
        tags::add(&mut settings, self.tags.as_deref().unwrap_or_default())?;
        if let Some(policy) = self.data_protection_policy.as_deref().filter(|policy| !policy.is_empty()) {
            if is_fifo {
                return Err(fault::invalid_parameter(
                    "DataProtectionPolicy Reason: Message data protection is not supported for FIFO topics",
                ));
            }
            protection::check(policy)?;
            settings.annotations.insert(annotation("DataProtectionPolicy"), policy.to_owned());
        }
        Ok(settings)
    }

    /// Checks that a topic that is there has what is asked for.
    fn check_same(
        &self,
        given: &Pairs<'_, Text<'_>>,
        wanted: &ExchangeSettings,
        there: &ExchangeSettings,
    ) -> Result<(), Error> {
        let is_same = |(name, _): (&str, &Text<'_>)| {
            if name == FIFO_TOPIC {
                wanted.ordered.is_some() == there.ordered.is_some()
            } else {
                is_same(name, wanted, there)
            }
        };
        if !given.iter().all(is_same) {
            let reason = "Attributes Reason: Topic already exists with different attributes";
            return Err(fault::invalid_parameter(reason));
        }
        if !tags::has(there, self.tags.as_deref().unwrap_or_default()) {
            return Err(fault::invalid_parameter("Tags Reason: Topic already exists with different tags"));
        }
        Ok(())
    }
}

/// The exchange as a topic; one of another type is none, and its name is not free.
fn found(call: &Call, vhost: &VirtualHost, exchange: &Exchange) -> Result<Arc<Topic>, Error> {
    let edge = &call.edge;
    let topic = edge.sns.topic(vhost, &call.caller.account, &edge.region, exchange.name());
    topic.ok_or_else(|| fault::invalid_parameter("Topic Name Reason: an exchange of another type has this name"))
}
