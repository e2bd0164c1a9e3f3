use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use super::client::{PIPE_BYTES, Server, json};
use super::wait_for;

#[tokio::test(start_paused = true)]
async fn what_a_stream_holds_back_is_waited_for() {
    let server = Server::new();
    for poll in [None, Some("held back")] {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let mut client = server.client_over(near, Box::new(HoldsBack { inner: far, held: Vec::new(), until: None }));
        let mut all = json("Echo", &[], &json!({"text": "one"}));
        let said = poll.map(|key| {
            all.push_str(&json("Wait", &[], &json!({"key": key})));
            wait_for(key)
        });
        client.write(all).await;
        assert_eq!(client.next().await.json()["text"], "one", "{poll:?}");
        if let Some(said) = said {
            said.send("two").unwrap();
            assert_eq!(client.next().await.json()["text"], "two");
        }
    }
}

/// A stream that takes whatever it is given, and passes it on when it is told to and five seconds have gone: as TLS does over a
/// connection that is full.
struct HoldsBack {
    inner: DuplexStream,
    held: Vec<u8>,
    until: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl AsyncRead for HoldsBack {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl AsyncWrite for HoldsBack {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let until = this.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_secs(5))));
        ready!(until.as_mut().poll(cx));
        while !this.held.is_empty() {
            let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.held))?;
            this.held.drain(..written);
        }
        this.until = None;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
