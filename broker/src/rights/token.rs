//! JSON web tokens (RFC 7519) in place of passwords: who a token is for, and until when.
//!
//! A token is believed where one of the configured keys has signed it, by an algorithm that is allowed and fits the key.
//! The token's own word on the algorithm only chooses among those; `none` is not one. Keys come from files, never from the
//! token or the network.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{hmac, signature};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Shortest secret, in bytes: as long as the shortest hash (RFC 7518, 3.2).
pub const SECRET_BYTES_MIN: usize = 32;

/// So much may the clock of whoever made a token be ahead, in seconds, where it says since when it is valid.
const AHEAD_S_MAX: f64 = 60.0;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1, with SHA-256.
    Rs256,
    /// RSA, PKCS #1, with SHA-384.
    Rs384,
    /// RSA, PKCS #1, with SHA-512.
    Rs512,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// RSA, PSS, with SHA-384.
    Ps384,
    /// RSA, PSS, with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

const NAMES: [(&str, TokenAlgorithm); 12] = [
    ("HS256", TokenAlgorithm::Hs256),
    ("HS384", TokenAlgorithm::Hs384),
    ("HS512", TokenAlgorithm::Hs512),
    ("RS256", TokenAlgorithm::Rs256),
    ("RS384", TokenAlgorithm::Rs384),
    ("RS512", TokenAlgorithm::Rs512),
    ("PS256", TokenAlgorithm::Ps256),
    ("PS384", TokenAlgorithm::Ps384),
    ("PS512", TokenAlgorithm::Ps512),
    ("ES256", TokenAlgorithm::Es256),
    ("ES384", TokenAlgorithm::Es384),
    ("EdDSA", TokenAlgorithm::EdDsa),
];

impl FromStr for TokenAlgorithm {
    type Err = TokenError;

    fn from_str(name: &str) -> Result<Self, TokenError> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, found)| *found).ok_or(TokenError::Algorithm)
    }
}

impl TokenAlgorithm {
    /// Whether it signs with a secret that the broker shares, and not with a key pair.
    pub fn is_by_secret(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// What signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// Shared with whoever makes tokens.
    Secret(Vec<u8>),
    /// Of RSA: `RSAPublicKey` of PKCS #1, in DER; 2,048 to 8,192 bits.
    Rsa(Vec<u8>),
    /// A point on P-256, uncompressed.
    P256(Vec<u8>),
    /// A point on P-384, uncompressed.
    P384(Vec<u8>),
    /// Of Ed25519.
    Ed25519(Vec<u8>),
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// Whether the algorithm is one of this key: a public key is never taken for a secret.
    pub fn fits(&self, algorithm: TokenAlgorithm) -> bool {
        use TokenAlgorithm as A;
        match self {
            Self::Secret(_) => algorithm.is_by_secret(),
            Self::Rsa(_) => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Self::P256(_) => algorithm == A::Es256,
            Self::P384(_) => algorithm == A::Es384,
            Self::Ed25519(_) => algorithm == A::EdDsa,
        }
    }

    fn verifies(&self, algorithm: TokenAlgorithm, message: &[u8], signed: &[u8]) -> bool {
        use TokenAlgorithm as A;
        if !self.fits(algorithm) {
            return false;
        }
        let by_public_key: &'static dyn signature::VerificationAlgorithm = match algorithm {
            A::Hs256 => return self.verifies_hmac(hmac::HMAC_SHA256, message, signed),
            A::Hs384 => return self.verifies_hmac(hmac::HMAC_SHA384, message, signed),
            A::Hs512 => return self.verifies_hmac(hmac::HMAC_SHA512, message, signed),
            A::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            A::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            A::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            A::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            A::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            A::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            A::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            A::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
            A::EdDsa => &signature::ED25519,
        };
        signature::UnparsedPublicKey::new(by_public_key, self.bytes()).verify(message, signed).is_ok()
    }

    /// Takes the same time wherever they differ.
    fn verifies_hmac(&self, algorithm: hmac::Algorithm, message: &[u8], signed: &[u8]) -> bool {
        hmac::verify(&hmac::Key::new(algorithm, self.bytes()), message, signed).is_ok()
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Secret(bytes) | Self::Rsa(bytes) | Self::P256(bytes) | Self::P384(bytes) | Self::Ed25519(bytes) => {
                bytes
            }
        }
    }
}

