//! The bounds of a connection.

use std::time::Duration;

/// The bounds that the configuration sets for every connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body of a message, in bytes.
    pub message_bytes_max: u64,
    /// Channels of a connection.
    pub channel_max: u16,
    /// Largest frame, in bytes, head and end included; at least 4,096.
    pub frame_bytes_max: u32,
    /// Heartbeat that is suggested to clients, in seconds; 0 for none.
    pub heartbeat_s: u16,
    /// Time that a client has to log in.
    pub handshake_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 128 << 20,
            channel_max: 2047,
            frame_bytes_max: 131_072,
            heartbeat_s: 60,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// Largest frame of a client that has not logged in: enough for a long token as password.
pub(crate) const LOGIN_FRAME_BYTES_MAX: u32 = 32 * 1024;

/// Bytes that wait in a connection's inbox before its consumers are left out.
pub(crate) const INBOX_BYTES_MAX: usize = 1 << 20;

/// Bytes waiting to be written above which no further deliveries are encoded.
pub(crate) const OUTPUT_BYTES_HIGH: usize = 512 << 10;

/// Bytes waiting to be written above which nothing more is read: the client does not read either.
pub(crate) const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// Bytes that a connection's unfinished messages may take together, beside one of the largest size: a client can begin one on
/// each of its channels, and none of them is seen by the alarm of memory.
pub(crate) const UNFINISHED_BYTES_MAX: u64 = 64 << 20;

/// Different routing keys in the headers CC and BCC of a message: each is routed by itself, and a frame has room for tens of
/// thousands.
pub(crate) const COPIES_MAX: usize = 1024;

/// Consumers of a connection.
pub(crate) const CONSUMERS_MAX: usize = 64 * 1024;

/// Bytes of messages that the transactions of a connection may hold together.
pub(crate) const TX_BYTES_MAX: u64 = 512 << 20;

/// Publishes that one transaction may hold.
pub(crate) const TX_PUBLISHES_MAX: usize = 1 << 20;

/// How long a client has to answer connection.close.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Values that a reader of a stream may select messages by: each message is compared with all of them.
pub(crate) const FILTER_VALUES_MAX: usize = 256;
