//! What the crash tests load a broker with: numbered messages whose bodies tell whether they are whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::ledger::{Found, Ledger};
use crate::unique;
use crate::wire::{Delivery, Method, NO_PROPERTIES, Wire};

/// No publisher sends more in one round: the next look at the queues must not take longer than the load.
pub const ROUND_MESSAGES_MAX: u64 = 20_000;

/// One queue and what is known of it.
#[derive(Clone)]
pub struct Watched {
    /// The name of the queue.
    pub name: String,
    ledger: Arc<Mutex<Ledger>>,
}

impl Watched {
    /// A queue that does not exist yet, with an empty ledger.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { name: unique(kind), ledger: Arc::default() }
    }

    /// What is known of it.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// xorshift64: the same seed kills at the same moments.
pub struct Dice(u64);

impl Dice {
    /// A number below `below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// The number of rounds (`GANTRY_CRASH_ROUNDS`, `default` without it) and the dice (`GANTRY_CRASH_SEED`) of a crash test.
///
/// # Panics
/// When one of them is not a number.
#[must_use]
pub fn rounds_and_dice(default: u64) -> (u64, Dice) {
    let rounds =
        std::env::var("GANTRY_CRASH_ROUNDS").map_or(default, |rounds| rounds.parse().expect("a number of rounds"));
    let seed = std::env::var("GANTRY_CRASH_SEED")
        .map_or_else(|_| u64::from(std::process::id()) << 20 | 1, |seed| seed.parse().expect("a seed"));
    println!("GANTRY_CRASH_SEED={seed} GANTRY_CRASH_ROUNDS={rounds}");
    (rounds, Dice(seed))
}

/// The body of a message: its number, and as many more bytes as the number says, to be checked when it comes back.
#[must_use]
pub fn body_of(number: u64) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    let filling = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let length = match filling % 50 {
        0 => 9000,
        1..10 => 0,
        other => other as usize * 40,
    };
    body.extend((0..length).map(|at| (filling >> (at % 57)) as u8));
    body
}

/// The number of a message whose body is as it was sent.
///
/// # Panics
/// When it is not.
#[track_caller]
#[must_use]
pub fn number_of(body: &[u8]) -> u64 {
    let number = body.first_chunk().map(|&bytes| u64::from_be_bytes(bytes)).expect("a body of ours");
    assert!(body == body_of(number), "the body of {number} has changed");
    number
}

/// Starts a worker with a connection of its own, which works until the broker goes away; it returns how much it has done.
pub fn work(
    address: &str,
    job: impl FnOnce(&mut Wire, &mut u64) -> io::Result<()> + Send + 'static,
) -> JoinHandle<u64> {
    let address = address.to_owned();
    std::thread::spawn(move || {
        let mut done = 0;
        // The broker goes away, and may say so when it is stopped; it has no other reason to close anything.
        if let Err(error) = Wire::open(address).and_then(|mut wire| job(&mut wire, &mut done)) {
            let text = error.to_string();
            assert!(!text.contains("closed instead of") || text.contains("code: 320"), "{text}");
        }
        done
    })
}

/// Publishes with a window of unconfirmed messages, in bursts. `properties` are those of a persistent message by its
/// number, or `None` for one that is not.
///
/// # Errors
/// When the broker goes away; otherwise it ends after [`ROUND_MESSAGES_MAX`], by waiting for a confirm that never comes.
///
/// # Panics
/// When a confirm is for nothing that was published.
pub fn publish(
    wire: &mut Wire,
    done: &mut u64,
    (exchange, key): (&str, &str),
    queues: &[Watched],
    next: &AtomicU64,
    mut properties: impl FnMut(u64) -> Option<Vec<u8>>,
) -> io::Result<()> {
    wire.open_channel(1)?;
    wire.call(1, &Method::new(85, 10).octet(0), (85, 11))?;
    let mut outstanding = BTreeMap::new();
    let mut next_tag = 1_u64;
    for burst in 0.. {
        let mut bytes = Vec::new();
        for _ in 0..1 + burst % 40 {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let persistent = properties(number);
            queues.iter().for_each(|queue| queue.ledger().sent(number, persistent.is_some()));
            let properties = persistent.as_deref().unwrap_or(&NO_PROPERTIES);
            bytes.extend(Wire::publish_frames(1, exchange, key, properties, &body_of(number)));
            outstanding.insert(next_tag, number);
            next_tag += 1;
        }
        wire.send(&bytes)?;
        // Half of the window is always on its way.
        while outstanding.len() > 100 || *done + outstanding.len() as u64 > ROUND_MESSAGES_MAX {
            let ack = wire.expect(1, (60, 80))?;
            let mut arguments = ack.arguments();
            let (tag, multiple) = (arguments.longlong(), arguments.octet() & 1 == 1);
            let later = outstanding.split_off(&(tag + 1));
            let confirmed = if multiple {
                std::mem::replace(&mut outstanding, later)
            } else {
                let confirmed = outstanding.remove_entry(&tag).into_iter().collect();
                outstanding.extend(later);
                confirmed
            };
            assert!(!confirmed.is_empty(), "{tag} was confirmed twice, or never published");
            for number in confirmed.values() {
                queues.iter().for_each(|queue| queue.ledger().confirmed(*number));
            }
            *done += confirmed.len() as u64;
        }
    }
    Ok(())
}

/// Receives messages of a queue without acknowledging them, until `enough` says so.
///
/// # Errors
/// When the broker goes away, or no further message comes in time.
pub fn take(
    wire: &mut Wire,
    channel: u16,
    queue: &str,
    mut enough: impl FnMut(&[Found]) -> bool,
) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    if enough(&found) {
        return Ok(found);
    }
    let consume = Method::new(60, 20).short(0).shortstr(queue).shortstr(queue).octet(0).no_arguments();
    wire.call(channel, &consume, (60, 21))?;
    while !enough(&found) {
        let Delivery { redelivered, body, .. } = wire.delivery(channel)?;
        found.push(Found { number: number_of(&body), redelivered });
    }
    wire.call_amid_deliveries(channel, &Method::new(60, 30).shortstr(queue).octet(0), (60, 31))?;
    Ok(found)
}