/// Why a token is not believed. For the log: a client is told no more than that it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token.
    #[error("malformed token")]
    Malformed,
    /// Its algorithm is not known, or not allowed.
    #[error("algorithm of the token is not allowed")]
    Algorithm,
    /// No key has signed it.
    #[error("signature of the token is not valid")]
    Signature,
    /// It says nothing of its end, or nothing that is a time.
    #[error("token has no expiry")]
    NoExpiry,
    /// It was valid.
    #[error("token has expired")]
    Expired,
    /// It will be valid.
    #[error("token is not valid yet")]
    NotYetValid,
    /// Somebody else made it.
    #[error("token is of another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("token is for another audience")]
    Audience,
    /// It names no user, or another one than the client does.
    #[error("token does not name the user")]
    User,
}

/// Which tokens are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What signatures are checked with; one is enough.
    pub keys: Vec<TokenKey>,
    /// How tokens may be signed.
    pub algorithms: Vec<TokenAlgorithm>,
    /// What `iss` must be, if anything.
    pub issuer: Option<String>,
    /// What `aud` must be or contain. Where it is nothing, a token with an audience is for somebody else.
    pub audience: Option<String>,
    /// The claim that names the user.
    pub user_claim: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The user that it is for.
    pub user: String,
    /// When it ends, in milliseconds since the epoch of Unix.
    pub expires_ms: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that whoever checks the token must understand.
    crit: Option<Value>,
}

impl Tokens {
    /// Whether a password has the form of a token.
    pub fn look_like(password: &[u8]) -> bool {
        // Each begins with a JSON object.
        password.starts_with(b"eyJ") && password.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// Checks a token. `now_ms` is the time, in milliseconds since the epoch of Unix.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(&self, token: &[u8], now_ms: u64) -> Result<Claimed, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let token = std::str::from_utf8(token).map_err(|_| TokenError::Malformed)?;
        let (message, signed) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) =
            message.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let algorithm: TokenAlgorithm = header.alg.parse()?;
        if !self.algorithms.contains(&algorithm) {
            return Err(TokenError::Algorithm);
        }
        let signed = decode(signed)?;
        if !self.keys.iter().any(|key| key.verifies(algorithm, message.as_bytes(), &signed)) {
            return Err(TokenError::Signature);
        }
        // Nothing that it says has been looked at before.
        let claims = serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)?;
        self.read(&claims, now_ms)
    }

    fn read(&self, claims: &Map<String, Value>, now_ms: u64) -> Result<Claimed, TokenError> {
        // Seconds, with fractions where whoever made it likes them. A number beyond those that have a meaning is none.
        let time_s = |value: &Value| value.as_f64().filter(|seconds| (0.0..TIME_S_MAX).contains(seconds));
        let expires_s = claims.get("exp").and_then(time_s).ok_or(TokenError::NoExpiry)?;
        let expires_ms = (expires_s * 1e3) as u64;
        if expires_ms <= now_ms {
            return Err(TokenError::Expired);
        }
        if let Some(not_before) = claims.get("nbf") {
            let not_before_s = time_s(not_before).ok_or(TokenError::Malformed)?;
            if not_before_s > now_ms as f64 / 1e3 + AHEAD_S_MAX {
                return Err(TokenError::NotYetValid);
            }
        }
        let is = |value: &Value, wanted: &str| value.as_str() == Some(wanted);
        if let Some(issuer) = &self.issuer
            && !claims.get("iss").is_some_and(|value| is(value, issuer))
        {
            return Err(TokenError::Issuer);
        }
        let is_for_us = match (&self.audience, claims.get("aud")) {
            (None, audience) => audience.is_none(),
            (Some(wanted), Some(Value::Array(all))) => all.iter().any(|value| is(value, wanted)),
            (Some(wanted), Some(one)) => is(one, wanted),
            (Some(_), None) => false,
        };
        if !is_for_us {
            return Err(TokenError::Audience);
        }
        let user = claims.get(&self.user_claim).and_then(Value::as_str).filter(|user| !user.is_empty());
        Ok(Claimed { user: user.ok_or(TokenError::User)?.to_owned(), expires_ms })
    }
}

/// The end of the year 9999, in seconds since the epoch of Unix.
const TIME_S_MAX: f64 = 253_402_300_800.0;

#[cfg(test)]
mod tests;
