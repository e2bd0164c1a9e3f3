//! Endpoints: an app on a device.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::application::is_flag;
use super::kind::Platform;
use crate::error::Error;
use crate::sns::fault;

/// Largest data of a user, in bytes.
const CUSTOM_USER_DATA_BYTES_MAX: usize = 2_048;
/// Longest token of an Apple device, in digits.
const APPLE_TOKEN_DIGITS_MAX: usize = 400;
/// Longest token of any other device, in bytes.
const TOKEN_BYTES_MAX: usize = 8_192;

const TOKEN: &str = "Token";
const ENABLED: &str = "Enabled";
const CUSTOM_USER_DATA: &str = "CustomUserData";
/// Baidu's devices have these two.
const BAIDU: [&str; 2] = ["ChannelId", "UserId"];

/// What is kept of an endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoint {
    /// What the service knows the device by.
    pub(crate) token: String,
    /// Whether anything is sent to it.
    pub(crate) is_enabled: bool,
    /// What its user may have been given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) custom_user_data: Option<String>,
    /// What a service wants to know beside the token.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) others: BTreeMap<String, String>,
}

impl Endpoint {
    /// A new one.
    ///
    /// # Errors
    /// Attributes that there are not, or values that they cannot have.
    pub(crate) fn new(
        platform: Platform,
        token: &str,
        custom_user_data: Option<&str>,
        given: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let endpoint = Self {
            token: token_of(platform, token)?,
            is_enabled: true,
            custom_user_data: custom_user_data.filter(|data| !data.is_empty()).map(str::to_owned),
            others: BTreeMap::new(),
        };
        endpoint.changed(platform, given)
    }

    /// The same one with other values of some attributes.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn with(&self, platform: Platform, given: BTreeMap<String, String>) -> Result<Self, Error> {
        if given.is_empty() {
            return Err(fault::missing("attributes"));
        }
        self.clone().changed(platform, given)
    }

    fn changed(mut self, platform: Platform, given: BTreeMap<String, String>) -> Result<Self, Error> {
        for (name, value) in given {
            match name.as_str() {
                TOKEN => self.token = token_of(platform, &value)?,
                ENABLED if is_flag(&value) => self.is_enabled = value.eq_ignore_ascii_case("true"),
                ENABLED => return Err(refused("Invalid value for attribute: Enabled: must be either true or false")),
                CUSTOM_USER_DATA => self.custom_user_data = Some(value).filter(|data| !data.is_empty()),
                name if BAIDU.contains(&name) && value.len() <= TOKEN_BYTES_MAX => {
                    self.others.insert(name.to_owned(), value);
                }
                name => return Err(refused(&format!("Invalid attribute name: {}", fault::shown(name)))),
            }
        }
        if self.custom_user_data.as_ref().is_some_and(|data| data.len() > CUSTOM_USER_DATA_BYTES_MAX) {
            return Err(refused(
                "Invalid value for attribute: CustomUserData: must be at most 2048 bytes long in UTF-8 encoding",
            ));
        }
        Ok(self)
    }

    /// Whether it is what somebody asks to be created. `says_enabled` is whether that request said so.
    pub(crate) fn is_same(&self, other: &Self, says_enabled: bool) -> bool {
        self.token == other.token
            && self.custom_user_data == other.custom_user_data
            && self.others == other.others
            && (!says_enabled || self.is_enabled == other.is_enabled)
    }

    /// What is told of it.
    pub(crate) fn told(&self) -> BTreeMap<String, String> {
        let mut told = self.others.clone();
        told.insert(ENABLED.to_owned(), self.is_enabled.to_string());
        told.insert(TOKEN.to_owned(), self.token.clone());
        if let Some(data) = &self.custom_user_data {
            told.insert(CUSTOM_USER_DATA.to_owned(), data.clone());
        }
        told
    }
}

/// The ARN of an endpoint, by its application's and its own number.
pub(crate) fn arn(application: &str, id: &str) -> String {
    format!("{}/{id}", application.replacen(":app/", ":endpoint/", 1))
}

/// The ARN of the application that an endpoint belongs to.
pub(crate) fn application_of(arn: &str) -> Option<String> {
    let (application, id) = arn.rsplit_once('/')?;
    (!id.is_empty() && application.contains(":endpoint/")).then(|| application.replacen(":endpoint/", ":app/", 1))
}

