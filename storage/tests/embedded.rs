//! What the embedded engine does with its files: torn tails, flipped bits, recycled files, compaction, full disks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gantry_storage::{
    Append, Appended, EmbeddedJournal, Faults, Journal, JournalError, JournalOptions, Position, RECORD_BYTES_MAX,
    Reading, Recovered, Recovery, Ref, Ticket, Transaction,
};
use tempfile::TempDir;

const SEGMENT_BYTES: u64 = 64 << 10;

#[derive(Debug, Default)]
struct Told {
    entries: BTreeMap<Position, Ref>,
    clean: bool,
}

impl Recovery for Told {
    fn clean(&mut self, clean: bool) {
        self.clean = clean;
    }

    fn entry(&mut self, entry: Recovered<'_>) {
        self.entries.insert(entry.position, entry.reference);
    }

    fn note(&mut self, _: u64, _: u64) {}
}

fn options() -> JournalOptions {
    JournalOptions { segment_bytes: SEGMENT_BYTES, disk_free_min_bytes: 0, ..JournalOptions::default() }
}

fn open(dir: &Path) -> Result<(EmbeddedJournal, Told), JournalError> {
    let mut told = Told::default();
    Ok((EmbeddedJournal::open(dir, options(), &mut told)?, told))
}

fn append(journal: &EmbeddedJournal, seq: u64, payload: &[u8]) -> Appended {
    journal.append(Append { refs: &[Ref { lane: 1, seq }], meta: b"meta", payload: &[payload] }).unwrap()
}

fn read(journal: &EmbeddedJournal, position: Position) -> Result<bytes::Bytes, JournalError> {
    journal.read(&[Reading { position, payload_bytes: 0 }]).pop().unwrap()
}

fn wait(journal: &EmbeddedJournal, ticket: Ticket) {
    until("durable", || journal.durable() >= ticket);
}

/// Looks again and again until something is so: for what the keeper does in its own time.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "never so: {what}");
        std::thread::yield_now();
    }
}

fn copy(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("spare"))
        .collect();
    paths.sort();
    paths
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Blocks that a folder's files take, in bytes.
fn disk_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().filter_map(|entry| entry.ok()?.metadata().ok()).map(|data| data.blocks() * 512).sum()
}

/// A journal with one durable record a batch, that was not closed. Gives their offsets, and where the last one ends.
fn crashed(payloads: &[&[u8]]) -> (TempDir, Vec<Position>) {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let positions = (0..)
        .zip(payloads)
        .map(|(seq, payload)| {
            let appended = append(&journal, seq, payload);
            wait(&journal, appended.ticket);
            appended.position
        })
        .collect();
    drop(journal);
    (dir, positions)
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let (dir, positions) = crashed(&[b"first", b"second", b"the last one"]);
    let path = &segments(dir.path())[0];
    let whole = fs::read(path).unwrap();
    let begin = positions[2].offset as usize;
    let end = whole[begin..].iter().rposition(|&byte| byte != 0).unwrap() + begin + 1;
    assert!(end - begin > 40);
    for cut in begin..end {
        for garbage in [0, 0xa5] {
            let copy = copy(dir.path());
            change(&copy.path().join(path.file_name().unwrap()), |bytes| {
                // Not what is there already.
                for byte in &mut bytes[cut..end] {
                    *byte = if *byte == garbage { !garbage } else { garbage };
                }
            });
            let (journal, told) = open(copy.path()).unwrap();
            assert!(told.entries.keys().eq(&positions[..2]), "cut at {cut}: {:?}", told.entries);
            assert!(!told.clean);
            let again = append(&journal, 9, b"goes on");
            wait(&journal, again.ticket);
            drop(journal);
            let (journal, told) = open(copy.path()).unwrap();
            assert!(told.entries.keys().eq(positions[..2].iter().chain([&again.position])), "cut at {cut}");
            assert_eq!(read(&journal, again.position).unwrap(), "goes on");
        }
    }
    // The file may be shorter, too.
    let copy = copy(dir.path());
    change(&copy.path().join(path.file_name().unwrap()), |bytes| bytes.truncate(begin + 10));
    assert!(open(copy.path()).unwrap().1.entries.keys().eq(&positions[..2]));
}

