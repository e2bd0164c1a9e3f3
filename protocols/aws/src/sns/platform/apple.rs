//! Apple's service, APNs: HTTP/2, a device in the path, a token that says who sends.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::jwt::{Key, Unusable};
use super::verdict::{Verdict, word};

/// How long a token is used: Apple takes one for an hour, and no new one within twenty minutes.
pub(crate) const TOKEN_S: i64 = 40 * 60;
/// How long a message is worth delivering where it does not say: four weeks, as with AWS.
pub(crate) const TTL_S: i64 = 28 * 24 * 60 * 60;

/// The token of a developer's account.
///
/// # Errors
/// The key cannot sign.
pub(crate) fn token(key: &Key, key_id: &str, team_id: &str, now_s: i64) -> Result<String, Unusable> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        iat: i64,
    }
    key.token(Some(key_id), &Claims { iss: team_id, iat: now_s })
}

/// What is sent: the text that is for this service as it is, any other one as an alert.
pub(crate) fn payload(text: &str, is_for_service: bool) -> Vec<u8> {
    #[derive(Serialize)]
    struct Payload<'a> {
        aps: Alert<'a>,
    }
    #[derive(Serialize)]
    struct Alert<'a> {
        alert: &'a str,
    }
    if is_for_service {
        return text.as_bytes().to_vec();
    }
    // Text is always written.
    serde_json::to_vec(&Payload { aps: Alert { alert: text } }).unwrap_or_default()
}

/// What a device is to do with a message, in a word: those without anything to show or to play are for the app alone.
pub(crate) fn push_type(payload: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Payload {
        aps: Aps,
    }
    #[derive(Deserialize)]
    struct Aps {
        #[serde(default)]
        alert: Option<Value>,
        #[serde(default)]
        badge: Option<Value>,
        #[serde(default)]
        sound: Option<Value>,
        #[serde(default, rename = "content-available")]
        content_available: Option<Value>,
    }
    let is_background = serde_json::from_slice::<Payload>(payload).is_ok_and(|Payload { aps }| {
        aps.alert.is_none()
            && aps.badge.is_none()
            && aps.sound.is_none()
            && aps.content_available.is_some_and(|value| value == 1)
    });
    if is_background { "background" } else { "alert" }
}

/// The names of message attributes that become headers, and these.
pub(crate) const HEADERS: [(&str, &str); 4] = [
    ("TOPIC", "apns-topic"),
    ("PUSH_TYPE", "apns-push-type"),
    ("PRIORITY", "apns-priority"),
    ("COLLAPSE_ID", "apns-collapse-id"),
];

/// What an answer means.
pub(crate) fn verdict(status: u16, body: &[u8]) -> Verdict {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, default)]
        reason: Cow<'a, str>,
    }
    if status == 200 {
        return Verdict::Taken;
    }
    let reason = serde_json::from_slice::<Said<'_>>(body).map(|said| word(&said.reason)).unwrap_or_default();
    match (status, &*reason) {
        (410, _) | (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => Verdict::DeviceGone(reason),
        (403, "ExpiredProviderToken") => Verdict::TokenRefused(reason),
        // Nobody but the holder of the credentials can do something about these.
        (403, _) | (400, "TopicDisallowed" | "MissingTopic" | "BadTopic") => Verdict::CredentialsRefused(reason),
        (429 | 500.., _) => Verdict::Later(reason),
        _ => Verdict::Never(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_an_alert_unless_it_is_for_this_service() {
        assert_eq!(payload("5 \"new\"", false), br#"{"aps":{"alert":"5 \"new\""}}"#);
        let own = r#"{"aps":{"content-available":1},"order":7}"#;
        assert_eq!(payload(own, true), own.as_bytes());
        assert_eq!(push_type(own.as_bytes()), "background");
        for shown in [
            r#"{"aps":{"alert":"x"}}"#,
            r#"{"aps":{"alert":"x","content-available":1}}"#,
            r#"{"aps":{"badge":0,"content-available":1}}"#,
            r#"{"aps":{"content-available":0}}"#,
            "no JSON",
        ] {
            assert_eq!(push_type(shown.as_bytes()), "alert", "{shown}");
        }
    }

    #[test]
    fn answers_say_whose_fault_it_is() {
        let said = |status, reason: &str| verdict(status, format!("{{\"reason\":\"{reason}\"}}").as_bytes());
        assert_eq!(verdict(200, b""), Verdict::Taken);
        assert_eq!(said(410, "Unregistered"), Verdict::DeviceGone("Unregistered".into()));
        assert_eq!(said(400, "BadDeviceToken"), Verdict::DeviceGone("BadDeviceToken".into()));
        assert_eq!(said(403, "ExpiredProviderToken"), Verdict::TokenRefused("ExpiredProviderToken".into()));
        assert_eq!(said(403, "InvalidProviderToken"), Verdict::CredentialsRefused("InvalidProviderToken".into()));
        assert_eq!(said(413, "PayloadTooLarge"), Verdict::Never("PayloadTooLarge".into()));
        assert_eq!(said(429, "TooManyRequests"), Verdict::Later("TooManyRequests".into()));
        assert_eq!(verdict(503, b"<html>"), Verdict::Later("".into()));
        assert_eq!(said(404, "a\\r\\nb"), Verdict::Never("ab".into()));
    }
}
