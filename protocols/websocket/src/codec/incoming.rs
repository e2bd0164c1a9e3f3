//! What a client sends: frames in, the bytes of its messages out.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::mask::apply_mask;
use super::{CONTROL_BYTES_MAX, HEAD_BYTES_MAX, Utf8, Violation};

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncomingLimits {
    /// Longest message, all its fragments together, in bytes.
    pub(crate) message_bytes_max: u64,
    /// Whether messages may be text.
    pub(crate) takes_text: bool,
    /// Whether messages may be compressed.
    pub(crate) takes_packed: bool,
}

/// What bytes were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes of a head, or of a control frame.
    Frame(usize),
    /// So many bytes of a message, now unmasked.
    Payload(usize),
    /// So many bytes of a compressed message, now unmasked.
    Packed { bytes: usize, is_text: bool },
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client closes, with this code if any.
    Closed(Option<u16>),
    /// The client has done something that it may not.
    Failed(Violation),
}

/// What the frame is that is being received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data { is_final: bool },
    Ping,
    Pong,
    Close,
}

/// A frame whose head has come.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    mask: [u8; 4],
    /// Bytes of the payload still to come.
    left_bytes: u64,
}

/// A message that has begun.
#[derive(Debug)]
struct Message {
    is_text: bool,
    is_packed: bool,
    /// Bytes of its frames so far, by their heads.
    bytes: u64,
}

/// The receiving end of a connection, between any two bytes of it.
#[derive(Debug)]
pub(crate) struct Incoming {
    limits: IncomingLimits,
    /// A head that is not all there.
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: u8,
    frame: Option<Frame>,
    message: Option<Message>,
    /// Whether any message was text.
    had_text: bool,
    /// A compressed message has ended, which has not been taken note of.
    packed_is_over: bool,
    utf8: Utf8,
    /// The payload of a control frame that is not all there, or of the last ping.
    control: [u8; CONTROL_BYTES_MAX],
    control_bytes: u8,
    /// The payload of the last ping, where it has not been taken. An earlier one needs no answer (section 5.5.3).
    ping: Option<([u8; CONTROL_BYTES_MAX], u8)>,
    end: Option<End>,
}

impl Incoming {
    pub(crate) fn new(limits: IncomingLimits) -> Self {
        Self {
            limits,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            frame: None,
            message: None,
            had_text: false,
            packed_is_over: false,
            utf8: Utf8::default(),
            control: [0; CONTROL_BYTES_MAX],
            control_bytes: 0,
            ping: None,
            end: None,
        }
    }

    /// Says whether messages may be text, those that have come included.
    pub(crate) fn takes_text(&mut self, takes_text: bool) {
        self.limits.takes_text = takes_text;
        if !takes_text && self.had_text && self.end.is_none() {
            self.fail(Violation::Text);
        }
    }

    /// How it ended, once it has. Bytes behind that are ignored.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Hands the payload of a ping that has not been answered to `answer`.
    pub(crate) fn take_ping<T>(&mut self, answer: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let (payload, bytes) = self.ping.take()?;
        Some(answer(&payload[..usize::from(bytes)]))
    }

    /// Takes bytes as they come, where nothing is compressed. Those of messages, unmasked, are moved to the front; their number.
    pub(crate) fn receive(&mut self, bytes: &mut [u8]) -> usize {
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() && self.end.is_none() {
            match self.step(&mut bytes[from..]) {
                Step::Frame(taken) => from += taken,
                Step::Payload(taken) | Step::Packed { bytes: taken, .. } => {
                    bytes.copy_within(from..from + taken, to);
                    from += taken;
                    to += taken;
                }
            }
        }
        to
    }

    /// Takes the next bytes that belong together, at least one of those that there are.
    pub(crate) fn step(&mut self, bytes: &mut [u8]) -> Step {
        let Some(frame) = &mut self.frame else { return Step::Frame(self.receive_head(bytes)) };
        let piece_bytes = usize::try_from(frame.left_bytes).unwrap_or(usize::MAX).min(bytes.len());
        frame.left_bytes -= piece_bytes as u64;
        let is_over = frame.left_bytes == 0;
        let piece = &mut bytes[..piece_bytes];
        apply_mask(piece, &mut frame.mask);
        let step = match (&self.message, frame.kind) {
            (Some(message), Kind::Data { .. }) if message.is_packed => {
                Step::Packed { bytes: piece_bytes, is_text: message.is_text }
            }
            (Some(message), Kind::Data { .. }) => {
                if message.is_text && !self.utf8.push(piece) {
                    self.fail(Violation::Utf8);
                    return Step::Frame(piece_bytes);
                }
                Step::Payload(piece_bytes)
            }
            _ => {
                let begin = usize::from(self.control_bytes);
                self.control[begin..begin + piece_bytes].copy_from_slice(piece);
                self.control_bytes += piece_bytes as u8;
                Step::Frame(piece_bytes)
            }
        };
        if is_over {
            self.frame_ends();
        }
        step
    }

    /// Whether a compressed message has ended with the last step.
    pub(crate) fn take_packed_end(&mut self) -> bool {
        std::mem::take(&mut self.packed_is_over)
    }

    /// Ends it for an error.
    pub(crate) fn fail(&mut self, violation: Violation) {
        self.end = Some(End::Failed(violation));
    }

