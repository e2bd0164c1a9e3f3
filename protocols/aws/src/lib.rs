//! AWS: Amazon SQS, at one endpoint as `AWS_ENDPOINT_URL` expects it.
//!
//! | room | |
//! | --- | --- |
//! | `connection`, `stream`, `parked` | a connection over its life: quiet, in hyper's hands, waiting for a long poll |
//! | `auth`, [`sigv4`], `cors` | who a request comes from |
//! | `http`, `body` | a request -> an action and its caller, and a reply -> a response |
//! | `action` | what an action is, and how one is found by its name |
//! | [`call`] | what an action knows of its caller |
//! | [`wire`] | both formats of requests and replies: AWS JSON 1.0, Query with XML; pure |
//! | [`sqs`] | Amazon SQS: one file an action |
//! | [`iam`] | policies of queues; pure |
//! | [`arn`], [`account`] | names, and the virtual hosts behind accounts |
//! | [`error`] | errors and their codes |

pub mod account;
pub mod action;
pub mod arn;
mod auth;
mod body;
pub mod call;
mod connection;
mod cors;
pub mod date;
pub mod error;
mod http;
pub mod iam;
mod parked;
pub mod request_id;
mod settings;
pub mod sigv4;
pub mod sqs;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
pub mod wire;

use std::sync::Arc;

use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Protocol};
use gantry_broker::vhost::Pending;

pub use self::settings::{Auth, Settings};
pub use self::sqs::{Limits, SOURCE as SQS_SOURCE};
pub use self::stats::Stats;

/// Bytes of bodies, beyond the first 64 KiB of each, that may be there at once while it is not known yet whose they are.
const UNVERIFIED_BYTES_MAX: usize = 64 << 20;

/// The protocol, serving the clients of one broker.
pub struct Aws {
    edge: Arc<Edge>,
}

/// What all connections share.
pub struct Edge {
    /// The broker.
    pub broker: Arc<Broker>,
    /// How AWS is spoken.
    pub settings: Settings,
    /// The configured region.
    pub region: Arc<str>,
    /// Where all connections count.
    pub stats: Arc<Stats>,
    /// What SQS knows beside its queues.
    pub sqs: sqs::Sqs,
    keys: sigv4::SigningKeys,
    /// Bytes of bodies that may be there before it is known whose they are.
    unverified: tokio::sync::Semaphore,
}

impl Aws {
    /// Serves `broker` as `settings` say, and counts in `stats`. Blocks on the disk. At the first start there is something to
    /// wait for before anybody is served: the key that receipt handles are sealed with.
    ///
    /// # Errors
    /// What is kept in the broker's table cannot be read or is damaged, or the operating system has no randomness.
    pub fn new(
        broker: Arc<Broker>,
        settings: Settings,
        stats: Arc<Stats>,
    ) -> Result<(Self, Pending), gantry_broker::Error> {
        let region = Arc::from(&*settings.region);
        let (sqs, pending) = sqs::Sqs::open(&broker, settings.sqs)?;
        let keys = sigv4::SigningKeys::default();
        let unverified = tokio::sync::Semaphore::new(UNVERIFIED_BYTES_MAX);
        Ok((Self { edge: Arc::new(Edge { broker, settings, region, stats, sqs, keys, unverified }) }, pending))
    }
}

impl Protocol for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    // As `async_trait` writes it, but for what the future holds on to: the connection itself is not in it.
    fn serve<'life0, 'async_trait>(&'life0 self, connection: Connection) -> action::Boxed<'async_trait, ()>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(connection::Served::new(Arc::clone(&self.edge), connection).run())
    }
}
