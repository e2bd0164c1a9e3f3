//! Keys of a day, a region and a service, from secrets. One is good for a day of requests, so it is kept.

use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::{Claim, TERMINATOR};

/// Keys that are kept. Beyond that all are forgotten and made anew.
const KEYS_MAX: usize = 1_024;

/// The id of an access key, and a region.
type Names = (Box<str>, Box<str>);

/// A cache of signing keys.
#[derive(Default)]
pub struct SigningKeys {
    kept: Mutex<HashMap<Names, Kept>>,
}

/// A key, and what it was made from.
struct Kept {
    secret: Box<str>,
    day: Box<str>,
    service: Box<str>,
    key: Hmac<Sha256>,
}

impl SigningKeys {
    /// The signature of a text by the secret that a claim's key has.
    pub(super) fn sign(&self, claim: &Claim<'_>, secret: &str, text: &[u8]) -> [u8; 32] {
        let mut signature = self.key(claim, secret);
        signature.update(text);
        signature.finalize().into_bytes().into()
    }

    fn key(&self, claim: &Claim<'_>, secret: &str) -> Hmac<Sha256> {
        // A look-up of borrowed texts in a map of owned ones.
        struct Borrowed<'a>(&'a str, &'a str);
        impl std::hash::Hash for Borrowed<'_> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                (self.0, self.1).hash(state);
            }
        }
        impl hashbrown::Equivalent<Names> for Borrowed<'_> {
            fn equivalent(&self, key: &Names) -> bool {
                *key.0 == *self.0 && *key.1 == *self.1
            }
        }
        let names = Borrowed(&claim.key_id, &claim.region);
        {
            let kept = self.kept.lock();
            if let Some(kept) = kept.get(&names)
                && *kept.day == *claim.day
                && *kept.service == *claim.service
                && *kept.secret == *secret
            {
                return kept.key.clone();
            }
        }
        let key = derive(claim, secret);
        let mut kept = self.kept.lock();
        if kept.len() >= KEYS_MAX {
            kept.clear();
        }
        let (day, service) = (claim.day.as_ref().into(), claim.service.as_ref().into());
        let made = Kept { secret: secret.into(), day, service, key: key.clone() };
        kept.insert((claim.key_id.as_ref().into(), claim.region.as_ref().into()), made);
        key
    }
}

fn derive(claim: &Claim<'_>, secret: &str) -> Hmac<Sha256> {
    let mut key = keyed(format!("AWS4{secret}").as_bytes());
    for part in [&claim.day, &claim.region, &claim.service, TERMINATOR] {
        key.update(part.as_bytes());
        let digest = key.finalize().into_bytes();
        key = keyed(&digest);
    }
    key
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(key) {
        Ok(hmac) => hmac,
        // HMAC takes a key of any length.
        Err(_) => unreachable!("HMAC refuses no key"),
    }
}
