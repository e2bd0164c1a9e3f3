//! The management listener: health, and as much of RabbitMQ's HTTP API as there is.
//!
//! | file | |
//! | --- | --- |
//! | this one | health, and what is put together |
//! | `api` | which path is what, and the state that all of it shares |
//! | `auth` | who calls, and what the tags of a user allow |
//! | `request` | names in paths, bodies |
//! | `answer` | answers, and RabbitMQ's words for errors |
//! | `json`, `term` | values of the broker as JSON, and in the words of Erlang that error texts are made of |
//! | `access_keys`, `permissions`, `policies`, `queues`, `users`, `vhosts` | the resources |

mod access_keys;
mod answer;
mod api;
mod auth;
mod json;
mod permissions;
mod policies;
mod queues;
mod request;
mod term;
#[cfg(test)]
mod tests;
mod users;
mod vhosts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(crate) use self::api::Api;

/// How far the program is. Shared by the one who starts it and those who are asked.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<AtomicU8>);

/// A stage of the program's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    /// The broker is recovering, or not every listener is bound.
    Starting = 0,
    /// Clients are served.
    Ready = 1,
    /// Clients are being told to go.
    Stopping = 2,
}

impl Health {
    /// The next stage has been reached.
    pub(crate) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Release);
    }

    /// The stage now.
    pub(crate) fn stage(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            1 => Stage::Ready,
            2 => Stage::Stopping,
            _ => Stage::Starting,
        }
    }
}

/// What the management listener answers.
pub(crate) fn router(health: Health, api: Api) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(health)
        .merge(api::routes(api))
        .fallback(answer::not_found)
}

async fn live() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#)
}

async fn ready(State(health): State<Health>) -> Response {
    match health.stage() {
        Stage::Starting => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#),
        Stage::Ready => json(StatusCode::OK, r#"{"status":"ok"}"#),
        Stage::Stopping => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#),
    }
}

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
