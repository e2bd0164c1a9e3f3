//! The journal in segment files.
//!
//! | file | about |
//! | --- | --- |
//! | `frame` | how a record is framed and checked |
//! | `segment` | files of segments and their header |
//! | `live` | which references are alive |
//! | `front` | what is behind the lock: the batch that gathers |
//! | `batch`, `writer` | what is written, and the thread that does it |
//! | `reader` | reading back by position |
//! | `index` | the file beside a sealed segment |
//! | `checkpoint` | what is alive, in one file |
//! | `scan`, `recovery` | opening a folder |
//! | `keeper`, `space`, `compaction` | the thread that keeps house |
//! | `ranges`, `varint` | coding |

mod batch;
mod checkpoint;
mod compaction;
mod frame;
mod front;
mod index;
mod keeper;
mod live;
mod ranges;
mod reader;
mod recovery;
mod scan;
mod segment;
mod space;
#[cfg(test)]
mod tests;
pub(crate) mod varint;
mod writer;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use self::front::{Front, Prepared, Run};
use self::keeper::{Keeper, Signal};
use self::recovery::Unsaved;
use self::space::Spares;
pub(crate) use self::space::{free_bytes, is_full};
use super::{
    Append, Appended, Faults, Journal, JournalError, META_BYTES_MAX, Mark, Note, Position, RECORD_BYTES_MAX, Reading,
    Recovery, Ticket, Transaction, Usage,
};

/// Told once why the journal has failed.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Least length of a segment.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Greatest length of a segment.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// How an [`EmbeddedJournal`] is to be.
#[derive(Clone)]
pub struct JournalOptions {
    /// Length of a segment file in bytes: 64 KiB to 1 GiB, rounded up to whole pages of 4 KiB. 64 MiB if nothing is said. A
    /// record that is longer gets a segment of its own.
    pub segment_bytes: u64,
    /// Appends are refused while the file system has less free than this, in bytes. 256 MiB if nothing is said.
    pub disk_free_min_bytes: u64,
    /// Called once, from the journal's thread, when a write or a sync has failed. The program stops the process there.
    pub on_fatal: Option<OnFatal>,
    /// What is to go wrong, in tests.
    pub faults: Faults,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions {
            segment_bytes: 64 << 20,
            disk_free_min_bytes: 256 << 20,
            on_fatal: None,
            faults: Faults::default(),
        }
    }
}

impl fmt::Debug for JournalOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("disk_free_min_bytes", &self.disk_free_min_bytes)
            .finish_non_exhaustive()
    }
}

/// What the callers and the threads of a journal share.
#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    options: JournalOptions,
    /// The segment that this opening began with.
    first: u32,
    front: Mutex<Front>,
    writer_wake: Condvar,
    durable: AtomicU64,
    sender: Mutex<Option<watch::Sender<Ticket>>>,
    receiver: watch::Receiver<Ticket>,
    failed: AtomicBool,
    failure: Mutex<String>,
    full: AtomicBool,
    /// The program's log says that it is full.
    told_full: AtomicBool,
    backlog_bytes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
    checkpoint_bytes: AtomicU64,
    spares: Mutex<Spares>,
    /// The checkpoint of this opening, while there is no space for it.
    unsaved: Mutex<Option<Unsaved>>,
    signal: Mutex<Signal>,
    keeper_wake: Condvar,
    keeper_waits: AtomicBool,
}

impl Shared {
    fn wake_keeper(&self) {
        self.signal.lock().poked = true;
        self.keeper_wake.notify_one();
    }

    fn stopping(&self) -> bool {
        self.signal.lock().stop
    }

    /// For the keeper: waits until the log has caught up. False when it takes too long or never will.
    fn wait_durable(&self, ticket: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        self.keeper_waits.store(true, Relaxed);
        let mut signal = self.signal.lock();
        let reached = loop {
            if self.durable.load(Acquire) >= ticket {
                break true;
            }
            let gone = signal.stop || self.failed.load(Acquire);
            if gone || self.keeper_wake.wait_until(&mut signal, until).timed_out() {
                break self.durable.load(Acquire) >= ticket;
            }
        };
        self.keeper_waits.store(false, Relaxed);
        reached
    }

    /// Whether the checkpoint of this opening is on the disk, once it was tried again where it is not.
    fn save_opening(&self) -> bool {
        let mut unsaved = self.unsaved.lock();
        let Some(checkpoint) = unsaved.as_ref() else { return true };
        match checkpoint.save(&self.dir, &mut self.spares.lock(), &self.options.faults) {
            Ok(bytes) => {
                self.checkpoint_bytes.store(bytes, Relaxed);
                *unsaved = None;
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the journal's first checkpoint was not written");
                false
            }
        }
    }

