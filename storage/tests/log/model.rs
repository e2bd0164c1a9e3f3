//! Random work against a model that is too simple to be wrong. A failure prints its seed; `GANTRY_SEED` runs that one alone.

use gantry_storage::{Faults, LogCursor, LogFilter, LogReading, LogRecord, LogRetention};

use crate::engine::{Embedded, Engine, Memory, read_all, wanting};

/// xorshift: the same numbers for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    offset: u64,
    timestamp_ms: u64,
    tag: Option<&'static str>,
    payload: Vec<u8>,
}

const TAGS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("a longer tag")];

fn run(seed: u64, engine: &mut dyn Engine, forgets: bool) {
    let mut random = Random(seed);
    let mut now: Vec<Known> = Vec::new();
    let (mut safe, mut next, mut clock) = (0, 0, 0);
    let mut cursors = vec![(LogCursor::at(0), None::<LogFilter>)];
    for _ in 0..200 {
        match random.next(100) {
            0..40 => {
                let mut batch = Vec::new();
                for _ in 0..=random.next(30) {
                    next += if random.next(10) == 0 { random.next(100) } else { 0 };
                    clock = (clock + random.next(20)).saturating_sub(5);
                    let length = if random.next(50) == 0 { random.next(20_000) } else { random.next(200) };
                    let payload = vec![next as u8; length as usize];
                    let floor = batch.last().or(now.last()).map_or(0, |last: &Known| last.timestamp_ms);
                    let tag = TAGS[random.next(4) as usize];
                    batch.push(Known { offset: next, timestamp_ms: floor.max(clock), tag, payload });
                    next += 1;
                }
                let payloads: Vec<[&[u8]; 1]> = batch.iter().map(|known| [known.payload.as_slice()]).collect();
                let records: Vec<_> = batch
                    .iter()
                    .zip(&payloads)
                    .map(|(known, payload)| LogRecord {
                        offset: known.offset,
                        timestamp_ms: known.timestamp_ms,
                        tag: known.tag.map(str::as_bytes),
                        payload,
                    })
                    .collect();
                engine.log().append(&records).unwrap();
                now.extend(batch);
            }
            40..50 => {
                engine.log().sync().unwrap();
                safe = next;
            }
            50..55 => {
                let bytes_max = Some(random.next(100_000));
                engine.log().retain(LogRetention { bytes_max, before_ms: None }).unwrap();
                let first = engine.log().range().first;
                now.retain(|known| known.offset >= first);
            }
            55..60 => {
                engine.crash().unwrap();
                if forgets {
                    now.retain(|known| known.offset < safe);
                }
                next = engine.log().range().next;
                assert!(next >= safe);
                cursors.iter_mut().for_each(|(cursor, _)| *cursor = LogCursor::at(cursor.offset.min(next)));
            }
            60..65 => {
                let filter = (random.next(2) == 0).then(|| wanting(&["a", "a longer tag"], random.next(2) == 0));
                cursors.push((LogCursor::at(random.next(next + 10)), filter));
            }
            65..70 => {
                let ms = random.next(now.last().map_or(10, |last| last.timestamp_ms + 10));
                let found = now.iter().find(|known| known.timestamp_ms >= ms);
                assert_eq!(engine.log().find_time(ms).unwrap(), found.map_or(next, |known| known.offset));
            }
            _ => {
                let index = random.next(cursors.len() as u64) as usize;
                let (cursor, filter) = &mut cursors[index];
                let (records_max, bytes_max) = (random.next(40) as usize, random.next(3000) as usize);
                let from = cursor.offset;
                let reading = LogReading { records_max, bytes_max, filter: filter.as_ref() };
                let found = engine.log().read(cursor, reading).unwrap();
                let wanted =
                    |known: &&Known| filter.as_ref().is_none_or(|filter| filter.wants(known.tag.map(str::as_bytes)));
                let mut bytes = 0;
                let expected: Vec<_> = now
                    .iter()
                    .filter(|known| known.offset >= from)
                    .filter(wanted)
                    .take(records_max)
                    .take_while(|known| {
                        let goes_on = bytes < bytes_max;
                        bytes += known.payload.len();
                        goes_on
                    })
                    .collect();
                assert_eq!(found.len(), expected.len());
                for (entry, known) in found.iter().zip(expected) {
                    assert_eq!((entry.offset, entry.timestamp_ms), (known.offset, known.timestamp_ms));
                    assert_eq!(entry.payload, known.payload);
                }
            }
        }
        let range = engine.log().range();
        assert_eq!(range.records, now.len() as u64);
        assert_eq!(range.next, next.max(range.next));
    }
    let all = read_all(engine.log(), 0, None, 50);
    assert!(all.iter().map(|entry| &entry.payload[..]).eq(now.iter().map(|known| &known.payload[..])));
}

#[test]
fn random_work_comes_out_as_the_model_says() {
    let seeds: Vec<u64> = match std::env::var("GANTRY_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (1..25).collect(),
    };
    for seed in seeds {
        println!("GANTRY_SEED={seed}");
        run(seed, &mut Memory::new(Faults::default()), true);
        run(seed, &mut Embedded::new(Faults::default()), false);
    }
}