    /// Takes the head of a frame, or what there is of it; the number of bytes taken.
    fn receive_head(&mut self, bytes: &[u8]) -> usize {
        let begun = usize::from(self.head_bytes);
        let (parsed, taken) = if let (0, Some((head, payload_bytes))) = (begun, short_head(bytes)) {
            (Ok(Some((head, payload_bytes))), SHORT_HEAD_BYTES)
        } else if begun == 0 {
            let mut cursor = Cursor::new(bytes);
            (FrameHeader::parse(&mut cursor), cursor.position() as usize)
        } else {
            let more = bytes.len().min(HEAD_BYTES_MAX - begun);
            self.head[begun..begun + more].copy_from_slice(&bytes[..more]);
            let mut cursor = Cursor::new(&self.head[..begun + more]);
            (FrameHeader::parse(&mut cursor), (cursor.position() as usize).saturating_sub(begun))
        };
        match parsed {
            Ok(Some((head, payload_bytes))) => {
                let form_bytes = begun + taken;
                self.head_bytes = 0;
                match self.frame_begins(&head, payload_bytes, form_bytes) {
                    Ok(frame) => {
                        let is_over = frame.left_bytes == 0;
                        self.frame = Some(frame);
                        if is_over {
                            self.frame_ends();
                        }
                    }
                    Err(violation) => self.fail(violation),
                }
                taken
            }
            Ok(None) => {
                // Fewer than the longest head, or it would have been one.
                let more = bytes.len().min(HEAD_BYTES_MAX - begun);
                self.head[begun..begun + more].copy_from_slice(&bytes[..more]);
                self.head_bytes = (begun + more) as u8;
                more
            }
            // The other errors are those of reading, and there is nothing to read from.
            Err(_) => {
                self.fail(Violation::Opcode);
                bytes.len()
            }
        }
    }

    /// Judges a head before anything of its payload is there. `head_bytes` is how long it was.
    fn frame_begins(&mut self, head: &FrameHeader, bytes: u64, head_bytes: usize) -> Result<Frame, Violation> {
        // The first frame of a message says for all of it whether it is compressed.
        let may_be_packed = self.limits.takes_packed && matches!(head.opcode, OpCode::Data(Data::Text | Data::Binary));
        if head.rsv1 && !may_be_packed || head.rsv2 || head.rsv3 {
            return Err(Violation::ReservedBits);
        }
        let mask = head.mask.ok_or(Violation::Unmasked)?;
        if bytes >= 1 << 63 || head.len(bytes) != head_bytes {
            return Err(Violation::Length);
        }
        let is_final = head.is_final;
        let kind = match head.opcode {
            OpCode::Control(_) if !is_final || bytes > CONTROL_BYTES_MAX as u64 => return Err(Violation::Control),
            OpCode::Control(Control::Ping) => Kind::Ping,
            OpCode::Control(Control::Pong) => Kind::Pong,
            OpCode::Control(Control::Close) => Kind::Close,
            OpCode::Control(Control::Reserved(_)) | OpCode::Data(Data::Reserved(_)) => return Err(Violation::Opcode),
            OpCode::Data(Data::Text) if !self.limits.takes_text => return Err(Violation::Text),
            OpCode::Data(data) => {
                let message = match (data, self.message.take()) {
                    (Data::Continue, Some(message)) => message,
                    (Data::Continue, None) | (_, Some(_)) => return Err(Violation::Fragment),
                    (data, None) => Message { is_text: data == Data::Text, is_packed: head.rsv1, bytes: 0 },
                };
                let message_bytes = message.bytes.saturating_add(bytes);
                if message_bytes > self.limits.message_bytes_max {
                    return Err(Violation::TooLong);
                }
                self.had_text |= message.is_text;
                self.message = Some(Message { bytes: message_bytes, ..message });
                Kind::Data { is_final }
            }
        };
        Ok(Frame { kind, mask, left_bytes: bytes })
    }

    fn frame_ends(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        let bytes = usize::from(std::mem::take(&mut self.control_bytes));
        match frame.kind {
            Kind::Data { is_final: false } | Kind::Pong => {}
            Kind::Data { is_final: true } => {
                self.packed_is_over = self.message.take().is_some_and(|message| message.is_packed);
                if self.utf8.begun_bytes() > 0 {
                    self.fail(Violation::Utf8);
                }
            }
            Kind::Ping => self.ping = Some((self.control, bytes as u8)),
            Kind::Close => self.end = Some(close_frame(&self.control[..bytes])),
        }
    }
}

/// Length of a masked head whose payload is shorter than 126 bytes.
const SHORT_HEAD_BYTES: usize = 6;

/// A whole head of that kind, if it is of a known type: small messages have it, there are many, and it is quickly read.
fn short_head(bytes: &[u8]) -> Option<(FrameHeader, u64)> {
    let [first, second @ 0x80..0xfe, mask @ ..] = bytes.first_chunk::<SHORT_HEAD_BYTES>()? else { return None };
    let opcode = OpCode::from(first & 0x0f);
    if matches!(opcode, OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_))) {
        return None;
    }
    let bit = |bit: u8| first & bit != 0;
    let head = FrameHeader {
        is_final: bit(0x80),
        rsv1: bit(0x40),
        rsv2: bit(0x20),
        rsv3: bit(0x10),
        opcode,
        mask: Some(*mask),
    };
    Some((head, u64::from(second & 0x7f)))
}

/// Reads the payload of a close frame (section 5.5.1).
fn close_frame(payload: &[u8]) -> End {
    match payload {
        [] => End::Closed(None),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !CloseCode::from(code).is_allowed() {
                End::Failed(Violation::CloseFrame)
            } else if std::str::from_utf8(reason).is_err() {
                End::Failed(Violation::Utf8)
            } else {
                End::Closed(Some(code))
            }
        }
        [_] => End::Failed(Violation::CloseFrame),
    }
}
