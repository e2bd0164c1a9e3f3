//! Bytes to frames, methods, properties and tables, and back. Pure: no socket, no clock, no task.
//!
//! | file | about |
//! | --- | --- |
//! | `error` | reply codes and texts, and the one error that all of the below turn into |
//! | `wire` | reading and writing of the elementary types; short strings |
//! | `frame` | protocol header, frames, splitting of bodies |
//! | `method` | what all methods have in common, and the macro that makes them from the table |
//! | `methods` | the table: every class and method with its fields |
//! | `delivery` | the encoders of the hot path |
//! | `properties` | content headers, and the properties in them |
//! | `table` | field tables and the broker's typed values |
//!
//! Decoding borrows from the input and allocates nothing, except where a field table is asked for as values; then
//! memory follows the bytes that are there and never a length that was claimed. Nesting is bounded by
//! [`gantry_broker::value::NESTING_MAX`].

pub mod delivery;
pub mod error;
pub mod frame;
pub mod method;
pub mod methods;
pub mod properties;
pub mod table;
pub mod wire;

#[cfg(test)]
mod tests;

pub use error::{CodecError, ReplyCode};
pub use frame::{Frame, FrameError, FrameKind, ProtocolHeader, next_frame, parse_protocol_header};
pub use method::MethodError;
pub use methods::Method;
pub use properties::{ContentHeader, HeaderError, Properties, RawProperties};
pub use table::{RawTable, TableError};
pub use wire::{LongStr, ShortStr, ShortText};
