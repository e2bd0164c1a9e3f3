use std::sync::atomic::Ordering;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::peer::{frame, rest, stock, upgraded};

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    for (said, answered) in
        [(&b"\x03\xe8bye"[..], &b"\x88\x02\x03\xe8"[..]), (b"\x0f\xa0", b"\x88\x02\x0f\xa0"), (b"", b"\x88\x00")]
    {
        let (mut stream, served) = upgraded("bytes").await;
        stream.write_all(&frame(0x88, said)).await.unwrap();
        assert_eq!(rest(&mut stream).await, answered);
        drop(stream);
        served.task.await.unwrap();
        assert_eq!(served.stats.failed.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn the_protocol_within_ends_with_1000_and_a_shutdown_with_1001() {
    let (mut client, served) = stock("bytes", 1024).await;
    client.send(Message::binary(&b"QUIT"[..])).await.unwrap();
    let close = |code| Message::Close(Some(CloseFrame { code, reason: "".into() }));
    assert_eq!(client.next().await.unwrap().unwrap(), close(CloseCode::Normal));
    assert!(client.next().await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
    served.task.await.unwrap();

    let (mut client, served) = stock("bytes", 1024).await;
    served.stop.request();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"bye"[..]));
    assert_eq!(client.next().await.unwrap().unwrap(), close(CloseCode::Away));
    assert!(client.next().await.is_none_or(|end| matches!(end, Err(Error::ConnectionClosed))));
    served.task.await.unwrap();
}

#[tokio::test]
async fn what_a_client_still_sends_while_we_close_is_thrown_away() {
    let (mut stream, served) = upgraded("bytes").await;
    let bytes = [frame(0x82, b"QUIT"), frame(0x89, b"ping"), frame(0x82, &[1; 60_000])].concat();
    for part in bytes.chunks(10) {
        stream.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.ends_with(b"\x88\x02\x03\xe8"), "{said:02x?}");
    drop(stream);
    served.task.await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_gone() {
    let (stream, served) = upgraded("bytes").await;
    drop(stream);
    served.task.await.unwrap();
    assert_eq!(served.stats.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_shutdown_before_the_request_needs_no_answer() {
    let (mut stream, served) = crate::peer::connect();
    stream.write_all(b"GET /ws").await.unwrap();
    tokio::task::yield_now().await;
    served.stop.request();
    assert_eq!(rest(&mut stream).await, b"");
    served.task.await.unwrap();
}
