//! AWS's limits, and those of them that an operator may change.

/// Most characters of the name of a queue, its suffix included.
pub(crate) const QUEUE_NAME_CHARACTERS_MAX: usize = 80;
/// Most entries of a batch.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;
/// Most messages of one receive.
pub(crate) const RECEIVE_MESSAGES_MAX: u64 = 10;
/// Most seconds of a long poll.
pub(crate) const WAIT_S_MAX: u64 = 20;
/// Most seconds that a message may be delayed.
pub(crate) const DELAY_S_MAX: u64 = 900;
/// Most seconds that a message may be in flight: of one visibility timeout, and of all that are added to the first.
pub(crate) const VISIBILITY_S_MAX: u64 = 43_200;
/// Seconds of visibility timeout where nobody says anything.
pub(crate) const VISIBILITY_S: u64 = 30;
/// Fewest seconds that messages may be kept.
pub(crate) const RETENTION_S_MIN: u64 = 60;
/// Most seconds that messages may be kept: 14 days.
pub(crate) const RETENTION_S_MAX: u64 = 1_209_600;
/// Seconds that messages are kept where nobody says anything: 4 days.
pub(crate) const RETENTION_S: u64 = 345_600;
/// Least that the largest message of a queue may be limited to, in bytes.
pub(crate) const MESSAGE_BYTES_MIN: u64 = 1024;
/// Bytes of the largest message: body, and names, types and values of attributes.
pub(crate) const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Most attributes of a message.
pub(crate) const MESSAGE_ATTRIBUTES_MAX: usize = 10;
/// Most bytes of the name of an attribute of a message.
pub(crate) const ATTRIBUTE_NAME_BYTES_MAX: usize = 256;
/// Most bytes of an attribute of the system: it does not count in the size of its message.
pub(crate) const SYSTEM_ATTRIBUTE_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of the type of an attribute of a message.
pub(crate) const ATTRIBUTE_TYPE_BYTES_MAX: usize = 256;
/// Most characters of a group's, a deduplication or a receive attempt's id.
pub(crate) const FIFO_ID_CHARACTERS_MAX: usize = 128;
/// For so long a deduplication id, and a receive attempt's, is remembered, in milliseconds.
pub(crate) const DEDUPLICATION_MS: u64 = 5 * 60 * 1000;
/// Receives after which a message may be given up.
pub(crate) const RECEIVES_MAX: std::ops::RangeInclusive<u64> = 1..=1000;
/// Most queues that a queue for dead letters names as its sources.
pub(crate) const ALLOWED_SOURCES_MAX: usize = 10;
/// Seconds for which a key of KMS may be used again.
pub(crate) const KMS_REUSE_S: std::ops::RangeInclusive<u64> = 60..=86_400;
/// Most tags of a queue.
pub(crate) const TAGS_MAX: usize = 50;
/// Most characters of the key of a tag.
pub(crate) const TAG_KEY_CHARACTERS_MAX: usize = 128;
/// Most characters of the value of a tag.
pub(crate) const TAG_VALUE_CHARACTERS_MAX: usize = 256;
/// Most bytes of a policy.
pub(crate) const POLICY_BYTES_MAX: usize = 8 * 1024;
/// Most statements of a policy.
pub(crate) const POLICY_STATEMENTS_MAX: usize = 20;
/// Most actions that one permission grants.
pub(crate) const PERMISSION_ACTIONS_MAX: usize = 7;
/// Most accounts that one permission is for.
pub(crate) const PERMISSION_ACCOUNTS_MAX: usize = 50;
/// Most results of a page of a list.
pub(crate) const PAGE_MAX: u64 = 1000;
/// Most tasks of a list of move tasks.
pub(crate) const MOVE_TASKS_MAX: u64 = 10;
/// Most messages a second that a move task may be limited to.
pub(crate) const MOVES_PER_S_MAX: u64 = 500;
/// Limits that an operator may change.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages of a standard queue in flight.
    pub in_flight_max: usize,
    /// Messages of a FIFO queue in flight.
    pub in_flight_fifo_max: usize,
    /// Bytes of the largest message, and of the messages of a batch together.
    pub message_bytes_max: usize,
    /// After a queue was deleted, nobody creates one of its name for so long, in seconds; 0 for no wait at all.
    pub recreate_wait_s: u64,
    /// A queue may be purged once in so long, in seconds; 0 for as often as anybody likes.
    pub purge_wait_s: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_max: 120_000,
            in_flight_fifo_max: 20_000,
            message_bytes_max: MESSAGE_BYTES_MAX as usize,
            recreate_wait_s: 0,
            purge_wait_s: 60,
        }
    }
}
