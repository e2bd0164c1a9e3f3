//! `ListTopics`: the ARNs of topics, a hundred a page.

use gantry_broker::exchange::ExchangeKind;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::page;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListTopics<'a> {
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    topic_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    topics: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListTopics<'a> {
    const NAME: &'static str = "ListTopics";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let vhost = call.vhost()?;
        let mut exchanges = vhost.exchanges();
        // Those that another protocol has declared, too; but not what the caller may not know of.
        exchanges.retain(|exchange| {
            exchange.options().kind == ExchangeKind::Subscriptions && call.caller.may_look(exchange.name())
        });
        exchanges.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        let (exchanges, next_token) = page::page(exchanges, |exchange| exchange.name(), self.next_token.as_deref())?;
        let (sns, account, region) = (&call.edge.sns, &call.caller.account, &call.edge.region);
        let topics = exchanges.iter().filter_map(|exchange| sns.topics.of(exchange, account, region));
        let topics = topics.map(|topic| Listed { topic_arn: topic.arn.to_string() }).collect();
        Ok(Reply::Now(Output { topics, next_token }))
    }
}
