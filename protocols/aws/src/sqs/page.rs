//! Pages of lists: a token says where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fault;
use super::limits::PAGE_MAX;
use crate::error::Error;

/// Which page is asked for.
#[derive(Debug)]
pub(crate) struct Page {
    after: Option<String>,
    results_max: usize,
    /// Whether the caller wants a token: who does not limit pages gets none.
    is_limited: bool,
}

impl Page {
    /// Reads what a request says. `what` is what its token has to be about.
    pub(crate) fn new(results_max: Option<i64>, token: Option<&str>, what: &str) -> Result<Self, Error> {
        let results = match results_max {
            None => PAGE_MAX,
            Some(number) => u64::try_from(number)
                .ok()
                .filter(|number| (1..=PAGE_MAX).contains(number))
                .ok_or_else(|| fault::invalid_value(number, "MaxResults", "MaxResults must be between 1 and 1000."))?,
        };
        let after = match token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(read(token, what)?),
        };
        Ok(Self { after, results_max: results as usize, is_limited: results_max.is_some() })
    }

    /// The page's part of names in order, and the token of the next page.
    pub(crate) fn of<T>(&self, sorted: Vec<T>, name: impl Fn(&T) -> &str, what: &str) -> (Vec<T>, Option<String>) {
        let first = match &self.after {
            Some(after) => sorted.partition_point(|entry| name(entry) <= after.as_str()),
            None => 0,
        };
        let has_more = sorted.len() - first > self.results_max;
        let page: Vec<T> = sorted.into_iter().skip(first).take(self.results_max).collect();
        let last = page.last().filter(|_| has_more && self.is_limited);
        let token = last.map(|last| STANDARD.encode(format!("{what}\0{}", name(last))));
        (page, token)
    }
}

fn read(token: &str, what: &str) -> Result<String, Error> {
    let invalid = || fault::invalid_parameter("Invalid or expired next token.");
    let bytes = STANDARD.decode(token).map_err(|_| invalid())?;
    let text = String::from_utf8(bytes).map_err(|_| invalid())?;
    let (of, after) = text.split_once('\0').ok_or_else(invalid)?;
    if of != what {
        return Err(fault::invalid_parameter(
            "Invalid NextToken value. If you are passing in NextToken, you must not change the other request parameters.",
        ));
    }
    Ok(after.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another() {
        let names = || vec!["a", "b", "c", "d", "e"];
        let (page, token) = Page::new(Some(2), None, "x").unwrap().of(names(), |name| name, "x");
        assert_eq!(page, ["a", "b"]);
        let (page, token) = Page::new(Some(2), token.as_deref(), "x").unwrap().of(names(), |name| name, "x");
        assert_eq!(page, ["c", "d"]);
        let gone = vec!["a", "b", "c", "e"];
        let (page, token) = Page::new(Some(2), token.as_deref(), "x").unwrap().of(gone, |name| name, "x");
        assert_eq!((page, token), (vec!["e"], None));
        let (page, token) = Page::new(None, None, "x").unwrap().of(names(), |name| name, "x");
        assert_eq!((page.len(), token), (5, None));
    }

    #[test]
    fn tokens_and_limits_are_checked() {
        let (_, token) = Page::new(Some(1), None, "x").unwrap().of(vec!["a", "b"], |name| name, "x");
        assert!(Page::new(Some(1), token.as_deref(), "y").unwrap_err().message.starts_with("Invalid NextToken value."));
        for token in ["?", "YWJj", "////"] {
            assert_eq!(Page::new(Some(1), Some(token), "x").unwrap_err().message, "Invalid or expired next token.");
        }
        for number in [0, -1, 1001] {
            assert!(Page::new(Some(number), None, "x").is_err());
        }
        assert!(Page::new(Some(1000), Some(""), "x").is_ok());
    }
}
