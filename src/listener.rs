//! Listeners: from an address in the configuration to connections that a protocol serves.
//!
//! An address is bound first, which finds clashes before anything else is done, and listened at later: until the broker has
//! recovered, a client is refused at once and does not wait in a backlog.

mod proxy;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::protocol::{Connection, Protocol, Shutdown, Stream, TlsInfo};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::config::ListenerConfig;
use crate::connections::{Connections, Place};
use crate::tls::Tls;

/// Connections that may wait to be accepted. The kernel bounds it by `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// How long an accept loop pauses where the system has no file or memory for another connection: it would be told so again
/// at once.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// The same trouble is logged at most once in this time: a peer can cause it as often as it likes.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

/// A listener that has an address and does not listen yet.
pub(crate) struct Bound {
    config: ListenerConfig,
    socket: TcpSocket,
}

/// A listener at which connections arrive.
pub(crate) struct Listener {
    name: &'static str,
    address: SocketAddr,
    listener: TcpListener,
}

/// Where a connection comes from, where it went to, and whether `peer` says nothing of where the client is.
struct Ends {
    peer: SocketAddr,
    local: SocketAddr,
    relayed: bool,
}

/// What becomes of the connections of a listener.
#[derive(Clone)]
pub(crate) struct Service {
    /// Who serves them.
    pub(crate) protocol: Arc<dyn Protocol>,
    /// Where they speak TLS.
    pub(crate) tls: Option<Tls>,
    /// Where a proxy says whose they are: how long it may take to.
    pub(crate) proxy_timeout: Option<Duration>,
    /// Room for them.
    pub(crate) connections: Connections,
    /// When to stop accepting, and to take leave of clients.
    pub(crate) shutdown: Shutdown,
    /// When to drop those that have not gone.
    pub(crate) cut: Shutdown,
}

impl Bound {
    /// Takes the address of a listener that is on.
    pub(crate) fn new(config: &ListenerConfig, address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart need not wait for the last connections of the process before to be forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { config: config.clone(), socket })
    }

    /// The listener as it was configured.
    pub(crate) fn config(&self) -> &ListenerConfig {
        &self.config
    }

    /// Lets connections arrive, and tells so in the log: others read this line.
    pub(crate) fn listen(self) -> io::Result<Listener> {
        let listener = self.socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        tracing::info!("listening {} {address}", self.config.name);
        Ok(Listener { name: self.config.name, address, listener })
    }
}

impl Listener {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The address, with the port that it has got.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the shutdown.
    pub(crate) async fn serve(self, service: Service) {
        let mut shutdown = service.shutdown.clone();
        let mut complaints = Complaints::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match service.connections.enter() {
                    Some(place) => service.clone().take(self.name, stream, peer, place),
                    None => complaints.tell(|n| {
                        let max = service.connections.max();
                        tracing::warn!("{}: refused {n} connections: there are {max}, the most allowed", self.name);
                    }),
                },
                Err(error) => {
                    complaints.tell(|n| tracing::warn!("{}: cannot accept ({n} times): {error}", self.name));
                    if is_exhausted(&error) {
                        tokio::select! {
                            () = shutdown.requested() => return,
                            () = sleep(EXHAUSTED_PAUSE) => {}
                        }
                    }
                }
            }
        }
    }
}

impl Service {
    fn take(self, listener: &'static str, stream: TcpStream, peer: SocketAddr, place: Place) {
        tokio::spawn(async move {
            let _place = place;
            let mut cut = self.cut.clone();
            tokio::select! {
                biased;
                () = cut.requested() => tracing::debug!("{listener}: {peer} did not go in time"),
                () = self.serve(listener, stream, canonical(peer)) => {}
            }
        });
    }

    async fn serve(&self, listener: &'static str, stream: TcpStream, peer: SocketAddr) {
        // Of its own allocation, which goes when it is done: a handshake of TLS is much larger than what follows.
        let Some(connection) = Box::pin(self.open(listener, stream, peer)).await else { return };
        self.protocol.serve(connection).await;
        tracing::debug!("{listener}: {peer} has gone");
    }

    /// Gets a connection as far as its protocol; none where it does not get there.
    async fn open(&self, listener: &'static str, mut stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let mut shutdown = self.shutdown.clone();
        let opened = async {
            // Protocols gather what they write; nothing is gained by waiting for more.
            stream.set_nodelay(true)?;
            let ends = Ends { peer, local: canonical(stream.local_addr()?), relayed: false };
            let ends = self.hear_proxy(&mut stream, ends).await?;
            let (stream, tls) = self.handshake(stream).await?;
            io::Result::Ok((stream, ends, tls))
        };
        let opened = tokio::select! {
            biased;
            () = shutdown.requested() => return None,
            opened = opened => opened,
        };
        match opened {
            Ok((stream, Ends { peer, local, relayed }, tls)) => {
                tracing::debug!("{listener}: {peer} has connected");
                Some(Connection { stream, peer, local, tls, credentials: None, relayed, shutdown })
            }
            Err(error) => {
                tracing::debug!("{listener}: {peer} did not get as far as {}: {error}", self.protocol.name());
                None
            }
        }
    }

    /// Has a proxy say where the connection comes from and went to, where the listener is behind one.
    async fn hear_proxy(&self, stream: &mut TcpStream, ends: Ends) -> io::Result<Ends> {
        let Some(limit) = self.proxy_timeout else { return Ok(ends) };
        let told = timeout(limit, proxy::read(stream)).await.map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, "the proxy did not say in time whose connection it is")
        })??;
        Ok(match told {
            // A proxy cannot make somebody elsewhere a client of this machine.
            Some((peer, local)) => {
                Ends { peer: canonical(peer), local: canonical(local), relayed: !ends.peer.ip().is_loopback() }
            }
            // The proxy is known, and who is behind it is not.
            None => Ends { relayed: true, ..ends },
        })
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<(Box<dyn Stream>, Option<TlsInfo>)> {
        let Some(tls) = &self.tls else { return Ok((Box::new(stream), None)) };
        let (stream, info) = timeout(tls.handshake_timeout(), tls.accept(stream)).await.map_err(|_elapsed| {
            io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake was not finished in time")
        })??;
        Ok((Box::new(stream), Some(info)))
    }
}

/// Whether it is the system that has run out of something, and not the one connection that is at fault.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}

/// An address of IPv4 as such, also where it came through a listener of IPv6: whether it is loopback must not depend on that.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

/// Keeps a trouble that comes often from filling the log.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    since_last: u64,
}

impl Complaints {
    /// Counts, and now and then lets `tell` say how often it happened.
    fn tell(&mut self, tell: impl FnOnce(u64)) {
        self.since_last += 1;
        if self.last.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            tell(std::mem::take(&mut self.since_last));
            self.last = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
