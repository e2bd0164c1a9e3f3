//! `SetEndpointAttributes`: sets some of the attributes of an endpoint.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::endpoint::Endpoint;
use crate::sns::platform::place::Place;
use crate::sns::{fault, given};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetEndpointAttributes<'a> {
    #[serde(borrow, default)]
    endpoint_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
}

impl<'a> Action<'a> for SetEndpointAttributes<'a> {
    const NAME: &'static str = "SetEndpointAttributes";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let (arn, access) = (&*self.endpoint_arn, Some(Access::Configure));
        let place = Place::endpoint(call, arn, "SNS:SetEndpointAttributes", access)?;
        let given = given::map(self.attributes);
        let change = |endpoint: &Endpoint| endpoint.with(place.platform, given);
        let pending = call.edge.sns.platforms.change_endpoint(&call.edge.broker, arn, change)?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(()))
    }
}
