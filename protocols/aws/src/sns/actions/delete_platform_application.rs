//! `DeletePlatformApplication`: forgets an application and its endpoints.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place::Place;
use crate::sns::{direct, fault};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeletePlatformApplication<'a> {
    #[serde(borrow, default)]
    platform_application_arn: Cow<'a, str>,
}

impl<'a> Action<'a> for DeletePlatformApplication<'a> {
    const NAME: &'static str = "DeletePlatformApplication";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let (arn, access) = (&*self.platform_application_arn, Some(Access::Configure));
        let place = match Place::application(call, arn, "SNS:DeletePlatformApplication", access) {
            Ok(place) => place,
            // It is not there, which is what was asked for.
            Err(error) if error == fault::not_found("PlatformApplication") => return Ok(Reply::Now(())),
            Err(error) => return Err(error),
        };
        let (pending, application) = call.edge.sns.platforms.delete_application(&call.edge.broker, &place.application);
        pending.wait().await.map_err(fault::of_broker)?;
        if let Some(application) = application {
            direct::end(call, &call.vhost()?, &application.id).await?;
        }
        Ok(Reply::Now(()))
    }
}
