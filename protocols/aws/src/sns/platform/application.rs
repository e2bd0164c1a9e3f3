//! Platform applications: an app at a service that messages to its devices go through.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::credentials::Credentials;
use super::kind::Platform;
use crate::arn::Arn;
use crate::error::Error;
use crate::sns::fault;

/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 256;
/// Largest value of an attribute, in bytes: a file with a key has two or three thousand.
const VALUE_BYTES_MAX: usize = 16 << 10;

const CREDENTIAL: &str = "PlatformCredential";
const PRINCIPAL: &str = "PlatformPrincipal";
const ENABLED: &str = "Enabled";

/// What may be set.
const ATTRIBUTES: [&str; 13] = [
    CREDENTIAL,
    PRINCIPAL,
    ENABLED,
    "ApplePlatformBundleID",
    "ApplePlatformTeamID",
    "EventDeliveryFailure",
    "EventEndpointCreated",
    "EventEndpointDeleted",
    "EventEndpointUpdated",
    "FailureFeedbackRoleArn",
    "FailureFeedbackSampleRate",
    "SuccessFeedbackRoleArn",
    "SuccessFeedbackSampleRate",
];

/// What is kept of an application.
#[derive(Clone, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Application {
    /// Its number, which no other one has; the queue of what is sent to its endpoints directly is named after it.
    pub(crate) id: String,
    /// Its attributes, secrets included.
    pub(crate) attributes: BTreeMap<String, String>,
}

impl fmt::Debug for Application {
    // Its attributes are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Checks the name of an application that is to be created.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let reason = if name.is_empty() {
        "cannot be empty"
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        "must be at most 256 characters long"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        "must contain only characters 'a'-'z', 'A'-'Z', '0'-'9', '_', '-', and '.'"
    } else {
        return Ok(());
    };
    Err(fault::invalid_parameter(format_args!("{} Reason: {reason}", fault::shown(name))))
}

/// The service of this name.
pub(crate) fn platform(name: &str) -> Result<Platform, Error> {
    let reason = || format!("Platform Reason: {} is not supported", fault::shown(name));
    Platform::of(name).ok_or_else(|| fault::invalid_parameter(reason()))
}

/// The ARN of an application.
pub(crate) fn arn(region: &str, account: &str, platform: Platform, name: &str) -> String {
    let resource = format!("app/{}/{name}", platform.name());
    Arn { partition: "aws", service: "sns", region, account, resource: &resource }.to_string()
}

/// The service that an ARN of an application or of an endpoint names.
pub(crate) fn platform_of(arn: &str) -> Option<Platform> {
    let mut parts = Arn::parse(arn)?.resource.split('/');
    matches!(parts.next()?, "app" | "endpoint").then_some(())?;
    Platform::of(parts.next()?)
}

impl Application {
    /// A new one.
    ///
    /// # Errors
    /// Attributes that there are not, values that they cannot have, one half of a pair of credentials.
    pub(crate) fn new(platform: Platform, given: BTreeMap<String, String>, id: String) -> Result<Self, Error> {
        check(&given)?;
        let missing = |missing: &str, there: &str| {
            fault::invalid_parameter(format_args!("Attributes Reason: {there} attribute provided without {missing}"))
        };
        match (given.contains_key(PRINCIPAL), given.contains_key(CREDENTIAL)) {
            (true, false) => return Err(missing(CREDENTIAL, PRINCIPAL)),
            // Google knows a key without a principal.
            (false, true) if !matches!(platform, Platform::Google(_)) => return Err(missing(PRINCIPAL, CREDENTIAL)),
            (false, false) => {
                return Err(fault::invalid_parameter(format_args!(
                    "Attributes Reason: {CREDENTIAL} attribute is required"
                )));
            }
            _ => {}
        }
        let application = Self { id, attributes: given };
        application.credentials(platform)?;
        Ok(application)
    }

    /// The same one with other values of some attributes. Credentials that have changed enable it again.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn with(&self, platform: Platform, given: BTreeMap<String, String>) -> Result<Self, Error> {
        check(&given)?;
        let mut changed = self.clone();
        if given.contains_key(CREDENTIAL) && !given.contains_key(ENABLED) {
            changed.attributes.remove(ENABLED);
        }
        changed.attributes.extend(given);
        changed.credentials(platform)?;
        Ok(changed)
    }

    /// The same one, which nothing is sent through any more until somebody enables it.
    pub(crate) fn disabled(&self) -> Self {
        let mut changed = self.clone();
        changed.attributes.insert(ENABLED.to_owned(), "false".to_owned());
        changed
    }

    /// What tokens are made with.
    pub(crate) fn credentials(&self, platform: Platform) -> Result<Credentials, Error> {
        let said = |error| fault::invalid_parameter(format_args!("Attributes Reason: {error}"));
        Credentials::read(platform, &self.attributes).map_err(said)
    }

    /// Whether anything is sent through it.
    pub(crate) fn is_enabled(&self) -> bool {
        self.attributes.get(ENABLED).is_none_or(|value| value.eq_ignore_ascii_case("true"))
    }

    /// Whether it is what somebody asks to be created.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_said = |name: &str| name != ENABLED;
        let of = |one: &Self| -> Vec<(String, String)> {
            one.attributes.clone().into_iter().filter(|(name, _)| is_said(name)).collect()
        };
        of(self) == of(other)
    }

    /// What is told of it: everything but its secrets.
    pub(crate) fn told(&self, platform: Platform) -> BTreeMap<String, String> {
        let mut told = self.attributes.clone();
        told.remove(CREDENTIAL);
        told.remove(PRINCIPAL);
        told.insert(ENABLED.to_owned(), self.is_enabled().to_string());
        let method = self.credentials(platform).ok().and_then(|credentials| credentials.method(platform));
        if let Some(method) = method {
            told.insert("AuthenticationMethod".to_owned(), method.to_owned());
        }
        told
    }
}

