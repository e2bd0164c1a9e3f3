//! `GetPlatformApplicationAttributes`: what is set on an application, without its secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::place::Place;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetPlatformApplicationAttributes<'a> {
    #[serde(borrow, default)]
    platform_application_arn: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    attributes: BTreeMap<String, String>,
}

impl<'a> Action<'a> for GetPlatformApplicationAttributes<'a> {
    const NAME: &'static str = "GetPlatformApplicationAttributes";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let arn = &*self.platform_application_arn;
        let place = Place::application(call, arn, "SNS:GetPlatformApplicationAttributes", None)?;
        let application = call.edge.sns.platforms.application(&place.application)?;
        Ok(Reply::Now(Output { attributes: application.told(place.platform) }))
    }
}
