//! `/api/users/{name}/access-keys`: the pairs of id and secret that requests are signed with on behalf of a user.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gantry_broker::rights::{AccessKey, AccessKeyRefused};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Refusal, changed, found, made};
use super::api::Api;
use super::auth::Caller;
use super::request::{Names, object};
use super::users::find;

/// An access key, as it is told: without its secret.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    user: &'a str,
    created_ms: u64,
}

impl<'a> Row<'a> {
    fn of(key: &'a AccessKey) -> Self {
        Self { id: &key.id, user: &key.user, created_ms: key.created_ms }
    }
}

pub(super) async fn list(_: State<Api>, caller: Caller, Names([name]): Names<1>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    find(&caller, &name)?;
    let keys = caller.broker.access_keys(&name);
    Ok(found(&keys.iter().map(|key| Row::of(key)).collect::<Vec<_>>()))
}

/// Makes one. This answer alone has the secret.
pub(super) async fn post(_: State<Api>, caller: Caller, Names([name]): Names<1>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let key = caller.broker.create_access_key(&name).await.map_err(refusal)?;
    tracing::info!(name, id = key.id, user = caller.user.name, "access key made");
    Ok(made(&json!({ "id": key.id, "secret": key.secret, "user": key.user, "created_ms": key.created_ms })))
}

/// Sets one that was made elsewhere.
pub(super) async fn put(
    _: State<Api>,
    caller: Caller,
    Names([name, id]): Names<2>,
    request: Request,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let body = object(request.into_body()).await?;
    let Some(Value::String(secret)) = body.get("secret") else {
        return Err(Refusal::bad_request("secret should be a string"));
    };
    let existed = caller.broker.put_access_key(&name, &id, secret).await.map_err(refusal)?;
    tracing::info!(name, id, user = caller.user.name, "access key set");
    Ok(changed(!existed))
}

pub(super) async fn delete(_: State<Api>, caller: Caller, Names([name, id]): Names<2>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    if !caller.broker.delete_access_key(&name, &id).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(name, id, user = caller.user.name, "access key deleted");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn refusal(refused: AccessKeyRefused) -> Refusal {
    match refused {
        AccessKeyRefused::NoUser => Refusal::NotFound,
        AccessKeyRefused::Broker(error) => error.into(),
        refused => Refusal::bad_request(refused.to_string()),
    }
}
