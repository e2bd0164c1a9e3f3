//! Passwords as RabbitMQ keeps them: a salt of four bytes, then the digest of salt and password, all in base64.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

const SALT_BYTES: usize = 4;

/// A password that can be checked but not read.
///
/// Stored and exchanged in RabbitMQ's form, so that definitions can go either way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub enum PasswordHash {
    /// What new passwords get, and RabbitMQ's since 3.6.
    Sha256(Salted<32>),
    /// RabbitMQ where it is configured so.
    Sha512(Salted<64>),
    /// RabbitMQ before 3.6. Only read, never made.
    Md5(Salted<16>),
}

/// A salt, and the digest of salt and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Salted<const N: usize> {
    salt: [u8; SALT_BYTES],
    digest: [u8; N],
}

/// What is given as a password hash is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// The algorithm is not known.
    #[error("unknown password hashing algorithm {0:?}")]
    Algorithm(String),
    /// The hash is not base64.
    #[error("password hash is not base64")]
    Encoding,
    /// The hash has a length that its algorithm does not give.
    #[error("password hash has {got_bytes} bytes, {want_bytes} expected")]
    Length {
        /// What it has.
        got_bytes: usize,
        /// What salt and digest take.
        want_bytes: usize,
    },
}

impl PasswordHash {
    /// What RabbitMQ says of a hash where there is none.
    pub const DEFAULT_ALGORITHM: &'static str = SHA256;

    /// Stands in for the hash of a user who does not exist, so that refusing one takes as long.
    pub(super) const NOBODY: Self = Self::Sha256(Salted { salt: [0; SALT_BYTES], digest: [0; 32] });

    /// Hashes a password with a new random salt.
    ///
    /// # Errors
    /// The system has no random numbers to give.
    pub fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self::Sha256(Salted {
            salt,
            digest: Sha256::new().chain_update(salt).chain_update(password).finalize().into(),
        }))
    }

    /// Whether this is the password. Takes the same time wherever the digests differ.
    pub fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha256(salted) => salted.verify::<Sha256>(password),
            Self::Sha512(salted) => salted.verify::<Sha512>(password),
            Self::Md5(salted) => salted.verify::<Md5>(password),
        }
    }

    /// Reads `hashing_algorithm` and `password_hash` of RabbitMQ's definitions. Where the algorithm is not named it is SHA-256.
    ///
    /// # Errors
    /// The algorithm is unknown, or the hash is not one of that algorithm. An empty hash is one of these: in
    /// RabbitMQ it says that the user has no password.
    pub fn from_rabbitmq(algorithm: Option<&str>, hash: &str) -> Result<Self, PasswordHashError> {
        let algorithm = algorithm.unwrap_or(SHA256);
        let bytes = STANDARD.decode(hash).map_err(|_| PasswordHashError::Encoding)?;
        match algorithm {
            SHA256 => Salted::from_bytes(&bytes).map(Self::Sha256),
            SHA512 => Salted::from_bytes(&bytes).map(Self::Sha512),
            MD5 => Salted::from_bytes(&bytes).map(Self::Md5),
            _ => Err(PasswordHashError::Algorithm(algorithm.to_owned())),
        }
    }

    /// `hashing_algorithm` and `password_hash` of RabbitMQ's definitions.
    pub fn to_rabbitmq(&self) -> (&'static str, String) {
        match self {
            Self::Sha256(salted) => (SHA256, salted.to_base64()),
            Self::Sha512(salted) => (SHA512, salted.to_base64()),
            Self::Md5(salted) => (MD5, salted.to_base64()),
        }
    }
}

const SHA256: &str = "rabbit_password_hashing_sha256";
const SHA512: &str = "rabbit_password_hashing_sha512";
const MD5: &str = "rabbit_password_hashing_md5";

// Hashes end up in logs through the Debug of whatever holds them.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "PasswordHash::Sha256(..)",
            Self::Sha512(_) => "PasswordHash::Sha512(..)",
            Self::Md5(_) => "PasswordHash::Md5(..)",
        })
    }
}

impl<const N: usize> fmt::Debug for Salted<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted(..)")
    }
}

impl<const N: usize> Salted<N> {
    fn verify<H: Digest>(&self, password: &[u8]) -> bool {
        let digest = H::new().chain_update(self.salt).chain_update(password).finalize();
        digest.as_slice().ct_eq(&self.digest).into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PasswordHashError> {
        let wrong = PasswordHashError::Length { got_bytes: bytes.len(), want_bytes: SALT_BYTES + N };
        let Some((salt, digest)) = bytes.split_first_chunk() else {
            return Err(wrong);
        };
        let Ok(digest) = digest.try_into() else {
            return Err(wrong);
        };
        Ok(Self { salt: *salt, digest })
    }

    fn to_base64(&self) -> String {
        STANDARD.encode([&self.salt[..], &self.digest[..]].concat())
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    hashing_algorithm: String,
    password_hash: String,
}

impl From<PasswordHash> for Stored {
    fn from(hash: PasswordHash) -> Self {
        let (algorithm, password_hash) = hash.to_rabbitmq();
        Self { hashing_algorithm: algorithm.to_owned(), password_hash }
    }
}

impl TryFrom<Stored> for PasswordHash {
    type Error = PasswordHashError;

    fn try_from(stored: Stored) -> Result<Self, PasswordHashError> {
        Self::from_rabbitmq(Some(&stored.hashing_algorithm), &stored.password_hash)
    }
}
