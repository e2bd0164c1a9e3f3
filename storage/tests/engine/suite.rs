//! One test a promise of the contract.

use bytes::Bytes;
use gantry_storage::{
    Append, Appended, Faults, Journal, JournalError, META_BYTES_MAX, Mark, Note, Position, Reading, Ref, Transaction,
};

use crate::engine::{Embedded, End, Engine, Memory, wait};

fn on_every_engine(test: impl Fn(&mut dyn Engine, &Faults)) {
    let faults = Faults::default();
    test(&mut Memory::new(faults.clone()), &faults);
    let faults = Faults::default();
    test(&mut Embedded::new(faults.clone()), &faults);
}

fn append(journal: &dyn Journal, lane: u64, seq: u64, payload: &[u8]) -> Appended {
    journal.append(Append { refs: &[Ref { lane, seq }], meta: b"m", payload: &[payload] }).unwrap()
}

fn read(journal: &dyn Journal, position: Position) -> Result<Bytes, JournalError> {
    journal.read(&[Reading { position, payload_bytes: 0 }]).pop().unwrap()
}

#[test]
fn what_is_appended_can_be_read_at_once_and_after_a_close() {
    on_every_engine(|engine, _| {
        let parts: [&[u8]; 3] = [b"one ", b"", b"two"];
        let refs = [Ref { lane: 7, seq: 1 }, Ref { lane: u64::MAX, seq: u64::MAX }, Ref { lane: 0, seq: 0 }];
        let journal = engine.journal();
        let appended = journal.append(Append { refs: &refs, meta: b"meta", payload: &parts }).unwrap();
        assert_eq!(read(journal, appended.position).unwrap(), "one two");
        assert!(wait(journal, appended.ticket));
        assert_eq!(read(journal, appended.position).unwrap(), "one two");
        let told = engine.again(End::Close).unwrap();
        assert_eq!(told.clean, Some(true));
        for (n, reference) in refs.into_iter().enumerate() {
            let position = Position { slot: appended.position.slot + n as u32, ..appended.position };
            let found = &told.entries[&position];
            assert_eq!((found.reference, found.payload_bytes, found.meta.as_slice()), (reference, 7, &b"meta"[..]));
            assert_eq!(read(engine.journal(), position).unwrap(), "one two");
        }
        assert_eq!(told.entries.len(), 3);
    });
}

#[test]
fn an_empty_journal_is_clean_and_one_that_was_not_closed_is_not() {
    on_every_engine(|engine, _| {
        assert_eq!(engine.again(End::Close).unwrap().clean, Some(true));
        let appended = append(engine.journal(), 1, 1, b"x");
        assert!(wait(engine.journal(), appended.ticket));
        assert_eq!(engine.again(End::Crash).unwrap().clean, Some(false));
        assert_eq!(engine.again(End::Close).unwrap().clean, Some(true));
    });
}

#[test]
fn what_is_durable_outlives_a_crash() {
    on_every_engine(|engine, _| {
        let journal = engine.journal();
        let kept: Vec<_> = (0..3000).map(|n| append(journal, n % 5, n, &[n as u8; 100])).collect();
        let (gone, left) = kept.split_at(2000);
        let positions: Vec<_> = gone.iter().map(|appended| appended.position).collect();
        let ticket = journal.settle(&positions).unwrap();
        assert!(wait(journal, ticket));
        let told = engine.again(End::Crash).unwrap();
        assert!(told.entries.keys().eq(left.iter().map(|appended| &appended.position)));
        let readings: Vec<_> =
            left.iter().rev().map(|appended| Reading { position: appended.position, payload_bytes: 100 }).collect();
        for (n, payload) in engine.journal().read(&readings).into_iter().enumerate() {
            assert_eq!(payload.unwrap(), vec![(2999 - n) as u8; 100]);
        }
    });
}

