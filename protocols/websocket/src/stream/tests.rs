use std::future::poll_fn;

use gantry_broker::protocol::ShutdownTrigger;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A client, and the connection; it is stopped once the trigger is dropped.
fn pair(between_bytes: usize, messages: Messages) -> (DuplexStream, WebSocketIo, ShutdownTrigger) {
    let (near, far) = duplex(between_bytes);
    let (stop, shutdown) = ShutdownTrigger::new();
    let mut io = WebSocketIo::new(Box::new(far), BytesMut::new(), None, 1 << 20, shutdown);
    io.speaks(messages);
    (near, io, stop)
}

/// Polls once.
async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

async fn read_once(io: &mut WebSocketIo) -> Poll<usize> {
    let mut scratch = [0; 64];
    let mut buffer = ReadBuf::new(&mut scratch);
    once(|cx| io.poll_read(cx, &mut buffer)).await.map(|read| {
        read.unwrap();
        buffer.filled().len()
    })
}

/// An empty ping of a client.
const PING: [u8; 6] = [0x89, 0x80, 1, 2, 3, 4];

#[tokio::test]
async fn a_pong_and_a_close_wait_for_the_end_of_a_message_that_is_half_written() {
    let (mut client, mut io, stop) = pair(100, Messages::Binary);
    let payload = [7; 296];
    let written = once(|cx| io.poll_write(cx, &[IoSlice::new(&payload)])).await;
    assert!(matches!(written, Poll::Ready(Ok(96))), "{written:?}");
    client.write_all(&PING).await.unwrap();
    assert!(read_once(&mut io).await.is_pending());
    let mut came = [0; 100];
    client.read_exact(&mut came).await.unwrap();
    assert_eq!(came[..4], [0x82, 126, 1, 40]);
    // There is room for the pong now, and it is not its turn.
    assert!(read_once(&mut io).await.is_pending());
    let written = once(|cx| io.poll_write(cx, &[IoSlice::new(&payload[96..])])).await;
    assert!(matches!(written, Poll::Ready(Ok(100))), "{written:?}");
    client.read_exact(&mut came).await.unwrap();
    assert!(came.iter().all(|byte| *byte == 7));
    stop.request();
    io.close();
    let written = once(|cx| io.poll_write(cx, &[IoSlice::new(&payload[196..])])).await;
    assert!(matches!(written, Poll::Ready(Ok(100))), "{written:?}");
    client.read_exact(&mut came).await.unwrap();
    let refused = once(|cx| io.poll_write(cx, &[IoSlice::new(b"more")])).await;
    assert!(matches!(refused, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe));
    let mut last = [0; 4];
    client.read_exact(&mut last).await.unwrap();
    assert_eq!(last, [0x88, 2, 3, 0xe9]);
}

#[tokio::test]
async fn nothing_is_promised_of_a_message_before_its_first_byte_is_taken() {
    let (mut client, mut io, _stop) = pair(10, Messages::Binary);
    let filled = once(|cx| io.poll_write(cx, &[IoSlice::new(&[1; 8])])).await;
    assert!(matches!(filled, Poll::Ready(Ok(8))));
    assert!(once(|cx| io.poll_write(cx, &[IoSlice::new(b"one")])).await.is_pending());
    client.read_exact(&mut [0; 10]).await.unwrap();
    // More has gathered meanwhile: all of it is one message.
    let slices = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")];
    let written = once(|cx| io.poll_write(cx, &slices)).await;
    assert!(matches!(written, Poll::Ready(Ok(6))), "{written:?}");
    let mut came = [0; 8];
    client.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"\x82\x06onetwo");
}

#[tokio::test]
async fn text_over_slices_is_one_text() {
    let (mut client, mut io, _stop) = pair(100, Messages::Text);
    let slices = [IoSlice::new(b"\xe2\x82"), IoSlice::new(b"\xac")];
    assert!(matches!(once(|cx| io.poll_write(cx, &slices)).await, Poll::Ready(Ok(3))));
    // A character that nothing cuts but its writer is no text.
    assert!(matches!(once(|cx| io.poll_write(cx, &[IoSlice::new(b"\xe2\x82")])).await, Poll::Ready(Ok(2))));
    let mut came = [0; 9];
    client.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"\x81\x03\xe2\x82\xac\x82\x02\xe2\x82");
}

