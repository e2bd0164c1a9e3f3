//! Reply codes and texts of the protocol, as RabbitMQ spells them.

use super::wire::{SHORT_STRING_BYTES_MAX, cut};
use super::{FrameError, HeaderError, MethodError, TableError};
use std::fmt;

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal,)*) => {
        /// Why a channel or a connection is closed, or a message returned (AMQP 0-9-1, 1.2 "Constants").
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ReplyCode {
            $($(#[$doc])* $variant = $code,)*
        }

        impl ReplyCode {
            /// All of them.
            pub const ALL: &'static [ReplyCode] = &[$(ReplyCode::$variant),*];

            /// The name that starts a reply text.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ReplyCode::$variant => $name,)*
                }
            }
        }
    };
}

reply_codes! {
    /// A reply that tells no error.
    Success = 200 "OK",
    /// The body is larger than the broker takes. Closes the channel.
    ContentTooLarge = 311 "CONTENT_TOO_LARGE",
    /// A mandatory message had no queue to go to. In basic.return only.
    NoRoute = 312 "NO_ROUTE",
    /// An immediate message had no consumer to go to. In basic.return only.
    NoConsumers = 313 "NO_CONSUMERS",
    /// The operator, or a shutdown, closes the connection.
    ConnectionForced = 320 "CONNECTION_FORCED",
    /// The virtual host's name cannot be.
    InvalidPath = 402 "INVALID_PATH",
    /// The user has no right to it.
    AccessRefused = 403 "ACCESS_REFUSED",
    /// There is no such queue or exchange.
    NotFound = 404 "NOT_FOUND",
    /// It is exclusive to another connection.
    ResourceLocked = 405 "RESOURCE_LOCKED",
    /// It is there, but not in the way that was asked for.
    PreconditionFailed = 406 "PRECONDITION_FAILED",
    /// A frame that cannot be decoded.
    FrameError = 501 "FRAME_ERROR",
    /// A frame whose fields hold what they must not hold.
    SyntaxError = 502 "SYNTAX_ERROR",
    /// A method that does not exist or not in this direction.
    CommandInvalid = 503 "COMMAND_INVALID",
    /// A channel that is not open, or is already.
    ChannelError = 504 "CHANNEL_ERROR",
    /// A frame out of sequence.
    UnexpectedFrame = 505 "UNEXPECTED_FRAME",
    /// The broker has not the means.
    ResourceError = 506 "RESOURCE_ERROR",
    /// Forbidden whatever the rights.
    NotAllowed = 530 "NOT_ALLOWED",
    /// In the protocol, but not in this broker.
    NotImplemented = 540 "NOT_IMPLEMENTED",
    /// A fault of the broker.
    InternalError = 541 "INTERNAL_ERROR",
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// Whether the code closes the whole connection and not only the channel.
    pub const fn closes_connection(self) -> bool {
        matches!(self.code(), 320 | 402 | 501..=541)
    }

    /// `NAME - explanation`, cut to what a short string holds. RabbitMQ keeps 252 bytes and adds three dots; a
    /// character is never cut in half here.
    pub fn text(self, explanation: impl fmt::Display) -> String {
        let mut text = format!("{} - {explanation}", self.name());
        if text.len() > SHORT_STRING_BYTES_MAX {
            text.truncate(cut(&text, SHORT_STRING_BYTES_MAX - 3).len());
            text.push_str("...");
        }
        text
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whatever can be wrong with the bytes of a peer. All of it closes the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A frame is malformed, too large or on a channel where it cannot be.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A method is unknown or its fields are malformed.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// A content header is malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A field table is malformed or nested too deeply.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl CodecError {
    /// The code to close the connection with.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            CodecError::Frame(e) => e.reply_code(),
            CodecError::Method(e) => e.reply_code(),
            CodecError::Header(e) => e.reply_code(),
            CodecError::Table(e) => e.reply_code(),
        }
    }

    /// The text to close the connection with, at most 255 bytes.
    pub fn reply_text(&self) -> String {
        self.reply_code().text(self)
    }

    /// Class and method id to name in connection.close, 0 and 0 where no method is to blame.
    pub fn method_ids(&self) -> (u16, u16) {
        match self {
            CodecError::Method(e) => e.method_ids(),
            _ => (0, 0),
        }
    }
}

/// Bytes of a peer in an error text, written as RabbitMQ's operators know them: `<<"abc">>` or `<<0,60,255>>`.
pub(crate) struct Octets<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether printable bytes are shown as text.
    pub(crate) as_text: bool,
}

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t');
        if self.as_text && !self.bytes.is_empty() && self.bytes.iter().all(printable) {
            f.write_str("<<\"")?;
            for &byte in self.bytes {
                match byte {
                    b'\n' => f.write_str("\\n")?,
                    b'\r' => f.write_str("\\r")?,
                    b'\t' => f.write_str("\\t")?,
                    b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    _ => write!(f, "{}", char::from(byte))?,
                }
            }
            return f.write_str("\">>");
        }
        f.write_str("<<")?;
        for (index, byte) in self.bytes.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{byte}")?;
        }
        f.write_str(">>")
    }
}

/// The first bytes of a payload, kept for an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; Snippet::BYTES_MAX],
    kept: u8,
    whole: bool,
}

impl Snippet {
    /// What RabbitMQ shows of a frame.
    const BYTES_MAX: usize = 16;

    pub(crate) fn of(payload: &[u8]) -> Snippet {
        let kept = payload.len().min(Snippet::BYTES_MAX);
        let mut bytes = [0; Snippet::BYTES_MAX];
        bytes[..kept].copy_from_slice(&payload[..kept]);
        Snippet { bytes, kept: kept as u8, whole: kept == payload.len() }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = if self.whole { "all" } else { "first 16" };
        let octets = Octets { bytes: &self.bytes[..usize::from(self.kept)], as_text: true };
        write!(f, "{extent} octets = {octets}")
    }
}
