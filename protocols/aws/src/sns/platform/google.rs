//! Google's service, FCM with its HTTP v1 API: a service account gets an access token and posts a message to its project.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::jwt::{Key, Unusable};
use super::verdict::{Verdict, word};

/// What an access token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long what asks for an access token is good.
const ASSERTION_S: i64 = 60 * 60;
/// An access token is not used in its last seconds.
const MARGIN_S: i64 = 5 * 60;

/// The body that asks for an access token.
///
/// # Errors
/// The key cannot sign.
pub(crate) fn token_request(
    key: &Key,
    key_id: Option<&str>,
    email: &str,
    audience: &str,
    now_s: i64,
) -> Result<String, Unusable> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        scope: &'a str,
        aud: &'a str,
        iat: i64,
        exp: i64,
    }
    let claims = Claims { iss: email, scope: SCOPE, aud: audience, iat: now_s, exp: now_s + ASSERTION_S };
    let assertion = key.token(key_id, &claims)?;
    Ok(format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"))
}

/// An access token, and until when it is used, out of the answer to [`token_request`].
pub(crate) fn access_token(status: u16, body: &[u8], now_s: i64) -> Result<(String, i64), Verdict> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        #[serde(default)]
        expires_in: i64,
    }
    #[derive(Default, Deserialize)]
    struct Refused {
        #[serde(default)]
        error: String,
    }
    if status == 200 {
        let granted: Granted = serde_json::from_slice(body).map_err(|_| Verdict::Later("no access token".into()))?;
        // Whatever it says, an answer is not asked for again for every message.
        let life_s = granted.expires_in.clamp(0, 24 * 60 * 60);
        return Ok((granted.access_token, now_s + (life_s - MARGIN_S).max(life_s / 2)));
    }
    let refused = serde_json::from_slice::<Refused>(body).unwrap_or_default();
    let reason = word(&refused.error);
    Err(if matches!(status, 400 | 401 | 403) { Verdict::CredentialsRefused(reason) } else { Verdict::Later(reason) })
}

/// What is sent to a device. A text that is for this service is a message of v1 within `fcmV1Message`, or one of the API before it, which is written anew; any other text is data
/// with the name `default`. `ttl_s` counts where the message says nothing.
///
/// # Errors
/// The text is no message.
pub(crate) fn payload(text: &str, is_for_service: bool, token: &str, ttl_s: Option<i64>) -> Result<Vec<u8>, Verdict> {
    let malformed = || Verdict::Never("the message for FCM is not a JSON object".into());
    let mut request = if is_for_service {
        let Ok(Value::Object(mut given)) = serde_json::from_str(text) else { return Err(malformed()) };
        match given.remove("fcmV1Message") {
            Some(Value::Object(v1)) => v1,
            Some(_) => return Err(malformed()),
            None => modern(given),
        }
    } else {
        let message = json!({ "data": { "default": text } });
        Map::from_iter([("message".to_owned(), message)])
    };
    let message = request.entry("message").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(message) = message else { return Err(malformed()) };
    // Where it goes is the endpoint's business alone.
    for target in ["topic", "condition", "name"] {
        message.remove(target);
    }
    message.insert("token".to_owned(), Value::from(token));
    if let Some(ttl_s) = ttl_s {
        let android = message.entry("android").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(android) = android else { return Err(malformed()) };
        android.entry("ttl").or_insert_with(|| Value::from(format!("{ttl_s}s")));
    }
    serde_json::to_vec(&request).map_err(|_| malformed())
}

