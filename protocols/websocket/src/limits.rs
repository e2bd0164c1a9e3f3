//! What a client may cost, and for how long.

use std::time::Duration;

/// Longest head of an HTTP request, its empty line included.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers of a request.
pub(crate) const HEADERS_MAX: usize = 64;

/// Longest message that we send; longer writes become several. It is the longest whose length fits 16 bits, and the size that clients
/// take without being told otherwise.
pub(crate) const MESSAGE_OUT_BYTES_MAX: usize = 65_535;

/// What a message may hold besides the longest body of the protocol within: that protocol's own bound is the exact one.
pub(crate) const MESSAGE_HEAD_BYTES: u64 = 1024 * 1024;

/// How long a client has for its side of closing.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes that are read and thrown away while it does.
pub(crate) const CLOSE_BYTES_MAX: u64 = 1024 * 1024;
