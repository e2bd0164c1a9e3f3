//! `/api/queues/{vhost}/{name}`: reading it, so far.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use gantry_broker::{Queue, QueueType};
use serde_json::{Map, Value, json};

use super::answer::{Refusal, found};
use super::api::Api;
use super::auth::Caller;
use super::json::of_table;
use super::request::Names;

pub(super) async fn get(
    _: State<Api>,
    caller: Caller,
    Names([vhost, name]): Names<2>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    caller.check_vhost(&vhost)?;
    let vhost = caller.broker.vhost(&vhost).ok_or(Refusal::NotFound)?;
    // Exclusive ones too: whoever manages sees what there is.
    let queue = vhost.queue_of_anyone(&name)?;
    let mut row = declared(&queue);
    let stats = !query.is_some_and(|query| query.split('&').any(|part| part == "disable_stats=true"));
    if stats {
        add_stats(&mut row, &queue);
    }
    Ok(found(&row))
}

/// What was declared.
fn declared(queue: &Arc<Queue>) -> Map<String, Value> {
    let options = queue.options();
    let kind = match options.queue_type() {
        QueueType::Classic => "classic",
        QueueType::Quorum => "quorum",
        QueueType::Stream => "stream",
    };
    let mut row = Map::new();
    let mut add = |name: &str, value: Value| row.insert(name.to_owned(), value);
    add("arguments", of_table(&options.arguments));
    add("auto_delete", options.auto_delete.into());
    add("durable", options.durable.into());
    add("exclusive", queue.owner().is_some().into());
    add("name", json!(&**queue.name()));
    add("state", "live".into());
    add("type", kind.into());
    add("vhost", json!(&**queue.vhost()));
    row
}

/// What is going on in it, and which policies it is under.
fn add_stats(row: &mut Map<String, Value>, queue: &Arc<Queue>) {
    let (status, applied) = (queue.status(), queue.applied());
    let mut add = |name: &str, value: Value| row.insert(name.to_owned(), value);
    add("consumers", status.consumers.into());
    add("effective_policy_definition", of_table(&applied.definition()));
    add("message_bytes", (status.ready_bytes + status.unacked_bytes).into());
    add("message_bytes_ready", status.ready_bytes.into());
    add("message_bytes_unacknowledged", status.unacked_bytes.into());
    add("messages", (status.ready + status.unacked).into());
    add("messages_ready", status.ready.into());
    add("messages_unacknowledged", status.unacked.into());
    add("operator_policy", json!(applied.operator_policy()));
    add("policy", json!(applied.policy()));
    add("state", "running".into());
}
