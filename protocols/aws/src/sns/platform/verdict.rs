//! What a service's answer means.

use std::borrow::Cow;

/// What became of a message that was handed to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service has it.
    Taken,
    /// Later, perhaps.
    Later(Cow<'static, str>),
    /// Never: the message is at fault.
    Never(Cow<'static, str>),
    /// Never again to this device: the endpoint is disabled.
    DeviceGone(Cow<'static, str>),
    /// The token has had its time, or is not believed: another one may be.
    TokenRefused(Cow<'static, str>),
    /// The credentials are not believed: the application is disabled.
    CredentialsRefused(Cow<'static, str>),
}

/// A word of the other side as it may stand in a log: short, letters and digits only.
pub(super) fn word(said: &str) -> Cow<'static, str> {
    const CHARACTERS_MAX: usize = 64;
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_' || *letter == '-';
    Cow::Owned(said.chars().filter(is_plain).take(CHARACTERS_MAX).collect())
}
