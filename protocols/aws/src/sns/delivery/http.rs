//! Webhooks: a POST with the document, or with the message alone.

mod credentials;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};

use self::credentials::Credentials;
use super::errand::{Means, escaped};
use super::parcel::{Failure, Outcome, Parcel, Sort, Told};
use super::policy::CONTENT_TYPE as CONTENT_TYPE_DEFAULT;
use super::service;
use crate::outbound::{Answer, Ask, Refusal};
use crate::sns::envelope::{self, Confirmation, Signature};
use crate::sns::signing::Unsigned;

const MESSAGE_TYPE: HeaderName = HeaderName::from_static("x-amz-sns-message-type");
const MESSAGE_ID: HeaderName = HeaderName::from_static("x-amz-sns-message-id");
const TOPIC_ARN: HeaderName = HeaderName::from_static("x-amz-sns-topic-arn");
const SUBSCRIPTION_ARN: HeaderName = HeaderName::from_static("x-amz-sns-subscription-arn");
const RAW_DELIVERY: HeaderName = HeaderName::from_static("x-amz-sns-rawdelivery");

/// What webhooks know AWS by.
const AGENT: &str = "Amazon Simple Notification Service Agent";

/// A document, and the id that it has.
struct Document {
    id: String,
    body: Bytes,
}

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let document = match document(parcel).await {
        Ok(document) => document,
        Err(outcome) => return outcome,
    };
    let Some(headers) = headers(parcel, &document.id) else {
        return Outcome::Rejected(Failure::new("InvalidHeader", "an ARN is none that a header could have"));
    };
    let errand = &parcel.errand;
    let mut ask = Ask::post(&errand.endpoint, document.body);
    (ask.headers, ask.reach, ask.timeout) = (headers, errand.reach, errand.means.attempt());
    let client = &parcel.edge.sns.outbound;
    let mut answered = client.request(ask.clone()).await;
    // Whoever is named in the URL is told only to who asks.
    if let Ok(answer) = &answered
        && answer.status == StatusCode::UNAUTHORIZED
        && let Some(credentials) = Credentials::of(&errand.endpoint)
        && let Some(said) = credentials.answer(&answer.headers.get_all(WWW_AUTHENTICATE).iter().collect::<Vec<_>>())
    {
        ask.headers.insert(AUTHORIZATION, said);
        answered = client.request(ask).await;
    }
    match answered {
        Ok(answer) => judge(answer),
        Err(refusal) if refusal.is_final() => Outcome::Rejected(failure("Forbidden", &refusal)),
        Err(refusal @ Refusal::Timeout(_)) => Outcome::Retry(failure("Timeout", &refusal)),
        Err(refusal) => Outcome::Retry(failure("NoAnswer", &refusal)),
    }
}

fn failure(code: &'static str, refusal: &Refusal) -> Failure {
    let mut reason = refusal.to_string();
    // What is underneath says what has happened.
    if let Some(source) = std::error::Error::source(refusal).and_then(std::error::Error::source) {
        reason = format!("{reason}: {source}");
    }
    Failure::new(code, reason)
}

/// What an answer means: errors of the server, and too many requests, are tried again.
fn judge(answer: Answer) -> Outcome {
    let status = answer.status;
    if status.is_success() {
        return Outcome::Delivered(Told { status: Some(status.as_u16()), said: answer.body });
    }
    let failure = Failure {
        status: Some(status.as_u16()),
        code: Cow::Borrowed(status.canonical_reason().unwrap_or("Unknown")),
        reason: format!("the endpoint answered {}", status.as_u16()),
    };
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        Outcome::Retry(failure)
    } else {
        Outcome::Rejected(failure)
    }
}

fn headers(parcel: &Parcel, id: &str) -> Option<HeaderMap> {
    let errand = &parcel.errand;
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(MESSAGE_TYPE, HeaderValue::from_static(parcel.sort.name()));
    headers.insert(MESSAGE_ID, value(id)?);
    if let Some(arn) = &errand.topic_arn {
        headers.insert(TOPIC_ARN, value(&escaped(arn))?);
    }
    let mut content_type = None;
    if parcel.sort != Sort::SubscriptionConfirmation
        && let Some(arn) = &errand.subscription_arn
    {
        headers.insert(SUBSCRIPTION_ARN, value(&escaped(arn))?);
    }
    if parcel.sort == Sort::Notification {
        content_type = errand.policy.content_type.as_deref().and_then(value);
        if errand.is_raw {
            headers.insert(RAW_DELIVERY, HeaderValue::from_static("true"));
        }
    }
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(CONTENT_TYPE_DEFAULT)));
    headers.insert(CONNECTION, HeaderValue::from_static("Keep-Alive"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    Some(headers)
}

/// What is sent.
async fn document(parcel: &Parcel) -> Result<Document, Outcome> {
    match &parcel.notice {
        Some(notice) => {
            let text = String::from_utf8_lossy(parcel.message.body());
            let url = parcel.errand.confirm_url(&notice.base_url, &notice.token);
            let confirmation = Confirmation {
                kind: notice.sort.name(),
                id: &notice.id,
                token: &notice.token,
                topic: parcel.errand.topic_arn.as_deref().unwrap_or_default(),
                message: &text,
                subscribe_url: &url,
                sent_ms: notice.made_ms,
            };
            let (value, certificate_url) = sign(parcel, envelope::confirmation_to_sign(&confirmation)).await?;
            let version = parcel.errand.signature_version;
            let signature = Signature { version, value: &value, certificate_url: &certificate_url };
            let body = envelope::confirmation(&confirmation, &signature);
            Ok(Document { id: notice.id.to_string(), body: body.into() })
        }
        None => notification(parcel).await,
    }
}

/// The document, for who gets it otherwise than by HTTP.
///
/// # Errors
/// It cannot be signed, or may not leave.
pub(super) async fn document_text(parcel: &Parcel) -> Result<String, Outcome> {
    let document = document(parcel).await?;
    Ok(String::from_utf8_lossy(&document.body).into_owned())
}

async fn notification(parcel: &Parcel) -> Result<Document, Outcome> {
    let errand = &parcel.errand;
    let protocol = match errand.means {
        Means::EmailJson => "email-json",
        _ if errand.endpoint.starts_with("https:") => "https",
        _ => "http",
    };
    let notice = service::notice(parcel, &[protocol])?;
    let id = notice.id.to_string();
    if errand.is_raw {
        let body = match notice.message {
            // As it came: no copy.
            Cow::Borrowed(text) if text.as_bytes() == parcel.message.body() => parcel.message.body_shared(),
            text => Bytes::from(text.into_owned()),
        };
        return Ok(Document { id, body });
    }
    let (value, certificate_url) = sign(parcel, envelope::string_to_sign(&notice)).await?;
    let signature = Signature { version: errand.signature_version, value: &value, certificate_url: &certificate_url };
    let body = envelope::notification(&notice, &errand.unsubscribe_url(), Some(&signature));
    Ok(Document { id, body: body.into() })
}

/// A signature, and the URL of its certificate.
pub(super) async fn sign(parcel: &Parcel, text: String) -> Result<(Arc<str>, String), Outcome> {
    let signing = &parcel.edge.sns.signing;
    let unsigned = |error: Unsigned| Outcome::Retry(Failure::new("Unsigned", error.to_string()));
    let value = signing.signature(parcel.errand.signature_version, text).await.map_err(unsigned)?;
    let base_url = parcel.notice.as_ref().map_or(&*parcel.errand.base_url, |notice| &notice.base_url);
    Ok((value, format!("{base_url}{}", signing.cert_path().await.map_err(unsigned)?)))
}