#[test]
fn a_torn_transaction_did_not_happen() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let old = append(&journal, 1, b"old");
    wait(&journal, old.ticket);
    let refs = [Ref { lane: 1, seq: 2 }];
    let record = Append { refs: &refs, meta: b"", payload: &[b"new"] };
    let transaction = Transaction { appends: vec![record, record], settles: vec![old.position] };
    let (appended, ticket) = journal.transact(&transaction).unwrap();
    wait(&journal, ticket);
    drop(journal);
    let path = &segments(dir.path())[0];
    let whole = fs::read(path).unwrap();
    let end = whole.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    assert!(open(copy(dir.path()).path()).unwrap().1.entries.keys().eq(appended.iter().map(|new| &new.position)));
    for cut in old.position.offset as usize + 48..end {
        let copy = copy(dir.path());
        change(&copy.path().join(path.file_name().unwrap()), |bytes| bytes[cut..end].fill(0));
        if fs::read(copy.path().join(path.file_name().unwrap())).unwrap() == whole {
            continue;
        }
        assert!(open(copy.path()).unwrap().1.entries.keys().eq([&old.position]), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_refused_with_file_and_offset() {
    let (dir, positions) = crashed(&[&[1; 50], &[2; 50], &[3; 50]]);
    let path = &segments(dir.path())[0];
    let name = path.file_name().unwrap();
    for at in positions[1].offset..positions[1].offset + 80 {
        let copy = copy(dir.path());
        change(&copy.path().join(name), |bytes| bytes[at as usize] ^= 0x10);
        let error = open(copy.path()).unwrap_err();
        assert!(matches!(error, JournalError::Unusable(_)), "{error:?}");
        let text = error.to_string();
        let offset = format!("offset {}", positions[1].offset);
        assert!(text.contains(name.to_str().unwrap()) && text.contains(&offset), "{text}");
    }
}

#[test]
fn a_hole_in_the_batch_that_was_being_written_is_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let first = append(&journal, 0, b"first");
    wait(&journal, first.ticket);
    // A transaction is always in one batch.
    let refs = [Ref { lane: 1, seq: 1 }];
    let payload = [7; 3000];
    let payload: [&[u8]; 1] = [&payload];
    let appends = vec![Append { refs: &refs, meta: b"", payload: &payload }; 5];
    let (appended, ticket) = journal.transact(&Transaction { appends, settles: Vec::new() }).unwrap();
    wait(&journal, ticket);
    drop(journal);
    // The disk may write the pages of a batch in any order: one in the middle is missing.
    change(&segments(dir.path())[0], |bytes| {
        let at = appended[2].position.offset as usize;
        bytes[at..at + 1000].fill(0);
    });
    assert!(open(dir.path()).unwrap().1.entries.keys().eq([&first.position]));
}

#[test]
fn damage_in_a_segment_that_is_not_the_last_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let positions: Vec<_> = (0..200).map(|n| append(&journal, n, &[1; 1000]).position).collect();
    wait(&journal, append(&journal, 200, b"").ticket);
    drop(journal);
    let all = segments(dir.path());
    assert!(all.len() > 3);
    // Without a checkpoint that covers it, every segment is read.
    let missing = copy(dir.path());
    fs::remove_file(missing.path().join(all[1].file_name().unwrap())).unwrap();
    let error = open(missing.path()).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("0000000"), "{error}");
    // A damaged record is told when it is read, at the latest.
    let position = positions[70];
    let damaged = copy(dir.path());
    let path = damaged.path().join(format!("{:08}.seg", position.segment));
    change(&path, |bytes| bytes[position.offset as usize + 500] ^= 1);
    match open(damaged.path()) {
        Err(error) => assert!(error.to_string().contains(&format!("offset {}", position.offset)), "{error}"),
        Ok((journal, told)) => {
            assert_eq!(told.entries.len(), 201);
            let error = read(&journal, position).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { at, .. } if at == position), "{error}");
            read(&journal, positions[71]).unwrap();
        }
    }
}

