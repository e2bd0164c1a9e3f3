use std::collections::BTreeMap;

use proptest::prelude::*;

use super::pattern::{Pattern, Step, kept_key};
use crate::exchange::trie::{Syntax, Trie};

#[test]
fn words_stand_in_the_order_of_their_bytes() {
    let mut keys: Vec<&[u8]> = vec![b"a.b", b"a", b"a\x00", b"a\x01", b"a b", b"a!", b"", b".", b"a."];
    keys.sort_by_key(|key| kept_key(key));
    assert_eq!(keys, [&b""[..], b".", b"a", b"a.", b"a.b", b"a\x00", b"a\x01", b"a b", b"a!"]);
}

/// What matches, in the order it is found in, and how many keys were looked at.
fn found<'a>(keys: &BTreeMap<Vec<u8>, &'a [u8]>, pattern: &[u8]) -> (Vec<&'a [u8]>, usize) {
    let pattern = Pattern::new(pattern);
    let (mut found, mut from, mut looked_at) = (Vec::new(), Vec::new(), 0);
    while let Some((kept, key)) = keys.range(from.clone()..).next() {
        looked_at += 1;
        let (matches, step) = pattern.judge(kept);
        if matches {
            found.push(*key);
        }
        match step {
            Step::Seek(next) => {
                assert!(next > *kept, "{next:?} is not behind {kept:?}");
                from = next;
            }
            Step::End => break,
        }
    }
    (found, looked_at)
}

fn kept<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> BTreeMap<Vec<u8>, &'a [u8]> {
    keys.into_iter().map(|key| (kept_key(key), key)).collect()
}

/// What an exchange would say of a binding.
fn naive<'a>(keys: &BTreeMap<Vec<u8>, &'a [u8]>, pattern: &[u8]) -> Vec<&'a [u8]> {
    let mut trie = Trie::new(Syntax::DOTS);
    trie.get_or_insert_with(pattern, || ());
    let first = pattern.split(|byte| *byte == b'.').next();
    let wild = first.is_some_and(|word| word == b"*" || word == b"#");
    let matches = |key: &[u8]| {
        let mut matched = false;
        trie.matches(key, |()| matched = true);
        matched && !(wild && key.starts_with(b"$"))
    };
    keys.values().copied().filter(|key| matches(key)).collect()
}

#[test]
fn a_pattern_with_words_in_it_does_not_look_at_all_keys() {
    let names: Vec<String> =
        (0..100).flat_map(|device| (0..100).map(move |n| format!("device{device:02}.sensor{n:02}.value"))).collect();
    let statuses: Vec<String> = (0..100).map(|device| format!("device{device:02}.status")).collect();
    let keys = kept(names.iter().chain(&statuses).map(|name| name.as_bytes()));
    for (pattern, matching, looked_at_max) in [
        ("device07.status", 1, 2),
        ("nothing.at.all", 0, 1),
        ("*.status", 100, 202),
        ("*.sensor42.value", 100, 202),
        ("device07.#", 101, 103),
        ("device07.*.value", 100, 202),
        ("*.*.nothing", 0, 30_000),
        ("device99.sensor99.value.more", 0, 2),
        ("#", 10_100, 10_100),
    ] {
        let (matched, looked_at) = found(&keys, pattern.as_bytes());
        assert_eq!(matched.len(), matching, "{pattern}");
        assert!(looked_at <= looked_at_max, "{pattern}: {looked_at}");
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(b"a".to_vec()),
        3 => Just(b"b".to_vec()),
        2 => Just(b"ab".to_vec()),
        1 => Just(b"".to_vec()),
        1 => Just(b"$a".to_vec()),
        1 => Just(b"$".to_vec()),
        1 => Just(b"%".to_vec()),
        1 => Just(b"\x00".to_vec()),
        1 => Just(b"a\x00".to_vec()),
        1 => Just(b"a\x01".to_vec()),
        1 => Just(b"\x01\x02".to_vec()),
        1 => Just(b"\xff".to_vec()),
        1 => Just(b"*".to_vec()),
        1 => Just(b"#".to_vec()),
    ]
}

fn wild_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => word(), 1 => Just(b"*".to_vec()), 1 => Just(b"#".to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn seeking_finds_what_an_exchange_would_match(
        keys in prop::collection::vec(prop::collection::vec(word(), 0..5), 0..60),
        pattern in prop::collection::vec(wild_word(), 0..5),
    ) {
        let keys: Vec<Vec<u8>> = keys.iter().map(|words| words.join(&b'.')).collect();
        let keys = kept(keys.iter().map(Vec::as_slice));
        let pattern = pattern.join(&b'.');
        prop_assert_eq!(found(&keys, &pattern).0, naive(&keys, &pattern));
    }
}
