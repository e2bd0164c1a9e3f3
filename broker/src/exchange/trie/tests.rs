use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Syntax, Trie};

thread_local! {
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

pub(super) fn count_step() {
    STEPS.set(STEPS.get() + 1);
}

/// Whether a name matches a pattern, worked out word by word in a table.
pub(in crate::exchange) fn matches_naively(syntax: Syntax, pattern: &[u8], name: &[u8]) -> bool {
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        if text.is_empty() && syntax.empty_is_no_word {
            return Vec::new();
        }
        text.split(|byte| *byte == syntax.separator).map(<[u8]>::to_vec).collect()
    };
    let (pattern, name) = (words(pattern), words(name));
    // reached[j]: the pattern's words so far match the first j words of the name.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for want in pattern {
        let mut next = vec![false; name.len() + 1];
        for j in 0..=name.len() {
            next[j] = if want == [syntax.many] {
                reached[j] || (j > 0 && next[j - 1])
            } else {
                j > 0 && reached[j - 1] && (want == [syntax.one] || want == name[j - 1])
            };
        }
        reached = next;
    }
    reached[name.len()]
}

fn found(trie: &Trie<u32>, name: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    trie.matches(name, |value| found.push(*value));
    found.sort_unstable();
    found
}

fn insert(trie: &mut Trie<u32>, pattern: &[u8], value: u32) {
    assert_eq!(*trie.get_or_insert_with(pattern, || value), value);
}

/// Few words, so that patterns share nodes and names hit them.
pub(in crate::exchange) fn words(
    symbols: &'static [&'static str],
    separator: &'static str,
) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(symbols), 0..7).prop_map(move |words| words.join(separator).into_bytes())
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<u8>),
    Remove(Vec<u8>),
    Match(Vec<u8>),
}

fn steps(
    pattern: &'static [&'static str],
    name: &'static [&'static str],
    separator: &'static str,
) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => words(pattern, separator).prop_map(Step::Insert),
        2 => words(pattern, separator).prop_map(Step::Remove),
        3 => words(name, separator).prop_map(Step::Match),
    ];
    prop::collection::vec(step, 0..80)
}

