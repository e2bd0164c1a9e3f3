//! One test a promise of the contract.

use gantry_storage::{Faults, LogCursor, LogError, LogReading, LogRecord, LogRetention, TAG_BYTES_MAX};

use crate::engine::{Embedded, Engine, ID, Memory, OPTIONS, offsets, put, read_all, wanting};

fn on_every_engine(test: impl Fn(&mut dyn Engine, &Faults)) {
    let faults = Faults::default();
    test(&mut Memory::new(faults.clone()), &faults);
    let faults = Faults::default();
    test(&mut Embedded::new(faults.clone()), &faults);
}

#[test]
fn what_is_appended_is_read_from_any_offset_and_after_a_crash() {
    on_every_engine(|engine, _| {
        assert_eq!((engine.log().range().first, engine.log().range().next), (0, 0));
        assert_eq!(read_all(engine.log(), 0, None, 5), []);
        let parts: [&[u8]; 3] = [b"one ", b"", b"two"];
        let record = |offset| LogRecord { offset, timestamp_ms: 1000 + offset, tag: None, payload: &parts };
        for offset in 0..500 {
            engine.log().append(&[record(offset)]).unwrap();
        }
        engine.log().append(&(500..3000).map(record).collect::<Vec<_>>()).unwrap();
        for round in 0..2 {
            for (from, step) in [(0, 7), (1, 4000), (499, 1000), (2999, 3), (3000, 3)] {
                let entries = read_all(engine.log(), from, None, step);
                assert_eq!(offsets(&entries), (from..3000).collect::<Vec<_>>(), "round {round}");
                assert!(entries.iter().all(|entry| entry.payload == "one two"));
                assert!(entries.iter().all(|entry| entry.timestamp_ms == 1000 + entry.offset));
            }
            let range = engine.log().range();
            assert_eq!((range.first, range.next, range.records), (0, 3000, 3000));
            assert!(range.segments > 3 && range.bytes >= 3000 * 7, "{range:?}");
            engine.log().sync().unwrap();
            engine.crash().unwrap();
        }
    });
}

#[test]
fn offsets_may_be_left_out_and_must_rise() {
    on_every_engine(|engine, _| {
        for offset in [3, 4, 10, 1 << 40] {
            put(engine.log(), offset, 1, None, b"x");
        }
        for wrong in [0, 10, 1 << 40, u64::MAX] {
            let record = LogRecord { offset: wrong, timestamp_ms: 1, tag: None, payload: &[] };
            let error = engine.log().append(&[record]).unwrap_err();
            assert!(matches!(error, LogError::OutOfOrder { offset, .. } if offset == wrong), "{error}");
        }
        let range = engine.log().range();
        assert_eq!((range.first, range.next, range.records), (3, (1 << 40) + 1, 4));
        assert_eq!(offsets(&read_all(engine.log(), 0, None, 1)), [3, 4, 10, 1 << 40]);
        assert_eq!(offsets(&read_all(engine.log(), 5, None, 1)), [10, 1 << 40]);
        let mut beyond = LogCursor::at(1 << 50);
        let reading = LogReading { records_max: 9, bytes_max: 99, filter: None };
        assert_eq!(engine.log().read(&mut beyond, reading).unwrap(), []);
        assert_eq!(beyond.offset, 1 << 50);
    });
}

#[test]
fn what_is_too_large_is_refused_and_nothing_of_it_is_there() {
    on_every_engine(|engine, _| {
        let long = vec![b't'; TAG_BYTES_MAX + 1];
        let record = LogRecord { offset: 0, timestamp_ms: 1, tag: Some(&long), payload: &[b"x"] };
        assert!(matches!(engine.log().append(&[record]), Err(LogError::TooLarge { .. })));
        let most = LogRecord { tag: Some(&long[1..]), ..record };
        engine.log().append(&[most]).unwrap();
        // Longer than a segment.
        let payload = vec![7; 100_000];
        put(engine.log(), 1, 1, None, &payload);
        put(engine.log(), 2, 1, None, b"behind it");
        engine.log().sync().unwrap();
        engine.crash().unwrap();
        let entries = read_all(engine.log(), 0, None, 1);
        assert_eq!(offsets(&entries), [0, 1, 2]);
        assert_eq!(entries[1].payload, payload);
    });
}

