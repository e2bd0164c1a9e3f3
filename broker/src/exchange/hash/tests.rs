use proptest::prelude::*;

use super::*;

fn no_properties() -> Option<&'static Properties> {
    None
}

fn weight(weight: u32) -> Weight {
    Weight::parse(weight.to_string().as_bytes()).unwrap()
}

fn owner(hash: &ConsistentHash<u16>, key: u32) -> Option<u16> {
    let mut found = Vec::new();
    hash.matches(&key.to_be_bytes(), &no_properties, &mut |destination| found.push(*destination));
    assert!(found.len() <= 1);
    found.pop()
}

fn owners(hash: &ConsistentHash<u16>) -> Vec<Option<u16>> {
    (0..2000).map(|key| owner(hash, key)).collect()
}

#[test]
fn messages_are_spread_by_weight() {
    let mut hash = ConsistentHash::new(HashOn::Key);
    for (destination, share) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        hash.insert(weight(share), destination);
    }
    let mut counts = [0_u32; 4];
    for key in 0..100_000 {
        counts[usize::from(owner(&hash, key).unwrap())] += 1;
    }
    for (destination, count) in counts.into_iter().enumerate() {
        let expected = 10_000 * (destination as u32 + 1);
        assert!(count.abs_diff(expected) < expected / 20, "{counts:?}");
    }
}

#[test]
fn absurd_weights_cost_nothing_and_are_bounded() {
    for (key, error) in [
        ("", BindError::WeightNoInteger(Box::from(&b""[..]))),
        ("one", BindError::WeightNoInteger(Box::from(&b"one"[..]))),
        ("1.5", BindError::WeightNoInteger(Box::from(&b"1.5"[..]))),
        ("0", BindError::WeightTooSmall),
        ("-99999999999999999999999999", BindError::WeightTooSmall),
        ("1000001", BindError::WeightTooLarge),
        ("99999999999999999999999999", BindError::WeightTooLarge),
    ] {
        assert_eq!(Weight::parse(key.as_bytes()), Err(error), "{key}");
    }
    let mut hash = ConsistentHash::new(HashOn::Key);
    let mut bound = 0;
    while hash.check_room(weight(WEIGHT_MAX)).is_ok() {
        hash.insert(weight(WEIGHT_MAX), bound);
        bound += 1;
    }
    assert_eq!(u32::from(bound), BUCKETS_MAX / WEIGHT_MAX);
    assert_eq!(hash.check_room(weight(WEIGHT_MAX)), Err(BindError::TooManyBuckets));
    assert_eq!(hash.runs.len(), usize::from(bound));
    let distinct: std::collections::HashSet<_> = (0..20_000).map(|key| owner(&hash, key)).collect();
    assert!(distinct.len() > 1000);
}

proptest! {
    /// A binding that goes takes its own messages' place away and nobody else's; one that comes takes its share and no more.
    #[test]
    fn few_messages_change_their_place(
        weights in prop::collection::vec(1_u32..50, 2..20),
        steps in prop::collection::vec((any::<bool>(), 0_usize..20, 1_u32..50), 1..30),
    ) {
        let mut hash = ConsistentHash::new(HashOn::Key);
        let mut bound: Vec<(u16, u32)> = Vec::new();
        let mut next = 0;
        for share in weights {
            hash.insert(weight(share), next);
            bound.push((next, share));
            next += 1;
        }
        for (add, which, share) in steps {
            let before = owners(&hash);
            let holes_before = hash.total() - hash.buckets;
            if add {
                hash.insert(weight(share), next);
                bound.push((next, share));
                for (before, after) in before.iter().zip(owners(&hash)) {
                    prop_assert!(after == *before || after == Some(next));
                }
                next += 1;
            } else if bound.len() > 1 {
                let (gone, share) = bound.remove(which % bound.len());
                hash.remove(weight(share), &gone);
                let anew = holes_before + u64::from(share) > hash.buckets;
                for (before, after) in before.iter().zip(owners(&hash)) {
                    prop_assert!(after != Some(gone) && after.is_some());
                    // A hole at the end goes, and with it what was hashed again because of it.
                    prop_assert!(anew || holes_before > 0 || after == *before || *before == Some(gone));
                }
            }
            prop_assert_eq!(hash.buckets, bound.iter().map(|(_, share)| u64::from(*share)).sum::<u64>());
            prop_assert!(hash.runs.len() <= RUNS_FEW + RUNS_PER_BINDING_MAX * bound.len());
        }
        for (destination, _) in &bound {
            hash.remove_destination(destination);
        }
        prop_assert_eq!(owner(&hash, 1), None);
        prop_assert!(hash.runs.is_empty());
    }
}

#[test]
fn a_header_or_a_property_is_hashed_where_it_is_asked_for() {
    let message = |header: Value, id: &'static str| Properties {
        headers: Some([("h", header)].into_iter().collect()),
        message_id: Some(Bytes::from_static(id.as_bytes())),
        ..Properties::default()
    };
    let bound = |on| {
        let mut hash = ConsistentHash::new(on);
        (0..50).for_each(|destination| hash.insert(weight(10), destination));
        hash
    };
    let to = |hash: &ConsistentHash<u16>, key: &str, message: &Properties| {
        let mut found = None;
        hash.matches(key.as_bytes(), &|| Some(message), &mut |destination| found = Some(*destination));
        found.unwrap()
    };
    let by_header = bound(HashOn::Header("h".into()));
    let by_id = bound(HashOn::Property(HashProperty::MessageId));
    let (one, other) = (message(Value::I8(7), "a"), message(Value::I64(7), "b"));
    assert_eq!(to(&by_header, "x", &one), to(&by_header, "y", &other));
    assert_ne!(to(&by_id, "x", &one), to(&by_id, "x", &other));
    let many = |hash: &ConsistentHash<u16>| {
        (0..200).map(|n| to(hash, "x", &message(Value::I32(n), "a"))).collect::<std::collections::HashSet<_>>().len()
    };
    assert!(many(&by_header) > 40);
    assert_eq!(many(&by_id), 1);
    assert_eq!(to(&by_header, "x", &Properties::default()), to(&by_header, "y", &Properties::default()));
}
