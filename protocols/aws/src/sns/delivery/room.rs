//! How many deliveries there are at once.
//!
//! What is slow gets a share of the places that are free, so that the more slow endpoints there are the fewer places each of them
//! has, and some are always left for what is quick.

use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Deliveries at once, of all errands together. Each has a body in memory, and most have a connection.
const ALL_MAX: usize = 2_000;
/// Of those, of all errands that are not known to be quick.
const SLOW_MAX: usize = 1_500;
/// Of those, to one host and port, or to one endpoint that is no URL.
const ENDPOINT_MAX: usize = 64;
/// Of those, of an errand whose last delivery has failed: what does not answer must not take the places of what does.
const FAILING_MAX: usize = 4;
/// An errand that is quick has at least so many.
const QUICK_MIN: usize = 4;
/// An errand has at most this part of the places that nobody has.
const QUICK_PART: usize = 16;
const SLOW_PART: usize = 32;

/// Above so many endpoints those that nobody delivers to any more are looked for.
const ENDPOINTS_LOOK: usize = 1_000;

/// How the last delivery of an errand went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// It was delivered at once.
    Quick,
    /// It was delivered after a while; or there was none.
    #[default]
    Slow,
    /// It failed, and is tried again.
    Failing,
}

/// Places of all deliveries.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    all: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    endpoints: Arc<Mutex<HashMap<Box<str>, Weak<Semaphore>>>>,
}

impl Default for Rooms {
    fn default() -> Self {
        let (all, slow) = (Semaphore::new(ALL_MAX), Semaphore::new(SLOW_MAX));
        Self { all: Arc::new(all), slow: Arc::new(slow), endpoints: Arc::default() }
    }
}

/// Places of the deliveries of one errand.
#[derive(Debug)]
pub(super) struct Room {
    own: Arc<Semaphore>,
    endpoint: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// The place of one delivery.
#[derive(Debug)]
pub(super) struct Taken {
    #[expect(dead_code, reason = "they are places for as long as they are kept")]
    permits: [Option<OwnedSemaphorePermit>; 4],
}

impl Rooms {
    /// The room of an errand to an endpoint, which it shares with the others to that.
    pub(super) fn room(&self, endpoint: &str) -> Room {
        let mut endpoints = self.endpoints.lock();
        if endpoints.len() >= ENDPOINTS_LOOK && !endpoints.contains_key(endpoint) {
            endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
        }
        let found = endpoints.get(endpoint).and_then(Weak::upgrade);
        let endpoint = found.unwrap_or_else(|| {
            let made = Arc::new(Semaphore::new(ENDPOINT_MAX));
            endpoints.insert(endpoint.into(), Arc::downgrade(&made));
            made
        });
        let (slow, all) = (Arc::clone(&self.slow), Arc::clone(&self.all));
        Room { own: Arc::new(Semaphore::new(ENDPOINT_MAX)), endpoint, slow, all }
    }
}

impl Room {
    /// Waits for a place.
    pub(super) async fn take(&self, manner: Manner) -> Option<Taken> {
        // All but its share of its own places are taken for the moment in which one of these is looked for.
        let spare = ENDPOINT_MAX - self.share(manner);
        let own = Arc::clone(&self.own).acquire_many_owned(spare as u32 + 1).await.ok()?;
        let own = own.split_one(spare);
        let endpoint = Arc::clone(&self.endpoint).acquire_owned().await.ok()?;
        let slow = match manner {
            Manner::Quick => None,
            Manner::Slow | Manner::Failing => Some(Arc::clone(&self.slow).acquire_owned().await.ok()?),
        };
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Taken { permits: [Some(own), Some(endpoint), slow, Some(all)] })
    }

    /// How many places an errand may have, for now.
    fn share(&self, manner: Manner) -> usize {
        let free = self.all.available_permits();
        match manner {
            Manner::Quick => (free / QUICK_PART).clamp(QUICK_MIN, ENDPOINT_MAX),
            Manner::Slow => (free.min(self.slow.available_permits()) / SLOW_PART).clamp(1, ENDPOINT_MAX),
            Manner::Failing => self.share(Manner::Slow).min(FAILING_MAX),
        }
    }
}

/// Gives back all permits but one.
trait SplitOne {
    fn split_one(self, spare: usize) -> Self;
}

impl SplitOne for OwnedSemaphorePermit {
    fn split_one(mut self, spare: usize) -> Self {
        drop(self.split(spare));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place, where there is one without waiting.
    async fn at_once(room: &Room, manner: Manner) -> Option<Taken> {
        tokio::select! {
            biased;
            // However much the test has done before.
            taken = tokio::task::unconstrained(room.take(manner)) => taken,
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn slow_endpoints_leave_places_to_quick_ones_however_many_they_are() {
        for count in [1, 60, 2_500] {
            let rooms = Rooms::default();
            let slow: Vec<Room> = (0..count).map(|at| rooms.room(&format!("slow-{at}"))).collect();
            let mut taken = Vec::new();
            // Each takes what it gets, one after the other.
            loop {
                let before = taken.len();
                for room in &slow {
                    taken.extend(at_once(room, Manner::Slow).await);
                }
                if taken.len() == before {
                    break;
                }
            }
            assert!(taken.len() >= 40, "{count}: {}", taken.len());
            assert!(taken.len() <= SLOW_MAX, "{count}: {}", taken.len());
            let quick = rooms.room("quick");
            let mut places = Vec::new();
            while let Some(place) = at_once(&quick, Manner::Quick).await {
                places.push(place);
            }
            assert!(places.len() >= 25, "{count}: {}", places.len());
        }
    }

    #[tokio::test]
    async fn what_fails_has_few_places_and_what_is_quick_many() {
        for (manner, expected) in [(Manner::Quick, 64), (Manner::Slow, 45), (Manner::Failing, 4)] {
            let room = Rooms::default().room("a");
            let mut places = Vec::new();
            while let Some(place) = at_once(&room, manner).await {
                places.push(place);
            }
            assert_eq!(places.len(), expected, "{manner:?}");
            drop(places.pop());
            assert!(at_once(&room, manner).await.is_some(), "{manner:?}");
        }
    }
}
