//! Workloads of SQS, and what they share.
//!
//! * [`send`]: one message or ten in a request.
//! * [`receive_delete`]: a full queue is emptied.
//! * [`fifo`]: through a queue with message groups, from senders to consumers.
//! * [`long_polls`]: requests that wait for a message.

mod consumer;
pub(super) mod fifo;
pub(super) mod long_polls;
pub(super) mod receive_delete;
pub(super) mod send;

use serde_json::{Value, json};

use super::{BODY_BYTES, Bench};
use crate::error::{Fallible, fail};
use crate::peer::Running;
use crate::sqs::{Field, Head, call};

/// Most messages that a request may have.
const BATCH: usize = 10;

/// What bodies are made of.
const BODY_CHAR: &str = "x";
/// The MD5 of a body.
const BODY_MD5: &str = "7265f4d211b56873a381d321f586e4a9";

/// Makes a queue; gives its URL.
pub(super) fn create(running: &Running, name: &str, attributes: Value) -> Fallible<String> {
    let answer = call(running.address, "CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }))?;
    match answer["QueueUrl"].as_str() {
        Some(url) => Ok(url.to_owned()),
        None => fail(format!("CreateQueue answered {answer}")),
    }
}

/// So many consumers, or as many as the broker can tell apart.
fn receivers(bench: &mut Bench<'_>, wanted: usize) -> usize {
    let count = wanted.min(bench.broker.receivers_max());
    if count < wanted {
        bench.note(format!("{count} consumer only: more would be given the same messages"));
    }
    count
}

/// Messages that a queue holds, those in flight included.
fn held(running: &Running, url: &str) -> Fallible<u64> {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let answer = call(running.address, "GetQueueAttributes", &json!({ "QueueUrl": url, "AttributeNames": names }))?;
    let number = |name: &str| answer["Attributes"][name].as_str().and_then(|count| count.parse::<u64>().ok());
    match names.map(number) {
        [Some(visible), Some(in_flight)] => Ok(visible + in_flight),
        _ => fail(format!("GetQueueAttributes answered {answer}")),
    }
}

/// Fails unless a queue holds so many messages.
pub(super) fn check_held(running: &Running, url: &str, messages: u64) -> Fallible<()> {
    match held(running, url)? {
        held if held == messages => Ok(()),
        held => fail(format!("{messages} messages are to be in the queue, and it tells of {held}")),
    }
}

/// A request that sends `messages` bodies of [`BODY_BYTES`], and how its answer is checked.
struct Sending {
    request: Vec<u8>,
    messages: usize,
    sums: Field,
}

impl Sending {
    fn of(running: &Running, url: &str, messages: usize) -> Self {
        let body = BODY_CHAR.repeat(BODY_BYTES);
        let request = if messages == 1 {
            Head::of(running.address, "SendMessage").request(&json!({ "QueueUrl": url, "MessageBody": body }))
        } else {
            let entries: Vec<Value> =
                (0..messages).map(|id| json!({ "Id": id.to_string(), "MessageBody": body })).collect();
            Head::of(running.address, "SendMessageBatch").request(&json!({ "QueueUrl": url, "Entries": entries }))
        };
        Self { request, messages, sums: Field::named("MD5OfMessageBody") }
    }

    /// Fails unless it tells the right sum for each message.
    fn check(&self, answer: &[u8]) -> Fallible<()> {
        let right = self.sums.all(answer).filter(|sum| *sum == BODY_MD5.as_bytes()).count();
        if right == self.messages {
            return Ok(());
        }
        fail(format!("{} messages were sent, and this came: {}", self.messages, String::from_utf8_lossy(answer)))
    }
}
