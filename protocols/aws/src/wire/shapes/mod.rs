//! Inputs and outputs of actions, and what their members are called in Query.
//!
//! | file | |
//! | --- | --- |
//! | `sqs` | those of Amazon SQS |
//! | `sns` | those of Amazon SNS |

pub mod sns;
pub mod sqs;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text.
    String,
    /// Bytes, in base64 in both formats.
    Blob,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// Named members, in the order of the model.
    Structure(&'static [Member]),
    /// Items of one shape.
    List(&'static Shape),
    /// A time; ISO 8601 in Query.
    Timestamp,
    /// A list or a map each of whose parts has this name in Query, inside of an element of the member's name.
    Within(&'static str, &'static Shape),
    /// Texts, and values of one shape.
    Map {
        /// What the key is called in Query.
        key: &'static str,
        /// What the value is called in Query.
        value: &'static str,
        /// What it is.
        shape: &'static Shape,
    },
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is called in JSON.
    pub name: &'static str,
    /// What it, each of its items, or each of its entries is called in Query.
    pub query_name: &'static str,
    /// What it is.
    pub shape: Shape,
}

/// What goes into an action and comes out of it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// A structure.
    pub input: Shape,
    /// A structure; none where nothing is answered.
    pub output: Option<Shape>,
}

const fn member(name: &'static str, shape: Shape) -> Member {
    Member { name, query_name: name, shape }
}

const fn named(name: &'static str, query_name: &'static str, shape: Shape) -> Member {
    Member { name, query_name, shape }
}

const fn string(name: &'static str) -> Member {
    member(name, Shape::String)
}

const fn integer(name: &'static str) -> Member {
    member(name, Shape::Integer)
}
