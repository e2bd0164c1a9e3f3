//! Signatures that were made lately.

use std::mem;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

/// So many signatures are kept twice: those that were asked for since the last time that there were so many, and those
/// before. Some 500 bytes each.
const GENERATION_MAX: usize = 4096;

/// Where a signature is, or will be.
pub(super) type Place = Arc<OnceCell<Arc<str>>>;

/// By the version and the sum of what is signed.
type Key = (u8, [u8; 32]);

#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Place>,
    old: HashMap<Key, Place>,
}

impl Cache {
    /// The place of a signature: whoever finds it empty fills it, and the others wait for that.
    pub(super) fn place(&self, version: u8, text: &[u8]) -> Place {
        let key = (version, Sha256::digest(text).into());
        let mut generations = self.generations.lock();
        let Generations { young, old } = &mut *generations;
        if let Some(place) = young.get(&key) {
            return Arc::clone(place);
        }
        if young.len() >= GENERATION_MAX {
            mem::swap(young, old);
            young.clear();
        }
        let place = old.remove(&key).unwrap_or_default();
        young.insert(key, Arc::clone(&place));
        place
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.len() + generations.old.len()
    }
}
