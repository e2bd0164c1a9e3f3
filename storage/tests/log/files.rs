//! Torn tails, flipped bits, missing files.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_storage::{
    EmbeddedLogs, Faults, LogCursor, LogError, LogOptions, LogReading, LogRecord, LogRetention, Logs, LogsOptions,
};
use tempfile::TempDir;

use crate::engine::{Embedded, Engine, ID, OPTIONS, offsets, put, read_all};

fn copy(files: &Path) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join(format!("{ID:016x}"));
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(files).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    (dir, to)
}

fn open(dir: &Path) -> Result<std::sync::Arc<dyn gantry_storage::Log>, LogError> {
    EmbeddedLogs::new(dir, LogsOptions::default()).open(ID, OPTIONS)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn segments(files: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(files)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let engine = Embedded::new(Faults::default());
    put(engine.log(), 0, 1, None, b"first");
    put(engine.log(), 5, 2, None, b"second");
    let path = &segments(&engine.files())[0];
    let begin = fs::read(path).unwrap().len();
    put(engine.log(), 6, 3, Some(b"tag"), b"the last one");
    let whole = fs::read(path).unwrap();
    for cut in begin..whole.len() {
        for torn in 0..3 {
            let (dir, files) = copy(&engine.files());
            let first_changed = cut;
            change(&files.join(path.file_name().unwrap()), |bytes| match torn {
                0 => bytes.truncate(cut),
                garbage => {
                    for byte in &mut bytes[first_changed..] {
                        *byte = if garbage == 1 { !*byte } else { byte.wrapping_add(1) };
                    }
                }
            });
            // What is changed in the padding is no loss.
            let log = open(dir.path()).unwrap();
            let left = offsets(&read_all(&*log, 0, None, 9));
            let whole_left = left == [0, 5, 6];
            assert!(left == [0, 5] || whole_left && cut + 8 > whole.len(), "cut at {cut}: {left:?}");
            let next = log.range().next;
            put(&*log, next, 4, None, b"goes on");
            drop(log);
            let log = open(dir.path()).unwrap();
            assert_eq!(read_all(&*log, next, None, 9)[0].payload, "goes on");
            assert_eq!(read_all(&*log, 0, None, 9).len(), left.len() + 1);
        }
    }
}

#[test]
fn a_hole_in_the_middle_is_refused_and_named() {
    let engine = Embedded::new(Faults::default());
    for offset in 0..3 {
        put(engine.log(), offset, 1, None, b"one block each, and synced");
        engine.log().sync().unwrap();
    }
    let (dir, files) = copy(&engine.files());
    change(&segments(&files)[0], |bytes| bytes[64 + 60] ^= 1);
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(&error, LogError::Unusable(what) if what.contains("bad block at 64")), "{error}");
}

#[test]
fn a_hole_within_what_was_never_synced_is_a_torn_tail() {
    let engine = Embedded::new(Faults::default());
    for offset in 0..3 {
        put(engine.log(), offset, 1, None, b"one block each, and not synced");
    }
    let (dir, files) = copy(&engine.files());
    change(&segments(&files)[0], |bytes| bytes[64 + 60] ^= 1);
    assert_eq!(open(dir.path()).unwrap().range().records, 0);
}

fn many() -> Embedded {
    let engine = Embedded::new(Faults::default());
    for offset in 0..1000 {
        put(engine.log(), offset, offset, None, &[3; 60]);
    }
    engine.log().sync().unwrap();
    assert!(segments(&engine.files()).len() > 5);
    engine
}

#[test]
fn a_missing_segment_is_refused_unless_it_is_the_first() {
    let engine = many();
    let (dir, files) = copy(&engine.files());
    fs::remove_file(&segments(&files)[2]).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(&error, LogError::Unusable(what) if what.contains("segment 3 before it is missing")), "{error}");
    let (dir, files) = copy(&engine.files());
    fs::remove_file(&segments(&files)[0]).unwrap();
    let log = open(dir.path()).unwrap();
    assert!(log.range().first > 0 && log.range().next == 1000);
}

