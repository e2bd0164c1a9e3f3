//! Retained messages: bounded, in the table, and there after a restart.

use gantry_storage::TableError;

use super::*;
use crate::{Pending, Retained, RetainedCursor};

impl Rig {
    fn retain_with(&self, key: &str, body: &[u8], ttl_ms: Option<u64>, now_ms: u64) -> Result<Pending, Error> {
        let message = plain("amq.topic", key, Essentials { durable: true, ttl_ms, ..Essentials::default() }, body);
        self.vhost.retain(&message, now_ms)
    }

    fn retain(&self, key: &str, body: &str) -> Result<Pending, Error> {
        self.retain_with(key, body.as_bytes(), None, now_ms())
    }

    /// Key and body of all that match, as they come.
    fn retained_at(&self, pattern: &str, now_ms: u64) -> Vec<(String, String)> {
        let mut cursor = RetainedCursor::new();
        let mut found = Vec::new();
        while !cursor.is_done() {
            for Retained { message, .. } in self.vhost.retained(pattern.as_bytes(), &mut cursor, 3, now_ms) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                found.push((text(&message.address().routing_key), text(message.body())));
            }
        }
        found
    }

    fn retained(&self, pattern: &str) -> Vec<(String, String)> {
        self.retained_at(pattern, now_ms())
    }

    fn rows_retained(&self) -> usize {
        self.table.scan("retained", &[]).unwrap().len()
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, body)| ((*key).to_owned(), (*body).to_owned())).collect()
}

#[tokio::test]
async fn the_last_of_each_key_is_there_and_after_a_restart() {
    let rig = Rig::new(PLENTY);
    for (key, body) in [("a.b", "old"), ("a.b", "new"), ("a", "one"), ("a.c", "gone"), ("$SYS.x", "sys"), ("", "none")]
    {
        rig.retain(key, body).unwrap().wait().await.unwrap();
    }
    rig.retain("a.c", "").unwrap().wait().await.unwrap();
    assert!(rig.retain("a.c", "").unwrap().is_nothing() && rig.retain("never", "").unwrap().is_nothing());
    let all = pairs(&[("", "none"), ("a", "one"), ("a.b", "new")]);
    assert_eq!((rig.retained("#"), rig.vhost.retained_count(), rig.rows_retained()), (all.clone(), 4, 4));
    for orderly in [false, true] {
        let found = Rig::on(
            MemoryJournal::new(Faults::default()),
            HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() },
            Found::default(),
            Faults::default(),
            PLENTY,
        );
        let found = if orderly { found.restart() } else { found };
        assert_eq!((found.retained("#"), found.retained("a.*")), (all.clone(), pairs(&[("a.b", "new")])));
        assert_eq!(found.retained("$SYS.#"), pairs(&[("$SYS.x", "sys")]));
        assert_eq!(found.retained("*.b"), pairs(&[("a.b", "new")]));
        let mut cursor = RetainedCursor::new();
        let one = found.vhost.retained(b"a.b", &mut cursor, 1, 0);
        assert!(cursor.is_done() && one[0].expires_ms == u64::MAX);
        assert!(one[0].message.essentials().durable && one[0].message.head() == b"text");
        assert_eq!(found.broker.totals().retained, 4);
    }
    for key in ["", "a", "a.b", "$SYS.x"] {
        rig.retain(key, "").unwrap().wait().await.unwrap();
    }
    let totals = rig.broker.totals();
    assert_eq!((rig.rows_retained(), totals.retained, totals.retained_bytes), (0, 0, 0));
}

#[tokio::test]
async fn what_has_expired_is_left_out_and_removed() {
    let rig = Rig::new(PLENTY);
    let start_ms = now_ms();
    rig.retain_with("short", b"1", Some(1000), start_ms).unwrap().wait().await.unwrap();
    rig.retain_with("long", b"2", Some(100_000), start_ms).unwrap().wait().await.unwrap();
    rig.retain("ever", "3").unwrap().wait().await.unwrap();
    assert_eq!(rig.retained_at("#", start_ms + 999).len(), 3);
    let found = rig.vhost.retained(b"short", &mut RetainedCursor::new(), 1, start_ms);
    assert_eq!(found[0].expires_ms, start_ms + 1000);
    // Whoever looks removes it.
    assert_eq!(rig.retained_at("#", start_ms + 1000), pairs(&[("ever", "3"), ("long", "2")]));
    assert_eq!((rig.vhost.retained_count(), rig.rows_retained()), (2, 2));
    // And where nobody looks, the sweep does.
    rig.vhost.retained_messages().sweep(start_ms + 100_000);
    assert_eq!((rig.vhost.retained_count(), rig.rows_retained()), (1, 1));
    // Also what expired while nothing ran.
    rig.retain_with("past", b"4", Some(1), start_ms - 10_000).unwrap().wait().await.unwrap();
    let rig = rig.crash();
    assert_eq!(rig.retained("#"), pairs(&[("ever", "3")]));
    assert_eq!(rig.rows_retained(), 1);
}

