//! What becomes of a table whose disk refuses.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use tempfile::TempDir;

use super::super::{Change, EmbeddedTable, Table, TableError};
use crate::journal::Faults;

fn key(n: u32) -> Vec<u8> {
    n.to_be_bytes().to_vec()
}

fn put(table: &EmbeddedTable, n: u32, value: &[u8]) -> Result<(), TableError> {
    let (sender, outcome) = mpsc::channel();
    let change = Change::Put { space: "queues", key: key(n), value: value.to_vec() };
    table.commit(vec![change], Box::new(move |result| sender.send(result).unwrap()));
    outcome.recv().unwrap()
}

fn keys(table: &EmbeddedTable) -> Vec<Vec<u8>> {
    table.scan("queues", b"").unwrap().into_iter().map(|(key, _)| key).collect()
}

/// A file system of 16 MiB, for those who may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let outcome = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(dir.path()).output();
        if outcome.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(dir));
        }
        eprintln!("SKIPPED: may not mount a tmpfs; the tests with faults stand in");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.path().join("filler")).unwrap();
        while filler.write_all(&[1; 4096]).is_ok() {}
        assert_eq!(crate::journal::free_bytes(self.path()).unwrap(), 0);
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

#[test]
fn a_full_disk_refuses_commits_and_nothing_else_until_there_is_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path().join("tables.redb");
    let table = EmbeddedTable::open(&path).unwrap();
    let mut kept = Vec::new();
    for n in 0..20 {
        put(&table, n, b"before").unwrap();
        kept.push(key(n));
    }
    for round in 1..4 {
        disk.fill();
        let (mut n, mut refused) = (round * 10_000, 0);
        while refused < 10 {
            match put(&table, n, &[7; 50_000]) {
                Ok(()) => kept.push(key(n)),
                Err(TableError::Full) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            assert_eq!(keys(&table), kept, "round {round}");
            assert_eq!(table.get("queues", &key(3)).unwrap(), Some(b"before".to_vec()));
            n += 1;
        }
        disk.empty();
        for _ in 0..3 {
            put(&table, n, &[8; 50_000]).unwrap();
            kept.push(key(n));
            n += 1;
        }
        assert_eq!(keys(&table), kept);
    }
    drop(table);
    assert_eq!(keys(&EmbeddedTable::open(&path).unwrap()), kept);
}

#[test]
fn a_file_that_was_not_closed_is_opened_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount() else { return };
    let path = disk.path().join("tables.redb");
    let table = EmbeddedTable::open(&path).unwrap();
    for n in 0..100 {
        put(&table, n, &[9; 3000]).unwrap();
    }
    let crashed = disk.path().join("crashed.redb");
    fs::copy(&path, &crashed).unwrap();
    disk.fill();
    let again = EmbeddedTable::open(&crashed).unwrap();
    assert_eq!(keys(&again), keys(&table));
    // A new one has nothing, and can have nothing.
    let new = EmbeddedTable::open(&disk.path().join("new.redb")).unwrap();
    assert!(keys(&new).is_empty());
    assert!(matches!(put(&new, 1, b"x"), Err(TableError::Full)));
    disk.empty();
    put(&new, 1, b"x").unwrap();
    put(&again, 1000, &[9; 100_000]).unwrap();
    drop(new);
    assert_eq!(keys(&EmbeddedTable::open(&disk.path().join("new.redb")).unwrap()), [key(1)]);
}

