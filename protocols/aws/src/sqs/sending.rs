//! What SendMessage and SendMessageBatch share.

use std::borrow::Cow;
use std::fmt::Display;

use gantry_broker::message::now_ms;
use gantry_broker::{Deduplication, Group, Ticket, Wakes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ascii::{self, Ascii, Digits};
use super::convert::{self, Sent};
use super::limits::DELAY_S_MAX;
use super::message_attributes::{self, AttributeValue, Checked};
use super::pairs::{Pairs, Text};
use super::place::{self, Place};
use super::{fault, names};
use crate::call::Call;
use crate::error::Error;
use crate::message::{id, is_text, md5};
use crate::stats::Stats;
use crate::waits;

/// A message of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    /// In a batch.
    #[serde(borrow, default)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message_body: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) delay_seconds: Option<i64>,
    #[serde(borrow, default)]
    pub(crate) message_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    pub(crate) message_system_attributes: Option<Pairs<'a, AttributeValue<'a>>>,
    #[serde(borrow, default)]
    pub(crate) message_deduplication_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) message_group_id: Option<Text<'a>>,
}

/// A message of a request, checked.
pub(crate) struct Ready<'e> {
    body: &'e str,
    attributes: Checked<'e>,
    trace: Option<String>,
    delay_ms: Option<u32>,
    group: Option<&'e str>,
    deduplication: Option<Cow<'e, str>>,
    system_sum: Option<md5::Sum>,
}

/// What the sender is told.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Told {
    pub(crate) message_id: Ascii<36>,
    #[serde(rename = "MD5OfMessageBody")]
    pub(crate) body_sum: Ascii<32>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) attributes_sum: Option<Ascii<32>>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    pub(crate) system_attributes_sum: Option<Ascii<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<Digits>,
}

impl Ready<'_> {
    /// What it counts for in the size of a message, and of a batch, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.attributes.bytes()
    }
}

/// Checks a message. `member` is what stands before the name of its body where that is missing.
pub(crate) fn check<'e>(place: &Place, entry: &'e Entry<'_>, member: impl Display) -> Result<Ready<'e>, Error> {
    let profile = &place.profile;
    let body = entry.message_body.as_deref().unwrap_or_default();
    if body.is_empty() {
        return Err(fault::missing_parameter(format_args!("{member}MessageBody")));
    }
    if !is_text(body) {
        return Err(fault::invalid_message_contents());
    }
    let attributes = entry.message_attributes.as_ref().map(message_attributes::check).transpose()?.unwrap_or_default();
    let system = entry.message_system_attributes.as_ref().map(message_attributes::check_system).transpose()?;
    let system = system.unwrap_or_default();
    let group = entry.message_group_id.as_deref();
    if let Some(group) = group {
        names::check_fifo_id(group, "MessageGroupId")?;
    }
    let deduplication = entry.message_deduplication_id.as_deref();
    if let Some(id) = deduplication {
        names::check_fifo_id(id, "MessageDeduplicationId")?;
    }
    let (delay_ms, deduplication) = if profile.is_fifo {
        check_ordered(place, entry, body)?
    } else {
        if let Some(id) = deduplication {
            let reason = "The request include parameter that is not valid for this queue type.";
            return Err(fault::invalid_value(fault::shown(id), "MessageDeduplicationId", reason));
        }
        (entry.delay_seconds.map(delay_ms).transpose()?, None)
    };
    let trace = system.iter().next().map(|attribute| match attribute.value {
        message_attributes::Value::Text(text) => text.to_owned(),
        message_attributes::Value::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    });
    let system_sum = md5::of_attributes(system.iter());
    Ok(Ready { body, attributes, trace, delay_ms, group, deduplication, system_sum })
}

/// What a queue with order asks for: a group, and an id by which duplicates are known.
fn check_ordered<'e>(
    place: &Place,
    entry: &'e Entry<'_>,
    body: &str,
) -> Result<(Option<u32>, Option<Cow<'e, str>>), Error> {
    if let Some(seconds) = entry.delay_seconds.filter(|seconds| *seconds != 0) {
        let reason = "The request include parameter that is not valid for this queue type.";
        return Err(fault::invalid_value(seconds, "DelaySeconds", reason));
    }
    if entry.message_group_id.is_none() {
        return Err(fault::missing_parameter("MessageGroupId"));
    }
    let id = match entry.message_deduplication_id.as_deref() {
        Some(id) => Cow::Borrowed(id),
        None if place.profile.is_content_based => Cow::Owned(ascii::hex::<64>(&Sha256::digest(body)).to_string()),
        None => {
            return Err(fault::invalid_parameter(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            ));
        }
    };
    // The delay is the queue's alone.
    Ok((None, Some(id)))
}

