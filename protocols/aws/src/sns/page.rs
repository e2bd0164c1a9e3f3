//! Pages of lists: a token says where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fault;
use super::limits::PAGE_ENTRIES;
use crate::error::Error;

/// A page of entries, which are in the order of their keys, and the token of the next one.
///
/// # Errors
/// The token is none.
pub(crate) fn page<T>(
    sorted: Vec<T>,
    key: impl Fn(&T) -> &str,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Error> {
    page_of(sorted, key, token, PAGE_ENTRIES)
}

/// As [`page`], of a number of entries.
pub(crate) fn page_of<T>(
    sorted: Vec<T>,
    key: impl Fn(&T) -> &str,
    token: Option<&str>,
    entries_max: usize,
) -> Result<(Vec<T>, Option<String>), Error> {
    let first = after(token)?.map_or(0, |after| sorted.partition_point(|entry| key(entry) <= after.as_str()));
    let has_more = sorted.len() - first > entries_max;
    let page: Vec<T> = sorted.into_iter().skip(first).take(entries_max).collect();
    let token = page.last().filter(|_| has_more).map(|last| STANDARD.encode(key(last)));
    Ok((page, token))
}

/// So many entries are asked for to fill a page, and to know whether there are more.
pub(crate) const ENTRIES_ASKED: usize = PAGE_ENTRIES + 1;

/// What a page begins behind, for lists that are too long to be copied.
///
/// # Errors
/// The token is none.
pub(crate) fn after(token: Option<&str>) -> Result<Option<String>, Error> {
    let invalid = || fault::invalid_parameter("NextToken");
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    let after = STANDARD.decode(token).map_err(|_| invalid())?;
    String::from_utf8(after).map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let names = || vec!["a", "b", "c", "d", "e"];
        let (page, token) = page_of(names(), |name| name, None, 2).unwrap();
        assert_eq!(page, ["a", "b"]);
        let (page, token) = page_of(names(), |name| name, token.as_deref(), 2).unwrap();
        assert_eq!(page, ["c", "d"]);
        // What a token names may be gone.
        let (page, token) = page_of(vec!["a", "e"], |name| name, token.as_deref(), 2).unwrap();
        assert_eq!((page, token), (vec!["e"], None));
        assert_eq!(page_of(names(), |name| name, Some(""), 5).unwrap().0.len(), 5);
        for token in ["?", "////"] {
            let error = page_of(names(), |name| name, Some(token), 2).unwrap_err();
            assert_eq!(error.message, "Invalid parameter: NextToken");
        }
    }
}
