//! Certificates that a test makes for itself.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};

/// A folder with an authority, the broker's certificate for localhost, and two certificates for the user guest: one by
/// that authority, and one by another that nobody trusts.
pub struct Certificates(tempfile::TempDir);

impl Certificates {
    /// Makes them.
    ///
    /// # Panics
    /// When they cannot be made or written.
    #[must_use]
    pub fn make() -> Self {
        let folder = Self(tempfile::tempdir().expect("folder"));
        let trusted = authority("the test's authority");
        let stranger = authority("somebody else");
        folder.write("ca.pem", &trusted.pem());
        folder.issue("server", &trusted, "localhost", ExtendedKeyUsagePurpose::ServerAuth);
        folder.issue("guest", &trusted, "guest", ExtendedKeyUsagePurpose::ClientAuth);
        folder.issue("nobody", &trusted, "nobody", ExtendedKeyUsagePurpose::ClientAuth);
        folder.issue("forged", &stranger, "guest", ExtendedKeyUsagePurpose::ClientAuth);
        folder
    }

    fn issue(
        &self,
        file: &str,
        issuer: &CertifiedIssuer<'static, KeyPair>,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
    ) {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, issuer).expect("certificate");
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("written");
    }

    /// One of its files: `ca.pem`, `server.pem`, `server.key` and so on.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("authority")
}
