//! `/api/users`, and `/api/whoami`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use gantry_broker::rights::{PasswordHash, PasswordHashError, ScramVerifier, User};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{Refusal, changed, found};
use super::api::Api;
use super::auth::Caller;
use super::request::{Names, object};

/// Longest name of a user, in bytes. The name of a certificate may be one.
const NAME_BYTES_MAX: usize = 1024;

/// A user, as it is told. Limits of users are not built.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    password_hash: String,
    hashing_algorithm: &'static str,
    tags: &'a [String],
    limits: Map<String, Value>,
}

impl<'a> Row<'a> {
    fn of(user: &'a User) -> Self {
        // Nobody has an empty hash: it is how RabbitMQ says that there is no password.
        let without = || (PasswordHash::DEFAULT_ALGORITHM, String::new());
        let (hashing_algorithm, password_hash) = user.password.as_ref().map_or_else(without, PasswordHash::to_rabbitmq);
        Self { name: &user.name, password_hash, hashing_algorithm, tags: &user.tags, limits: Map::new() }
    }
}

pub(super) async fn whoami(_: State<Api>, caller: Caller) -> Result<Response, Refusal> {
    Ok(found(&json!({ "name": caller.user.name, "tags": caller.user.tags })))
}

pub(super) async fn list(_: State<Api>, caller: Caller) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let users = caller.broker.users();
    Ok(found(&users.iter().map(|user| Row::of(user)).collect::<Vec<_>>()))
}

pub(super) async fn get(_: State<Api>, caller: Caller, Names([name]): Names<1>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    Ok(found(&Row::of(&*find(&caller, &name)?)))
}

/// The user of a path.
pub(super) fn find(caller: &Caller, name: &str) -> Result<Arc<User>, Refusal> {
    caller.broker.user(name).ok_or(Refusal::NotFound)
}

pub(super) async fn put(
    _: State<Api>,
    caller: Caller,
    Names([name]): Names<1>,
    request: Request,
) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    let body = object(request.into_body()).await?;
    if name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return Err(Refusal::bad_request(format!("a user's name has at most {NAME_BYTES_MAX} bytes, none of them 0")));
    }
    let user = read(name, &body)?;
    tracing::info!(name = user.name, tags = ?user.tags, user = caller.user.name, "user set");
    Ok(changed(!caller.broker.set_user(user).await?))
}

pub(super) async fn delete(_: State<Api>, caller: Caller, Names([name]): Names<1>) -> Result<Response, Refusal> {
    caller.check_administrator()?;
    if !caller.broker.delete_user(&name).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(name, user = caller.user.name, "user deleted");
    Ok(changed(false))
}

/// Reads a user. One without password and hash is one who cannot log in by password.
fn read(name: String, body: &Map<String, Value>) -> Result<User, Refusal> {
    let tags = tags(body.get("tags").ok_or_else(|| Refusal::bad_request("tags_not_present"))?)?;
    let random = |_| Refusal::Failed("there are no random numbers".to_owned());
    let (password, scram) = match (body.get("password"), body.get("password_hash")) {
        (Some(_), Some(_)) => return Err(Refusal::bad_request("both_password_and_password_hash_are_provided")),
        (Some(Value::String(password)), None) => {
            let User { password, scram, .. } = User::with_password("", password.as_bytes(), &[]).map_err(random)?;
            (password, scram)
        }
        (Some(_), None) => return Err(Refusal::bad_request("password should be a string")),
        (None, hash) => (hash.map(|hash| read_hash(hash, body)).transpose()?.flatten(), None::<ScramVerifier>),
    };
    Ok(User { name, password, scram, tags })
}

/// A hash; none where it is empty.
fn read_hash(hash: &Value, body: &Map<String, Value>) -> Result<Option<PasswordHash>, Refusal> {
    let not_base64 = || Refusal::BadRequest(json!(["not_base64", hash]));
    let text = hash.as_str().ok_or_else(not_base64)?;
    if text.is_empty() {
        return Ok(None);
    }
    let algorithm = match body.get("hashing_algorithm") {
        None => None,
        Some(Value::String(algorithm)) => Some(algorithm.as_str()),
        Some(_) => return Err(Refusal::bad_request("hashing_algorithm should be a string")),
    };
    match PasswordHash::from_rabbitmq(algorithm, text) {
        Ok(hash) => Ok(Some(hash)),
        Err(PasswordHashError::Encoding) => Err(not_base64()),
        Err(error) => Err(Refusal::bad_request(error.to_string())),
    }
}

/// In a list, or as text with commas between them.
fn tags(given: &Value) -> Result<Vec<String>, Refusal> {
    match given {
        Value::String(tags) => {
            Ok(tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect())
        }
        Value::Array(tags) if tags.iter().all(Value::is_string) => {
            Ok(tags.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => Err(Refusal::bad_request("tags should be a list of strings, or a string with commas")),
    }
}
