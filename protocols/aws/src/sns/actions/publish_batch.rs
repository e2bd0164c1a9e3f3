//! `PublishBatch`: up to ten messages to one topic. A mistake in one of them is one of the whole request; what the topic does not
//! take fails alone.

use gantry_broker::{Ticket, Wakes};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sns::limits::{BATCH_ENTRIES_MAX, ENTRY_ID_CHARACTERS_MAX};
use crate::sns::place::{Intent, Place};
use crate::sns::publishing::{self, Entry, Ready};
use crate::sns::{fault, faults};
use crate::sqs::ascii::{Ascii, Digits, EntryId};
use crate::sqs::pairs::{List, Text};
use crate::stats::Stats;
use crate::waits::durable;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublishBatch<'a> {
    #[serde(borrow, default)]
    topic_arn: Option<Text<'a>>,
    #[serde(borrow, default)]
    publish_batch_request_entries: Option<List<Entry<'a>, BATCH_ENTRIES_MAX>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Successful {
    id: EntryId,
    message_id: Ascii<36>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<Digits>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failed {
    id: EntryId,
    code: &'static str,
    message: String,
    sender_fault: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    successful: Vec<Successful>,
    failed: Vec<Failed>,
}

impl<'a> Action<'a> for PublishBatch<'a> {
    const NAME: &'static str = "PublishBatch";
    type Output = Output;

    fn written_bytes(output: &Output) -> usize {
        128 * (1 + output.successful.len())
    }

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let arn = self.topic_arn.as_deref().ok_or_else(|| fault::missing("topicArn"))?;
        let entries = self.publish_batch_request_entries.as_ref();
        let entries = entries.ok_or_else(|| fault::missing("publishBatchRequestEntries"))?;
        if entries.sent > BATCH_ENTRIES_MAX {
            let words = "The batch request contains more entries than permissible.";
            return Err(Error::new(&faults::TOO_MANY_ENTRIES_IN_BATCH_REQUEST, words));
        }
        // Batches have no name of their own in policies.
        let place = Place::find(call, arn, "TopicArn", Intent::write("SNS:Publish"))?;
        check_ids(entries)?;
        let mut ready = Vec::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            let mut checked = publishing::check(entry, Some(index + 1))?;
            checked.check_for_batch(&place, entry)?;
            ready.push((entry.id.as_deref().unwrap_or_default(), checked));
        }
        if ready.iter().map(|(_, ready)| ready.bytes()).sum::<usize>() > place.topic.message_bytes_max {
            let words = "The length of all the messages put together is more than the limit.";
            return Err(Error::new(&faults::BATCH_REQUEST_TOO_LONG, words));
        }
        publishing::room(call).await?;
        let (output, ticket) = publish_all(call, &place, &mut ready);
        durable(&call.edge.broker, ticket).await?;
        Stats::add(&call.edge.stats.confirmed, output.successful.len() as u64);
        Ok(Reply::Now(output))
    }
}

fn check_ids(entries: &[Entry<'_>]) -> Result<(), Error> {
    if entries.is_empty() {
        return Err(Error::new(&faults::EMPTY_BATCH_REQUEST, "The batch request doesn't contain any entries."));
    }
    // So few that looking at all of them is quicker than any table.
    let mut seen: SmallVec<[&str; BATCH_ENTRIES_MAX]> = SmallVec::new();
    for (index, entry) in entries.iter().enumerate() {
        let missing = || fault::missing(&format!("publishBatchRequestEntries.{}.member.id", index + 1));
        let id = entry.id.as_deref().ok_or_else(missing)?;
        if seen.contains(&id) {
            let words = "Two or more batch entries in the request have the same Id.";
            return Err(Error::new(&faults::BATCH_ENTRY_IDS_NOT_DISTINCT, words));
        }
        seen.push(id);
    }
    for id in seen {
        let invalid = |what: &str| {
            let words = format!("The Id of a batch entry in the batch request {what}: {}", fault::shown(id));
            Err(Error::new(&faults::INVALID_BATCH_ENTRY_ID, words))
        };
        if id.len() > ENTRY_ID_CHARACTERS_MAX {
            return invalid("is too long");
        }
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
            return invalid("contains an impermissible character");
        }
    }
    Ok(())
}

fn publish_all(call: &Call, place: &Place, ready: &mut [(&str, Ready<'_>)]) -> (Output, Option<Ticket>) {
    let mut output = Output { successful: Vec::with_capacity(ready.len()), failed: Vec::new() };
    let (mut ticket, mut wakes) = (None, Wakes::new());
    // In a topic with order nothing comes in behind what did not: published again, that would come after it.
    let mut stopped: Option<Error> = None;
    for (id, ready) in ready {
        let published = match &stopped {
            Some(error) => Err(error.clone()),
            None => publishing::publish(call, place, ready, &mut wakes),
        };
        match published {
            Ok((told, durable)) => {
                ticket = ticket.max(durable);
                output.successful.push(Successful {
                    id: EntryId::from(*id),
                    message_id: told.message_id,
                    sequence_number: told.sequence_number,
                });
            }
            Err(error) => {
                if place.topic.is_fifo {
                    stopped = Some(error.clone());
                }
                output.failed.push(Failed {
                    id: EntryId::from(*id),
                    code: error.query_code(),
                    sender_fault: error.fault.is_sender,
                    message: error.message.into_owned(),
                });
            }
        }
    }
    (output, ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[&str]) -> Result<(), (&'static str, String)> {
        let entry = |id: &&str| Entry { id: Some(Text((*id).to_owned().into())), ..Entry::default() };
        let entries: Vec<_> = ids.iter().map(entry).collect();
        check_ids(&entries).map_err(|error| (error.query_code(), error.message.into_owned()))
    }

    #[test]
    fn ids_are_refused_in_awss_words() {
        assert_eq!(check(&["a", "B-9_"]), Ok(()));
        let long = "x".repeat(81);
        let of_one = "The Id of a batch entry in the batch request";
        for (ids, code, words) in [
            (&[][..], "EmptyBatchRequest", "The batch request doesn't contain any entries.".to_owned()),
            (
                &["a", "b", "a"],
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.".to_owned(),
            ),
            (&[&*long], "InvalidBatchEntryId", format!("{of_one} is too long: {long}")),
            (&["a:b"], "InvalidBatchEntryId", format!("{of_one} contains an impermissible character: a:b")),
            (&[""], "InvalidBatchEntryId", format!("{of_one} contains an impermissible character: ")),
        ] {
            assert_eq!(check(ids), Err((code, words)));
        }
    }
}
