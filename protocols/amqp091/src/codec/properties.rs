//! Content headers (AMQP 0-9-1, 4.2.6.1) and the properties of class basic.
//!
//! Properties are kept as they came. They ride along with the message and go out to every consumer byte for byte;
//! what the broker has to know of them is read in one pass that borrows.

use super::error::ReplyCode;
use super::table::{RawTable, TableError};
use super::wire::{Field, Reader, ShortStr, WireError, Writer};
use bytes::{BufMut, BytesMut};

/// The class of everything that carries content.
pub const CLASS_BASIC: u16 = 60;

/// Why a content header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The payload ends before its fields do.
    #[error("malformed content header")]
    Short,
    /// Bytes are left behind the last property.
    #[error("malformed content header: bytes behind the last property")]
    Trailing,
    /// The flags say that more flags follow, and class basic has no more than 14 properties.
    #[error("malformed content header: more property flags than class basic has")]
    Continuation,
    /// The headers are no field table.
    #[error("malformed headers: {0}")]
    Headers(#[from] TableError),
}

impl HeaderError {
    /// The code to close the connection with. RabbitMQ answers 541 INTERNAL_ERROR, which blames itself.
    pub const fn reply_code(&self) -> ReplyCode {
        ReplyCode::SyntaxError
    }
}

impl From<WireError> for HeaderError {
    fn from(_: WireError) -> HeaderError {
        HeaderError::Short
    }
}

/// The payload of a content header frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// The class of the method that this content belongs to.
    pub class_id: u16,
    /// Unused, must be zero.
    pub weight: u16,
    /// The length of the body that follows, in bytes. It is a claim: nothing is to be allocated by it.
    pub body_bytes: u64,
    /// The properties. They have not been looked at.
    pub properties: RawProperties<'a>,
}

impl<'a> ContentHeader<'a> {
    /// Reads the payload of a content header frame.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<ContentHeader<'a>, HeaderError> {
        let mut from = Reader::new(payload);
        let class_id = u16::from_be_bytes(from.array()?);
        let weight = u16::from_be_bytes(from.array()?);
        let body_bytes = u64::from_be_bytes(from.array()?);
        Ok(ContentHeader { class_id, weight, body_bytes, properties: RawProperties(from.rest()) })
    }
}

/// Flags and values of the properties as they are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawProperties<'a>(&'a [u8]);

impl<'a> RawProperties<'a> {
    /// No property at all.
    pub const EMPTY: RawProperties<'static> = RawProperties(&[0, 0]);

    /// Takes bytes as flags and values.
    pub const fn new(bytes: &'a [u8]) -> RawProperties<'a> {
        RawProperties(bytes)
    }

    /// Flags and values.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Reads all properties in one pass, without allocating and without looking into the headers.
    #[inline]
    pub fn parse(self) -> Result<Properties<'a>, HeaderError> {
        let mut from = Reader::new(self.0);
        let flags = u16::from_be_bytes(from.array()?);
        if flags & 1 != 0 {
            return Err(HeaderError::Continuation);
        }
        let properties = Properties::read(&mut from, flags)?;
        if from.is_empty() { Ok(properties) } else { Err(HeaderError::Trailing) }
    }

    /// Reads all properties and goes through the headers, nested ones included, without allocating. After this,
    /// neither these bytes nor the headers can fail to decode.
    #[inline]
    pub fn validate(self) -> Result<Properties<'a>, HeaderError> {
        let properties = self.parse()?;
        if let Some(headers) = properties.headers {
            headers.validate()?;
        }
        Ok(properties)
    }
}

macro_rules! properties {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $bit:literal,)*) => {
        /// The properties of class basic (1.8 "Class basic"), borrowed from a content header.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Properties<'a> {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl<'a> Properties<'a> {
            #[inline]
            fn read(from: &mut Reader<'a>, flags: u16) -> Result<Properties<'a>, WireError> {
                Ok(Properties {
                    $($field: if flags & (1 << $bit) == 0 { None } else { Some(Field::read(from)?) },)*
                })
            }

            /// Flags and values, as [`RawProperties::new`] takes them.
            pub fn encoded(&self) -> BytesMut {
                let mut out = BytesMut::new();
                self.encode(&mut out);
                out
            }

            /// Appends flags and values, as [`RawProperties::new`] takes them.
            pub fn encode(&self, out: &mut BytesMut) {
                let mut flags = 0u16;
                $(flags |= u16::from(self.$field.is_some()) << $bit;)*
                out.put_u16(flags);
                let mut to = Writer::new(out);
                $(if let Some(value) = &self.$field {
                    value.write(&mut to);
                })*
            }
        }
    };
}

properties! {
    /// MIME type of the body.
    content_type: ShortStr<'a> = 15,
    /// MIME encoding of the body.
    content_encoding: ShortStr<'a> = 14,
    /// Headers of the application.
    headers: RawTable<'a> = 13,
    /// 1 for transient, 2 for persistent. RabbitMQ takes everything but 2 for transient.
    delivery_mode: u8 = 12,
    /// Priority, 0 to 255.
    priority: u8 = 11,
    /// What a reply refers to.
    correlation_id: ShortStr<'a> = 10,
    /// Where a reply goes.
    reply_to: ShortStr<'a> = 9,
    /// Time to live in milliseconds, in decimal digits.
    expiration: ShortStr<'a> = 8,
    /// Identifier made by the application.
    message_id: ShortStr<'a> = 7,
    /// Seconds since 1970.
    timestamp: u64 = 6,
    /// Name of the message type.
    kind: ShortStr<'a> = 5,
    /// Who publishes; must be the connection's user if it is there.
    user_id: ShortStr<'a> = 4,
    /// What publishes.
    app_id: ShortStr<'a> = 3,
    /// Deprecated, and passed through.
    cluster_id: ShortStr<'a> = 2,
}
