//! The management listener: health for now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

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
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .fallback(not_found)
        .with_state(health)
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

/// The answer of RabbitMQ's management API.
async fn not_found() -> Response {
    json(StatusCode::NOT_FOUND, r#"{"error":"Object Not Found","reason":"Not Found"}"#)
}

fn json(status: StatusCode, body: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}
