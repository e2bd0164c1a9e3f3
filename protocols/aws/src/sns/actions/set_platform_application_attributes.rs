//! `SetPlatformApplicationAttributes`: sets some of the attributes of an application.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::Deserialize;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::platform::application::Application;
use crate::sns::platform::place::Place;
use crate::sns::{fault, given};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetPlatformApplicationAttributes<'a> {
    #[serde(borrow, default)]
    platform_application_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
}

impl<'a> Action<'a> for SetPlatformApplicationAttributes<'a> {
    const NAME: &'static str = "SetPlatformApplicationAttributes";
    type Output = ();

    async fn run(self, call: &'a Call) -> Result<Reply<()>, Error> {
        let (arn, access) = (&*self.platform_application_arn, Some(Access::Configure));
        let place = Place::application(call, arn, "SNS:SetPlatformApplicationAttributes", access)?;
        let given = given::map(self.attributes);
        let platforms = &call.edge.sns.platforms;
        let change = |application: &Application| application.with(place.platform, given);
        let pending = platforms.change_application(&call.edge.broker, &place.application, change)?;
        pending.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(()))
    }
}
