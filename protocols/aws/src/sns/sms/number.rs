//! Phone numbers, as E.164 has them.

use std::sync::Arc;

use crate::error::Error;
use crate::sns::fault;

/// A number as it is kept: a plus sign and two to fifteen digits, without a zero at the beginning. None where it is written otherwise; the plus
/// sign may be left out.
pub(crate) fn read(text: &str) -> Option<Arc<str>> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_number = (2..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("+{digits}").into())
}

/// The number that an action is about. `parameter` is what it calls it.
///
/// # Errors
/// It is none.
pub(crate) fn given(text: &str, parameter: &str) -> Result<Arc<str>, Error> {
    read(text).ok_or_else(|| fault::invalid_parameter(format_args!("{parameter} Reason: input incorrectly formatted")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_e_164() {
        for (text, number) in [
            ("+15550100", "+15550100"),
            ("4915112345678", "+4915112345678"),
            ("+12", "+12"),
            ("+123456789012345", "+123456789012345"),
        ] {
            assert_eq!(read(text).as_deref(), Some(number));
        }
        for text in ["", "+", "+1", "+0155", "++155", "+1 555", "555-0100", "+1234567890123456", "phone", "+٤٤٤"] {
            assert_eq!(read(text), None, "{text}");
        }
        let error = given("x", "PhoneNumber").unwrap_err();
        assert_eq!(error.message, "Invalid parameter: PhoneNumber Reason: input incorrectly formatted");
    }
}
