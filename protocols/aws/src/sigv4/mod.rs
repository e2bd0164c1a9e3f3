//! Signatures of requests, version 4, as AWS writes them: `AWS4-HMAC-SHA256` in the header `authorization` or in the query of a
//! URL that was signed beforehand. Pure but for the cache of keys: no client, no clock.
//!
//! | file | |
//! | --- | --- |
//! | `claim` | what a request says of its signature |
//! | `canonical` | the request as both sides sign it |
//! | `keys` | keys of a day, a region and a service, from secrets |
//! | `sign` | requests that go out |

mod canonical;
mod claim;
mod keys;
mod sign;

#[cfg(test)]
mod tests;

use hyper::HeaderMap;
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use self::claim::{Claim, Malformed};
pub use self::keys::SigningKeys;
pub use self::sign::{Outgoing, Signer};
use crate::date;

/// The only algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What the last part of a scope is.
const TERMINATOR: &str = "aws4_request";

/// The header that says the digest of the body.
const DIGEST: &str = "x-amz-content-sha256";

/// How far the client's clock may be from ours, in seconds.
const SKEW_S: i64 = 15 * 60;

/// What is signed of a request, but for its body.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path as it came, escapes included.
    pub path: &'a str,
    /// What stands behind the `?`, as it came.
    pub query: &'a str,
    /// The headers, with names in lower case.
    pub headers: &'a HeaderMap,
}

impl<'a> Signed<'a> {
    /// Of a request that has come.
    pub fn of(head: &'a Parts) -> Self {
        Self {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
        }
    }
}

/// Why a signature is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was made too long ago.
    #[error("Signature expired: {made} is now earlier than {earliest} ({now} - {minutes} min.)")]
    Expired {
        /// When it was made.
        made: String,
        /// When it would have to have been made at the earliest.
        earliest: String,
        /// Our time.
        now: String,
        /// How old it may be.
        minutes: i64,
    },
    /// It was made in the future.
    #[error("Signature not yet current: {made} is still later than {latest} ({now} + 15 min.)")]
    TooEarly {
        /// When it was made.
        made: String,
        /// When it would have to have been made at the latest.
        latest: String,
        /// Our time.
        now: String,
    },
    /// Its scope is not the day on which it was made.
    #[error("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{0}' != '{1}'")]
    Date(String, String),
    /// It is for another service.
    #[error("Credential should be scoped to correct service: '{0}'.")]
    Service(&'static str),
    /// A header that has to be signed is not.
    #[error("'{0}' must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned(String),
    /// The names of headers are not as they have to be.
    #[error(
        "'SignedHeaders' must be the names of headers of the request in lower case, in order, and each of them once."
    )]
    Order,
    /// It is another one.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
         signing method. Consult the service documentation for details."
    )]
    Different,
}

impl Claim<'_> {
    /// What can be said before the body has come: whether it is made for this time and this service, and signs what has to be
    /// signed.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn check(&self, request: Signed<'_>, service: &'static str, now_s: i64) -> Result<(), Refused> {
        if self.service != service {
            return Err(Refused::Service(service));
        }
        let day = &self.timestamp[..8];
        if self.day != day {
            return Err(Refused::Date(self.day.clone().into_owned(), day.to_owned()));
        }
        let allowed_s = self.expires_s.unwrap_or(SKEW_S);
        let made = || self.timestamp.clone().into_owned();
        if self.made_s.saturating_add(allowed_s) < now_s {
            let (earliest, now) = (date::basic(now_s.saturating_sub(allowed_s)), date::basic(now_s));
            return Err(Refused::Expired { made: made(), earliest, now, minutes: allowed_s / 60 });
        }
        if self.made_s > now_s.saturating_add(SKEW_S) {
            let (latest, now) = (date::basic(now_s.saturating_add(SKEW_S)), date::basic(now_s));
            return Err(Refused::TooEarly { made: made(), latest, now });
        }
        // Each header is a part of the text at most once, so the text is not much longer than the request.
        let mut names = self.signed_headers.split(';');
        let is_in_order = names.clone().is_sorted_by(|name, next| name < next);
        let are_names = names.clone().all(|name| !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        if !is_in_order || !are_names || names.nth(request.headers.keys_len()).is_some() {
            return Err(Refused::Order);
        }
        // Who can change a header that is not signed could make another request of it.
        let is_signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        let mut names = request.headers.keys().map(|name| name.as_str());
        let unsigned = if is_signed("host") {
            names.find(|name| name.starts_with("x-amz-") && !is_signed(name))
        } else {
            Some("host")
        };
        unsigned.map_or(Ok(()), |name| Err(Refused::Unsigned(name.to_owned())))
    }

    /// Whether the holder of the secret has signed this request with this body. [`Claim::check`] comes first.
    ///
    /// # Errors
    /// It is another signature.
    pub fn verify(&self, request: Signed<'_>, body: &[u8], secret: &str, keys: &SigningKeys) -> Result<(), Refused> {
        let body_digest = hex(&Sha256::digest(body));
        check_digest(request, &body_digest)?;
        self.verify_digest(request, &body_digest, secret, keys)
    }

    /// As [`Claim::verify`], before the body has come, where the head says the body's digest; false where it does not.
    /// [`Claim::verify_body`] has to follow.
    ///
    /// # Errors
    /// As there.
    pub fn verify_head(&self, request: Signed<'_>, secret: &str, keys: &SigningKeys) -> Result<bool, Refused> {
        let Some(said) = request.headers.get(DIGEST) else { return Ok(false) };
        // Anything else is no digest, and refused as soon as there is one to compare it with.
        let Ok(digest) = said.as_bytes().try_into() else { return Ok(false) };
        self.verify_digest(request, digest, secret, keys).map(|()| true)
    }

    /// Whether the body is the one that the head has said.
    ///
    /// # Errors
    /// It is another one.
    pub fn verify_body(&self, request: Signed<'_>, body: &[u8]) -> Result<(), Refused> {
        check_digest(request, &hex(&Sha256::digest(body)))
    }

    fn verify_digest(
        &self,
        request: Signed<'_>,
        body_digest: &[u8; 64],
        secret: &str,
        keys: &SigningKeys,
    ) -> Result<(), Refused> {
        let calculated = self.calculated(request, body_digest, secret, keys).ok_or(Refused::Different)?;
        if bool::from(calculated.ct_eq(&self.signature)) { Ok(()) } else { Err(Refused::Different) }
    }

    /// The signature that the holder of the secret makes. None where a header that is said to be signed is not there.
    fn calculated(
        &self,
        request: Signed<'_>,
        body_digest: &[u8; 64],
        secret: &str,
        keys: &SigningKeys,
    ) -> Option<[u8; 32]> {
        let canonical = canonical::request(self, request, body_digest)?;
        let mut text = String::with_capacity(160);
        for part in [
            ALGORITHM,
            "\n",
            &self.timestamp,
            "\n",
            &self.day,
            "/",
            &self.region,
            "/",
            &self.service,
            "/",
            TERMINATOR,
            "\n",
        ] {
            text.push_str(part);
        }
        let mut text = text.into_bytes();
        text.extend_from_slice(&hex(&Sha256::digest(&canonical)));
        Some(keys.sign(self, secret, &text))
    }
}

/// A client may say what it has signed. It does not get to say so of another body, or of none.
fn check_digest(request: Signed<'_>, body_digest: &[u8; 64]) -> Result<(), Refused> {
    match request.headers.get(DIGEST) {
        Some(said) if said.as_bytes() != body_digest => Err(Refused::Different),
        _ => Ok(()),
    }
}

/// 32 bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}
