//! The checkpoint: what is alive in all segments before one number, so that what was said of them in the log is not needed
//! any more. One file, replaced by renaming a new one over it.
//!
//! It is taken at any moment while the log goes on, and put in place once the log has caught up with it: saying again what it
//! already knows does no harm.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::live::LiveSet;
use super::ranges::{self, Range};
use super::segment::{self, FORMAT_VERSION};
use super::space::is_full;
use super::varint;

const MAGIC: &[u8; 8] = b"GANTRYcp";
/// Name of the file in the journal's folder.
pub(super) const NAME: &str = "checkpoint";
/// Its name while the journal is in use and there was no space to write that down: then it is not clean, whatever it says.
const NAME_IN_USE: &str = "checkpoint.used";
const NAME_NEW: &str = "checkpoint.new";

/// One segment, as a checkpoint knows it.
#[derive(Debug)]
pub(super) struct SegmentState<L> {
    /// Its number.
    pub(super) number: u32,
    /// Its generation.
    pub(super) generation: u64,
    /// Its logical end.
    pub(super) end: u32,
    /// Slots given out.
    pub(super) slots: u32,
    /// What is alive.
    pub(super) live: L,
    /// Marks of what is alive.
    pub(super) marks: Vec<(u32, u64)>,
}

/// A checkpoint: with [`LiveSet`]s when it is taken, with bits for each slot when it is read.
#[derive(Debug)]
pub(super) struct Checkpoint<L> {
    /// The first segment that it says nothing about.
    pub(super) next: u32,
    /// The journal was closed in an orderly way, and has not been opened since.
    pub(super) clean: bool,
    /// All segments with something alive, in rising order.
    pub(super) segments: Vec<SegmentState<L>>,
    /// Values of lanes.
    pub(super) notes: HashMap<u64, u64>,
}

/// One bit a slot.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotBits(Vec<u64>);

impl SlotBits {
    /// Grows to hold slots up to `slots`, alive or not.
    pub(super) fn grow(&mut self, slots: u32) {
        self.0.resize((slots as usize).div_ceil(64), 0);
    }

    /// Says of a run of slots whether they are alive. What is beyond the end is ignored.
    pub(super) fn set(&mut self, slot: u32, count: u32, alive: bool) {
        let end = (u64::from(slot) + u64::from(count)).min(self.0.len() as u64 * 64) as u32;
        let mut at = slot;
        while at < end {
            let width = (64 - at % 64).min(end - at);
            let mask = (u64::MAX >> (64 - width)) << (at % 64);
            let word = &mut self.0[at as usize / 64];
            *word = if alive { *word | mask } else { *word & !mask };
            at += width;
        }
    }

    /// Whether a slot is alive.
    pub(super) fn contains(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Whether any is.
    pub(super) fn any(&self) -> bool {
        self.0.iter().any(|&word| word != 0)
    }
}

impl Checkpoint<LiveSet> {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.push(u8::from(self.clean));
        varint::put(&mut out, u64::from(self.next));
        varint::put(&mut out, self.segments.len() as u64);
        let mut coded = Vec::new();
        for segment in &self.segments {
            varint::put(&mut out, u64::from(segment.number));
            out.extend_from_slice(&segment.generation.to_le_bytes());
            varint::put(&mut out, u64::from(segment.end));
            varint::put(&mut out, u64::from(segment.slots));
            put_live(&mut out, &mut coded, segment);
            varint::put(&mut out, segment.marks.len() as u64);
            for &(slot, value) in &segment.marks {
                varint::put(&mut out, u64::from(slot));
                varint::put(&mut out, value);
            }
        }
        varint::put(&mut out, self.notes.len() as u64);
        for (&lane, &value) in &self.notes {
            varint::put(&mut out, lane);
            varint::put(&mut out, value);
        }
        let check = crc32c::crc32c(&out);
        out.extend_from_slice(&check.to_le_bytes());
        out
    }

    /// Puts it in the place of the one before, durably. Says how long it is. On failure the one before is in place.
    ///
    /// On a full disk it takes a spare file's place, since nothing that is settled could be freed without it.
    pub(super) fn save(&self, dir: &Path, take_spare: impl FnOnce() -> Option<PathBuf>) -> io::Result<u64> {
        match self.save_new(dir) {
            Err(error) if is_full(&error) => self.save_over(dir, &take_spare().ok_or(error)?),
            other => other,
        }
    }

    fn save_new(&self, dir: &Path) -> io::Result<u64> {
        let bytes = self.encode();
        let new = dir.join(NAME_NEW);
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().inspect_err(|_| drop(fs::remove_file(&new)))?;
        put_in_place(dir)?;
        Ok(bytes.len() as u64)
    }

    /// The same on a full disk: into the blocks of a file that nobody needs. The rest of it is given back.
    fn save_over(&self, dir: &Path, unneeded: &Path) -> io::Result<u64> {
        let bytes = self.encode();
        let new = dir.join(NAME_NEW);
        fs::rename(unneeded, &new)?;
        let write = || {
            let file = File::options().write(true).open(&new)?;
            file.write_all_at(&bytes, 0)?;
            file.set_len(bytes.len() as u64)?;
            file.sync_all()
        };
        write().inspect_err(|_| drop(fs::remove_file(&new)))?;
        put_in_place(dir)?;
        Ok(bytes.len() as u64)
    }
}

