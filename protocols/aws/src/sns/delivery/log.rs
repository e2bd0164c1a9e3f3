//! Lines about deliveries in the log, with the members that AWS's logs of them have.
//!
//! What a topic asks for by its feedback attributes is told at level `info`, a message that is given up is always told, and the
//! rest at level `debug`.

use std::time::Duration;

use super::attempt::End;
use super::parcel::{Outcome, Parcel};

/// Bytes of what an endpoint said that are told.
const SAID_BYTES_MAX: usize = 256;

/// What a topic asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Of a hundred deliveries so many are told.
    pub(crate) success_percent: u8,
    /// Failures are told.
    pub(crate) failure: bool,
}

/// Tells of a delivery.
pub(super) fn tell(parcel: &Parcel, outcome: &Outcome, end: End, dwell: Duration) {
    let errand = &parcel.errand;
    let (topic, destination) = (errand.topic_arn.as_deref().unwrap_or_default(), errand.shown());
    let (subscription, attempts, dwell_ms) = (&*errand.id, parcel.attempts.saturating_add(1), dwell.as_millis() as u64);
    let sort = parcel.sort.name();
    match outcome {
        Outcome::Delivered(told) => {
            let said = &told.said[..told.said.len().min(SAID_BYTES_MAX)];
            let (status, response) = (told.status, line(&String::from_utf8_lossy(said)));
            let is_told = parcel.seq % 100 < u64::from(errand.feedback.success_percent);
            if is_told {
                tracing::info!(target: "gantry::sns", topic, subscription, destination, sort, attempts, dwell_ms, status, %response, "SUCCESS");
            } else {
                tracing::debug!(target: "gantry::sns", topic, subscription, destination, sort, attempts, dwell_ms, status, %response, "SUCCESS");
            }
        }
        Outcome::Retry(failure) | Outcome::Rejected(failure) => {
            let (status, code, reason) = (failure.status, &*failure.code, line(&failure.reason));
            match end {
                End::DeadLettered | End::Dropped => {
                    tracing::warn!(target: "gantry::sns", topic, subscription, destination, sort, attempts, dwell_ms, status, code, %reason, ?end, "FAILURE");
                }
                End::Retried | End::Delivered if errand.feedback.failure => {
                    tracing::info!(target: "gantry::sns", topic, subscription, destination, sort, attempts, dwell_ms, status, code, %reason, ?end, "FAILURE");
                }
                End::Retried | End::Delivered => {
                    tracing::debug!(target: "gantry::sns", topic, subscription, destination, sort, attempts, dwell_ms, status, code, %reason, ?end, "FAILURE");
                }
            }
        }
    }
}

/// What somebody else said, on one line: nobody writes lines of its own into the log.
fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_endpoint_says_is_one_line() {
        assert_eq!(line("no\r\n2026-01-01 WARN all is lost\u{1b}[31m"), "no  2026-01-01 WARN all is lost [31m");
    }
}