#[test]
fn an_index_that_is_missing_or_damaged_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let kept: Vec<_> = (0..300).map(|n| append(&journal, n, &[n as u8; 900]).position).collect();
    journal.settle(&kept[100..110]).unwrap();
    journal.close().unwrap();
    drop(journal);
    let (journal, before) = open(dir.path()).unwrap();
    assert!(before.clean);
    assert_eq!(before.entries.len(), 290);
    journal.close().unwrap();
    drop(journal);
    let indexes: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .collect();
    assert!(indexes.len() > 3, "{indexes:?}");
    for (n, path) in indexes.iter().enumerate() {
        match n % 3 {
            0 => fs::remove_file(path).unwrap(),
            1 => change(path, |bytes| bytes.truncate(bytes.len() / 2)),
            _ => change(path, |bytes| *bytes.last_mut().unwrap() ^= 1),
        }
    }
    let (journal, after) = open(dir.path()).unwrap();
    assert_eq!(after.entries, before.entries);
    for &position in after.entries.keys() {
        assert_eq!(read(&journal, position).unwrap().len(), 900);
    }
    assert!(indexes.iter().all(|path| path.exists()));
}

#[test]
fn a_damaged_or_missing_checkpoint_is_refused() {
    let (dir, _) = crashed(&[b"x"]);
    let path = dir.path().join("checkpoint");
    let length = fs::read(&path).unwrap().len();
    for at in 0..length {
        let copy = copy(dir.path());
        change(&copy.path().join("checkpoint"), |bytes| bytes[at] ^= 1);
        let error = open(copy.path()).unwrap_err();
        assert!(matches!(error, JournalError::Unusable(_)) && error.to_string().contains("checkpoint"), "{error}");
    }
    fs::remove_file(path).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("checkpoint"), "{error}");
}

#[test]
fn old_records_in_recycled_files_stay_dead() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path()).unwrap();
    let mut seq = 0;
    for round in 0..6 {
        // Everything is settled, so that all segments but the last are freed and recycled.
        for _ in 0..4 {
            let positions: Vec<_> = (0..70).map(|_| (append(&journal, seq, &[7; 900]).position, seq += 1).0).collect();
            wait(&journal, journal.settle(&positions).unwrap());
        }
        until("freed", || journal.usage().segments <= 2);
        let kept = append(&journal, seq, b"kept");
        wait(&journal, kept.ticket);
        drop(journal);
        let told;
        (journal, told) = open(dir.path()).unwrap();
        assert!(told.entries.keys().eq([&kept.position]), "round {round}: {:?}", told.entries);
        let stale = segments(dir.path())
            .into_iter()
            .chain((0..40).map(|n| dir.path().join(format!("spare-{n:08}.seg"))))
            .filter_map(|path| fs::read(path).ok())
            .filter(|bytes| bytes.windows(900).any(|window| window == [7; 900]))
            .count();
        assert!(stale > 0, "no file has an old record in it: nothing was tested");
        wait(&journal, journal.settle(&[kept.position]).unwrap());
    }
}