#[test]
fn a_disk_that_takes_no_write_at_all_leaves_the_table_readable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tables.redb");
    let faults = Faults::default();
    let table = EmbeddedTable::open_with(&path, faults.clone()).unwrap();
    for n in 0..300 {
        put(&table, n, &[1; 2000]).unwrap();
    }
    let kept = keys(&table);
    let crashed = dir.path().join("crashed.redb");
    for round in 0..3 {
        faults.set_full(true);
        for n in 0..5 {
            assert!(matches!(put(&table, 1000 + n, b"refused"), Err(TableError::Full)), "round {round}");
            assert_eq!(keys(&table), kept);
        }
        fs::copy(&path, &crashed).unwrap();
        let again = EmbeddedTable::open_with(&crashed, faults.clone()).unwrap();
        assert_eq!(keys(&again), kept);
        assert!(matches!(put(&again, 1000, b"refused"), Err(TableError::Full)));
        faults.set_full(false);
        put(&again, 7, b"taken").unwrap();
        put(&table, 7, b"taken").unwrap();
        assert_eq!(again.get("queues", &key(7)).unwrap(), Some(b"taken".to_vec()));
    }
    drop(table);
    assert_eq!(keys(&EmbeddedTable::open(&path).unwrap()), kept);
}

#[test]
fn whichever_write_fails_what_was_reported_is_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tables.redb");
    let faults = Faults::default();
    let mut table = EmbeddedTable::open_with(&path, faults.clone()).unwrap();
    let (mut kept, mut refused) = (Vec::new(), 0);
    for n in 0..60 {
        faults.fail_write(u64::from(n) % 12 + 1);
        match put(&table, n, &[3; 10_000]) {
            Ok(()) => kept.push(key(n)),
            Err(TableError::Failed(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        faults.fail_write(0);
        assert_eq!(keys(&table), kept, "commit {n}");
        if n % 7 == 0 {
            drop(table);
            table = EmbeddedTable::open_with(&path, faults.clone()).unwrap();
            assert_eq!(keys(&table), kept, "commit {n}, opened again");
        }
    }
    assert!(refused > 10 && !kept.is_empty(), "{refused} refused, {} kept", kept.len());
}

#[test]
fn those_who_read_do_not_notice_that_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Faults::default();
    let table = EmbeddedTable::open_with(&dir.path().join("tables.redb"), faults.clone()).unwrap();
    for n in 0..50 {
        put(&table, n, &[1; 2000]).unwrap();
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !over.load(Ordering::Relaxed) {
                        assert_eq!(keys(&table).len(), 50);
                        assert!(table.get("queues", &key(20)).unwrap().is_some());
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for n in 0..40 {
            faults.fail_write(n % 4 + 1);
            // A commit may be over before the write that is to fail.
            let _ = put(&table, 20, &[2; 2000]);
            faults.set_full(true);
            assert!(matches!(put(&table, 20, &[2; 2000]), Err(TableError::Full | TableError::Failed(_))));
            faults.set_full(false);
        }
        over.store(true, Ordering::Relaxed);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() > 0));
    });
    faults.fail_write(0);
    put(&table, 1000, b"taken").unwrap();
}

#[test]
fn after_a_failed_sync_nothing_is_taken_until_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tables.redb");
    let faults = Faults::default();
    let table = EmbeddedTable::open_with(&path, faults.clone()).unwrap();
    put(&table, 1, b"kept").unwrap();
    faults.fail_sync(1);
    for _ in 0..3 {
        assert!(matches!(put(&table, 2, b"unknown"), Err(TableError::Failed(_))));
    }
    drop(table);
    let table = EmbeddedTable::open(&path).unwrap();
    assert_eq!(table.get("queues", &key(1)).unwrap(), Some(b"kept".to_vec()));
    put(&table, 3, b"taken").unwrap();
}

#[cfg(unix)]
#[test]
fn the_file_is_its_owners_alone_also_where_an_older_program_made_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tables");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    EmbeddedTable::open(&path).unwrap().close().unwrap();
    assert_eq!(mode(), 0o600);
    for older in [0o644, 0o666, 0o640] {
        fs::set_permissions(&path, fs::Permissions::from_mode(older)).unwrap();
        let table = EmbeddedTable::open(&path).unwrap();
        assert_eq!(mode(), 0o600, "{older:o}");
        put(&table, 1, b"one").unwrap();
        table.close().unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let found = EmbeddedTable::open(&path).map(drop);
    assert_eq!(mode(), 0o400, "who has less keeps it: {found:?}");
}
