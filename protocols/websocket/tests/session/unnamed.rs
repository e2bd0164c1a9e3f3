//! Clients that name no subprotocol, where the first byte tells what they speak.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry_websocket::Settings;
use tokio::io::AsyncWriteExt;

use crate::peer::{frame, read, rest, settings, unnamed};

#[tokio::test]
async fn the_first_byte_tells_what_a_client_speaks_and_is_not_lost() {
    // The echo of what is binary is binary, and of what is text is text.
    for (said, answered) in [
        (frame(0x82, b"Binary"), b"\x82\x06Binary"),
        (frame(0x81, b"\nLines"), b"\x81\x06\nLines"),
        (frame(0x82, b"liness"), b"\x81\x06liness"),
    ] {
        let (mut stream, _served) = unnamed(true, settings()).await;
        stream.write_all(&said).await.unwrap();
        assert_eq!(&read::<8>(&mut stream).await, answered);
    }
}

#[tokio::test]
async fn the_first_byte_may_come_late_and_behind_much_that_is_none() {
    let (mut stream, _served) = unnamed(true, settings()).await;
    let before = [frame(0x02, b""), frame(0x89, b"ping"), frame(0x00, b""), frame(0x80, b"")].concat();
    for byte in [before, frame(0x82, b"B"), frame(0x82, b"ytes")].concat() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(&read::<6>(&mut stream).await, b"\x8a\x04ping");
    assert_eq!(&read::<3>(&mut stream).await, b"\x82\x01B");
}

#[tokio::test]
async fn text_of_a_binary_protocol_is_refused_also_where_it_came_first() {
    for said in [frame(0x81, b"Bytes"), [frame(0x81, b"B"), frame(0x82, b"ytes")].concat()] {
        let (mut stream, served) = unnamed(true, settings()).await;
        stream.write_all(&said).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"\x88\x02\x03\xeb");
        drop(stream);
        served.task.await.unwrap();
        assert_eq!(served.stats.failed.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn what_nobody_speaks_is_closed_with_1002() {
    let (mut stream, served) = unnamed(false, settings()).await;
    stream.write_all(&frame(0x82, b"GET / HTTP/1.1")).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"\x88\x02\x03\xea");
    drop(stream);
    served.task.await.unwrap();
    assert_eq!(served.stats.failed.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn who_says_nothing_is_closed_and_who_closes_is_answered() {
    let quick = Settings { handshake_timeout: Duration::from_millis(50), ..settings() };
    let (mut stream, _served) = unnamed(true, quick).await;
    assert_eq!(&read::<4>(&mut stream).await, b"\x88\x02\x03\xe8");

    let (mut stream, _served) = unnamed(true, settings()).await;
    stream.write_all(&frame(0x88, b"\x0f\xa0")).await.unwrap();
    assert_eq!(rest(&mut stream).await, b"\x88\x02\x0f\xa0");

    let (mut stream, served) = unnamed(true, settings()).await;
    served.stop.request();
    assert_eq!(&read::<4>(&mut stream).await, b"\x88\x02\x03\xe9");
}
