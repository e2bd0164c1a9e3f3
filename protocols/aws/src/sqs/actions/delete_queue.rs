//! `DeleteQueue`: deletes a queue with its messages.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::vhost::DeleteQueue as Conditions;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::reconcile;
use crate::sqs::place::{Intent, Place, of_broker};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteQueue<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
}

impl<'a> Action<'a> for DeleteQueue<'a> {
    const NAME: &'static str = "DeleteQueue";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:DeleteQueue"))?;
        let (sqs, queue) = (&call.edge.sqs, &place.queue);
        let connection = call.caller.connection();
        place.vhost.delete_queue(queue.name(), Conditions::default(), connection).await.map_err(of_broker)?;
        sqs.forget(queue);
        if sqs.limits.recreate_wait_s > 0 {
            let name = (Arc::clone(place.vhost.name()), Arc::clone(queue.name()));
            let mut recent = sqs.recent.lock();
            recent.forget(now_ms(), &sqs.limits);
            recent.deleted_ms.insert(name, now_ms());
        }
        // What topics have for it goes to a queue of dead letters.
        reconcile::follow_queue_durably(&call.edge, &place.vhost, queue.name()).await?;
        Ok(Reply::Now(()))
    }
}
