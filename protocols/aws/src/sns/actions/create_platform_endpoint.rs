//! `CreatePlatformEndpoint`: makes an endpoint of a device, or finds the one that has its token.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::request_id::RequestId;
use crate::sns::platform::endpoint::Endpoint;
use crate::sns::platform::place::Place;
use crate::sns::{fault, given};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatePlatformEndpoint<'a> {
    #[serde(borrow, default)]
    platform_application_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    token: Cow<'a, str>,
    #[serde(borrow, default)]
    custom_user_data: Option<Text<'a>>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    endpoint_arn: Arc<str>,
}

impl<'a> Action<'a> for CreatePlatformEndpoint<'a> {
    const NAME: &'static str = "CreatePlatformEndpoint";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let (arn, access) = (&*self.platform_application_arn, Some(Access::Configure));
        let place = Place::application(call, arn, "SNS:CreatePlatformEndpoint", access)?;
        let given = given::map(self.attributes);
        let says_enabled = given.contains_key("Enabled");
        let endpoint = Endpoint::new(place.platform, &self.token, self.custom_user_data.as_deref(), given)?;
        let (broker, platforms) = (&call.edge.broker, &call.edge.sns.platforms);
        let id = RequestId::next().to_string();
        let (endpoint_arn, pending) =
            platforms.create_endpoint(broker, &place.application, &id, endpoint, says_enabled)?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output { endpoint_arn }))
    }
}