/// A message of the API before v1, written as v1 has it.
fn modern(mut old: Map<String, Value>) -> Map<String, Value> {
    let (mut request, mut message, mut android) = (Map::new(), Map::new(), Map::new());
    if let Some(Value::Object(data)) = old.remove("data") {
        // v1 has texts only.
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let data: Map<_, _> = data.into_iter().map(|(name, value)| (name, Value::String(text(value)))).collect();
        message.insert("data".to_owned(), Value::Object(data));
    }
    if let Some(Value::Object(mut old)) = old.remove("notification") {
        let mut general = Map::new();
        for name in ["title", "body", "image"] {
            if let Some(value) = old.remove(name) {
                general.insert(name.to_owned(), value);
            }
        }
        if let Some(channel) = old.remove("android_channel_id") {
            old.insert("channel_id".to_owned(), channel);
        }
        // v1 refuses what it does not know, and these were for other devices.
        old.retain(|name, _| ANDROID_NOTIFICATION.contains(&name.as_str()));
        message.insert("notification".to_owned(), Value::Object(general));
        if !old.is_empty() {
            android.insert("notification".to_owned(), Value::Object(old));
        }
    }
    let ttl_s = old.remove("time_to_live").and_then(|ttl| match ttl {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    });
    if let Some(ttl_s) = ttl_s {
        android.insert("ttl".to_owned(), Value::from(format!("{ttl_s}s")));
    }
    for name in ["collapse_key", "priority", "restricted_package_name"] {
        if let Some(value) = old.remove(name) {
            android.insert(name.to_owned(), value);
        }
    }
    if !android.is_empty() {
        message.insert("android".to_owned(), Value::Object(android));
    }
    if let Some(dry_run) = old.remove("dry_run").filter(Value::is_boolean) {
        request.insert("validate_only".to_owned(), dry_run);
    }
    request.insert("message".to_owned(), Value::Object(message));
    request
}

/// What v1 knows of a notification on an Android device, and was there before.
const ANDROID_NOTIFICATION: [&str; 10] = [
    "icon",
    "color",
    "sound",
    "tag",
    "click_action",
    "body_loc_key",
    "body_loc_args",
    "title_loc_key",
    "title_loc_args",
    "channel_id",
];

