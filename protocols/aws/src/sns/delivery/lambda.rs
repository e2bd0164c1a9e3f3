//! Deliveries to functions: an invocation that nobody waits for, with an event that says what was published.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use super::parcel::{Outcome, Parcel};
use super::service::{self, Request};
use crate::arn::Arn;
use crate::date;
use crate::message::{Attribute, Value};
use crate::sns::convert::Notice;
use crate::sns::envelope;

/// An attribute as events have it.
#[derive(Serialize)]
pub(super) struct Told {
    #[serde(rename = "Type")]
    data_type: String,
    #[serde(rename = "Value")]
    value: String,
}

/// The attributes of a message as events have them.
pub(super) fn attributes(notice: &Notice<'_>) -> BTreeMap<String, Told> {
    let told = |attribute: Attribute<'_>| {
        let value = match attribute.value {
            Value::Text(text) => text.to_owned(),
            Value::Binary(bytes) => STANDARD.encode(bytes),
        };
        (attribute.name.to_owned(), Told { data_type: attribute.data_type.to_owned(), value })
    };
    notice.attributes().map(told).collect()
}

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let url = &parcel.edge.settings.sns.services.lambda_url;
    if url.is_empty() {
        return service::unconfigured(parcel, "sns.lambda_url");
    }
    let Some((arn, function, qualifier)) = function(&parcel.errand.endpoint) else {
        return service::rejected("InvalidEndpoint", "it is no ARN of a function");
    };
    let event = match event(parcel).await {
        Ok(event) => event,
        Err(outcome) => return outcome,
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-amz-invocation-type", HeaderValue::from_static("Event"));
    // A function of another account is known by all of its ARN.
    let is_own =
        parcel.errand.topic_arn.as_deref().and_then(Arn::parse).is_some_and(|topic| topic.account == arn.account);
    let named = if is_own {
        function.to_owned()
    } else {
        service::escaped(&format!("arn:{}:lambda:{}:{}:function:{function}", arn.partition, arn.region, arn.account))
    };
    let request = Request {
        service: "lambda",
        url,
        region: arn.region,
        path: format!("/2015-03-31/functions/{named}/invocations"),
        query: qualifier.map_or_else(String::new, |qualifier| format!("Qualifier={}", service::escaped(qualifier))),
        headers,
        body: event,
    };
    let answer = match service::aws(parcel, request).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    let status = answer.status;
    if status.is_success() {
        return service::delivered(&answer);
    }
    let failure = service::failure(&answer, "Lambda", service::error_name(&answer));
    // A function that is gone, or that may not be invoked, stays so.
    if status.is_server_error() || status.as_u16() == 429 {
        Outcome::Retry(failure)
    } else {
        Outcome::Rejected(failure)
    }
}

/// The ARN of a function, its name, and the version or alias behind that.
fn function(endpoint: &str) -> Option<(Arn<'_>, &str, Option<&str>)> {
    let arn = Arn::parse(endpoint).filter(|arn| arn.service == "lambda")?;
    let rest = arn.resource.strip_prefix("function:")?;
    let (name, qualifier) = rest.split_once(':').map_or((rest, None), |(name, qualifier)| (name, Some(qualifier)));
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_name.then_some((arn, name, qualifier))
}

/// The event. Its members are those of the document, but for the names of URLs.
async fn event(parcel: &Parcel) -> Result<Vec<u8>, Outcome> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Event<'a> {
        records: [Record<'a>; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record<'a> {
        event_source: &'static str,
        event_version: &'static str,
        event_subscription_arn: &'a str,
        sns: Sns<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sns<'a> {
        #[serde(rename = "Type")]
        kind: &'static str,
        message_id: &'a str,
        topic_arn: &'a str,
        subject: Option<&'a str>,
        message: &'a str,
        timestamp: String,
        signature_version: &'static str,
        signature: &'a str,
        signing_cert_url: &'a str,
        unsubscribe_url: &'a str,
        message_attributes: BTreeMap<String, Told>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence_number: Option<String>,
    }
    let notice = service::notice(parcel, &["lambda"])?;
    let errand = &parcel.errand;
    let signing = &parcel.edge.sns.signing;
    let unsigned = |error: crate::sns::signing::Unsigned| {
        Outcome::Retry(super::parcel::Failure::new("Unsigned", error.to_string()))
    };
    let signature = signing.signature(errand.signature_version, envelope::string_to_sign(&notice)).await;
    let signature = signature.map_err(unsigned)?;
    let certificate = signing.cert_path().await.map_err(unsigned)?;
    let event = Event {
        records: [Record {
            event_source: "aws:sns",
            event_version: "1.0",
            event_subscription_arn: errand.subscription_arn.as_deref().unwrap_or_default(),
            sns: Sns {
                kind: "Notification",
                message_id: &notice.id,
                topic_arn: &notice.topic,
                subject: notice.subject.as_deref(),
                message: &notice.message,
                timestamp: date::iso_ms(notice.published_ms),
                signature_version: if errand.signature_version == 2 { "2" } else { "1" },
                signature: &signature,
                signing_cert_url: &format!("{}{certificate}", errand.base_url),
                unsubscribe_url: &errand.unsubscribe_url(),
                message_attributes: attributes(&notice),
                sequence_number: notice.sequence.map(|seq| envelope::sequence_number(seq).to_string()),
            },
        }],
    };
    serde_json::to_vec(&event).map_err(|error| service::rejected("InvalidMessage", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_known_by_its_arn() {
        let (arn, name, qualifier) = function("arn:aws:lambda:eu-west-1:111122223333:function:ship-it:live").unwrap();
        assert_eq!((arn.region, name, qualifier), ("eu-west-1", "ship-it", Some("live")));
        let plain = function("arn:aws:lambda:eu-west-1:111122223333:function:ship_it").unwrap();
        assert_eq!((plain.1, plain.2), ("ship_it", None));
        for bad in [
            "ship-it",
            "arn:aws:lambda:eu-west-1:111122223333:layer:x",
            "arn:aws:sqs:eu-west-1:111122223333:function:x",
            "arn:aws:lambda:eu-west-1:111122223333:function:",
            "arn:aws:lambda:eu-west-1:111122223333:function:../x",
        ] {
            assert!(function(bad).is_none(), "{bad}");
        }
    }
}
