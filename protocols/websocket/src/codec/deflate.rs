//! Compressed messages (RFC 7692, section 7.2). Each stands for itself, so that nothing is kept from one to the next.

use std::cell::RefCell;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::ReadBuf;

use super::outgoing::{HEAD_OUT_BYTES_MAX, put_packed_head};
use super::{Utf8, Violation};

/// What a compressed message ends with before it is sent without it (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

thread_local! {
    /// Some 300 KiB: one for all connections of a thread, which is possible as each message begins anew.
    static DEFLATER: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    /// An inflater that nobody uses: one is needed by a message from its first byte to its last.
    static INFLATER: RefCell<Option<Decompress>> = const { RefCell::new(None) };
}

/// A message of so many bytes of these slices as a compressed frame. `None` where that would not be shorter.
pub(crate) fn deflate(is_text: bool, slices: &[IoSlice<'_>], bytes: usize) -> Option<Bytes> {
    let mut frame = Vec::with_capacity(HEAD_OUT_BYTES_MAX + bytes);
    frame.resize(HEAD_OUT_BYTES_MAX, 0);
    let is_shorter = DEFLATER.with_borrow_mut(|deflater| {
        let is_shorter = deflate_slices(deflater, slices, bytes, &mut frame);
        deflater.reset();
        is_shorter
    });
    if !is_shorter || !frame.ends_with(&TAIL) {
        return None;
    }
    frame.truncate(frame.len() - TAIL.len());
    let mut head = [0; HEAD_OUT_BYTES_MAX];
    let head_bytes = put_packed_head(is_text, frame.len() - HEAD_OUT_BYTES_MAX, &mut head);
    // The head stands right before what it is of.
    let begin = HEAD_OUT_BYTES_MAX - head_bytes;
    frame[begin..HEAD_OUT_BYTES_MAX].copy_from_slice(&head[..head_bytes]);
    let mut frame = Bytes::from(frame);
    frame.advance(begin);
    Some(frame)
}

/// False where the room behind `out` is too little.
fn deflate_slices(deflater: &mut Compress, slices: &[IoSlice<'_>], bytes: usize, out: &mut Vec<u8>) -> bool {
    let mut left = bytes;
    for slice in slices {
        let mut piece = &slice[..slice.len().min(left)];
        left -= piece.len();
        while !piece.is_empty() {
            let before = deflater.total_in();
            if deflater.compress_vec(piece, out, FlushCompress::None).is_err() || out.len() == out.capacity() {
                return false;
            }
            piece = &piece[(deflater.total_in() - before) as usize..];
        }
    }
    // All of it is out once there is room left behind it.
    deflater.compress_vec(&[], out, FlushCompress::Sync).is_ok() && out.len() < out.capacity()
}

/// A compressed message that is being received: about 45 KiB, from its first byte to its last.
pub(crate) struct Inflate {
    state: Decompress,
    /// What has come of it, unmasked, and has not been inflated.
    packed: BytesMut,
    /// Nothing more will come.
    is_over: bool,
    /// Its bytes so far, inflated, and how many there may be.
    bytes: u64,
    bytes_max: u64,
    /// Where it is text.
    text: Option<Utf8>,
}

impl Inflate {
    /// A message of at most so many bytes, inflated.
    pub(crate) fn new(is_text: bool, bytes_max: u64) -> Self {
        let state = INFLATER.take().unwrap_or_else(|| Decompress::new(false));
        let text = is_text.then(Utf8::default);
        Self { state, packed: BytesMut::new(), is_over: false, bytes: 0, bytes_max, text }
    }

    /// Takes the next bytes of it, once those before are inflated.
    pub(crate) fn push(&mut self, packed: BytesMut) {
        debug_assert!(self.packed.is_empty(), "what came before is not inflated");
        self.packed = packed;
    }

    /// All of it has come.
    pub(crate) fn finish(&mut self) {
        self.is_over = true;
        self.packed.extend_from_slice(&TAIL);
    }

    /// Inflates into the room that there is; the number of bytes. It is 0 where more has to come, or nothing more will.
    pub(crate) fn inflate(&mut self, buffer: &mut ReadBuf<'_>) -> Result<usize, Violation> {
        loop {
            let left = usize::try_from(self.bytes_max - self.bytes).unwrap_or(usize::MAX);
            // Whether there is more than may be is seen by one byte of it.
            let mut beyond = [0];
            let room = buffer.initialize_unfilled();
            let room_bytes = room.len().min(left);
            let out = if left == 0 { &mut beyond[..] } else { &mut room[..room_bytes] };
            let (total_in, total_out) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(&self.packed, out, FlushDecompress::None);
            let taken = (self.state.total_in() - total_in) as usize;
            let made = (self.state.total_out() - total_out) as usize;
            self.packed.advance(taken);
            // A block may be marked as the last one, and others follow all the same (section 7.2.3.4).
            let is_last = status.map_err(|_| Violation::Deflate)? == Status::StreamEnd;
            if is_last {
                self.state.reset(false);
            }
            if made > 0 {
                if left == 0 {
                    return Err(Violation::TooLong);
                }
                buffer.advance(made);
                self.bytes += made as u64;
                let inflated = &buffer.filled()[buffer.filled().len() - made..];
                let is_text = self.text.as_mut().is_none_or(|text| text.push(inflated));
                return if is_text { Ok(made) } else { Err(Violation::Utf8) };
            }
            if self.packed.is_empty() {
                self.packed = BytesMut::new();
                let is_cut = self.is_over && self.text.as_ref().is_some_and(|text| text.begun_bytes() > 0);
                return if is_cut { Err(Violation::Utf8) } else { Ok(0) };
            }
            if taken == 0 && !is_last {
                return Err(Violation::Deflate);
            }
        }
    }

    /// Whether all of it has come; it has been inflated once nothing comes out.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Leaves what it needed to the next one.
    pub(crate) fn recycle(mut self) {
        self.state.reset(false);
        INFLATER.set(Some(self.state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a message, by a buffer of so many bytes, and the violation that ended it.
    fn inflated(frame: &[u8], bytes_max: u64, buffer_bytes: usize) -> (Vec<u8>, Option<Violation>) {
        let mut inflate = Inflate::new(false, bytes_max);
        inflate.push(BytesMut::from(frame));
        inflate.finish();
        let mut out = Vec::new();
        let mut scratch = vec![0; buffer_bytes];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match inflate.inflate(&mut buffer) {
                Ok(0) => return (out, None),
                Ok(bytes) => assert_eq!(bytes, buffer.filled().len()),
                Err(violation) => return (out, Some(violation)),
            }
            out.extend_from_slice(buffer.filled());
        }
    }

    /// The payload of a frame of ours with a head of four bytes.
    fn packed(message: &[u8]) -> Vec<u8> {
        let frame = deflate(false, &[IoSlice::new(message)], message.len()).unwrap();
        let head_bytes = if frame[1] < 126 { 2 } else { 4 };
        assert_eq!(frame[0], 0xc2);
        frame[head_bytes..].to_vec()
    }

    #[test]
    fn what_is_compressed_comes_out_whatever_the_room() {
        let message: Vec<u8> = (0..60_000_u32).map(|n| (n / 100) as u8).collect();
        let frame = packed(&message);
        assert!(frame.len() < message.len() / 10);
        for buffer_bytes in [1, 7, 1000, 100_000] {
            assert_eq!(inflated(&frame, 60_000, buffer_bytes), (message.clone(), None));
        }
    }

    #[test]
    fn slices_are_one_message_and_what_gets_no_shorter_stays_as_it_is() {
        let slices = [IoSlice::new(b"aaaaaaaaaa"), IoSlice::new(b""), IoSlice::new(b"aaaaaaaaaabbbbbbbbbbbbbb")];
        let frame = deflate(true, &slices, 20).unwrap();
        assert_eq!(frame[..2], [0xc1, frame.len() as u8 - 2]);
        assert_eq!(inflated(&frame[2..], 100, 100).0, b"aaaaaaaaaaaaaaaaaaaa");
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(5_000)
        .collect();
        assert_eq!(deflate(false, &[IoSlice::new(&noise)], noise.len()), None);
    }

    #[test]
    fn a_bomb_is_never_inflated_beyond_what_is_allowed() {
        let bomb = packed(&[0; 65_000]);
        for (bytes_max, violation) in
            [(1000, Some(Violation::TooLong)), (64_999, Some(Violation::TooLong)), (65_000, None)]
        {
            for buffer_bytes in [100, 1 << 20] {
                let (out, end) = inflated(&bomb, bytes_max, buffer_bytes);
                assert_eq!((out.len() as u64, end), (bytes_max, violation));
            }
        }
    }

    #[test]
    fn a_message_may_have_last_blocks_and_empty_ones() {
        let mut last = Compress::new(Compression::fast(), false);
        let mut message = Vec::with_capacity(100);
        last.compress_vec(b"hello", &mut message, FlushCompress::Finish).unwrap();
        // Section 7.2.3.4: a byte of nothing follows.
        message.push(0);
        assert_eq!(inflated(&message, 100, 100), (b"hello".to_vec(), None));
        assert_eq!(inflated(&[0], 100, 100), (Vec::new(), None));
        assert_eq!(inflated(&[], 100, 100), (Vec::new(), None));
        // The examples of sections 7.2.3.1 and 7.2.3.3.
        assert_eq!(inflated(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 100, 2), (b"Hello".to_vec(), None));
        let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
        assert_eq!(inflated(&stored, 100, 3), (b"Hello".to_vec(), None));
    }

    #[test]
    fn what_is_no_compressed_data_is_refused() {
        for wrong in [&[0xff; 20][..], &[0x00, 0x05, 0x00, 0x00, 0x00, 1, 2, 3, 4, 5], &[0x06]] {
            assert_eq!(inflated(wrong, 100, 100).1, Some(Violation::Deflate), "{wrong:02x?}");
        }
    }
}
