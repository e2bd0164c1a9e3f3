//! Workloads of SNS, and what they share.
//!
//! * [`publish`]: to SQS queues that are subscribed.
//! * [`filtered`]: to one of many subscriptions, by its filter policy.
//! * [`webhooks`]: to HTTP endpoints.

pub(super) mod filtered;
pub(super) mod publish;
pub(super) mod webhooks;

use std::sync::atomic::Ordering;
use std::time::Instant;

use memchr::memmem;
use serde_json::{Value, json};

use super::mqtt::{Times, run as watch};
use super::paced::Latency;
use super::sqs;
use super::traffic::Seen;
use crate::error::{Fallible, fail};
use crate::peer::Running;
use crate::sns;
use crate::sqs::Lines;

/// Connections that publish, with one request under way on each.
const CONNECTIONS: usize = 64;

/// What stands in the answer to each Publish that was taken.
const TAKEN: &[u8] = b"<MessageId>";

/// Makes a queue and subscribes it; gives its URL.
fn subscribe_queue(running: &Running, topic: &str, queue: &str, filter: Option<&Value>) -> Fallible<String> {
    let url = sqs::create(running, queue, json!({}))?;
    let endpoint = format!("arn:aws:sqs:us-east-1:{}:{queue}", account(topic));
    let mut parameters = vec![("TopicArn", topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)];
    let filter = filter.map(sns::filtering);
    if let Some(filter) = &filter {
        parameters.extend(filter.iter().map(|(name, value)| (*name, value.as_str())));
    }
    sns::call(running.address, "Subscribe", &parameters)?;
    Ok(url)
}

/// The account in an ARN.
fn account(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

/// What came of requests that were sent over and over.
struct Asked {
    seen: Seen,
    latency: Latency,
    /// Requests that were answered.
    answered: u64,
}

/// Sends requests by turns on [`CONNECTIONS`], each when the last one on its connection was answered. `taken` is in each answer.
fn ask(running: &Running, times: Times, requests: &[Vec<u8>], taken: &[u8]) -> Fallible<Asked> {
    let mut lines = Lines::open(running.address, CONNECTIONS)?;
    let taken = memmem::Finder::new(taken);
    let (mut micros, mut sent) = (Vec::new(), 0);
    let mut turns = requests.iter().cycle();
    let seen = watch(
        running,
        times,
        |lane, switches| {
            let measured_from = Instant::now() + times.warm_up();
            let mut asked_at = vec![Instant::now(); CONNECTIONS];
            for line in 0..CONNECTIONS {
                lines.send(line, turns.next().map_or(&[][..], Vec::as_slice))?;
                sent += 1;
            }
            let mut answered = 0;
            while answered < sent && !switches.failed.load(Ordering::SeqCst) {
                let stop = switches.stop.load(Ordering::SeqCst);
                lines.read(|line, answer, next| {
                    if taken.find(answer).is_none() {
                        return fail(format!("this was answered: {}", String::from_utf8_lossy(answer)));
                    }
                    answered += 1;
                    let now = Instant::now();
                    if now > measured_from && !stop {
                        micros.push(u32::try_from((now - asked_at[line]).as_micros()).unwrap_or(u32::MAX));
                    }
                    if !stop {
                        next.extend_from_slice(turns.next().map_or(&[][..], Vec::as_slice));
                        asked_at[line] = now;
                        sent += 1;
                    }
                    Ok(())
                })?;
                lane.sent.store(sent, Ordering::SeqCst);
                lane.taken.store(answered, Ordering::SeqCst);
            }
            Ok(())
        },
        |_, _| Ok(()),
    )?;
    Ok(Asked { seen, latency: Latency::of(micros)?, answered: sent })
}
