//! `StartMessageMoveTask`: moves the messages of a queue for dead letters to another queue, or back to where they came from.

use std::borrow::Cow;

use gantry_broker::NotMoved;
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::Call;
use crate::error::Error;
use crate::sqs::fault;
use crate::sqs::limits::MOVES_PER_S_MAX;
use crate::sqs::move_tasks;
use crate::sqs::pairs::Text;
use crate::sqs::place::{Intent, of_broker};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartMessageMoveTask<'a> {
    #[serde(borrow, default)]
    source_arn: Cow<'a, str>,
    #[serde(borrow, default)]
    destination_arn: Option<Text<'a>>,
    #[serde(default)]
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    task_handle: String,
}

impl<'a> Action<'a> for StartMessageMoveTask<'a> {
    const NAME: &'static str = "StartMessageMoveTask";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let source = move_tasks::queue(call, &self.source_arn, "SourceArn", Intent::read("sqs:StartMessageMoveTask"))?;
        let sources = source.vhost.redrive_sources(source.queue.name());
        if sources.is_empty() {
            return Err(fault::invalid_parameter("Source queue must be configured as a Dead Letter Queue."));
        }
        let destination = self.destination_arn.as_deref().filter(|arn| !arn.is_empty());
        let destination = match destination {
            Some(arn) => {
                let destination = move_tasks::queue(call, arn, "DestinationArn", Intent::write("sqs:SendMessage"))?;
                if destination.vhost.name() != source.vhost.name() {
                    return Err(move_tasks::not_there("DestinationArn"));
                }
                if destination.profile.is_fifo != source.profile.is_fifo {
                    return Err(fault::invalid_parameter(
                        "The destination queue must be of the same type as the source queue.",
                    ));
                }
                Some(destination)
            }
            None => {
                // Each message goes back to one of these.
                for queue in &sources {
                    source.beside(call, queue).check(call, Intent::write("sqs:SendMessage"))?;
                }
                None
            }
        };
        let rate_per_s = self.max_number_of_messages_per_second.map(rate).transpose()?;
        let to = destination.as_ref().map(|destination| &**destination.queue.name());
        let started = source.vhost.start_move(source.queue.name(), to, rate_per_s);
        let (task, pending) = started.map_err(not_started)?;
        pending.wait().await.map_err(of_broker)?;
        Ok(Reply::Now(Output { task_handle: move_tasks::handle(task.id, &self.source_arn) }))
    }
}

fn rate(messages: i64) -> Result<u32, Error> {
    let in_range = u64::try_from(messages).ok().filter(|messages| (1..=MOVES_PER_S_MAX).contains(messages));
    in_range.map(|messages| messages as u32).ok_or_else(|| {
        let reason = "Must be between 1 and 500, if provided.";
        fault::invalid_value(messages, "MaxNumberOfMessagesPerSecond", reason)
    })
}

fn not_started(why: NotMoved) -> Error {
    match why {
        NotMoved::Running(_) => fault::invalid_parameter(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        ),
        NotMoved::TooMany(running) => {
            fault::over_limit(format!("There are already {running} active message move tasks, which is the maximum."))
        }
        NotMoved::NoQueue(_) | NotMoved::NoTask => move_tasks::not_there("SourceArn"),
        NotMoved::NotPossible(_) => fault::unsupported("Messages cannot be moved between these queues."),
        NotMoved::Broker(error) => of_broker(error),
    }
}
