//! `/api/policies` and `/api/operator-policies`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use gantry_broker::policy::{About, Problem};
use gantry_broker::rights::Pattern;
use gantry_broker::value::Table;
use gantry_broker::{ApplyTo, Policy, PolicyKind, VirtualHost};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::{Refusal, changed, found};
use super::api::Api;
use super::auth::Caller;
use super::request::{Names, object, says_json};
use super::{json, term};

/// Longest name of a policy, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A policy, as it is told.
#[derive(Serialize)]
struct Row<'a> {
    vhost: &'a str,
    name: &'a str,
    pattern: &'a str,
    #[serde(rename = "apply-to")]
    apply_to: &'static str,
    definition: Value,
    priority: i64,
}

impl<'a> Row<'a> {
    fn of(vhost: &'a str, policy: &'a Policy) -> Self {
        Self {
            vhost,
            name: &policy.name,
            pattern: policy.pattern.as_str(),
            apply_to: policy.apply_to.name(),
            definition: json::of_table(&policy.definition),
            priority: policy.priority,
        }
    }
}

/// Those of all virtual hosts that the caller sees.
pub(super) async fn list(kind: PolicyKind, _: State<Api>, caller: Caller) -> Result<Response, Refusal> {
    Ok(tell(&caller.visible_vhosts(), kind))
}

/// Those of one virtual host.
pub(super) async fn list_of(
    kind: PolicyKind,
    _: State<Api>,
    caller: Caller,
    Names([vhost]): Names<1>,
) -> Result<Response, Refusal> {
    caller.check_vhost(&vhost)?;
    let vhost = caller.broker.vhost(&vhost).ok_or(Refusal::NotFound)?;
    Ok(tell(&[vhost], kind))
}

fn tell(vhosts: &[Arc<VirtualHost>], kind: PolicyKind) -> Response {
    let mut policies = Vec::new();
    for vhost in vhosts {
        // Those that win come last, as in RabbitMQ.
        policies.extend(vhost.policies(kind).into_iter().rev().map(|policy| (Arc::clone(vhost.name()), policy)));
    }
    policies.sort_by_key(|(_, policy)| policy.priority);
    let rows: Vec<_> = policies.iter().map(|(vhost, policy)| Row::of(vhost, policy)).collect();
    found(&rows)
}

fn check(kind: PolicyKind, caller: &Caller, vhost: &str) -> Result<(), Refusal> {
    match kind {
        PolicyKind::User => caller.check_policymaker(vhost),
        PolicyKind::Operator => caller.check_administrator(),
    }
}

pub(super) async fn get(
    kind: PolicyKind,
    _: State<Api>,
    caller: Caller,
    Names([vhost, name]): Names<2>,
) -> Result<Response, Refusal> {
    check(kind, &caller, &vhost)?;
    let vhost = caller.broker.vhost(&vhost).ok_or(Refusal::NotFound)?;
    let policy = vhost.policy(kind, &name).ok_or(Refusal::NotFound)?;
    Ok(found(&Row::of(vhost.name(), &policy)))
}

pub(super) async fn put(
    kind: PolicyKind,
    _: State<Api>,
    caller: Caller,
    Names([vhost, name]): Names<2>,
    request: Request,
) -> Result<Response, Refusal> {
    check(kind, &caller, &vhost)?;
    if kind == PolicyKind::Operator && !says_json(&request) {
        return Err(Refusal::MediaType);
    }
    let vhost = caller.broker.vhost(&vhost).ok_or(Refusal::NoVhost)?;
    let body = object(request.into_body()).await?;
    if name.len() > NAME_BYTES_MAX {
        return Err(Refusal::bad_request(format!("a policy's name has at most {NAME_BYTES_MAX} bytes")));
    }
    let policy = read(kind, name, &body)?;
    tracing::info!(vhost = %vhost.name(), policy = policy.name, ?kind, user = caller.user.name, "policy set");
    Ok(changed(vhost.set_policy(kind, policy).await?))
}

pub(super) async fn delete(
    kind: PolicyKind,
    _: State<Api>,
    caller: Caller,
    Names([vhost, name]): Names<2>,
) -> Result<Response, Refusal> {
    check(kind, &caller, &vhost)?;
    let vhost = caller.broker.vhost(&vhost).ok_or(Refusal::NotFound)?;
    if !vhost.delete_policy(kind, &name).await? {
        return Err(Refusal::NotFound);
    }
    tracing::info!(vhost = %vhost.name(), policy = name, ?kind, user = caller.user.name, "policy deleted");
    Ok(changed(false))
}

/// Reads a policy. Everything that is wrong with it is told at once, as in RabbitMQ.
fn read(kind: PolicyKind, name: String, body: &Map<String, Value>) -> Result<Policy, Refusal> {
    let missing: Vec<_> = ["pattern", "definition"].into_iter().filter(|key| !body.contains_key(*key)).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.into_iter().map(|key| format!("{{key_missing,{key}}}")).collect();
        return Err(Refusal::bad_request(format!("[{}]", missing.join(","))));
    }
    let mut problems = Vec::new();
    let shown = |value: &Value| term::of(&json::to(value));
    let definition = match &body["definition"] {
        Value::Object(definition) => json::to_table(definition),
        other => {
            problems.push(format!("definition must be a dictionary: {}", shown(other)));
            Table::new()
        }
    };
    let apply_to = match body.get("apply-to") {
        None => Some(ApplyTo::All),
        Some(word) => {
            let apply_to = word.as_str().and_then(ApplyTo::parse);
            if apply_to.is_none() {
                let shown = word.as_str().map_or_else(|| shown(word), str::to_owned);
                problems.push(format!(
                    "apply-to '{shown}' unrecognised; should be one of: 'queues', 'classic_queues', 'quorum_queues', \
                     'streams', 'exchanges', or 'all'"
                ));
            }
            apply_to
        }
    };
    let pattern = match &body["pattern"] {
        Value::String(text) => Pattern::new(text.as_str())
            .map_err(|error| {
                problems.push(format!("pattern should be regular expression but is invalid: {error}"));
            })
            .ok(),
        other => {
            problems.push(format!("pattern should be a binary but was {}", shown(other)));
            None
        }
    };
    let priority = match body.get("priority") {
        None => Some(0),
        Some(number) => {
            let priority = number.as_i64();
            if priority.is_none() {
                problems.push(format!("priority should be a number, actually was {}", shown(number)));
            }
            priority
        }
    };
    let policy = match (pattern, apply_to, priority) {
        (Some(pattern), Some(apply_to), Some(priority)) => {
            Some(Policy { name, pattern, apply_to, priority, definition: definition.clone() })
        }
        _ => None,
    };
    if matches!(&body["definition"], Value::Object(_))
        && let Err(problem) = Policy::check_definition(kind, &definition)
    {
        problems.insert(0, words(&problem));
    }
    match policy {
        Some(policy) if problems.is_empty() => Ok(policy),
        _ => {
            let reason = format!("Validation failed\n\n{}\n", problems.join("\n"));
            // RabbitMQ escapes it for one kind and not for the other.
            Err(Refusal::bad_request(if kind == PolicyKind::User { escaped(&reason) } else { reason }))
        }
    }
}

fn words(problem: &Problem) -> String {
    let about = match &problem.about {
        None => String::new(),
        Some(About::Value(value)) => term::of(value),
        Some(About::Settings(settings)) => term::pairs(settings),
    };
    format!("{}{about}{}", problem.before, problem.after)
}

/// For a page that shows it as it is.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
