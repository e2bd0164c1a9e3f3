//! Connections that wait for their next request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::address::Address;
use super::ask::Speech;
use super::guard::Reach;
use super::line::Line;

/// How often connections that have waited for too long are looked for.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What a connection can be used for again: the address was checked for that reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) address: Address,
    pub(crate) reach: Reach,
    pub(crate) speech: Speech,
}

/// Connections by where they go.
#[derive(Debug)]
pub(crate) struct Pool {
    waiting: Arc<Mutex<Waiting>>,
    idle_timeout: Duration,
    idle_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Those that waited longest come first.
    lines: HashMap<Place, VecDeque<(Instant, Line)>>,
    len: usize,
    /// Somebody looks for those that have waited for too long.
    is_watched: bool,
}

impl Waiting {
    fn drop_older(&mut self, than: Instant) {
        self.lines.retain(|_, lines| {
            while lines.front().is_some_and(|(since, line)| *since <= than || line.is_closed()) {
                lines.pop_front();
                self.len -= 1;
            }
            !lines.is_empty()
        });
    }
}

impl Pool {
    pub(crate) fn new(idle_timeout: Duration, idle_max: usize) -> Self {
        Self { waiting: Arc::default(), idle_timeout, idle_max }
    }

    /// The connection that has waited for the shortest time; one that can be shared stays.
    pub(crate) fn take(&self, place: &Place) -> Option<Line> {
        let mut waiting = self.waiting.lock();
        let Waiting { lines, len, .. } = &mut *waiting;
        let found = lines.get_mut(place)?;
        let mut taken = None;
        while let Some((since, line)) = found.pop_back() {
            *len -= 1;
            if line.is_closed() {
                continue;
            }
            if let Some(shared) = line.share() {
                found.push_back((since.max(Instant::now()), shared));
                *len += 1;
            }
            taken = Some(line);
            break;
        }
        if found.is_empty() {
            lines.remove(place);
        }
        taken
    }

    /// A connection waits for its next request, unless too many do.
    pub(crate) fn put(&self, place: &Place, line: Line) {
        let mut waiting = self.waiting.lock();
        let is_shared = place.speech == Speech::Http2;
        let is_there = || waiting.lines.get(place).is_some_and(|lines| lines.iter().any(|(_, line)| !line.is_closed()));
        if waiting.len >= self.idle_max || self.idle_timeout.is_zero() || (is_shared && is_there()) {
            return;
        }
        waiting.lines.entry(place.clone()).or_default().push_back((Instant::now(), line));
        waiting.len += 1;
        if !std::mem::replace(&mut waiting.is_watched, true) {
            tokio::spawn(watch(Arc::clone(&self.waiting), self.idle_timeout));
        }
    }
}

/// Closes those that have waited for too long, for as long as there are any.
async fn watch(waiting: Arc<Mutex<Waiting>>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL.min(idle_timeout)).await;
        let mut waiting = waiting.lock();
        if let Some(than) = Instant::now().checked_sub(idle_timeout) {
            waiting.drop_older(than);
        }
        if waiting.len == 0 {
            waiting.is_watched = false;
            return;
        }
    }
}
