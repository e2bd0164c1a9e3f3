//! The thread that writes and syncs. While one batch is synced the next one gathers; nothing else makes a batch larger or
//! smaller.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

use super::Shared;
use super::batch::{Batch, Part};
use super::front::{Control, Run};
use super::segment;
use super::space;
use crate::journal::Ticket;

/// How often a writer without space asks for some. It only comes to this when the disk fills up while a segment's worth of
/// records is on its way: appends are refused before.
const SPACE_RETRY: Duration = Duration::from_millis(50);

/// Runs until the journal is closed, abandoned, or has failed.
pub(super) fn run(shared: &Shared) {
    let mut control = Control::default();
    let mut bodies = Vec::new();
    let mut is_unsaved = shared.unsaved.lock().is_some();
    loop {
        let mut front = shared.front.lock();
        while !front.pending() && front.run == Run::Open {
            front.writer_idle = true;
            shared.writer_wake.wait(&mut front);
        }
        front.writer_idle = false;
        if front.run == Run::Abandoned || !front.pending() {
            return;
        }
        if is_unsaved {
            drop(front);
            is_unsaved = !shared.save_opening();
            let mut front = shared.front.lock();
            match front.run {
                _ if !is_unsaved => shared.wake_keeper(),
                Run::Open => drop(shared.writer_wake.wait_for(&mut front, SPACE_RETRY)),
                Run::Closing | Run::Abandoned => return,
            }
            continue;
        }
        front.swap_control(&mut control);
        if !control.is_empty() {
            drop(front);
            control.drain(&mut bodies);
            front = shared.front.lock();
            front.put_control(&mut bodies);
        }
        let batch = front.take_batch();
        let rolled = !front.sealed.is_empty();
        drop(front);
        match write(shared, &batch) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return shared.fail(&error),
        }
        publish(shared, batch, rolled);
    }
}

fn publish(shared: &Shared, batch: Arc<Batch>, rolled: bool) {
    let (ticket, bytes) = (batch.ticket, batch.bytes);
    let dead = {
        let mut front = shared.front.lock();
        front.inflight = None;
        front.recycle(batch);
        !front.dead.is_empty()
    };
    shared.backlog_bytes.fetch_sub(bytes, Relaxed);
    shared.durable.store(ticket, Release);
    if let Some(sender) = shared.sender.lock().as_ref() {
        sender.send_replace(Ticket(ticket));
    }
    if rolled || dead || shared.keeper_waits.load(Relaxed) {
        shared.wake_keeper();
    }
}

/// Writes and syncs a batch. `Ok(false)` when the journal was abandoned or closed while it waited for space.
fn write(shared: &Shared, batch: &Batch) -> Result<bool, String> {
    let mut new_names = false;
    let last = batch.parts.len() - 1;
    for (index, part) in batch.parts.iter().enumerate() {
        let name = || segment::segment_path(&shared.dir, part.segment.identity.number).display().to_string();
        let Some(file) = open(shared, part, &mut new_names).map_err(|error| format!("opening {}: {error}", name()))?
        else {
            return Ok(false);
        };
        shared
            .options
            .faults
            .write()
            .and_then(|()| file.write_all_at(&part.bytes, u64::from(part.start)))
            .map_err(|error| format!("writing {}: {error}", name()))?;
        // A segment is whole on the disk before the next one has anything: a torn tail is only ever in the last one.
        sync(shared, file).map_err(|error| format!("syncing {}: {error}", name()))?;
        shared.written_bytes.fetch_add(part.bytes.len() as u64, Relaxed);
        shared.syncs.fetch_add(1, Relaxed);
        if new_names && index == last {
            File::open(&shared.dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|error| format!("syncing {}: {error}", shared.dir.display()))?;
        }
    }
    Ok(true)
}

fn sync(shared: &Shared, file: &File) -> io::Result<()> {
    shared.options.faults.sync()?;
    file.sync_data()
}

/// The file of a part, opened where this is the first write to it. `None` when the journal was abandoned or closed meanwhile.
fn open<'a>(shared: &Shared, part: &'a Part, new_names: &mut bool) -> io::Result<Option<&'a File>> {
    if let Some(file) = part.segment.file.get() {
        return Ok(Some(file));
    }
    let path = segment::segment_path(&shared.dir, part.segment.identity.number);
    let capacity = part.segment.capacity;
    *new_names = true;
    loop {
        let spare = if capacity == shared.options.segment_bytes { shared.spares.lock().take() } else { None };
        match space::open_segment(&path, capacity, spare.as_deref()) {
            Ok(file) => return Ok(Some(part.segment.file.get_or_init(|| file))),
            Err(error) if space::is_full(&error) => {
                shared.full.store(true, Relaxed);
                shared.wake_keeper();
                let mut front = shared.front.lock();
                if front.run != Run::Open {
                    return Ok(None);
                }
                shared.writer_wake.wait_for(&mut front, SPACE_RETRY);
            }
            Err(error) => return Err(error),
        }
    }
}