fn delay_ms(seconds: i64) -> Result<u32, Error> {
    let in_range = u64::try_from(seconds).ok().filter(|seconds| *seconds <= DELAY_S_MAX);
    let reason = "DelaySeconds must be >= 0 and <= 900.";
    in_range.map(|seconds| seconds as u32 * 1000).ok_or_else(|| fault::invalid_value(seconds, "DelaySeconds", reason))
}

/// Checks that a message is not larger than its queue takes.
pub(crate) fn check_size(call: &Call, place: &Place, ready: &Ready<'_>) -> Result<(), Error> {
    let bytes_max = place.profile.message_bytes_max.min(call.edge.sqs.limits.message_bytes_max);
    if ready.bytes() > bytes_max {
        let message =
            format!("One or more parameters are invalid. Reason: Message must be shorter than {bytes_max} bytes.");
        return Err(fault::invalid_parameter(message));
    }
    Ok(())
}

/// Sends a message. What to wait for until it is certain, and what the sender is told then.
pub(crate) fn send(
    call: &Call,
    place: &Place,
    ready: &Ready<'_>,
    wakes: &mut Wakes,
) -> Result<(Told, Option<Ticket>), Error> {
    let (sqs, queue) = (&call.edge.sqs, &place.queue);
    let now_ms = now_ms();
    let deduplication = ready.deduplication.as_deref().map(|id| match ready.group {
        Some(group) if place.profile.is_per_group => {
            Deduplication::in_group(id.as_bytes(), Group::new(group.as_bytes(), false))
        }
        _ => Deduplication::new(id.as_bytes()),
    });
    let id = match deduplication {
        Some(deduplication) => id::of_original(queue.id(), deduplication.key, now_ms),
        None => sqs.ids.next(),
    };
    let body_sum = md5::of_body(ready.body.as_bytes());
    let attributes_sum = md5::of_attributes(ready.attributes.iter());
    let message = convert::message(
        &place.profile.address,
        &Sent {
            id,
            sent_ms: now_ms,
            sender: call.caller.user.as_deref().unwrap_or("anonymous"),
            body: ready.body,
            body_sum,
            group: ready.group,
            deduplication: ready.deduplication.as_deref(),
            trace: ready.trace.as_deref(),
            attributes: &ready.attributes,
            attributes_sum,
            delay_ms: ready.delay_ms,
        },
    );
    let sent = place.vhost.send(queue, &message, deduplication, now_ms, wakes).map_err(place::of_broker)?;
    if sent.refused {
        return Err(fault::throttled());
    }
    Stats::add(&call.edge.stats.published, 1);
    let id = match (sent.original, deduplication) {
        (Some(original), Some(deduplication)) => id::of_original(queue.id(), deduplication.key, original.sent_ms),
        _ => id,
    };
    let told = Told {
        message_id: id::text(&id),
        body_sum: md5::hex(&body_sum),
        attributes_sum: attributes_sum.as_ref().map(md5::hex),
        system_attributes_sum: ready.system_sum.as_ref().map(md5::hex),
        sequence_number: place.profile.is_fifo.then(|| id::sequence_number(sent.seq)),
    };
    Ok((told, sent.durable))
}

/// Waits until the broker has room for what is sent.
///
/// # Errors
/// There is none for long.
pub(crate) async fn room(call: &Call) -> Result<(), Error> {
    if waits::room(&call.edge.broker).await { Ok(()) } else { Err(fault::throttled()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqs::pairs::Text;

    #[test]
    fn a_message_is_borrowed_from_its_request() {
        let json = r#"{"Id":"a","MessageBody":"body","MessageGroupId":"g","MessageDeduplicationId":"d",
            "MessageAttributes":{"n":{"DataType":"String","StringValue":"x"}}}"#;
        let entry: Entry<'_> = serde_json::from_slice(json.as_bytes()).unwrap();
        for text in [&entry.id, &entry.message_body, &entry.message_group_id, &entry.message_deduplication_id] {
            assert!(matches!(text, Some(Text(Cow::Borrowed(_)))), "{text:?}");
        }
        let attributes = entry.message_attributes.unwrap();
        assert!(attributes.0.iter().all(|(name, value)| matches!(name, Cow::Borrowed(_)) && value.is_borrowed()));
        let escaped: Entry<'_> = serde_json::from_slice(br#"{"MessageBody":"a\nb"}"#).unwrap();
        assert_eq!(escaped.message_body.as_deref(), Some("a\nb"));
    }
}
