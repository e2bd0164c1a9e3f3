//! AWS's limits.

/// Most characters of the name of a topic, its suffix included.
pub(crate) const TOPIC_NAME_CHARACTERS_MAX: usize = 256;
/// Entries of a page of a list.
pub(crate) const PAGE_ENTRIES: usize = 100;
/// Most tags of a topic.
pub(crate) const TAGS_MAX: usize = 50;
/// Most characters of the key of a tag.
pub(crate) const TAG_KEY_CHARACTERS_MAX: usize = 128;
/// Most characters of the value of a tag.
pub(crate) const TAG_VALUE_CHARACTERS_MAX: usize = 256;
/// Most characters of a topic's display name.
pub(crate) const DISPLAY_NAME_CHARACTERS_MAX: usize = 100;
/// Most bytes of a policy.
pub(crate) const POLICY_BYTES_MAX: usize = 30 * 1024;
/// Most statements of a policy.
pub(crate) const POLICY_STATEMENTS_MAX: usize = 100;
/// Seconds for which a token confirms a subscription: 3 days.
pub(crate) const TOKEN_S: u64 = 3 * 24 * 60 * 60;
/// Bytes of the largest message of a topic on which nobody has set another limit: message, and names, types and values of attributes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Most characters of a subject.
pub(crate) const SUBJECT_CHARACTERS_MAX: usize = 100;
/// Most characters of the name of an attribute of a message.
pub(crate) const ATTRIBUTE_NAME_CHARACTERS_MAX: usize = 256;
/// Most characters of a group's or a deduplication id.
pub(crate) const FIFO_ID_CHARACTERS_MAX: usize = 128;
/// Most entries of a batch.
pub(crate) const BATCH_ENTRIES_MAX: usize = 10;
/// Most characters of the id of an entry of a batch.
pub(crate) const ENTRY_ID_CHARACTERS_MAX: usize = 80;
/// Most accounts that one permission is for.
pub(crate) const PERMISSION_ACCOUNTS_MAX: usize = 50;
/// For so long a deduplication id is remembered, in milliseconds.
pub(crate) const DEDUPLICATION_MS: u64 = 5 * 60 * 1000;
/// Days for which messages may be kept for a replay.
pub(crate) const ARCHIVE_DAYS: std::ops::RangeInclusive<u64> = 1..=365;
/// What the largest message of a topic may be limited to, in bytes.
pub(crate) const MESSAGE_BYTES: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024;
/// Most bytes of what a topic keeps of things elsewhere: the name of a key, the ARN of a role.
pub(crate) const REFERENCE_BYTES_MAX: usize = 2048;
