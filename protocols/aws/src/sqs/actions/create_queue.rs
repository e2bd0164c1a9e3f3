//! `CreateQueue`: makes a queue, or finds one that is as it is asked for.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::message::now_ms;
use gantry_broker::rights::Access;
use gantry_broker::{Queue, QueueOptions, QueueSettings, VirtualHost};
use serde::{Deserialize, Serialize};

use crate::action::{Action, Reply};
use crate::call::{Call, QueueAt};
use crate::error::{Error, faults};
use crate::iam::Decision;
use crate::sns::reconcile;
use crate::sqs::attributes::{Given, apply, check_same, is_fifo, now_s, set_created, set_redrive, usual};
use crate::sqs::pairs::{Pairs, Text};
use crate::sqs::place::of_broker;
use crate::sqs::{fault, names, queue_url, redrive, tags};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateQueue<'a> {
    #[serde(borrow, default)]
    queue_name: Cow<'a, str>,
    #[serde(borrow, default)]
    attributes: Option<Given<'a>>,
    #[serde(borrow, default, rename = "tags", alias = "Tags")]
    tags: Option<Pairs<'a, Text<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Output {
    queue_url: String,
}

impl<'a> Action<'a> for CreateQueue<'a> {
    const NAME: &'static str = "CreateQueue";
    type Output = Output;

    async fn run(self, call: &'a Call) -> Result<Reply<Output>, Error> {
        let (name, account) = (&*self.queue_name, &call.caller.account);
        let given = self.attributes.unwrap_or_default();
        if name.is_empty() {
            return Err(fault::missing_parameter("QueueName"));
        }
        let is_fifo = is_fifo(&given)?;
        names::check_queue_name(name, is_fifo)?;
        let vhost = call.vhost()?;
        if !call.caller.may(Access::Configure, name) {
            return Err(call.denied("sqs:CreateQueue", &QueueAt { account, name }, Decision::Silent));
        }
        let output = Output { queue_url: call.queue_url(account, &queue_url::encoded(name)) };
        if let Ok(queue) = vhost.queue_of_anyone(name) {
            check_free(&queue)?;
            check_same(&given, &queue.settings())?;
            return Ok(Reply::Now(output));
        }
        let settings = settings(call, name, is_fifo, &given, self.tags.as_ref())?;
        check_wait(call, &vhost, name)?;
        let options = QueueOptions { durable: true, ..QueueOptions::default() };
        let declared = vhost.declare_with(name, options, settings, call.caller.connection());
        let (queue, is_new, pending) = declared.map_err(of_broker)?;
        if !is_new {
            check_free(&queue)?;
            check_same(&given, &queue.settings())?;
        }
        pending.wait().await.map_err(of_broker)?;
        if is_new {
            // Topics that have waited for it.
            reconcile::follow_queue_durably(&call.edge, &vhost, queue.name()).await?;
        }
        Ok(Reply::Now(output))
    }
}

/// A queue that belongs to a connection of another protocol is not there for anybody else, and its name is not free.
fn check_free(queue: &Queue) -> Result<(), Error> {
    if queue.owner().is_some() {
        let words = "A queue already exists with the same name, and belongs to a connection of another protocol.";
        return Err(Error::new(&faults::QUEUE_NAME_EXISTS, words));
    }
    Ok(())
}

/// The settings of a queue that is new.
fn settings(
    call: &Call,
    name: &str,
    is_fifo: bool,
    given: &Given<'_>,
    tags: Option<&Pairs<'_, Text<'_>>>,
) -> Result<QueueSettings, Error> {
    let mut settings = usual(is_fifo);
    if let Some(policy) = apply(given, &mut settings, true)? {
        let target = redrive::target(call, &call.caller.account, name, is_fifo, &policy)?;
        set_redrive(&mut settings, &policy.1, target);
    }
    if let Some(tags) = tags {
        tags::add(&mut settings, tags, name)?;
    }
    set_created(&mut settings, now_s());
    Ok(settings)
}

/// Where a queue of this name was deleted a moment ago, it cannot be created yet, if that is configured.
fn check_wait(call: &Call, vhost: &Arc<VirtualHost>, name: &str) -> Result<(), Error> {
    let sqs = &call.edge.sqs;
    let wait_s = sqs.limits.recreate_wait_s;
    if wait_s == 0 {
        return Ok(());
    }
    let mut recent = sqs.recent.lock();
    recent.forget(now_ms(), &sqs.limits);
    let was_deleted = recent.deleted_ms.contains_key(&(Arc::clone(vhost.name()), Arc::from(name)));
    if was_deleted { Err(fault::queue_deleted_recently(wait_s)) } else { Ok(()) }
}
