//! Receipt handles: opaque, tamper-proof, and good for as long as what they stand for, over restarts too.
//!
//! A handle says which queue, which message and which receive of it, and has a seal that only this broker can make. Nothing is
//! kept for it: who deletes a message shows the handle, and the queue compares.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::ascii::Ascii;

/// What seals handles. Random; kept with the broker's definitions.
#[derive(Clone)]
pub(crate) struct Key(Option<Hmac<Sha256>>);

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;

/// A receive of a message, as a handle names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// The queue, by a number that no other ever has.
    pub(crate) queue: u64,
    /// The message's place in it.
    pub(crate) seq: u64,
    /// How often the message had been received then.
    pub(crate) receives: u32,
    /// Which receive it was, in milliseconds since the epoch of Unix; so that no two handles are the same, even where a message is
    /// given back without being counted.
    pub(crate) received_ms: u64,
}

const VERSION: u8 = 1;
const PLAIN_BYTES: usize = 1 + 8 + 8 + 4 + 8;
const SEAL_BYTES: usize = 16;
const HANDLE_BYTES: usize = PLAIN_BYTES + SEAL_BYTES;
/// Characters of a handle.
const HANDLE_CHARACTERS: usize = HANDLE_BYTES.div_ceil(3) * 4;

/// A handle as text.
pub(crate) type HandleText = Ascii<HANDLE_CHARACTERS>;

impl Key {
    pub(crate) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        // A key may be as long as it likes, so this never fails.
        Self(Hmac::new_from_slice(&bytes).ok())
    }

    fn seal(&self, plain: &[u8]) -> [u8; SEAL_BYTES] {
        let mut seal = [0; SEAL_BYTES];
        if let Some(keyed) = &self.0 {
            let mut mac = keyed.clone();
            mac.update(plain);
            seal.copy_from_slice(&mac.finalize().into_bytes()[..SEAL_BYTES]);
        }
        seal
    }

    /// The text of a handle.
    pub(crate) fn write(&self, handle: &Handle) -> HandleText {
        let mut bytes = [0; HANDLE_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&handle.queue.to_be_bytes());
        bytes[9..17].copy_from_slice(&handle.seq.to_be_bytes());
        bytes[17..21].copy_from_slice(&handle.receives.to_be_bytes());
        bytes[21..29].copy_from_slice(&handle.received_ms.to_be_bytes());
        let seal = self.seal(&bytes[..PLAIN_BYTES]);
        bytes[PLAIN_BYTES..].copy_from_slice(&seal);
        let mut text = [b'='; HANDLE_CHARACTERS];
        // The room is as much as it takes, so this never fails; a handle that is all signs of equality is none.
        if STANDARD.encode_slice(bytes, &mut text).is_err() {
            text = [b'='; HANDLE_CHARACTERS];
        }
        HandleText::new(text)
    }

    /// Reads a handle; none where it is none that this key has sealed.
    pub(crate) fn read(&self, text: &str) -> Option<Handle> {
        if text.len() != HANDLE_CHARACTERS {
            return None;
        }
        let mut bytes = [0; HANDLE_BYTES + 2];
        let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
        let (plain, seal) = bytes.get(..length)?.split_at_checked(PLAIN_BYTES)?;
        let is_sealed: bool = self.seal(plain).as_slice().ct_eq(seal).into();
        if !is_sealed || plain[0] != VERSION {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(plain.get(at..at + 8)?.try_into().ok()?));
        let receives = u32::from_be_bytes(plain.get(17..21)?.try_into().ok()?);
        Some(Handle { queue: number(1)?, seq: number(9)?, receives, received_ms: number(21)? })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_read_as_it_was_written_and_never_otherwise() {
        let key = Key::new([7; KEY_BYTES]);
        let handle = Handle { queue: 5 << 40, seq: (9 << 40) + 3, receives: 2, received_ms: 1_790_000_000_123 };
        let text = key.write(&handle).to_string();
        assert_eq!(text.len(), HANDLE_CHARACTERS);
        assert_eq!(key.read(&text), Some(handle));
        assert_eq!(Key::new([8; KEY_BYTES]).read(&text), None, "of another broker");
        for at in 0..text.len() {
            for replacement in ["A", "/", "=", "é", ""] {
                let mut changed = text.clone();
                changed.replace_range(at..at + 1, replacement);
                assert!(changed == text || key.read(&changed).is_none(), "{changed}");
            }
        }
        for text in ["", "dummy", &format!("{text}A"), &"A".repeat(HANDLE_CHARACTERS)] {
            assert_eq!(key.read(text), None);
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", Key::new([7; KEY_BYTES])), "Key");
    }
}
