//! What is set on an exchange beside its declaration, and may change at any time.
//!
//! As the settings of a queue, these are no arguments: clients of other protocols declare the exchange without them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::queue::Ordered;

/// What is set on an exchange beside its declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExchangeSettings {
    /// Messages have numbers and one order in all queues, and are not taken twice: see
    /// [`VirtualHost::publish_once`](super::VirtualHost::publish_once). Set when the exchange is declared, and never changed to or
    /// from none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<Ordered>,
    /// What a protocol keeps with the exchange. The broker does not read it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ExchangeSettings {
    /// Whether nothing is set.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
