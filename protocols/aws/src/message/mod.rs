//! What messages of SQS and SNS have in common.
//!
//! | file | about |
//! | --- | --- |
//! | `attribute` | attributes: as requests have them, and as they are stored |
//! | `pieces` | what stored heads are made of |
//! | `headers` | what is stored of a message, as other protocols see it |
//! | `foreign` | a message of another protocol as attributes |
//! | `number` | attributes of type `Number` <-> typed numbers |
//! | `names` | headers by which one protocol sees what another has said |
//! | `text` | the characters of texts |
//! | `id`, `md5` | what a message is known by; sums |

mod attribute;
mod foreign;
mod headers;
pub(crate) mod id;
pub(crate) mod md5;
pub(crate) mod names;
mod number;
pub(crate) mod pieces;
mod text;

pub(crate) use self::attribute::{
    ATTRIBUTE_BYTES, Attribute, AttributeValue, Checked, Owned, Value, attributes, is_all, is_number, is_wanted,
    put_attributes,
};
pub(crate) use self::foreign::{Foreign, ForeignMessage, count, text_of};
pub(crate) use self::headers::Common;
pub(crate) use self::id::MessageId;
pub(crate) use self::md5::Sum;
pub(crate) use self::text::is_text;
