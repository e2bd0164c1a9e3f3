use proptest::prelude::*;

use super::super::blocks::BLOCK_ENTRIES;
use super::*;

/// The same, said as plainly as possible.
#[derive(Default)]
struct Model(BTreeMap<(u64, usize), usize>);

impl Model {
    fn take_due(&mut self, now_ms: u64, entries_max: usize) -> Vec<(u64, usize)> {
        let due = self.0.range(..(now_ms + 1, 0)).take(entries_max);
        let due: Vec<_> = due.map(|(key, _)| *key).collect();
        due.iter().map(|key| (key.0, self.0.remove(key).unwrap())).collect()
    }
}

fn take(later: &mut Later<usize>, now_ms: u64, entries_max: usize) -> Vec<(u64, usize)> {
    let mut taken = Vec::new();
    while taken.len() < entries_max {
        let room = entries_max - taken.len();
        if !later.take_due(now_ms, room, &mut |due_ms, entry| taken.push((due_ms, entry))) {
            break;
        }
    }
    taken
}

#[derive(Clone, Debug)]
enum Step {
    Push { in_ms: i64 },
    Take { after_ms: i64, entries_max: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let in_ms = prop_oneof![-50_i64..50, 0_i64..3000, 0_i64..10_000_000, Just(1000), Just(315_360_000_000)];
    // Now and then the clock is set back.
    let after_ms = prop_oneof![8 => 0_i64..2000, 2 => 0_i64..20_000_000, 1 => -100_000_i64..0];
    let step = prop_oneof![
        3 => in_ms.prop_map(|in_ms| Step::Push { in_ms }),
        1 => (after_ms, 1_usize..40).prop_map(|(after_ms, entries_max)| Step::Take { after_ms, entries_max }),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn what_is_due_comes_out_in_order_and_nothing_before(steps in steps(), start_ms in 0_u64..2_000_000_000_000) {
        let (mut later, mut model) = (Later::default(), Model::default());
        let mut now_ms = start_ms + 1_000_000_000;
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Push { in_ms } => {
                    let due_ms = now_ms.saturating_add_signed(in_ms);
                    later.push(due_ms, now_ms, number);
                    model.0.insert((due_ms, number), number);
                }
                Step::Take { after_ms, entries_max } => {
                    now_ms = now_ms.saturating_add_signed(after_ms);
                    prop_assert_eq!(take(&mut later, now_ms, entries_max), model.take_due(now_ms, entries_max));
                }
            }
            prop_assert_eq!(later.len(), model.0.len());
            let first_ms = model.0.first_key_value().map(|((due_ms, _), _)| *due_ms);
            prop_assert_eq!(later.next_ms().is_some(), first_ms.is_some());
            prop_assert!(later.next_ms() <= first_ms);
        }
        // Whoever sleeps until it is told to look again finds all of it, and is seldom woken for nothing.
        let mut looks = 0;
        let mut found = Vec::new();
        let waiting = later.len();
        while let Some(next_ms) = later.next_ms() {
            now_ms = now_ms.max(next_ms);
            found.extend(take(&mut later, now_ms, usize::MAX));
            looks += 1;
        }
        prop_assert_eq!(found, model.take_due(u64::MAX - 1, usize::MAX));
        prop_assert!(looks <= 16 * waiting);
    }
}

#[test]
fn everything_comes_out_when_it_is_drained() {
    let mut later = Later::default();
    for entry in 0..1000 {
        later.push(5_000_000 + entry * 77, 5_000_000, entry);
    }
    later.take_due(5_000_500, 3, &mut |_, _| {});
    later.push(10, 5_000_500, 1000);
    let mut drained: Vec<_> = later.drain().collect();
    drained.sort_unstable();
    assert_eq!(drained, (3..=1000).collect::<Vec<_>>());
    assert!(later.is_empty() && later.next_ms().is_none());
}

#[test]
fn a_million_entries_need_little_more_memory_than_they_are_and_no_call_takes_long() {
    let mut later: Later<[u64; 6]> = Later::default();
    let entries = 1_000_000_u64;
    for entry in 0..entries {
        // All over ten years; some at the same moment.
        let in_ms = if entry % 2 == 0 { 60_000 } else { entry.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 315_360_000_000 };
        later.push(1_800_000_000_000 + in_ms, 1_800_000_000_000, [entry; 6]);
    }
    let slots = later.slots.len();
    let room: usize = later.slots.values().map(Blocks::capacity).sum();
    assert!(slots <= 241, "{slots}");
    assert!(room <= entries as usize + slots * BLOCK_ENTRIES, "{room}");
    assert!(room * size_of::<(u64, [u64; 6])>() < 70 * entries as usize);
    let (mut calls, mut taken) = (0, 0);
    while later.take_due(1_800_000_060_000, 1000, &mut |_, _| taken += 1) {
        calls += 1;
    }
    assert!(taken >= entries / 2 && taken < entries / 2 + 1000, "{taken}");
    // Each of these is bounded by what it hands out and by the entries it moves.
    assert!(calls >= 500, "{calls}");
}
