//! Opening a folder: the checkpoint, the indexes of the segments that it covers, and a scan of those that came after.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalOptions;
use super::checkpoint::{self, Checkpoint, SlotBits};
use super::front::Front;
use super::index::Index;
use super::keeper;
use super::live::{Live, LiveSet};
use super::ranges::Range;
use super::scan::{self, Said, Scanned};
use super::segment::{self, Identity, PAGE_BYTES, Segment, SegmentFile};
use super::space::{Spares, is_full};
use crate::journal::{Faults, JournalError, Position, Recovered, Recovery};

/// What was found.
#[derive(Debug)]
pub(super) struct Opened {
    /// The state to go on with.
    pub(super) front: Front,
    /// Files that wait for a segment.
    pub(super) spares: Spares,
    /// Length of the new checkpoint.
    pub(super) checkpoint_bytes: u64,
    /// What there was no space for.
    pub(super) unsaved: Option<Unsaved>,
}

/// The checkpoint of an opening that is not on the disk. Until it is there, nothing may be written: what was found
/// may end in a torn tail, and no segment may follow one.
#[derive(Debug)]
pub(super) struct Unsaved {
    checkpoint: Checkpoint<LiveSet>,
    /// Files that nobody needs once it is there.
    leftovers: Vec<PathBuf>,
}

impl Unsaved {
    /// Puts it in place. Says how long it is.
    pub(super) fn save(&self, dir: &Path, spares: &mut Spares, faults: &Faults) -> io::Result<u64> {
        if faults.full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = self.checkpoint.save(dir, || spares.take())?;
        // The checkpoint has taken over what they said of others.
        for path in &self.leftovers {
            fs::remove_file(path).or_else(missing_is_fine)?;
        }
        Ok(bytes)
    }

    /// Removes what is not needed even now: indexes, which only save time, and segments of which the checkpoint on the disk
    /// has taken over what they said, and which the log, once it is synced, says to be settled.
    fn make_room(&mut self, listing: &Listing, covered: u32) -> Result<(), JournalError> {
        for path in listing.segments.range(covered..).map(|(_, path)| path) {
            File::open(path).and_then(|file| file.sync_data()).map_err(io_error(path))?;
        }
        let needed: HashSet<_> = listing.segments.range(covered..).map(|(_, path)| path).collect();
        let mut later = Vec::new();
        for path in self.leftovers.drain(..) {
            if needed.contains(&path) {
                later.push(path);
            } else {
                fs::remove_file(&path).map_err(io_error(&path))?;
            }
        }
        self.leftovers = later;
        Ok(())
    }
}

/// An index only saves time, so there need not be space for it. Says how long it is.
fn save_index(index: &Index, dir: &Path, identity: &Identity) -> Result<u64, JournalError> {
    let path = segment::index_path(dir, identity.number);
    match index.save(dir, identity) {
        Err(error) if is_full(&error) => {
            fs::remove_file(&path).or_else(missing_is_fine).map_err(io_error(&path))?;
            Ok(0)
        }
        other => other.map_err(io_error(&path)),
    }
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A segment, while it is not yet clear what of it is alive.
#[derive(Debug)]
struct Found {
    identity: Identity,
    end: u32,
    slots: u32,
    live: SlotBits,
    marks: HashMap<u32, u64>,
    /// Where the segment was scanned.
    index: Option<Index>,
    file: Option<File>,
}

/// The folder's files by what they are.
#[derive(Debug, Default)]
struct Listing {
    segments: BTreeMap<u32, PathBuf>,
    indexes: BTreeMap<u32, PathBuf>,
    spares: Vec<PathBuf>,
}

fn unusable(path: &Path, what: impl std::fmt::Display) -> JournalError {
    JournalError::Unusable(format!("the journal cannot be opened: {}: {what}", path.display()))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let what = format!("opening the journal: {}", path.display());
    move |source| JournalError::Io { what, source }
}

impl Listing {
    fn read(dir: &Path) -> Result<Listing, JournalError> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(dir).map_err(io_error(dir))? {
            let path = entry.map_err(io_error(dir))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let number = |suffix| name.strip_suffix(suffix).and_then(|number| number.parse::<u32>().ok());
            if name.ends_with(".new") {
                // Was never put in place.
                fs::remove_file(&path).map_err(io_error(&path))?;
            } else if let Some(number) = number(".seg") {
                listing.segments.insert(number, path);
            } else if let Some(number) = number(".idx") {
                listing.indexes.insert(number, path);
            } else if name.starts_with("spare-") && name.ends_with(".seg") {
                listing.spares.push(path);
            }
        }
        listing.spares.sort();
        Ok(listing)
    }
}

