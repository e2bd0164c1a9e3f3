//! The services that messages to mobile devices go through, by the names that SNS has for them.

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Apple's, for apps of customers. `is_sandbox` is the one for apps in development.
    Apple {
        /// Its name.
        name: &'static str,
        /// Whether its apps are still developed.
        is_sandbox: bool,
    },
    /// Google's; `GCM` is what it was called when SNS learned of it.
    Google(&'static str),
    /// Kept, and none that this program delivers to.
    Other(&'static str),
}

const ALL: [Platform; 12] = [
    Platform::Apple { name: "APNS", is_sandbox: false },
    Platform::Apple { name: "APNS_SANDBOX", is_sandbox: true },
    Platform::Apple { name: "APNS_VOIP", is_sandbox: false },
    Platform::Apple { name: "APNS_VOIP_SANDBOX", is_sandbox: true },
    Platform::Apple { name: "MACOS", is_sandbox: false },
    Platform::Apple { name: "MACOS_SANDBOX", is_sandbox: true },
    Platform::Google("GCM"),
    Platform::Google("FCM"),
    Platform::Other("ADM"),
    Platform::Other("Baidu"),
    Platform::Other("MPNS"),
    Platform::Other("WNS"),
];

impl Platform {
    /// The service of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        ALL.into_iter().find(|platform| platform.name() == name)
    }

    /// Its name, which ARNs and messages with a text for each protocol use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apple { name, .. } | Self::Google(name) | Self::Other(name) => name,
        }
    }

    /// Whether a device is known by hexadecimal digits.
    pub(crate) fn is_apple(self) -> bool {
        matches!(self, Self::Apple { .. })
    }

    /// What message attributes about this service begin with, such as `AWS.SNS.MOBILE.APNS`.
    pub(crate) fn attribute(self, name: &str) -> String {
        let platform = match self {
            Self::Google(_) => "FCM",
            Self::Other("Baidu") => "BAIDU",
            platform => platform.name(),
        };
        format!("AWS.SNS.MOBILE.{platform}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_the_names_of_sns() {
        for platform in ALL {
            assert_eq!(Platform::of(platform.name()), Some(platform));
        }
        assert_eq!(Platform::of("apns"), None);
        assert_eq!(Platform::Google("GCM").attribute("TTL"), "AWS.SNS.MOBILE.FCM.TTL");
        assert_eq!(Platform::of("APNS_SANDBOX").unwrap().attribute("TTL"), "AWS.SNS.MOBILE.APNS_SANDBOX.TTL");
    }
}
