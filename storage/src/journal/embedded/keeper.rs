//! The thread that keeps house, away from the path of records: writes indexes and checkpoints, frees what is dead, keeps spare
//! files, watches the free space, compacts.

use std::fs;
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use super::Shared;
use super::checkpoint::{Checkpoint, SegmentState};
use super::front::Front;
use super::live::LiveSet;
use super::segment;
use super::{compaction, space};

/// How often the free space is looked at when nothing else happens.
const WATCH: Duration = Duration::from_secs(1);
/// The same while the disk is full.
const WATCH_FULL: Duration = Duration::from_millis(100);
/// A checkpoint is put off when the log takes longer than this to catch up with it.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// What others want of the keeper.
#[derive(Debug, Default)]
pub(super) struct Signal {
    /// Something is to be done.
    pub(super) poked: bool,
    /// It is to end.
    pub(super) stop: bool,
}

/// What only the keeper knows.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The first segment that the checkpoint on disk does not cover.
    covered: u32,
    /// Segments that could not be compacted.
    skipped: Vec<u32>,
}

impl Keeper {
    /// Goes on from the checkpoint that recovery wrote.
    pub(super) fn new(covered: u32) -> Keeper {
        Keeper { covered, skipped: Vec::new() }
    }

    /// Runs until it is told to stop.
    pub(super) fn run(mut self, shared: &Shared) -> Keeper {
        loop {
            {
                let watch = if shared.full.load(Relaxed) { WATCH_FULL } else { WATCH };
                let until = Instant::now() + watch;
                let mut signal = shared.signal.lock();
                while !signal.poked && !signal.stop {
                    if shared.keeper_wake.wait_until(&mut signal, until).timed_out() {
                        break;
                    }
                }
                if signal.stop {
                    return self;
                }
                signal.poked = false;
            }
            if shared.failed.load(Acquire) {
                continue;
            }
            if !shared.save_opening() {
                // Whatever is tidied up counts on that checkpoint.
                watch_space(shared);
                continue;
            }
            self.tidy(shared);
            while !shared.stopping() && self.compact_one(shared) {
                self.tidy(shared);
            }
        }
    }

    /// Does what is due, but for compaction.
    pub(super) fn tidy(&mut self, shared: &Shared) {
        save_indexes(shared);
        if let Err(error) = self.checkpoint(shared) {
            tracing::warn!(%error, "the journal's checkpoint was not written");
        }
        self.free_dead(shared);
        // Last, since making a spare takes long, and a checkpoint that waits makes the next start slow.
        watch_space(shared);
    }

    /// Writes a checkpoint when a segment has ended since the last one.
    fn checkpoint(&mut self, shared: &Shared) -> io::Result<()> {
        let (checkpoint, ticket) = {
            let front = shared.front.lock();
            if front.active.number() == self.covered {
                return Ok(());
            }
            (snapshot(&front, false), front.ticket)
        };
        // It may know of half a transaction whose other half is not on the disk yet: it must not be the first to tell.
        if shared.wait_durable(ticket, PATIENCE) {
            let bytes = checkpoint.save(&shared.dir, || shared.spares.lock().take())?;
            shared.checkpoint_bytes.store(bytes, Relaxed);
            self.covered = checkpoint.next;
        }
        Ok(())
    }

    /// Frees segments in which nothing is alive, once the log says so durably and a checkpoint has taken over what they
    /// say of others.
    fn free_dead(&mut self, shared: &Shared) {
        let durable = shared.durable.load(Acquire);
        let covered = self.covered;
        let mut freed = Vec::new();
        {
            let mut front = shared.front.lock();
            let front = &mut *front;
            let segments = &mut front.segments;
            front.dead.retain(|&number| {
                let ready = number < covered
                    && segments
                        .get(&number)
                        .is_some_and(|segment| segment.dead.is_some_and(|ticket| ticket <= durable));
                if ready && let Some(segment) = segments.remove(&number) {
                    freed.push(segment);
                }
                !ready
            });
        }
        for segment in freed {
            self.skipped.retain(|&number| number != segment.number());
            if let Err(error) = free(shared, &segment) {
                tracing::warn!(%error, segment = segment.number(), "a segment was not freed");
            }
        }
    }

    /// Compacts one segment, where one is worth it.
    fn compact_one(&mut self, shared: &Shared) -> bool {
        let candidate = shared.front.lock().segments.range(..self.covered).find_map(|(&number, segment)| {
            (segment.live.refs() > 0
                && compaction::is_worth(segment.live.bytes(), segment.file.capacity)
                && !self.skipped.contains(&number))
            .then_some(number)
        });
        let Some(number) = candidate else { return false };
        match compaction::compact(shared, number) {
            Ok(true) => true,
            // The log has not caught up: later.
            Ok(false) => false,
            Err(error) => {
                tracing::error!(%error, segment = number, "a segment was not compacted");
                self.skipped.push(number);
                true
            }
        }
    }

