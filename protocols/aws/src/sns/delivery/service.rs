//! What deliveries to services have in common: a request, signed where it has to be, and what became of it.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue};

use super::parcel::{Failure, Outcome, Parcel, Told};
use crate::date;
use crate::outbound::{Answer, Ask, Reach, Refusal};
use crate::sigv4::{Outgoing, Signer};
use crate::sns::convert::{At, Notice};
use crate::sns::protection::Denied;

/// Nothing is configured that would take it.
pub(super) fn unconfigured(parcel: &Parcel, key: &str) -> Outcome {
    let reason = format!("nothing is configured to reach {}: {key} is empty", parcel.errand.shown());
    Outcome::Rejected(Failure::new("NotConfigured", reason))
}

/// It would fail again.
pub(super) fn rejected(code: &'static str, reason: impl Into<String>) -> Outcome {
    Outcome::Rejected(Failure::new(code, reason))
}

/// What a message says to the first of these protocols that it says anything to, as far as the topic's data protection policy lets
/// that out.
///
/// # Errors
/// The policy lets nothing of it out: what becomes of the message.
pub(super) fn notice<'p>(parcel: &'p Parcel, protocols: &[&str]) -> Result<Notice<'p>, Outcome> {
    let errand = &parcel.errand;
    let topic = errand.topic_arn.as_deref().unwrap_or_default();
    let (queue, seq, first_received_ms) = (errand.queue.id(), parcel.seq, parcel.first_received_ms);
    let mut notice = Notice::of(&parcel.message, protocols, &At { topic, queue, seq, first_received_ms });
    if let Some((topic, principal)) = &errand.protection {
        let denied = |Denied| rejected("DataProtection", "the data protection policy does not let it out");
        topic.protect_outbound(principal, &mut notice).map_err(denied)?;
    }
    Ok(notice)
}

/// To whom a message goes: what goes to no topic says that itself.
///
/// # Errors
/// As those of [`notice`].
pub(super) fn addressed(parcel: &Parcel) -> Result<Cow<'_, str>, Outcome> {
    if parcel.errand.endpoint.is_empty() {
        return notice(parcel, &[]).map(|notice| notice.topic);
    }
    Ok(Cow::Borrowed(&parcel.errand.endpoint))
}

/// Where a request to AWS goes.
pub(super) struct Request<'a> {
    /// Such as `lambda`.
    pub(super) service: &'static str,
    /// The URL of the service, with `{region}` in it.
    pub(super) url: &'a str,
    /// The region of the endpoint.
    pub(super) region: &'a str,
    /// With a slash at the beginning, escaped.
    pub(super) path: String,
    /// Without its question mark, escaped.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Asks a service of AWS.
///
/// # Errors
/// There is no answer: what becomes of the message.
pub(super) async fn aws(parcel: &Parcel, request: Request<'_>) -> Result<Answer, Outcome> {
    let Request { service, url, region, path, query, mut headers, body } = request;
    let is_region = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if region.is_empty() || !is_region {
        return Err(rejected("InvalidEndpoint", "the ARN has no region"));
    }
    let base = url.trim_end_matches('/').replace("{region}", region);
    let mark = if query.is_empty() { "" } else { "?" };
    let mut ask = Ask::post(&format!("{base}{path}{mark}{query}"), Bytes::new());
    let host = base.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) else {
        return Err(rejected("InvalidEndpoint", format!("the URL of {service} is none")));
    };
    headers.insert(HOST, host);
    let edge = &parcel.edge;
    let keys = &edge.settings.sns.services;
    if !keys.access_key_id.is_empty() {
        let signer = Signer {
            key_id: &keys.access_key_id,
            secret: &keys.secret_access_key,
            session_token: Some(&*keys.session_token).filter(|token| !token.is_empty()),
            region,
            service,
        };
        // A path before that of the service is signed, too.
        let before = base.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let path = format!("{}{path}", before.unwrap_or_default());
        let outgoing = Outgoing { method: "POST", path: &path, query: &query, body: &body };
        if !signer.sign(outgoing, &mut headers, &edge.keys, date::now_s()) {
            return Err(rejected("InvalidCredentials", "the access key of [sns] cannot stand in a header"));
        }
    }
    (ask.headers, ask.body, ask.timeout) = (headers, body.into(), parcel.errand.means.attempt());
    asked(parcel, ask).await
}

/// Asks at a URL that the configuration names.
///
/// # Errors
/// There is no answer: what becomes of the message.
pub(super) async fn asked(parcel: &Parcel, mut ask: Ask) -> Result<Answer, Outcome> {
    ask.reach = Reach::Configured;
    match parcel.edge.sns.outbound.request(ask).await {
        Ok(answer) => Ok(answer),
        Err(refusal) if refusal.is_final() => Err(rejected("Forbidden", refusal.to_string())),
        Err(refusal @ Refusal::Timeout(_)) => Err(Outcome::Retry(Failure::new("Timeout", refusal.to_string()))),
        Err(refusal) => Err(Outcome::Retry(Failure::new("NoAnswer", refusal.to_string()))),
    }
}

/// What was answered by a service that has the message.
pub(super) fn delivered(answer: &Answer) -> Outcome {
    Outcome::Delivered(Told { status: Some(answer.status.as_u16()), said: answer.body.clone() })
}

/// A failure that was answered. `code` is a word of the service.
pub(super) fn failure(answer: &Answer, service: &str, code: Cow<'static, str>) -> Failure {
    let status = answer.status.as_u16();
    let code =
        if code.is_empty() { Cow::Borrowed(answer.status.canonical_reason().unwrap_or("Unknown")) } else { code };
    Failure { status: Some(status), reason: format!("{service} answered {status}: {code}"), code }
}

/// What an error of a service of AWS is called.
pub(super) fn error_name(answer: &Answer) -> Cow<'static, str> {
    #[derive(serde::Deserialize)]
    struct Said<'a> {
        #[serde(borrow, default, rename = "__type")]
        name: Cow<'a, str>,
    }
    let header = answer.headers.get("x-amzn-errortype").and_then(|name| name.to_str().ok());
    let said = serde_json::from_slice::<Said<'_>>(&answer.body).ok();
    let name = header.or(said.as_ref().map(|said| &*said.name)).unwrap_or_default();
    let name = name.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    Cow::Owned(plain)
}

/// A text as it stands in a path or a query.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