#[test]
fn a_damaged_or_missing_index_is_made_again() {
    let engine = many();
    let (dir, files) = copy(&engine.files());
    let index = |n: usize| segments(&files)[n].with_extension("idx");
    let sound = fs::read(index(1)).unwrap();
    fs::remove_file(index(0)).unwrap();
    change(&index(1), |bytes| bytes[70] ^= 1);
    change(&index(2), |bytes| bytes.truncate(30));
    let log = open(dir.path()).unwrap();
    assert_eq!(offsets(&read_all(&*log, 0, None, 100)), (0..1000).collect::<Vec<_>>());
    assert_eq!(fs::read(index(1)).unwrap(), sound);
}

#[test]
fn a_bad_block_of_a_whole_segment_is_told_and_passed_over() {
    let engine = many();
    let (dir, files) = copy(&engine.files());
    change(&segments(&files)[1], |bytes| bytes[64 + 60] ^= 1);
    // The index says nothing of it, so that it opens, and without it not.
    let log = open(dir.path()).unwrap();
    let mut cursor = LogCursor::at(0);
    let (mut found, mut damaged) = (Vec::new(), 0);
    while cursor.offset < 1000 {
        let reading = LogReading { records_max: 50, bytes_max: usize::MAX, filter: None };
        match log.read(&mut cursor, reading) {
            Ok(entries) => found.extend(offsets(&entries)),
            Err(LogError::Damaged(what)) => {
                assert!(what.contains("00000002.log at 64"), "{what}");
                damaged += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(damaged, 1);
    assert!(found.len() > 900 && found.is_sorted());
    drop(log);
    fs::remove_file(segments(&files)[1].with_extension("idx")).unwrap();
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(&error, LogError::Unusable(what) if what.contains("a later segment follows")), "{error}");
}

#[test]
fn a_segment_that_was_never_begun_goes_and_a_lost_header_is_refused() {
    let engine = many();
    let (dir, files) = copy(&engine.files());
    let next = files.join(format!("{:08}.log", segments(&files).len() + 1));
    for begun in [&[][..], &[0; 64], &[1; 20], &[0; 5000]] {
        fs::write(&next, begun).unwrap();
        assert_eq!(open(dir.path()).unwrap().range().next, 1000);
        assert!(!next.exists());
    }
    engine.log().retain(LogRetention { bytes_max: Some(0), before_ms: None }).unwrap();
    let (dir, files) = copy(&engine.files());
    let [path] = &segments(&files)[..] else { panic!("one is left") };
    fs::write(path, []).unwrap();
    assert!(matches!(open(dir.path()), Err(LogError::Unusable(_))));
}

#[test]
fn where_a_write_found_no_room_the_next_one_goes() {
    let faults = Faults::default();
    let mut engine = Embedded::with(faults.clone(), LogOptions { segment_bytes: 1 << 20 });
    put(engine.log(), 0, 1, None, b"before");
    // What such a write leaves behind.
    let path = &segments(&engine.files())[0];
    change(path, |bytes| bytes.extend_from_slice(&[9; 100]));
    engine.crash().unwrap();
    put(engine.log(), 1, 1, None, b"after");
    engine.crash().unwrap();
    assert_eq!(offsets(&read_all(engine.log(), 0, None, 9)), [0, 1]);
}

#[test]
fn readers_finish_with_segments_that_go_meanwhile() {
    let engine = many();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = None;
                    let mut cursor = LogCursor::at(0);
                    while cursor.offset < 3000 {
                        let reading = LogReading { records_max: 7, bytes_max: usize::MAX, filter: None };
                        for entry in engine.log().read(&mut cursor, reading).unwrap() {
                            assert!(last < Some(entry.offset) && entry.payload == [3; 60].as_slice());
                            last = Some(entry.offset);
                        }
                    }
                    last
                })
            })
            .collect();
        for offset in 1000..3000 {
            let record = LogRecord { offset, timestamp_ms: offset, tag: None, payload: &[&[3; 60]] };
            engine.log().append(&[record]).unwrap();
            if offset % 100 == 0 {
                engine.log().sync().unwrap();
                engine.log().retain(LogRetention { bytes_max: Some(30_000), before_ms: None }).unwrap();
            }
        }
        for reader in readers {
            assert_eq!(reader.join().unwrap(), Some(2999));
        }
    });
}
