//! `SetQueueAttributes`: changes what is set on a queue. It holds at once.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::attributes::{Given, apply, set_redrive};
use crate::sqs::place::{Intent, Place};
use crate::sqs::{fault, redrive};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetQueueAttributes<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Given<'a>>,
}

impl<'a> Action<'a> for SetQueueAttributes<'a> {
    const NAME: &'static str = "SetQueueAttributes";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:SetQueueAttributes"))?;
        let Some(given) = self.attributes else { return Err(fault::missing_parameter("Attributes")) };
        let change = |settings: &mut gantry_broker::QueueSettings| {
            if let Some(policy) = apply(&given, settings, false)? {
                let (source, is_fifo) = (place.queue.name(), place.profile.is_fifo);
                let target = redrive::target(call, &place.account, source, is_fifo, &policy)?;
                set_redrive(settings, &policy.1, target);
            }
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(crate::sqs::place::of_broker)?;
        place.follow(call).await?;
        Ok(Reply::Now(()))
    }
}