    /// After the last batch: everything that makes the next start quick.
    pub(super) fn finish(mut self, shared: &Shared) -> io::Result<()> {
        save_indexes(shared);
        let checkpoint = snapshot(&shared.front.lock(), true);
        checkpoint.save(&shared.dir, || shared.spares.lock().take())?;
        self.covered = checkpoint.next;
        self.free_dead(shared);
        // The rest of the last segment will not be written any more.
        let front = shared.front.lock();
        if let Some(segment) = front.segments.values().next_back()
            && segment.file.identity.variant == 0
            && let Some(file) = segment.file.file.get()
        {
            file.set_len(u64::from(segment.end).next_multiple_of(segment::PAGE_BYTES as u64))?;
        }
        Ok(())
    }
}

/// What is alive before the active segment.
pub(super) fn snapshot(front: &Front, clean: bool) -> Checkpoint<LiveSet> {
    let segments = front
        .segments
        .values()
        .filter(|segment| segment.live.refs() > 0)
        .map(|segment| SegmentState {
            number: segment.number(),
            generation: segment.file.identity.generation,
            end: segment.end,
            slots: segment.slots,
            live: segment.live.set(),
            marks: segment.marks.iter().map(|(&slot, &value)| (slot, value)).collect(),
        })
        .collect();
    Checkpoint { next: front.active.number(), clean, segments, notes: front.notes.clone() }
}

fn save_indexes(shared: &Shared) {
    let sealed = std::mem::take(&mut shared.front.lock().sealed);
    for sealed in sealed {
        let identity = shared.front.lock().segment(sealed.number).map(|segment| segment.file.identity);
        // One that ended after the last look and was compacted since has an index of what is left in it. This one tells of
        // places that are not there any more.
        let Some(identity) = identity.filter(|identity| identity.variant == 0) else { continue };
        match sealed.index.save(&shared.dir, &identity) {
            Ok(bytes) => {
                if let Some(segment) = shared.front.lock().segment_mut(sealed.number) {
                    segment.index_bytes = bytes;
                }
            }
            // The next start reads the segment instead.
            Err(error) => tracing::warn!(%error, segment = sealed.number, "a segment's index was not written"),
        }
    }
}

fn free(shared: &Shared, segment: &segment::Segment) -> io::Result<()> {
    let path = segment::segment_path(&shared.dir, segment.number());
    let index = segment::index_path(&shared.dir, segment.number());
    let is_whole = segment.file.identity.variant == 0 && segment.file.capacity == shared.options.segment_bytes;
    {
        let mut spares = shared.spares.lock();
        if is_whole && spares.count() < space::SPARES_MAX {
            let spare = spares.name(&shared.dir);
            fs::rename(&path, &spare)?;
            spares.put(spare);
        } else {
            fs::remove_file(&path)?;
        }
    }
    match fs::remove_file(index) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Keeps spare files, and finds out whether the disk is full.
pub(super) fn watch_space(shared: &Shared) {
    let lacking = lacking(shared);
    shared.full.store(lacking.is_some(), Relaxed);
    let dir = shared.dir.display();
    match (shared.told_full.swap(lacking.is_some(), Relaxed), lacking) {
        (false, Some(Lacking { free_bytes, needed_bytes })) => tracing::warn!(
            %dir,
            free_bytes,
            needed_bytes,
            "the journal's disk is full: appends are refused until as much as a segment needs is free"
        ),
        (true, None) => tracing::info!(%dir, "the journal's disk has space again"),
        _ => {}
    }
}

/// What is there, and what would have to be.
#[derive(Clone, Copy, Debug)]
struct Lacking {
    free_bytes: u64,
    needed_bytes: u64,
}

fn lacking(shared: &Shared) -> Option<Lacking> {
    let segment_bytes = shared.options.segment_bytes;
    let least = shared.options.disk_free_min_bytes;
    let needed_bytes = least.saturating_add(segment_bytes);
    // Where the file system does not tell, only a failed reservation shows that it is full.
    let free = || space::free_bytes(&shared.dir).unwrap_or(u64::MAX);
    let lacks = || Some(Lacking { free_bytes: free(), needed_bytes });
    if shared.options.faults.full() || shared.unsaved.lock().is_some() || free() < least {
        return lacks();
    }
    let lacks_spare = || if shared.spares.lock().count() < space::SPARES_LEAST { lacks() } else { None };
    if free() < needed_bytes {
        return lacks_spare();
    }
    let wanted = if shared.front.lock().active.number() > shared.first { space::SPARES_LEAST } else { 1 };
    if shared.spares.lock().count() < wanted {
        let path = shared.spares.lock().name(&shared.dir);
        match space::make_spare(&path, segment_bytes) {
            Ok(()) => {
                shared.spares.lock().put(path);
                // One at a time: there may be something else to do before the next.
                shared.wake_keeper();
            }
            Err(error) if space::is_full(&error) => return lacks_spare(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a spare segment was not made");
            }
        }
    }
    None
}