fn open_file(path: &Path) -> Result<(File, Option<Identity>), JournalError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error(path))?;
    let mut header = [0; segment::HEADER_BYTES];
    let length = file.metadata().map_err(io_error(path))?.len();
    if length < header.len() as u64 {
        return Ok((file, None));
    }
    file.read_exact_at(&mut header, 0).map_err(io_error(path))?;
    let identity = Identity::decode(&header).map_err(|what| unusable(path, what))?;
    Ok((file, identity))
}

/// Opens a folder, tells what is alive, and leaves a checkpoint that says that the journal is in use. Where there is no space
/// for it, the caller puts it there before anything is written.
pub(super) fn recover(
    dir: &Path,
    options: &JournalOptions,
    recovery: &mut dyn Recovery,
) -> Result<Opened, JournalError> {
    fs::create_dir_all(dir).map_err(io_error(dir))?;
    let listing = Listing::read(dir)?;
    let checkpoint_path = dir.join(checkpoint::NAME);
    let checkpoint = Checkpoint::load(dir).map_err(|what| unusable(&checkpoint_path, what))?;
    let is_new = checkpoint.is_none();
    let checkpoint = match checkpoint {
        Some(checkpoint) => checkpoint,
        None if listing.segments.is_empty() => {
            Checkpoint { next: 1, clean: true, segments: Vec::new(), notes: HashMap::new() }
        }
        None => return Err(unusable(&checkpoint_path, "it is missing, but there are segments")),
    };
    let covered = checkpoint.next;
    let mut notes = checkpoint.notes;
    let mut found: BTreeMap<u32, Found> = BTreeMap::new();
    for state in checkpoint.segments {
        let identity = Identity { number: state.number, generation: state.generation, variant: 0 };
        let marks = state.marks.into_iter().collect();
        let (end, slots, live) = (state.end, state.slots, state.live);
        found.insert(state.number, Found { identity, end, slots, live, marks, index: None, file: None });
    }
    let next = replay(&listing, checkpoint.next, &mut found, &mut notes)?;
    recovery.clean(checkpoint.clean && next == checkpoint.next);

    let mut segments = BTreeMap::new();
    for (number, state) in found {
        if !state.live.any() {
            continue;
        }
        let segment = hand_over(dir, &listing, state, recovery)?;
        segments.insert(number, segment);
    }
    for (&lane, &value) in &notes {
        recovery.note(lane, value);
    }

    let front = Front::new(segments, notes, next, options.segment_bytes);
    let mut spares = Spares::default();
    for path in &listing.spares {
        spares.adopt(path.clone(), options.segment_bytes).map_err(io_error(path))?;
    }
    // What is not alive goes, whatever left it behind.
    let leftovers = listing.segments.iter().chain(&listing.indexes).filter_map(|(number, path)| {
        let keep = front.segments.contains_key(number);
        (!keep).then(|| path.clone())
    });
    let mut unsaved = Unsaved { leftovers: leftovers.collect(), checkpoint: keeper::snapshot(&front, false) };
    let mut saved = unsaved.save(dir, &mut spares, &options.faults);
    if saved.as_ref().is_err_and(is_full) {
        unsaved.make_room(&listing, covered)?;
        saved = unsaved.save(dir, &mut spares, &options.faults);
    }
    let (checkpoint_bytes, unsaved) = match saved {
        Ok(bytes) => (bytes, None),
        Err(error) if is_full(&error) => {
            checkpoint::mark_in_use(dir).map_err(io_error(&checkpoint_path))?;
            (0, Some(unsaved))
        }
        Err(error) => return Err(io_error(&checkpoint_path)(error)),
    };
    if is_new && let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(io_error(parent))?;
    }
    Ok(Opened { front, spares, checkpoint_bytes, unsaved })
}

/// Scans the segments that the checkpoint does not cover. Says which number comes next.
fn replay(
    listing: &Listing,
    first: u32,
    found: &mut BTreeMap<u32, Found>,
    notes: &mut HashMap<u64, u64>,
) -> Result<u32, JournalError> {
    let mut next = first;
    let mut torn: Option<(PathBuf, u32)> = None;
    for (&number, path) in listing.segments.range(first..) {
        let (file, identity) = open_file(path)?;
        let Some(identity) = identity.filter(|identity| identity.number == number) else {
            // A name was given to a file, but nothing was written to it: nothing came after it either.
            continue;
        };
        if number != next {
            return Err(unusable(path, format_args!("segment {next} before it is missing or empty")));
        }
        if let Some((path, at)) = torn {
            return Err(unusable(&path, format_args!("bad record at offset {at}, and a later segment follows")));
        }
        if identity.variant != 0 {
            return Err(unusable(path, "it is compacted, but the checkpoint does not know it"));
        }
        next += 1;
        let bytes = scan::read_whole(&file).map_err(io_error(path))?;
        let mut said = Vec::new();
        let scanned =
            scan::scan(&bytes, &identity, &mut |what| said.push(what)).map_err(|what| unusable(path, what))?;
        let Scanned { index, end, slots, ended } = scanned;
        if !ended {
            if let Some(good) = scan::good_after(&bytes, end, &identity) {
                let what = format!("bad record at offset {end}, and good ones follow at offset {good}");
                return Err(unusable(path, what));
            }
            torn = Some((path.clone(), end));
        }
        drop(bytes);
        let file_bytes = u64::from(end).next_multiple_of(PAGE_BYTES as u64);
        if file.metadata().map_err(io_error(path))?.len() > file_bytes && !ended {
            match file.set_len(file_bytes) {
                // What follows the torn tail is of no batch, whether it is there or not.
                Err(error) if !is_full(&error) => return Err(io_error(path)(error)),
                _ => {}
            }
        }
        let mut live = SlotBits::default();
        live.grow(slots);
        live.set(0, slots, true);
        let marks = HashMap::new();
        found.insert(number, Found { identity, end, slots, live, marks, index: Some(index), file: Some(file) });
        for what in said {
            apply(what, found, notes);
        }
    }
    Ok(next)
}

