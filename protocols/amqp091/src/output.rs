//! Bodies as frames of what waits to be written.

use bytes::Bytes;
use gantry_broker::protocol::{Output, SHARED_BODY_BYTES_MIN};

use crate::codec::{FrameKind, frame};

/// Appends a body as frames.
pub(crate) fn put_body(
    out: &mut Output,
    channel: u16,
    body: &[u8],
    shared: impl FnOnce() -> Bytes,
    frame_bytes_max: u32,
) {
    if body.len() < SHARED_BODY_BYTES_MIN {
        frame::encode_body(out.tail(), channel, body, frame_bytes_max);
        return;
    }
    let mut rest = shared();
    let payload_bytes_max = frame_bytes_max as usize - frame::FRAME_OVERHEAD_BYTES;
    while !rest.is_empty() {
        let payload = rest.split_to(rest.len().min(payload_bytes_max));
        out.tail().extend_from_slice(&frame::frame_head(FrameKind::Body, channel, payload.len() as u32));
        out.share(payload);
        out.tail().extend_from_slice(&[frame::FRAME_END]);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use bytes::BytesMut;

    use super::*;

    #[tokio::test]
    async fn shared_bodies_and_gathered_frames_leave_in_order() {
        let body: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
        let shared = Bytes::from(body.clone());
        let mut expected = BytesMut::new();
        let mut output = Output::default();
        for round in 0..3_u8 {
            expected.extend_from_slice(&[round]);
            output.tail().extend_from_slice(&[round]);
            frame::encode_body(&mut expected, 7, &body, 4096);
            put_body(&mut output, 7, &body, || shared.clone(), 4096);
        }
        assert_eq!(output.len(), expected.len());
        let (mut near, mut far) = tokio::io::duplex(1000);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut all).await.map(|_| all)
        });
        std::future::poll_fn(|cx| output.poll_write(Pin::new(&mut near), cx)).await.unwrap();
        drop(near);
        assert!(output.is_empty());
        assert_eq!(reader.await.unwrap().unwrap(), expected);
    }
}