#[test]
fn stragglers_cost_little_disk_and_keep_their_positions() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let mut kept = Vec::new();
    for seq in 0..6000_u64 {
        let appended = append(&journal, seq, &[seq as u8; 1000]);
        if seq % 60 == 0 {
            kept.push((appended.position, seq));
        } else {
            journal.settle(&[appended.position]).unwrap();
        }
        if seq % 100 == 0 {
            wait(&journal, appended.ticket);
        }
    }
    assert!(kept.last().unwrap().0.segment > 90);
    let check = |journal: &EmbeddedJournal| {
        for (position, seq) in &kept {
            assert_eq!(read(journal, *position).unwrap(), vec![*seq as u8; 1000]);
        }
    };
    // About one live record of 1 KiB a segment: two small files each, and what is set aside for the next segments.
    let allowed = kept.len() as u64 * 2 * 4096 + 8 * SEGMENT_BYTES;
    until("compacted", || {
        check(&journal);
        disk_bytes(dir.path()) < allowed
    });
    assert!(journal.usage().disk_bytes < allowed);
    // The last settlements may still be on their way.
    wait(&journal, journal.settle(&[]).unwrap());
    drop(journal);
    let (journal, told) = open(dir.path()).unwrap();
    assert!(told.entries.iter().map(|(position, found)| (*position, found.seq)).eq(kept.iter().copied()));
    check(&journal);
    // A compacted file without its index is read like any other.
    journal.close().unwrap();
    drop(journal);
    for path in segments(dir.path()) {
        let _ = fs::remove_file(path.with_extension("idx"));
    }
    let (journal, told) = open(dir.path()).unwrap();
    assert_eq!(told.entries.len(), kept.len());
    check(&journal);
    let positions: Vec<_> = kept.iter().map(|(position, _)| *position).collect();
    wait(&journal, journal.settle(&positions).unwrap());
    // They are freed at the next checkpoint, which comes when a segment ends.
    for seq in 0..200 {
        let appended = append(&journal, seq, &[0; 1000]);
        wait(&journal, journal.settle(&[appended.position]).unwrap());
    }
    until("freed", || disk_bytes(dir.path()) < 9 * SEGMENT_BYTES);
}

#[test]
fn a_half_live_journal_stays_within_a_small_factor() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let mut live = 0;
    for seq in 0..5000_u64 {
        let appended = append(&journal, seq, &[0; 1000]);
        if seq % 4 == 0 {
            live += 1000;
        } else {
            journal.settle(&[appended.position]).unwrap();
        }
        if seq % 100 == 0 {
            wait(&journal, appended.ticket);
        }
    }
    until("compacted", || disk_bytes(dir.path()) < 2 * live + 8 * SEGMENT_BYTES);
}

#[test]
fn a_record_longer_than_a_segment_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let long: Vec<u8> = (0..5 << 20).map(|n: u32| (n >> 8) as u8 ^ n as u8).collect();
    let small = append(&journal, 1, b"small").position;
    let positions: Vec<_> = (0..3).map(|n| append(&journal, n, &long).position).collect();
    let last = append(&journal, 4, b"after");
    assert_eq!(read(&journal, positions[1]).unwrap(), long);
    wait(&journal, last.ticket);
    let refs = [Ref { lane: 1, seq: 1 }];
    let mebibyte = vec![0; 1 << 20];
    let payload = vec![mebibyte.as_slice(); 1024];
    let error = journal.append(Append { refs: &refs, meta: b"", payload: &payload }).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { bytes, limit } if bytes > limit && limit == RECORD_BYTES_MAX));
    drop(journal);
    let (journal, told) = open(dir.path()).unwrap();
    assert_eq!(told.entries.len(), 5);
    assert_eq!(read(&journal, positions[2]).unwrap(), long);
    assert_eq!(read(&journal, small).unwrap(), "small");
    wait(&journal, journal.settle(&positions).unwrap());
    // The last long one shares its segment with a short one, and goes by compaction.
    until("they are gone", || disk_bytes(dir.path()) < 8 * SEGMENT_BYTES);
    assert_eq!(read(&journal, last.position).unwrap(), "after");
}

