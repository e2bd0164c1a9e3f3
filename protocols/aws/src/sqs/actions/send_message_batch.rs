//! `SendMessageBatch`: up to ten messages in one request. Each may fail on its own.

use std::borrow::Cow;

use gantry_broker::Wakes;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::{Error, faults};
use crate::sqs::ascii::{Ascii, Digits, EntryId};
use crate::sqs::batch::{Entries, Failed, check_ids};
use crate::sqs::fault;
use crate::sqs::place::{Intent, Place, durable};
use crate::sqs::sending::{self, Entry, Ready};
use crate::stats::Stats;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendMessageBatch<'a> {
    #[serde(borrow, default)]
    queue_url: Cow<'a, str>,
    #[serde(borrow, default)]
    entries: Entries<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Successful {
    id: EntryId,
    message_id: Ascii<36>,
    #[serde(rename = "MD5OfMessageBody")]
    body_sum: Ascii<32>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_sum: Option<Ascii<32>>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    system_attributes_sum: Option<Ascii<32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<Digits>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    successful: Vec<Successful>,
    failed: Vec<Failed>,
}

const ENTRY: &str = "SendMessageBatchRequestEntry";

impl<'a> Action<'a> for SendMessageBatch<'a> {
    const NAME: &'static str = "SendMessageBatch";
    type Output = Output;

    fn written_bytes(output: &Output) -> usize {
        256 * (1 + output.successful.len())
    }

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        // Batches have no names of their own in policies.
        let place = Place::find(call, &self.queue_url, Intent::write("sqs:SendMessage"))?;
        check_ids(self.entries.sent, self.entries.iter().map(|entry| entry.id.as_deref()), ENTRY)?;
        sending::room(call).await?;
        let (output, ticket) = {
            let mut ready = Vec::with_capacity(self.entries.len());
            for (index, entry) in self.entries.iter().enumerate() {
                match sending::check(&place, entry, format_args!("{ENTRY}.{}.", index + 1)) {
                    Err(error) if place.profile.is_fifo => return Err(of_whole(error, entry)),
                    checked => ready.push((entry.id.as_deref().unwrap_or_default(), checked)),
                }
            }
            check_sizes(call, ready.iter().filter_map(|(_, ready)| ready.as_ref().ok()))?;
            send_all(call, &place, ready)
        };
        durable(&call.edge.broker, ticket).await?;
        Stats::add(&call.edge.stats.confirmed, output.successful.len() as u64);
        Ok(Reply::Now(output))
    }
}

/// A mistake in one message of a queue with order is one of all: those behind it would come before it.
fn of_whole(error: Error, entry: &Entry<'_>) -> Error {
    if entry.message_group_id.is_none() && *error.fault == faults::MISSING_PARAMETER && entry.message_body.is_some() {
        // AWS has another code for it here than where one message is sent.
        return fault::invalid_parameter(error.message);
    }
    error
}

fn check_sizes<'r>(call: &Call, ready: impl Iterator<Item = &'r Ready<'r>>) -> Result<(), Error> {
    let (bytes, bytes_max) = (ready.map(Ready::bytes).sum(), call.edge.sqs.limits.message_bytes_max);
    if bytes > bytes_max { Err(fault::batch_too_long(bytes_max, bytes)) } else { Ok(()) }
}

fn send_all(
    call: &Call,
    place: &Place,
    ready: Vec<(&str, Result<Ready<'_>, Error>)>,
) -> (Output, Option<gantry_broker::Ticket>) {
    let output = Output { successful: Vec::with_capacity(ready.len()), failed: Vec::new() };
    let (mut output, mut ticket, mut wakes) = (output, None, Wakes::new());
    // In a queue with order nothing comes in behind what did not: sent again, that would come after it.
    let mut stopped: Option<Error> = None;
    for (id, ready) in ready {
        let sent = stopped.clone().map_or(ready, Err).and_then(|ready| {
            sending::check_size(call, place, &ready)?;
            sending::send(call, place, &ready, &mut wakes)
        });
        match sent {
            Ok((told, durable)) => {
                ticket = ticket.max(durable);
                output.successful.push(Successful {
                    id: EntryId::from(id),
                    message_id: told.message_id,
                    body_sum: told.body_sum,
                    attributes_sum: told.attributes_sum,
                    system_attributes_sum: told.system_attributes_sum,
                    sequence_number: told.sequence_number,
                });
            }
            Err(error) => {
                if place.profile.is_fifo {
                    stopped = Some(error.clone());
                }
                output.failed.push(Failed::new(id, error));
            }
        }
    }
    (output, ticket)
}
