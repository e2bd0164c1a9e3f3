//! What the end-to-end tests share: a broker to talk to, stock client programs to run against it, and a way to send
//! it frames that no client would send.
//!
//! | module | |
//! | --- | --- |
//! | [`aws`] | SQS and SNS in AWS's JSON protocol by hand over one socket |
//! | [`broker`] | starts the broker on free ports and a folder of its own, kills it, starts it again |
//! | [`bystander`] | does honest work while a test misbehaves |
//! | [`certificates`] | an authority and certificates of the test's own |
//! | [`client`] | runs a program of `clients/` against a broker and fails with its output |
//! | [`ledger`] | knows what was published, confirmed and acknowledged, and judges what is left after a crash |
//! | [`load`] | publishers and readers of numbered messages, for the crash tests |
//! | [`mqtt`] | MQTT by hand over one socket |
//! | [`stomp`] | STOMP by hand over one socket |
//! | [`webhook`] | a server to which the broker posts |
//! | [`wire`] | AMQP 0-9-1 by hand over one socket: frames, methods, content |
//!
//! The tests run against the release binary of this workspace, or the one that `GANTRY_BIN` names. With
//! `GANTRY_E2E_URL=amqp://guest:guest@127.0.0.1:5672/%2F` they run against a broker that is already there (RabbitMQ,
//! to see what it does); tests that restart the broker then need `GANTRY_E2E_RESTART`, a command which is called with
//! `kill` or `stop` and returns once the broker is back, and one test at a time (`--test-threads=1`). The tests of MQTT take
//! `GANTRY_E2E_URL=mqtt://guest:guest@127.0.0.1:1883` (Mosquitto), those of STOMP `stomp://guest:guest@127.0.0.1:61613` (RabbitMQ), those
//! of SQS and SNS `http://127.0.0.1:4566` (LocalStack).

pub mod aws;
pub mod broker;
pub mod bystander;
pub mod certificates;
pub mod client;
pub mod ledger;
pub mod load;
pub mod mqtt;
pub mod stomp;
pub mod webhook;
pub mod wire;

use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until the condition holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A name that no other test and no earlier run has used.
pub fn unique(prefix: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    format!("{prefix}-{nanos:x}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
