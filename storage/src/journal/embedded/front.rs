//! What is behind the one lock that appends and settlements take: the batch that gathers, and what is alive.
//! Nothing here touches a file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::batch::Batch;
use super::frame::{self, Header, Kind};
use super::index::Index;
use super::ranges::{self, Range};
use super::segment::{PAGE_BYTES, Segment, SegmentFile};
use crate::journal::Position;

/// Longest frame that settlements, marks or notes are put into.
const CONTROL_BYTES_MAX: usize = 16 << 10;

/// Longest mark: segment, slot and value.
const MARK_BYTES_MAX: usize = 5 + 5 + 10;

/// Whether the journal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// It takes records.
    Open,
    /// The writer finishes what is pending and stops.
    Closing,
    /// The threads stop where they are.
    Abandoned,
}

/// A segment that nobody writes to any more, and whose index is to be written.
#[derive(Debug)]
pub(super) struct Sealed {
    /// Its number.
    pub(super) number: u32,
    /// What goes beside it.
    pub(super) index: Index,
}

/// What is said of references and lanes, until it is written once a batch.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// Settled slots.
    pub(super) settled: Vec<Range>,
    /// Segment, slot, value, in the order they were said.
    pub(super) marks: Vec<(u32, u32, u64)>,
    /// Lane and value.
    pub(super) notes: HashMap<u64, Option<u64>>,
}

impl Control {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.settled.is_empty() && self.marks.is_empty() && self.notes.is_empty()
    }

    /// Codes everything as bodies of frames, and forgets it.
    pub(super) fn drain(&mut self, bodies: &mut Vec<(Kind, Vec<u8>)>) {
        ranges::join(&mut self.settled);
        let mut left = self.settled.as_slice();
        while !left.is_empty() {
            let mut body = Vec::new();
            let done = ranges::put(&mut body, left, CONTROL_BYTES_MAX);
            left = &left[done..];
            bodies.push((Kind::Settle, body));
        }
        self.settled.clear();
        for marks in self.marks.chunks(CONTROL_BYTES_MAX / MARK_BYTES_MAX) {
            let mut body = Vec::new();
            for &(segment, slot, value) in marks {
                super::varint::put(&mut body, u64::from(segment));
                super::varint::put(&mut body, u64::from(slot));
                super::varint::put(&mut body, value);
            }
            bodies.push((Kind::Mark, body));
        }
        self.marks.clear();
        let mut body = Vec::new();
        for (lane, value) in self.notes.drain() {
            super::varint::put(&mut body, lane);
            body.push(u8::from(value.is_some()));
            super::varint::put(&mut body, value.unwrap_or(0));
            if body.len() > CONTROL_BYTES_MAX - 32 {
                bodies.push((Kind::Note, std::mem::take(&mut body)));
            }
        }
        if !body.is_empty() {
            bodies.push((Kind::Note, body));
        }
    }
}

/// An entry whose head and checksum were made before the lock was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared<'a> {
    /// Number of references.
    pub(super) refs: u32,
    /// Coded references and meta.
    pub(super) head: &'a [u8],
    /// The payload's parts.
    pub(super) payload: &'a [&'a [u8]],
    /// Length of the payload.
    pub(super) payload_bytes: u32,
    /// crc32c of head and payload.
    pub(super) crc: u32,
}

impl Prepared<'_> {
    /// Length of the frame.
    pub(super) fn frame_bytes(&self) -> usize {
        frame::frame_bytes(self.head.len() + self.payload_bytes as usize)
    }
}

