//! `ListQueues`: the URLs of queues by the beginning of their names, a page at a time.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::reconcile::is_internal;
use crate::sqs::page::Page;
use crate::sqs::pairs::Text;
use crate::sqs::queue_url;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListQueues<'a> {
    #[serde(borrow, default)]
    queue_name_prefix: Option<Text<'a>>,
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
    #[serde(default)]
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListQueues<'a> {
    const NAME: &'static str = "ListQueues";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let prefix = self.queue_name_prefix.as_deref().unwrap_or_default();
        let page = Page::new(self.max_results, self.next_token.as_deref(), prefix)?;
        let mut queues = call.vhost()?.queues();
        // Those of other protocols, too; but not what belongs to one connection or a subscription, nor what the caller may not
        // know of.
        queues.retain(|queue| {
            queue.owner().is_none()
                && !is_internal(queue)
                && queue.name().starts_with(prefix)
                && call.caller.may_look(queue.name())
        });
        queues.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        let (queues, next_token) = page.of(queues, |queue| queue.name(), prefix);
        let url = |name: &str| call.queue_url(&call.caller.account, &queue_url::encoded(name));
        Ok(Reply::Now(Output { queue_urls: queues.iter().map(|queue| url(queue.name())).collect(), next_token }))
    }
}
