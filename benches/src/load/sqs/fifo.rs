//! Messages of many groups through a FIFO queue: each group in order, each message once.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::consumer::Consumers;
use super::{BATCH, BODY_CHAR, check_held, create, receivers};
use crate::error::{Fallible, fail};
use crate::load::mqtt::{Drain, Times, run as watch};
use crate::load::{BODY_BYTES, Bench};
use crate::sqs::{Field, Head, Lines};
use crate::table::{Figure, Target};

pub(crate) const ABOUT: &str = "SQS, FIFO, SendMessageBatch of 10 x 1 KiB, each to another of 1,000 groups, 20 senders (at most 10,000 ahead), 16 consumers \
     that receive 10 and delete them in a batch; order is checked";

const GROUPS: usize = 1_000;
const SENDERS: usize = 20;
const CONSUMERS: usize = 16;
const AHEAD_MAX: u64 = 10_000;
/// How long a receive waits for a message.
const WAIT_S: u32 = 1;
/// Digits of a group, and of a message's number in its group, at the beginning of its body.
const GROUP_DIGITS: usize = 4;
const NUMBER_DIGITS: usize = 12;

pub(crate) fn run(bench: &mut Bench<'_>) -> Fallible<Vec<Figure>> {
    let running = bench.start()?;
    let url = create(&running, "bench.fifo", json!({ "FifoQueue": "true", "VisibilityTimeout": "600" }))?;
    let mut senders = Senders::new(Head::of(running.address, "SendMessageBatch"), &url);
    let mut lines = Lines::open(running.address, SENDERS)?;
    let mut consumers = Consumers::open(running.address, &url, receivers(bench, CONSUMERS), WAIT_S)?;
    let seen = watch(
        &running,
        Times::of_compilers(bench),
        |lane, switches| {
            let ids = Field::named("MD5OfMessageBody");
            let (mut sent, mut taken) = (0, 0);
            let mut request = Vec::new();
            for line in 0..SENDERS {
                request.clear();
                senders.next_into(line, &mut request);
                lines.send(line, &request)?;
                sent += BATCH as u64;
            }
            lane.sent.store(sent, Ordering::SeqCst);
            while taken < sent && !switches.failed.load(Ordering::SeqCst) {
                let stop = switches.stop.load(Ordering::SeqCst);
                lines.read(|line, answer, next| {
                    if ids.count(answer) != BATCH {
                        return fail(format!("a batch was answered by {}", String::from_utf8_lossy(answer)));
                    }
                    taken += BATCH as u64;
                    if !stop {
                        senders.next_into(line, next);
                        sent += BATCH as u64;
                    }
                    Ok(())
                })?;
                lane.sent.store(sent, Ordering::SeqCst);
                // What consumers have before them lasts for longer than this.
                while sent > lane.taken.load(Ordering::SeqCst) + AHEAD_MAX && !switches.stop.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(())
        },
        |lane, switches| {
            let mut order = Order::default();
            let mut drain = Drain::new(1);
            consumers.receive()?;
            while !drain.is_done(lane, switches, consumers.deleted)? {
                consumers.advance(true, |answer| order.check(answer))?;
                lane.taken.store(consumers.deleted, Ordering::SeqCst);
            }
            Ok(())
        },
    )?;
    check_held(&running, &url, 0)?;
    let mut figures = seen.figures(5.0, 5.0);
    // 20 times what AWS gives a FIFO queue with batches.
    figures[0] = figures[0].target(Target::AtLeast(60_000.0));
    Ok(figures)
}

/// What is sent: every sender has groups of its own, and sends to ten of them by turns, so that the order in each is known.
struct Senders {
    head: Head,
    body_start: Vec<u8>,
    filling: String,
    sent: [usize; SENDERS],
    body: Vec<u8>,
}

impl Senders {
    const GROUPS_EACH: usize = GROUPS / SENDERS;

    fn new(head: Head, url: &str) -> Self {
        let body_start = format!("{{\"QueueUrl\":{},\"Entries\":[", json!(url)).into_bytes();
        let filling = BODY_CHAR.repeat(BODY_BYTES - GROUP_DIGITS - NUMBER_DIGITS);
        Self { head, body_start, filling, sent: [0; SENDERS], body: Vec::new() }
    }

    /// The sender's next request.
    fn next_into(&mut self, sender: usize, request: &mut Vec<u8>) {
        let batches_a_turn = Self::GROUPS_EACH / BATCH;
        let (number, turn) = (self.sent[sender] / batches_a_turn, self.sent[sender] % batches_a_turn);
        self.sent[sender] += 1;
        self.body.clear();
        self.body.extend_from_slice(&self.body_start);
        for entry in 0..BATCH {
            let group = sender * Self::GROUPS_EACH + turn * BATCH + entry;
            let comma = if entry == 0 { "" } else { "," };
            let id = format!("{group:0GROUP_DIGITS$}{number:0NUMBER_DIGITS$}");
            let head = format!(
                "{comma}{{\"Id\":\"{entry}\",\"MessageGroupId\":\"group-{group}\",\"MessageDeduplicationId\":\"{id}\",\
                 \"MessageBody\":\"{id}"
            );
            self.body.extend_from_slice(head.as_bytes());
            self.body.extend_from_slice(self.filling.as_bytes());
            self.body.extend_from_slice(b"\"}");
        }
        self.body.extend_from_slice(b"]}");
        self.head.request_into(&self.body, request);
    }
}

/// What has come of each group.
struct Order {
    bodies: Field,
    next: Vec<u64>,
}

impl Default for Order {
    fn default() -> Self {
        Self { bodies: Field::named("Body"), next: vec![0; GROUPS] }
    }
}

impl Order {
    /// Fails unless each message is the next one of its group.
    fn check(&mut self, answer: &[u8]) -> Fallible<()> {
        for body in self.bodies.all(answer) {
            let (group, number) = read(body).ok_or("a body is not as it was sent")?;
            let next = &mut self.next[group];
            if number != *next {
                return fail(format!("of group {group}, message {number} came where {next} was due"));
            }
            *next += 1;
        }
        Ok(())
    }
}

fn read(body: &[u8]) -> Option<(usize, u64)> {
    let digits = std::str::from_utf8(body.get(..GROUP_DIGITS + NUMBER_DIGITS)?).ok()?;
    let (group, number) = digits.split_at(GROUP_DIGITS);
    let group = group.parse().ok().filter(|group| *group < GROUPS && body.len() == BODY_BYTES)?;
    Some((group, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_is_sent_in_order_and_a_gap_is_seen() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let mut senders = Senders::new(Head::of(address, "SendMessageBatch"), "http://127.0.0.1/0/q");
        let mut order = Order { bodies: Field::named("MessageBody"), ..Order::default() };
        for batch in 0..12 {
            let mut request = Vec::new();
            senders.next_into(3, &mut request);
            let start = memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4;
            let body: serde_json::Value = serde_json::from_slice(&request[start..]).unwrap();
            assert_eq!(body["Entries"].as_array().unwrap().len(), BATCH);
            if batch == 11 {
                assert!(order.check(&request).is_ok());
                assert!(order.check(&request).is_err(), "the same once more");
            } else {
                order.check(&request).unwrap();
            }
        }
    }
}
