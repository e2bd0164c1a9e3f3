//! Messages that the broker makes itself: events, and copies for whoever traces.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::message::{Address, Edit, Essentials, Message, Properties, Source, assemble};
use crate::value::Table;

/// The broker as a source of messages.
pub(crate) struct Native;

/// The source.
pub(crate) static NATIVE: Native = Native;

/// The number of this source in stored messages.
const NATIVE_ID: u8 = 0;

/// What the broker says of a message. JSON: there are few of them, and a later version can add to it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    headers: Table,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp_s: Option<u64>,
}

impl Head {
    fn read(head: &[u8]) -> Self {
        // The broker wrote it; of a damaged one nothing can be said.
        serde_json::from_slice(head).unwrap_or_default()
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Source for Native {
    fn id(&self) -> u8 {
        NATIVE_ID
    }

    fn properties(&self, head: &[u8]) -> Properties {
        let Head { headers, timestamp_s } = Head::read(head);
        Properties { headers: Some(headers), timestamp_s, ..Properties::default() }
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        let mut head = Head::read(head);
        for name in edit.remove {
            head.headers.remove(name);
        }
        for (name, value) in edit.set {
            head.headers.set(*name, value.clone());
        }
        out.extend_from_slice(&head.write());
    }
}

/// Makes a message of the broker's own.
pub(crate) fn message(
    exchange: &Arc<str>,
    routing_key: Bytes,
    essentials: Essentials,
    headers: Table,
    timestamp_s: Option<u64>,
    body: &[u8],
) -> Arc<Message> {
    let head = Head { headers, timestamp_s }.write();
    let address = Arc::new(Address { exchange: Arc::clone(exchange), routing_key });
    let data = assemble(&head, body.len(), body).freeze();
    Message::new(&NATIVE, address, essentials, head.len() as u32, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn what_the_broker_says_comes_back_and_can_be_changed() {
        let headers: Table = [("a", Value::I32(1)), ("b", Value::from("text"))].into_iter().collect();
        let exchange = Arc::from("x");
        let made =
            message(&exchange, Bytes::from_static(b"k"), Essentials::default(), headers.clone(), Some(7), b"body");
        assert_eq!(made.properties().headers, Some(headers));
        assert_eq!(made.properties().timestamp_s, Some(7));
        let edit = Edit { set: &[("c", Value::Bool(true))], remove: &["a"], ..Edit::default() };
        let edited = made.edited(Arc::clone(made.address()), &edit);
        let headers: Table = [("b", Value::from("text")), ("c", Value::Bool(true))].into_iter().collect();
        assert_eq!(edited.properties().headers, Some(headers));
        assert_eq!(edited.body(), b"body");
    }
}
