//! The seam between the program, which accepts connections, and the protocols, which serve them.
//!
//! The program knows sockets, TLS and signals; a protocol knows its bytes. A protocol that carries others (WebSocket) is
//! handed them as `Arc<dyn Protocol>` and builds their [`Connection`] itself.

mod credentials;
mod input;
mod io;
mod output;

use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use self::credentials::Credentials;
pub use self::input::poll_read;
pub use self::io::{Io, poll_io};
pub use self::output::{Output, SHARED_BODY_BYTES_MIN};

/// The longest time that a client may take before it has authenticated, in seconds: the TLS handshake and the protocol's own
/// login, each. The configuration may shorten or lengthen it (`limits.handshake_timeout_s`).
pub const HANDSHAKE_TIMEOUT_S: u64 = 10;

/// A byte stream to a client: TCP, TLS or WebSocket. The one who serves it makes large reads and writes; nothing below it
/// gathers small ones.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A client that has connected, TLS handshake included, and said nothing yet.
pub struct Connection {
    /// Its bytes.
    pub stream: Box<dyn Stream>,
    /// Where it comes from. An address of IPv4 is one here, also where it reached a listener of IPv6.
    pub peer: SocketAddr,
    /// Where it reached us.
    pub local: SocketAddr,
    /// What TLS found out, where there is TLS.
    pub tls: Option<TlsInfo>,
    /// The login that came before the protocol's first byte, such as that of an HTTP request: for a client that names nobody.
    pub credentials: Option<Credentials>,
    /// Whether somebody else may be behind the peer: a web page, or a client of a proxy that says so. Then the peer's address
    /// does not tell where the client is ([`Connection::is_from_this_machine`]).
    pub relayed: bool,
    /// Says when to take leave of the client.
    pub shutdown: Shutdown,
}

impl Connection {
    /// Whether the client may do what only clients on this machine may, such as being `guest`.
    pub fn is_from_this_machine(&self) -> bool {
        self.peer.ip().is_loopback() && !self.relayed
    }
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version, written as RabbitMQ does: `tlsv1.2`, `tlsv1.3`.
    pub protocol: &'static str,
    /// The cipher suite by its IANA name, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The client's certificate; there is one only where its chain was verified.
    pub certificate: Option<PeerCertificate>,
}

/// Who a verified client certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The distinguished name as RabbitMQ prints it: RFC 4514, last part first, such as `CN=client,O=Example`.
    pub subject: String,
    /// The (first) common name of the subject.
    pub common_name: Option<String>,
    /// The first subject alternative name: a DNS name, mail address, URI or IP address as text.
    pub alternative_name: Option<String>,
    /// The user name that the certificate stands for in SASL EXTERNAL: whichever of the above `tls.login_from` chooses.
    /// `None`, where the certificate does not have it: then EXTERNAL is refused.
    pub login: Option<String>,
}

/// Speaks with clients.
#[async_trait]
pub trait Protocol: Send + Sync {
    /// What it is called in logs and metrics, such as `amqp091`.
    fn name(&self) -> &'static str;

    /// Serves one client until it has gone, and keeps its errors to itself: whatever the client does, this returns.
    ///
    /// Once [`Connection::shutdown`] is requested it says so to the client in its own way, flushes and returns. The program
    /// waits a few seconds for that, then drops the future wherever it is.
    async fn serve(&self, connection: Connection);
}

/// Tells everyone who has a clone that the program is stopping. Cheap to clone and to wait for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// The other end of [`Shutdown`]. Dropping it without a request counts as one.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

impl ShutdownTrigger {
    /// A trigger, and the first handle to it.
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self { requested: sender }, Shutdown { requested: receiver })
    }

    /// Requests the shutdown. Again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }
}

impl Shutdown {
    /// Resolves once a shutdown is requested, at once where it has been. Safe to drop and to call again.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, and with it the program.
        let _ = self.requested.wait_for(|requested| *requested).await;
    }

    /// Whether a shutdown has been requested.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_of_a_shutdown_once_it_is_requested() {
        let (trigger, shutdown) = ShutdownTrigger::new();
        let mut early = shutdown.clone();
        let waiting = tokio::spawn(async move { early.requested().await });
        assert!(!shutdown.is_requested());
        trigger.request();
        waiting.await.unwrap();
        let mut late = shutdown.clone();
        late.requested().await;
        late.requested().await;
        assert!(shutdown.is_requested());
    }

    #[tokio::test]
    async fn a_lost_trigger_counts_as_a_request() {
        let (trigger, mut shutdown) = ShutdownTrigger::new();
        drop(trigger);
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
