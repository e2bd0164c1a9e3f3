//! Maps and lists of texts in requests, and when they came.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sqs::pairs::{Pairs, Text};

/// A map as it is kept.
pub(crate) fn map(pairs: Option<Pairs<'_, Text<'_>>>) -> BTreeMap<String, String> {
    let pairs = pairs.unwrap_or_default();
    pairs.0.into_iter().map(|(name, Text(value))| (name.into_owned(), value.into_owned())).collect()
}

/// Milliseconds since the epoch of Unix.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
