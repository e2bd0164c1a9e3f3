//! What a request says of its signature: in the header `authorization`, or in its query.

use std::borrow::Cow;

use super::{ALGORITHM, Signed, TERMINATOR};
use crate::date;
use crate::wire::form;

/// The longest time that a URL may be signed for: a week.
const EXPIRES_MAX_S: i64 = 7 * 24 * 60 * 60;

/// What stands in a request about its signature. Nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whose key it is said to be made with.
    pub key_id: Cow<'a, str>,
    /// The day of the scope: 8 digits.
    pub(super) day: Cow<'a, str>,
    /// The region of the scope.
    pub region: Cow<'a, str>,
    /// The service of the scope.
    pub service: Cow<'a, str>,
    /// Names of headers between `;`.
    pub(super) signed_headers: Cow<'a, str>,
    pub(super) signature: [u8; 32],
    /// When it was made, as it is signed.
    pub(super) timestamp: Cow<'a, str>,
    pub(super) made_s: i64,
    /// How long a URL is good for.
    pub(super) expires_s: Option<i64>,
}

/// What is missing from a claim, or not written as it has to be, in AWS's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub Cow<'static, str>);

impl<'a> Claim<'a> {
    /// What a request says. None where it says nothing: it is not signed.
    ///
    /// # Errors
    /// It says something, and not all that it has to.
    pub fn read(request: Signed<'a>) -> Result<Option<Self>, Malformed> {
        if let Some(header) = request.headers.get("authorization") {
            let text = header.to_str().map_err(|_| Malformed("Authorization header is not ASCII.".into()))?;
            return Self::of_header(text, request).map(Some);
        }
        if request.query.contains("X-Amz-Signature=") || request.query.contains("X-Amz-Credential=") {
            return Self::of_query(request.query).map(Some);
        }
        Ok(None)
    }

    /// The id of the key, the region and the service that a header `authorization` names, and no look at anything else of it.
    pub fn key_and_scope(header: &'a str) -> Option<(&'a str, &'a str, &'a str)> {
        let parts = header.trim().strip_prefix(ALGORITHM)?.strip_prefix(' ')?.split(',');
        let credential = parts.into_iter().find_map(|part| part.trim().strip_prefix("Credential="))?;
        let mut parts = credential.rsplitn(5, '/');
        let (terminator, service, region, _day, key_id) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (terminator == TERMINATOR && is_region(region)).then_some((key_id, region, service))
    }

    /// Reads `AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...`.
    fn of_header(text: &'a str, request: Signed<'a>) -> Result<Self, Malformed> {
        let (algorithm, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            return Err(Malformed("Unsupported AWS 'algorithm', only 'AWS4-HMAC-SHA256' is supported.".into()));
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let Some((name, value)) = part.trim().split_once('=') else { continue };
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Malformed(format!("Authorization header has parameter '{name}' twice.").into()));
            }
        }
        let missing = |name: &str| Malformed(format!("Authorization header requires '{name}' parameter.").into());
        let date = request.headers.get("x-amz-date").or_else(|| request.headers.get("date"));
        let timestamp = date.and_then(|date| date.to_str().ok()).ok_or_else(|| {
            Malformed("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into())
        })?;
        Self::of_parts(
            credential.ok_or_else(|| missing("Credential"))?.into(),
            signed_headers.ok_or_else(|| missing("SignedHeaders"))?.into(),
            signature.ok_or_else(|| missing("Signature"))?,
            timestamp.into(),
            None,
        )
    }

    /// Reads `X-Amz-Algorithm`, `X-Amz-Credential` and so on.
    fn of_query(query: &'a str) -> Result<Self, Malformed> {
        const NAMES: [&str; 6] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
            "X-Amz-Date",
            "X-Amz-Expires",
        ];
        let mut values: [Option<Cow<'a, str>>; 6] = [const { None }; 6];
        for pair in query.split('&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let Some(at) = NAMES.iter().position(|known| *known == name) else { continue };
            let value = form::decode(value.as_bytes()).map_err(|error| Malformed(error.to_string().into()))?;
            if values[at].replace(value).is_some() {
                return Err(Malformed(format!("The query has parameter '{name}' twice.").into()));
            }
        }
        if let Some(missing) = values.iter().position(Option::is_none) {
            return Err(Malformed(format!("AWS query-string parameters must include '{}'.", NAMES[missing]).into()));
        }
        let [algorithm, credential, signed_headers, signature, timestamp, expires] =
            values.map(Option::unwrap_or_default);
        if algorithm != ALGORITHM {
            return Err(Malformed("Unsupported AWS 'algorithm', only 'AWS4-HMAC-SHA256' is supported.".into()));
        }
        let expires_s = expires.parse::<i64>().ok().filter(|expires| (0..=EXPIRES_MAX_S).contains(expires));
        let invalid = || Malformed(format!("X-Amz-Expires must be between 0 and {EXPIRES_MAX_S} seconds.").into());
        Self::of_parts(credential, signed_headers, &signature, timestamp, Some(expires_s.ok_or_else(invalid)?))
    }

    fn of_parts(
        credential: Cow<'a, str>,
        signed_headers: Cow<'a, str>,
        signature: &str,
        timestamp: Cow<'a, str>,
        expires_s: Option<i64>,
    ) -> Result<Self, Malformed> {
        let bad_scope = || {
            Malformed(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.".into(),
            )
        };
        // From behind: an id may have a slash.
        let mut parts = match &credential {
            Cow::Borrowed(text) => text.rsplitn(5, '/').map(Cow::Borrowed).collect::<Vec<_>>(),
            Cow::Owned(text) => text.rsplitn(5, '/').map(|part| Cow::Owned(part.to_owned())).collect(),
        };
        let (Some(key_id), Some(day), Some(region), Some(service), Some(terminator)) =
            (parts.pop(), parts.pop(), parts.pop(), parts.pop(), parts.pop())
        else {
            return Err(bad_scope());
        };
        if terminator != TERMINATOR {
            return Err(Malformed(
                format!("Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.")
                    .into(),
            ));
        }
        if !is_region(&region) {
            return Err(Malformed("Credential should be scoped to a valid region.".into()));
        }
        let bad_date = || Malformed("Date must be in ISO-8601 'basic format'.".into());
        let made_s = date::parse_basic(&timestamp).ok_or_else(bad_date)?;
        let bad_signature = || Malformed("Signature must be 64 hexadecimal digits.".into());
        let signature = unhex(signature).ok_or_else(bad_signature)?;
        Ok(Self { key_id, day, region, service, signed_headers, signature, timestamp, made_s, expires_s })
    }
}

fn is_region(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(is_known)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = form::hex(digits[0])? << 4 | form::hex(digits[1])?;
    }
    Some(bytes)
}
