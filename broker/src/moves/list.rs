//! The tasks of a virtual host, those that are over included for as long as they are remembered, and their rows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gantry_storage::Change;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::mover;
use super::task::{MoveFailure, MoveStatus, MoveTask, NotMoved};
use crate::error::Error;
use crate::message::now_ms;
use crate::queue::{Queue, resource};
use crate::vhost::{Pending, VirtualHost, delete_move, put_move};

/// Tasks that run at the same time in one virtual host, at most.
const RUNNING_MAX: usize = 100;

/// Tasks of one source that are remembered, at most; and of all of them.
const REMEMBERED_MAX: usize = 10;
const SOURCES_MAX: usize = 1_000;

/// The tasks of a virtual host.
#[derive(Debug, Default)]
pub(crate) struct Moves(Mutex<HashMap<Arc<str>, VecDeque<Arc<Job>>>>);

/// A task, and what changes of it.
#[derive(Debug)]
pub(crate) struct Job {
    task: Mutex<MoveTask>,
    /// Only what had a smaller number when the task was started is moved.
    pub(super) until_seq: u64,
    pub(super) moved: AtomicU64,
    cancelled: AtomicBool,
    /// It was cancelled: whoever waits for its next turn need not.
    pub(super) changed: Notify,
}

impl Job {
    fn new(task: MoveTask, until_seq: u64) -> Arc<Self> {
        let (moved, cancelled) = (AtomicU64::new(task.moved), AtomicBool::new(task.status == MoveStatus::Cancelling));
        Arc::new(Self { task: Mutex::new(task), until_seq, moved, cancelled, changed: Notify::new() })
    }

    /// As it is now.
    pub(super) fn task(&self) -> MoveTask {
        let task = self.task.lock().clone();
        MoveTask { moved: self.moved.load(Ordering::Relaxed), ..task }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn is_active(&self) -> bool {
        self.task.lock().status.is_active()
    }
}

impl Moves {
    /// Starts a task.
    pub(crate) fn start(
        &self,
        vhost: &Arc<VirtualHost>,
        source: &str,
        destination: Option<&str>,
        rate_per_s: Option<u32>,
    ) -> Result<(MoveTask, Pending), NotMoved> {
        let queue = part_of_move(vhost, source)?;
        let destination = destination.map(|name| part_of_move(vhost, name)).transpose()?;
        if let Some(destination) = destination.as_ref().filter(|destination| Arc::ptr_eq(destination, &queue)) {
            return Err(NotMoved::NotPossible(resource(destination.name(), destination.vhost())));
        }
        let mut all = self.0.lock();
        let running = all.values().flatten().filter(|job| job.is_active()).count();
        let of_source = all.entry(Arc::clone(queue.name())).or_default();
        if of_source.iter().any(|job| job.is_active()) {
            return Err(NotMoved::Running(resource(queue.name(), queue.vhost())));
        }
        if running >= RUNNING_MAX {
            return Err(NotMoved::TooMany(running));
        }
        let status = queue.status();
        let task = MoveTask {
            id: vhost.shared().next_id(),
            source: Arc::clone(queue.name()),
            destination: destination.map(|destination| Arc::clone(destination.name())),
            rate_per_s: rate_per_s.filter(|rate| *rate > 0),
            status: MoveStatus::Running,
            moved: 0,
            to_move: (status.ready - status.delayed.min(status.ready)) as u64,
            started_ms: now_ms(),
            failure: None,
        };
        // Numbers say nothing of the order where priorities do.
        let until_seq = if queue.has_priorities() { u64::MAX } else { queue.next_seq() };
        let mut changes = vec![put_move(vhost.name(), &task, until_seq)?];
        let job = Job::new(task.clone(), until_seq);
        of_source.push_front(Arc::clone(&job));
        if of_source.len() > REMEMBERED_MAX {
            changes.extend(of_source.pop_back().map(|old| delete_move(vhost.name(), old.task().id)));
        }
        if all.len() > SOURCES_MAX {
            let idle = all.iter().find(|(name, jobs)| **name != task.source && !jobs.iter().any(|job| job.is_active()));
            if let Some(jobs) = idle.map(|(name, _)| Arc::clone(name)).and_then(|name| all.remove(&name)) {
                changes.extend(jobs.iter().map(|old| delete_move(vhost.name(), old.task().id)));
            }
        }
        // Under the lock, so that rows are written in the order of changes.
        let pending = vhost.commit(changes);
        drop(all);
        mover::spawn(vhost, job);
        Ok((task, pending))
    }

