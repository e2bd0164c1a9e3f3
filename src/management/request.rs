//! Names in paths, bodies.

use axum::RequestPartsExt;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::answer::Refusal;
use super::api::Api;

/// Longest body that is read, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// The names in a path, decoded: of a virtual host, and of something in it.
pub(super) struct Names<const COUNT: usize>(pub(super) [String; COUNT]);

impl<const COUNT: usize> FromRequestParts<Api> for Names<COUNT> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Refusal> {
        // What is not UTF-8 is no name of anything.
        let Path(names) = parts.extract::<Path<Vec<String>>>().await.map_err(|_| Refusal::NotFound)?;
        names.try_into().map(Self).map_err(|_| Refusal::NotFound)
    }
}

/// Whether the body is said to be JSON.
pub(super) fn says_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// The body as a JSON object. One that is missing, or no value at all, counts as an empty object.
pub(super) async fn object(body: Body) -> Result<Map<String, Value>, Refusal> {
    let body = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Refusal::bad_request("Exceeded HTTP request body size limit"))?;
    if body.is_empty() || &body[..] == b"undefined" {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null | Value::Bool(_)) => Ok(Map::new()),
        Ok(Value::String(_)) => Err(Refusal::bad_request(
            "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
        )),
        Ok(Value::Number(_) | Value::Array(_)) | Err(_) => Err(Refusal::bad_request("not_json")),
    }
}