fn check(given: &BTreeMap<String, String>) -> Result<(), Error> {
    if given.is_empty() {
        return Err(fault::missing("attributes"));
    }
    let refused = |reason: String| Err(fault::invalid_parameter(format_args!("Attributes Reason: {reason}")));
    for (name, value) in given {
        if !ATTRIBUTES.contains(&name.as_str()) {
            return refused(format!("Invalid attribute name: {}", fault::shown(name)));
        }
        let is_rate = name.ends_with("SampleRate");
        let is_number = || value.parse::<u8>().is_ok_and(|percent| percent <= 100);
        let reason = if value.len() > VALUE_BYTES_MAX {
            "is too long"
        } else if name == ENABLED && !is_flag(value) {
            "must be either true or false"
        } else if is_rate && !value.is_empty() && !is_number() {
            "must be a number from 0 to 100"
        } else if (name.starts_with("Event") || name.ends_with("RoleArn"))
            && !value.is_empty()
            && Arn::parse(value).is_none()
        {
            "is not an ARN"
        } else {
            continue;
        };
        return refused(format!("Invalid value for attribute: {name}: {reason}"));
    }
    Ok(())
}

/// Whether it is `true` or `false`.
pub(super) fn is_flag(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refused(platform: &str, pairs: &[(&str, &str)]) -> String {
        let platform = Platform::of(platform).unwrap();
        Application::new(platform, given(pairs), "1".into()).unwrap_err().message.into_owned()
    }

    #[test]
    fn names_of_applications_are_as_aws_has_them() {
        for name in ["a", "My.App_1-x", &"a".repeat(256)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        assert_eq!(check_name("").unwrap_err().message, "Invalid parameter:  Reason: cannot be empty");
        for name in ["a b", "a/b", "é", &"a".repeat(257)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        let error = platform("PIGEON").unwrap_err();
        assert_eq!(error.message, "Invalid parameter: Platform Reason: PIGEON is not supported");
    }

    #[test]
    fn an_application_needs_both_halves_of_its_credentials() {
        assert_eq!(
            refused("APNS", &[("PlatformCredential", "key")]),
            "Invalid parameter: Attributes Reason: PlatformCredential attribute provided without PlatformPrincipal"
        );
        assert_eq!(
            refused("APNS", &[("PlatformPrincipal", "certificate")]),
            "Invalid parameter: Attributes Reason: PlatformPrincipal attribute provided without PlatformCredential"
        );
        assert!(refused("GCM", &[]).contains("Value null at 'attributes'"));
        let gcm = Platform::of("GCM").unwrap();
        assert!(Application::new(gcm, given(&[("PlatformCredential", "key")]), "1".into()).is_ok());
        assert_eq!(
            refused("GCM", &[("PlatformCredential", "{}")]),
            "Invalid parameter: Attributes Reason: Platform credentials are invalid"
        );
    }

    #[test]
    fn attributes_are_checked() {
        let pair = ("PlatformCredential", "key");
        for (name, value, reason) in [
            ("Colour", "red", "Invalid attribute name: Colour"),
            ("Enabled", "yes", "Invalid value for attribute: Enabled: must be either true or false"),
            ("SuccessFeedbackSampleRate", "101", "must be a number from 0 to 100"),
            ("EventEndpointCreated", "topic", "is not an ARN"),
        ] {
            let said = refused("GCM", &[pair, (name, value)]);
            assert!(said.ends_with(reason), "{said}");
        }
    }

    #[test]
    fn secrets_are_not_told() {
        let apns = Platform::of("APNS").unwrap();
        let pairs = [("PlatformPrincipal", "id"), ("PlatformCredential", "secret"), ("SuccessFeedbackSampleRate", "5")];
        let application = Application::new(apns, given(&pairs), "1".into()).unwrap();
        let expected =
            [("AuthenticationMethod", "Certificate"), ("Enabled", "true"), ("SuccessFeedbackSampleRate", "5")];
        assert_eq!(application.told(apns), given(&expected));
        assert!(application.is_same(&application.disabled()));
        assert_eq!(application.disabled().told(apns)["Enabled"], "false");
        let renewed = application.disabled().with(apns, given(&[("PlatformCredential", "other")])).unwrap();
        assert!(renewed.is_enabled() && !renewed.is_same(&application));
    }

    #[test]
    fn arns_name_the_service() {
        let gcm = Platform::of("GCM").unwrap();
        let arn = arn("eu-west-1", "111122223333", gcm, "shop");
        assert_eq!(arn, "arn:aws:sns:eu-west-1:111122223333:app/GCM/shop");
        assert_eq!(platform_of(&arn), Some(gcm));
        assert_eq!(platform_of("arn:aws:sns:eu-west-1:111122223333:endpoint/GCM/shop/1"), Some(gcm));
        for other in ["arn:aws:sns:eu-west-1:111122223333:topic", "arn:aws:sns:e:1:x/GCM/a", "shop"] {
            assert_eq!(platform_of(other), None, "{other}");
        }
    }
}