#[test]
fn a_reading_ends_with_its_bytes() {
    on_every_engine(|engine, _| {
        for offset in 0..10 {
            put(engine.log(), offset, 1, None, &[1; 100]);
        }
        let mut cursor = LogCursor::at(2);
        let mut read = |bytes_max| {
            let reading = LogReading { records_max: 100, bytes_max, filter: None };
            offsets(&engine.log().read(&mut cursor, reading).unwrap())
        };
        assert_eq!(read(1), [2]);
        assert_eq!(read(201), [3, 4, 5]);
        assert_eq!(read(0), []);
        assert_eq!(read(usize::MAX), [6, 7, 8, 9]);
    });
}

#[test]
fn a_filter_is_exact() {
    on_every_engine(|engine, _| {
        let tags: [Option<&[u8]>; 4] = [Some(b"a"), Some(b"b"), None, Some(b"")];
        for offset in 0..2000 {
            put(engine.log(), offset, 1, tags[offset as usize % 4], &[1; 50]);
        }
        // One of a kind among very many others.
        for offset in 2000..8000 {
            let tag: &[u8] = if offset == 7777 { b"seldom" } else { b"often" };
            put(engine.log(), offset, 1, Some(tag), &[1; 50]);
        }
        for _ in 0..2 {
            for (tags, untagged, which) in [
                (&["a"][..], false, &[0][..]),
                (&["a", "b"], true, &[0, 1, 2]),
                (&[], true, &[2]),
                (&[""], false, &[3]),
            ] {
                let entries = read_all(engine.log(), 0, Some(&wanting(tags, untagged)), 10);
                let expected: Vec<u64> = (0..2000).filter(|offset| which.contains(&(offset % 4))).collect();
                assert_eq!(offsets(&entries), expected, "{tags:?} {untagged}");
            }
            assert_eq!(offsets(&read_all(engine.log(), 0, Some(&wanting(&["seldom"], false)), 10)), [7777]);
            assert_eq!(offsets(&read_all(engine.log(), 0, Some(&wanting(&["never"], false)), 10)), []);
            engine.log().sync().unwrap();
            engine.crash().unwrap();
        }
    });
}

#[test]
fn a_time_is_found_and_never_falls() {
    on_every_engine(|engine, _| {
        assert_eq!(engine.log().find_time(0).unwrap(), 0);
        for offset in 0..2000 {
            // Every third one by a clock that is behind.
            let ms = if offset % 3 == 2 { 5 } else { 1000 + offset * 10 };
            put(engine.log(), offset, ms, None, &[1; 20]);
        }
        for _ in 0..2 {
            for (ms, offset) in [(0, 0), (1000, 0), (1001, 1), (1010, 1), (1011, 3), (1030, 3), (15_003, 1401)] {
                assert_eq!(engine.log().find_time(ms).unwrap(), offset, "{ms}");
            }
            assert_eq!(engine.log().find_time(u64::MAX).unwrap(), 2000);
            let entries = read_all(engine.log(), 0, None, 100);
            assert!(entries.windows(2).all(|pair| pair[0].timestamp_ms <= pair[1].timestamp_ms));
            engine.log().sync().unwrap();
            engine.crash().unwrap();
        }
    });
}