fn agrees_with_the_model(syntax: Syntax, steps: Vec<Step>) {
    let mut trie = Trie::new(syntax);
    let mut model: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut next = 0;
    for step in steps {
        match step {
            Step::Insert(pattern) => {
                next += 1;
                let value = *model.entry(pattern.clone()).or_insert(next);
                assert_eq!(*trie.get_or_insert_with(&pattern, || next), value);
            }
            Step::Remove(pattern) => assert_eq!(trie.remove(&pattern), model.remove(&pattern)),
            Step::Match(name) => {
                let mut expected: Vec<u32> = model
                    .iter()
                    .filter(|(pattern, _)| matches_naively(syntax, pattern, &name))
                    .map(|(_, value)| *value)
                    .collect();
                expected.sort_unstable();
                // Doubles would show: nothing is visited twice.
                assert_eq!(found(&trie, &name), expected, "{:?}", name.escape_ascii().to_string());
            }
        }
        assert_eq!(trie.len(), model.len());
    }
    for (pattern, value) in model {
        assert_eq!(trie.get_mut(&pattern).copied(), Some(value));
        assert_eq!(trie.remove(&pattern), Some(value));
    }
    assert!(trie.is_empty());
    assert_eq!(trie.nodes_used(), 1);
    assert!(trie.edges.is_empty());
    assert!(trie.words.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn dots_match_as_the_model(steps in steps(&["a", "b", "", "*", "#", "#", "ab"], &["a", "b", "", "*", "#", "c"], ".")) {
        agrees_with_the_model(Syntax::DOTS, steps);
    }

    #[test]
    fn slashes_match_as_the_model(steps in steps(&["a", "b", "", "+", "#", "*"], &["a", "b", "", "+", "*", "."], "/")) {
        agrees_with_the_model(Syntax::SLASHES, steps);
    }
}

/// Each line was asked of a RabbitMQ 3.10 node.
#[test]
fn dots_match_as_rabbitmq() {
    let asked = [
        ("", "", true),
        ("#", "", true),
        ("*", "", false),
        ("*", ".", false),
        ("*.*", ".", true),
        ("#.#", "", true),
        ("a.", "a.", true),
        ("a.", "a", false),
        ("a.*", "a.", true),
        ("a.*", "a", false),
        ("a.#", "a", true),
        ("a.#", "a.", true),
        ("*", "*", true),
        ("a", "*", false),
        ("#", "#", true),
        ("a#", "a#", true),
        ("a*", "ab", false),
        ("a.#.b", "a.b", true),
        ("a.#.*", "a", false),
        ("a.#.*", "a.b", true),
        ("#.*.#", "a", true),
        ("#.*.#", "", false),
        ("..", "..", true),
        ("*..*", "a..b", true),
        (".a", ".a", true),
        ("#a", "xa", false),
    ];
    for (pattern, name, expected) in asked {
        let mut trie = Trie::new(Syntax::DOTS);
        insert(&mut trie, pattern.as_bytes(), 1);
        assert_eq!(found(&trie, name.as_bytes()).len(), usize::from(expected), "{pattern:?} {name:?}");
    }
}

/// CVE-2026-67419: wildcards that can take the words in ever so many ways.
#[test]
fn patterns_full_of_wildcards_cost_words_times_nodes() {
    let fit = |pattern: String| pattern[..pattern.len().min(255)].trim_end_matches('.').to_owned();
    let hostile = [
        fit("#.a.".repeat(100)),
        fit("#.".repeat(200)),
        fit("*.#.".repeat(100)),
        fit("#.*.".repeat(100)),
        fit("#.a.*.".repeat(100)),
        fit("#.a.".repeat(62)) + ".b",
        fit("#.a.#.b.".repeat(100)),
    ];
    let mut trie = Trie::new(Syntax::DOTS);
    for (number, pattern) in (0..).zip(&hostile) {
        assert!(pattern.len() <= 255);
        insert(&mut trie, pattern.as_bytes(), number);
    }
    for name in [fit("a.".repeat(200)), fit("a.b.".repeat(100)), fit("a.".repeat(126)) + ".b", fit(".".repeat(255))] {
        assert!(name.len() <= 255);
        STEPS.set(0);
        let got = found(&trie, name.as_bytes());
        let words = name.split('.').count() as u64;
        assert!(STEPS.get() <= words * trie.nodes_used() as u64, "{} steps", STEPS.get());
        let expected: Vec<u32> = (0..)
            .zip(&hostile)
            .filter(|(_, pattern)| matches_naively(Syntax::DOTS, pattern.as_bytes(), name.as_bytes()))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(got, expected);
    }
}

/// With thousands of loops active at once, the list of those seen turns into a set.
#[test]
fn many_loops_at_once_are_visited_once_each() {
    let mut trie = Trie::new(Syntax::DOTS);
    for number in 0..5_000 {
        insert(&mut trie, format!("#.{number}.#.end").as_bytes(), number);
    }
    let name = (0..50).map(|number| format!("{number}.{number}.")).collect::<String>() + "end";
    STEPS.set(0);
    assert_eq!(found(&trie, name.as_bytes()), (0..50).collect::<Vec<_>>());
    assert!(STEPS.get() < 20_000, "{} steps", STEPS.get());
}

#[test]
fn a_literal_name_takes_a_step_a_word_however_many_patterns_there_are() {
    let mut trie = Trie::new(Syntax::DOTS);
    for number in 0..10_000 {
        insert(&mut trie, format!("site{}.line{}.sensor{}", number % 10, number % 100, number).as_bytes(), number);
    }
    STEPS.set(0);
    assert_eq!(found(&trie, b"site7.line77.sensor4577"), [4577]);
    assert_eq!(STEPS.get(), 3);
}

#[test]
fn nodes_and_words_are_used_again() {
    let mut trie = Trie::new(Syntax::DOTS);
    for round in 0..1_000 {
        insert(&mut trie, format!("a.{round}.*.#").as_bytes(), round);
        assert_eq!(trie.nodes_used(), 5);
        assert_eq!(trie.remove(format!("a.{round}.*.#").as_bytes()), Some(round));
    }
    assert_eq!(trie.nodes.len(), 5);
    assert_eq!(trie.words_issued, 2);
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let mut trie = Trie::new(Syntax::DOTS);
    insert(&mut trie, b"a.b.c", 1);
    for pattern in ["a", "a.b", "a.b.c.d", "*.b.c", "a.#", "", "x"] {
        assert_eq!(trie.remove(pattern.as_bytes()), None, "{pattern}");
    }
    assert_eq!(found(&trie, b"a.b.c"), [1]);
}
