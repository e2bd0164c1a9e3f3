//! Services that messages go to, as the tests play them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use crate::http::Whole;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// A service of HTTP.
pub(super) struct Fake {
    address: SocketAddr,
    asked: Mutex<mpsc::UnboundedReceiver<Asked>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// One that answers so; `is_http2` is whether it speaks HTTP/2 and nothing else.
    pub(super) async fn start(
        is_http2: bool,
        answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        let (sender, asked) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, sender) = (Arc::clone(&answer), sender.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (answer, sender) = (Arc::clone(&answer), sender.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        let body = collect(body).await;
                        let path = head.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
                        let asked = Asked { version: head.version, path, headers: head.headers, body };
                        let (status, said) = answer(&asked);
                        // The test may have gone.
                        let _ = sender.send(asked);
                        let mut response = Response::new(Whole::new(Bytes::from(said)));
                        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                        Ok::<_, Infallible>(response)
                    }
                });
                let io = TokioIo::new(stream);
                if is_http2 {
                    tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service));
                } else {
                    tokio::spawn(http1::Builder::new().serve_connection(io, service));
                }
            }
        });
        Self { address, asked: Mutex::new(asked), task }
    }

    pub(super) fn url(&self) -> Box<str> {
        format!("http://{}", self.address).into()
    }

    /// The next request.
    pub(super) async fn next(&self) -> Asked {
        let mut asked = self.asked.lock().await;
        tokio::time::timeout(PATIENCE, asked.recv()).await.expect("nothing comes").expect("the server has gone")
    }

    /// Whether nothing more has come so far.
    pub(super) async fn is_quiet(&self) -> bool {
        self.asked.lock().await.is_empty()
    }
}

async fn collect(mut body: Incoming) -> Bytes {
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.expect("the body comes").into_data() {
            whole.extend_from_slice(&data);
        }
    }
    whole.into()
}

/// An SMTP server. It refuses mailboxes of nobody, and takes those of others.
pub(super) struct Post {
    address: SocketAddr,
    mails: Mutex<mpsc::UnboundedReceiver<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Post {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Post {
    pub(super) async fn start() -> Self {
        let (sender, mails) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    // A client that goes away ends it.
                    let _ = talk(stream, sender).await;
                });
            }
        });
        Self { address, mails: Mutex::new(mails), task }
    }

    pub(super) fn url(&self) -> Box<str> {
        format!("smtp://{}", self.address).into()
    }

    /// The next mail: whom it is for on the first line, then all of it.
    pub(super) async fn next(&self) -> String {
        let mut mails = self.mails.lock().await;
        tokio::time::timeout(PATIENCE, mails.recv()).await.expect("nothing comes").expect("the server has gone")
    }
}

async fn talk(stream: tokio::net::TcpStream, sender: mpsc::UnboundedSender<String>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 here\r\n").await?;
    let mut mail = String::new();
    while let Some(line) = lines.next_line().await? {
        let word = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        let answer = match word.as_str() {
            "EHLO" => "250-here\r\n250 8BITMIME\r\n",
            "RCPT" if line.contains("nobody@") => "550 no such mailbox\r\n",
            "RCPT" => {
                mail = format!("{line}\n");
                "250 ok\r\n"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    mail.push_str(&line);
                    mail.push('\n');
                }
                // The test may have gone.
                let _ = sender.send(std::mem::take(&mut mail));
                "250 taken\r\n"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
