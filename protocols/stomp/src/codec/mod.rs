//! Bytes to frames and back: pure, borrowed from the input, and nothing is allocated by a length that a peer claims.
//!
//! | file | about |
//! | --- | --- |
//! | `frame` | commands, versions, header lines |
//! | `decode` | the bytes of a client to frames, with all limits |
//! | `encode` | frames of the server to bytes |
//! | `escape` | the escapes of header lines |
//! | `error` | what can be wrong with the bytes of a client |

mod decode;
mod encode;
mod error;
mod escape;
mod frame;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Limits, Progress, decode};
pub use encode::{Answer, FrameWriter, Output, decimal};
pub use error::CodecError;
pub use escape::{escape, unescape};
pub use frame::{Command, Frame, Header, Headers, Version};
