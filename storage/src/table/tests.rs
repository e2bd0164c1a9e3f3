//! What every table has to do.

use std::sync::mpsc;

use super::{Change, EmbeddedTable, MemoryTable, Table, TableError};

fn put(key: &str, value: &str) -> Change {
    Change::Put { space: "queues", key: key.into(), value: value.into() }
}

fn commit(table: &dyn Table, changes: Vec<Change>) -> Result<(), TableError> {
    let (sender, outcome) = mpsc::channel();
    table.commit(changes, Box::new(move |result| sender.send(result).unwrap()));
    outcome.recv().unwrap()
}

fn suite(table: &dyn Table) {
    assert_eq!(table.get("queues", b"a").unwrap(), None);
    assert_eq!(table.scan("queues", b"").unwrap(), []);
    commit(table, vec![put("a", "1"), put("b/2", "2"), put("b/1", "1"), put("c", "3")]).unwrap();
    commit(table, vec![put("a", "one"), Change::Delete { space: "queues", key: b"c".to_vec() }]).unwrap();
    commit(table, vec![Change::Delete { space: "nothing", key: b"c".to_vec() }]).unwrap();
    let other = Change::Put { space: "users", key: b"b/9".to_vec(), value: Vec::new() };
    commit(table, vec![other]).unwrap();
    assert_eq!(table.get("queues", b"a").unwrap(), Some(b"one".to_vec()));
    assert_eq!(table.get("users", b"a").unwrap(), None);
    assert_eq!(table.get("users", b"b/9").unwrap(), Some(Vec::new()));
    let rows = table.scan("queues", b"b/").unwrap();
    assert_eq!(rows, [(b"b/1".to_vec(), b"1".to_vec()), (b"b/2".to_vec(), b"2".to_vec())]);
    assert_eq!(table.scan("queues", b"").unwrap().len(), 3);
    // Order is kept among commits that share a sync.
    let (sender, outcomes) = mpsc::channel();
    for n in 0..100 {
        let sender = sender.clone();
        table.commit(vec![put("a", &n.to_string())], Box::new(move |result| sender.send((n, result)).unwrap()));
    }
    drop(sender);
    let order: Vec<i32> = outcomes.iter().map(|(n, result)| (result.unwrap(), n).1).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
    assert_eq!(table.get("queues", b"a").unwrap(), Some(b"99".to_vec()));
    table.close().unwrap();
    assert!(commit(table, vec![put("a", "late")]).is_err());
}

#[test]
fn memory() {
    let table = MemoryTable::new();
    suite(&table);
    assert_eq!(table.reopen().get("queues", b"a").unwrap(), Some(b"99".to_vec()));
}

#[test]
fn memory_fails_on_request_and_changes_nothing() {
    let table = MemoryTable::new();
    table.fail_commit(2, TableError::Full);
    commit(&table, vec![put("a", "1")]).unwrap();
    assert!(matches!(commit(&table, vec![put("a", "2")]), Err(TableError::Full)));
    assert_eq!(table.get("queues", b"a").unwrap(), Some(b"1".to_vec()));
    commit(&table, vec![put("a", "3")]).unwrap();
}

#[test]
fn embedded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tables.redb");
    let table = EmbeddedTable::open(&path).unwrap();
    suite(&table);
    drop(table);
    let again = EmbeddedTable::open(&path).unwrap();
    assert_eq!(again.get("queues", b"a").unwrap(), Some(b"99".to_vec()));
    let error = EmbeddedTable::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
}
