//! `TagQueue`: puts tags on a queue.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::pairs::{Pairs, Text};
use crate::sqs::place::{Intent, Place, of_broker};
use crate::sqs::{fault, tags};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagQueue<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    tags: Option<Pairs<'a, Text<'a>>>,
}

impl<'a> Action<'a> for TagQueue<'a> {
    const NAME: &'static str = "TagQueue";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:TagQueue"))?;
        let given = self.tags.filter(|tags| !tags.is_empty()).ok_or_else(|| fault::missing_parameter("Tags"))?;
        let change = |settings: &mut gantry_broker::QueueSettings| tags::add(settings, &given, place.queue.name());
        place.change(call, change)?.wait().await.map_err(of_broker)?;
        Ok(Reply::Now(()))
    }
}
