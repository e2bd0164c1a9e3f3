//! `CancelMessageMoveTask`: has a task move no more messages. What it has moved stays moved.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::place::{Intent, of_broker};
use crate::sqs::{fault, move_tasks};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CancelMessageMoveTask<'a> {
    #[serde(borrow, default)]
    task_handle: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    approximate_number_of_messages_moved: u64,
}

impl<'a> Action<'a> for CancelMessageMoveTask<'a> {
    const NAME: &'static str = "CancelMessageMoveTask";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        if self.task_handle.is_empty() {
            return Err(fault::missing_parameter("TaskHandle"));
        }
        let handle = move_tasks::read_handle(&self.task_handle)
            .ok_or_else(|| fault::invalid_parameter("Value for parameter TaskHandle is invalid."))?;
        let source =
            move_tasks::queue(call, &handle.source_arn, "SourceArn", Intent::read("sqs:CancelMessageMoveTask"))?;
        let not_there = || fault::resource_not_found("Task does not exist.");
        let id: u64 = handle.task_id.parse().map_err(|_| not_there())?;
        // A handle is not sealed: whoever may read one queue may not cancel what empties another.
        if !source.vhost.moves(source.queue.name()).iter().any(|task| task.id == id) {
            return Err(not_there());
        }
        let (task, pending) = source.vhost.cancel_move(id).map_err(|_| not_there())?;
        pending.wait().await.map_err(of_broker)?;
        Ok(Reply::Now(Output { approximate_number_of_messages_moved: task.moved }))
    }
}
