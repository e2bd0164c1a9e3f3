//! Accounts are virtual hosts with a number of 12 digits for a name.

use crate::settings::Settings;

impl Settings {
    /// The virtual host of an account.
    pub fn vhost_of(&self, account: &str) -> Option<&str> {
        self.accounts.iter().find(|(number, _)| **number == *account).map(|(_, vhost)| &**vhost)
    }

    /// The account of a virtual host.
    pub fn account_of(&self, vhost: &str) -> Option<&str> {
        self.accounts.iter().find(|(_, name)| **name == *vhost).map(|(number, _)| &**number)
    }
}

/// Whether it is written as an account: 12 digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_virtual_hosts_name_each_other() {
        let settings = Settings {
            accounts: vec![("000000000000".into(), "/".into()), ("111122223333".into(), "sales".into())],
            ..Settings::default()
        };
        assert_eq!(settings.vhost_of("111122223333"), Some("sales"));
        assert_eq!(settings.account_of("/"), Some("000000000000"));
        assert_eq!((settings.vhost_of("1"), settings.account_of("other")), (None, None));
        assert!(is_account("000000000000") && !is_account("00000000000a") && !is_account("0"));
    }
}
