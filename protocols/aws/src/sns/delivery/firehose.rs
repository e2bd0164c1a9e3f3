//! Deliveries to delivery streams: a record with the message on a line of its own.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;

use super::lambda::{self, Told};
use super::parcel::{Outcome, Parcel};
use super::service::{self, Request};
use crate::arn::Arn;
use crate::date;
use crate::sns::convert::Notice;
use crate::sns::envelope;

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let url = &parcel.edge.settings.sns.services.firehose_url;
    if url.is_empty() {
        return service::unconfigured(parcel, "sns.firehose_url");
    }
    let arn = Arn::parse(&parcel.errand.endpoint).filter(|arn| arn.service == "firehose");
    let stream = arn.and_then(|arn| Some((arn, arn.resource.strip_prefix("deliverystream/")?)));
    let Some((arn, stream)) = stream.filter(|(_, name)| !name.is_empty()) else {
        return service::rejected("InvalidEndpoint", "it is no ARN of a delivery stream");
    };
    let notice = match service::notice(parcel, &["firehose"]) {
        Ok(notice) => notice,
        Err(outcome) => return outcome,
    };
    let data = if parcel.errand.is_raw { notice.message.as_bytes().to_vec() } else { line(parcel, &notice) };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amz-target", HeaderValue::from_static("Firehose_20150804.PutRecord"));
    let body = serde_json::json!({ "DeliveryStreamName": stream, "Record": { "Data": STANDARD.encode(data) } });
    let request = Request {
        service: "firehose",
        url,
        region: arn.region,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: body.to_string().into_bytes(),
    };
    let answer = match service::aws(parcel, request).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    if answer.status.is_success() {
        return service::delivered(&answer);
    }
    let name = service::error_name(&answer);
    let is_throttled =
        answer.status.as_u16() == 429 || matches!(&*name, "ThrottlingException" | "LimitExceededException");
    let failure = service::failure(&answer, "Firehose", name);
    if answer.status.is_server_error() || is_throttled { Outcome::Retry(failure) } else { Outcome::Rejected(failure) }
}

/// The document on one line. It is not signed: who may write to the stream says the stream.
fn line(parcel: &Parcel, notice: &Notice<'_>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Document<'a> {
        #[serde(rename = "Type")]
        kind: &'static str,
        message_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence_number: Option<String>,
        topic_arn: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        message: &'a str,
        timestamp: String,
        #[serde(rename = "UnsubscribeURL")]
        unsubscribe_url: String,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        message_attributes: BTreeMap<String, Told>,
    }
    let document = Document {
        kind: "Notification",
        message_id: &notice.id,
        sequence_number: notice.sequence.map(|seq| envelope::sequence_number(seq).to_string()),
        topic_arn: &notice.topic,
        subject: notice.subject.as_deref(),
        message: &notice.message,
        timestamp: date::iso_ms(notice.published_ms),
        unsubscribe_url: parcel.errand.unsubscribe_url(),
        message_attributes: lambda::attributes(notice),
    };
    // Texts are always written.
    let mut line = serde_json::to_vec(&document).unwrap_or_default();
    line.push(b'\n');
    line
}
