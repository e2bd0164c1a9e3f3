//! What is written of one key: in the journal's own words the key is the reference's place in its lane, and the rest is what
//! recovery hands over without reading anything.

use gantry_storage::{Position, Recovered};

use crate::message::Unreadable;

const VERSION: u8 = 1;

/// Bytes of what is written beside the key.
pub(super) const META_BYTES: usize = 17;

pub(super) fn encode(seq: u64, sent_ms: u64) -> [u8; META_BYTES] {
    let mut meta = [VERSION; META_BYTES];
    meta[1..9].copy_from_slice(&seq.to_be_bytes());
    meta[9..].copy_from_slice(&sent_ms.to_be_bytes());
    meta
}

/// A key that was found at recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) key: u64,
    /// The place of its message in the queue.
    pub(crate) seq: u64,
    pub(crate) sent_ms: u64,
    pub(crate) position: Position,
}

impl Remembered {
    pub(crate) fn new(found: &Recovered<'_>) -> Result<Self, Unreadable> {
        let meta: [u8; META_BYTES] = found
            .meta
            .try_into()
            .map_err(|_| Unreadable::new("its meta data has not the length that it should have"))?;
        if meta[0] != VERSION {
            return Err(Unreadable::new("it was stored by another version"));
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let (seq, sent_ms) = (number(&meta[1..9]), number(&meta[9..]));
        Ok(Self { key: found.reference.seq, seq, sent_ms, position: found.position })
    }
}
