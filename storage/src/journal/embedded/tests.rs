//! Tests of the engine that look behind its files: what its threads do in an order that only chance brings about.

use std::collections::{BTreeMap, HashMap};

use super::front::{Control, Prepared};
use super::*;
use crate::journal::{Reading, Recovered, Ref};

/// What is alive, by its order in its lane.
#[derive(Default)]
struct Alive(HashMap<u64, Position>);

impl Recovery for Alive {
    fn entry(&mut self, entry: Recovered<'_>) {
        self.0.insert(entry.reference.seq, entry.position);
    }

    fn note(&mut self, _: u64, _: u64) {}
}

#[test]
fn a_segment_compacted_before_its_index_was_written_is_read_by_the_index_of_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        JournalOptions { segment_bytes: SEGMENT_BYTES_MIN, disk_free_min_bytes: 0, ..JournalOptions::default() };
    let journal = EmbeddedJournal::open(dir.path(), options.clone(), &mut Alive::default()).unwrap();
    let shared = &journal.shared;
    // From here on the test is the keeper.
    let mut keeper = journal.stop_keeper().unwrap();
    shared.signal.lock().stop = false;

    let body = |seq: u64| [seq as u8; 1000];
    let append = |seq: u64| {
        let refs = [Ref { lane: 1, seq }];
        journal.append(Append { refs: &refs, meta: &[], payload: &[&body(seq)] }).unwrap().position
    };
    let positions: Vec<Position> = (0..80).map(append).collect();
    let first = positions[0].segment;
    let sealed: Vec<Position> = positions.iter().copied().filter(|position| position.segment == first).collect();
    assert!(sealed.len() < positions.len(), "another segment has begun");
    let done: Vec<Position> = sealed.iter().copied().filter(|position| position.slot % 10 != 9).collect();
    let ticket = journal.settle(&done).unwrap();
    assert!(shared.wait_durable(ticket.0, Duration::from_secs(30)));

    // It ends between the keeper's look at what has ended and its checkpoint.
    let ended = std::mem::take(&mut shared.front.lock().sealed);
    assert_eq!(ended.len(), 1);
    keeper.tidy(shared);
    assert!(compaction::compact(shared, first).unwrap());
    shared.front.lock().sealed.extend(ended);
    keeper.tidy(shared);
    drop(journal);

    let mut alive = Alive::default();
    let journal = EmbeddedJournal::open(dir.path(), options, &mut alive).unwrap();
    assert_eq!(alive.0.len(), positions.len() - done.len());
    for (seq, position) in alive.0 {
        let read = journal.read(&[Reading { position, payload_bytes: 1000 }]).pop().unwrap();
        assert_eq!(read.unwrap(), body(seq).as_slice(), "{position:?}");
    }
}

#[test]
fn what_the_writer_has_taken_out_while_the_journal_is_closed_still_ends_its_segment() {
    let mut front = Front::new(BTreeMap::new(), HashMap::new(), 1, 1 << 20);
    let head = [0; 8];
    let entry = Prepared { refs: 1, head: &head, payload: &[b"body"], payload_bytes: 4, crc: 0 };
    front.append(&entry);
    front.issue();
    front.note(7, Some(1));
    // The writer codes it without the lock, and meanwhile the journal is closed.
    let (mut control, mut bodies) = (Control::default(), Vec::new());
    front.swap_control(&mut control);
    control.drain(&mut bodies);
    front.finish();
    front.put_control(&mut bodies);
    let batch = front.take_batch();
    assert_eq!(batch.parts.len(), 1, "all of it is in the first segment");
    assert_eq!((front.active.number(), front.active.end), (2, segment::HEADER_BYTES as u32));
    assert!(!front.pending());
}