#[tokio::test]
async fn the_smallest_buffer_will_do() {
    let (mut client, mut io, _stop) = pair(100, Messages::Binary);
    client.write_all(&[0x82, 0x82, 0, 0, 0, 0, b'o', b'k', 0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut came = Vec::new();
    loop {
        let mut scratch = [0; 1];
        let mut buffer = ReadBuf::new(&mut scratch);
        poll_fn(|cx| io.poll_read(cx, &mut buffer)).await.unwrap();
        match buffer.filled() {
            [] => break,
            byte => came.extend_from_slice(byte),
        }
    }
    assert_eq!(came, b"ok");
    assert_eq!(io.end(), Some(End::Closed(None)));
}

/// What a connection has besides its socket.
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<WebSocketIo>() < 768, "{}", size_of::<WebSocketIo>());
}

/// What compression adds to a connection that is idle, besides a message that is on its way.
#[tokio::test]
async fn an_idle_connection_keeps_no_window() {
    assert!(size_of::<Packed>() < 256, "{}", size_of::<Packed>());
    let (mut client, far) = duplex(1000);
    let (_stop, shutdown) = ShutdownTrigger::new();
    let deflate = crate::extension::agree("permessage-deflate");
    let mut io = WebSocketIo::new(Box::new(far), BytesMut::new(), deflate, 1 << 20, shutdown);
    io.speaks(Messages::Binary);
    let is_idle = |io: &WebSocketIo| io.packed.as_ref().is_some_and(|packed| packed.is_idle());
    assert!(is_idle(&io));
    // "Hello" of RFC 7692, section 7.2.3.1, under a mask of zeros.
    client.write_all(&[0xc2, 0x87, 0, 0, 0, 0, 0xf2, 0x48, 0xcd, 0xc9]).await.unwrap();
    let mut came = Vec::new();
    while let Poll::Ready(bytes) = read_once(&mut io).await {
        came.push(bytes);
    }
    assert!(!is_idle(&io));
    client.write_all(&[0xc9, 0x07, 0x00]).await.unwrap();
    while let Poll::Ready(bytes) = read_once(&mut io).await {
        came.push(bytes);
    }
    assert_eq!(came.iter().sum::<usize>(), 5);
    assert!(is_idle(&io));
}

#[tokio::test]
async fn a_compressed_message_that_is_half_written_goes_on_and_a_pong_waits() {
    let (mut client, far) = duplex(10);
    let (_stop, shutdown) = ShutdownTrigger::new();
    let deflate = crate::extension::agree("permessage-deflate");
    let mut io = WebSocketIo::new(Box::new(far), BytesMut::new(), deflate, 1 << 20, shutdown);
    io.speaks(Messages::Binary);
    let payload: Vec<u8> = (0..300_u32).map(|n| (n / 10) as u8).collect();
    assert!(once(|cx| io.poll_write(cx, &[IoSlice::new(&payload)])).await.is_pending());
    client.write_all(&PING).await.unwrap();
    assert!(read_once(&mut io).await.is_pending());
    let mut came = Vec::new();
    loop {
        let mut some = [0; 10];
        let bytes = client.read(&mut some).await.unwrap();
        came.extend_from_slice(&some[..bytes]);
        // More has gathered behind it meanwhile, which is another message.
        let more = [payload.clone(), vec![7; 5]].concat();
        match once(|cx| io.poll_write(cx, &[IoSlice::new(&more)])).await {
            Poll::Ready(written) => {
                assert_eq!(written.unwrap(), payload.len());
                break;
            }
            Poll::Pending => {}
        }
    }
    assert!(read_once(&mut io).await.is_pending());
    while !came.ends_with(&[0x8a, 0]) {
        came.push(client.read_u8().await.unwrap());
        let _ = read_once(&mut io).await;
    }
    assert_eq!(came[0], 0xc2);
    assert_eq!(usize::from(came[1]) + 2 + 2, came.len());
}
