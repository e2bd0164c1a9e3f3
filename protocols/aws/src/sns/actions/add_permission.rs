//! `AddPermission`: lets other accounts do something to a topic, by a statement in its policy.

use std::borrow::Cow;

use gantry_broker::ExchangeSettings;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::attributes::topic::POLICY;
use crate::sns::place::{Intent, Place};
use crate::sns::topics::annotation;
use crate::sns::{fault, policy};
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddPermission<'a> {
    #[serde(borrow, default)]
    topic_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    label: Cow<'a, str>,
    #[serde(borrow, default, rename = "AWSAccountId")]
    accounts: Vec<Text<'a>>,
    #[serde(borrow, default, rename = "ActionName")]
    actions: Vec<Text<'a>>,
}

impl<'a> Action<'a> for AddPermission<'a> {
    const NAME: &'static str = "AddPermission";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.topic_arn, "TopicArn", Intent::configure("SNS:AddPermission"))?;
        if self.label.is_empty() {
            return Err(fault::missing("label"));
        }
        let accounts: Vec<&str> = self.accounts.iter().map(|account| &**account).collect();
        let actions: Vec<&str> = self.actions.iter().map(|action| &**action).collect();
        let of = (&*place.topic.arn, &*place.topic.account);
        let change = |settings: &mut ExchangeSettings| {
            let current = settings.annotations.get(&annotation(POLICY)).map(String::as_str);
            let policy = policy::with(current, of, &self.label, &accounts, &actions)?;
            settings.annotations.insert(annotation(POLICY), policy);
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(()))
    }
}
