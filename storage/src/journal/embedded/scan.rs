//! Reading a segment frame by frame.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::frame::{self, Frame, Head, Header, Kind};
use super::index::Index;
use super::ranges::{self, Range};
use super::segment::{self, Identity};
use super::varint;

/// What frames say of references and lanes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    /// Slots are done.
    Settled(Range),
    /// Segment, slot and value.
    Marked(u32, u32, u64),
    /// Lane and value.
    Noted(u64, Option<u64>),
}

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// The records.
    pub(super) index: Index,
    /// Logical end of the last good frame.
    pub(super) end: u32,
    /// Slots given out.
    pub(super) slots: u32,
    /// It was ended in an orderly way; else `end` is where the first bad frame is.
    pub(super) ended: bool,
}

/// Scans a file up to its end frame or the first bad one. An error says what is wrong with a frame whose checksum is right.
pub(super) fn scan_file(file: &File, identity: &Identity, said: &mut dyn FnMut(Said)) -> Result<Scanned, String> {
    scan(&read_whole(file).map_err(|error| error.to_string())?, identity, said)
}

/// All bytes of a file.
pub(super) fn read_whole(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The same, of bytes in memory.
pub(super) fn scan(bytes: &[u8], identity: &Identity, said: &mut dyn FnMut(Said)) -> Result<Scanned, String> {
    let seed = identity.seed();
    let mut physical = segment::HEADER_BYTES;
    let mut out = Scanned { end: physical as u32, ..Scanned::default() };
    loop {
        let fits = |header: &Header| {
            if identity.variant == 0 { header.offset as usize == physical } else { header.offset >= out.end }
        };
        let rest = bytes.get(physical..).unwrap_or_default();
        let Some(frame) = Frame::read(rest, seed).filter(|frame| fits(&frame.header)) else { return Ok(out) };
        let offset = frame.header.offset;
        let malformed = || format!("the frame at offset {offset} is malformed");
        let length = frame.header.frame_bytes();
        let end = offset.checked_add(length as u32).ok_or_else(malformed)?;
        match frame.header.kind {
            Kind::Entry => entry(&frame, identity, &mut out).ok_or_else(malformed)?,
            Kind::Group => {
                let Some(entries) = group_entries(&frame, seed) else { return Ok(out) };
                for entry_frame in &entries {
                    entry(entry_frame, identity, &mut out).ok_or_else(malformed)?;
                }
                let mut head = frame.head();
                varint::take(&mut head);
                ranges::take(head, &mut |range| said(Said::Settled(range))).ok_or_else(malformed)?;
            }
            Kind::Settle => {
                ranges::take(frame.body, &mut |range| said(Said::Settled(range))).ok_or_else(malformed)?;
            }
            Kind::Mark => marks(frame.body, said).ok_or_else(malformed)?,
            Kind::Note => notes(frame.body, said).ok_or_else(malformed)?,
            Kind::End => {
                out.end = end;
                out.ended = true;
                return Ok(out);
            }
        }
        out.end = end;
        physical += length;
    }
}

/// The entries of a group, if all of them are whole: otherwise the group did not happen.
fn group_entries<'a>(group: &Frame<'a>, seed: u32) -> Option<Vec<Frame<'a>>> {
    let count = varint::take(&mut group.head())?;
    let mut rest = group.tail();
    let mut offset = group.header.offset + (frame::HEADER_BYTES + (group.body.len() - rest.len())) as u32;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let entry = Frame::read(rest, seed)
            .filter(|entry| entry.header.kind == Kind::Entry && entry.header.offset == offset)?;
        let length = entry.header.frame_bytes();
        rest = rest.get(length..)?;
        offset = offset.checked_add(length as u32)?;
        entries.push(entry);
    }
    (entries.len() as u64 == count).then_some(entries)
}

fn entry(frame: &Frame<'_>, identity: &Identity, out: &mut Scanned) -> Option<()> {
    let Header { offset, slot, .. } = frame.header;
    let head = Head::read(frame.head())?;
    let refs = head.refs();
    head.meta()?;
    // Only compaction leaves slots out.
    if slot < out.slots || identity.variant == 0 && slot != out.slots {
        return None;
    }
    out.slots = slot.checked_add(refs)?;
    out.index.push(offset, slot, refs, frame.head(), frame.tail().len() as u32);
    Some(())
}

fn marks(mut body: &[u8], said: &mut dyn FnMut(Said)) -> Option<()> {
    while !body.is_empty() {
        let (segment, slot) = (varint::take_u32(&mut body)?, varint::take_u32(&mut body)?);
        said(Said::Marked(segment, slot, varint::take(&mut body)?));
    }
    Some(())
}

fn notes(mut body: &[u8], said: &mut dyn FnMut(Said)) -> Option<()> {
    while !body.is_empty() {
        let lane = varint::take(&mut body)?;
        let (&is_some, rest) = body.split_first()?;
        body = rest;
        let value = varint::take(&mut body)?;
        said(Said::Noted(lane, (is_some == 1).then_some(value)));
    }
    Some(())
}

/// Looks behind a bad frame for a good one of a later batch: if there is one, then the bad one was on stable storage, and what
/// is there is no torn tail but a hole. Says where the good one is.
pub(super) fn good_after(bytes: &[u8], bad: u32, identity: &Identity) -> Option<u32> {
    let seed = identity.seed();
    let from = (bad as usize).next_multiple_of(frame::ALIGN_BYTES) + frame::ALIGN_BYTES;
    let last = bytes.len().checked_sub(frame::HEADER_BYTES)?;
    (from..=last).step_by(frame::ALIGN_BYTES).map(|at| at as u32).find(|&at| {
        let frame = &bytes[at as usize..];
        frame[8..12] == at.to_le_bytes()
            && Header::decode(frame).is_some_and(|header| header.batch_start > bad && header.batch_start <= at)
            && Frame::read(frame, seed).is_some()
    })
}
