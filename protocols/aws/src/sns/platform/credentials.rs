//! How an application shows a service that it may send: what is read out of `PlatformPrincipal` and `PlatformCredential`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::jwt::Key;
use super::kind::Platform;

/// Characters of a key's id and of a team's.
const APPLE_ID_CHARACTERS: usize = 10;

/// What tokens are made with, or why there are none.
pub(crate) enum Credentials {
    /// Apple's tokens.
    Apple {
        /// The signing key.
        key: Key,
        /// What Apple knows the key by.
        key_id: Box<str>,
        /// The developer's account.
        team_id: Box<str>,
        /// The app, which messages are for where they name no other.
        bundle_id: Box<str>,
    },
    /// A service account of Google.
    Google {
        /// The account's key.
        key: Key,
        /// What Google knows the key by, where the file says so.
        key_id: Option<Box<str>>,
        /// The account.
        email: Box<str>,
        /// Whose apps it may send to.
        project: Box<str>,
    },
    /// A certificate, an API key, or those of another service: kept, and nothing is delivered with them.
    Kept,
}

/// They cannot be what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Platform credentials are invalid")]
pub(crate) struct Invalid;

/// What a service account's file has that is needed.
#[derive(Deserialize)]
struct ServiceAccount {
    project_id: String,
    private_key: String,
    client_email: String,
    #[serde(default)]
    private_key_id: Option<String>,
}

impl Credentials {
    /// Reads those of an application with these attributes.
    ///
    /// # Errors
    /// They look like tokens' and no token can be made with them.
    pub(crate) fn read(platform: Platform, attributes: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let given = |name: &str| attributes.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let credential = given("PlatformCredential");
        match platform {
            Platform::Apple { .. } => {
                let (Some(team_id), Some(bundle_id)) = (given("ApplePlatformTeamID"), given("ApplePlatformBundleID"))
                else {
                    return Ok(Self::Kept);
                };
                let key_id = given("PlatformPrincipal").ok_or(Invalid)?;
                let is_id =
                    |id: &str| id.len() == APPLE_ID_CHARACTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
                // What stands in a header and in a token is not for anything else.
                let is_app = bundle_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
                if !is_id(key_id) || !is_id(team_id) || !is_app {
                    return Err(Invalid);
                }
                let key = Key::elliptic(credential.ok_or(Invalid)?).map_err(|_| Invalid)?;
                Ok(Self::Apple { key, key_id: key_id.into(), team_id: team_id.into(), bundle_id: bundle_id.into() })
            }
            Platform::Google(_) => {
                let Some(file) = credential.filter(|text| text.starts_with('{')) else { return Ok(Self::Kept) };
                let account: ServiceAccount = serde_json::from_str(file).map_err(|_| Invalid)?;
                let is_project = |id: &str| {
                    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':' | b'_');
                    !id.is_empty() && id.bytes().all(is_known)
                };
                if !is_project(&account.project_id) {
                    return Err(Invalid);
                }
                Ok(Self::Google {
                    key: Key::rsa(&account.private_key).map_err(|_| Invalid)?,
                    key_id: account.private_key_id.map(Into::into),
                    email: account.client_email.into(),
                    project: account.project_id.into(),
                })
            }
            Platform::Other(_) => Ok(Self::Kept),
        }
    }

    /// What `AuthenticationMethod` says, for services where it is said.
    pub(crate) fn method(&self, platform: Platform) -> Option<&'static str> {
        match (self, platform) {
            (Self::Apple { .. } | Self::Google { .. }, _) => Some("Token"),
            (Self::Kept, Platform::Apple { .. }) => Some("Certificate"),
            (Self::Kept, Platform::Google(_)) => Some("Key"),
            (Self::Kept, Platform::Other(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{APPLE_KEY, GOOGLE_KEY, service_account};
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn credentials_for_tokens_are_read() {
        let apns = Platform::of("APNS").unwrap();
        let apple = given(&[
            ("PlatformPrincipal", "ABC1234DEF"),
            ("PlatformCredential", APPLE_KEY),
            ("ApplePlatformTeamID", "TEAM123456"),
            ("ApplePlatformBundleID", "com.example.shop"),
        ]);
        let Ok(Credentials::Apple { key_id, bundle_id, .. }) = Credentials::read(apns, &apple) else {
            panic!("they are Apple's")
        };
        assert_eq!((&*key_id, &*bundle_id), ("ABC1234DEF", "com.example.shop"));
        let gcm = Platform::of("GCM").unwrap();
        let google = given(&[("PlatformCredential", &service_account())]);
        let Ok(Credentials::Google { project, .. }) = Credentials::read(gcm, &google) else {
            panic!("they are Google's")
        };
        assert_eq!(&*project, "shop-12345");
    }

    #[test]
    fn what_looks_like_them_has_to_be_them() {
        let apns = Platform::of("APNS").unwrap();
        for (id, key, team, app) in [
            ("short", APPLE_KEY, "TEAM123456", "com.example"),
            ("ABC1234DEF", GOOGLE_KEY, "TEAM123456", "com.example"),
            ("ABC1234DEF", APPLE_KEY, "team", "com.example"),
            ("ABC1234DEF", APPLE_KEY, "TEAM123456", "com.example\r\nx: y"),
        ] {
            let given = given(&[
                ("PlatformPrincipal", id),
                ("PlatformCredential", key),
                ("ApplePlatformTeamID", team),
                ("ApplePlatformBundleID", app),
            ]);
            assert!(Credentials::read(apns, &given).is_err(), "{id} {team} {app}");
        }
        let gcm = Platform::of("GCM").unwrap();
        for file in
            ["{", "{}", &service_account().replace("shop-12345", "../x"), &service_account().replace("MII", "A")]
        {
            assert!(Credentials::read(gcm, &given(&[("PlatformCredential", file)])).is_err(), "{file}");
        }
    }

    #[test]
    fn others_are_kept() {
        for (platform, method) in [("APNS", Some("Certificate")), ("GCM", Some("Key")), ("ADM", None)] {
            let platform = Platform::of(platform).unwrap();
            let pair = given(&[("PlatformPrincipal", "a"), ("PlatformCredential", "b")]);
            let Ok(credentials) = Credentials::read(platform, &pair) else { panic!("they are kept") };
            assert_eq!(credentials.method(platform), method);
        }
    }
}
