//! The application or the endpoint that a request is about, and whether the caller may do to it what it asks.

use std::borrow::Cow;

use gantry_broker::rights::Access;

use super::application::platform_of;
use super::endpoint::application_of;
use super::kind::Platform;
use crate::arn::Arn;
use crate::call::Call;
use crate::error::Error;
use crate::iam::Decision;
use crate::sns::{fault, place};

/// What a request's ARN names.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The ARN of the application.
    pub(crate) application: Cow<'a, str>,
    /// Its service.
    pub(crate) platform: Platform,
}

impl<'a> Place<'a> {
    /// An application of the caller's account. `action` is what is to be done, as policies call it.
    ///
    /// # Errors
    /// It is no such ARN, or the caller may not.
    pub(crate) fn application(call: &Call, arn: &'a str, action: &str, access: Option<Access>) -> Result<Self, Error> {
        let found = Self::of(call, arn, Cow::Borrowed(arn), "PlatformApplication", ("app/", action, access));
        // Nobody is told of what is not there who may not be told of what is.
        found?.ok_or_else(|| fault::not_found("PlatformApplication"))
    }

    /// An endpoint of the caller's account.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn endpoint(call: &Call, arn: &'a str, action: &str, access: Option<Access>) -> Result<Self, Error> {
        let application = application_of(arn).unwrap_or_default();
        let found = Self::of(call, arn, Cow::Owned(application), "Endpoint", ("endpoint/", action, access));
        found?.ok_or_else(|| fault::not_found("Endpoint"))
    }

    fn of(
        call: &Call,
        text: &'a str,
        application: Cow<'a, str>,
        what: &str,
        (kind, action, access): (&str, &str, Option<Access>),
    ) -> Result<Option<Self>, Error> {
        let Some(arn) = Arn::parse(text) else {
            let parts = text.split(':').count();
            let reason = format!("An ARN must have at least 6 elements, not {parts}");
            return Err(fault::invalid_parameter(format_args!("{what}Arn Reason: {reason}")));
        };
        let platform = platform_of(text).filter(|_| arn.service == "sns" && arn.resource.starts_with(kind));
        let Some(platform) = platform else {
            return Err(fault::invalid_parameter(format_args!("{what}Arn Reason: it is no ARN of one")));
        };
        // The name that permissions are about is that of the application, for its endpoints, too.
        let name = Arn::parse(&application).map_or("", |arn| arn.resource);
        check(call, action, access, text, name)?;
        Ok((*arn.account == *call.caller.account).then_some(Self { application, platform }))
    }
}

/// Whether the caller's permissions in the virtual host allow something to be done to what is no exchange and no queue: an application, by the end of its
/// ARN (`app/GCM/shop`), or short messages (`sms`). Where no access is named, any right is enough.
///
/// # Errors
/// They do not.
pub(crate) fn check(
    call: &Call,
    action: &str,
    access: Option<Access>,
    resource: &str,
    name: &str,
) -> Result<(), Error> {
    let caller = &*call.caller;
    let is_somebody = caller.user.is_some() && !caller.account.is_empty();
    let may = is_somebody
        && match access {
            Some(access) => caller.may(access, name),
            None => caller.may_look(name),
        };
    if may { Ok(()) } else { Err(place::denied(call, action, resource, Decision::Silent)) }
}
