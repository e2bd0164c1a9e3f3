//! What SCRAM-SHA-256 (RFC 5802, RFC 7677) needs to know of a password: enough to check that somebody has it, and to prove
//! that the broker knows it, too; not enough to log in with. The conversation itself is each protocol's.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How often the hash is taken; what RFC 7677 asks for at least. Each client has as much to do at each login, and many are
/// small devices.
pub const SCRAM_ITERATIONS: u32 = 4096;

const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// A password as SCRAM-SHA-256 checks it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct ScramVerifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

impl ScramVerifier {
    /// Derives one from a password, with a new random salt. Costs a millisecond or a few.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::with_salt(password, &salt, SCRAM_ITERATIONS))
    }

    /// As [`ScramVerifier::new`], with this salt. As many iterations as it says are done.
    pub fn with_salt(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = salted_password(&prepared(password), salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: Sha256::digest(hmac(&salted, &[b"Client Key"])).into(),
            server_key: hmac(&salted, &[b"Server Key"]),
        }
    }

    /// Stands in for the verifier of a user who has none: the same salt each time that this name is asked for, and no
    /// password fits.
    pub(crate) fn of_nobody(secret: &[u8], user: &str) -> Self {
        let derive = |what: &[u8]| hmac(secret, &[what, user.as_bytes()]);
        Self {
            salt: derive(b"salt ")[..SALT_BYTES].to_vec(),
            iterations: SCRAM_ITERATIONS,
            stored_key: derive(b"stored key "),
            server_key: derive(b"server key "),
        }
    }

    /// What the client has to salt the password with.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often the client has to take the hash.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether the proof is one of this password for these messages (`AuthMessage` in RFC 5802): then the signature by which
    /// the client knows the broker (`ServerSignature`). Takes the same time wherever they differ.
    pub fn check(&self, messages: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
        let mut client_key: [u8; KEY_BYTES] = proof.try_into().ok()?;
        let signature = hmac(&self.stored_key, &[messages]);
        for (byte, signed) in client_key.iter_mut().zip(signature) {
            *byte ^= signed;
        }
        let right: bool = Sha256::digest(client_key).as_slice().ct_eq(&self.stored_key).into();
        right.then(|| hmac(&self.server_key, &[messages]))
    }
}

// Whoever has the keys can pose as the broker.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier(..)")
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut hmac = keyed(key);
    for part in parts {
        hmac.update(part);
    }
    hmac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // As long as a block by the rules of HMAC (RFC 2104), so that none has a wrong length.
    let mut block = Key::<Hmac<Sha256>>::default();
    if key.len() > block.len() {
        block[..KEY_BYTES].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    Hmac::new(&block)
}

/// `Hi` in RFC 5802: PBKDF2 with one block.
fn salted_password(password: &[u8], salt: &[u8], iterations: u32) -> [u8; KEY_BYTES] {
    let keyed = keyed(password);
    let mut last: [u8; KEY_BYTES] =
        keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes().into();
    let mut sum = last;
    for _ in 1..iterations {
        last = keyed.clone().chain_update(last).finalize().into_bytes().into();
        for (byte, other) in sum.iter_mut().zip(last) {
            *byte ^= other;
        }
    }
    sum
}

/// The password as clients prepare it (SASLprep, RFC 4013); as it is where that has no form for it.
fn prepared(password: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(password).ok().filter(|text| !text.is_ascii());
    match text.map(stringprep::saslprep) {
        Some(Ok(prepared)) => prepared.into_owned().into_bytes(),
        Some(Err(_)) | None => password.to_vec(),
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    salt: String,
    iterations: u32,
    stored_key: String,
    server_key: String,
}

impl From<ScramVerifier> for Stored {
    fn from(verifier: ScramVerifier) -> Self {
        Self {
            salt: STANDARD.encode(&verifier.salt),
            iterations: verifier.iterations,
            stored_key: STANDARD.encode(verifier.stored_key),
            server_key: STANDARD.encode(verifier.server_key),
        }
    }
}

impl TryFrom<Stored> for ScramVerifier {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| "a SCRAM verifier is not base64");
        let key = |text: &str| decode(text)?.try_into().map_err(|_| "a key of SCRAM-SHA-256 has 32 bytes");
        Ok(Self {
            salt: decode(&stored.salt)?,
            iterations: stored.iterations,
            stored_key: key(&stored.stored_key)?,
            server_key: key(&stored.server_key)?,
        })
    }
}