#[test]
fn a_hundred_lanes_cost_little_each() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path()).unwrap();
    let refs: Vec<_> = (0..100).map(|lane| Ref { lane: lane * 7, seq: 1 << 40 | lane }).collect();
    let mut ends = Vec::new();
    for _ in 0..40 {
        let position = journal.append(Append { refs: &refs, meta: b"", payload: &[&[0; 1024]] }).unwrap().position;
        ends.push(position);
        // The lanes are settled one by one, each time in another order.
        let mut slots: Vec<_> =
            (position.slot..position.slot + 100).map(|slot| Position { slot, ..position }).collect();
        slots.rotate_left(ends.len() * 37 % 100);
        for slot in slots {
            journal.settle(&[slot]).unwrap();
        }
    }
    let pairs = ends.windows(2).filter(|pair| pair[0].segment == pair[1].segment);
    let bytes = pairs.map(|pair| pair[1].offset - pair[0].offset).max().unwrap();
    assert!(bytes < 1331 + 64 * 100, "{bytes} bytes for a record and what settled the one before");
    journal.close().unwrap();
}

#[test]
fn on_fatal_is_called_once() {
    let dir = tempfile::tempdir().unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&calls);
    let faults = Faults::default();
    let on_fatal = Arc::new(move |what: &str| {
        assert!(what.contains("00000001.seg"), "{what}");
        counter.fetch_add(1, Ordering::SeqCst);
    });
    let options = JournalOptions { on_fatal: Some(on_fatal), faults: faults.clone(), ..options() };
    let journal = EmbeddedJournal::open(dir.path(), options, &mut Told::default()).unwrap();
    faults.fail_sync(1);
    append(&journal, 1, b"x");
    until("told", || calls.load(Ordering::SeqCst) == 1);
    assert!(journal.close().is_err());
    drop(journal);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn too_little_free_space_is_full_from_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions { disk_free_min_bytes: u64::MAX / 2, ..options() };
    let journal = EmbeddedJournal::open(dir.path(), options, &mut Told::default()).unwrap();
    let refs = [Ref { lane: 1, seq: 1 }];
    let outcome = journal.append(Append { refs: &refs, meta: b"", payload: &[] });
    assert!(matches!(outcome, Err(JournalError::Full)), "{outcome:?}");
    let note = gantry_storage::Note { lane: 1, value: Some(1) };
    wait(&journal, journal.note(note).unwrap());
}

/// A file system of 4 MiB, for those who may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        let outcome = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(dir.path()).output();
        outcome.is_ok_and(|output| output.status.success()).then_some(SmallDisk(dir))
    }
}

impl SmallDisk {
    /// Takes every byte that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut filler = fs::File::options().create(true).append(true).open(self.0.path().join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

/// Takes away what a journal has set aside: spare files, and the end of the last segment.
fn strip(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("spare") {
            fs::remove_file(path).unwrap();
        }
    }
    for path in segments(dir) {
        change(&path, |bytes| {
            let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            bytes.truncate(end.next_multiple_of(4096));
        });
    }
}

