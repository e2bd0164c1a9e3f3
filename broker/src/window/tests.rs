//! The keys of a window, against a list that is searched; what a key costs; what is on disks.

use gantry_storage::Position;
use proptest::prelude::*;

use super::seen::{Known, Seen};
use super::*;

const MS: u64 = 100;

fn position(slot: u32) -> Position {
    Position { segment: 1, offset: 0, slot }
}

#[derive(Clone, Debug)]
enum Step {
    /// So much time goes by.
    Wait(u64),
    /// A message comes with this key; or it does not come after all.
    Come(u64, bool),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..60_u64).prop_map(Step::Wait),
        8 => (0..12_u64, any::<bool>(), any::<bool>()).prop_map(|(key, one, other)| Step::Come(key, one || other)),
        2 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_key_is_known_for_its_time_and_each_record_is_settled_once(steps in prop::collection::vec(step(), 1..200)) {
        let (mut seen, mut now_ms, mut slot) = (Seen::default(), 1_000, 0);
        // Key, when it was sent, the slot of its record.
        let (mut model, mut settled): (Vec<(u64, u64, u32)>, Vec<Position>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Wait(ms) => now_ms += ms,
                Step::Come(key, comes) => {
                    let known = model.iter().rev().find(|(other, ..)| *other == key).filter(|(_, sent_ms, _)| sent_ms + MS > now_ms);
                    match (seen.find(key, now_ms, MS), known) {
                        (Known::No, None) => {}
                        (Known::Kept(first), Some((_, sent_ms, slot))) => {
                            prop_assert_eq!((first.sent_ms, first.seq), (*sent_ms, u64::from(*slot)));
                            continue;
                        }
                        (found, known) => prop_assert!(false, "{:?} {:?}", found, known),
                    }
                    slot += 1;
                    let number = seen.insert(key, u64::from(slot), now_ms);
                    let is_pending = matches!(seen.find(key, now_ms, MS), Known::Pending(_));
                    prop_assert!(is_pending);
                    if comes {
                        prop_assert!(seen.keep(number, position(slot).into(), Ticket(1)));
                        model.push((key, now_ms, slot));
                    } else {
                        seen.take_back(number);
                    }
                }
                Step::Forget => {
                    while seen.forget(now_ms, MS, 3, &mut settled) == 3 {}
                }
            }
        }
        while seen.forget(u64::MAX, MS, 3, &mut settled) == 3 {}
        prop_assert_eq!(seen.len(), 0);
        let slots: Vec<_> = settled.iter().map(|position| position.slot).collect();
        prop_assert_eq!(slots, model.iter().map(|(.., slot)| *slot).collect::<Vec<_>>());
    }
}

#[test]
fn many_keys_are_found_and_leave_no_memory_behind() {
    let mut seen = Seen::default();
    // The first bytes of a digest are as good as random.
    let key = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut settled = Vec::new();
    for round in 0..3 {
        for n in 0..100_000 {
            let number = seen.insert(key(n), n, round * MS);
            seen.keep(number, Place::NONE, Ticket::default());
        }
        for n in (0..100_000).step_by(997) {
            assert!(matches!(seen.find(key(n), round * MS, MS), Known::Kept(First { seq, .. }) if seq == n));
        }
        assert_eq!(seen.len(), 100_000);
        let forgotten = seen.forget((round + 1) * MS, MS, usize::MAX, &mut settled);
        assert_eq!(forgotten, 100_000, "each is over in its turn");
    }
    assert_eq!(seen.len(), 0);
    assert!(seen.capacity() < 4_096, "{}", seen.capacity());
}

#[test]
fn a_key_that_came_again_is_not_forgotten_with_the_first() {
    let mut seen = Seen::default();
    let mut settled = Vec::new();
    for (sent_ms, slot) in [(0, 1), (MS, 2)] {
        let number = seen.insert(7, u64::from(slot), sent_ms);
        seen.keep(number, position(slot).into(), Ticket(1));
    }
    assert_eq!(seen.forget(MS, MS, 10, &mut settled), 1);
    assert_eq!(settled, [position(1)]);
    assert!(matches!(seen.find(7, MS, MS), Known::Kept(First { seq: 2, .. })));
}

#[test]
fn what_is_on_disks_stays_readable_and_anything_else_is_refused() {
    let mut meta = record::encode(0x0102, 0x0304).to_vec();
    assert_eq!(meta, b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04");
    let read = |meta: &[u8]| {
        let (reference, position) = (Ref { lane: 1, seq: 9 }, position(3));
        Remembered::new(&gantry_storage::Recovered { reference, position, payload_bytes: 0, meta, mark: 0 })
    };
    assert_eq!(read(&meta), Ok(Remembered { key: 9, seq: 0x0102, sent_ms: 0x0304, position: position(3) }));
    assert!(read(&meta[..16]).is_err());
    meta[0] = 2;
    assert!(read(&meta).is_err());
}
