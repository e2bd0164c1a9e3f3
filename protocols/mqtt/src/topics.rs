//! Topics and filters <-> routing keys and patterns of a topic exchange.
//!
//! `/` and `.` change places, and so do `+` and `*`; `#` means the same on both sides. Doing it twice gives back what there
//! was, so one function serves both directions, and topics with dots in them keep them.

use std::fmt::Write as _;

use smallvec::SmallVec;

/// A routing key or pattern while it is looked up.
pub(crate) type Key = SmallVec<[u8; 96]>;

/// Longest topic, in bytes (1.5.4).
const TOPIC_BYTES_MAX: usize = u16::MAX as usize;

/// What an empty routing key is called, since a topic has at least one character (4.7.3-1).
const EMPTY: &str = "%";

const fn swapped(byte: u8) -> u8 {
    match byte {
        b'/' => b'.',
        b'.' => b'/',
        b'+' => b'*',
        b'*' => b'+',
        byte => byte,
    }
}

/// The routing key of a topic name, or the pattern of a topic filter.
pub(crate) fn key_of(topic: &str, key: &mut Key) {
    key.clear();
    key.extend(topic.bytes().map(swapped));
}

/// As [`key_of`], to keep.
pub(crate) fn key(topic: &str) -> Key {
    let mut key = Key::new();
    key_of(topic, &mut key);
    key
}

/// The topic name of a routing key. What cannot be in a topic name is written as `%` and two hexadecimal digits: bytes that are
/// no UTF-8, U+0000, and what would be a wildcard.
pub(crate) fn topic_of(key: &[u8], topic: &mut String) {
    topic.clear();
    if key.is_empty() {
        return topic.push_str(EMPTY);
    }
    for chunk in key.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '/' => topic.push('.'),
                '.' => topic.push('/'),
                '+' => topic.push('*'),
                '*' => topic.push_str("%2B"),
                '#' => topic.push_str("%23"),
                '\0' => topic.push_str("%00"),
                other => topic.push(other),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(topic, "%{byte:02X}");
        }
    }
    if topic.len() > TOPIC_BYTES_MAX {
        let end = (0..=TOPIC_BYTES_MAX).rev().find(|at| topic.is_char_boundary(*at)).unwrap_or(0);
        topic.truncate(end);
    }
}

/// Whether a filter matches a topic name (4.7).
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    // 4.7.2-1
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(key: &[u8]) -> String {
        let mut topic = String::new();
        topic_of(key, &mut topic);
        topic
    }

    #[test]
    fn topics_come_back_and_wildcards_change_places() {
        for (topic, expected) in [
            ("a/b", "a.b"),
            ("/", "."),
            ("a.b/c", "a/b.c"),
            ("5*3", "5+3"),
            ("$SYS/broker", "$SYS.broker"),
            ("größe/m²", "größe.m²"),
        ] {
            assert_eq!(&key(topic)[..], expected.as_bytes());
            assert_eq!(back(expected.as_bytes()), topic);
        }
        assert_eq!(&key("+/b/#")[..], b"*.b.#");
        assert_eq!(&key("*")[..], b"+", "what is no wildcard here is none there");
    }

    #[test]
    fn keys_that_are_no_topics_are_spelled_out() {
        for (key, topic) in
            [(&b""[..], "%"), (b"a.*.#", "a/%2B/%23"), (b"a\0b", "a%00b"), (b"\xff.\xc3", "%FF/%C3"), (b"a#b", "a%23b")]
        {
            assert_eq!(back(key), topic);
        }
        let long = back(&[0xFF; u16::MAX as usize]);
        assert!(long.len() <= TOPIC_BYTES_MAX && long.starts_with("%FF%FF"));
    }

    // [MQTT-4.7.1-1] to [MQTT-4.7.3-4]
    #[test]
    fn filters_match_as_the_specification_says() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
