//! The key and the certificate that messages are signed with, and signatures.
//!
//! Both are made when something is signed for the first time, and kept: a signature is good for as long as its certificate can
//! be had. Signing takes a thread for a millisecond or two, so it is never done on one that serves clients, and once for all
//! subscriptions that a message goes to.

mod cache;
mod key;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::Broker;
use tokio::sync::{OnceCell, Semaphore};

use self::cache::Cache;
use self::key::Signer;

/// The space of the table that the key is in.
const SPACE: &str = "sns-signing";
const KEY: &[u8] = b"key";

/// Signatures that are made at once: they take a processor each.
const AT_ONCE_MAX: usize = 4;

/// How the path of a certificate begins and ends; its name is between.
const PATH_BEGIN: &str = "/SimpleNotificationService-";
const PATH_END: &str = ".pem";

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsigned {
    /// There is no such version.
    #[error("there is no signature version {0}")]
    Version(u8),
    /// The key cannot be made, or not be kept.
    #[error("no key: {0}")]
    Key(String),
    /// The key does not sign.
    #[error("no signature: {0}")]
    Failed(String),
}

/// Signs.
pub(crate) struct Signing {
    broker: Arc<Broker>,
    signer: OnceCell<Arc<Signer>>,
    places: Semaphore,
    cache: Cache,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing")
    }
}

impl Signing {
    /// Reads what is kept. Blocks on the disk.
    ///
    /// # Errors
    /// The table cannot be read, or what is in it is damaged: another key would make what was signed worthless.
    pub(crate) fn open(broker: &Arc<Broker>) -> Result<Self, gantry_broker::Error> {
        let kept = broker.kept_rows(SPACE)?.into_iter().find(|(name, _)| name == KEY);
        let signer = match kept {
            Some((_, kept)) => {
                let damaged = || gantry_broker::Error::Storage("the key of signatures is damaged".to_owned());
                OnceCell::new_with(Some(Arc::new(Signer::read(&kept).ok_or_else(damaged)?)))
            }
            None => OnceCell::new(),
        };
        let places = Semaphore::new(AT_ONCE_MAX);
        Ok(Self { broker: Arc::clone(broker), signer, places, cache: Cache::default() })
    }

    /// The signature of a text, as base64. The second one who asks for the same gets the first one's.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn signature(&self, version: u8, text: String) -> Result<Arc<str>, Unsigned> {
        if !matches!(version, 1 | 2) {
            return Err(Unsigned::Version(version));
        }
        let place = self.cache.place(version, text.as_bytes());
        let made = place.get_or_try_init(|| async {
            let signer = Arc::clone(self.signer().await?);
            // Never closed.
            let _permit = self.places.acquire().await;
            let signed = tokio::task::spawn_blocking(move || signer.sign(version, text.as_bytes())).await;
            signed.map_err(|error| Unsigned::Failed(error.to_string()))?
        });
        made.await.cloned()
    }

    /// The path of the certificate's URL: `/SimpleNotificationService-<32 hexadecimal digits>.pem`.
    ///
    /// # Errors
    /// There is no key.
    pub(crate) async fn cert_path(&self) -> Result<Arc<str>, Unsigned> {
        Ok(Arc::clone(&self.signer().await?.path))
    }

    /// The certificate that is at a path, as PEM; none where there is none. Makes none: nobody can know its path before.
    pub(crate) fn certificate_at(&self, path: &str) -> Option<Bytes> {
        let signer = self.signer.get()?;
        (*signer.path == *path).then(|| signer.certificate.clone())
    }

    /// Whether a path looks like that of a certificate.
    pub(crate) fn is_path(path: &str) -> bool {
        path.starts_with(PATH_BEGIN) && path.ends_with(PATH_END)
    }

    async fn signer(&self) -> Result<&Arc<Signer>, Unsigned> {
        let made = self.signer.get_or_try_init(|| async {
            let made =
                tokio::task::spawn_blocking(Signer::make).await.map_err(|error| Unsigned::Key(error.to_string()))?;
            let (signer, kept) = made?;
            // On stable storage before anything is signed with it.
            let pending = self.broker.keep_row(SPACE, KEY.to_vec(), Some(kept));
            pending.wait().await.map_err(|error| Unsigned::Key(error.to_string()))?;
            tracing::info!(certificate = %signer.path, "made the key of signatures");
            Ok(Arc::new(signer))
        });
        made.await
    }
}