#[tokio::test]
async fn the_sweep_gets_through_all_of_them_bit_by_bit() {
    let rig = Rig::new(PLENTY);
    for n in 0..10_000_u64 {
        let ttl_ms = (n % 2 == 0).then_some(1000);
        drop(rig.retain_with(&format!("k.{n}"), b"x", ttl_ms, 0).unwrap());
    }
    rig.vhost.retained_messages().sweep(1000);
    let left = rig.vhost.retained_count();
    assert!(left > 5000 && left < 10_000, "{left}");
    for _ in 0..4 {
        rig.vhost.retained_messages().sweep(1000);
    }
    assert_eq!((rig.vhost.retained_count(), rig.rows_retained()), (5000, 5000));
}

#[tokio::test]
async fn what_they_take_is_bounded() {
    let faults = Faults::default();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(faults));
    let options = BrokerOptions { retained_bytes_max: 4000, ..options(PLENTY) };
    let broker = Broker::open(options, journal, Arc::new(MemoryTable::new()), Found::default()).unwrap();
    let vhost = vhost(&broker);
    let retain = |key: &str, bytes: usize| {
        let message = plain("amq.topic", key, Essentials::default(), &vec![b'x'; bytes]);
        vhost.retain(&message, now_ms()).map(drop)
    };
    let bytes = || broker.totals().retained_bytes;
    retain("a", 3000).unwrap();
    assert!(matches!(retain("b", 1000), Err(Error::LimitReached { limit: 4000, .. })));
    assert!(matches!(retain("a", 4000), Err(Error::LimitReached { .. })));
    // The one before is still there, and may become smaller.
    assert_eq!(vhost.retained(b"a", &mut RetainedCursor::new(), 1, 0)[0].message.body().len(), 3000);
    retain("a", 3000).unwrap();
    retain("a", 10).unwrap();
    assert!(bytes() < 400);
    retain("b", 1000).unwrap();
    retain("a", 0).unwrap();
    retain("b", 0).unwrap();
    assert_eq!((bytes(), vhost.retained_count()), (0, 0));
    // Many small ones take more than their bodies.
    let fit = (0..100).take_while(|n| retain(&format!("k{n}"), 1).is_ok()).count();
    assert!((8..14).contains(&fit), "{fit}");
}

#[tokio::test]
async fn a_burst_for_one_key_is_written_once_and_everybody_is_told() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    let first = rig.retain("k", "0").unwrap();
    let burst: Vec<_> = (1..=100).map(|n| rig.retain("k", &n.to_string()).unwrap()).collect();
    let removed = rig.retain("other", "1").and_then(|_| rig.retain("other", "")).unwrap();
    assert_eq!(rig.retained("#"), pairs(&[("k", "100")]));
    assert_eq!(rig.table.waiting.lock().len(), 1);
    // Only the first value has been handed over: killed now, and that may be all there is.
    let (changes, done) = rig.table.waiting.lock().pop().unwrap();
    rig.table.rows.commit(changes, done);
    first.wait().await.unwrap();
    assert_eq!(rig.table.waiting.lock().len(), 1);
    let table = HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() };
    let killed = Rig::on(MemoryJournal::new(Faults::default()), table, Found::default(), Faults::default(), PLENTY);
    assert_eq!(killed.retained("#"), pairs(&[("k", "0")]));
    let rows = rig.table.waiting.lock().iter().map(|(changes, _)| changes.len()).sum::<usize>();
    assert_eq!(rows, 2);
    rig.table.release();
    for pending in burst.into_iter().chain([removed]) {
        pending.wait().await.unwrap();
    }
    assert_eq!(rig.crash().retained("#"), pairs(&[("k", "100")]));
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_written_later() {
    let rig = Rig::new(PLENTY);
    rig.retain("a", "old").unwrap().wait().await.unwrap();
    for body in ["new", ""] {
        rig.table.rows.fail_commit(1, TableError::Full);
        let refused = rig.retain("a", body).unwrap();
        assert_eq!(refused.wait().await, Err(Error::Full));
    }
    assert_eq!((rig.vhost.retained_count(), rig.rows_retained()), (0, 1));
    assert!(rig.broker.totals().retained_bytes > 0, "a removed key counts until its row is gone");
    rig.vhost.retained_messages().sweep(now_ms());
    assert_eq!((rig.rows_retained(), rig.broker.totals().retained_bytes), (0, 0));
    // Whoever cannot wait for that has it written, and hears when it is.
    rig.table.rows.fail_commit(1, TableError::Full);
    assert_eq!(rig.retain("a", "late").unwrap().wait().await, Err(Error::Full));
    rig.vhost.retained_stored(b"a").wait().await.unwrap();
    assert_eq!(rig.rows_retained(), 1);
    assert!(rig.vhost.retained_stored(b"a").is_nothing(), "it is there");
}

#[tokio::test]
async fn an_orderly_stop_writes_what_waits() {
    let rig = Rig::new(PLENTY);
    rig.table.hold();
    for n in 0..3000 {
        drop(rig.retain(&format!("k.{n}"), "x").unwrap());
    }
    rig.table.release();
    let rig = rig.restart();
    assert_eq!(rig.vhost.retained_count(), 3000);
}
