//! The sandbox: as long as an account is in it, messages go to numbers that were verified only.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::sns::{fault, faults};

/// Numbers of an account.
pub(crate) const NUMBERS_MAX: usize = 10;
/// How long a password is good, in milliseconds.
const PASSWORD_MS: u64 = 24 * 60 * 60 * 1_000;
/// How often a password may be guessed: one in 200,000 is right.
const GUESSES_MAX: u32 = 5;

/// A number in the sandbox.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Number {
    /// Its holder has to say the password.
    Pending {
        /// What was sent to it.
        password: String,
        /// When, in milliseconds since the epoch of Unix.
        sent_ms: u64,
        /// How often something else was said.
        guesses: u32,
    },
    /// Its holder has said it.
    Verified,
}

impl Number {
    /// One that was sent this password.
    pub(crate) fn pending(password: String, now_ms: u64) -> Self {
        Self::Pending { password, sent_ms: now_ms, guesses: 0 }
    }

    /// As lists have it.
    pub(crate) fn status(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "Pending",
            Self::Verified => "Verified",
        }
    }

    /// What becomes of it when somebody says a password: it, changed, and what is answered.
    pub(crate) fn said(&self, said: &str, now_ms: u64) -> (Self, Result<(), Error>) {
        let Self::Pending { password, sent_ms, guesses } = self else { return (Self::Verified, Ok(())) };
        if *guesses >= GUESSES_MAX || sent_ms.saturating_add(PASSWORD_MS) < now_ms {
            return (self.clone(), Err(wrong("The one-time password has expired. Request a new one.")));
        }
        if said == password {
            return (Self::Verified, Ok(()));
        }
        let guessed = Self::Pending { password: password.clone(), sent_ms: *sent_ms, guesses: guesses + 1 };
        (guessed, Err(wrong("The one-time password is invalid.")))
    }
}

fn wrong(message: &'static str) -> Error {
    Error::new(&faults::VERIFICATION, message)
}

/// Checks what may be a password: five to eight digits.
pub(crate) fn check_password(text: &str) -> Result<(), Error> {
    let is_password = (5..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_password { Ok(()) } else { Err(fault::invalid_parameter("OneTimePassword Reason: it is 5 to 8 digits")) }
}

/// The languages that a password may be sent in.
const LANGUAGES: [&str; 13] = [
    "en-US", "en-GB", "es-419", "es-ES", "de-DE", "fr-CA", "fr-FR", "it-IT", "ja-JP", "pt-BR", "kr-KR", "zh-CN",
    "zh-TW",
];

/// The message that has a password, in a language; English where none is said.
///
/// # Errors
/// There is no such language.
pub(crate) fn message(password: &str, language: Option<&str>) -> Result<String, Error> {
    let language = language.unwrap_or("en-US");
    if !LANGUAGES.contains(&language) {
        return Err(fault::invalid_parameter("LanguageCode"));
    }
    Ok(match language.split('-').next().unwrap_or_default() {
        "es" => format!("Su código de verificación es {password}."),
        "de" => format!("Ihr Bestätigungscode lautet {password}."),
        "fr" => format!("Votre code de vérification est {password}."),
        "it" => format!("Il codice di verifica è {password}."),
        "ja" => format!("確認コード: {password}"),
        "pt" => format!("Seu código de verificação é {password}."),
        "kr" => format!("인증 코드: {password}"),
        "zh" if language == "zh-TW" => format!("驗證碼: {password}"),
        "zh" => format!("验证码: {password}"),
        _ => format!("Your verification code is {password}."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_said_in_time_and_not_guessed() {
        let number = Number::pending("123456".into(), 1_000);
        let (verified, answer) = number.said("123456", 2_000);
        assert_eq!((verified.status(), answer), ("Verified", Ok(())));
        assert!(verified.said("0", 0).1.is_ok());
        assert!(number.said("123456", 1_000 + PASSWORD_MS + 1).1.is_err());
        let mut guessed = number;
        for _ in 0..GUESSES_MAX {
            let (next, answer) = guessed.said("000000", 2_000);
            assert_eq!(answer.unwrap_err().query_code(), "VerificationException");
            guessed = next;
        }
        assert!(guessed.said("123456", 2_000).1.is_err(), "too late");
    }

    #[test]
    fn passwords_are_digits_and_languages_those_of_the_model() {
        assert!(check_password("12345").is_ok() && check_password("12345678").is_ok());
        for text in ["", "1234", "123456789", "12345a"] {
            assert!(check_password(text).is_err(), "{text}");
        }
        for language in LANGUAGES {
            assert!(message("123456", Some(language)).unwrap().contains("123456"));
        }
        assert!(message("123456", Some("tlh")).is_err());
        assert_eq!(message("123456", None).unwrap(), "Your verification code is 123456.");
    }
}
