//! A stored message as other protocols see it, and what the broker changes in it.

use bytes::{Bytes, BytesMut};
use gantry_broker::filter::Attribute as Compared;
use gantry_broker::message::Edit;
use gantry_broker::value::Value as Header;
use gantry_broker::{Properties, Source};

use super::SOURCE_ID;
use super::head::Head;
use crate::message::{Value, id, put_attributes};

/// SNS as a source of messages.
#[derive(Debug)]
pub struct SnsSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: SnsSource = SnsSource;

impl Source for SnsSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Properties {
        // It was made here; of a damaged one nothing can be said.
        let Some(head) = Head::read(head) else { return Properties::default() };
        let mut properties = Properties {
            message_id: Some(Bytes::copy_from_slice(id::text(&head.id).as_bytes())),
            timestamp_s: Some(head.published_ms / 1000),
            kind: head.subject.map(|subject| Bytes::copy_from_slice(subject.as_bytes())),
            ..Properties::default()
        };
        let headers = head.common().headers(&mut properties);
        properties.headers = Some(headers).filter(|headers| !headers.is_empty());
        properties
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Header> {
        Head::read(head)?.common().header(name)
    }

    fn attributes<'h>(&self, head: &'h [u8], visit: &mut dyn FnMut(&str, Compared<'h>)) -> bool {
        let Some(head) = Head::read(head) else { return false };
        for attribute in head.attributes() {
            // Binary ones have no part in it, as at AWS.
            if let Value::Text(text) = attribute.value {
                let compared = match attribute.data_type.split('.').next() {
                    Some("Number") => Compared::Number(text),
                    _ if attribute.data_type == "String.Array" => Compared::Array(text),
                    _ => Compared::Text(text),
                };
                visit(attribute.name, compared);
            }
        }
        true
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        // It was made here; a damaged one is left as it is.
        let whole = head;
        let Some(head) = Head::read(whole) else { return out.extend_from_slice(whole) };
        let Some(edited) = head.common().edited(edit) else { return out.extend_from_slice(whole) };
        Head { set: &edited.set, ..head }.put(head.variants.len(), out);
        out.extend_from_slice(head.variants);
        put_attributes(head.attributes().filter(|attribute| edited.keeps(attribute)), out);
    }
}
