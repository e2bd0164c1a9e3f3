//! `CreatePlatformApplication`: makes an application at a service for mobile devices, or finds one that is as it is asked for.

use std::borrow::Cow;

use gantry_broker::rights::Access;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::request_id::RequestId;
use crate::sns::platform::application::{self, Application};
use crate::sns::platform::place;
use crate::sns::{fault, given};
use crate::sqs::pairs::{Pairs, Text};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatePlatformApplication<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    platform: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Pairs<'a, Text<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    platform_application_arn: String,
}

impl<'a> Action<'a> for CreatePlatformApplication<'a> {
    const NAME: &'static str = "CreatePlatformApplication";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        application::check_name(&self.name)?;
        let platform = application::platform(&self.platform)?;
        let arn = application::arn(&call.region, &call.caller.account, platform, &self.name);
        let name = format!("app/{}/{}", platform.name(), self.name);
        place::check(call, "SNS:CreatePlatformApplication", Some(Access::Configure), &arn, &name)?;
        let id = RequestId::next().to_string();
        let application = Application::new(platform, given::map(self.attributes), id)?;
        let (broker, platforms) = (&call.edge.broker, &call.edge.sns.platforms);
        platforms.create_application(broker, &arn, application)?.wait().await.map_err(fault::of_broker)?;
        Ok(Reply::Now(Output { platform_application_arn: arn }))
    }
}
