//! Whether text that comes in pieces is UTF-8.

/// The beginning of a character whose rest has not come.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    begun: [u8; 4],
    begun_bytes: u8,
}

impl Utf8 {
    /// Takes the next piece; false where it cannot be UTF-8 whatever follows.
    pub(crate) fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.begun_bytes > 0 {
            let Some((first, rest)) = piece.split_first() else { return true };
            piece = rest;
            let bytes = usize::from(self.begun_bytes) + 1;
            // A character has at most four bytes, and three that are no error are the beginning of one of four.
            let Some(begun) = self.begun.get_mut(..bytes) else { return false };
            begun[bytes - 1] = *first;
            match std::str::from_utf8(begun) {
                Ok(_) => self.begun_bytes = 0,
                Err(error) if error.error_len().is_none() => self.begun_bytes += 1,
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let begun = &piece[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.begun_bytes = begun.len() as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Bytes of a character that has begun and not ended.
    pub(crate) fn begun_bytes(&self) -> usize {
        usize::from(self.begun_bytes)
    }
}
