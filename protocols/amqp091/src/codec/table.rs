//! Field tables (AMQP 0-9-1, 4.2.5.5) with the type octets that RabbitMQ uses, and the broker's typed values.
//!
//! | octet | value | octet | value |
//! | --- | --- | --- | --- |
//! | `t` | `Bool` | `f` | `F32` |
//! | `b` | `I8` | `d` | `F64` |
//! | `B` | `U8` | `D` | `Decimal` |
//! | `s` | `I16` | `T` | `Timestamp` |
//! | `u` | `U16` | `S` | `Text` |
//! | `I` | `I32` | `x` | `Binary` |
//! | `i` | `U32` | `A` | `Array` |
//! | `l` | `I64` | `F` | `Table` |
//! | `L` | `U64` | `V` | `Null` |
//!
//! These are all that RabbitMQ 3.10 reads (it takes the 64 bits of `L` for signed). Anything else is refused.

use super::error::ReplyCode;
use super::wire::{Reader, ShortStr, WireError};
use bytes::{BufMut, BytesMut};
use gantry_broker::value::{NESTING_MAX, Table, Value};

/// Why a field table cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The bytes end before an entry does, or an inner length points beyond them.
    #[error("field table ends too early")]
    Short,
    /// The type octet of a value is none.
    #[error("unknown field type {0}")]
    UnknownType(u8),
    /// Tables and arrays are nested more than [`NESTING_MAX`] deep.
    #[error("field table nested more than {} deep", NESTING_MAX)]
    TooDeep,
}

impl TableError {
    /// The code to close the connection with. RabbitMQ drops the connection or answers 541 INTERNAL_ERROR.
    pub const fn reply_code(&self) -> ReplyCode {
        ReplyCode::SyntaxError
    }
}

impl From<WireError> for TableError {
    fn from(_: WireError) -> TableError {
        TableError::Short
    }
}

/// Why a table of the broker's cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeTableError {
    /// A name is longer than a short string can be.
    #[error("name of a table entry is longer than 255 bytes")]
    NameTooLong,
    /// Tables and arrays are nested more than [`NESTING_MAX`] deep.
    #[error("table nested more than {} deep", NESTING_MAX)]
    TooDeep,
    /// A string, array or table needs more than 32 bits for its length.
    #[error("table value is longer than 4 GiB")]
    ValueTooLong,
}

/// The bytes of a field table, behind its length. They have not been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTable<'a>(&'a [u8]);

impl<'a> RawTable<'a> {
    /// The table without entries.
    pub const EMPTY: RawTable<'static> = RawTable(&[]);

    /// Takes bytes as a table's contents, without the 32-bit length in front.
    pub const fn new(bytes: &'a [u8]) -> RawTable<'a> {
        RawTable(bytes)
    }

    /// The contents, without the 32-bit length in front.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is no entry.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order. Ends after the first error.
    pub const fn entries(self) -> Entries<'a> {
        Entries(Reader::new(self.0))
    }

