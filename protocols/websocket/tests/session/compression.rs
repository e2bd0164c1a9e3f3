//! permessage-deflate, by the bytes of frames. Stock clients that compress are among the tests of the whole program.

use std::sync::atomic::Ordering;

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress};
use gantry_websocket::{Compression, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::peer::{Served, connect_with, frame, read, read_head, request, rest, settings};

/// A connection that has agreed on compression.
async fn agreed(subprotocol: &str, offer: &str) -> (DuplexStream, Served) {
    let settings = Settings { compression: Compression::PermessageDeflate, ..settings() };
    let (mut stream, served) = connect_with(settings, 64 * 1024);
    let lines = format!("Sec-WebSocket-Protocol: {subprotocol}\r\nSec-WebSocket-Extensions: {offer}\r\n");
    stream.write_all(&request(&lines)).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.contains("permessage-deflate; server_no_context_takeover; client_no_context_takeover"), "{head}");
    (stream, served)
}

/// The payload of a compressed message.
fn packed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 100);
    Compress::new(Level::best(), false).compress_vec(message, &mut out, FlushCompress::Sync).unwrap();
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// The next message of the server: its first byte, and what it says.
async fn message(stream: &mut DuplexStream) -> (u8, Vec<u8>) {
    let [first, length] = read::<2>(stream).await;
    let bytes = if length < 126 { usize::from(length) } else { u16::from_be_bytes(read(stream).await).into() };
    let mut payload = vec![0; bytes];
    stream.read_exact(&mut payload).await.unwrap();
    if first & 0x40 == 0 {
        return (first, payload);
    }
    payload.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut out = Vec::with_capacity(100_000);
    Decompress::new(false).decompress_vec(&payload, &mut out, FlushDecompress::Sync).unwrap();
    (first, out)
}

#[tokio::test]
async fn compressed_and_plain_messages_are_one_stream_of_bytes() {
    let (mut stream, _served) = agreed("bytes", "permessage-deflate").await;
    let whole = packed(b"compressed, in three fragments, with a ping in between");
    let bytes = [
        frame(0x82, b"plain "),
        frame(0x42, &whole[..5]),
        frame(0x00, &whole[5..9]),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, &whole[9..]),
        frame(0xc2, &packed(b" again")),
        frame(0xc2, &packed(b"")),
        frame(0xc2, b""),
        frame(0x82, b" and plain"),
    ]
    .concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (mut came, mut pongs) = (Vec::new(), 0);
    while !came.ends_with(b"and plain") {
        match message(&mut stream).await {
            (0x8a, payload) => {
                assert_eq!(payload, b"ping");
                pongs += 1;
            }
            (_, payload) => came.extend_from_slice(&payload),
        }
    }
    assert_eq!(came, b"plain compressed, in three fragments, with a ping in between again and plain");
    assert_eq!(pongs, 1);
}

#[tokio::test]
async fn long_messages_of_ours_are_compressed_and_short_ones_are_not() {
    let (mut stream, _served) = agreed("lines", "permessage-deflate").await;
    stream.write_all(&frame(0x81, b"short")).await.unwrap();
    assert_eq!(message(&mut stream).await, (0x81, b"short".to_vec()));
    stream.write_all(&frame(0x81, b"UTF8 90000")).await.unwrap();
    let mut came = Vec::new();
    while came.len() < 90_000 {
        let (first, payload) = message(&mut stream).await;
        assert_eq!(first, 0xc1);
        assert!(payload.len() <= 65_535);
        came.extend_from_slice(&payload);
    }
    assert_eq!(came, "\u{20ac}".repeat(30_000).into_bytes());
}

#[tokio::test]
async fn a_client_with_a_short_window_gets_nothing_that_needs_a_longer_one() {
    let (mut stream, _served) = agreed("bytes", "permessage-deflate; server_max_window_bits=9").await;
    stream.write_all(&frame(0x82, b"SEND 512")).await.unwrap();
    assert_eq!(message(&mut stream).await, (0xc2, vec![0xff; 512]));
    stream.write_all(&frame(0x82, b"SEND 513")).await.unwrap();
    assert_eq!(message(&mut stream).await, (0x82, vec![0xff; 513]));
}