#[test]
fn a_full_disk_is_opened_read_and_written_to_once_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: may not mount a tmpfs");
        return;
    };
    let dir = disk.0.path().join("journal");
    for orderly in [false, true] {
        let (journal, told) = open(&dir).unwrap();
        journal.settle(&told.entries.into_keys().collect::<Vec<_>>()).unwrap();
        let positions: Vec<_> = (0..200).map(|n| append(&journal, n, &[1; 1000]).position).collect();
        wait(&journal, append(&journal, 200, b"last").ticket);
        // Opening would free it, and have space.
        let oldest = dir.join(format!("{:08}.seg", positions[0].segment));
        until("what was settled is freed", || segments(&dir).iter().all(|path| *path >= oldest));
        if orderly {
            journal.close().unwrap();
        }
        drop(journal);
        strip(&dir);
        disk.fill();
        let (journal, told) = open(&dir).unwrap();
        assert_eq!((told.entries.len(), told.clean), (201, orderly));
        assert!(journal.usage().full);
        let refs = [Ref { lane: 1, seq: 1 }];
        let outcome = journal.append(Append { refs: &refs, meta: b"", payload: &[] });
        assert!(matches!(outcome, Err(JournalError::Full)), "{outcome:?}");
        for position in &positions {
            assert_eq!(read(&journal, *position).unwrap().len(), 1000);
        }
        let ticket = journal.settle(&positions[..50]).unwrap();
        assert!(matches!(journal.close(), Err(JournalError::Full)));
        assert!(journal.durable() < ticket);
        drop(journal);

        // What was not written has not happened, and nobody says that the journal was closed in an orderly way.
        let (journal, told) = open(&dir).unwrap();
        assert_eq!((told.entries.len(), told.clean), (201, false));
        let ticket = journal.settle(&positions[..100]).unwrap();
        assert!(journal.durable() < ticket);
        disk.empty();
        wait(&journal, ticket);
        until("space again", || !journal.usage().full);
        let again = append(&journal, 300, b"again");
        wait(&journal, again.ticket);
        drop(journal);
        let (journal, told) = open(&dir).unwrap();
        assert!(told.entries.keys().all(|position| !positions[..100].contains(position)));
        assert_eq!(told.entries.len(), 102);
        assert!(told.entries.contains_key(&again.position));
        journal.close().unwrap();
    }
}

#[test]
fn a_spare_file_gives_a_full_disk_the_space_to_open() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: may not mount a tmpfs");
        return;
    };
    let dir = disk.0.path().join("journal");
    let (journal, _) = open(&dir).unwrap();
    let positions: Vec<_> = (0..20).map(|n| append(&journal, n, &[1; 1000]).position).collect();
    journal.close().unwrap();
    drop(journal);
    strip(&dir);
    for n in 1..=2 {
        fs::write(dir.join(format!("spare-{n:08}.seg")), vec![0; SEGMENT_BYTES as usize]).unwrap();
    }
    disk.fill();
    let (journal, told) = open(&dir).unwrap();
    assert_eq!(told.entries.len(), 20);
    wait(&journal, journal.settle(&positions[..10]).unwrap());
    drop(journal);
    assert!(open(&dir).unwrap().1.entries.keys().eq(&positions[10..]));
}

