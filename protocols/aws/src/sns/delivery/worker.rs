//! Takes messages out of one queue and has them delivered.

use std::pin::pin;
use std::sync::{Arc, Weak};

use gantry_broker::{Delivery, Receive, Wakes};
use parking_lot::{Mutex, RwLock};

use super::attempt::Attempt;
use super::count::Counts;
use super::errand::Errand;
use super::pace::Pace;
use super::room::{Manner, Room, Rooms};
use crate::Edge;

/// Messages of one queue that may be under way or wait to be tried again; what comes after them waits. Each of these takes some
/// hundred bytes of memory.
const LEASED_MAX: usize = 100_000;

/// Works through a queue, and waits at it for more.
pub(super) struct Worker {
    /// Nothing keeps the program's parts alive for what it waits for.
    edge: Weak<Edge>,
    errand: Arc<RwLock<Arc<Errand>>>,
    counts: Arc<Counts>,
    rooms: Rooms,
    /// How the last delivery went.
    manner: Arc<Mutex<Manner>>,
}

/// Why there is nothing to deliver at the moment.
enum Pause {
    Empty,
    Closed,
}

impl Worker {
    pub(super) fn new(edge: &Arc<Edge>, errand: Arc<RwLock<Arc<Errand>>>, counts: Arc<Counts>, rooms: Rooms) -> Self {
        Self { edge: Arc::downgrade(edge), errand, counts, rooms, manner: Arc::default() }
    }

    /// Delivers until the queue, or the program, is gone.
    pub(super) async fn run(self) {
        let first = Arc::clone(&self.errand.read());
        let (mut endpoint, queue) = (Arc::clone(&first.endpoint), Arc::clone(&first.queue));
        let mut room = self.rooms.room(&first.place());
        drop(first);
        let mut pace = Pace::default();
        loop {
            // In line before it looks: what comes in between is not missed.
            let mut turn = pin!(queue.arrival());
            turn.as_mut().enable();
            let errand = Arc::clone(&self.errand.read());
            if errand.endpoint != endpoint {
                endpoint = Arc::clone(&errand.endpoint);
                room = self.rooms.room(&errand.place());
            }
            drop(errand);
            match self.work(&room, &mut pace).await {
                Pause::Empty => turn.await,
                Pause::Closed => return,
            }
        }
    }

    /// Has everything delivered that is there.
    async fn work(&self, room: &Room, pace: &mut Pace) -> Pause {
        loop {
            pace.wait().await;
            // A place first: what is received is on its way at once, and its lease need not last for longer than an attempt does.
            let manner = *self.manner.lock();
            let Some(place) = room.take(manner).await else { return Pause::Closed };
            let Some(edge) = self.edge.upgrade() else { return Pause::Closed };
            let errand = Arc::clone(&self.errand.read());
            let delivery = match receive(&errand) {
                Ok(delivery) => delivery,
                Err(pause) => return pause,
            };
            let is_ordered = errand.is_ordered();
            pace.begin(errand.policy.receives_per_second_max);
            let (counts, manner) = (Arc::clone(&self.counts), Arc::clone(&self.manner));
            let attempt = Attempt { edge, errand, counts, manner };
            if is_ordered {
                attempt.run(delivery).await;
                continue;
            }
            tokio::spawn(async move {
                attempt.run(delivery).await;
                drop(place);
            });
        }
    }
}

/// Takes one message.
fn receive(errand: &Errand) -> Result<Delivery, Pause> {
    let lease_ms = errand.means.lease().as_millis() as u64;
    // Where order is kept, nothing goes past what waits to be tried again, not even after a crash.
    let leased_max = if errand.is_ordered() { 1 } else { LEASED_MAX };
    let ask = Receive { messages_max: 1, lease_ms, leased_max };
    let mut received = errand.queue.receive(&ask, &mut Wakes::new());
    match received.deliveries.pop() {
        Some(delivery) => Ok(delivery),
        None if received.closed => Err(Pause::Closed),
        None => Err(Pause::Empty),
    }
}
