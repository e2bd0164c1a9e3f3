//! Bodies come back from the journal.

use std::sync::Arc;

use bytes::Bytes;
use gantry_storage::{JournalError, Reading};

use crate::inbox::{Content, Delivery, Item, Wakes};
use crate::message::Message;
use crate::queue::{End, Outcome, Stored};
use crate::shared::Shared;
use crate::stream::{Run, RunRead, RunReading};

/// What the journal keeps of a message beside head and body, usually: a guess that saves a second read.
pub(crate) const PREFIX_BYTES_USUAL: u32 = 128;

/// Reads what is stored among `items`, all at once, away from the threads that serve connections. What cannot be read
/// is taken out: a queue that was deleted meanwhile has taken its messages with it; damage is logged and the message given up.
/// The tokens of such deliveries that wanted an outcome.
pub(crate) async fn load(shared: &Arc<Shared>, items: &mut Vec<Item>) -> Vec<u64> {
    let mut lost = Vec::new();
    let readings: Vec<Reading> = items
        .iter_mut()
        .filter_map(stored_of)
        .map(|stored| Reading {
            position: stored.position,
            payload_bytes: stored.bytes.saturating_add(PREFIX_BYTES_USUAL),
        })
        .collect();
    let runs: Vec<RunReading> = items.iter().filter_map(run_of).map(Run::reading).collect();
    if readings.is_empty() && runs.is_empty() {
        return lost;
    }
    let (journal, sources) = (Arc::clone(&shared.journal), shared.sources.clone());
    let read = tokio::task::spawn_blocking(move || {
        let read = if readings.is_empty() { Vec::new() } else { journal.read(&readings) };
        (read, runs.iter().map(|run| run.read(&sources)).collect::<Vec<_>>())
    });
    let Ok((read, runs)) = read.await else {
        // The runtime is going down; nobody will send these.
        items.retain(|item| !item.is_stored());
        return lost;
    };
    // What nobody will settle by an outcome is settled here, now that it has been read.
    let stored = items.iter_mut().filter_map(stored_of);
    let ended: Vec<_> = stored.filter_map(|stored| stored.end.take()).filter_map(End::take).collect();
    if !ended.is_empty() {
        // A failed journal stops the process by itself.
        let _ = shared.journal.settle(&ended);
    }
    let mut read = read.into_iter();
    items.retain_mut(|item| {
        let Item::Delivery(delivery) = item else { return true };
        if matches!(delivery.content, Content::Loaded(_)) {
            return true;
        }
        match read.next().map(|result| restored(shared, result)) {
            Some(Ok(message)) => {
                delivery.content = Content::Loaded(message);
                true
            }
            Some(Err(error)) => {
                give_up(delivery, &error);
                lost.extend(delivery.lease.map(|_| delivery.token));
                false
            }
            None => false,
        }
    });
    if !runs.is_empty() {
        put_runs(items, runs);
    }
    lost
}

/// Puts what was read of streams in the place of what was granted.
fn put_runs(items: &mut Vec<Item>, runs: Vec<RunRead>) {
    let mut wakes = Wakes::new();
    let mut runs = runs.into_iter();
    for item in std::mem::take(items) {
        match item {
            Item::Run(run) => {
                if let Some(read) = runs.next() {
                    run.finish(read, items, &mut wakes);
                }
            }
            item => items.push(item),
        }
    }
}

fn run_of(item: &Item) -> Option<&Run> {
    match item {
        Item::Run(run) => Some(run),
        _ => None,
    }
}

fn stored_of(item: &mut Item) -> Option<&mut Stored> {
    match item {
        Item::Delivery(Delivery { content: Content::Stored(stored), .. }) => Some(stored),
        _ => None,
    }
}

/// Makes a message again from what was read.
pub(crate) fn restored(shared: &Shared, read: Result<Bytes, JournalError>) -> Result<Arc<Message>, String> {
    let bytes = read.map_err(|error| error.to_string())?;
    Message::restore(&shared.sources, bytes).map_err(|error| error.to_string())
}

fn give_up(delivery: &Delivery, error: &str) {
    if delivery.queue.is_closed() {
        return;
    }
    tracing::error!(queue = %delivery.queue.name(), error, "a stored message cannot be read and is lost");
    if let Some(lease) = delivery.lease {
        delivery.queue.settle(&[lease], Outcome::Reject, &mut Wakes::new());
    }
}
