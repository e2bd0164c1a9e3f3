//! Names and ids that clients give.

use super::fault;
use super::limits::{FIFO_ID_CHARACTERS_MAX, QUEUE_NAME_CHARACTERS_MAX};
use crate::error::Error;

/// How the name of a FIFO queue ends.
pub(crate) const FIFO_SUFFIX: &str = ".fifo";

const QUEUE_NAME_REASON: &str = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";

/// Whether a text has from one to `characters_max` letters, digits, hyphens and underscores, and nothing else.
fn is_plain(text: &str, characters_max: usize) -> bool {
    (1..=characters_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Checks the name of a queue that is to be created. Queues of other protocols may have any other name.
pub(crate) fn check_queue_name(name: &str, fifo: bool) -> Result<(), Error> {
    let stem = if fifo { name.strip_suffix(FIFO_SUFFIX) } else { Some(name) };
    let suffix_bytes = if fifo { FIFO_SUFFIX.len() } else { 0 };
    if stem.is_some_and(|stem| is_plain(stem, QUEUE_NAME_CHARACTERS_MAX - suffix_bytes)) {
        return Ok(());
    }
    Err(fault::invalid_parameter(if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, \
         must end with .fifo suffix and be 1 to 80 in length"
    } else {
        QUEUE_NAME_REASON
    }))
}

/// Checks the id of an entry of a batch.
pub(crate) fn check_entry_id(id: &str) -> Result<(), Error> {
    if is_plain(id, 80) { Ok(()) } else { Err(fault::invalid_entry_id()) }
}

/// Checks the label of a permission.
pub(crate) fn check_label(label: &str) -> Result<(), Error> {
    if is_plain(label, 80) {
        return Ok(());
    }
    if label.is_empty() {
        return Err(fault::missing_parameter("Label"));
    }
    Err(fault::invalid_value(fault::shown(label), "Label", QUEUE_NAME_REASON))
}

/// Checks the id of a group, of a message for deduplication or of an attempt to receive.
pub(crate) fn check_fifo_id(id: &str, parameter: &str) -> Result<(), Error> {
    if (1..=FIFO_ID_CHARACTERS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let reason = format!("{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
    Err(fault::invalid_value(fault::shown(id), parameter, &reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues_are_as_aws_has_them() {
        let long = "q".repeat(80);
        for name in ["q", "A-b_9", &long] {
            assert_eq!(check_queue_name(name, false), Ok(()), "{name}");
        }
        let longer = "q".repeat(81);
        for name in ["", "a.b", "a/b", "q.fifo", "é", "a b", &longer] {
            let error = check_queue_name(name, false).unwrap_err();
            assert_eq!((error.query_code(), &*error.message), ("InvalidParameterValue", QUEUE_NAME_REASON), "{name}");
        }
        let long = format!("{}.fifo", "q".repeat(75));
        for name in ["q.fifo", &long] {
            assert_eq!(check_queue_name(name, true), Ok(()), "{name}");
        }
        let longer = format!("{}.fifo", "q".repeat(76));
        for name in ["q", ".fifo", "a.b.fifo", &longer] {
            assert!(check_queue_name(name, true).unwrap_err().message.contains(".fifo suffix"), "{name}");
        }
    }

    #[test]
    fn ids_are_printable_and_not_too_long() {
        let long = "x".repeat(128);
        for id in ["a", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", &long] {
            assert_eq!(check_fifo_id(id, "MessageGroupId"), Ok(()));
        }
        let longer = "x".repeat(129);
        for id in ["", "a b", "é", "\n", &longer] {
            assert!(check_fifo_id(id, "MessageGroupId").is_err(), "{id}");
        }
        assert_eq!(
            check_fifo_id("a b", "MessageGroupId").unwrap_err().message,
            "Value a b for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and \
             punctuation characters. 1 to 128 in length."
        );
        assert!(check_entry_id("a-B_1").is_ok() && check_entry_id("").is_err() && check_entry_id("a:b").is_err());
        assert!(check_entry_id(&"x".repeat(81)).is_err());
        assert!(check_label("ok").is_ok() && check_label("").is_err() && check_label("a b").is_err());
    }
}
