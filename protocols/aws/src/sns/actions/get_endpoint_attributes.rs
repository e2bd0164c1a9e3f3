//! `GetEndpointAttributes`: what is set on an endpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place::Place;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetEndpointAttributes<'a> {
    #[serde(borrow, default)]
    endpoint_arn: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    attributes: BTreeMap<String, String>,
}

impl<'a> Action<'a> for GetEndpointAttributes<'a> {
    const NAME: &'static str = "GetEndpointAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        Place::endpoint(call, &self.endpoint_arn, "SNS:GetEndpointAttributes", None)?;
        let endpoint = call.edge.sns.platforms.endpoint(&self.endpoint_arn)?;
        Ok(Reply::Now(Output { attributes: endpoint.told() }))
    }
}
