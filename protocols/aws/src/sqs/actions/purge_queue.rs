//! `PurgeQueue`: discards the messages of a queue, those in flight, too.

use std::borrow::Cow;

use gantry_broker::Wakes;
use gantry_broker::message::now_ms;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::place::{Intent, Place, durable};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PurgeQueue<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
}

impl<'a> Action<'a> for PurgeQueue<'a> {
    const NAME: &'static str = "PurgeQueue";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        // The same right as in AMQP: whoever may read a queue may empty it.
        let place = Place::find(call, &self.queue_url, Intent::read("sqs:PurgeQueue"))?;
        place.check_not_stream()?;
        let sqs = &call.edge.sqs;
        let wait_s = sqs.limits.purge_wait_s;
        if wait_s > 0 {
            let now_ms = now_ms();
            let mut recent = sqs.recent.lock();
            recent.forget(now_ms, &sqs.limits);
            if recent.purged_ms.contains_key(&place.queue.id()) {
                return Err(fault::purge_in_progress(place.queue.name(), wait_s));
            }
            recent.purged_ms.insert(place.queue.id(), now_ms);
        }
        let (_, ticket) = place.queue.discard_all(&mut Wakes::new());
        durable(&call.edge.broker, ticket).await?;
        Ok(Reply::Now(()))
    }
}
