//! Compaction: a sealed segment that is mostly dead is replaced by a file of the same number with only what is alive. Frames
//! keep their logical offsets and slots, so no position changes and no owner is told.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Shared;
use super::frame::{self, Frame, Header, Kind};
use super::index::Index;
use super::live::{Live, LiveSet};
use super::scan;
use super::segment::{self, Identity, SegmentFile};

/// Files below this length are left alone: they cannot become much smaller.
const FILE_BYTES_MIN: u64 = 16 << 10;
/// A segment is compacted when less than one part in so many is alive.
const SPARSE: u64 = 3;
const WRITE_BYTES: usize = 1 << 20;

/// Whether a segment has so little alive that it pays to rewrite it.
pub(super) fn is_worth(live_bytes: u64, file_bytes: u64) -> bool {
    file_bytes >= FILE_BYTES_MIN && live_bytes.saturating_mul(SPARSE) < file_bytes
}

/// A record that was kept.
#[derive(Debug)]
struct Kept {
    slot: u32,
    refs: u32,
    frame_bytes: u32,
    physical: u32,
}

/// Compacts a segment. `Ok(false)` when the log did not catch up in time, and nothing was changed.
pub(super) fn compact(shared: &Shared, number: u32) -> Result<bool, String> {
    let snapshot = {
        let front = shared.front.lock();
        let ticket = front.ticket;
        front.segment(number).map(|segment| (Arc::clone(&segment.file), segment.live.set(), segment.end, ticket))
    };
    let Some((old, set, end, ticket)) = snapshot else { return Ok(false) };
    let path = segment::segment_path(&shared.dir, number);
    let new_path = path.with_extension("new");
    let identity = Identity { variant: old.identity.variant + 1, ..old.identity };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new_path)
        .map_err(|error| format!("{}: {error}", new_path.display()))?;
    let outcome = copy(shared, &old, &set, end, &file, identity).and_then(|copied| {
        // What is left out must be durably settled before it is gone.
        if !shared.wait_durable(ticket, super::keeper::PATIENCE) {
            return Ok(None);
        }
        fs::rename(&new_path, &path)
            .and_then(|()| File::open(&shared.dir)?.sync_all())
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(copied))
    });
    let Some((kept, index, file_bytes)) = outcome.inspect_err(|_| drop(fs::remove_file(&new_path)))? else {
        drop(fs::remove_file(&new_path));
        return Ok(false);
    };
    // A crash before this leaves an index of the former variant, which does not fit and is not used.
    let index_bytes = index.save(&shared.dir, &identity).unwrap_or(0);
    let mut front = shared.front.lock();
    if let Some(segment) = front.segment_mut(number) {
        let mut live = Live::compacted();
        for record in &kept {
            let Kept { slot, refs, frame_bytes, physical } = *record;
            live.push_some(frame_bytes, physical, slot, refs, &mut |slot| segment.live.contains(slot));
        }
        live.shrink();
        segment.live = live;
        segment.index_bytes = index_bytes;
        segment.file = Arc::new(SegmentFile::with(identity, file_bytes, file));
    }
    Ok(true)
}

/// Copies what is alive, and syncs it.
fn copy(
    shared: &Shared,
    old: &SegmentFile,
    set: &LiveSet,
    end: u32,
    new: &File,
    identity: Identity,
) -> Result<(Vec<Kept>, Index, u64), String> {
    let source = old.file.get().ok_or("it has no file")?;
    let index = match Index::load(&shared.dir, &old.identity) {
        Some((index, _)) => index,
        None => scan::scan_file(source, &old.identity, &mut |_| {})?.index,
    };
    let mut kept = Vec::new();
    let mut new_index = Index::default();
    let mut out = identity.encode().to_vec();
    let mut written = 0u64;
    let mut old_physical = segment::HEADER_BYTES as u64;
    index.each(&mut |record| {
        let from = if old.identity.variant == 0 { u64::from(record.offset) } else { old_physical };
        old_physical += u64::from(record.frame_bytes);
        let refs = record.head.refs();
        if !(record.slot..record.slot + refs).any(|slot| set.contains(slot)) {
            return Ok(());
        }
        let physical = written + out.len() as u64;
        let begin = out.len();
        out.resize(begin + record.frame_bytes as usize, 0);
        source.read_exact_at(&mut out[begin..], from).map_err(|error| error.to_string())?;
        let frame = Frame::read(&out[begin..], old.seed)
            .filter(|frame| frame.header.offset == record.offset && frame.header.slot == record.slot)
            .ok_or_else(|| format!("the record at offset {} is damaged", record.offset))?;
        new_index.push(record.offset, record.slot, refs, frame.head(), record.payload_bytes);
        kept.push(Kept { slot: record.slot, refs, frame_bytes: record.frame_bytes, physical: physical as u32 });
        if out.len() >= WRITE_BYTES {
            new.write_all_at(&out, written).map_err(|error| error.to_string())?;
            written += out.len() as u64;
            out.clear();
        }
        Ok(())
    })?;
    let last = Header {
        body_bytes: 0,
        offset: end - frame::HEADER_BYTES as u32,
        batch_start: end - frame::HEADER_BYTES as u32,
        slot: 0,
        kind: Kind::End,
        head_bytes: 0,
    };
    out.extend_from_slice(&last.encode(0, old.seed));
    new.write_all_at(&out, written).and_then(|()| new.sync_all()).map_err(|error| error.to_string())?;
    Ok((kept, new_index, written + out.len() as u64))
}
