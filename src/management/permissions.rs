//! `/api/permissions` and `/api/topic-permissions`, and the same of one user and of one virtual host.

use axum::extract::{Request, State};
use axum::response::Response;
use gantry_broker::Error;
use gantry_broker::rights::{Pattern, Permission, TopicPermission};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{Refusal, changed, found};
use super::api::Api;
use super::auth::Caller;
use super::request::{Names, object};
use super::users;

/// A permission, as it is told.
#[derive(Serialize)]
struct Row {
    user: String,
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

impl Row {
    fn of(user: String, vhost: String, permission: &Permission) -> Self {
        let text = |pattern: &Pattern| pattern.as_str().to_owned();
        let Permission { configure, write, read } = permission;
        Self { user, vhost, configure: text(configure), write: text(write), read: text(read) }
    }
}

/// A topic permission, as it is told.
#[derive(Serialize)]
struct TopicRow {
    user: String,
    vhost: String,
    exchange: String,
    write: String,
    read: String,
}

/// Which of them a list is about.
#[derive(Clone, Copy)]
enum Of<'a> {
    Everybody,
    User(&'a str),
    Vhost(&'a str),
}

impl Of<'_> {
    fn has(self, user: &str, vhost: &str) -> bool {
        match self {
            Self::Everybody => true,
            Self::User(name) => name == user,
            Self::Vhost(name) => name == vhost,
        }
    }
}

/// Permissions, or topic permissions.
#[derive(Clone, Copy)]
pub(super) enum Rights {
    Permissions,
    Topics,
}

fn tell(caller: &Caller, rights: Rights, of: Of<'_>) -> Response {
    match rights {
        Rights::Permissions => {
            let all = caller.broker.permissions().into_iter().filter(|(user, vhost, _)| of.has(user, vhost));
            found(&all.map(|(user, vhost, permission)| Row::of(user, vhost, &permission)).collect::<Vec<_>>())
        }
        Rights::Topics => found(&topic_rows(caller, of)),
    }
}

fn topic_rows(caller: &Caller, of: Of<'_>) -> Vec<TopicRow> {
    let mut rows = Vec::new();
    for (user, vhost, permissions) in caller.broker.topic_permissions() {
        if of.has(&user, &vhost) {
            rows.extend(permissions.values().map(|permission| TopicRow {
                user: user.clone(),
                vhost: vhost.clone(),
                exchange: permission.exchange().to_owned(),
                write: permission.write().to_owned(),
                read: permission.read().to_owned(),
            }));
        }
    }
    rows
}

pub(super) async fn list(rights: Rights, _: State<Api>, caller: Caller) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    Ok(tell(&caller, rights, Of::Everybody))
}

pub(super) async fn list_of_user(
    rights: Rights,
    _: State<Api>,
    caller: Caller,
    Names([user]): Names<1>,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    users::find(&caller, &user)?;
    Ok(tell(&caller, rights, Of::User(&user)))
}

pub(super) async fn list_of_vhost(
    rights: Rights,
    _: State<Api>,
    caller: Caller,
    Names([vhost]): Names<1>,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    caller.broker.vhost(&vhost).ok_or(Refusal::NotFound)?;
    Ok(tell(&caller, rights, Of::Vhost(&vhost)))
}

pub(super) async fn get(_: State<Api>, caller: Caller, Names([vhost, user]): Names<2>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let permission = caller.broker.permission(&user, &vhost).ok_or(Refusal::NotFound)?;
    Ok(found(&Row::of(user, vhost, &permission)))
}

pub(super) async fn put(
    _: State<Api>,
    caller: Caller,
    Names([vhost, user]): Names<2>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(&caller, &vhost, &user, request).await?;
    let [configure, write, read] = values(&body, ["configure", "write", "read"])?;
    let permission = Permission { configure: pattern(configure)?, write: pattern(write)?, read: pattern(read)? };
    tracing::info!(name = user, vhost, user = caller.user.name, "permission set");
    Ok(changed(!caller.broker.set_permission(&user, &vhost, permission).await.map_err(not_found)?))
}