fn put_in_place(dir: &Path) -> io::Result<()> {
    fs::rename(dir.join(NAME_NEW), dir.join(NAME))?;
    forget_in_use(dir)?;
    File::open(dir)?.sync_all()
}

fn forget_in_use(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(NAME_IN_USE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Takes away the word of the checkpoint that the journal was closed in an orderly way. Needs no space.
pub(super) fn mark_in_use(dir: &Path) -> io::Result<()> {
    match fs::rename(dir.join(NAME), dir.join(NAME_IN_USE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(dir)?.sync_all(),
    }
}

/// Live slots as ranges, or as bits where those are shorter.
fn put_live(out: &mut Vec<u8>, coded: &mut Vec<u8>, segment: &SegmentState<LiveSet>) {
    let mut runs = Vec::new();
    segment.live.each(&mut |slot| ranges::add(&mut runs, 0, slot));
    coded.clear();
    ranges::put(coded, &runs, usize::MAX);
    let bitmap_bytes = (segment.slots as usize).div_ceil(8);
    if coded.len() <= bitmap_bytes {
        out.push(0);
        varint::put(out, coded.len() as u64);
        out.extend_from_slice(coded);
    } else {
        out.push(1);
        let from = out.len();
        out.resize(from + bitmap_bytes, 0);
        segment.live.each(&mut |slot| out[from + slot as usize / 8] |= 1 << (slot % 8));
    }
}

impl Checkpoint<SlotBits> {
    /// Reads the one of a folder. `Ok(None)` when there is none; an error says what is wrong with it.
    pub(super) fn load(dir: &Path) -> Result<Option<Checkpoint<SlotBits>>, String> {
        let read = |name: &str| match fs::read(dir.join(name)) {
            Ok(bytes) => Checkpoint::decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        if let Some(checkpoint) = read(NAME)? {
            forget_in_use(dir).map_err(|error| error.to_string())?;
            return Ok(Some(checkpoint));
        }
        Ok(read(NAME_IN_USE)?.map(|checkpoint| Checkpoint { clean: false, ..checkpoint }))
    }

    fn decode(bytes: &[u8]) -> Result<Checkpoint<SlotBits>, String> {
        let (body, check) = bytes.split_last_chunk::<4>().ok_or("it is cut short")?;
        if body.get(..8) != Some(MAGIC.as_slice()) {
            return Err("it does not begin like a checkpoint".to_owned());
        }
        if crc32c::crc32c(body) != u32::from_le_bytes(*check) && !cfg!(fuzzing) {
            return Err("its checksum is wrong".to_owned());
        }
        let (version, body) = body[8..].split_first_chunk::<4>().ok_or("it is cut short")?;
        if u32::from_le_bytes(*version) != FORMAT_VERSION {
            let version = u32::from_le_bytes(*version);
            return Err(format!("it has format version {version}, known is {FORMAT_VERSION}"));
        }
        Checkpoint::decode_body(body).ok_or_else(|| "it is malformed".to_owned())
    }

    fn decode_body(body: &[u8]) -> Option<Checkpoint<SlotBits>> {
        let (&clean, mut from) = body.split_first()?;
        let from = &mut from;
        let next = varint::take_u32(from)?;
        let count = varint::take(from)?;
        let mut segments: Vec<SegmentState<SlotBits>> = Vec::new();
        for _ in 0..count {
            let number = varint::take_u32(from)?;
            if number >= next || segments.last().is_some_and(|last| last.number >= number) {
                return None;
            }
            let (generation, rest) = from.split_first_chunk::<8>()?;
            *from = rest;
            let end = varint::take_u32(from)?;
            let slots = varint::take_u32(from)?;
            // A reference takes two bytes of its segment at the least, so this bounds what is set aside for the bits.
            let slots_max = if cfg!(fuzzing) { 1 << 16 } else { u32::MAX };
            if (end as usize) < segment::HEADER_BYTES || slots > end / 2 || slots > slots_max {
                return None;
            }
            let live = take_live(from, slots)?;
            let mut marks = Vec::new();
            for _ in 0..varint::take(from)? {
                marks.push((varint::take_u32(from)?, varint::take(from)?));
            }
            let generation = u64::from_le_bytes(*generation);
            segments.push(SegmentState { number, generation, end, slots, live, marks });
        }
        let mut notes = HashMap::new();
        for _ in 0..varint::take(from)? {
            notes.insert(varint::take(from)?, varint::take(from)?);
        }
        from.is_empty().then_some(Checkpoint { next, clean: clean == 1, segments, notes })
    }
}

fn take_live(from: &mut &[u8], slots: u32) -> Option<SlotBits> {
    let (&coding, rest) = from.split_first()?;
    *from = rest;
    let mut bits = SlotBits::default();
    if coding == 0 {
        let length = usize::try_from(varint::take(from)?).ok()?;
        let coded = from.get(..length)?;
        *from = &from[length..];
        bits.grow(slots);
        ranges::take(coded, &mut |Range { slot, count, .. }| bits.set(slot, count, true))?;
    } else {
        let length = (slots as usize).div_ceil(8);
        let map = from.get(..length)?;
        *from = &from[length..];
        bits.0 = map
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
    }
    Some(bits)
}
