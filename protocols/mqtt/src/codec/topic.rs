//! Topic names and topic filters (4.7), shared subscriptions (4.8.2).

use super::packet::Filter;

/// What a filter of a shared subscription begins with.
const SHARE: &str = "$share/";

/// Whether the text can be published to: at least one character [MQTT-4.7.3-1], no U+0000 [MQTT-4.7.3-2], no wildcard
/// [MQTT-3.3.2-2].
pub fn is_topic_name(text: &str) -> bool {
    !text.is_empty() && !has_wildcard(text) && !text.as_bytes().contains(&0)
}

/// To the end of the text in any case: without a way out the compiler looks at many bytes at a time, and texts without wildcards
/// are the rule.
#[inline]
pub(super) fn has_wildcard(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte == b'+') | (byte == b'#'))
}

/// Whether wildcards are where they may be: `#` as the last level [MQTT-4.7.1-1], `+` as a whole level [MQTT-4.7.1-2].
fn is_well_formed(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let is_wildcard = level == "+" || (level == "#" && is_last);
        if !is_wildcard && has_wildcard(level) {
            return false;
        }
    }
    !filter.is_empty()
}

impl<'a> Filter<'a> {
    /// Takes a filter apart. It never fails: what is not well formed says so.
    pub fn new(whole: &'a str) -> Self {
        let Some(shared) = whole.strip_prefix(SHARE) else {
            return Self { whole, group: None, filter: whole, is_valid: is_well_formed(whole) };
        };
        match shared.split_once('/') {
            Some((group, filter)) if !group.is_empty() && !has_wildcard(group) => {
                Self { whole, group: Some(group), filter, is_valid: is_well_formed(filter) }
            }
            _ => Self { whole, group: None, filter: whole, is_valid: false },
        }
    }

    /// Whether it asks for a shared subscription, well formed or not.
    pub fn is_shared(&self) -> bool {
        self.whole.starts_with(SHARE)
    }
}
