//! A login that came before the protocol's first byte.

use std::fmt;

/// A user name and a password. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, as the client wrote it: `vhost:user`, where a protocol reads names so, included.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).field("password", &"***").finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let credentials = Credentials { user: String::from("shop"), password: String::from("secret") };
        let shown = format!("{credentials:?}");
        assert!(shown.contains("shop") && !shown.contains("secret"), "{shown}");
    }
}