    /// Nothing is made durable any more.
    fn fail(&self, what: &str) {
        *self.failure.lock() = what.to_owned();
        if self.failed.swap(true, AcqRel) {
            return;
        }
        tracing::error!(error = what, "the journal has failed");
        drop(self.sender.lock().take());
        if let Some(on_fatal) = &self.options.on_fatal {
            on_fatal(what);
        }
    }

    fn check(&self) -> Result<(), JournalError> {
        if self.failed.load(Acquire) { Err(JournalError::Failed(self.failure.lock().clone())) } else { Ok(()) }
    }

    fn check_space(&self, record_bytes: u64) -> Result<(), JournalError> {
        if self.full.load(Relaxed) || self.options.faults.full() {
            return Err(JournalError::Full);
        }
        // It gets a file of its own, which nobody has set aside.
        if record_bytes > self.options.segment_bytes
            && free_bytes(&self.dir)
                .is_ok_and(|free| free < record_bytes.saturating_add(self.options.disk_free_min_bytes))
        {
            return Err(JournalError::Full);
        }
        Ok(())
    }

    /// Refuses records that would begin a segment for which no file can be had, or with which the last file would go that
    /// settlements may need. Without it the keeper's word that there is space could be a whole segment old, and the writer
    /// would wait for space that only settlements behind it can make.
    fn check_roll(&self, front: &Front, frame_bytes: usize) -> Result<(), JournalError> {
        let begun = usize::from(front.rolls(frame_bytes)) + front.unopened();
        if begun == 0 {
            return Ok(());
        }
        let wanted = begun - 1 + space::SPARES_LEAST;
        let lacking = wanted.saturating_sub(self.spares.lock().count()) as u64;
        let segment_bytes = self.options.segment_bytes;
        // And something for what the keeper writes in the meantime: an index for each segment, and what it compacts.
        let needed_bytes = lacking * (segment_bytes + segment_bytes / 8) + segment_bytes;
        let needed_bytes = self.options.disk_free_min_bytes.saturating_add(needed_bytes);
        if lacking == 0 || free_bytes(&self.dir).is_ok_and(|free| free >= needed_bytes) {
            return Ok(());
        }
        self.full.store(true, Relaxed);
        self.wake_keeper();
        Err(JournalError::Full)
    }

    /// Takes the lock for a change, gives it a ticket, and wakes the writer if it waits. One that is refused has changed nothing.
    fn change<T>(
        &self,
        apply: impl FnOnce(&mut Front) -> Result<T, JournalError>,
    ) -> Result<(T, Ticket), JournalError> {
        let mut front = self.front.lock();
        if front.run != Run::Open {
            return Err(JournalError::Failed("it is closed".to_owned()));
        }
        let value = apply(&mut front)?;
        let (ticket, wake) = front.issue();
        drop(front);
        if wake {
            self.writer_wake.notify_one();
        }
        Ok((value, Ticket(ticket)))
    }
}

/// Codes the head of an entry behind what is in `heads`, and says how long it is.
fn put_head(heads: &mut Vec<u8>, record: &Append<'_>) -> Result<usize, JournalError> {
    let too_large = |bytes: u64, limit: u64| Err(JournalError::TooLarge { bytes, limit });
    if record.meta.len() > META_BYTES_MAX {
        return too_large(record.meta.len() as u64, META_BYTES_MAX as u64);
    }
    let from = heads.len();
    frame::put_head(heads, record.refs, record.meta);
    let head_bytes = heads.len() - from;
    let record_bytes = head_bytes as u64 + record.payload.iter().map(|part| part.len() as u64).sum::<u64>();
    if head_bytes > frame::HEAD_BYTES_MAX || record_bytes > RECORD_BYTES_MAX {
        return too_large(record_bytes, RECORD_BYTES_MAX);
    }
    Ok(head_bytes)
}

fn prepare<'a>(record: &Append<'a>, head: &'a [u8]) -> Prepared<'a> {
    let mut crc = crc32c::crc32c(head);
    let mut payload_bytes = 0;
    for part in record.payload {
        crc = crc32c::crc32c_append(crc, part);
        payload_bytes += part.len() as u32;
    }
    Prepared { refs: record.refs.len() as u32, head, payload: record.payload, payload_bytes, crc }
}

