//! Ids of subscriptions, and tokens that confirm them: nobody can guess either.

use subtle::ConstantTimeEq;

use super::limits::TOKEN_S;
use super::subscriptions::Token;
use crate::error::Error;

/// Bytes of a token that are random.
const SECRET_BYTES: usize = 48;
/// Bytes of a UUID.
const ID_BYTES: usize = 16;

/// A new id of a subscription: a random UUID.
///
/// # Errors
/// The operating system has no randomness.
pub(crate) fn id() -> Result<String, Error> {
    let mut bytes = [0; ID_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(&error))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(parts.join("-"))
}

/// A new token of a subscription, good from now on for three days.
///
/// # Errors
/// The operating system has no randomness.
pub(crate) fn token(id: &str, now_ms: u64) -> Result<Token, Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(&error))?;
    let text = format!("{}{}", id.replace('-', ""), hex(&bytes));
    Ok(Token { text: text.into(), until_ms: now_ms.saturating_add(TOKEN_S * 1000), asked_ms: now_ms })
}

/// The id of the subscription that a token is for; none where it is not written as a token.
pub(crate) fn id_of(token: &str) -> Option<String> {
    let is_hex = token.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    if token.len() != 2 * (ID_BYTES + SECRET_BYTES) || !is_hex {
        return None;
    }
    let parts = [&token[..8], &token[8..12], &token[12..16], &token[16..20], &token[20..32]];
    Some(parts.join("-"))
}

/// Whether a text is written as ids are.
pub(crate) fn is_id(text: &str) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if is_dash(at) { byte == b'-' } else { is_digit(byte) })
}

/// Whether it is this token, and still good.
pub(crate) fn is_good(token: &Token, given: &str, now_ms: u64) -> bool {
    bool::from(token.text.as_bytes().ct_eq(given.as_bytes())) && now_ms < token.until_ms
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_subscription_and_is_good_for_three_days() {
        let id = id().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!(is_id(&id) && !is_id(&id[1..]) && !is_id(&id.to_uppercase().replace('-', "_")));
        let token = token(&id, 1_000).unwrap();
        assert_eq!(id_of(&token.text), Some(id.clone()));
        let end_ms = 1_000 + 3 * 24 * 60 * 60 * 1000;
        assert!(is_good(&token, &token.text, end_ms - 1));
        assert!(!is_good(&token, &token.text, end_ms));
        let another = super::token(&id, 1_000).unwrap();
        assert!(!is_good(&token, &another.text, 1_000) && !is_good(&token, "", 1_000));
        for none in ["", "x", &token.text[1..], &token.text.to_uppercase(), &"é".repeat(64)] {
            assert!(none == &*token.text || id_of(none).is_none(), "{none}");
        }
    }
}
