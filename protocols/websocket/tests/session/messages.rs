use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::peer::{frame, read, stock, upgraded};

#[tokio::test]
async fn what_is_written_in_one_go_is_one_message() {
    let (mut client, _served) = stock("bytes", 1 << 20).await;
    for said in [&b"one"[..], b"", b"two", &[7; 30_000]] {
        client.send(Message::binary(said.to_vec())).await.unwrap();
        if !said.is_empty() {
            assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(said.to_vec()));
        }
    }
}

#[tokio::test]
async fn a_long_write_is_cut_into_messages() {
    let (mut client, _served) = stock("bytes", 8 << 20).await;
    client.send(Message::binary(&b"SEND 200000"[..])).await.unwrap();
    for bytes in [65_535, 65_535, 65_535, 3_395] {
        assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(vec![0xff; bytes]));
    }
}

#[tokio::test]
async fn text_is_cut_between_characters_and_what_is_no_text_is_binary() {
    let (mut client, _served) = stock("lines", 8 << 20).await;
    client.send(Message::text("ab\u{20ac}")).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::text("ab\u{20ac}"));
    // 65,535 is a whole number of these characters; behind one byte it is not.
    client.send(Message::text("UTF8 90000")).await.unwrap();
    let mut bytes = 0;
    while bytes < 90_000 {
        let Message::Text(text) = client.next().await.unwrap().unwrap() else { panic!("no text") };
        bytes += text.len();
    }
    client.send(Message::binary(&b"\xff\xfe"[..])).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(&b"\xff\xfe"[..]));
}

/// Streams of bytes, cut into messages of all sizes by a stock client, through pipes of all widths.
#[tokio::test]
async fn bytes_come_through_however_they_are_cut() {
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (between_bytes, cuts) in [(7, &[1, 125, 126, 300][..]), (1000, &[3, 70_000, 125]), (1 << 20, &[300_000])] {
        let sent = if between_bytes < 100 { &sent[..5_000] } else { &sent[..] };
        let (client, _served) = stock("bytes", between_bytes).await;
        let (mut sink, mut stream) = client.split();
        let (mut left, mut messages) = (sent, Vec::new());
        for cut in cuts.iter().cycle() {
            let (message, rest) = left.split_at((*cut).min(left.len()));
            messages.push(Message::Binary(Bytes::copy_from_slice(message)));
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        let sending = tokio::spawn(async move {
            for message in messages {
                sink.send(message).await.unwrap();
            }
            sink
        });
        let mut came = Vec::new();
        while came.len() < sent.len() {
            came.extend_from_slice(&stream.next().await.unwrap().unwrap().into_data());
        }
        assert!(came == sent, "through {between_bytes} bytes");
        drop(sending.await.unwrap());
    }
}

#[tokio::test]
async fn ten_thousand_fragments_of_one_byte_are_one_message_of_ten_thousand() {
    let (mut stream, _served) = upgraded("bytes").await;
    let mut fragments = frame(0x02, b"x");
    (0..9_998).for_each(|_| fragments.extend_from_slice(&frame(0x00, b"x")));
    fragments.extend_from_slice(&frame(0x80, b"x"));
    stream.write_all(&fragments).await.unwrap();
    // The echo comes in as many messages as it was read in.
    let mut came = 0;
    while came < 10_000 {
        let [first, length] = read::<2>(&mut stream).await;
        assert_eq!(first, 0x82);
        let bytes = if length < 126 { usize::from(length) } else { u16::from_be_bytes(read(&mut stream).await).into() };
        let mut payload = vec![0; bytes];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut payload).await.unwrap();
        assert!(payload.iter().all(|byte| *byte == b'x'));
        came += bytes;
    }
    assert_eq!(came, 10_000);
}

#[tokio::test]
async fn a_ping_is_answered_within_a_message_and_between_them() {
    let (mut stream, _served) = upgraded("bytes").await;
    let bytes = [frame(0x02, b"ec"), frame(0x89, b"now"), frame(0x80, b"ho"), frame(0x89, b"again")].concat();
    for byte in bytes {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // The echo of each part comes as it was read.
    let mut came = Vec::new();
    while !came.ends_with(b"\x8a\x05again") {
        came.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await.unwrap());
    }
    let first = came.windows(5).position(|window| window == b"\x8a\x03now");
    assert!(first.is_some_and(|first| first > 0), "{came:02x?}");
}
