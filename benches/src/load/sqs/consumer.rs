//! Connections that receive ten messages and delete them, over and over.

use std::net::SocketAddr;

use serde_json::json;

use super::BATCH;
use crate::error::{Fallible, fail};
use crate::sqs::{Field, Head, Lines};

/// What is under way on a connection.
#[derive(Clone, Copy)]
enum Asked {
    Nothing,
    Receive,
    /// To delete so many.
    Delete(usize),
}

/// The connections and what they do.
pub(super) struct Consumers {
    lines: Lines,
    asked: Vec<Asked>,
    receive: Vec<u8>,
    delete: Head,
    /// The body of a request to delete, up to its entries.
    delete_start: Vec<u8>,
    handles: Field,
    ids: Field,
    /// Messages that were deleted.
    pub(super) deleted: u64,
    /// Receives that were answered without a message.
    pub(super) empty: u64,
}

impl Consumers {
    /// So many, on a queue; a receive waits `wait_s` for a message.
    pub(super) fn open(address: SocketAddr, url: &str, count: usize, wait_s: u32) -> Fallible<Self> {
        let receive = json!({ "QueueUrl": url, "MaxNumberOfMessages": BATCH, "WaitTimeSeconds": wait_s });
        Ok(Self {
            lines: Lines::open(address, count)?,
            asked: vec![Asked::Nothing; count],
            receive: Head::of(address, "ReceiveMessage").request(&receive),
            delete: Head::of(address, "DeleteMessageBatch"),
            delete_start: format!("{{\"QueueUrl\":{},\"Entries\":[", json!(url)).into_bytes(),
            handles: Field::named("ReceiptHandle"),
            ids: Field::named("Id"),
            deleted: 0,
            empty: 0,
        })
    }

    /// All that have nothing under way receive.
    pub(super) fn receive(&mut self) -> Fallible<()> {
        for (line, asked) in self.asked.iter_mut().enumerate() {
            if matches!(asked, Asked::Nothing) {
                self.lines.send(line, &self.receive)?;
                *asked = Asked::Receive;
            }
        }
        Ok(())
    }

    /// Whether nothing is under way.
    pub(super) fn are_done(&self) -> bool {
        self.asked.iter().all(|asked| matches!(asked, Asked::Nothing))
    }

    /// Reads what has come, deletes what was received, and receives again if `go_on`, also where nothing was there. `each` gets the
    /// answers with messages.
    pub(super) fn advance(&mut self, go_on: bool, mut each: impl FnMut(&[u8]) -> Fallible<()>) -> Fallible<()> {
        let Self { lines, asked, receive, delete, delete_start, handles, ids, deleted, empty } = self;
        lines.read(|line, answer, next| {
            match asked[line] {
                Asked::Receive => {
                    let mut body = delete_start.clone();
                    let mut count = 0;
                    for handle in handles.all(answer) {
                        let comma = if count == 0 { "" } else { "," };
                        body.extend(format!("{comma}{{\"Id\":\"{count}\",\"ReceiptHandle\":\"").into_bytes());
                        body.extend_from_slice(handle);
                        body.extend_from_slice(b"\"}");
                        count += 1;
                    }
                    if count > 0 {
                        each(answer)?;
                        body.extend_from_slice(b"]}");
                        delete.request_into(&body, next);
                        asked[line] = Asked::Delete(count);
                        return Ok(());
                    }
                    *empty += 1;
                }
                Asked::Delete(count) => {
                    // Those that failed have a code.
                    let failed = memchr::memmem::find(answer, b"\"Code\"").is_some();
                    if failed || ids.count(answer) != count {
                        let answer = String::from_utf8_lossy(answer);
                        return fail(format!("{count} messages were to be deleted, and this came: {answer}"));
                    }
                    *deleted += count as u64;
                }
                Asked::Nothing => return fail("an answer to nothing"),
            }
            asked[line] = Asked::Nothing;
            if go_on {
                next.extend_from_slice(receive);
                asked[line] = Asked::Receive;
            }
            Ok(())
        })
    }
}
