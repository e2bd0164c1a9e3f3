//! `DeleteEndpoint`: forgets an endpoint.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::fault;
use crate::sns::platform::place::Place;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteEndpoint<'a> {
    #[serde(borrow, default)]
    endpoint_arn: Cow<'a, str>,
}

impl<'a> Action<'a> for DeleteEndpoint<'a> {
    const NAME: &'static str = "DeleteEndpoint";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let (arn, access) = (&*self.endpoint_arn, Some(Access::Configure));
        match Place::endpoint(call, arn, "SNS:DeleteEndpoint", access) {
            Ok(_) => {}
            // It is not there, which is what was asked for.
            Err(error) if error == fault::not_found("Endpoint") => return Ok(Reply::Now(())),
            Err(error) => return Err(error),
        }
        let (pending, _) = call.edge.sns.platforms.delete_endpoint(&call.edge.broker, arn);
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(()))
    }
}
