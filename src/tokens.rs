//! The keys of tokens, from files.

use std::path::Path;

use gantry_broker::rights::{SECRET_BYTES_MIN, TokenKey, Tokens};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::config::JwtConfig;

/// Which tokens the configuration believes; `None` where it names no key. An error is what is wrong with a file.
pub(crate) fn load(config: &JwtConfig) -> Result<Option<Tokens>, String> {
    let mut keys = Vec::new();
    if let Some(file) = &config.key_file {
        keys.extend(public_keys(file)?);
    }
    if let Some(file) = &config.secret_file {
        keys.push(secret(file)?);
    }
    if keys.is_empty() {
        return Ok(None);
    }
    let algorithms = config.algorithms.clone();
    if let Some(useless) = algorithms.iter().find(|algorithm| !keys.iter().any(|key| key.fits(**algorithm))) {
        return Err(format!("jwt.algorithms: no key is one for {useless:?}"));
    }
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Ok(Some(Tokens {
        keys,
        algorithms,
        issuer: given(&config.issuer),
        audience: given(&config.audience),
        user_claim: config.user_claim.clone(),
    }))
}

fn wrong(file: &Path, reason: impl ToString) -> String {
    format!("{}: {}", file.display(), reason.to_string())
}

/// What is in the file, but for the end of its last line.
fn secret(file: &Path) -> Result<TokenKey, String> {
    let mut secret = std::fs::read(file).map_err(|error| wrong(file, error))?;
    while matches!(secret.last(), Some(b'\n' | b'\r')) {
        secret.pop();
    }
    if secret.len() < SECRET_BYTES_MIN {
        return Err(wrong(file, format!("a secret for tokens has at least {SECRET_BYTES_MIN} bytes")));
    }
    Ok(TokenKey::Secret(secret))
}

fn public_keys(file: &Path) -> Result<Vec<TokenKey>, String> {
    let found = SubjectPublicKeyInfoDer::pem_file_iter(file).map_err(|error| wrong(file, error))?;
    let mut keys = Vec::new();
    for der in found {
        let der = der.map_err(|error| wrong(file, error))?;
        keys.push(public_key(&der).map_err(|reason| wrong(file, reason))?);
    }
    if keys.is_empty() { Err(wrong(file, "holds no public key in PEM form")) } else { Ok(keys) }
}

fn public_key(der: &[u8]) -> Result<TokenKey, String> {
    let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|error| error.to_string())?;
    let key = info.subject_public_key.data.to_vec();
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        return Ok(TokenKey::Rsa(key));
    }
    if *algorithm == OID_SIG_ED25519 {
        return Ok(TokenKey::Ed25519(key));
    }
    let curve = info.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve.filter(|_| *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY) {
        Some(curve) if curve == OID_EC_P256 => Ok(TokenKey::P256(key)),
        Some(curve) if curve == OID_NIST_EC_P384 => Ok(TokenKey::P384(key)),
        _ => Err(format!("a key of type {algorithm} is not supported: RSA, P-256, P-384 and Ed25519 are")),
    }
}

#[cfg(test)]
mod tests;