#[test]
fn the_oldest_segments_go_and_the_one_that_is_written_stays() {
    on_every_engine(|engine, _| {
        let by_bytes = |max| LogRetention { bytes_max: Some(max), before_ms: None };
        let by_age = |before| LogRetention { bytes_max: None, before_ms: Some(before) };
        for offset in 0..1000 {
            put(engine.log(), offset, offset, None, &[1; 100]);
        }
        assert_eq!(engine.log().retain(by_bytes(0)).unwrap(), 0, "what may go with a crash must not decide");
        engine.log().sync().unwrap();
        assert_eq!(engine.log().retain(LogRetention::default()).unwrap(), 0);
        assert_eq!(engine.log().retain(by_bytes(u64::MAX)).unwrap(), 0);
        let before = engine.log().range();
        assert!(engine.log().retain(by_bytes(20_000)).unwrap() > 0);
        let range = engine.log().range();
        assert!(range.bytes <= 20_000 && range.bytes > 10_000, "{range:?}");
        assert_eq!((range.first + range.records, range.next), (1000, 1000));
        assert!(range.segments < before.segments);
        // Nothing of the segment that reaches over the time goes.
        assert!(engine.log().retain(by_age(960)).unwrap() > 0);
        let range = engine.log().range();
        assert!(range.first <= 960 && range.first > 900, "{range:?}");
        assert_eq!(offsets(&read_all(engine.log(), 0, None, 33)), (range.first..1000).collect::<Vec<_>>());
        for retention in [by_bytes(0), by_age(u64::MAX)] {
            engine.log().retain(retention).unwrap();
            let range = engine.log().range();
            assert_eq!((range.segments, range.next), (1, 1000));
            assert!(range.records > 0);
        }
        engine.crash().unwrap();
        assert_eq!((engine.log().range().segments, engine.log().range().next), (1, 1000));
        put(engine.log(), 1000, 0, None, b"goes on");
        assert_eq!(read_all(engine.log(), 1000, None, 1)[0].timestamp_ms, 999);
    });
}

#[test]
fn a_reader_whose_place_is_gone_goes_on_with_the_first_that_is_there() {
    on_every_engine(|engine, _| {
        for offset in 0..1000 {
            put(engine.log(), offset, offset, None, &[1; 100]);
        }
        let mut cursor = LogCursor::at(0);
        let reading = LogReading { records_max: 10, bytes_max: usize::MAX, filter: None };
        assert_eq!(engine.log().read(&mut cursor, reading).unwrap().len(), 10);
        engine.log().sync().unwrap();
        engine.log().retain(LogRetention { bytes_max: Some(20_000), before_ms: None }).unwrap();
        let first = engine.log().range().first;
        assert_eq!(engine.log().read(&mut cursor, reading).unwrap()[0].offset, first);
    });
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    on_every_engine(|engine, faults| {
        put(engine.log(), 0, 1, None, b"before");
        faults.set_full(true);
        let record = LogRecord { offset: 1, timestamp_ms: 1, tag: None, payload: &[b"later"] };
        assert!(matches!(engine.log().append(&[record]), Err(LogError::Full)));
        assert_eq!(engine.log().range().next, 1);
        faults.set_full(false);
        engine.log().append(&[record]).unwrap();
        assert_eq!(offsets(&read_all(engine.log(), 0, None, 9)), [0, 1]);
    });
}

#[test]
fn a_failed_write_or_sync_is_the_end_of_appending() {
    for failing in [Faults::fail_write, Faults::fail_sync] {
        on_every_engine(|engine, faults| {
            put(engine.log(), 0, 1, None, b"safe");
            engine.log().sync().unwrap();
            failing(faults, 1);
            let record = LogRecord { offset: 1, timestamp_ms: 1, tag: None, payload: &[b"lost"] };
            let first = engine.log().append(&[record]).and_then(|()| engine.log().sync());
            assert!(matches!(first, Err(LogError::Failed(_))), "{first:?}");
            assert!(matches!(engine.log().sync(), Err(LogError::Failed(_))));
            assert!(matches!(engine.log().append(&[record]), Err(LogError::Failed(_))));
            assert_eq!(read_all(engine.log(), 0, None, 1)[0].payload, "safe");
            engine.crash().unwrap();
            assert_eq!(read_all(engine.log(), 0, None, 1)[0].payload, "safe");
        });
    }
}

#[test]
fn a_deleted_log_is_gone_with_everything_in_it() {
    on_every_engine(|engine, _| {
        put(engine.log(), 0, 1, None, b"x");
        engine.log().sync().unwrap();
        engine.logs().open(9, OPTIONS).unwrap();
        let mut list = engine.logs().list().unwrap();
        list.sort_unstable();
        assert_eq!(list, [9, ID]);
        engine.logs().delete(ID).unwrap();
        engine.logs().delete(ID).unwrap();
        assert_eq!(engine.logs().list().unwrap(), [9]);
        engine.crash().unwrap();
        assert_eq!(engine.log().range().next, 0);
    });
}
