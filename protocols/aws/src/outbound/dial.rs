//! New connections: a name is resolved once, its addresses are checked, and what was checked is dialled.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::ask::{Refusal, Speech};
use super::guard::Guard;
use super::line::Line;
use super::names::Names;
use super::pool::Place;

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Time for one of several addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections.
#[derive(Debug)]
pub(crate) struct Dialler {
    ca_file: Option<PathBuf>,
    names: Names,
    /// Read when TLS is spoken for the first time; what failed is tried again.
    trust: OnceCell<Trust>,
}

/// One for each that ALPN may offer.
struct Trust {
    http1: TlsConnector,
    http2: TlsConnector,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trust")
    }
}

impl Dialler {
    pub(crate) fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, names: Names::default(), trust: OnceCell::new() }
    }

    /// Makes a connection to one of the addresses of the host that may be reached.
    ///
    /// # Errors
    /// There is none, none may be reached, none answers, or the one that does is not trusted.
    pub(crate) async fn dial(&self, guard: &Guard, place: &Place) -> Result<Line, Refusal> {
        let stream = connect(&self.names, guard, place).await?;
        if !place.address.is_tls {
            return Line::begin(stream, place.speech).await;
        }
        let trust = self.trust().await?;
        let connector = match place.speech {
            Speech::Http1 => &trust.http1,
            Speech::Http2 => &trust.http2,
        };
        let name = match place.address.ip {
            Some(ip) => ServerName::from(ip),
            None => ServerName::try_from(place.address.host.to_string())
                .map_err(|_| Refusal::Url("its host is none that a certificate could name"))?,
        };
        let stream = connector.connect(name, stream).await.map_err(Refusal::Tls)?;
        if place.speech == Speech::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2".as_slice()) {
            return Err(Refusal::Tls(io::Error::other("the other side does not speak HTTP/2")));
        }
        Line::begin(stream, place.speech).await
    }

    async fn trust(&self) -> Result<&Trust, Refusal> {
        self.trust
            .get_or_try_init(|| async {
                let ca_file = self.ca_file.clone();
                match tokio::task::spawn_blocking(move || trust(ca_file)).await {
                    Ok(trust) => trust,
                    Err(error) => Err(Refusal::Roots(error.to_string())),
                }
            })
            .await
    }
}

async fn connect(names: &Names, guard: &Guard, place: &Place) -> Result<TcpStream, Refusal> {
    let Address { host, ip, port, .. } = &place.address;
    let found: Vec<IpAddr> = match ip {
        Some(ip) => vec![*ip],
        None => {
            let found = names.addresses(host).await.ok_or_else(|| Refusal::Unknown(host.to_string()))?;
            found.to_vec()
        }
    };
    let mut refusal = Refusal::Unknown(host.to_string());
    let mut tried = 0;
    for ip in found {
        if let Err(forbidden) = guard.check_address(host, ip, place.reach) {
            // That one could not be reached tells more.
            if tried == 0 {
                refusal = forbidden;
            }
            continue;
        }
        if tried == ADDRESSES_MAX {
            break;
        }
        tried += 1;
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(SocketAddr::new(ip, *port))).await {
            Ok(Ok(stream)) => {
                // Requests are written whole.
                stream.set_nodelay(true).map_err(Refusal::Connect)?;
                return Ok(stream);
            }
            Ok(Err(error)) => refusal = Refusal::Connect(error),
            Err(_) => refusal = Refusal::Connect(io::ErrorKind::TimedOut.into()),
        }
    }
    Err(refusal)
}

/// What is trusted: the certificates of the operating system and those of the file. Blocks.
fn trust(ca_file: Option<PathBuf>) -> Result<Trust, Refusal> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("certificates of the operating system: {error}");
    }
    roots.add_parsable_certificates(found.certs);
    if let Some(path) = ca_file {
        let failed = |error: &dyn std::fmt::Display| Refusal::Roots(format!("{}: {error}", path.display()));
        let mut count = 0;
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
            count += 1;
        }
        if count == 0 {
            return Err(failed(&"there is no certificate in it"));
        }
    }
    let roots = Arc::new(roots);
    let connector = |protocol: &[u8]| -> Result<TlsConnector, Refusal> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Refusal::Roots(error.to_string()))?;
        let mut config = builder.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    };
    Ok(Trust { http1: connector(b"http/1.1")?, http2: connector(b"h2")? })
}
