//! `ListQueues`: the URLs of queues by the beginning of their names.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;

/// Asks which queues there are.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListQueues<'a> {
    #[serde(borrow, default)]
    queue_name_prefix: Cow<'a, str>,
}

/// These are.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
}

impl<'a> Action<'a> for ListQueues<'a> {
    const NAME: &'static str = "ListQueues";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let queues = call.vhost()?.queues();
        let mut names: Vec<_> = queues.iter().map(|queue| queue.name()).collect();
        names.retain(|name| name.starts_with(&*self.queue_name_prefix));
        names.sort_unstable();
        let queue_urls = names.iter().map(|name| call.queue_url(&call.caller.account, name)).collect();
        Ok(Reply::Now(Output { queue_urls }))
    }
}
