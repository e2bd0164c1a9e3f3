//! Forms and query strings: names and values between `&` and `=`.

use std::borrow::Cow;

/// Parameters of a request. More than this many are refused: the largest batch has fewer.
pub(crate) const PARAMETERS_MAX: usize = 4_096;

/// Names and values in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// What makes a form unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Decoded, it is not UTF-8.
    #[error("a parameter is not valid UTF-8")]
    NotUtf8,
    /// `%` without two digits behind it.
    #[error("a parameter has a % that is not followed by two hexadecimal digits")]
    Escape,
    /// There are too many.
    #[error("there are more than {PARAMETERS_MAX} parameters")]
    TooMany,
}

impl<'a> Form<'a> {
    /// Adds what stands in a body or behind the `?` of a request.
    ///
    /// # Errors
    /// It cannot be read; nothing is said of what was added.
    pub fn read(&mut self, bytes: &'a [u8]) -> Result<(), FormError> {
        for pair in bytes.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            if self.pairs.len() >= PARAMETERS_MAX {
                return Err(FormError::TooMany);
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            self.pairs.push((decode(name)?, decode(value)?));
        }
        Ok(())
    }

    /// The first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// Adds a parameter.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.pairs.push((name.into(), value.into()));
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A part of a form: `+` is a space, `%41` a byte.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, FormError> {
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| FormError::NotUtf8);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (digits, behind) = rest.split_at_checked(2).ok_or(FormError::Escape)?;
                rest = behind;
                hex(digits[0]).zip(hex(digits[1])).map(|(high, low)| high << 4 | low).ok_or(FormError::Escape)?
            }
            byte => *byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| FormError::NotUtf8)
}

pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, FormError> {
        let mut form = Form::default();
        form.read(bytes)?;
        Ok(form.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn names_and_values_are_decoded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            pairs(b"Action=SendMessage&&MessageBody=a+b%26c%C3%A9&Empty=&Bare"),
            Ok(vec![pair("Action", "SendMessage"), pair("MessageBody", "a b&cé"), pair("Empty", ""), pair("Bare", "")])
        );
        assert_eq!(pairs(b"a=%4"), Err(FormError::Escape));
        assert_eq!(pairs(b"a=%zz"), Err(FormError::Escape));
        assert_eq!(pairs(b"a=%ff"), Err(FormError::NotUtf8));
        assert_eq!(pairs(&b"a&".repeat(PARAMETERS_MAX)).map(|pairs| pairs.len()), Ok(PARAMETERS_MAX));
        assert_eq!(pairs(&b"a&".repeat(PARAMETERS_MAX + 1)), Err(FormError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read(name in "\\PC{1,8}", value in "\\PC{0,40}") {
            let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
            let form = format!("{}={}", escape(&name), escape(&value));
            prop_assert_eq!(pairs(form.as_bytes()), Ok(vec![(name, value)]));
        }
    }
}
