//! Sender-selected distribution: further routing keys in the headers `CC` and `BCC`, of which the second is not told to
//! those who get the message.

use bytes::{Bytes, BytesMut};
use gantry_broker::value::{Table, Value};

use crate::codec::{Properties, RawTable, table};
use crate::limits::COPIES_MAX;

const CC: &str = "CC";
const BCC: &str = "BCC";

/// The further keys of a message.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) keys: Vec<Bytes>,
    /// The headers without `BCC`, where there was one.
    stripped: Option<Table>,
}

impl Copies {
    /// Reads them; none for the many messages that have neither header. The error is the text for the client.
    pub(crate) fn of(properties: &Properties<'_>) -> Result<Option<Self>, String> {
        let Some(headers) = properties.headers else { return Ok(None) };
        let has = |name: &str| matches!(headers.get(name.as_bytes()), Ok(Some(_)));
        if !has(CC) && !has(BCC) {
            return Ok(None);
        }
        // It has been validated.
        let mut headers = headers.decode().map_err(|error| error.to_string())?;
        let mut keys = Vec::new();
        for name in [CC, BCC] {
            let Some(value) = headers.get(name) else { continue };
            let Value::Array(values) = value else {
                return Err(format!(
                    "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
                    value.type_name()
                ));
            };
            // What is no text is no key, and no error either, as in RabbitMQ.
            keys.extend(values.iter().filter_map(|value| match value {
                Value::Text(key) => Some(Bytes::copy_from_slice(key.as_bytes())),
                _ => None,
            }));
        }
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > COPIES_MAX {
            return Err(format!("{} routing keys in CC and BCC are more than {COPIES_MAX}", keys.len()));
        }
        let stripped = headers.remove(BCC).map(|_| headers);
        Ok(Some(Self { keys, stripped }))
    }

    /// Property flags and values to send on, where they are not those that came.
    pub(crate) fn head(&self, properties: &Properties<'_>) -> Option<BytesMut> {
        let stripped = self.stripped.as_ref()?;
        let mut contents = BytesMut::new();
        // Part of a table that was decoded can be encoded.
        table::encode_table(stripped, &mut contents).ok()?;
        Some(Properties { headers: Some(RawTable::new(&contents)), ..*properties }.encoded())
    }
}
