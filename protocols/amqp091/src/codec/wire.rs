//! The elementary types of AMQP 0-9-1 (4.2.5), read from a slice and written to a buffer.

use super::table::RawTable;
use bytes::{BufMut, BytesMut};
use std::fmt;

/// The most a short string holds, in bytes.
pub const SHORT_STRING_BYTES_MAX: usize = 255;

/// Why fields cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// The bytes end before the field does.
    Short,
    /// A name is not UTF-8.
    NotUtf8,
}

/// A short string: at most 255 bytes, whatever they are. RabbitMQ takes any bytes in routing keys and properties.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortStr<'a>(&'a [u8]);

impl<'a> ShortStr<'a> {
    /// The string, or nothing if it is longer than [`SHORT_STRING_BYTES_MAX`].
    pub const fn new(bytes: &'a [u8]) -> Option<ShortStr<'a>> {
        if bytes.len() <= SHORT_STRING_BYTES_MAX { Some(ShortStr(bytes)) } else { None }
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    pub const fn as_str(self) -> Result<&'a str, std::str::Utf8Error> {
        std::str::from_utf8(self.0)
    }
}

impl fmt::Debug for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for ShortStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

impl<'a> From<ShortText<'a>> for ShortStr<'a> {
    fn from(text: ShortText<'a>) -> ShortStr<'a> {
        ShortStr(text.0.as_bytes())
    }
}

impl PartialEq<&str> for ShortStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// A short string that is UTF-8: the names of things. RabbitMQ closes the connection when it is not.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortText<'a>(&'a str);

impl<'a> ShortText<'a> {
    /// The text, or nothing if it is longer than [`SHORT_STRING_BYTES_MAX`].
    pub const fn new(text: &'a str) -> Option<ShortText<'a>> {
        if text.len() <= SHORT_STRING_BYTES_MAX { Some(ShortText(text)) } else { None }
    }

    /// As much of the text as fits, for what people read and programs do not.
    pub fn cut(text: &'a str) -> ShortText<'a> {
        ShortText(cut(text, SHORT_STRING_BYTES_MAX))
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl std::ops::Deref for ShortText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Debug for ShortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ShortText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl PartialEq<&str> for ShortText<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// The longest start of the text that has at most so many bytes and no character cut in half.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A long string: bytes, with a length of 32 bits.
pub type LongStr<'a> = &'a [u8];

/// Reads fields off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Bits of the octet last read for a bit field that no field has taken yet, under a leading one.
    bits: u16,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes, bits: 0 }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn octet(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub(crate) fn short_str(&mut self) -> Result<ShortStr<'a>, WireError> {
        let count = self.octet()?;
        self.bytes(count.into()).map(ShortStr)
    }

    #[inline]
    pub(crate) fn long_str(&mut self) -> Result<&'a [u8], WireError> {
        let count = u32::from_be_bytes(self.array()?);
        // On a 32-bit machine a length may not fit; then the bytes are not there either.
        self.bytes(usize::try_from(count).map_err(|_| WireError::Short)?)
    }
}

/// Writes fields to the end of a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'b> {
    pub(crate) out: &'b mut BytesMut,
    /// The bit within the last octet that the next bit field takes; 0 begins a new octet.
    bit: u8,
}

impl<'b> Writer<'b> {
    pub(crate) const fn new(out: &'b mut BytesMut) -> Writer<'b> {
        Writer { out, bit: 0 }
    }
}

/// A type that can be a field of a method.
pub(crate) trait Field<'a>: Sized {
    fn read(from: &mut Reader<'a>) -> Result<Self, WireError>;
    fn write(&self, to: &mut Writer<'_>);
}

macro_rules! integer_field {
    ($($int:ty),*) => {
        $(impl<'a> Field<'a> for $int {
            #[inline]
            fn read(from: &mut Reader<'a>) -> Result<$int, WireError> {
                from.bits = 0;
                from.array().map(<$int>::from_be_bytes)
            }

            #[inline]
            fn write(&self, to: &mut Writer<'_>) {
                to.bit = 0;
                to.out.put_slice(&self.to_be_bytes());
            }
        })*
    };
}

integer_field!(u8, u16, u32, u64);

/// Neighbouring bit fields share octets, lowest bit first (4.2.5.2). Bits that no field takes are ignored.
impl<'a> Field<'a> for bool {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<bool, WireError> {
        if from.bits <= 1 {
            from.bits = u16::from(from.octet()?) | 0x100;
        }
        let bit = from.bits & 1 != 0;
        from.bits >>= 1;
        Ok(bit)
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        let mask = u8::from(*self) << to.bit;
        match to.out.last_mut() {
            Some(last) if to.bit > 0 => *last |= mask,
            _ => to.out.put_u8(mask),
        }
        to.bit = (to.bit + 1) % 8;
    }
}

impl<'a> Field<'a> for ShortStr<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<ShortStr<'a>, WireError> {
        from.bits = 0;
        from.short_str()
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.bit = 0;
        // The type holds no more than 255 bytes.
        to.out.put_u8(self.0.len() as u8);
        to.out.put_slice(self.0);
    }
}

impl<'a> Field<'a> for ShortText<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<ShortText<'a>, WireError> {
        let string = <ShortStr<'_> as Field<'_>>::read(from)?;
        string.as_str().map(ShortText).map_err(|_| WireError::NotUtf8)
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        ShortStr::from(*self).write(to);
    }
}

impl<'a> Field<'a> for LongStr<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<LongStr<'a>, WireError> {
        from.bits = 0;
        from.long_str()
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.bit = 0;
        // Fields live in a frame, whose length is 32 bits as well.
        to.out.put_u32(self.len() as u32);
        to.out.put_slice(self);
    }
}

impl<'a> Field<'a> for RawTable<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<RawTable<'a>, WireError> {
        from.bits = 0;
        from.long_str().map(RawTable::new)
    }

    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        self.as_bytes().write(to);
    }
}
