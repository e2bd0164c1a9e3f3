//! Heads of the frames that we send, and control frames. A server does not mask.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::CONTROL_BYTES_MAX;
use crate::limits::MESSAGE_OUT_BYTES_MAX;

/// Longest head of a frame of at most [`MESSAGE_OUT_BYTES_MAX`].
pub(super) const HEAD_OUT_BYTES_MAX: usize = 4;

// The length fits 16 bits: the head has no longer form.
const _: () = assert!(MESSAGE_OUT_BYTES_MAX <= u16::MAX as usize);

/// The head of a message of one frame, as far as it has not been written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DataHead {
    bytes: [u8; HEAD_OUT_BYTES_MAX],
    begin: u8,
    end: u8,
}

impl DataHead {
    /// Of a message of so many bytes, at most [`MESSAGE_OUT_BYTES_MAX`].
    pub(crate) fn new(is_text: bool, payload_bytes: usize) -> Self {
        let mut bytes = [0; HEAD_OUT_BYTES_MAX];
        let end = put_head(data_head(is_text), payload_bytes, &mut bytes);
        Self { bytes, begin: 0, end: end as u8 }
    }

    /// What is to be written.
    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[usize::from(self.begin)..usize::from(self.end)]
    }

    /// Whether nothing of it has been written.
    pub(crate) fn is_untouched(&self) -> bool {
        self.begin == 0
    }

    /// Of so many bytes written, takes its own; the number of the others.
    pub(crate) fn advance(&mut self, written: usize) -> usize {
        let own = written.min(self.left().len());
        self.begin += own as u8;
        written - own
    }
}

/// A control frame, as far as it has not been written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlFrame {
    bytes: [u8; 2 + CONTROL_BYTES_MAX],
    begin: u8,
    end: u8,
}

impl ControlFrame {
    /// None.
    pub(crate) const EMPTY: Self = Self { bytes: [0; 2 + CONTROL_BYTES_MAX], begin: 0, end: 0 };

    /// The answer to a ping.
    pub(crate) fn pong(payload: &[u8]) -> Self {
        Self::new(Control::Pong, payload)
    }

    /// A close frame with this code, or with none. No reason: RabbitMQ gives none for errors either.
    pub(crate) fn close(code: Option<u16>) -> Self {
        match code {
            Some(code) => Self::new(Control::Close, &code.to_be_bytes()),
            None => Self::new(Control::Close, &[]),
        }
    }

    fn new(control: Control, payload: &[u8]) -> Self {
        let mut frame = Self::EMPTY;
        let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
        let head = FrameHeader { opcode: OpCode::Control(control), ..FrameHeader::default() };
        let head = put_head(head, payload.len(), &mut frame.bytes);
        frame.bytes[head..head + payload.len()].copy_from_slice(payload);
        frame.end = (head + payload.len()) as u8;
        frame
    }

    /// What is to be written.
    pub(crate) fn left(&self) -> &[u8] {
        &self.bytes[usize::from(self.begin)..usize::from(self.end)]
    }

    /// So much has been written.
    pub(crate) fn advance(&mut self, written: usize) {
        self.begin += written.min(self.left().len()) as u8;
    }
}

/// Writes the head of a compressed message of one frame; its length.
pub(super) fn put_packed_head(is_text: bool, payload_bytes: usize, out: &mut [u8; HEAD_OUT_BYTES_MAX]) -> usize {
    put_head(FrameHeader { rsv1: true, ..data_head(is_text) }, payload_bytes, out)
}

fn data_head(is_text: bool) -> FrameHeader {
    let data = if is_text { Data::Text } else { Data::Binary };
    FrameHeader { opcode: OpCode::Data(data), ..FrameHeader::default() }
}

/// Writes the head of a frame that is a whole message; its length.
fn put_head(head: FrameHeader, payload_bytes: usize, out: &mut [u8]) -> usize {
    let room = out.len();
    let mut rest = out;
    let put = head.format(payload_bytes as u64, &mut rest);
    debug_assert!(put.is_ok(), "there is room for a head");
    room - rest.len()
}
