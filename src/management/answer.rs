//! Answers, and RabbitMQ's words for errors.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gantry_broker::Error;
use serde::Serialize;
use serde_json::Value;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REALM: HeaderValue = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// Nobody says who calls.
    Anonymous,
    /// The name or the password is wrong.
    LoginFailed,
    /// The caller may not do this.
    NotAuthorised(&'static str),
    /// A header cannot be read.
    Malformed,
    /// The body is of a kind that the resource does not take.
    MediaType,
    /// What is asked for does not exist.
    NotFound,
    /// The virtual host in which something is to be made does not exist.
    NoVhost,
    /// The body is not what it should be.
    BadRequest(Value),
    /// The broker cannot do it now.
    Failed(String),
    /// The broker is not there yet.
    Starting,
}

impl Refusal {
    /// A reason in words.
    pub(super) fn bad_request(reason: impl Into<String>) -> Self {
        Self::BadRequest(Value::String(reason.into()))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::NotFound,
            Error::LimitReached { .. } => Self::bad_request(error.to_string()),
            Error::Full => Self::Failed("the disk is full".to_owned()),
            error => {
                tracing::error!(%error, "a change by the management API failed");
                Self::Failed("storage failed".to_owned())
            }
        }
    }
}

#[derive(Serialize)]
struct Words<'a> {
    error: &'a str,
    reason: &'a Value,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = |text: &str| Value::String(text.to_owned());
        let (status, error, reason) = match self {
            Self::Anonymous => return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, REALM)]).into_response(),
            Self::Malformed => return StatusCode::BAD_REQUEST.into_response(),
            Self::MediaType => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
            Self::LoginFailed => {
                let mut response = words(StatusCode::UNAUTHORIZED, "not_authorized", &text("Login failed"));
                response.headers_mut().insert(header::WWW_AUTHENTICATE, REALM);
                return response;
            }
            Self::NotAuthorised(why) => (StatusCode::UNAUTHORIZED, "not_authorised", text(why)),
            Self::NotFound => (StatusCode::NOT_FOUND, "Object Not Found", text("Not Found")),
            Self::NoVhost => (StatusCode::NOT_FOUND, "not_found", text("vhost_not_found")),
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, "bad_request", reason),
            Self::Failed(reason) => (StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", Value::String(reason)),
            Self::Starting => (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", text("the broker is starting")),
        };
        words(status, error, &reason)
    }
}

fn words(status: StatusCode, error: &str, reason: &Value) -> Response {
    encoded(status, &Words { error, reason })
}

fn encoded(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What was asked for.
pub(super) fn found(body: &impl Serialize) -> Response {
    let mut response = encoded(StatusCode::OK, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What was made, where it is told this once and is not to be kept on the way.
pub(super) fn made(body: &impl Serialize) -> Response {
    let mut response = encoded(StatusCode::CREATED, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a change: something is there that was not, or it is not the same.
pub(super) fn changed(is_new: bool) -> Response {
    if is_new { StatusCode::CREATED.into_response() } else { StatusCode::NO_CONTENT.into_response() }
}

/// For a path that is nothing.
pub(super) async fn not_found() -> Response {
    Refusal::NotFound.into_response()
}
