//! AWS JSON 1.0.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::{Error, faults};

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // Some clients send nothing where there is nothing to say.
    let body = if body.is_empty() { b"{}" } else { body };
    // A list would be read as the members of the input, in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::new(&faults::SERIALIZATION, "the request is a list and has to be a map"));
    }
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

/// Writes an output that takes about so many bytes.
pub(crate) fn write<T: Serialize>(output: &T, bytes: usize) -> Result<Bytes, Error> {
    let mut body = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut body, output).map_err(|error| Error::internal(&error))?;
    // An action that answers nothing.
    if body == b"null" {
        body.clear();
    }
    Ok(Bytes::from(body))
}

/// The body of a failure.
pub(crate) fn failure(error: &Error) -> Bytes {
    #[derive(Serialize)]
    struct Failure<'a> {
        #[serde(rename = "__type")]
        json_type: &'a str,
        message: &'a str,
    }
    let failure = Failure { json_type: error.fault.json_type, message: &error.message };
    Bytes::from(serde_json::to_vec(&failure).unwrap_or_default())
}

fn unreadable(error: &serde_json::Error) -> Error {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Data => "a member of the request has a value of the wrong type",
        Category::Syntax | Category::Eof | Category::Io => "the request is not valid JSON",
    };
    Error::new(&faults::SERIALIZATION, format!("{what} (line {}, column {})", error.line(), error.column()))
}
