//! `RemovePermission`: takes a statement out of a queue's policy.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::attributes::{policy_of, set_policy};
use crate::sqs::place::{Intent, Place, of_broker};
use crate::sqs::{names, policy};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RemovePermission<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Cow<'a, str>,
}

impl<'a> Action<'a> for RemovePermission<'a> {
    const NAME: &'static str = "RemovePermission";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:RemovePermission"))?;
        names::check_label(&self.label)?;
        let change = |settings: &mut gantry_broker::QueueSettings| {
            let policy = policy::without(policy_of(settings), &self.label)?;
            set_policy(settings, policy.as_deref().unwrap_or_default())
        };
        place.change(call, change)?.wait().await.map_err(of_broker)?;
        place.follow(call).await?;
        Ok(Reply::Now(()))
    }
}
