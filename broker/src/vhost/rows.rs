//! What is kept of a virtual host in the table: a row for each durable exchange, queue and binding.
//!
//! Values are JSON, so that a later version can add to them and a person can read them.

use std::sync::Arc;

use gantry_storage::Change;
use serde::{Deserialize, Serialize};

use super::exchange::{Destination, Exchange, ExchangeOptions};
use super::exchange_settings::ExchangeSettings;
use crate::error::Error;
use crate::moves::MoveTask;
use crate::policy::{Policy, PolicyKind};
use crate::queue::{Queue, QueueOptions, QueueSettings};
use crate::value::Table;

const EXCHANGES: &str = "exchanges";
const QUEUES: &str = "queues";
const BINDINGS: &str = "bindings";
const POLICIES: &str = "policies";
const MARKS: &str = "marks";
const SCHEDULES: &str = "schedules";
const MOVES: &str = "moves";

/// What the broker keeps of virtual hosts, for those that look for a name of their own.
pub(crate) const SPACES: &[&str] = &[EXCHANGES, QUEUES, BINDINGS, POLICIES, MARKS, SCHEDULES, MOVES];

/// A durable exchange.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExchangeRow {
    pub(crate) vhost: String,
    pub(crate) name: String,
    pub(crate) options: ExchangeOptions,
    /// Its lane of the journal, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lane: Option<u64>,
    /// Rows of earlier versions have none.
    #[serde(default)]
    pub(crate) id: Option<u64>,
    #[serde(default, skip_serializing_if = "ExchangeSettings::is_plain")]
    pub(crate) settings: ExchangeSettings,
}

/// A durable queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct QueueRow {
    pub(crate) vhost: String,
    pub(crate) name: String,
    pub(crate) lane: u64,
    pub(crate) options: QueueOptions,
    #[serde(default, skip_serializing_if = "QueueSettings::is_plain")]
    pub(crate) settings: QueueSettings,
}

/// A binding between durable things.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DurableBindingRow {
    pub(crate) vhost: String,
    pub(crate) source: String,
    pub(crate) to_queue: bool,
    pub(crate) destination: String,
    pub(crate) key: Vec<u8>,
    pub(crate) arguments: Table,
}

/// A policy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PolicyRow {
    pub(crate) vhost: String,
    pub(crate) kind: PolicyKind,
    pub(crate) policy: Policy,
}

/// A set of marks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MarksRow {
    pub(crate) vhost: String,
    pub(crate) name: String,
    pub(crate) lane: u64,
}

/// The lane for messages of a virtual host that are published for later.
#[derive(Debug, Serialize, Deserialize)]
struct SchedulesRow {
    vhost: String,
    lane: u64,
}

/// The lane that a virtual host has for messages that are published for later, if it has been given one.
pub(crate) fn schedules_lane(table: &dyn gantry_storage::Table, vhost: &str) -> Result<Option<u64>, Error> {
    let Some(row) = table.get(SCHEDULES, vhost.as_bytes())? else { return Ok(None) };
    let row: SchedulesRow = serde_json::from_slice(&row)
        .map_err(|error| Error::Storage(format!("the row of scheduled messages of '{vhost}': {error}")))?;
    Ok(Some(row.lane))
}

pub(crate) fn put_schedules(vhost: &str, lane: u64) -> Result<Change, Error> {
    put(SCHEDULES, vhost.as_bytes().to_vec(), &SchedulesRow { vhost: vhost.to_owned(), lane })
}

/// A message move task.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MoveRow {
    pub(crate) vhost: String,
    pub(crate) task: MoveTask,
    /// Only what had a smaller number when it was started is moved.
    pub(crate) until_seq: u64,
}

pub(crate) fn put_move(vhost: &str, task: &MoveTask, until_seq: u64) -> Result<Change, Error> {
    put(MOVES, move_key(vhost, task.id), &MoveRow { vhost: vhost.to_owned(), task: task.clone(), until_seq })
}

pub(crate) fn delete_move(vhost: &str, id: u64) -> Change {
    Change::Delete { space: MOVES, key: move_key(vhost, id) }
}

fn move_key(vhost: &str, id: u64) -> Vec<u8> {
    key(&[vhost.as_bytes(), &id.to_be_bytes()])
}

/// Every row there is.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) policies: Vec<PolicyRow>,
    pub(crate) exchanges: Vec<ExchangeRow>,
    pub(crate) queues: Vec<QueueRow>,
    pub(crate) bindings: Vec<DurableBindingRow>,
    pub(crate) marks: Vec<MarksRow>,
    pub(crate) moves: Vec<MoveRow>,
}

impl Rows {
    pub(crate) fn load(table: &dyn gantry_storage::Table) -> Result<Self, Error> {
        Ok(Self {
            policies: read(table, POLICIES)?,
            exchanges: read(table, EXCHANGES)?,
            queues: read(table, QUEUES)?,
            bindings: read(table, BINDINGS)?,
            marks: read(table, MARKS)?,
            moves: read(table, MOVES)?,
        })
    }
}

