//! How long a decision about a permission takes, and a check of a password.
//!
//! `cargo run --release -p gantry-broker --example access_speed`

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use gantry_broker::rights::{Access, AccessCache, PasswordHash, Permission};

fn main() {
    let permission = Arc::new(Permission::new("^$", "^(orders|invoices)-[0-9]+$", ".*").expect("valid expressions"));
    let version = AtomicU64::new(1);
    for names in [1, 8, 64, 1_000] {
        let names: Vec<String> = (0..names).map(|n| format!("orders-{n}")).collect();
        let mut cache = AccessCache::new();
        let time = mean(2_000_000, |n| {
            let name = &names[n % names.len()];
            cache.may(black_box(&version), || Some(permission.clone()), Access::Write, black_box(name))
        });
        println!("cached, {:>5} names in turn   {time:?}", names.len());
    }
    let time = mean(2_000_000, |_| permission.may(Access::Write, black_box("orders-17")));
    println!("not cached, by expression     {time:?}");
    let password = PasswordHash::new(b"a password of usual length").expect("random numbers");
    let time = mean(200_000, |_| password.verify(black_box(b"a password of usual length")));
    println!("a password's check            {time:?}");
}

fn mean(times: u32, mut question: impl FnMut(usize) -> bool) -> Duration {
    for n in 0..1_000 {
        black_box(question(n));
    }
    let before = Instant::now();
    for n in 0..times {
        black_box(question(n as usize));
    }
    before.elapsed() / times
}
