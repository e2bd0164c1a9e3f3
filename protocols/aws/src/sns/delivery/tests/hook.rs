//! A webhook.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::PATIENCE;
use crate::http::Whole;

/// What was posted.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Posted {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server that answers as it is told, and then with 200.
pub(super) struct Hook {
    address: SocketAddr,
    posted: tokio::sync::Mutex<mpsc::UnboundedReceiver<Posted>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(super) async fn start(statuses: &[u16]) -> Self {
        Self::with(statuses.iter().map(|status| (*status, None)).collect()).await
    }

    /// With these statuses and headers `www-authenticate`.
    pub(super) async fn with(answers: Vec<(u16, Option<&'static str>)>) -> Self {
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into()));
        let (sender, posted) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answers, sender) = (Arc::clone(&answers), sender.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answers, sender) = (Arc::clone(&answers), sender.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = String::from_utf8(collect(body).await).unwrap();
                        let (status, asks) = answers.lock().pop_front().unwrap_or((200, None));
                        // The test may have gone.
                        let _ = sender.send(Posted { path: head.uri.to_string(), headers: head.headers, body });
                        let mut response = Response::new(Whole::new(Bytes::from_static(b"said")));
                        *response.status_mut() = StatusCode::from_u16(status).unwrap();
                        if let Some(asks) = asks {
                            response.headers_mut().insert("www-authenticate", asks.parse().unwrap());
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, posted: tokio::sync::Mutex::new(posted), task }
    }

    /// One that takes connections and says nothing.
    pub(super) async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut streams = Vec::new();
            loop {
                streams.push(listener.accept().await.unwrap());
            }
        });
        let (_, posted) = mpsc::unbounded_channel();
        Self { address, posted: tokio::sync::Mutex::new(posted), task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn url_of(&self, user: &str, path: &str) -> String {
        format!("http://{user}@{}{path}", self.address)
    }

    /// The next request.
    pub(super) async fn next(&self) -> Posted {
        let mut posted = self.posted.lock().await;
        tokio::time::timeout(PATIENCE, posted.recv()).await.expect("nothing comes").expect("the server has gone")
    }

    /// Nothing more comes.
    pub(super) async fn is_quiet(&self) {
        let mut posted = self.posted.lock().await;
        let more = tokio::time::timeout(Duration::from_millis(100), posted.recv()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

async fn collect(mut body: Incoming) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.unwrap().into_data() {
            whole.extend_from_slice(&data);
        }
    }
    whole
}
