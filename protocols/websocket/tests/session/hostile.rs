use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use crate::peer::{frame, read, rest, upgraded};

/// What a client is told that sends this, and then nothing.
async fn told(subprotocol: &str, bytes: &[u8]) -> Vec<u8> {
    let (mut stream, served) = upgraded(subprotocol).await;
    stream.write_all(bytes).await.unwrap();
    let said = rest(&mut stream).await;
    drop(stream);
    served.task.await.unwrap();
    assert_eq!(served.stats.failed.load(Ordering::Relaxed), 1);
    said
}

/// A head that claims so many bytes.
fn claim(length: u64) -> Vec<u8> {
    [&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_by_a_code_and_closed() {
    let unmasked = [0x82, 0x01, b'x'];
    for (subprotocol, bytes, code) in [
        ("bytes", &unmasked[..], 1002_u16),
        ("bytes", &frame(0xc2, b"deflated?"), 1002),
        ("bytes", &frame(0x83, b"x"), 1002),
        ("bytes", &frame(0x80, b"x"), 1002),
        ("bytes", &frame(0x89, &[0; 126]), 1002),
        ("bytes", &frame(0x09, b"x"), 1002),
        ("bytes", &[frame(0x02, b""), frame(0x82, b"")].concat(), 1002),
        ("bytes", &claim(u64::MAX), 1002),
        ("bytes", &frame(0x88, b"\x03"), 1002),
        ("bytes", &frame(0x81, b"text"), 1003),
        ("lines", &frame(0x81, b"\xff"), 1007),
        ("bytes", &claim(3 << 20), 1009),
    ] {
        let mut expected = b"\x88\x02".to_vec();
        expected.extend_from_slice(&code.to_be_bytes());
        assert_eq!(told(subprotocol, bytes).await, expected, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn what_came_before_a_violation_is_still_heard() {
    // All that the client is told, but the protocol within has heard it before the connection ends.
    let said = told("bytes", &[frame(0x82, b"QUIT"), frame(0x83, b"x")].concat()).await;
    assert_eq!(said, b"\x88\x02\x03\xea");
}

#[tokio::test]
async fn a_length_that_is_claimed_and_never_comes_costs_nothing() {
    let (mut stream, served) = upgraded("bytes").await;
    // As much as may be claimed; of what has come, the protocol within has all.
    stream.write_all(&[&claim(1 << 20)[..], b"ten bytes!"].concat()).await.unwrap();
    assert_eq!(&read::<12>(&mut stream).await, b"\x82\x0aten bytes!");
    drop(stream);
    served.task.await.unwrap();
    assert_eq!(served.stats.failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_does_not_gather() {
    let (mut stream, _served) = upgraded("bytes").await;
    let ping = frame(0x89, &[b'p'; 125]);
    // Many times what fits between the two ends: were each answered in turn, this would never be taken.
    for _ in 0..10_000 {
        stream.write_all(&ping).await.unwrap();
    }
    stream.write_all(&frame(0x89, b"last")).await.unwrap();
    let mut last = [0; 6];
    while last != *b"\x8a\x04last" {
        last.rotate_left(1);
        last[5] = tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap();
    }
}
