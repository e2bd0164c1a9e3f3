//! Short messages: what is set for them, numbers that want none, the sandbox.
//!
//! | file | about |
//! | --- | --- |
//! | `number` | phone numbers; pure |
//! | `attributes` | what an account has set; pure |
//! | `sandbox` | numbers that were verified, and those that shall be; pure |
//! | `gateway` | the request that the gateway wants, and what its answers mean; pure |
//! | `kept` | all of it, and its rows |

pub(crate) mod attributes;
pub(crate) mod gateway;
mod kept;
pub(crate) mod number;
pub(crate) mod sandbox;

use std::sync::Arc;

pub use self::gateway::Gateway;
pub(crate) use self::kept::ShortMessages;

/// Longest message, in characters.
pub(crate) const MESSAGE_CHARACTERS_MAX: usize = 1_600;

/// What the configuration says of short messages.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who takes them.
    pub gateway: Gateway,
    /// Whether they go to numbers that were verified only.
    pub is_in_sandbox: bool,
    /// Numbers that they may come from, as E.164 has them.
    pub origination_numbers: Vec<Arc<str>>,
}
