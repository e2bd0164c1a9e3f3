//! What is stored of a SEND beside its body: flags, who published it, and its header lines.
//!
//! The lines have the escapes of 1.2 and a line feed each, so that a MESSAGE is a copy of them. Headers that the broker has set
//! since stand before them, as JSON, because they have types that lines have not.

use bytes::BytesMut;
use gantry_broker::value::Table;

use crate::codec::{Headers, Output};

/// Flags of a head.
pub(super) mod flags {
    /// It was sent in ActiveMQ's dialect.
    pub(in crate::convert) const ACTIVEMQ: u8 = 1;
    /// It had no content-length: a text message for JMS, and without a length for ActiveMQ's clients.
    pub(in crate::convert) const TEXT: u8 = 1 << 2;
    /// The broker has set headers: their length and they come before the lines.
    pub(in crate::convert) const EDITED: u8 = 1 << 1;
}

/// Flags, and the number of the publisher's connection.
pub(super) const HEAD_BYTES: usize = 1 + 8;

/// The head of a message of this protocol, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) flags: u8,
    /// The connection that published it.
    pub(super) connection: u64,
    /// Headers that the broker has set; none is the usual case.
    pub(super) set: &'a [u8],
    pub(super) lines: &'a [u8],
}

impl<'a> Head<'a> {
    /// None where it is damaged.
    pub(super) fn read(head: &'a [u8]) -> Option<Self> {
        let (&flags, rest) = head.split_first()?;
        let (connection, rest) = rest.split_first_chunk::<8>()?;
        let (set, lines) = if flags & flags::EDITED == 0 {
            (&[][..], rest)
        } else {
            let (bytes, rest) = rest.split_first_chunk::<4>()?;
            rest.split_at_checked(u32::from_be_bytes(*bytes) as usize)?
        };
        Some(Self { flags, connection: u64::from_be_bytes(*connection), set, lines })
    }

    /// Writes what stands before the lines.
    pub(super) fn put_fixed(&self, out: &mut BytesMut) {
        let edited = if self.set.is_empty() { 0 } else { flags::EDITED };
        out.put(&[self.flags & !flags::EDITED | edited]);
        out.put(&self.connection.to_be_bytes());
        if edited != 0 {
            out.put(&(self.set.len() as u32).to_be_bytes());
            out.put(self.set);
        }
    }

    pub(super) fn headers(&self) -> Headers<'a> {
        Headers::escaped(self.lines)
    }

    pub(super) fn headers_set(&self) -> Table {
        // The broker wrote it; of a damaged one nothing can be said.
        if self.set.is_empty() { Table::new() } else { serde_json::from_slice(self.set).unwrap_or_default() }
    }

    pub(super) fn is_activemq(&self) -> bool {
        self.flags & flags::ACTIVEMQ != 0
    }

    pub(super) fn is_text(&self) -> bool {
        self.flags & flags::TEXT != 0
    }
}

/// Writes a line.
pub(super) fn put_line(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.put(name);
    out.put(b":");
    out.put(value);
    out.put(b"\n");
}
