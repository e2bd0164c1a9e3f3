//! Which path is what.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, put};
use gantry_broker::{Broker, PolicyKind};

use super::permissions::Rights;
use super::{access_keys, permissions, policies, queues, users, vhosts};

/// What all resources share: the broker, once it is there.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<OnceLock<Arc<Broker>>>);

impl Api {
    /// The broker has recovered.
    pub(crate) fn set_broker(&self, broker: Arc<Broker>) {
        // Called once; a second broker would be a mistake of the program, and the first one is what clients know.
        let _ = self.0.set(broker);
    }

    pub(super) fn broker(&self) -> Option<&Arc<Broker>> {
        self.0.get()
    }
}

const READ: &str = "HEAD, GET, OPTIONS";
const CHANGE: &str = "HEAD, GET, PUT, OPTIONS";
const ADD: &str = "HEAD, GET, POST, OPTIONS";
const SET: &str = "PUT, DELETE, OPTIONS";
const DELETE: &str = "DELETE, OPTIONS";
const EVERYTHING: &str = "HEAD, GET, PUT, DELETE, OPTIONS";

/// All resources.
pub(super) fn routes(api: Api) -> Router {
    let mut resources = Resources(Router::new());
    for (root, kind) in [("/api/policies", PolicyKind::User), ("/api/operator-policies", PolicyKind::Operator)] {
        let one = get(move |api, caller, names| policies::get(kind, api, caller, names))
            .put(move |api, caller, names, request| policies::put(kind, api, caller, names, request))
            .delete(move |api, caller, names| policies::delete(kind, api, caller, names));
        resources.add(root, READ, get(move |api, caller| policies::list(kind, api, caller)));
        resources.add(
            &format!("{root}/{{vhost}}"),
            READ,
            get(move |api, caller, names| policies::list_of(kind, api, caller, names)),
        );
        resources.add(&format!("{root}/{{vhost}}/{{name}}"), EVERYTHING, one);
    }
    resources.add("/api/whoami", READ, get(users::whoami));
    resources.add("/api/users", READ, get(users::list));
    resources.add("/api/users/{name}", EVERYTHING, get(users::get).put(users::put).delete(users::delete));
    let keys = get(access_keys::list).post(access_keys::post);
    resources.add("/api/users/{name}/access-keys", ADD, keys);
    let key = put(access_keys::put).delete(access_keys::delete);
    resources.add("/api/users/{name}/access-keys/{id}", SET, key);
    let kinds = [("permissions", Rights::Permissions), ("topic-permissions", Rights::Topics)];
    for (kind, rights) in kinds {
        resources.add(&format!("/api/{kind}"), READ, get(move |api, caller| permissions::list(rights, api, caller)));
        resources.add(
            &format!("/api/users/{{name}}/{kind}"),
            READ,
            get(move |api, caller, names| permissions::list_of_user(rights, api, caller, names)),
        );
        resources.add(
            &format!("/api/vhosts/{{vhost}}/{kind}"),
            READ,
            get(move |api, caller, names| permissions::list_of_vhost(rights, api, caller, names)),
        );
    }
    let permission = get(permissions::get).put(permissions::put).delete(permissions::delete);
    resources.add("/api/permissions/{vhost}/{user}", EVERYTHING, permission);
    let topics = get(permissions::get_topics).put(permissions::put_topic).delete(permissions::delete_topics);
    resources.add("/api/topic-permissions/{vhost}/{user}", EVERYTHING, topics);
    let one_topic = axum::routing::delete(permissions::delete_topic);
    resources.add("/api/topic-permissions/{vhost}/{user}/{exchange}", DELETE, one_topic);
    resources.add("/api/vhosts/{vhost}", CHANGE, put(vhosts::put).get(vhosts::get));
    resources.add("/api/queues/{vhost}/{name}", READ, get(queues::get));
    resources.0.with_state(api)
}

/// Resources that have been added.
struct Resources(Router<Api>);

impl Resources {
    /// Adds a resource, and what it says of methods that it does not have.
    fn add(&mut self, path: &str, methods: &'static str, router: MethodRouter<Api>) {
        let router = router
            .options(move || async move { allowing(StatusCode::OK, methods) })
            .fallback(move || async move { allowing(StatusCode::METHOD_NOT_ALLOWED, methods) });
        let routes = std::mem::take(&mut self.0);
        self.0 = routes.route(path, router.clone()).route(&format!("{path}/"), router);
    }
}

fn allowing(status: StatusCode, methods: &'static str) -> Response {
    (status, [(header::ALLOW, methods)]).into_response()
}
