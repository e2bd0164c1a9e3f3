//! Amazon SQS, on the broker's queues.
//!
//! | file | about |
//! | --- | --- |
//! | `actions` | one file an action, which reads as its page in AWS's reference does |
//! | `place` | the queue that a request is about, and whether the caller may |
//! | `sending`, `receiving` | what the single actions and the batches share |
//! | `attributes`, `message_attributes`, `names`, `limits`, `batch`, `page`, `queue_url` | what may be said, and how; pure |
//! | `receipt`, `message_id`, `md5`, `ascii`, `convert` | what a message is known by, its sums, its form in the broker; pure |
//! | `attempts` | receives that may be asked for once more |
//! | `policy`, `redrive`, `move_tasks`, `tags` | permissions by label; queues for dead letters, and back from there; tags |
//! | `fault` | errors, with AWS's codes and words |

mod actions;
mod ascii;
mod attempts;
mod attributes;
mod batch;
mod convert;
mod fault;
mod limits;
mod md5;
mod message_attributes;
mod message_id;
mod move_tasks;
mod names;
mod page;
mod pairs;
mod place;
mod policy;
mod queue_url;
mod receipt;
mod receiving;
mod redrive;
mod sending;
mod tags;

use std::sync::Arc;

use gantry_broker::{Broker, Queue};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

pub(crate) use self::actions::ACTIONS;
use self::attempts::Attempts;
use self::attributes::Profile;
pub use self::convert::SOURCE;
pub use self::limits::Limits;
use self::message_id::MessageIds;
use self::receipt::{KEY_BYTES, Key};

/// The space of the table that the key of receipt handles is in.
const KEYS: &str = "sqs";
const RECEIPT_KEY: &[u8] = b"receipt key";

/// Above so many profiles all are forgotten: they are worked out again.
const PROFILES_MAX: usize = 100_000;

/// What SQS knows beside its queues.
#[derive(Debug)]
pub struct Sqs {
    limits: Limits,
    key: Key,
    ids: MessageIds,
    /// Profiles of queues, by the numbers of these.
    profiles: RwLock<HashMap<u64, Arc<Profile>>>,
    attempts: Attempts,
    recent: Mutex<Recent>,
    /// One at a time changes settings: what is read is what is changed.
    changes: Mutex<()>,
}

/// What happened a moment ago and may not happen again yet. Forgotten with the process.
#[derive(Debug, Default)]
struct Recent {
    /// When a queue was deleted, by its virtual host and name.
    deleted_ms: HashMap<(Arc<str>, Arc<str>), u64>,
    /// When a queue was purged, by its number.
    purged_ms: HashMap<u64, u64>,
}

impl Recent {
    /// Forgets what is long enough ago.
    fn forget(&mut self, now_ms: u64, limits: &Limits) {
        let waits = |then_ms: u64, wait_s: u64| then_ms.saturating_add(wait_s.saturating_mul(1000)) > now_ms;
        self.deleted_ms.retain(|_, then_ms| waits(*then_ms, limits.recreate_wait_s));
        self.purged_ms.retain(|_, then_ms| waits(*then_ms, limits.purge_wait_s));
    }
}

impl Sqs {
    /// Opens what is kept in the broker's table, and makes what is not there yet. Blocks on the disk.
    ///
    /// # Errors
    /// The table cannot be read; the operating system has no randomness.
    pub fn open(broker: &Broker, limits: Limits) -> Result<Self, gantry_broker::Error> {
        let no_randomness = |error: getrandom::Error| gantry_broker::Error::Storage(error.to_string());
        let kept = broker.kept_rows(KEYS)?.into_iter().find(|(name, _)| name == RECEIPT_KEY);
        let key = match kept.and_then(|(_, key)| <[u8; KEY_BYTES]>::try_from(key).ok()) {
            Some(key) => key,
            None => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(no_randomness)?;
                // Rows take effect in the order of calls: this one is there before any queue that SQS makes, and nobody is
                // given a handle before a message is on the disk.
                drop(broker.keep_row(KEYS, RECEIPT_KEY.to_vec(), Some(key.to_vec())));
                key
            }
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(no_randomness)?;
        let (high, low) = (u128::from_be_bytes(random) >> 64, u128::from_be_bytes(random));
        Ok(Self {
            limits,
            key: Key::new(key),
            ids: MessageIds::new([high as u64, low as u64]),
            profiles: RwLock::default(),
            attempts: Attempts::default(),
            recent: Mutex::default(),
            changes: Mutex::default(),
        })
    }

    /// How SQS reads a queue's settings.
    fn profile(&self, queue: &Queue) -> Arc<Profile> {
        let settings = queue.settings();
        if let Some(profile) = self.profiles.read().get(&queue.id())
            && Arc::ptr_eq(&profile.settings, &settings)
        {
            return Arc::clone(profile);
        }
        let profile = Arc::new(Profile::new(queue, settings));
        let mut profiles = self.profiles.write();
        if profiles.len() >= PROFILES_MAX {
            profiles.clear();
        }
        profiles.insert(queue.id(), Arc::clone(&profile));
        profile
    }

    fn forget(&self, queue: &Queue) {
        self.profiles.write().remove(&queue.id());
        self.attempts.forget(queue.id());
    }
}