fn apply(said: Said, found: &mut BTreeMap<u32, Found>, notes: &mut HashMap<u64, u64>) {
    match said {
        // A segment that is not known any more was freed: everything in it is settled.
        Said::Settled(Range { segment, slot, count }) => {
            if let Some(found) = found.get_mut(&segment) {
                found.live.set(slot, count, false);
            }
        }
        Said::Marked(segment, slot, value) => {
            if let Some(found) = found.get_mut(&segment) {
                found.marks.insert(slot, value);
            }
        }
        Said::Noted(lane, Some(value)) => drop(notes.insert(lane, value)),
        Said::Noted(lane, None) => drop(notes.remove(&lane)),
    }
}

/// Tells what is alive in a segment, and makes it ready to be read.
fn hand_over(
    dir: &Path,
    listing: &Listing,
    mut found: Found,
    recovery: &mut dyn Recovery,
) -> Result<Segment, JournalError> {
    let number = found.identity.number;
    let path = segment::segment_path(dir, number);
    let file = match found.file.take() {
        Some(file) => file,
        None => {
            if !listing.segments.contains_key(&number) {
                return Err(unusable(&path, "it is missing, and there are live records in it"));
            }
            let (file, identity) = open_file(&path)?;
            found.identity = identity
                .filter(|has| has.number == number && has.generation == found.identity.generation)
                .ok_or_else(|| unusable(&path, "it is not the segment that the checkpoint speaks of"))?;
            file
        }
    };
    let identity = found.identity;
    let (index, index_bytes) = match found.index.take() {
        Some(index) => {
            // Sealed from now on.
            let bytes = save_index(&index, dir, &identity)?;
            (index, bytes)
        }
        None => match Index::load(dir, &identity) {
            Some(loaded) => loaded,
            None => {
                let scanned = scan::scan_file(&file, &identity, &mut |_| {}).map_err(|what| unusable(&path, what))?;
                if scanned.end < found.end {
                    let what =
                        format!("bad record at offset {}, where the segment goes on to {}", scanned.end, found.end);
                    return Err(unusable(&path, what));
                }
                let bytes = save_index(&scanned.index, dir, &identity)?;
                (scanned.index, bytes)
            }
        },
    };
    found.marks.retain(|&slot, value| *value != 0 && found.live.contains(slot));
    let mut live = if identity.variant == 0 { Live::default() } else { Live::compacted() };
    let mut physical = segment::HEADER_BYTES as u32;
    index
        .each(&mut |record| {
            let (slot, refs) = (record.slot, record.head.refs());
            if slot.checked_add(refs).is_none_or(|end| end > found.slots) || !live.fits(slot) {
                return Err(format!("the index has slot {slot} where it cannot be"));
            }
            live.push_some(record.frame_bytes, physical, slot, refs, &mut |slot| found.live.contains(slot));
            physical = physical.saturating_add(record.frame_bytes);
            let mut head = record.head;
            let malformed = || format!("the record at offset {} has a malformed head", record.offset);
            let meta = head.clone().meta().ok_or_else(malformed)?;
            for slot in slot..slot + refs {
                let reference = head.next_ref().ok_or_else(malformed)?;
                if found.live.contains(slot) {
                    recovery.entry(Recovered {
                        reference,
                        position: Position { segment: number, offset: record.offset, slot },
                        payload_bytes: record.payload_bytes,
                        meta,
                        mark: if found.marks.is_empty() { 0 } else { found.marks.get(&slot).copied().unwrap_or(0) },
                    });
                }
            }
            Ok(())
        })
        .map_err(|what| unusable(&path, what))?;
    live.shrink();
    let file_bytes = file.metadata().map_err(io_error(&path))?.len();
    Ok(Segment {
        file: Arc::new(SegmentFile::with(identity, file_bytes, file)),
        end: found.end,
        slots: found.slots,
        live,
        marks: found.marks,
        index_bytes,
        dead: None,
    })
}
