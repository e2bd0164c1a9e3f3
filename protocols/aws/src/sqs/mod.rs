//! Amazon SQS, on the broker's queues.
//!
//! | file | about |
//! | --- | --- |
//! | `actions` | one file an action, which reads as its page in AWS's reference does |
//! | `place` | the queue that a request is about, and whether the caller may |
//! | `sending`, `receiving` | what the single actions and the batches share |
//! | `attributes`, `message_attributes`, `names`, `limits`, `batch`, `page`, `queue_url` | what may be said, and how; pure |
//! | `receipt`, `message_id`, `md5`, `ascii`, `convert` | what a message is known by, its sums, its form in the broker; pure |
//! | `notified` | what is received of messages that came by a topic of SNS |
//! | `attempts` | receives that may be asked for once more |
//! | `policy`, `redrive`, `move_tasks`, `tags` | permissions by label; queues for dead letters, and back from there; tags |
//! | `fault` | errors, with AWS's codes and words |

mod actions;
pub(crate) mod ascii;
mod attempts;
mod attributes;
mod batch;
pub(crate) mod convert;
mod fault;
mod limits;
mod message_attributes;
mod move_tasks;
mod names;
mod notified;
mod page;
pub(crate) mod pairs;
mod place;
mod policy;
mod queue_url;
mod receipt;
mod receiving;
mod redrive;
mod sending;
mod tags;

use std::sync::Arc;

use gantry_broker::vhost::Pending;
use gantry_broker::{Broker, Queue};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

pub(crate) use self::actions::ACTIONS;
use self::attempts::Attempts;
use self::attributes::Profile;
pub use self::convert::SOURCE;
pub use self::limits::Limits;
pub(crate) use self::names::FIFO_SUFFIX;
use self::receipt::{KEY_BYTES, Key};
use crate::message::id::MessageIds;

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
    /// Of messages of all services.
    pub(crate) ids: MessageIds,
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
    /// Opens what is kept in the broker's table, and makes what is not there yet. Blocks on the disk. What to wait for before
    /// anybody is served.
    ///
    /// # Errors
    /// The table cannot be read, or what is in it is damaged; the operating system has no randomness.
    pub fn open(broker: &Broker, limits: Limits) -> Result<(Self, Pending), gantry_broker::Error> {
        let no_randomness = |error: getrandom::Error| gantry_broker::Error::Storage(error.to_string());
        let kept = broker.kept_rows(KEYS)?.into_iter().find(|(name, _)| name == RECEIPT_KEY);
        let (key, pending) = match kept {
            Some((_, key)) => {
                // Another one would make every handle that is out there worthless.
                let damaged = |_| gantry_broker::Error::Storage("the key of receipt handles is damaged".to_owned());
                (<[u8; KEY_BYTES]>::try_from(key).map_err(damaged)?, Pending::nothing())
            }
            None => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key).map_err(no_randomness)?;
                (key, broker.keep_row(KEYS, RECEIPT_KEY.to_vec(), Some(key.to_vec())))
            }
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(no_randomness)?;
        let (high, low) = (u128::from_be_bytes(random) >> 64, u128::from_be_bytes(random));
        let sqs = Self {
            limits,
            key: Key::new(key),
            ids: MessageIds::new([high as u64, low as u64]),
            profiles: RwLock::default(),
            attempts: Attempts::default(),
            recent: Mutex::default(),
            changes: Mutex::default(),
        };
        Ok((sqs, pending))
    }

    /// How SQS reads a queue's settings.
    pub(crate) fn profile(&self, queue: &Queue) -> Arc<Profile> {
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

#[cfg(test)]
mod tests {
    use gantry_broker::{BrokerOptions, Found};
    use gantry_storage::{Faults, MemoryJournal, MemoryTable};

    use super::*;

    #[tokio::test]
    async fn the_key_of_receipt_handles_is_kept_and_never_replaced() {
        let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
        let broker = Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap();
        let (first, pending) = Sqs::open(&broker, Limits::default()).unwrap();
        assert!(!pending.is_nothing());
        pending.wait().await.unwrap();
        let handle = receipt::Handle { queue: 1, seq: 2, receives: 3, received_ms: 4 };
        let (second, pending) = Sqs::open(&broker, Limits::default()).unwrap();
        assert!(pending.is_nothing());
        assert_eq!(second.key.read(&first.key.write(&handle)), Some(handle));
        broker.keep_row(KEYS, RECEIPT_KEY.to_vec(), Some(vec![1; KEY_BYTES - 1])).wait().await.unwrap();
        let error = Sqs::open(&broker, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
