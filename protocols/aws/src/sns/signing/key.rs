//! The key, its certificate, and what is done with them. Takes its time: nothing of this on a thread that serves clients.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_broker::message::now_ms;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{PATH_BEGIN, PATH_END, Unsigned};

/// Bits of the key, as AWS has them.
const KEY_BITS: usize = 2048;

/// Years that the certificate is good for. It is trusted for where it comes from, and a message may be looked at much later.
const YEARS: i32 = 30;

/// What stands before a sum of SHA-1 and of SHA-256 in a signature (RFC 8017, 9.2): which sum it is.
const SHA1_PREFIX: [u8; 15] =
    [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
const SHA256_PREFIX: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// Signs what it is given.
pub(super) struct Signer {
    key: RsaPrivateKey,
    /// As PEM.
    pub(super) certificate: Bytes,
    /// Of the certificate's URL.
    pub(super) path: Arc<str>,
}

/// What is kept: PKCS#8, and the certificate, each as base64 of DER.
#[derive(Serialize, Deserialize)]
struct Row {
    key: String,
    certificate: String,
}

impl Signer {
    /// Makes a key and a certificate for it, and what is to be kept of them.
    pub(super) fn make() -> Result<(Self, Vec<u8>), Unsigned> {
        fn failed(error: impl std::fmt::Display) -> Unsigned {
            Unsigned::Key(error.to_string())
        }
        let key = RsaPrivateKey::new(&mut OsRng, KEY_BITS).map_err(failed)?;
        let written = key.to_pkcs8_der().map_err(failed)?;
        let certificate = certificate(written.as_bytes()).map_err(failed)?;
        let row = Row { key: STANDARD.encode(written.as_bytes()), certificate: STANDARD.encode(&certificate) };
        let kept = serde_json::to_vec(&row).map_err(failed)?;
        Ok((Self::new(key, &certificate), kept))
    }

    /// Reads what was kept.
    pub(super) fn read(kept: &[u8]) -> Option<Self> {
        let row: Row = serde_json::from_slice(kept).ok()?;
        let key = RsaPrivateKey::from_pkcs8_der(&STANDARD.decode(row.key).ok()?).ok()?;
        Some(Self::new(key, &STANDARD.decode(row.certificate).ok()?))
    }

    fn new(key: RsaPrivateKey, certificate: &[u8]) -> Self {
        let name: String = Sha256::digest(certificate)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key, certificate: pem(certificate).into(), path: format!("{PATH_BEGIN}{name}{PATH_END}").into() }
    }

    /// The signature of a text, as base64.
    pub(super) fn sign(&self, version: u8, text: &[u8]) -> Result<Arc<str>, Unsigned> {
        let (prefix, sum): (&[u8], &[u8]) = match version {
            1 => (&SHA1_PREFIX, &Sha1::digest(text)),
            2 => (&SHA256_PREFIX, &Sha256::digest(text)),
            _ => return Err(Unsigned::Version(version)),
        };
        let scheme = Pkcs1v15Sign { hash_len: Some(sum.len()), prefix: prefix.into() };
        let signature = self.key.sign_with_rng(&mut OsRng, scheme, sum);
        Ok(STANDARD.encode(signature.map_err(|error| Unsigned::Failed(error.to_string()))?).into())
    }
}

/// A certificate that the key itself has signed, as DER.
fn certificate(key: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_RSA_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "sns.amazonaws.com");
    let year = 1970 + (now_ms() / (365 * 24 * 60 * 60 * 1000)) as i32;
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
    Ok(params.self_signed(&pair)?.der().to_vec())
}

fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
