//! What a client may not send, and the close code that it is told.

use tungstenite::protocol::frame::coding::CloseCode;

/// Why the connection is closed for an error. Which code goes with it is as RabbitMQ has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// Section 5.1.
    #[error("a frame that is not masked")]
    Unmasked,
    /// Section 5.2: no extension was agreed on, or not on this bit.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Section 5.2.
    #[error("a frame of an unknown type")]
    Opcode,
    /// Section 5.5.
    #[error("a control frame that is too long or in fragments")]
    Control,
    /// Section 5.4.
    #[error("a fragment that continues nothing, or a message within another")]
    Fragment,
    /// Section 5.2: the shortest form has to be used, and the highest bit is 0.
    #[error("a length that is not in its shortest form, or is none")]
    Length,
    /// Section 5.5.1.
    #[error("a close frame with no valid code")]
    CloseFrame,
    /// Longer than what is allowed here.
    #[error("a message is too long")]
    TooLong,
    /// Text, where the protocol within is binary (such as [MQTT-6.0.0-1]).
    #[error("text, where only binary messages can be")]
    Text,
    /// Section 8.1.
    #[error("text that is not UTF-8")]
    Utf8,
    /// RFC 7692, section 7.2.2.
    #[error("a compressed message that is none")]
    Deflate,
    /// The client has named no subprotocol, and begins with nothing that is known.
    #[error("bytes of no protocol that is here")]
    Unknown,
}

impl Violation {
    /// What the client is told (section 7.4.1).
    pub(crate) fn code(self) -> CloseCode {
        match self {
            Self::TooLong => CloseCode::Size,
            Self::Text => CloseCode::Unsupported,
            Self::Utf8 | Self::Deflate => CloseCode::Invalid,
            _ => CloseCode::Protocol,
        }
    }
}