/// What a client is told that sends this, but for what comes back of it before.
async fn told(subprotocol: &str, bytes: &[u8]) -> Vec<u8> {
    let (mut stream, served) = agreed(subprotocol, "permessage-deflate").await;
    let (mut reading, mut writing) = tokio::io::split(stream);
    let sending = async {
        writing.write_all(bytes).await.unwrap();
        writing
    };
    let mut said = Vec::new();
    let hearing = async {
        reading.read_to_end(&mut said).await.unwrap();
        reading
    };
    let (writing, reading) = tokio::join!(sending, hearing);
    stream = reading.unsplit(writing);
    assert_eq!(rest(&mut stream).await, b"");
    drop(stream);
    served.task.await.unwrap();
    assert_eq!(served.stats.failed.load(Ordering::Relaxed), 1);
    said
}

#[tokio::test]
async fn a_bomb_is_refused_at_the_limit_and_a_compressed_message_that_is_too_long_by_its_head() {
    // The limit of these tests is 1 MiB, and 1 MiB for heads.
    let limit = 2 << 20;
    let bomb = packed(&vec![0; limit + 1]);
    assert!(bomb.len() < 4_000);
    let said = told("bytes", &frame(0xc2, &bomb)).await;
    assert!(said.ends_with(b"\x88\x02\x03\xf1"), "{:02x?}", &said[said.len().saturating_sub(16)..]);
    // The same in fragments, where no frame is too long.
    let mut fragments = frame(0x42, &bomb[..10]);
    bomb[10..].chunks(100).for_each(|piece| fragments.extend_from_slice(&frame(0x00, piece)));
    fragments.extend_from_slice(&frame(0x80, b""));
    assert!(told("bytes", &fragments).await.ends_with(b"\x88\x02\x03\xf1"));

    let claim = [&[0xc2, 0xff][..], &(3_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    assert_eq!(told("bytes", &claim).await, b"\x88\x02\x03\xf1");
}

#[tokio::test]
async fn a_message_as_long_as_may_be_comes_through() {
    let (mut stream, _served) = agreed("bytes", "permessage-deflate").await;
    let bytes = 2 << 20;
    stream.write_all(&frame(0xc2, &packed(&vec![7; bytes]))).await.unwrap();
    let mut came = 0;
    while came < bytes {
        let (_, payload) = message(&mut stream).await;
        assert!(payload.iter().all(|byte| *byte == 7));
        came += payload.len();
    }
    assert_eq!(came, bytes);
}

#[tokio::test]
async fn who_breaks_the_rules_of_compression_is_told_by_a_code() {
    let cut = packed("\u{20ac}".as_bytes().split_last().unwrap().1);
    for (subprotocol, bytes, code) in [
        // No compressed data, and text that is none.
        ("bytes", frame(0xc2, &[0xff; 10]), 1007_u16),
        ("lines", frame(0xc1, &packed(b"\xff")), 1007),
        ("lines", frame(0xc1, &cut), 1007),
        ("bytes", frame(0xc1, &packed(b"text")), 1003),
        // The bit is for the first frame of a message of data, and the others mean nothing.
        ("bytes", [frame(0x02, b""), frame(0xc0, &packed(b"x"))].concat(), 1002),
        ("bytes", frame(0xc9, b"ping"), 1002),
        ("bytes", frame(0xa2, b"x"), 1002),
        ("bytes", frame(0x92, b"x"), 1002),
    ] {
        let mut expected = b"\x88\x02".to_vec();
        expected.extend_from_slice(&code.to_be_bytes());
        assert_eq!(told(subprotocol, &bytes).await, expected, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn who_does_not_offer_it_or_is_not_offered_it_goes_on_without() {
    for (compression, lines) in [
        (Compression::PermessageDeflate, ""),
        (Compression::None, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"),
    ] {
        let (mut stream, _served) = connect_with(Settings { compression, ..settings() }, 64 * 1024);
        stream.write_all(&request(lines)).await.unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 ") && !head.contains("Extensions"), "{head}");
        stream.write_all(&frame(0x82, b"SEND 5000")).await.unwrap();
        assert_eq!(message(&mut stream).await, (0x82, vec![0xff; 5000]));
        stream.write_all(&frame(0xc2, &packed(b"x"))).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"\x88\x02\x03\xea");
    }
}
