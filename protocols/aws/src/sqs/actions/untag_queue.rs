//! `UntagQueue`: takes tags off a queue.

use std::borrow::Cow;

use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, Place, of_broker};
use crate::sqs::{fault, tags};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagQueue<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    tag_keys: Option<Vec<Text<'a>>>,
}

impl<'a> Action<'a> for UntagQueue<'a> {
    const NAME: &'static str = "UntagQueue";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let place = Place::find(call, &self.queue_url, Intent::configure("sqs:UntagQueue"))?;
        let keys = self.tag_keys.filter(|keys| !keys.is_empty()).ok_or_else(|| fault::missing_parameter("TagKeys"))?;
        let change = |settings: &mut gantry_broker::QueueSettings| {
            tags::remove(settings, keys.iter().map(|key| &**key));
            Ok(())
        };
        place.change(call, change)?.wait().await.map_err(of_broker)?;
        Ok(Reply::Now(()))
    }
}
