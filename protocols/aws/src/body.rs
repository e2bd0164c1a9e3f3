//! The body of a request, bounded in size and in time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, faults};

/// So much of a body comes in one step of time; each as much again is given another one.
const STEP_BYTES: usize = 64 * 1024;

/// Reads a whole body of at most `bytes_max`, which has `step` for each 64 KiB.
///
/// # Errors
/// It is too large, too slow, or breaks off.
pub(crate) async fn collect(
    head: &Parts,
    mut body: Incoming,
    bytes_max: usize,
    step: Duration,
) -> Result<Bytes, Error> {
    let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // Before any of it is asked for: a client that waits to be told to go on sends nothing.
    if length.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let begun = Instant::now();
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    loop {
        let so_far = first.len() + gathered.len();
        let deadline = begun + allowed(so_far, step);
        let frame = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
        let slow = |_| Error::new(&faults::REQUEST_TIMEOUT, "The request did not come in time.");
        let Some(frame) = frame.map_err(slow)? else { break };
        let broken = |error: hyper::Error| Error::new(&faults::SERIALIZATION, format!("The body broke off: {error}"));
        // Trailers mean nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if so_far + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if so_far == 0 {
            first = data;
            continue;
        }
        if gathered.is_empty() {
            gathered.extend_from_slice(&std::mem::take(&mut first));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() })
}

fn allowed(bytes: usize, step: Duration) -> Duration {
    step * u32::try_from(1 + bytes / STEP_BYTES).unwrap_or(u32::MAX)
}

fn too_large(bytes_max: usize) -> Error {
    Error::new(&faults::REQUEST_TOO_LARGE, format!("The request is larger than {bytes_max} bytes."))
}
