//! `ListPlatformApplications`: applications of the account in a region, a hundred a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::sns::page;
use crate::sns::platform::application::platform_of;
use crate::sqs::pairs::Text;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPlatformApplications<'a> {
    #[serde(borrow, default)]
    next_token: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    platform_application_arn: Arc<str>,
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    platform_applications: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl<'a> Action<'a> for ListPlatformApplications<'a> {
    const NAME: &'static str = "ListPlatformApplications";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        // Nobody has none.
        call.vhost()?;
        let resource = "app/";
        let prefix =
            Arn { partition: "aws", service: "sns", region: &call.region, account: &call.caller.account, resource };
        let mut all = call.edge.sns.platforms.applications(&prefix.to_string());
        all.retain(|(arn, _)| Arn::parse(arn).is_some_and(|arn| call.caller.may_look(arn.resource)));
        let (page, next_token) = page::page(all, |(arn, _)| arn, self.next_token.as_deref())?;
        let listed = page.into_iter().filter_map(|(arn, application)| {
            let attributes = application.told(platform_of(&arn)?);
            Some(Listed { platform_application_arn: arn, attributes })
        });
        Ok(Reply::Now(Output { platform_applications: listed.collect(), next_token }))
    }
}
