//! `ListMessageMoveTasks`: the tasks for a queue, the one that was started last first.

use std::borrow::Cow;

use gantry_broker::{MoveFailure, MoveStatus, MoveTask};
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::{Error, faults};
use crate::sqs::limits::MOVE_TASKS_MAX;
use crate::sqs::place::{Intent, Place};
use crate::sqs::{fault, move_tasks};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListMessageMoveTasks<'a> {
    #[serde(borrow, default)]
    source_arn: Cow<'a, str>,
    #[serde(default)]
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    results: Vec<Told>,
}

/// A task.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: &'static str,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    started_timestamp: u64,
}

impl<'a> Action<'a> for ListMessageMoveTasks<'a> {
    const NAME: &'static str = "ListMessageMoveTasks";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let results_max = self.max_results.unwrap_or(1);
        let in_range = u64::try_from(results_max).ok().filter(|results| (1..=MOVE_TASKS_MAX).contains(results));
        let results_max = in_range
            .ok_or_else(|| fault::invalid_value(results_max, "MaxResults", "Must be between 1 and 10, if provided."))?;
        let source = move_tasks::queue(call, &self.source_arn, "SourceArn", Intent::look("sqs:ListMessageMoveTasks"))?;
        let tasks = source.vhost.moves(source.queue.name());
        let results = tasks.into_iter().take(results_max as usize).map(|task| told(call, &source, task)).collect();
        Ok(Reply::Now(Output { results }))
    }
}

/// Why a task failed, by the code of the error that it ran into.
fn reason(failure: &MoveFailure) -> &'static str {
    match failure {
        MoveFailure::NoQueue(_) => faults::QUEUE_DOES_NOT_EXIST.query_code,
        MoveFailure::UnknownOrigin => "CouldNotDetermineMessageSource",
        MoveFailure::Storage(_) => faults::INTERNAL_FAILURE.query_code,
    }
}

fn told(call: &Call, source: &Place, task: MoveTask) -> Told {
    let source_arn = source.arn(call);
    let status = match task.status {
        MoveStatus::Running => "RUNNING",
        MoveStatus::Completed => "COMPLETED",
        MoveStatus::Cancelling => "CANCELLING",
        MoveStatus::Cancelled => "CANCELLED",
        MoveStatus::Failed => "FAILED",
    };
    Told {
        // Only where it could be cancelled.
        task_handle: (task.status == MoveStatus::Running).then(|| move_tasks::handle(task.id, &source_arn)),
        status,
        destination_arn: task.destination.map(|queue| call.queue_arn(&source.account, &queue)),
        source_arn,
        max_number_of_messages_per_second: task.rate_per_s,
        approximate_number_of_messages_moved: task.moved,
        approximate_number_of_messages_to_move: task.to_move,
        failure_reason: task.failure.as_ref().map(reason),
        started_timestamp: task.started_ms,
    }
}
