//! `/api/vhosts/{name}`: reading it, and switching the firehose on and off. Making and deleting one is not built yet.

use axum::extract::{Request, State};
use axum::response::Response;
use gantry_broker::{QueueStatus, VirtualHost};
use serde_json::{Map, Value, json};

use super::answer::{Refusal, changed, found};
use super::api::Api;
use super::auth::Caller;
use super::request::{Names, object};

pub(super) async fn get(_: State<Api>, caller: Caller, Names([name]): Names<1>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let vhost = caller.broker.vhost(&name).ok_or(Refusal::NotFound)?;
    Ok(found(&row(&vhost)))
}

fn row(vhost: &VirtualHost) -> Value {
    let mut messages = QueueStatus::default();
    for queue in vhost.queues() {
        messages.add(&queue.status());
    }
    json!({
        "name": &**vhost.name(),
        "tracing": vhost.is_traced(),
        "messages": messages.ready + messages.unacked,
        "messages_ready": messages.ready,
        "messages_unacknowledged": messages.unacked,
    })
}

pub(super) async fn put(
    _: State<Api>,
    caller: Caller,
    Names([name]): Names<1>,
    request: Request,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let body = object(request.into_body()).await?;
    let tracing = tracing(&body)?;
    let vhost = caller.broker.vhost(&name).ok_or(Refusal::NoVhost)?;
    if let Some(tracing) = tracing {
        vhost.set_tracing(tracing).await?;
    }
    Ok(changed(false))
}

fn tracing(body: &Map<String, Value>) -> Result<Option<bool>, Refusal> {
    if let Some(other) = body.keys().find(|key| *key != "tracing") {
        return Err(Refusal::bad_request(format!("{other} of a virtual host cannot be changed yet")));
    }
    match body.get("tracing") {
        None => Ok(None),
        Some(Value::Bool(tracing)) => Ok(Some(*tracing)),
        Some(Value::String(word)) if word == "true" => Ok(Some(true)),
        Some(Value::String(word)) if word == "false" => Ok(Some(false)),
        Some(other) => Err(Refusal::BadRequest(json!(["not_boolean", other]))),
    }
}