thread_local! {
    /// Heads are coded here before the lock is taken.
    static HEADS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`HEADS`] that grew beyond this is given back.
const HEADS_BYTES_KEPT: usize = 64 << 10;

fn with_heads<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    HEADS.with_borrow_mut(|heads| {
        heads.clear();
        let value = work(heads);
        if heads.capacity() > HEADS_BYTES_KEPT {
            *heads = Vec::new();
        }
        value
    })
}

/// The journal in segment files. See the crate's page for the format and for what becomes of a segment.
///
/// Dropping it without [`Journal::close`] leaves the folder as a crash would: what is not durable may be lost.
#[derive(Debug)]
pub struct EmbeddedJournal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    keeper: Mutex<Option<JoinHandle<Keeper>>>,
}

impl EmbeddedJournal {
    /// Opens the journal in a folder of its own, which is made if it is not there, and tells `recovery` what is alive. Only one
    /// may be open at a time; [`crate::DataDir`] sees to that.
    ///
    /// On a full disk it opens as well, and [`Usage::full`] says so: what is alive can be read, and what is said of it is kept in
    /// memory, and no ticket resolves until there is space to write it.
    ///
    /// # Errors
    /// [`JournalError::Unusable`] names the file and what is wrong with it; [`JournalError::Io`] what the system refused.
    pub fn open(
        dir: &Path,
        options: JournalOptions,
        recovery: &mut dyn Recovery,
    ) -> Result<EmbeddedJournal, JournalError> {
        let segment_bytes = options
            .segment_bytes
            .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
            .next_multiple_of(segment::PAGE_BYTES as u64);
        let options = JournalOptions { segment_bytes, ..options };
        let opened = recovery::recover(dir, &options, recovery)?;
        let first = opened.front.active.number();
        let (sender, receiver) = watch::channel(Ticket(0));
        let full = opened.unsaved.is_some()
            || options.faults.full()
            || free_bytes(dir).is_ok_and(|free| free < options.disk_free_min_bytes);
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            first,
            front: Mutex::new(opened.front),
            writer_wake: Condvar::new(),
            durable: AtomicU64::new(0),
            sender: Mutex::new(Some(sender)),
            receiver,
            failed: AtomicBool::new(false),
            failure: Mutex::new(String::new()),
            full: AtomicBool::new(full),
            told_full: AtomicBool::new(false),
            backlog_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            checkpoint_bytes: AtomicU64::new(opened.checkpoint_bytes),
            spares: Mutex::new(opened.spares),
            unsaved: Mutex::new(opened.unsaved),
            // There is a spare file to be made.
            signal: Mutex::new(Signal { poked: true, stop: false }),
            keeper_wake: Condvar::new(),
            keeper_waits: AtomicBool::new(false),
        });
        let failed = |source| JournalError::Io { what: "starting a thread of the journal".to_owned(), source };
        let for_writer = Arc::clone(&shared);
        let for_keeper = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || writer::run(&for_writer))
            .map_err(failed)?;
        // From here on a drop stops the writer.
        let journal = EmbeddedJournal { shared, writer: Mutex::new(Some(writer)), keeper: Mutex::new(None) };
        let keeper = std::thread::Builder::new()
            .name("journal-keeper".to_owned())
            .spawn(move || Keeper::new(first).run(&for_keeper))
            .map_err(failed)?;
        *journal.keeper.lock() = Some(keeper);
        Ok(journal)
    }

    fn stop_keeper(&self) -> Option<Keeper> {
        self.shared.signal.lock().stop = true;
        self.shared.keeper_wake.notify_one();
        self.keeper.lock().take()?.join().ok()
    }
}

impl Journal for EmbeddedJournal {
    fn append(&self, record: Append<'_>) -> Result<Appended, JournalError> {
        self.shared.check()?;
        with_heads(|heads| {
            put_head(heads, &record)?;
            let entry = prepare(&record, heads);
            let bytes = entry.frame_bytes() as u64;
            self.shared.check_space(bytes)?;
            let (position, ticket) = self.shared.change(|front| {
                self.shared.check_roll(front, entry.frame_bytes())?;
                self.shared.backlog_bytes.fetch_add(bytes, Relaxed);
                Ok(front.append(&entry))
            })?;
            Ok(Appended { position, ticket })
        })
    }

    fn settle(&self, positions: &[Position]) -> Result<Ticket, JournalError> {
        self.shared.check()?;
        Ok(self
            .shared
            .change(|front| {
                front.settle(positions);
                Ok(())
            })?
            .1)
    }

