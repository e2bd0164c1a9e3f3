//! What a user may do in a virtual host.

use serde::{Deserialize, Serialize};

use super::pattern::{Pattern, PatternError};

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Create, delete, change.
    Configure,
    /// Put messages in.
    Write,
    /// Take messages out.
    Read,
}

impl Access {
    /// The word for it in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What one user may do in one virtual host. Without one, the user may not even enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Names that may be configured.
    pub configure: Pattern,
    /// Names that may be written.
    pub write: Pattern,
    /// Names that may be read.
    pub read: Pattern,
}

/// The name by which patterns know the default exchange, whose own is empty.
const DEFAULT_EXCHANGE: &[u8] = b"amq.default";

impl Permission {
    /// Compiles the three expressions.
    ///
    /// # Errors
    /// One of them is not taken.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, PatternError> {
        Ok(Self { configure: Pattern::new(configure)?, write: Pattern::new(write)?, read: Pattern::new(read)? })
    }

    /// Whether this may be done to the queue or exchange of that name. The empty name is the default exchange. Sessions
    /// ask an [`AccessCache`](super::AccessCache), which remembers.
    pub fn may(&self, access: Access, name: impl AsRef<[u8]>) -> bool {
        let name = match name.as_ref() {
            [] => DEFAULT_EXCHANGE,
            name => name,
        };
        match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
        .matches(name)
    }
}
