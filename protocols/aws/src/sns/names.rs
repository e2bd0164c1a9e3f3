//! Names that clients give.

use super::fault;
use super::limits::TOPIC_NAME_CHARACTERS_MAX;
use crate::error::Error;

/// How the name of a FIFO topic ends.
pub(crate) const FIFO_SUFFIX: &str = ".fifo";

/// Checks the name of a topic that is to be created. Exchanges that another protocol has declared may have any other name.
pub(crate) fn check_topic_name(name: &str, is_fifo: bool) -> Result<(), Error> {
    let stem = if is_fifo { name.strip_suffix(FIFO_SUFFIX) } else { Some(name) };
    let is_plain = |stem: &str| {
        !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() <= TOPIC_NAME_CHARACTERS_MAX && stem.is_some_and(is_plain) {
        return Ok(());
    }
    Err(fault::invalid_parameter("Topic Name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_topics_are_as_aws_has_them() {
        let long = "t".repeat(256);
        for name in ["t", "A-b_9", &long] {
            assert_eq!(check_topic_name(name, false), Ok(()), "{name}");
        }
        let longer = "t".repeat(257);
        for name in ["", "a.b", "a/b", "t.fifo", "é", "a b", &longer] {
            assert_eq!(check_topic_name(name, false).unwrap_err().message, "Invalid parameter: Topic Name", "{name}");
        }
        let long = format!("{}.fifo", "t".repeat(251));
        assert!(check_topic_name("t.fifo", true).is_ok() && check_topic_name(&long, true).is_ok());
        for name in ["t", ".fifo", "a.b.fifo"] {
            assert!(check_topic_name(name, true).is_err(), "{name}");
        }
    }
}