    /// The first value of that name. Entries behind it are not looked at.
    pub fn get(self, name: &[u8]) -> Result<Option<RawValue<'a>>, TableError> {
        for entry in self.entries() {
            let (found, value) = entry?;
            if found.as_bytes() == name {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Goes through all of it, inner tables and arrays included, without allocating.
    pub fn validate(self) -> Result<(), TableError> {
        validate_table(self, NESTING_MAX)
    }

    /// The broker's form of it. Memory follows the bytes that are there.
    pub fn decode(self) -> Result<Table, TableError> {
        decode_table(self, NESTING_MAX)
    }
}

/// The bytes of a field array, behind its length. They have not been looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawArray<'a>(&'a [u8]);

impl<'a> RawArray<'a> {
    /// The contents, without the 32-bit length in front.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The elements in order. Ends after the first error.
    pub const fn elements(self) -> Elements<'a> {
        Elements(Reader::new(self.0))
    }
}

/// A value in a field table, borrowed from the table. Inner tables and arrays have not been looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RawValue<'a> {
    /// `V`.
    Null,
    /// `t`.
    Bool(bool),
    /// `b`.
    I8(i8),
    /// `B`.
    U8(u8),
    /// `s`.
    I16(i16),
    /// `u`.
    U16(u16),
    /// `I`.
    I32(i32),
    /// `i`.
    U32(u32),
    /// `l`.
    I64(i64),
    /// `L`.
    U64(u64),
    /// `f`.
    F32(f32),
    /// `d`.
    F64(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// The digits, as an integer.
        value: i32,
    },
    /// `T`, in seconds since 1970.
    Timestamp(u64),
    /// `S`.
    Text(&'a [u8]),
    /// `x`.
    Binary(&'a [u8]),
    /// `A`.
    Array(RawArray<'a>),
    /// `F`.
    Table(RawTable<'a>),
}

impl<'a> RawValue<'a> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<RawValue<'a>, TableError> {
        Ok(match from.octet()? {
            b'S' => RawValue::Text(from.long_str()?),
            b'I' => RawValue::I32(i32::from_be_bytes(from.array()?)),
            b'l' => RawValue::I64(i64::from_be_bytes(from.array()?)),
            b't' => RawValue::Bool(from.octet()? != 0),
            b'F' => RawValue::Table(RawTable(from.long_str()?)),
            b'A' => RawValue::Array(RawArray(from.long_str()?)),
            b'T' => RawValue::Timestamp(u64::from_be_bytes(from.array()?)),
            b'd' => RawValue::F64(f64::from_be_bytes(from.array()?)),
            b'V' => RawValue::Null,
            b'x' => RawValue::Binary(from.long_str()?),
            b'b' => RawValue::I8(i8::from_be_bytes(from.array()?)),
            b'B' => RawValue::U8(from.octet()?),
            b's' => RawValue::I16(i16::from_be_bytes(from.array()?)),
            b'u' => RawValue::U16(u16::from_be_bytes(from.array()?)),
            b'i' => RawValue::U32(u32::from_be_bytes(from.array()?)),
            b'L' => RawValue::U64(u64::from_be_bytes(from.array()?)),
            b'f' => RawValue::F32(f32::from_be_bytes(from.array()?)),
            b'D' => RawValue::Decimal { scale: from.octet()?, value: i32::from_be_bytes(from.array()?) },
            other => return Err(TableError::UnknownType(other)),
        })
    }

    /// The broker's form of it, as a value that stands at the outermost level of a table.
    pub fn decode(self) -> Result<Value, TableError> {
        decode_value(self, NESTING_MAX - 1)
    }
}

/// The entries of a [`RawTable`].
#[derive(Clone, Debug)]
pub struct Entries<'a>(Reader<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(ShortStr<'a>, RawValue<'a>), TableError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.0.short_str().map_err(TableError::from);
        let entry = entry.and_then(|name| Ok((name, RawValue::read(&mut self.0)?)));
        if entry.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(entry)
    }
}

/// The elements of a [`RawArray`].
#[derive(Clone, Debug)]
pub struct Elements<'a>(Reader<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<RawValue<'a>, TableError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let element = RawValue::read(&mut self.0);
        if element.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(element)
    }
}

// Each of the functions below is told how many levels there may be, itself included, so that recursion ends.

fn deeper(levels: usize) -> Result<usize, TableError> {
    levels.checked_sub(1).ok_or(TableError::TooDeep)
}

fn validate_table(table: RawTable<'_>, levels: usize) -> Result<(), TableError> {
    let levels = deeper(levels)?;
    for entry in table.entries() {
        validate_value(entry?.1, levels)?;
    }
    Ok(())
}

