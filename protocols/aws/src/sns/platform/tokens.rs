//! Tokens that were made or fetched a moment ago, by the numbers of their applications. Services refuse new ones for every message.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// Above so many tokens all are forgotten.
const TOKENS_MAX: usize = 10_000;

/// A token, and what it is for.
pub(crate) struct Grant {
    /// What stands behind `bearer` in requests.
    pub(crate) token: Box<str>,
    /// What else has to be known of the application: the app of Apple's, the project of Google's.
    pub(crate) of: Box<str>,
    /// Until when it is used, in seconds since the epoch of Unix.
    pub(crate) until_s: i64,
}

/// Where the token of an application is, or will be: whoever is first makes it, and all others wait for that.
pub(crate) type Place = Arc<OnceCell<Grant>>;

/// All of them.
#[derive(Default)]
pub(crate) struct Tokens {
    kept: Mutex<HashMap<Box<str>, Place>>,
}

impl fmt::Debug for Tokens {
    // They are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// The place of an application. One whose token has had its time is empty again.
    pub(crate) fn place(&self, application: &str, now_s: i64) -> Place {
        let mut kept = self.kept.lock();
        if let Some(place) = kept.get(application)
            && place.get().is_none_or(|grant| grant.until_s > now_s)
        {
            return Arc::clone(place);
        }
        if kept.len() >= TOKENS_MAX {
            kept.clear();
        }
        let place = Place::default();
        kept.insert(application.into(), Arc::clone(&place));
        place
    }

    /// Forgets that of an application: its credentials are others now.
    pub(crate) fn forget(&self, application: &str) {
        self.kept.lock().remove(application);
    }

    /// A service has refused the token of this place: it is not used again. A newer one is left alone.
    pub(crate) fn refused(&self, application: &str, place: &Place) {
        let mut kept = self.kept.lock();
        if kept.get(application).is_some_and(|there| Arc::ptr_eq(there, place)) {
            kept.remove(application);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(place: &Place, token: &str, until_s: i64) {
        let grant = Grant { token: token.into(), of: "".into(), until_s };
        assert!(place.set(grant).is_ok());
    }

    #[test]
    fn a_token_is_good_for_its_time() {
        let tokens = Tokens::default();
        let place = tokens.place("1", 0);
        assert!(Arc::ptr_eq(&place, &tokens.place("1", 0)), "whoever comes next waits for the first");
        fill(&place, "secret", 100);
        assert_eq!(&*tokens.place("1", 99).get().unwrap().token, "secret");
        assert!(tokens.place("1", 100).get().is_none());
        assert!(tokens.place("2", 0).get().is_none());
        assert!(!format!("{tokens:?}").contains("secret"));
    }

    #[test]
    fn what_was_refused_is_not_used_again() {
        let tokens = Tokens::default();
        let first = tokens.place("1", 0);
        fill(&first, "a", 100);
        tokens.refused("1", &first);
        let second = tokens.place("1", 0);
        assert!(second.get().is_none());
        fill(&second, "b", 100);
        // Somebody who has waited long still holds the first one.
        tokens.refused("1", &first);
        assert!(tokens.place("1", 0).get().is_some());
        tokens.forget("1");
        assert!(tokens.place("1", 0).get().is_none());
    }
}
