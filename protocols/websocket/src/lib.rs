//! WebSocket (RFC 6455) as a transport that any protocol can ride: a [`Protocol`] that is handed others.
//!
//! - `request`, `upgrade`, `origins`, `extension`: from the bytes of an HTTP request to an answer
//! - `codec`: frames
//! - `stream`: the connection seen as bytes
//! - `connection`: one client, from its request to the close

#![forbid(unsafe_code)]

mod codec;
mod connection;
mod extension;
mod limits;
mod origins;
mod request;
mod stats;
mod stream;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gantry_broker::protocol::{Connection, Protocol};

pub use self::origins::{NotAnOrigin, Origins};
pub use self::stats::Stats;
pub use self::stream::Messages;

/// A protocol that clients choose by the name of its subprotocol.
#[derive(Clone)]
pub struct Subprotocol {
    /// As the client writes it in `Sec-WebSocket-Protocol`; in capitals or not.
    pub name: &'static str,
    /// The byte that all its clients begin with, where that tells them from those of the others: for a client that names no
    /// subprotocol.
    pub first_byte: Option<u8>,
    /// What its messages are.
    pub messages: Messages,
    /// Who speaks it.
    pub protocol: Arc<dyn Protocol>,
}

/// Whether messages may be compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are not, and a client that offers it goes on without.
    #[default]
    None,
    /// By RFC 7692, where the client offers it; each message for itself.
    PermessageDeflate,
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is, such as `/ws`; other paths are not found.
    pub paths: Vec<String>,
    /// Which web pages may connect.
    pub origins: Origins,
    /// Whether messages may be compressed.
    pub compression: Compression,
    /// Time for the request. The protocol within has its own for the login.
    pub handshake_timeout: Duration,
    /// Longest body of a message of the protocols within, in bytes. A WebSocket message may be a little longer, before and after
    /// it is inflated.
    pub message_bytes_max: u64,
}

/// Other protocols over WebSocket.
pub struct WebSocket {
    name: &'static str,
    settings: Settings,
    subprotocols: Vec<Subprotocol>,
    names: Vec<&'static str>,
    default: Option<usize>,
    stats: Arc<Stats>,
}

impl WebSocket {
    /// A transport of this name for these protocols. A client that names none has the one that begins with its first byte, or
    /// the one called `default`. Where neither can be, it is refused.
    pub fn new(
        name: &'static str,
        settings: Settings,
        subprotocols: Vec<Subprotocol>,
        default: Option<&str>,
        stats: Arc<Stats>,
    ) -> Self {
        let names: Vec<_> = subprotocols.iter().map(|subprotocol| subprotocol.name).collect();
        let default = default.and_then(|default| names.iter().position(|name| *name == default));
        Self { name, settings, subprotocols, names, default, stats }
    }

    /// Whether the first byte of a client that names nothing is of interest.
    fn looks_at_first_byte(&self) -> bool {
        self.subprotocols.iter().any(|subprotocol| subprotocol.first_byte.is_some())
    }

    /// What a client speaks that has named nothing and begins with this byte.
    fn by_first_byte(&self, first: u8) -> Option<usize> {
        self.subprotocols.iter().position(|subprotocol| subprotocol.first_byte == Some(first)).or(self.default)
    }
}

#[async_trait]
impl Protocol for WebSocket {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn serve(&self, connection: Connection) {
        connection::serve(self, connection).await;
    }
}
