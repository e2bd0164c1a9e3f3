//! HTTP as a protocol like any other: its connections come from the same listeners, with the same TLS, bounds and shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use gantry_broker::protocol::{Connection, Protocol};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

/// What a request may take in memory before it is known what it asks for.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Where a request comes from: one of its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Whether it comes from this machine.
    pub(crate) is_loopback: bool,
}

/// Serves a router.
pub(crate) struct Http {
    name: &'static str,
    router: Router,
    head_timeout: Duration,
}

impl Http {
    /// A protocol of this name; a client has `head_timeout` for each request's line and headers, and as long between two.
    pub(crate) fn new(name: &'static str, router: Router, head_timeout: Duration) -> Self {
        Self { name, router, head_timeout }
    }
}

#[async_trait]
impl Protocol for Http {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn serve(&self, connection: Connection) {
        let from = Peer { address: connection.peer, is_loopback: connection.is_from_this_machine() };
        let Connection { stream, peer, mut shutdown, .. } = connection;
        let router = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(from);
            router.call(request)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let outcome = tokio::select! {
            outcome = served.as_mut() => outcome,
            () = shutdown.requested() => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!("{}: {peer}: {error}", self.name);
        }
    }
}