fn read<R: for<'de> Deserialize<'de>>(table: &dyn gantry_storage::Table, space: &'static str) -> Result<Vec<R>, Error> {
    let rows = table.scan(space, &[])?;
    rows.into_iter()
        .map(|(key, value)| {
            serde_json::from_slice(&value)
                .map_err(|error| Error::Storage(format!("row {:?} of {space}: {error}", String::from_utf8_lossy(&key))))
        })
        .collect()
}

fn put(space: &'static str, key: Vec<u8>, row: &impl Serialize) -> Result<Change, Error> {
    let value = serde_json::to_vec(row).map_err(|error| Error::Storage(error.to_string()))?;
    Ok(Change::Put { space, key, value })
}

/// Names cannot be told apart by a separator that they may contain, so each part says its length.
fn key(parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::new();
    for part in parts {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}

pub(super) fn put_exchange(exchange: &Exchange) -> Result<Change, Error> {
    let row = ExchangeRow {
        vhost: exchange.vhost.to_string(),
        name: exchange.name.to_string(),
        options: exchange.options.clone(),
        lane: exchange.lane(),
        id: Some(exchange.id()),
        settings: (*exchange.settings()).clone(),
    };
    put(EXCHANGES, name_key(&exchange.vhost, &exchange.name), &row)
}

pub(super) fn delete_exchange(exchange: &Exchange) -> Change {
    Change::Delete { space: EXCHANGES, key: name_key(&exchange.vhost, &exchange.name) }
}

fn name_key(vhost: &str, name: &str) -> Vec<u8> {
    key(&[vhost.as_bytes(), name.as_bytes()])
}

pub(super) fn put_queue(queue: &Queue) -> Result<Change, Error> {
    let row = QueueRow {
        vhost: queue.vhost().to_string(),
        name: queue.name().to_string(),
        lane: queue.lane(),
        options: queue.options().clone(),
        settings: (*queue.settings()).clone(),
    };
    put(QUEUES, name_key(queue.vhost(), queue.name()), &row)
}

pub(super) fn delete_queue(queue: &Queue) -> Change {
    Change::Delete { space: QUEUES, key: name_key(queue.vhost(), queue.name()) }
}

pub(super) fn put_policy(vhost: &Arc<str>, kind: PolicyKind, policy: &Policy) -> Result<Change, Error> {
    let row = PolicyRow { vhost: vhost.to_string(), kind, policy: policy.clone() };
    put(POLICIES, policy_key(vhost, kind, &policy.name), &row)
}

pub(super) fn delete_policy(vhost: &Arc<str>, kind: PolicyKind, name: &str) -> Change {
    Change::Delete { space: POLICIES, key: policy_key(vhost, kind, name) }
}

fn policy_key(vhost: &str, kind: PolicyKind, name: &str) -> Vec<u8> {
    let kind: &[u8] = match kind {
        PolicyKind::User => b"u",
        PolicyKind::Operator => b"o",
    };
    key(&[vhost.as_bytes(), kind, name.as_bytes()])
}

pub(super) fn put_marks(vhost: &Arc<str>, name: &str, lane: u64) -> Result<Change, Error> {
    let row = MarksRow { vhost: vhost.to_string(), name: name.to_owned(), lane };
    put(MARKS, name_key(vhost, name), &row)
}

pub(super) fn delete_marks(vhost: &Arc<str>, name: &str) -> Change {
    Change::Delete { space: MARKS, key: name_key(vhost, name) }
}

/// A binding as its row names it.
pub(super) struct DurableBinding<'a> {
    pub(super) vhost: &'a Arc<str>,
    pub(super) source: &'a Arc<str>,
    pub(super) destination: &'a Destination,
    pub(super) key: &'a [u8],
    pub(super) arguments: &'a Table,
}

impl DurableBinding<'_> {
    pub(super) fn put(&self) -> Result<Change, Error> {
        let row = DurableBindingRow {
            vhost: self.vhost.to_string(),
            source: self.source.to_string(),
            to_queue: matches!(self.destination, Destination::Queue(_)),
            destination: self.destination.name().to_string(),
            key: self.key.to_vec(),
            arguments: self.arguments.clone(),
        };
        put(BINDINGS, self.row_key()?, &row)
    }

    pub(super) fn delete(&self) -> Result<Change, Error> {
        Ok(Change::Delete { space: BINDINGS, key: self.row_key()? })
    }

    fn row_key(&self) -> Result<Vec<u8>, Error> {
        let kind: &[u8] = if matches!(self.destination, Destination::Queue(_)) { b"q" } else { b"e" };
        // The order in which a client wrote the arguments does not make another binding.
        let mut arguments: Vec<_> = self.arguments.iter().collect();
        arguments.sort_by(|one, other| one.0.cmp(&other.0));
        let arguments = serde_json::to_vec(&arguments).map_err(|error| Error::Storage(error.to_string()))?;
        let destination = self.destination.name().as_bytes();
        Ok(key(&[self.vhost.as_bytes(), self.source.as_bytes(), kind, destination, self.key, &arguments]))
    }
}
