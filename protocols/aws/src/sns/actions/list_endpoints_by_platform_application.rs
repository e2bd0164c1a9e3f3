//! `ListEndpointsByPlatformApplication`: endpoints of an application, a hundred a page.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::limits::PAGE_ENTRIES;
use crate::sns::page;
use crate::sns::platform::place::Place;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListEndpointsByPlatformApplication<'a> {
    #[serde(borrow, default)]
    platform_application_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    endpoint_arn: Arc<str>,
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    endpoints: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListEndpointsByPlatformApplication<'a> {
    const NAME: &'static str = "ListEndpointsByPlatformApplication";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let arn = &*self.platform_application_arn;
        let place = Place::application(call, arn, "SNS:ListEndpointsByPlatformApplication", None)?;
        let after = page::after(self.next_token.as_deref())?;
        let endpoints = &call.edge.sns.platforms;
        let page = endpoints.endpoints(&place.application, after.as_deref(), PAGE_ENTRIES + 1)?;
        let (page, next_token) = page::page(page, |(arn, _)| arn, None)?;
        let listed =
            page.into_iter().map(|(endpoint_arn, endpoint)| Listed { endpoint_arn, attributes: endpoint.told() });
        Ok(Reply::Now(Output { endpoints: listed.collect(), next_token }))
    }
}