fn validate_value(value: RawValue<'_>, levels: usize) -> Result<(), TableError> {
    match value {
        RawValue::Table(table) => validate_table(table, levels),
        RawValue::Array(array) => {
            let levels = deeper(levels)?;
            for element in array.elements() {
                validate_value(element?, levels)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn decode_table(table: RawTable<'_>, levels: usize) -> Result<Table, TableError> {
    let levels = deeper(levels)?;
    let mut decoded = Table::new();
    for entry in table.entries() {
        let (name, value) = entry?;
        decoded.push(name.as_bytes(), decode_value(value, levels)?);
    }
    Ok(decoded)
}

fn decode_value(value: RawValue<'_>, levels: usize) -> Result<Value, TableError> {
    Ok(match value {
        RawValue::Null => Value::Null,
        RawValue::Bool(b) => Value::Bool(b),
        RawValue::I8(n) => Value::I8(n),
        RawValue::U8(n) => Value::U8(n),
        RawValue::I16(n) => Value::I16(n),
        RawValue::U16(n) => Value::U16(n),
        RawValue::I32(n) => Value::I32(n),
        RawValue::U32(n) => Value::U32(n),
        RawValue::I64(n) => Value::I64(n),
        RawValue::U64(n) => Value::U64(n),
        RawValue::F32(n) => Value::F32(n),
        RawValue::F64(n) => Value::F64(n),
        RawValue::Decimal { scale, value } => Value::Decimal { scale, value },
        RawValue::Timestamp(seconds) => Value::Timestamp(seconds),
        RawValue::Text(bytes) => Value::Text(bytes.into()),
        RawValue::Binary(bytes) => Value::Binary(bytes.into()),
        RawValue::Array(array) => {
            let levels = deeper(levels)?;
            Value::Array(array.elements().map(|element| decode_value(element?, levels)).collect::<Result<_, _>>()?)
        }
        RawValue::Table(table) => Value::Table(decode_table(table, levels)?),
    })
}

/// Appends the contents of a table, as [`RawTable::new`] takes them. Nothing is appended if it fails.
pub fn encode_table(table: &Table, out: &mut BytesMut) -> Result<(), EncodeTableError> {
    let start = out.len();
    write_table(table, out, NESTING_MAX).inspect_err(|_| out.truncate(start))
}

/// Appends one entry of a table. What was appended before it failed stays.
pub fn encode_entry(name: &[u8], value: &Value, out: &mut BytesMut) -> Result<(), EncodeTableError> {
    out.put_u8(u8::try_from(name.len()).map_err(|_| EncodeTableError::NameTooLong)?);
    out.put_slice(name);
    write_value(value, out, NESTING_MAX - 1)
}

fn write_table(table: &Table, out: &mut BytesMut, levels: usize) -> Result<(), EncodeTableError> {
    let levels = levels.checked_sub(1).ok_or(EncodeTableError::TooDeep)?;
    for (name, value) in table {
        let name = name.as_bytes();
        out.put_u8(u8::try_from(name.len()).map_err(|_| EncodeTableError::NameTooLong)?);
        out.put_slice(name);
        write_value(value, out, levels)?;
    }
    Ok(())
}

fn write_value(value: &Value, out: &mut BytesMut, levels: usize) -> Result<(), EncodeTableError> {
    match value {
        Value::Null => out.put_u8(b'V'),
        Value::Bool(b) => out.put_slice(&[b't', u8::from(*b)]),
        Value::I8(n) => tagged(out, b'b', n.to_be_bytes()),
        Value::U8(n) => tagged(out, b'B', n.to_be_bytes()),
        Value::I16(n) => tagged(out, b's', n.to_be_bytes()),
        Value::U16(n) => tagged(out, b'u', n.to_be_bytes()),
        Value::I32(n) => tagged(out, b'I', n.to_be_bytes()),
        Value::U32(n) => tagged(out, b'i', n.to_be_bytes()),
        Value::I64(n) => tagged(out, b'l', n.to_be_bytes()),
        Value::U64(n) => tagged(out, b'L', n.to_be_bytes()),
        Value::F32(n) => tagged(out, b'f', n.to_be_bytes()),
        Value::F64(n) => tagged(out, b'd', n.to_be_bytes()),
        Value::Timestamp(seconds) => tagged(out, b'T', seconds.to_be_bytes()),
        Value::Decimal { scale, value } => {
            tagged(out, b'D', [*scale]);
            out.put_i32(*value);
        }
        Value::Text(text) => write_long(out, b'S', |out| {
            out.put_slice(text.as_bytes());
            Ok(())
        })?,
        Value::Binary(bytes) => write_long(out, b'x', |out| {
            out.put_slice(bytes);
            Ok(())
        })?,
        Value::Array(values) => {
            let levels = levels.checked_sub(1).ok_or(EncodeTableError::TooDeep)?;
            write_long(out, b'A', |out| values.iter().try_for_each(|value| write_value(value, out, levels)))?;
        }
        Value::Table(table) => write_long(out, b'F', |out| write_table(table, out, levels))?,
    }
    Ok(())
}

fn tagged<const N: usize>(out: &mut BytesMut, octet: u8, bytes: [u8; N]) {
    out.put_u8(octet);
    out.put_slice(&bytes);
}

fn write_long(
    out: &mut BytesMut,
    octet: u8,
    contents: impl FnOnce(&mut BytesMut) -> Result<(), EncodeTableError>,
) -> Result<(), EncodeTableError> {
    out.put_slice(&[octet, 0, 0, 0, 0]);
    let start = out.len();
    contents(out)?;
    let length = u32::try_from(out.len() - start).map_err(|_| EncodeTableError::ValueTooLong)?;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
