//! `AddPermission`: lets other accounts do something to a queue, by a statement in its policy.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::attributes::{policy_of, set_policy};
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, of_broker};
use crate::sqs::{names, policy};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddPermission<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Cow<'a, str>,
    #[serde(borrow, default, rename = "AWSAccountIds")]
    accounts: Vec<Text<'a>>,
    #[serde(borrow, default)]
    actions: Vec<Text<'a>>,
}

impl<'a> Action<'a> for AddPermission<'a> {
    const NAME: &'static str = "AddPermission";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:AddPermission"))?;
        names::check_label(&self.label)?;
        let accounts: Vec<&str> = self.accounts.iter().map(|account| &**account).collect();
        let actions: Vec<&str> = self.actions.iter().map(|action| &**action).collect();
        let arn = place.arn(call);
        let change = |settings: &mut gantry_broker::QueueSettings| {
            let policy = policy::with(policy_of(settings), &arn, &self.label, &accounts, &actions)?;
            set_policy(settings, &policy)
        };
        place.change(call, change)?.wait().await.map_err(of_broker)?;
        place.follow(call).await?;
        Ok(Reply::Now(()))
    }
}