#[test]
fn segments_that_are_settled_make_room_for_opening() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: may not mount a tmpfs");
        return;
    };
    let source = tempfile::tempdir().unwrap();
    let (journal, _) = open(source.path()).unwrap();
    let positions: Vec<_> = (0..200).map(|n| append(&journal, n, &[1; 1000]).position).collect();
    journal.close().unwrap();
    drop(journal);
    let (journal, _) = open(source.path()).unwrap();
    // As it is before anything is freed: the checkpoint covers the segments, and only the log says that they are settled.
    let dir = disk.0.path().join("journal");
    fs::create_dir(&dir).unwrap();
    let covered = segments(source.path());
    for path in covered.iter().chain([&source.path().join("checkpoint")]) {
        fs::copy(path, dir.join(path.file_name().unwrap())).unwrap();
    }
    wait(&journal, journal.settle(&positions[..195]).unwrap());
    let log = format!("{:08}.seg", covered.len() + 1);
    fs::copy(source.path().join(&log), dir.join(&log)).unwrap();
    strip(&dir);
    disk.fill();
    let (journal, told) = open(&dir).unwrap();
    assert!(told.entries.keys().eq(&positions[195..]));
    assert!(segments(&dir).len() < covered.len());
    for position in &positions[195..] {
        assert_eq!(read(&journal, *position).unwrap().len(), 1000);
    }
    wait(&journal, journal.settle(&positions[195..198]).unwrap());
    drop(journal);
    assert!(open(&dir).unwrap().1.entries.keys().eq(&positions[198..]));
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_appends_until_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: may not mount a tmpfs; the fault in the engine suite stands in");
        return;
    };
    let dir = disk.0.path().join("journal");
    let (journal, _) = open(&dir).unwrap();
    let refs = [Ref { lane: 1, seq: 1 }];
    let payload = [1; 1000];
    let record = Append { refs: &refs, meta: b"", payload: &[&payload] };
    let mut positions = Vec::new();
    loop {
        match journal.append(record) {
            Ok(appended) => {
                positions.push(appended.position);
                wait(&journal, appended.ticket);
            }
            Err(JournalError::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(positions.len() > 2000, "{}", positions.len());
    assert!(journal.usage().full);
    for position in positions.iter().step_by(100) {
        assert_eq!(read(&journal, *position).unwrap().len(), 1000);
    }
    // One by one, and with marks: more than the rest of the segment would hold if nothing were freed.
    let (first, rest) = positions.split_at(positions.len() / 2);
    for position in first {
        journal.mark(&[gantry_storage::Mark { position: *position, value: 1 }]).unwrap();
        wait(&journal, journal.settle(&[*position]).unwrap());
    }
    until("space again", || !journal.usage().full);
    let again = journal.append(record).unwrap();
    wait(&journal, again.ticket);
    journal.close().unwrap();
    drop(journal);
    let (_, told) = open(&dir).unwrap();
    assert!(told.entries.keys().eq(rest.iter().chain([&again.position])));
}

/// Quicker than the keeper, which is the one that learns how much space there is.
#[test]
fn whatever_a_disk_that_fills_up_took_becomes_durable() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: may not mount a tmpfs");
        return;
    };
    let dir = disk.0.path().join("journal");
    let (journal, _) = open(&dir).unwrap();
    let payload = [1; 1000];
    let record = Append { refs: &[Ref { lane: 1, seq: 1 }], meta: b"", payload: &[&payload] };
    let mut taken = Vec::new();
    for _ in 0..3 {
        let ticket = loop {
            match journal.append(record) {
                Ok(appended) => taken.push(appended.position),
                Err(JournalError::Full) => break journal.appended(),
                Err(other) => panic!("{other}"),
            }
        };
        wait(&journal, ticket);
        assert!(taken.len() > 1000, "{}", taken.len());
        for position in taken.drain(..taken.len() / 4) {
            journal.settle(&[position]).unwrap();
        }
        wait(&journal, journal.settle(&[]).unwrap());
        until("space again", || !journal.usage().full);
    }
    journal.close().unwrap();
    drop(journal);
    assert!(open(&dir).unwrap().1.entries.keys().eq(&taken));
}

#[test]
fn many_threads_and_a_crash_lose_nothing_that_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (journal, told) = open(dir.path()).unwrap();
        let before = told.entries;
        let kept: Vec<Position> = std::thread::scope(|scope| {
            let journal = &journal;
            let workers: Vec<_> = (0..4_u64)
                .map(|lane| {
                    scope.spawn(move || {
                        let mut kept = Vec::new();
                        for seq in 0..400 {
                            let refs = [Ref { lane, seq }, Ref { lane: lane + 10, seq }];
                            let payload = vec![lane as u8; 200 + seq as usize];
                            let record = Append { refs: &refs, meta: b"", payload: &[&payload] };
                            let Position { segment, offset, slot } = journal.append(record).unwrap().position;
                            let other = Position { segment, offset, slot: slot + 1 };
                            assert_eq!(read(journal, other).unwrap(), payload);
                            journal.settle(&[Position { segment, offset, slot }]).unwrap();
                            if seq % 3 == 0 {
                                journal.settle(&[other]).unwrap();
                            } else {
                                kept.push(other);
                            }
                        }
                        wait(journal, journal.settle(&[]).unwrap());
                        kept
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        drop(journal);
        let (_, told) = open(dir.path()).unwrap();
        let expected = before.len() + kept.len();
        assert_eq!(told.entries.len(), expected, "round {round}");
        assert!(kept.iter().all(|position| told.entries.contains_key(position)));
    }
}
