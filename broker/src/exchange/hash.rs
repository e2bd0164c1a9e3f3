//! Consistent hash: one binding for each message, by a hash of something that it has.
//!
//! Each binding has as many buckets as its weight says. Buckets are numbers, of which a jump consistent hash (Lamping and
//! Veach, 2014) gives one for each message; runs of buckets of the same binding are kept, not buckets, so that a weight costs
//! neither memory nor time. The buckets of a binding that goes become holes: a message that falls into one is hashed again
//! until it finds a bucket, so that no other message changes its place. The next binding fills the holes first, and gets back
//! what belonged there.

use std::hash::Hash;

use bytes::Bytes;

use super::error::BindError;
use crate::message::Properties;
use crate::value::{Text, Value};

/// The largest weight of a binding. Beyond it the key is more likely a mistake, and one binding must not drown the others.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// The largest sum of the weights of an exchange.
pub const BUCKETS_MAX: u32 = 1 << 30;

/// As many holes as buckets may be left before all is numbered anew, which moves messages: more of them would cost time.
const HOLES_PER_BUCKET_MAX: u64 = 1;

/// So many runs for a binding, and as many again, before all is numbered anew.
const RUNS_PER_BINDING_MAX: usize = 8;
const RUNS_FEW: usize = 64;

/// What of a message is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The routing key.
    Key,
    /// A header, by its name (argument `hash-header`).
    Header(Text),
    /// A property (argument `hash-property`).
    Property(HashProperty),
}

/// A property that can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashProperty {
    /// `correlation_id`
    CorrelationId,
    /// `message_id`
    MessageId,
    /// `timestamp`
    Timestamp,
}

impl HashProperty {
    /// By the name that the argument gives.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "correlation_id" => Some(Self::CorrelationId),
            "message_id" => Some(Self::MessageId),
            "timestamp" => Some(Self::Timestamp),
            _ => None,
        }
    }
}

/// A weight, as a binding's key says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Weight(u32);

impl Weight {
    pub(super) fn parse(key: &[u8]) -> Result<Self, BindError> {
        let no_integer = || BindError::WeightNoInteger(key.into());
        let (negative, digits) = match key {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(no_integer());
        }
        // However many digits there are.
        let number = digits.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(1 << 32));
        if negative || number == 0 {
            return Err(BindError::WeightTooSmall);
        }
        match u32::try_from(number) {
            Ok(weight) if weight <= WEIGHT_MAX => Ok(Self(weight)),
            _ => Err(BindError::WeightTooLarge),
        }
    }
}

/// Neighbouring buckets of one binding, or a hole.
#[derive(Debug, Clone)]
struct Run<D> {
    /// The first bucket behind it.
    end: u64,
    owner: Option<Owner<D>>,
}

#[derive(Debug, Clone)]
struct Owner<D> {
    /// Which binding: a destination may have several of different weights.
    binding: u64,
    destination: D,
}

#[derive(Debug, Clone)]
struct Bound<D> {
    binding: u64,
    weight: u32,
    destination: D,
}

#[derive(Debug, Clone)]
pub(super) struct ConsistentHash<D> {
    on: HashOn,
    /// In the order of their buckets. The last one is no hole.
    runs: Vec<Run<D>>,
    /// In the order in which they were bound.
    bound: Vec<Bound<D>>,
    bindings: u64,
    /// Buckets that belong to a binding.
    buckets: u64,
}

impl<D: Clone + Eq + Hash> ConsistentHash<D> {
    pub(super) fn new(on: HashOn) -> Self {
        Self { on, runs: Vec::new(), bound: Vec::new(), bindings: 0, buckets: 0 }
    }

    pub(super) fn asks_message(&self) -> bool {
        self.on != HashOn::Key
    }

