//! Deliveries to phone numbers, through the gateway that the configuration names.

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::parcel::{Failure, Outcome, Parcel};
use super::service;
use crate::message::Value;
use crate::outbound::Ask;
use crate::sns::convert::Notice;
use crate::sns::sms::gateway::{Answered, Short};
use crate::sns::sms::{MESSAGE_CHARACTERS_MAX, number};

/// Delivers a message.
pub(super) async fn deliver(parcel: &Parcel) -> Outcome {
    let settings = &parcel.edge.settings.sns.sms;
    if !settings.gateway.is_set() {
        return service::unconfigured(parcel, "sns.sms_url");
    }
    let notice = match service::notice(parcel, &["sms"]) {
        Ok(notice) => notice,
        Err(outcome) => return outcome,
    };
    // What goes to no topic says itself to whom.
    let to = if parcel.errand.endpoint.is_empty() { &*notice.topic } else { &*parcel.errand.endpoint };
    let Some(to) = number::read(to) else {
        return service::rejected("InvalidEndpoint", "it is no phone number");
    };
    let edge = &parcel.edge;
    let account = edge.settings.account_of(parcel.errand.queue.vhost()).unwrap_or_default();
    let kept = &edge.sns.short_messages;
    if kept.has_opted_out(account, &to) {
        return service::rejected("OptedOut", "the phone number has opted out");
    }
    if settings.is_in_sandbox && !kept.is_verified(account, &to) && !kept.has_asked(account, &to, &notice.message) {
        return service::rejected("NotVerified", "the account is in the sandbox and the phone number is not verified");
    }
    if notice.message.chars().count() > MESSAGE_CHARACTERS_MAX {
        return service::rejected(
            "TooLong",
            format!("a short message has at most {MESSAGE_CHARACTERS_MAX} characters"),
        );
    }
    let set = kept.attributes(account);
    let default = |name: &str| set.get(name).cloned();
    let said = |name: &str| attribute(&notice, name);
    let sender_id = said("AWS.SNS.SMS.SenderID").or_else(|| default("DefaultSenderID"));
    let sms_type = said("AWS.SNS.SMS.SMSType").or_else(|| default("DefaultSMSType"));
    let short = Short {
        phone_number: &to,
        message: &notice.message,
        message_id: &notice.id,
        sender_id: &sender_id.unwrap_or_default(),
        sms_type: sms_type.as_deref().unwrap_or("Promotional"),
        origination_number: &said("AWS.MM.SMS.OriginationNumber").unwrap_or_default(),
        max_price: &said("AWS.SNS.SMS.MaxPrice").unwrap_or_default(),
        entity_id: &said("AWS.MM.SMS.EntityId").unwrap_or_default(),
        template_id: &said("AWS.MM.SMS.TemplateId").unwrap_or_default(),
    };
    let (url, body) = settings.gateway.request(&short);
    let mut ask = Ask::post(&url, Bytes::from(body));
    ask.timeout = parcel.errand.means.attempt();
    let values =
        (HeaderValue::from_str(&settings.gateway.content_type), HeaderValue::from_str(&settings.gateway.authorization));
    let (Ok(content_type), Ok(mut authorization)) = values else {
        return service::rejected(
            "InvalidConfiguration",
            "what is configured for the gateway cannot stand in a header",
        );
    };
    ask.headers.insert(CONTENT_TYPE, content_type);
    if !authorization.is_empty() {
        authorization.set_sensitive(true);
        ask.headers.insert(AUTHORIZATION, authorization);
    }
    let answer = match service::asked(parcel, ask).await {
        Ok(answer) => answer,
        Err(outcome) => return outcome,
    };
    let failure = |code: &'static str| service::failure(&answer, "the gateway", code.into());
    match Answered::of(answer.status.as_u16()) {
        Answered::Taken => service::delivered(&answer),
        Answered::Later => Outcome::Retry(failure("")),
        Answered::Never => Outcome::Rejected(failure("")),
        Answered::OptedOut => {
            match kept.opt_out(&edge.broker, account, &to) {
                // If that is lost, the gateway says it once more.
                Ok(pending) => drop(pending),
                Err(error) => return Outcome::Retry(Failure::new("NotKept", error.to_string())),
            }
            Outcome::Rejected(failure("OptedOut"))
        }
    }
}

fn attribute(notice: &Notice<'_>, name: &str) -> Option<String> {
    notice.attributes().find(|attribute| attribute.name == name).and_then(|attribute| match attribute.value {
        Value::Text(text) => Some(text.to_owned()),
        Value::Binary(_) => None,
    })
}