/// What an answer means.
pub(crate) fn verdict(status: u16, body: &[u8]) -> Verdict {
    #[derive(Default, Deserialize)]
    struct Said {
        #[serde(default)]
        error: Refusal,
    }
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        status: String,
        #[serde(default)]
        details: Vec<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        #[serde(default, rename = "errorCode")]
        code: Option<String>,
        #[serde(default, rename = "fieldViolations")]
        fields: Vec<Violation>,
    }
    #[derive(Deserialize)]
    struct Violation {
        #[serde(default)]
        field: String,
    }
    if status == 200 {
        return Verdict::Taken;
    }
    let Said { error } = serde_json::from_slice(body).unwrap_or_default();
    let code = error.details.iter().find_map(|detail| detail.code.as_deref()).unwrap_or(&error.status);
    let is_about_token =
        error.details.iter().flat_map(|detail| &detail.fields).any(|violation| violation.field == "message.token");
    let reason = word(code);
    match (status, code) {
        // Not any 404: a wrong URL or project says nothing of the device, and an endpoint is disabled for good.
        (_, "UNREGISTERED" | "SENDER_ID_MISMATCH") => Verdict::DeviceGone(reason),
        (400, _) if is_about_token => Verdict::DeviceGone(reason),
        // Apple's key at Google, and not ours.
        (401, "THIRD_PARTY_AUTH_ERROR") => Verdict::CredentialsRefused(reason),
        (401, _) => Verdict::TokenRefused(reason),
        (403, _) => Verdict::CredentialsRefused(reason),
        (429 | 500.., _) => Verdict::Later(reason),
        _ => Verdict::Never(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::GOOGLE_KEY;
    use super::*;

    fn sent(text: &str, is_for_service: bool, ttl_s: Option<i64>) -> Value {
        serde_json::from_slice(&payload(text, is_for_service, "device", ttl_s).unwrap()).unwrap()
    }

    #[test]
    fn texts_become_messages_of_v1() {
        let expected = json!({ "message": { "token": "device", "data": { "default": "hello" } } });
        assert_eq!(sent("hello", false, None), expected);
        let v1 = json!({ "fcmV1Message": {
            "validate_only": true,
            "message": { "notification": { "title": "t" }, "android": { "ttl": "5s" }, "topic": "everybody" },
        }});
        let expected = json!({
            "validate_only": true,
            "message": { "token": "device", "notification": { "title": "t" }, "android": { "ttl": "5s" } },
        });
        assert_eq!(sent(&v1.to_string(), true, Some(60)), expected);
        let old = json!({
            "notification": { "title": "t", "body": "b", "sound": "s", "android_channel_id": "c", "badge": "1" },
            "data": { "n": 1, "s": "x", "o": { "a": [true] } },
            "time_to_live": 3600, "collapse_key": "deals", "priority": "high", "dry_run": false, "to": "other",
        });
        let expected = json!({
            "validate_only": false,
            "message": {
                "token": "device",
                "notification": { "title": "t", "body": "b" },
                "data": { "n": "1", "s": "x", "o": "{\"a\":[true]}" },
                "android": {
                    "notification": { "sound": "s", "channel_id": "c" },
                    "ttl": "3600s", "collapse_key": "deals", "priority": "high",
                },
            },
        });
        assert_eq!(sent(&old.to_string(), true, None), expected);
        let expected = json!({ "message": { "token": "device", "data": {"a": "1"}, "android": { "ttl": "60s" } } });
        assert_eq!(sent(r#"{"data":{"a":"1"}}"#, true, Some(60)), expected);
        for bad in ["", "text", "[]", r#"{"fcmV1Message":1}"#, r#"{"fcmV1Message":{"message":[]}}"#] {
            assert!(payload(bad, true, "device", None).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_access_token_is_asked_for_and_read() {
        let key = Key::rsa(GOOGLE_KEY).unwrap();
        let body =
            token_request(&key, Some("1f2e"), "push@shop", "https://oauth2.googleapis.com/token", 1_000).unwrap();
        assert!(body.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"));
        let granted = br#"{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}"#;
        assert_eq!(access_token(200, granted, 1_000), Ok(("ya29.x".to_owned(), 1_000 + 3_599 - 300)));
        let forever = br#"{"access_token":"x","expires_in":9223372036854775807}"#;
        assert_eq!(access_token(200, forever, 0).unwrap().1, 24 * 60 * 60 - 300);
        let refused = br#"{"error":"invalid_grant","error_description":"Invalid JWT"}"#;
        assert_eq!(access_token(400, refused, 0), Err(Verdict::CredentialsRefused("invalid_grant".into())));
        assert_eq!(access_token(503, b"", 0), Err(Verdict::Later("".into())));
        assert!(matches!(access_token(200, b"{}", 0), Err(Verdict::Later(_))));
    }

    #[test]
    fn answers_say_whose_fault_it_is() {
        let said = |status: u16, name: &str, code: &str| {
            let details =
                json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }]);
            let body = json!({ "error": { "code": status, "status": name, "message": "m", "details": details } });
            verdict(status, body.to_string().as_bytes())
        };
        assert_eq!(verdict(200, b"{\"name\":\"projects/x/messages/1\"}"), Verdict::Taken);
        assert_eq!(said(404, "NOT_FOUND", "UNREGISTERED"), Verdict::DeviceGone("UNREGISTERED".into()));
        assert_eq!(
            said(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
            Verdict::DeviceGone("SENDER_ID_MISMATCH".into())
        );
        assert_eq!(said(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), Verdict::Never("INVALID_ARGUMENT".into()));
        assert_eq!(said(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), Verdict::Later("QUOTA_EXCEEDED".into()));
        assert_eq!(said(503, "UNAVAILABLE", "UNAVAILABLE"), Verdict::Later("UNAVAILABLE".into()));
        let bare =
            |status: u16, name: &str| verdict(status, json!({ "error": { "status": name } }).to_string().as_bytes());
        assert_eq!(bare(401, "UNAUTHENTICATED"), Verdict::TokenRefused("UNAUTHENTICATED".into()));
        assert_eq!(bare(403, "PERMISSION_DENIED"), Verdict::CredentialsRefused("PERMISSION_DENIED".into()));
        let about_token = json!({ "error": { "status": "INVALID_ARGUMENT", "details": [
            { "errorCode": "INVALID_ARGUMENT" },
            { "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{ "field": "message.token" }] },
        ]}});
        assert!(matches!(verdict(400, about_token.to_string().as_bytes()), Verdict::DeviceGone(_)));
        assert_eq!(verdict(502, b"<html>"), Verdict::Later("".into()));
        // Somebody else's 404, or that of a project.
        assert_eq!(verdict(404, b"<html>"), Verdict::Never("".into()));
        assert_eq!(bare(404, "NOT_FOUND"), Verdict::Never("NOT_FOUND".into()));
    }
}
