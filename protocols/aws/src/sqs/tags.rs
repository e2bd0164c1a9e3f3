//! Tags of queues.

use gantry_broker::QueueSettings;

use super::fault;
use super::limits::{TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, TAGS_MAX};
use super::pairs::{Pairs, Text};
use crate::error::Error;

/// What the names of annotations begin with that are tags.
const PREFIX: &str = "sqs.tag.";

/// The tags of a queue, in the order of their keys.
pub(crate) fn all(settings: &QueueSettings) -> impl Iterator<Item = (&str, &str)> {
    settings.annotations.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value.as_str())))
}

/// Adds tags, each in place of the one with its key.
pub(crate) fn add(settings: &mut QueueSettings, tags: &Pairs<'_, Text<'_>>, queue: &str) -> Result<(), Error> {
    for (key, value) in tags.iter() {
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARACTERS_MAX {
            return Err(fault::invalid_parameter("Tag keys must be between 1 and 128 characters in length."));
        }
        if value.chars().count() > TAG_VALUE_CHARACTERS_MAX {
            return Err(fault::invalid_parameter("Tag values must be between 0 and 256 characters in length."));
        }
        settings.annotations.insert(format!("{PREFIX}{key}"), value.0.clone().into_owned());
    }
    if all(settings).count() > TAGS_MAX {
        return Err(fault::invalid_parameter(format!("Too many tags added for queue {queue}.")));
    }
    Ok(())
}

/// Removes tags by their keys.
pub(crate) fn remove<'k>(settings: &mut QueueSettings, keys: impl Iterator<Item = &'k str>) {
    for key in keys {
        settings.annotations.remove(&format!("{PREFIX}{key}"));
    }
}
