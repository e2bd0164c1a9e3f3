//! A stored message as other protocols see it, and what the broker changes in it.

use bytes::{Bytes, BytesMut};
use gantry_broker::message::Edit;
use gantry_broker::value::Value as Header;
use gantry_broker::{Properties, Source};

use super::SOURCE_ID;
use super::head::Head;
use crate::message::{id, md5, put_attributes};

/// SQS as a source of messages.
#[derive(Debug)]
pub struct SqsSource;

/// The source, for [`gantry_broker::Sources`].
pub static SOURCE: SqsSource = SqsSource;

impl Source for SqsSource {
    fn id(&self) -> u8 {
        SOURCE_ID
    }

    fn properties(&self, head: &[u8]) -> Properties {
        // It was made here; of a damaged one nothing can be said.
        let Some(head) = Head::read(head) else { return Properties::default() };
        let mut properties = Properties {
            message_id: Some(Bytes::copy_from_slice(id::text(&head.id).as_bytes())),
            timestamp_s: Some(head.sent_ms / 1000),
            ..Properties::default()
        };
        let headers = head.common().headers(&mut properties);
        properties.headers = Some(headers).filter(|headers| !headers.is_empty());
        properties
    }

    fn header(&self, head: &[u8], name: &str) -> Option<Header> {
        Head::read(head)?.common().header(name)
    }

    fn edited(&self, head: &[u8], edit: &Edit<'_>, out: &mut BytesMut) {
        // It was made here; a damaged one is left as it is.
        let whole = head;
        let Some(head) = Head::read(whole) else { return out.extend_from_slice(whole) };
        let Some(edited) = head.common().edited(edit) else { return out.extend_from_slice(whole) };
        // The sum is of the attributes as they were sent. What goes was never an attribute that a client could send but once: the
        // sum is worked out again.
        let attributes_sum = match head.attributes_sum {
            Some(_) if head.attributes().any(|attribute| !edited.keeps(&attribute)) => {
                md5::of_attributes(head.attributes().filter(|attribute| edited.keeps(attribute)))
            }
            sum => sum,
        };
        Head { set: &edited.set, attributes_sum, ..head }.put(out);
        put_attributes(head.attributes().filter(|attribute| edited.keeps(attribute)), out);
    }
}