    /// The tasks of a source, the last one first.
    pub(crate) fn of(&self, source: &str) -> Vec<MoveTask> {
        self.0.lock().get(source).into_iter().flatten().map(|job| job.task()).collect()
    }

    pub(crate) fn cancel(&self, vhost: &VirtualHost, id: u64) -> Result<(MoveTask, Pending), NotMoved> {
        let all = self.0.lock();
        let job = all.values().flatten().find(|job| {
            let task = job.task.lock();
            task.id == id && task.status == MoveStatus::Running
        });
        let job = job.ok_or(NotMoved::NoTask)?;
        job.task.lock().status = MoveStatus::Cancelling;
        let task = job.task();
        let pending = vhost.commit(vec![put_move(vhost.name(), &task, job.until_seq)?]);
        job.cancelled.store(true, Ordering::Relaxed);
        job.changed.notify_one();
        Ok((task, pending))
    }

    /// Writes down how far a task is.
    pub(super) fn note(&self, vhost: &VirtualHost, job: &Job) {
        let _all = self.0.lock();
        Self::write(vhost, job);
    }

    /// A task has ended.
    pub(super) fn end(&self, vhost: &VirtualHost, job: &Job, status: MoveStatus, failure: Option<MoveFailure>) {
        let _all = self.0.lock();
        {
            let mut task = job.task.lock();
            (task.status, task.failure) = (status, failure);
        }
        Self::write(vhost, job);
    }

    fn write(vhost: &VirtualHost, job: &Job) {
        let task = job.task();
        match put_move(vhost.name(), &task, job.until_seq) {
            // Nobody waits for it. Where it is lost, the task goes on after a restart with what is left.
            Ok(row) => drop(vhost.commit(vec![row])),
            Err(error) => tracing::error!(source = %task.source, %error, "the progress of a move cannot be written"),
        }
    }

    /// Puts back what was found at recovery. What belongs to a queue that is gone, and has ended, is forgotten; what to
    /// forget of the table.
    pub(crate) fn restore(&self, vhost: &VirtualHost, mut rows: Vec<(MoveTask, u64)>) -> Vec<Change> {
        let mut gone = Vec::new();
        rows.sort_unstable_by_key(|(task, _)| std::cmp::Reverse(task.id));
        let mut all = self.0.lock();
        for (task, until_seq) in rows {
            let of_source = all.entry(Arc::clone(&task.source)).or_default();
            let is_over = !task.status.is_active() && vhost.queue_of_anyone(&task.source).is_err();
            if is_over || of_source.len() >= REMEMBERED_MAX {
                gone.push(delete_move(vhost.name(), task.id));
            } else {
                of_source.push_back(Job::new(task, until_seq));
            }
        }
        all.retain(|_, jobs| !jobs.is_empty());
        gone
    }

    /// The tasks that have not ended.
    pub(super) fn active(&self) -> Vec<Arc<Job>> {
        self.0.lock().values().flatten().filter(|job| job.is_active()).cloned().collect()
    }
}

/// A queue that messages can be taken out of and put into.
fn part_of_move(vhost: &VirtualHost, name: &str) -> Result<Arc<Queue>, NotMoved> {
    let queue = vhost.queue_of_anyone(name).map_err(|error| match error {
        Error::NotFound(what) => NotMoved::NoQueue(what),
        error => NotMoved::Broker(error),
    })?;
    if queue.is_stream() || queue.owner().is_some() {
        return Err(NotMoved::NotPossible(resource(queue.name(), queue.vhost())));
    }
    Ok(queue)
}
