//! Tags of topics.

use gantry_broker::ExchangeSettings;
use serde::{Deserialize, Serialize};

use super::limits::{TAG_KEY_CHARACTERS_MAX, TAG_VALUE_CHARACTERS_MAX, TAGS_MAX};
use super::{fault, faults};
use crate::error::Error;
use crate::sqs::pairs::Text;

/// What the names of annotations begin with that are tags.
const PREFIX: &str = "sns.tag.";

/// A tag of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Given<'a> {
    #[serde(borrow, default)]
    pub(crate) key: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) value: Text<'a>,
}

/// A tag of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Told {
    key: String,
    value: String,
}

/// The tags of a topic, in the order of their keys.
pub(crate) fn all(settings: &ExchangeSettings) -> impl Iterator<Item = Told> {
    settings.annotations.iter().filter_map(|(name, value)| {
        let key = name.strip_prefix(PREFIX)?.to_owned();
        Some(Told { key, value: value.clone() })
    })
}

/// Whether a topic has all these tags.
pub(crate) fn has(settings: &ExchangeSettings, tags: &[Given<'_>]) -> bool {
    let is_there =
        |tag: &Given<'_>| settings.annotations.get(&name(&tag.key)).is_some_and(|value| **value == *tag.value);
    tags.iter().all(is_there)
}

/// Adds tags, each in place of the one with its key.
///
/// # Errors
/// A key comes twice, one is none, or there are too many.
pub(crate) fn add(settings: &mut ExchangeSettings, tags: &[Given<'_>]) -> Result<(), Error> {
    for (at, Given { key, value }) in tags.iter().enumerate() {
        if tags[..at].iter().any(|other| *other.key == **key) {
            return Err(fault::invalid_parameter("Duplicated keys are not allowed."));
        }
        if key.is_empty() || key.chars().count() > TAG_KEY_CHARACTERS_MAX {
            return Err(fault::invalid_parameter("Tags Reason: keys have from 1 to 128 characters"));
        }
        if value.chars().count() > TAG_VALUE_CHARACTERS_MAX {
            return Err(fault::invalid_parameter("Tags Reason: values have at most 256 characters"));
        }
        settings.annotations.insert(name(key), value.to_string());
    }
    if all(settings).count() > TAGS_MAX {
        let message = "Could not complete request: tag quota of per resource exceeded";
        return Err(Error::new(&faults::TAG_LIMIT_EXCEEDED, message));
    }
    Ok(())
}

/// Removes a tag.
pub(crate) fn remove(settings: &mut ExchangeSettings, key: &str) {
    settings.annotations.remove(&name(key));
}

fn name(key: &str) -> String {
    format!("{PREFIX}{key}")
}
