//! `ListDeadLetterSourceQueues`: the queues whose dead letters come to a queue.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::page::Page;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place};
use crate::sqs::queue_url;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListDeadLetterSourceQueues<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
    #[serde(default)]
    max_results: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct Output {
    /// The one name in the service's model that begins so.
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListDeadLetterSourceQueues<'a> {
    const NAME: &'static str = "ListDeadLetterSourceQueues";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::look("sqs:ListDeadLetterSourceQueues"))?;
        let about = format!("{}:sources", place.queue.name());
        let page = Page::new(self.max_results, self.next_token.as_deref(), &about)?;
        let mut sources = place.vhost.redrive_sources(place.queue.name());
        // Not those that the caller may not know of.
        let look = Intent::look("sqs:ListDeadLetterSourceQueues");
        sources.retain(|queue| place.beside(call, queue).check(call, look).is_ok());
        let (sources, next_token) = page.of(sources, |queue| queue.name(), &about);
        let url = |name: &str| call.queue_url(&place.account, &queue_url::encoded(name));
        let queue_urls = sources.iter().map(|queue| url(queue.name())).collect();
        Ok(Reply::Now(Output { queue_urls, next_token }))
    }
}
