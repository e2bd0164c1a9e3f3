//! The body of a request, bounded in size and in time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use crate::error::{Error, faults};

/// So much of a body comes in one step of time; each as much again is given another one.
const STEP_BYTES: usize = 64 * 1024;

const TOO_MUCH_UNVERIFIED: &str = "Too much comes at once from clients whose signature is not verified yet.";

/// The whole body of a client of which it is not certain yet who it is has so long.
const UNVERIFIED_TIME_MAX: Duration = Duration::from_secs(60);

/// What a body may cost.
pub(crate) struct Limits<'a> {
    /// Bytes of it.
    pub(crate) bytes_max: usize,
    /// The time for each 64 KiB.
    pub(crate) step: Duration,
    /// Where it is not certain yet who the client is: bytes that all such clients together may have sent, beyond the first
    /// 64 KiB of each.
    pub(crate) unverified: Option<&'a Semaphore>,
}

/// Reads a whole body.
///
/// # Errors
/// It is too large, too slow, or breaks off; too much has come from clients that nobody knows yet.
pub(crate) async fn collect(head: &Parts, mut body: Incoming, limits: Limits<'_>) -> Result<Bytes, Error> {
    let Limits { bytes_max, step, unverified } = limits;
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
    // Until the body is whole: what comes then is known.
    let mut held: Option<SemaphorePermit<'_>> = None;
    loop {
        let so_far = first.len() + gathered.len();
        let allowed = allowed(so_far, step);
        let deadline = begun + if unverified.is_some() { allowed.min(UNVERIFIED_TIME_MAX) } else { allowed };
        let frame = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await;
        let slow = |_| Error::new(&faults::REQUEST_TIMEOUT, "The request did not come in time.");
        let Some(frame) = frame.map_err(slow)? else { break };
        let broken = |error: hyper::Error| Error::new(&faults::SERIALIZATION, format!("The body broke off: {error}"));
        // Trailers mean nothing here.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if so_far + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        if let Some(unverified) = unverified {
            let counted = (so_far + data.len()).saturating_sub(STEP_BYTES.max(so_far));
            let counted = unverified.try_acquire_many(u32::try_from(counted).unwrap_or(u32::MAX));
            let counted = counted.map_err(|_| Error::new(&faults::REQUEST_THROTTLED, TOO_MUCH_UNVERIFIED))?;
            held = match held {
                None => Some(counted),
                Some(mut held) => {
                    held.merge(counted);
                    Some(held)
                }
            };
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