pub(super) async fn delete(_: State<Api>, caller: Caller, Names([vhost, user]): Names<2>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    if !caller.broker.clear_permission(&user, &vhost).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(name = user, vhost, user = caller.user.name, "permission cleared");
    Ok(changed(false))
}

/// Those of a user in a virtual host, one for each exchange.
pub(super) async fn get_topics(
    _: State<Api>,
    caller: Caller,
    Names([vhost, user]): Names<2>,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let mut rows = topic_rows(&caller, Of::User(&user));
    rows.retain(|row| row.vhost == vhost);
    if rows.is_empty() { Err(Refusal::NotFound) } else { Ok(found(&rows)) }
}

/// Sets one of them: the body says for which exchange.
pub(super) async fn put_topic(
    _: State<Api>,
    caller: Caller,
    Names([vhost, user]): Names<2>,
    request: Request,
) -> Result<Response, Refusal> {
    let body = body(&caller, &vhost, &user, request).await?;
    let [exchange, write, read] = values(&body, ["exchange", "write", "read"])?;
    // Which of the two is at fault, without the variables in the way.
    for text in [write, read] {
        TopicPermission::new(exchange, text, "").map_err(|error| invalid(text, error))?;
    }
    let permission = TopicPermission::new(exchange, write, read).map_err(|error| invalid(write, error))?;
    tracing::info!(name = user, vhost, exchange, user = caller.user.name, "topic permission set");
    // As in RabbitMQ, what is there is whatever the user has in this virtual host.
    let is_new = caller.broker.topic_permissions_of(&user, &vhost).is_none();
    caller.broker.set_topic_permission(&user, &vhost, permission).await.map_err(not_found)?;
    Ok(changed(is_new))
}

pub(super) async fn delete_topics(
    _: State<Api>,
    caller: Caller,
    Names([vhost, user]): Names<2>,
) -> Result<Response, Refusal> {
    clear_topics(&caller, &vhost, &user, None).await
}

pub(super) async fn delete_topic(
    _: State<Api>,
    caller: Caller,
    Names([vhost, user, exchange]): Names<3>,
) -> Result<Response, Refusal> {
    clear_topics(&caller, &vhost, &user, Some(&exchange)).await
}

async fn clear_topics(caller: &Caller, vhost: &str, user: &str, exchange: Option<&str>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    if !caller.broker.clear_topic_permissions(user, vhost, exchange).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(name = user, vhost, exchange, user = caller.user.name, "topic permissions cleared");
    Ok(changed(false))
}

/// The body of a change, for whoever may make it. Whom it is about is looked at before what it says.
async fn body(caller: &Caller, vhost: &str, user: &str, request: Request) -> Result<Map<String, Value>, Refusal> {
    caller.check_administrator()?;
    if caller.broker.vhost(vhost).is_none() || caller.broker.user(user).is_none() {
        return Err(Refusal::bad_request(NOT_FOUND));
    }
    object(request.into_body()).await
}

const NOT_FOUND: &str = "vhost_or_user_not_found";

/// One of them has gone just now.
fn not_found(error: Error) -> Refusal {
    match error {
        Error::NotFound(_) => Refusal::bad_request(NOT_FOUND),
        error => error.into(),
    }
}

/// The texts of these names; what is missing is told at once.
fn values<'b>(body: &'b Map<String, Value>, names: [&str; 3]) -> Result<[&'b str; 3], Refusal> {
    let missing: Vec<_> = names.iter().filter(|name| !body.contains_key(**name)).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.into_iter().map(|name| format!("{{key_missing,{name}}}")).collect();
        return Err(Refusal::bad_request(format!("[{}]", missing.join(","))));
    }
    let mut texts = [""; 3];
    for (text, name) in texts.iter_mut().zip(names) {
        *text = body[name].as_str().ok_or_else(|| Refusal::bad_request(format!("{name} should be a string")))?;
    }
    Ok(texts)
}

fn pattern(text: &str) -> Result<Pattern, Refusal> {
    Pattern::new(text).map_err(|error| invalid(text, error))
}

fn invalid(text: &str, error: impl ToString) -> Refusal {
    Refusal::BadRequest(json!(["invalid_regexp", text, error.to_string()]))
}