#[test]
fn marks_and_notes_are_told_again_and_the_last_one_wins() {
    on_every_engine(|engine, _| {
        let journal = engine.journal();
        let (a, b, c) = (append(journal, 1, 1, b"a"), append(journal, 1, 2, b"b"), append(journal, 1, 3, b"c"));
        for (position, value) in [(a.position, 1), (b.position, 5), (a.position, 2), (b.position, 0), (c.position, 9)] {
            journal.mark(&[Mark { position, value }]).unwrap();
        }
        for (lane, value) in [(1, Some(4)), (2, Some(u64::MAX)), (1, Some(5)), (3, Some(0)), (2, None)] {
            journal.note(Note { lane, value }).unwrap();
        }
        let ticket = journal.settle(&[c.position]).unwrap();
        assert!(wait(journal, ticket));
        for end in [End::Crash, End::Close, End::Close, End::Crash] {
            let told = engine.again(end).unwrap();
            let marks: Vec<_> = told.entries.values().map(|found| found.mark).collect();
            assert_eq!(marks, [2, 0], "after {end:?}");
            assert_eq!(told.notes.into_iter().collect::<Vec<_>>(), [(1, 5), (3, 0)]);
        }
    });
}

#[test]
fn a_transaction_appends_and_settles() {
    on_every_engine(|engine, _| {
        let journal = engine.journal();
        let old = append(journal, 1, 1, b"old");
        let refs = [Ref { lane: 2, seq: 1 }, Ref { lane: 3, seq: 1 }];
        let long = vec![7; 100_000];
        let long_payload: [&[u8]; 1] = [&long];
        let transaction = Transaction {
            appends: vec![
                Append { refs: &refs, meta: b"", payload: &[b"dead ", b"letter"] },
                Append { refs: &refs[..1], meta: b"mm", payload: &long_payload },
            ],
            settles: vec![old.position],
        };
        let (appended, ticket) = journal.transact(&transaction).unwrap();
        assert_eq!(read(journal, appended[0].position).unwrap(), "dead letter");
        assert!(wait(journal, ticket));
        let told = engine.again(End::Crash).unwrap();
        assert_eq!(told.entries.len(), 3);
        assert!(!told.entries.contains_key(&old.position));
        assert_eq!(read(engine.journal(), appended[0].position).unwrap(), "dead letter");
        assert_eq!(read(engine.journal(), appended[1].position).unwrap(), long);
        let settles = vec![appended[0].position];
        let (none, ticket) = engine.journal().transact(&Transaction { appends: Vec::new(), settles }).unwrap();
        assert!(none.is_empty() && wait(engine.journal(), ticket));
        assert_eq!(engine.again(End::Crash).unwrap().entries.len(), 2);
    });
}

#[test]
fn what_is_settled_cannot_be_read() {
    on_every_engine(|engine, _| {
        let journal = engine.journal();
        let appended = append(journal, 1, 1, b"x");
        journal.settle(&[appended.position]).unwrap();
        let error = read(journal, appended.position).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { at, .. } if at == appended.position), "{error}");
        let nowhere = Position { segment: 99, offset: 3, slot: 5 };
        assert!(matches!(read(journal, nowhere), Err(JournalError::Damaged { .. })));
        // A second settlement, or one of something that never was, changes nothing.
        journal.settle(&[appended.position, nowhere]).unwrap();
        assert_eq!(journal.usage().live_refs, 0);
    });
}

#[test]
fn tickets_rise_and_the_watch_follows() {
    on_every_engine(|engine, _| {
        let journal = engine.journal();
        let watch = journal.watch();
        let tickets: Vec<_> = (0..100).map(|n| append(journal, 1, n, b"x").ticket).collect();
        assert!(tickets.is_sorted_by(|a, b| a < b));
        assert!(wait(journal, tickets[99]));
        assert_eq!(*watch.borrow(), journal.durable());
        assert_eq!(journal.backlog_bytes(), 0);
        assert_eq!(journal.usage().live_refs, 100);
        journal.close().unwrap();
        let late = journal.append(Append { refs: &[Ref { lane: 1, seq: 1 }], meta: b"", payload: &[] });
        assert!(matches!(late, Err(JournalError::Failed(_))), "{late:?}");
        journal.close().unwrap();
    });
}