    pub(super) fn check_room(&self, weight: Weight) -> Result<(), BindError> {
        if self.buckets + u64::from(weight.0) > u64::from(BUCKETS_MAX) {
            return Err(BindError::TooManyBuckets);
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, Weight(weight): Weight, destination: D) {
        self.bindings += 1;
        let binding = self.bindings;
        self.bound.push(Bound { binding, weight, destination: destination.clone() });
        self.buckets += u64::from(weight);
        self.place(&Owner { binding, destination }, u64::from(weight));
        if self.runs.len() > RUNS_FEW + RUNS_PER_BINDING_MAX * self.bound.len() {
            self.number_anew();
        }
    }

    /// Gives buckets to a binding: holes first, then new ones.
    fn place(&mut self, owner: &Owner<D>, weight: u64) {
        let mut left = weight;
        let mut runs = Vec::with_capacity(self.runs.len() + 2);
        let mut begin = 0;
        for run in self.runs.drain(..) {
            let length = run.end - begin;
            if run.owner.is_none() && left > 0 {
                let filled = length.min(left);
                left -= filled;
                runs.push(Run { end: begin + filled, owner: Some(owner.clone()) });
                if filled < length {
                    runs.push(run.clone());
                }
            } else {
                runs.push(run.clone());
            }
            begin = run.end;
        }
        if left > 0 {
            runs.push(Run { end: begin + left, owner: Some(owner.clone()) });
        }
        self.runs = runs;
        self.merge();
    }

    pub(super) fn remove(&mut self, Weight(weight): Weight, destination: &D) {
        let found = self.bound.iter().position(|bound| bound.weight == weight && bound.destination == *destination);
        if let Some(index) = found {
            let binding = self.bound.remove(index).binding;
            self.buckets -= u64::from(weight);
            self.open(|owner| owner.binding == binding);
        }
    }

    pub(super) fn remove_destination(&mut self, destination: &D) {
        self.bound.retain(|bound| bound.destination != *destination);
        self.buckets = self.bound.iter().map(|bound| u64::from(bound.weight)).sum();
        self.open(|owner| owner.destination == *destination);
    }

    /// Makes holes of what belongs to some binding.
    fn open(&mut self, gone: impl Fn(&Owner<D>) -> bool) {
        for run in &mut self.runs {
            if run.owner.as_ref().is_some_and(&gone) {
                run.owner = None;
            }
        }
        self.merge();
        let holes = self.total() - self.buckets;
        if holes > self.buckets * HOLES_PER_BUCKET_MAX {
            self.number_anew();
        }
    }

    /// Neighbours of the same owner become one run.
    fn merge(&mut self) {
        let binding = |run: &Run<D>| run.owner.as_ref().map(|owner| owner.binding);
        self.runs.dedup_by(|next, run| {
            let same = binding(next) == binding(run);
            if same {
                run.end = next.end;
            }
            same
        });
        // A hole at the end is no bucket.
        while self.runs.last().is_some_and(|run| run.owner.is_none()) {
            self.runs.pop();
        }
    }

    fn number_anew(&mut self) {
        let mut end = 0;
        self.runs = self
            .bound
            .iter()
            .map(|bound| {
                end += u64::from(bound.weight);
                let owner = Owner { binding: bound.binding, destination: bound.destination.clone() };
                Run { end, owner: Some(owner) }
            })
            .collect();
    }

    fn total(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    pub(super) fn matches<'p>(
        &self,
        key: &[u8],
        properties: &dyn Fn() -> Option<&'p Properties>,
        visit: &mut dyn FnMut(&D),
    ) {
        let total = self.total();
        if total == 0 {
            return;
        }
        let mut hash = self.hash(key, properties);
        // There are no more holes than buckets, so that this many attempts fail for one message in 2^64; it goes to the last.
        for _ in 0..64 {
            let bucket = jump(hash, total);
            let index = self.runs.partition_point(|run| run.end <= bucket);
            if let Some(owner) = self.runs.get(index).and_then(|run| run.owner.as_ref()) {
                return visit(&owner.destination);
            }
            hash = mix(hash);
        }
        if let Some(owner) = self.runs.last().and_then(|run| run.owner.as_ref()) {
            visit(&owner.destination);
        }
    }

    /// Messages that do not have what is asked for all go the same way.
    fn hash<'p>(&self, key: &[u8], properties: &dyn Fn() -> Option<&'p Properties>) -> u64 {
        let of_bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| hash_bytes(bytes));
        let found = match &self.on {
            HashOn::Key => Some(hash_bytes(key)),
            HashOn::Header(name) => properties()
                .and_then(|properties| properties.headers.as_ref()?.get(name.as_bytes()))
                .map(|value| hash_value(value, 0)),
            HashOn::Property(property) => properties().and_then(|properties| match property {
                HashProperty::CorrelationId => of_bytes(&properties.correlation_id),
                HashProperty::MessageId => of_bytes(&properties.message_id),
                HashProperty::Timestamp => properties.timestamp_s.map(mix),
            }),
        };
        found.unwrap_or(0)
    }
}

/// A bucket below `buckets` for each hash: evenly, and with one bucket more few change theirs, and those to the new one.
fn jump(hash: u64, buckets: u64) -> u64 {
    let (mut bucket, mut next, mut state) = (0, 0_u64, hash);
    while next < buckets {
        bucket = next;
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((state >> 33) + 1) as f64)) as u64;
    }
    bucket
}

/// The same for the same bytes in every process, so that messages keep their places over a restart.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        hash = mix(hash ^ u64::from_le_bytes(eight));
    }
    let mut last = [0; 8];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    mix(hash ^ u64::from_le_bytes(last)) ^ mix(bytes.len() as u64)
}

/// Numbers are hashed as numbers, in however many bits they came.
fn hash_value(value: &Value, seed: u64) -> u64 {
    match value {
        Value::Text(text) => mix(seed) ^ hash_bytes(text.as_bytes()),
        Value::Binary(bytes) => mix(seed) ^ hash_bytes(bytes),
        Value::Bool(bool) => mix(seed ^ u64::from(*bool)),
        Value::Timestamp(number) => mix(seed ^ number),
        Value::F32(number) => mix(seed ^ f64::from(*number).to_bits()),
        Value::F64(number) => mix(seed ^ number.to_bits()),
        Value::Decimal { scale, value } => mix(seed ^ u64::from(*scale) << 32 ^ u64::from(value.cast_unsigned())),
        Value::Array(values) => values.iter().fold(mix(seed), |hash, value| hash_value(value, hash)),
        Value::Table(table) => {
            table.iter().fold(mix(seed), |hash, (name, value)| hash_value(value, hash ^ hash_bytes(name.as_bytes())))
        }
        value => mix(seed ^ value.as_integer().unwrap_or(0) as u64),
    }
}

/// Spreads each bit over all others.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests;