/// A token as it is kept: Apple's are digits, and told in lower case.
fn token_of(platform: Platform, token: &str) -> Result<String, Error> {
    let refused = |reason: &str| Err(fault::invalid_parameter(format_args!("Token Reason: {reason}")));
    if token.is_empty() {
        return refused("must not be empty");
    }
    if platform.is_apple() {
        let is_token = token.len() <= APPLE_TOKEN_DIGITS_MAX && token.bytes().all(|byte| byte.is_ascii_hexdigit());
        return if is_token {
            Ok(token.to_ascii_lowercase())
        } else {
            refused("iOS device tokens must be no more than 400 hexadecimal characters")
        };
    }
    if token.len() > TOKEN_BYTES_MAX || token.chars().any(char::is_control) {
        return refused("must be at most 8192 bytes long, without control characters");
    }
    Ok(token.to_owned())
}

fn refused(reason: &str) -> Error {
    fault::invalid_parameter(format_args!("Attributes Reason: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_endpoint_is_told_as_it_was_given() {
        let gcm = Platform::of("GCM").unwrap();
        let endpoint = Endpoint::new(gcm, "Token:1", Some("42"), given(&[])).unwrap();
        let expected = given(&[("CustomUserData", "42"), ("Enabled", "true"), ("Token", "Token:1")]);
        assert_eq!(endpoint.told(), expected);
        let changed = endpoint.with(gcm, given(&[("Enabled", "false"), ("Token", "2")])).unwrap();
        assert_eq!((changed.is_enabled, changed.token.as_str()), (false, "2"));
        // What was given twice counts as an attribute.
        let endpoint = Endpoint::new(gcm, "1", Some("42"), given(&[("CustomUserData", "43")])).unwrap();
        assert_eq!(endpoint.custom_user_data.as_deref(), Some("43"));
    }

    #[test]
    fn tokens_of_apple_are_digits_in_lower_case() {
        let apns = Platform::of("APNS_SANDBOX").unwrap();
        assert_eq!(Endpoint::new(apns, "00FF", None, given(&[])).unwrap().token, "00ff");
        for token in ["xyz", "00/1", &"0".repeat(401)] {
            let said = Endpoint::new(apns, token, None, given(&[])).unwrap_err().message;
            assert_eq!(
                said,
                "Invalid parameter: Token Reason: iOS device tokens must be no more than 400 hexadecimal characters"
            );
        }
        assert!(Endpoint::new(Platform::of("GCM").unwrap(), "", None, given(&[])).is_err());
    }

    #[test]
    fn attributes_are_checked() {
        let gcm = Platform::of("GCM").unwrap();
        let said =
            |pairs: &[(&str, &str)]| Endpoint::new(gcm, "1", None, given(pairs)).unwrap_err().message.into_owned();
        assert_eq!(said(&[("x", "1")]), "Invalid parameter: Attributes Reason: Invalid attribute name: x");
        let long = "é".repeat(1_025);
        assert!(said(&[("CustomUserData", &long)]).ends_with("must be at most 2048 bytes long in UTF-8 encoding"));
        assert!(said(&[("Enabled", "1")]).ends_with("must be either true or false"));
        let endpoint = Endpoint::new(gcm, "1", None, given(&[])).unwrap();
        assert!(endpoint.with(gcm, given(&[])).unwrap_err().message.contains("Value null at 'attributes'"));
    }

    #[test]
    fn who_is_disabled_is_still_the_same() {
        let gcm = Platform::of("GCM").unwrap();
        let asked = Endpoint::new(gcm, "1", None, given(&[])).unwrap();
        let kept = asked.with(gcm, given(&[("Enabled", "false")])).unwrap();
        assert!(kept.is_same(&asked, false) && !kept.is_same(&asked, true));
        let other = Endpoint::new(gcm, "1", Some("data"), given(&[])).unwrap();
        assert!(!kept.is_same(&other, false));
    }

    #[test]
    fn arns_name_the_application() {
        let application = "arn:aws:sns:us-east-1:000000000000:app/GCM/shop";
        let arn = arn(application, "8a21d249");
        assert_eq!(arn, "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/shop/8a21d249");
        assert_eq!(application_of(&arn).as_deref(), Some(application));
        assert_eq!(application_of(application), None);
    }
}
