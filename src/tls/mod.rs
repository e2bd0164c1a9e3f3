//! TLS: certificates from files, the handshake, and what it tells of the client.
//!
//! rustls bounds what a peer may send before and between handshakes (its `TooManyKeyUpdateRequests` among others).

mod certificate;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gantry_broker::protocol::TlsInfo;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConnection, WebPkiClientVerifier};
use rustls::{ProtocolVersion, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{LoginFrom, TlsConfig};

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read or does not hold what it should.
    #[error("{}: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file holds none of what it should.
    #[error("{}: holds no certificate in PEM form", .0.display())]
    NoCertificate(PathBuf),
    /// Certificate and key do not fit, or rustls cannot use them.
    #[error("{}: {source}", .file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The authorities for clients cannot be used.
    #[error("{}: {reason}", .file.display())]
    ClientCa {
        /// The file.
        file: PathBuf,
        /// What is wrong with them.
        reason: String,
    },
}

/// What is needed to speak TLS with a client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    login_from: LoginFrom,
    handshake_timeout: Duration,
}

impl Tls {
    /// Reads the files that the configuration names; `None` where it names no certificate.
    pub(crate) fn load(config: &TlsConfig, handshake_timeout: Duration) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let unusable = |source| TlsError::Unusable { file: certificate.clone(), source };
        let chain = certificates(certificate)?;
        let private_key =
            PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::File { file: key.clone(), source })?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &config.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let refused = |reason: String| TlsError::ClientCa { file: file.clone(), reason };
                let mut roots = RootCertStore::empty();
                for authority in certificates(file)? {
                    roots.add(authority).map_err(|error| refused(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if config.client_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| refused(error.to_string()))?)
            }
        };
        let server = builder.with_single_cert(chain, private_key).map_err(unusable)?;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        Ok(Some(Self { acceptor, login_from: config.login_from, handshake_timeout }))
    }

    /// How long [`Tls::accept`] should be given.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    /// Does the handshake.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, TlsInfo)> {
        let stream = self.acceptor.accept(stream).await?;
        let info = info(stream.get_ref().1, self.login_from)?;
        Ok((stream, info))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::File { file: file.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.to_owned())) } else { Ok(found) }
}

fn info(connection: &ServerConnection, login_from: LoginFrom) -> io::Result<TlsInfo> {
    let protocol = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "tlsv1.2",
        Some(ProtocolVersion::TLSv1_3) => "tlsv1.3",
        other => return Err(io::Error::other(format!("TLS version {other:?}"))),
    };
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let certificate = match connection.peer_certificates().and_then(<[_]>::first) {
        None => None,
        Some(der) => Some(certificate::read(der, login_from).map_err(io::Error::other)?),
    };
    // rustls names suites of TLS 1.3 after its own enum; IANA has no number in the prefix.
    let cipher = cipher.unwrap_or_default().replacen("TLS13_", "TLS_", 1);
    Ok(TlsInfo { protocol, cipher, certificate })
}