    fn mark(&self, marks: &[Mark]) -> Result<Ticket, JournalError> {
        self.shared.check()?;
        Ok(self
            .shared
            .change(|front| {
                marks.iter().for_each(|mark| front.mark(mark.position, mark.value));
                Ok(())
            })?
            .1)
    }

    fn note(&self, note: Note) -> Result<Ticket, JournalError> {
        self.shared.check()?;
        Ok(self
            .shared
            .change(|front| {
                front.note(note.lane, note.value);
                Ok(())
            })?
            .1)
    }

    fn transact(&self, transaction: &Transaction<'_>) -> Result<(Vec<Appended>, Ticket), JournalError> {
        self.shared.check()?;
        let Transaction { appends, settles } = transaction;
        if appends.is_empty() {
            return Ok((Vec::new(), self.settle(settles)?));
        }
        with_heads(|heads| {
            let lengths = appends.iter().map(|record| put_head(heads, record)).collect::<Result<Vec<_>, _>>()?;
            let mut rest = heads.as_slice();
            let mut entries = Vec::with_capacity(appends.len());
            for (record, length) in appends.iter().zip(lengths) {
                let (head, others) = rest.split_at(length);
                entries.push(prepare(record, head));
                rest = others;
            }
            let bytes = entries.iter().map(|entry| entry.frame_bytes() as u64).sum::<u64>();
            if bytes > RECORD_BYTES_MAX {
                return Err(JournalError::TooLarge { bytes, limit: RECORD_BYTES_MAX });
            }
            self.shared.check_space(bytes)?;
            let mut head = Vec::new();
            let (positions, ticket) = self.shared.change(|front| {
                self.shared.check_roll(front, front::group_bytes(&entries, settles))?;
                self.shared.backlog_bytes.fetch_add(bytes, Relaxed);
                Ok(front.group(&entries, settles, &mut head))
            })?;
            Ok((positions.into_iter().map(|position| Appended { position, ticket }).collect(), ticket))
        })
    }

    fn read(&self, readings: &[Reading]) -> Vec<Result<Bytes, JournalError>> {
        reader::read(&self.shared, readings)
    }

    fn appended(&self) -> Ticket {
        Ticket(self.shared.front.lock().ticket)
    }

    fn durable(&self) -> Ticket {
        Ticket(self.shared.durable.load(Acquire))
    }

    fn watch(&self) -> watch::Receiver<Ticket> {
        self.shared.receiver.clone()
    }

    fn backlog_bytes(&self) -> u64 {
        self.shared.backlog_bytes.load(Relaxed)
    }

    fn usage(&self) -> Usage {
        let shared = &self.shared;
        let spares = shared.spares.lock().count() as u64;
        let mut usage = Usage {
            disk_bytes: spares * shared.options.segment_bytes + shared.checkpoint_bytes.load(Relaxed),
            backlog_bytes: self.backlog_bytes(),
            written_bytes: shared.written_bytes.load(Relaxed),
            syncs: shared.syncs.load(Relaxed),
            full: shared.full.load(Relaxed) || shared.options.faults.full(),
            ..Usage::default()
        };
        for segment in shared.front.lock().all() {
            usage.segments += 1;
            usage.live_bytes += segment.live.bytes();
            usage.live_refs += u64::from(segment.live.refs());
            usage.disk_bytes += segment.index_bytes;
            if segment.file.file.get().is_some() {
                usage.disk_bytes += segment.file.capacity;
            }
        }
        usage
    }

    fn close(&self) -> Result<(), JournalError> {
        let Some(writer) = self.writer.lock().take() else { return Ok(()) };
        self.shared.front.lock().finish();
        self.shared.writer_wake.notify_one();
        let panicked = writer.join().is_err();
        let keeper = self.stop_keeper();
        self.shared.check()?;
        if !panicked && self.shared.durable.load(Acquire) < self.shared.front.lock().ticket {
            // The writer gave up. What was not written is as if it had not happened, and so no checkpoint may tell of it.
            return Err(JournalError::Full);
        }
        if panicked {
            return Err(JournalError::Failed("its thread panicked".to_owned()));
        }
        let Some(keeper) = keeper else { return Ok(()) };
        let what = || format!("closing the journal: {}", self.shared.dir.display());
        keeper.finish(&self.shared).map_err(|source| JournalError::Io { what: what(), source })
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        self.shared.front.lock().run = Run::Abandoned;
        self.shared.writer_wake.notify_one();
        let writer = self.writer.lock().take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
        drop(self.stop_keeper());
    }
}
