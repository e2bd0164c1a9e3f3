//! AWS: Amazon SQS and Amazon SNS, at one endpoint as `AWS_ENDPOINT_URL` expects it.
//!
//! | room | |
//! | --- | --- |
//! | `connection`, `stream`, `parked` | a connection over its life: quiet, in hyper's hands, waiting for a long poll |
//! | `auth`, [`sigv4`], `cors` | who a request comes from |
//! | `http`, `body` | a request -> an action and its caller, and a reply -> a response |
//! | `action` | what an action is, and how one is found by its name |
//! | [`call`] | what an action knows of its caller |
//! | [`wire`] | both formats of requests and replies: AWS JSON 1.0, Query with XML; pure |
//! | [`service`] | the services, and which of them a request is for |
//! | [`sqs`] | Amazon SQS: one file an action |
//! | [`sns`] | Amazon SNS: one file an action |
//! | `waits` | what a request waits for before it is answered |
//! | `message` | what messages of services have in common |
//! | `outbound` | requests that this program makes |
//! | [`iam`] | policies of queues and topics; pure |
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
mod message;
pub mod outbound;
mod parked;
pub mod request_id;
pub mod service;
mod settings;
pub mod sigv4;
pub mod sns;
pub mod sqs;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod waits;
pub mod wire;

use std::sync::Arc;

use gantry_broker::Broker;
use gantry_broker::protocol::{Connection, Protocol};
use gantry_broker::vhost::Pending;

pub use self::service::Service;
pub use self::settings::{Auth, Settings};
pub use self::sns::{DeliveryCount, NOTICE_SOURCE as SNS_NOTICE_SOURCE, SOURCE as SNS_SOURCE, Settings as SnsSettings};
pub use self::sqs::{Limits, SOURCE as SQS_SOURCE};
pub use self::stats::{DeliveryStats, Stats};

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
    /// What SNS knows beside its topics.
    pub sns: sns::Sns,
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
    ) -> Result<(Self, Vec<Pending>), gantry_broker::Error> {
        let region = Arc::from(&*settings.region);
        let (sqs, of_sqs) = sqs::Sqs::open(&broker, settings.sqs)?;
        let (sns, mut pending) = sns::Sns::open(&broker, settings.sns.clone())?;
        pending.push(of_sqs);
        let keys = sigv4::SigningKeys::default();
        let unverified = tokio::sync::Semaphore::new(UNVERIFIED_BYTES_MAX);
        Ok((Self { edge: Arc::new(Edge { broker, settings, region, stats, sqs, sns, keys, unverified }) }, pending))
    }
}

impl Aws {
    /// Takes up what goes on without clients: messages of topics that are to be delivered. What to wait for before anybody is
    /// served. It goes on for as long as this is there, and needs a runtime.
    pub fn start(&self) -> Vec<Pending> {
        sns::direct::resume(&self.edge);
        sns::reconcile::start(&self.edge)
    }

    /// Begins no further deliveries to endpoints: the program stops. Those that are under way come to their end as far as they
    /// get, and what was not delivered is at the next start.
    pub fn stop(&self) {
        self.edge.sns.stop();
    }

    /// What became of the deliveries of each subscription, in the order of their topics.
    pub fn delivery_counts(&self) -> Vec<DeliveryCount> {
        self.edge.sns.delivery_counts()
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