#[test]
fn meta_that_is_too_long_is_refused() {
    on_every_engine(|engine, _| {
        let refs = [Ref { lane: 1, seq: 1 }];
        let fits = [1; META_BYTES_MAX];
        engine.journal().append(Append { refs: &refs, meta: &fits, payload: &[] }).unwrap();
        let outcome = engine.journal().append(Append { refs: &refs, meta: &[1; META_BYTES_MAX + 1], payload: &[] });
        assert!(matches!(outcome, Err(JournalError::TooLarge { .. })), "{outcome:?}");
    });
}

#[test]
fn a_failed_write_or_sync_ends_everything() {
    for fail in [Faults::fail_write as fn(&Faults, u64), Faults::fail_sync] {
        for nth in 1..4 {
            on_every_engine(|engine, faults| {
                let journal = engine.journal();
                let first = append(journal, 1, 0, b"safe");
                assert!(wait(journal, first.ticket));
                fail(faults, nth);
                let mut confirmed = vec![first.position];
                let failed = loop {
                    let refs = [Ref { lane: 1, seq: 1 }];
                    match journal.append(Append { refs: &refs, meta: b"", payload: &[b"x"] }) {
                        Ok(appended) if wait(journal, appended.ticket) => confirmed.push(appended.position),
                        Ok(appended) => break appended.ticket,
                        Err(JournalError::Failed(_)) => break first.ticket,
                        Err(other) => panic!("{other}"),
                    }
                    assert!(confirmed.len() as u64 <= nth, "the fault never showed");
                };
                assert!(failed == first.ticket || journal.durable() < failed);
                assert!(matches!(journal.settle(&[first.position]), Err(JournalError::Failed(_))));
                assert!(matches!(journal.note(Note { lane: 1, value: None }), Err(JournalError::Failed(_))));
                let refs = [Ref { lane: 1, seq: 1 }];
                let late = journal.append(Append { refs: &refs, meta: b"", payload: &[] });
                assert!(matches!(late, Err(JournalError::Failed(_))), "{late:?}");
                assert!(journal.watch().has_changed().is_err(), "the sender is gone");
                assert!(journal.close().is_err());
                let told = engine.again(End::Crash).unwrap();
                assert!(confirmed.iter().all(|position| told.entries.contains_key(position)));
            });
        }
    }
}

#[test]
fn a_full_disk_refuses_appends_only() {
    on_every_engine(|engine, faults| {
        let journal = engine.journal();
        let (a, b) = (append(journal, 1, 1, b"a"), append(journal, 1, 2, b"b"));
        faults.set_full(true);
        let refs = [Ref { lane: 1, seq: 3 }];
        let record = Append { refs: &refs, meta: b"", payload: &[b"x"] };
        assert!(matches!(journal.append(record), Err(JournalError::Full)));
        let transaction = Transaction { appends: vec![record], settles: vec![a.position] };
        assert!(matches!(journal.transact(&transaction), Err(JournalError::Full)));
        assert!(journal.usage().full);
        assert_eq!(read(journal, a.position).unwrap(), "a", "the transaction did nothing");
        journal.mark(&[Mark { position: b.position, value: u64::MAX }]).unwrap();
        journal.note(Note { lane: 1, value: Some(1) }).unwrap();
        let ticket = journal.settle(&[a.position]).unwrap();
        assert!(wait(journal, ticket));
        faults.set_full(false);
        // The keeper looks again by itself.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let again = loop {
            match journal.append(record) {
                Ok(appended) => break appended,
                Err(JournalError::Full) => assert!(std::time::Instant::now() < until, "it stays full"),
                Err(other) => panic!("{other}"),
            }
            std::thread::yield_now();
        };
        assert!(wait(journal, again.ticket));
        let told = engine.again(End::Crash).unwrap();
        assert_eq!(told.entries.keys().copied().collect::<Vec<_>>(), [b.position, again.position]);
        assert_eq!(told.entries[&b.position].mark, u64::MAX);
    });
}
