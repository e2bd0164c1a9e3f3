//! Both formats of requests and replies. Pure: bytes and values, no client and no broker.
//!
//! | file | |
//! | --- | --- |
//! | `json` | AWS JSON 1.0: straight from the body's bytes and straight to bytes |
//! | `form` | `application/x-www-form-urlencoded`, and query strings |
//! | `query` | AWS Query: a form -> a value, by the shapes |
//! | `xml` | a value -> XML, by the shapes |
//! | `shapes` | what the members of inputs and outputs are called in Query |

pub(crate) mod form;
pub(crate) mod json;
pub(crate) mod query;
pub mod shapes;
#[cfg(test)]
mod tests;
pub(crate) mod xml;

use serde::Deserialize;

pub use self::form::{Form, FormError};
use crate::error::Error;
use crate::service::Service;

/// How a request is written, and so its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// AWS JSON 1.0.
    Json,
    /// A form, answered by XML.
    Query(Service),
}

impl Format {
    /// The `content-type` of replies.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.0",
            Self::Query(_) => "text/xml",
        }
    }
}

/// The input of an action, as it came.
pub(crate) enum Input<'a> {
    /// The body of a request.
    Json(&'a [u8]),
    /// What the parameters of a form came to, and the service whose form it is.
    Query(&'a serde_json::Value, Service),
}

impl Input<'_> {
    pub(crate) fn format(&self) -> Format {
        match self {
            Self::Json(_) => Format::Json,
            Self::Query(_, service) => Format::Query(*service),
        }
    }
}

/// Reads the input of an action.
pub(crate) fn read<'a, T: Deserialize<'a>>(input: Input<'a>) -> Result<T, Error> {
    match input {
        Input::Json(body) => json::read(body),
        Input::Query(value, _) => query::read(value),
    }
}

/// What the parameters of a form come to as the input of an action.
///
/// # Errors
/// A value is not what its shape says.
pub fn form_input(form: &Form<'_>, operation: &shapes::Operation) -> Result<serde_json::Value, Error> {
    query::value(form, &operation.input)
}
