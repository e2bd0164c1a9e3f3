//! Names of hosts and their addresses.
//!
//! The operating system is asked on threads that others use, too, and cannot be told to stop. So few are asked at a time, each
//! host once however many want to know, and answers are remembered for a moment. Hosts that were found before do not wait for
//! those that never were: whoever has many names that nobody answers for must not keep others from theirs.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

/// Hosts that are looked for at a time, of those that were found before, and of the others: so many threads.
const LOOKS_MAX: usize = 16;
/// For so long an answer is remembered.
const FRESH: Duration = Duration::from_secs(5);
/// Above so many hosts those that were not looked for lately are forgotten.
const HOSTS_LOOK: usize = 4_000;
/// A host was not looked for lately when that was so long ago.
const OLD: Duration = Duration::from_secs(600);

/// The addresses of a host; none where it is not known.
type Found = Option<Arc<[IpAddr]>>;

/// What is asked for the addresses of a host. Blocks.
type Resolve = fn(&str) -> Found;

/// What is known of hosts.
#[derive(Debug)]
pub(super) struct Names {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    hosts: Mutex<HashMap<Box<str>, Host>>,
    known: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    resolve: Resolve,
}

#[derive(Debug)]
struct Host {
    /// None before there is an answer.
    answer: watch::Receiver<Option<Found>>,
    /// When it was asked for, then when there was an answer.
    at: Instant,
    /// It was found the last time.
    is_known: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self::with(resolve)
    }
}

fn resolve(host: &str) -> Found {
    let addresses = (host, 0).to_socket_addrs().ok()?;
    Some(addresses.map(|address| address.ip()).collect())
}

impl Names {
    fn with(resolve: Resolve) -> Self {
        let places = || Arc::new(Semaphore::new(LOOKS_MAX));
        let parts = Parts { hosts: Mutex::default(), known: places(), unknown: places(), resolve };
        Self { parts: Arc::new(parts) }
    }

    /// The addresses of a host; none where nobody knows it.
    pub(super) async fn addresses(&self, host: &str) -> Found {
        let mut answer = self.answer(host);
        let found = answer.wait_for(Option::is_some).await.ok()?;
        found.clone().flatten()
    }

    fn answer(&self, host: &str) -> watch::Receiver<Option<Found>> {
        let mut hosts = self.parts.hosts.lock();
        let mut is_known = false;
        if let Some(there) = hosts.get(host) {
            let is_asked = there.answer.borrow().is_none() && there.answer.has_changed().is_ok();
            if is_asked || there.at.elapsed() < FRESH {
                return there.answer.clone();
            }
            is_known = there.is_known;
        } else if hosts.len() >= HOSTS_LOOK {
            hosts.retain(|_, host| host.answer.borrow().is_none() || host.at.elapsed() < OLD);
        }
        let (told, answer) = watch::channel(None);
        hosts.insert(host.into(), Host { answer: answer.clone(), at: Instant::now(), is_known });
        drop(hosts);
        let (parts, host) = (Arc::clone(&self.parts), Box::<str>::from(host));
        let places = Arc::clone(if is_known { &parts.known } else { &parts.unknown });
        // Not ended by the end of who wants to know.
        tokio::spawn(async move {
            let Ok(place) = places.acquire_owned().await else { return };
            let asked = tokio::task::spawn_blocking(move || {
                let found = (parts.resolve)(&host);
                if let Some(there) = parts.hosts.lock().get_mut(&host) {
                    (there.at, there.is_known) = (Instant::now(), found.is_some());
                }
                drop(place);
                // Nobody may want to know any more.
                let _ = told.send(Some(found));
            });
            if asked.await.is_err() {
                tracing::warn!("a name of a host is not looked for: the program ends");
            }
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    static AT_ONCE_MAX: AtomicUsize = AtomicUsize::new(0);

    fn slowly(host: &str) -> Found {
        ASKED.fetch_add(1, Ordering::SeqCst);
        AT_ONCE_MAX.fetch_max(AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        AT_ONCE.fetch_sub(1, Ordering::SeqCst);
        host.starts_with("there").then(|| [IpAddr::from([127, 0, 0, 1])].into())
    }

    #[tokio::test]
    async fn each_host_is_looked_for_once_and_few_at_a_time() {
        let names = Arc::new(Names::with(slowly));
        let mut tasks = Vec::new();
        for at in 0..400 {
            let names = Arc::clone(&names);
            tasks.push(tokio::spawn(async move { names.addresses(&format!("there-{}", at % 40)).await }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap().as_deref(), Some(&[IpAddr::from([127, 0, 0, 1])][..]));
        }
        assert_eq!(names.addresses("nowhere").await, None);
        assert_eq!(names.addresses("nowhere").await, None, "that is remembered, too");
        assert_eq!(ASKED.load(Ordering::SeqCst), 41);
        assert!(AT_ONCE_MAX.load(Ordering::SeqCst) <= LOOKS_MAX);
    }

    fn never(host: &str) -> Found {
        if host.starts_with("lost") {
            std::thread::sleep(Duration::from_secs(1));
            return None;
        }
        Some([IpAddr::from([127, 0, 0, 1])].into())
    }

    #[tokio::test]
    async fn a_host_that_was_found_does_not_wait_for_those_that_nobody_finds() {
        let names = Names::with(never);
        assert!(names.addresses("found").await.is_some());
        names.parts.hosts.lock().get_mut("found").unwrap().at -= FRESH;
        for at in 0..LOOKS_MAX + 1 {
            drop(names.answer(&format!("lost-{at}")));
        }
        assert!(names.addresses("found").await.is_some());
        assert!(names.answer(&format!("lost-{LOOKS_MAX}")).borrow().is_none(), "it waits still");
    }

    #[tokio::test]
    async fn the_system_knows_this_host() {
        let found = Names::default().addresses("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