/// The most that records and settlements can take in one frame.
pub(super) fn group_bytes(entries: &[Prepared<'_>], settles: &[Position]) -> usize {
    frame::frame_bytes(16 + settles.len() * 20) + entries.iter().map(Prepared::frame_bytes).sum::<usize>()
}

/// The state of an open journal.
#[derive(Debug)]
pub(super) struct Front {
    /// Segments before the active one that have something alive, or that a checkpoint does not cover yet.
    pub(super) segments: BTreeMap<u32, Segment>,
    /// The segment that is written to.
    pub(super) active: Segment,
    index: Index,
    /// What gathers.
    batch: Batch,
    /// What is being written.
    pub(super) inflight: Option<Arc<Batch>>,
    control: Control,
    /// Values of lanes.
    pub(super) notes: HashMap<u64, u64>,
    /// The last ticket given out.
    pub(super) ticket: u64,
    /// The last ticket that the writer took.
    taken: u64,
    /// The writer waits to be woken.
    pub(super) writer_idle: bool,
    /// Whether the journal goes on.
    pub(super) run: Run,
    /// Segments whose index is to be written.
    pub(super) sealed: Vec<Sealed>,
    /// Sealed segments with nothing alive.
    pub(super) dead: Vec<u32>,
    buffers: Vec<Vec<u8>>,
    segment_bytes: u64,
}

impl Front {
    /// Goes on behind what recovery found.
    pub(super) fn new(
        segments: BTreeMap<u32, Segment>,
        notes: HashMap<u64, u64>,
        next: u32,
        segment_bytes: u64,
    ) -> Front {
        let active = Segment::new(next, segment_bytes);
        let part = Batch::begin(Arc::clone(&active.file), Vec::new());
        let mut batch = Batch::new(Arc::clone(&active.file), 0, Vec::new());
        batch.parts[0] = part;
        Front {
            segments,
            active,
            index: Index::default(),
            batch,
            inflight: None,
            control: Control::default(),
            notes,
            ticket: 0,
            taken: 0,
            writer_idle: false,
            run: Run::Open,
            sealed: Vec::new(),
            dead: Vec::new(),
            buffers: Vec::new(),
            segment_bytes,
        }
    }

    /// The segment of this number, if it is still needed.
    pub(super) fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        if number == self.active.number() { Some(&mut self.active) } else { self.segments.get_mut(&number) }
    }

    /// The segment of this number, if it is still needed.
    pub(super) fn segment(&self, number: u32) -> Option<&Segment> {
        if number == self.active.number() { Some(&self.active) } else { self.segments.get(&number) }
    }

    /// A new ticket, and whether the writer has to be woken for it.
    pub(super) fn issue(&mut self) -> (u64, bool) {
        self.ticket += 1;
        (self.ticket, std::mem::replace(&mut self.writer_idle, false))
    }

    /// Whether the writer has something to do.
    pub(super) fn pending(&self) -> bool {
        self.ticket > self.taken
    }

    fn part(&mut self) -> &mut super::batch::Part {
        // There always is one: a batch is made with one, and parts are only added.
        let last = self.batch.parts.len() - 1;
        &mut self.batch.parts[last]
    }

    /// Whether a frame of this length needs a new segment.
    pub(super) fn rolls(&self, frame_bytes: usize) -> bool {
        self.active.end as u64 + frame_bytes as u64 + frame::HEADER_BYTES as u64 > self.active.file.capacity
    }

    /// How many segments have no file yet: the last ones.
    pub(super) fn unopened(&self) -> usize {
        let newest = std::iter::once(&self.active).chain(self.segments.values().rev());
        newest.take_while(|segment| segment.file.file.get().is_none()).count()
    }

    /// Makes room for a frame of this length, in the active segment or a new one.
    fn room(&mut self, frame_bytes: usize) {
        if self.rolls(frame_bytes) {
            self.roll(frame_bytes);
        }
    }

    /// Ends the active segment and begins the next one.
    fn roll(&mut self, frame_bytes: usize) {
        self.put_frame(Kind::End, 0, 0, &[&[]], 0);
        let needed = (super::segment::HEADER_BYTES + frame_bytes + frame::HEADER_BYTES) as u64;
        let capacity = self.segment_bytes.max(needed.next_multiple_of(PAGE_BYTES as u64));
        let next = Segment::new(self.active.number() + 1, capacity);
        let mut old = std::mem::replace(&mut self.active, next);
        old.live.shrink();
        if old.live.refs() == 0 {
            // Whatever settled the last of it has had its ticket before this.
            old.dead = Some(self.ticket);
            self.dead.push(old.number());
        }
        self.sealed.push(Sealed { number: old.number(), index: std::mem::take(&mut self.index) });
        self.segments.insert(old.number(), old);
        let buffer = self.buffers.pop().unwrap_or_default();
        self.batch.parts.push(Batch::begin(Arc::clone(&self.active.file), buffer));
    }

    /// Nothing more comes. The last batch ends the active segment, if there is anything in it: what the writer has taken out
    /// and not put back yet ([`Front::swap_control`]) still belongs into it. The writer is to be woken.
    pub(super) fn finish(&mut self) {
        self.run = Run::Closing;
        if self.has_begun() || !self.control.is_empty() {
            self.issue();
        }
    }

    /// Whether there is anything in the active segment.
    fn has_begun(&self) -> bool {
        self.active.end as usize > super::segment::HEADER_BYTES
    }

    /// Writes one frame whose room was made. The pieces are the body; `body_crc` is that of its checked part.
    fn put_frame(&mut self, kind: Kind, slot: u32, head_bytes: usize, pieces: &[&[u8]], body_crc: u32) -> u32 {
        let body_bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let offset = self.active.end;
        let seed = self.active.file.seed;
        let part = self.part();
        let batch_start = part.start;
        let header =
            Header { body_bytes: body_bytes as u32, offset, batch_start, slot, kind, head_bytes: head_bytes as u32 };
        part.bytes.extend_from_slice(&header.encode(body_crc, seed));
        for piece in pieces {
            part.bytes.extend_from_slice(piece);
        }
        let padding = frame::frame_bytes(body_bytes) - frame::HEADER_BYTES - body_bytes;
        part.bytes.extend_from_slice(&[0; frame::ALIGN_BYTES][..padding]);
        self.active.end += frame::frame_bytes(body_bytes) as u32;
        offset
    }

    fn put_entry(&mut self, entry: &Prepared<'_>) -> Position {
        let slot = self.active.slots;
        let offset = self.active.end;
        let body_bytes = entry.head.len() + entry.payload_bytes as usize;
        let frame_bytes = entry.frame_bytes();
        let seed = self.active.file.seed;
        let part = self.part();
        let header = Header {
            body_bytes: body_bytes as u32,
            offset,
            batch_start: part.start,
            slot,
            kind: Kind::Entry,
            head_bytes: entry.head.len() as u32,
        };
        part.bytes.reserve(frame_bytes);
        part.bytes.extend_from_slice(&header.encode(entry.crc, seed));
        part.bytes.extend_from_slice(entry.head);
        for piece in entry.payload {
            part.bytes.extend_from_slice(piece);
        }
        part.bytes.extend_from_slice(&[0; frame::ALIGN_BYTES][..frame_bytes - frame::HEADER_BYTES - body_bytes]);
        self.active.end += frame_bytes as u32;
        self.active.slots += entry.refs;
        self.active.live.push(frame_bytes as u32, entry.refs);
        self.batch.bytes += frame_bytes as u64;
        self.index.push(offset, slot, entry.refs, entry.head, entry.payload_bytes);
        Position { segment: self.active.number(), offset, slot }
    }

    /// Appends one record.
    pub(super) fn append(&mut self, entry: &Prepared<'_>) -> Position {
        self.room(entry.frame_bytes());
        self.put_entry(entry)
    }

    /// Appends records and settles references in one frame. Says where the records are.
    pub(super) fn group(
        &mut self,
        entries: &[Prepared<'_>],
        settles: &[Position],
        head: &mut Vec<u8>,
    ) -> Vec<Position> {
        // Room is made first, for as much as the settlements can take: a segment must not end between the two halves.
        let entries_bytes = entries.iter().map(Prepared::frame_bytes).sum::<usize>();
        self.room(group_bytes(entries, settles));
        let mut settled = Vec::new();
        for position in settles {
            if self.settle_one(*position) {
                ranges::add(&mut settled, position.segment, position.slot);
            }
        }
        ranges::join(&mut settled);
        head.clear();
        super::varint::put(head, entries.len() as u64);
        ranges::put(head, &settled, usize::MAX);
        let crc = crc32c::crc32c(head);
        let head_bytes = head.len();
        head.resize(head_bytes.next_multiple_of(frame::ALIGN_BYTES), 0);
        let offset = self.active.end;
        let seed = self.active.file.seed;
        let slot = self.active.slots;
        let part = self.part();
        let header = Header {
            body_bytes: (head.len() + entries_bytes) as u32,
            offset,
            batch_start: part.start,
            slot,
            kind: Kind::Group,
            head_bytes: head_bytes as u32,
        };
        part.bytes.extend_from_slice(&header.encode(crc, seed));
        part.bytes.extend_from_slice(head);
        self.active.end += (frame::HEADER_BYTES + head.len()) as u32;
        entries.iter().map(|entry| self.put_entry(entry)).collect()
    }

    /// Takes a reference away. Says whether it was alive.
    fn settle_one(&mut self, position: Position) -> bool {
        let ticket = self.ticket + 1;
        let is_active = position.segment == self.active.number();
        let Some(segment) = self.segment_mut(position.segment) else { return false };
        if segment.live.settle(position.slot).is_none() {
            return false;
        }
        if !segment.marks.is_empty() {
            segment.marks.remove(&position.slot);
        }
        if segment.live.refs() == 0 && !is_active {
            segment.dead = Some(ticket);
            self.dead.push(position.segment);
        }
        true
    }

    /// Settles references.
    pub(super) fn settle(&mut self, positions: &[Position]) {
        for &position in positions {
            if self.settle_one(position) {
                ranges::add(&mut self.control.settled, position.segment, position.slot);
            }
        }
    }

    /// Keeps a value of a reference that is alive.
    pub(super) fn mark(&mut self, position: Position, value: u64) {
        let Some(segment) = self.segment_mut(position.segment) else { return };
        if !segment.live.contains(position.slot) {
            return;
        }
        if value == 0 {
            segment.marks.remove(&position.slot);
        } else {
            segment.marks.insert(position.slot, value);
        }
        self.control.marks.push((position.segment, position.slot, value));
    }

    /// Keeps a value of a lane.
    pub(super) fn note(&mut self, lane: u64, value: Option<u64>) {
        match value {
            Some(value) => self.notes.insert(lane, value),
            None => self.notes.remove(&lane),
        };
        self.control.notes.insert(lane, value);
    }

    /// Swaps out what was said of references and lanes, to be coded without the lock.
    pub(super) fn swap_control(&mut self, other: &mut Control) {
        std::mem::swap(&mut self.control, other);
    }

    /// Writes coded bodies into the batch.
    pub(super) fn put_control(&mut self, bodies: &mut Vec<(Kind, Vec<u8>)>) {
        for (kind, body) in bodies.drain(..) {
            self.room(frame::frame_bytes(body.len()));
            self.put_frame(kind, 0, 0, &[&body], crc32c::crc32c(&body));
        }
    }

    /// Codes what came in since [`Front::swap_control`], with the lock held: it is little.
    fn drain_control_here(&mut self) {
        if !self.control.is_empty() {
            let mut bodies = Vec::new();
            let mut control = std::mem::take(&mut self.control);
            control.drain(&mut bodies);
            self.put_control(&mut bodies);
        }
    }

    /// Takes everything that gathered, to be written, and begins the next batch.
    pub(super) fn take_batch(&mut self) -> Arc<Batch> {
        self.drain_control_here();
        if self.run == Run::Closing && self.has_begun() {
            self.roll(0);
        }
        let buffer = self.buffers.pop().unwrap_or_default();
        let mut next = Batch::new(Arc::clone(&self.active.file), self.active.end, buffer);
        // A segment that nobody has written to yet needs no file.
        if self.batch.parts.len() > 1
            && self.part().is_only_header()
            && let Some(part) = self.batch.parts.pop()
        {
            next.parts[0] = part;
        }
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.ticket = self.ticket;
        batch.pad();
        self.taken = self.ticket;
        let batch = Arc::new(batch);
        self.inflight = Some(Arc::clone(&batch));
        batch
    }

    /// Bytes of a record that is not in its file yet.
    pub(super) fn unwritten(&self, number: u32, offset: u32, length: u32) -> Option<Unwritten<'_>> {
        if let Some(bytes) = self.batch.at(number, offset, length) {
            return Some(Unwritten::Gathering(bytes));
        }
        let inflight = self.inflight.as_ref()?;
        inflight.at(number, offset, length).is_some().then(|| Unwritten::Inflight(Arc::clone(inflight)))
    }

    /// Gives a buffer back.
    pub(super) fn recycle(&mut self, batch: Arc<Batch>) {
        // A reader may still hold it; then it is simply dropped.
        if let Ok(batch) = Arc::try_unwrap(batch)
            && let Some(buffer) = batch.into_buffer()
            && self.buffers.len() < 2
        {
            self.buffers.push(buffer);
        }
    }

    /// The file of a segment, if it is there.
    pub(super) fn file(&self, number: u32) -> Option<&Arc<SegmentFile>> {
        self.segment(number).map(|segment| &segment.file).filter(|file| file.file.get().is_some())
    }

    /// The active segment and those before it.
    pub(super) fn all(&self) -> impl Iterator<Item = &Segment> {
        self.segments.values().chain(std::iter::once(&self.active))
    }
}

/// Where a record is that is not in its file yet.
#[derive(Debug)]
pub(super) enum Unwritten<'a> {
    /// In the batch that gathers: to be copied while the lock is held.
    Gathering(&'a [u8]),
    /// In the batch that is being written.
    Inflight(Arc<Batch>),
}
