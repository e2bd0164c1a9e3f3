//! How long a topic exchange with 100,000 bindings takes to route, and how its cost grows with hostile patterns.
//!
//! `cargo run --release -p gantry-broker --example topic_speed`

use std::hint::black_box;
use std::time::Instant;

use gantry_broker::exchange::{Matcher, Routing};
use gantry_broker::value::Table;

const BINDINGS: u32 = 100_000;
const MESSAGES: u32 = 200_000;
/// Messages timed at once: few enough that most rounds run without being interrupted.
const ROUND: usize = 500;

fn main() {
    println!("{BINDINGS} bindings, one queue each; times are the median of rounds of {ROUND} messages");
    let key = |n: u32| format!("site{}.line{}.machine{}.sensor{}", n % 50, n % 500, n % 5_000, n);
    run("literal, four words", BINDINGS, key, key);
    run(
        "a third each literal, one *, one # at the end",
        BINDINGS,
        |n| match n % 3 {
            0 => key(n),
            1 => format!("site{}.*.machine{}.sensor{}", n % 50, n % 5_000, n),
            _ => format!("site{}.line{}.machine{}.sensor{}.#", n % 50, n % 500, n % 5_000, n),
        },
        key,
    );
    run("# at the front: #.sensorN", BINDINGS, |n| format!("#.sensor{n}"), key);
    run("a # in the middle: siteN.#.sensorN", BINDINGS, |n| format!("site{}.#.sensor{n}", n % 50), key);
    run("two #: #.machineN.#.sensorN", BINDINGS, |n| format!("#.machine{}.#.sensor{n}", n % 5_000), key);
    run("no match", BINDINGS, key, |n| format!("other{n}.line1.machine1.sensor1"));
    run("20 words", BINDINGS, |n| "word.".repeat(19) + &n.to_string(), |n| "word.".repeat(19) + &n.to_string());

    println!();
    println!("one hostile pattern of at most 255 bytes, key of 127 words `a`");
    let hostile = "a.".repeat(126) + "a";
    for pattern in ["#.", "#.*.", "#.a.", "*.#.a."] {
        let mut full = pattern.repeat(255 / pattern.len());
        full.pop();
        run(&format!("{pattern} repeated"), 1, |_| full.clone(), |_| hostile.clone());
    }
}

fn run(name: &str, bindings: u32, pattern: impl Fn(u32) -> String, key: impl Fn(u32) -> String) {
    let none = Table::new();
    let mut matcher = Matcher::new(Routing::Topic);
    let before = Instant::now();
    for n in 0..bindings {
        matcher.insert(pattern(n).as_bytes(), &none, n).expect("a topic exchange takes any binding");
    }
    let insert = before.elapsed() / bindings;

    // Far apart from one another, so that one message does not warm the cache for the next.
    let keys: Vec<String> = (0..MESSAGES).map(|n| key(n.wrapping_mul(2_654_435_761) % BINDINGS)).collect();
    let messages = if bindings == 1 { MESSAGES / 20 } else { MESSAGES };
    let mut destinations = 0u64;
    let mut rounds = Vec::new();
    for round in keys[..messages as usize].chunks(ROUND) {
        let before = Instant::now();
        for key in round {
            matcher.matches(black_box(key.as_bytes()), &|| None, None, &mut |queue| {
                black_box(queue);
                destinations += 1;
            });
        }
        rounds.push(before.elapsed() / round.len() as u32);
    }
    rounds.sort();
    let route = rounds[rounds.len() / 2];

    let before = Instant::now();
    for n in 0..bindings {
        matcher.remove_destination(&n);
    }
    let remove = before.elapsed() / bindings;
    assert!(matcher.is_empty());
    println!(
        "{name:48} route {route:>9.2?}  destinations {:>5.2}  insert {insert:>9.2?}  remove {remove:>9.2?}",
        destinations as f64 / f64::from(messages)
    );
}
