//! Batches: entries with ids, each of which may fail on its own.

use serde::Serialize;
use smallvec::SmallVec;

use super::ascii::EntryId;
use super::limits::BATCH_ENTRIES_MAX;
use super::pairs::List;
use super::{fault, names};
use crate::error::{Error, faults};

/// The entries of a batch.
pub(crate) type Entries<T> = List<T, BATCH_ENTRIES_MAX>;

/// An entry that failed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

impl Failed {
    pub(crate) fn new(id: &str, error: Error) -> Self {
        Self {
            id: id.to_owned(),
            // A client is asked to try again, and those that sort by this would drop the entry instead.
            sender_fault: error.fault.is_sender && *error.fault != faults::REQUEST_THROTTLED,
            code: error.query_code(),
            message: error.message.into_owned(),
        }
    }
}

/// What became of the entries of a batch of which nothing more is told than which were done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Told {
    successful: Vec<Done>,
    failed: Vec<Failed>,
}

/// An entry that was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: EntryId,
}

impl Told {
    /// Of so many entries.
    pub(crate) fn of(entries: usize) -> Self {
        Self { successful: Vec::with_capacity(entries), failed: Vec::new() }
    }

    pub(crate) fn done(&mut self, id: &str) {
        self.successful.push(Done { id: EntryId::from(id) });
    }

    pub(crate) fn failed(&mut self, id: &str, error: Error) {
        self.failed.push(Failed::new(id, error));
    }

    pub(crate) fn any_done(&self) -> bool {
        !self.successful.is_empty()
    }
}

/// Checks how many entries came, and the ids of those that were kept. `entry` is the name of their type.
pub(crate) fn check_ids<'a>(sent: usize, ids: impl Iterator<Item = Option<&'a str>>, entry: &str) -> Result<(), Error> {
    if sent == 0 {
        return Err(fault::empty_batch(entry));
    }
    if sent > BATCH_ENTRIES_MAX {
        return Err(fault::too_many_entries(BATCH_ENTRIES_MAX, sent));
    }
    // So few that looking at all of them is quicker than any table.
    let mut seen: SmallVec<[&str; BATCH_ENTRIES_MAX]> = SmallVec::new();
    for (index, id) in ids.enumerate() {
        let id = id.ok_or_else(|| fault::missing_parameter(format_args!("{entry}.{}.Id", index + 1)))?;
        names::check_entry_id(id)?;
        if seen.contains(&id) {
            return Err(fault::entry_ids_not_distinct(id));
        }
        seen.push(id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[Option<&str>]) -> Result<(), (&'static str, String)> {
        check_ids(ids.len(), ids.iter().copied(), "SendMessageBatchRequestEntry")
            .map_err(|error| (error.query_code(), error.message.into_owned()))
    }

    #[test]
    fn who_is_to_try_again_is_not_at_fault() {
        assert!(!Failed::new("a", fault::throttled()).sender_fault);
        assert!(Failed::new("a", fault::invalid_message_contents()).sender_fault);
    }

    #[test]
    fn batches_are_refused_in_awss_words() {
        assert_eq!(check(&[Some("a"), Some("b-1_")]), Ok(()));
        let eleven: Vec<_> = (0..11).map(|_| Some("a")).collect();
        for (ids, code, words) in [
            (&[][..], "EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request."),
            (
                &eleven,
                "TooManyEntriesInBatchRequest",
                "Maximum number of entries per request are 10. You have sent 11.",
            ),
            (&[Some("a"), Some("a")], "BatchEntryIdsNotDistinct", "Id a repeated."),
            (
                &[Some("a:b")],
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 \
                 letters long.",
            ),
        ] {
            let code = format!("AWS.SimpleQueueService.{code}");
            let (found, found_words) = check(ids).unwrap_err();
            assert_eq!((found, &*found_words), (&*code, words));
        }
        assert_eq!(
            check(&[Some("a"), None]).unwrap_err().1,
            "The request must contain the parameter SendMessageBatchRequestEntry.2.Id."
        );
    }
}
