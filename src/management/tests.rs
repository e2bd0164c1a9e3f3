//! The management API as a client sees it, without a network: codes, headers and bodies are RabbitMQ's.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gantry_broker::rights::{Permission, User};
use gantry_broker::value::Table;
use gantry_broker::{Broker, QueueName, QueueOptions, VirtualHost};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::echo::parts;
use crate::http::Peer;

const ADMINISTRATOR: &str = "guest:guest";
const ONE: &str = "/api/policies/%2f/one";
const LIMIT: &str = r#"{"pattern":"^q","definition":{"max-length":5},"apply-to":"queues","priority":1}"#;

struct Site {
    broker: Arc<Broker>,
    service: TowerToHyperService<Router>,
    peer: SocketAddr,
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn reason(&self) -> &str {
        assert_eq!((self.code, &self.body["error"]), (400, &json!("bad_request")), "{}", self.body);
        self.body["reason"].as_str().unwrap()
    }
}

/// A site with the user guest, who is an administrator, and one for each tag, who may enter `/`, with the password `pw`.
async fn site() -> Site {
    let broker = parts(crate::config::config("").limits).broker;
    for tag in ["monitoring", "policymaker", "management", "none"] {
        broker.set_user(User::with_password(tag, b"pw", &[tag]).unwrap()).await.unwrap();
        broker.set_permission(tag, "/", Permission::new("", "", "").unwrap()).await.unwrap();
    }
    let api = Api::default();
    api.set_broker(Arc::clone(&broker));
    let service = TowerToHyperService::new(router(Health::default(), api));
    Site { broker, service, peer: SocketAddr::from(([127, 0, 0, 1], 1)) }
}

impl Site {
    fn vhost(&self) -> Arc<VirtualHost> {
        self.broker.vhost("/").unwrap()
    }

    async fn send(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
        let peer = Peer { address: self.peer, is_loopback: self.peer.ip().is_loopback() };
        let request: Request<Body> = request.extension(peer).body(body.into()).unwrap();
        let (parts, body) = self.service.call(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn call(&self, method: &str, path: &str, credentials: &str, body: &str) -> Answer {
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        let request = Request::builder().method(method).uri(path).header("authorization", authorization);
        self.send(request.header("content-type", "application/json"), body.to_owned()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, ADMINISTRATOR, "").await
    }

    async fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, ADMINISTRATOR, body).await
    }
}

#[tokio::test]
async fn a_policy_is_made_changed_told_and_deleted() {
    let site = site().await;
    for root in ["/api/policies", "/api/operator-policies"] {
        let one = format!("{root}/%2F/one");
        assert_eq!(site.get(&one).await.code, 404);
        assert_eq!(site.put(&one, LIMIT).await.code, 201);
        assert_eq!(site.put(&one, LIMIT).await.code, 204);
        let row = json!({
            "vhost": "/", "name": "one", "pattern": "^q", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 1
        });
        let told = site.get(&one).await;
        assert_eq!((told.code, &told.body), (200, &row));
        assert_eq!(
            (told.header("content-type"), told.header("cache-control")),
            (Some("application/json"), Some("no-cache"))
        );
        for list in [root.to_owned(), format!("{root}/"), format!("{root}/%2f"), format!("{root}/%2f/")] {
            assert_eq!(site.get(&list).await.body, json!([row]), "{list}");
        }
        assert_eq!(site.call("DELETE", &one, ADMINISTRATOR, "").await.code, 204);
        let again = site.call("DELETE", &one, ADMINISTRATOR, "").await;
        assert_eq!((again.code, again.body), (404, json!({"error": "Object Not Found", "reason": "Not Found"})));
        assert_eq!(site.get(root).await.body, json!([]));
    }
}

#[tokio::test]
async fn names_are_decoded_and_a_virtual_host_that_does_not_exist_is_not_found() {
    let site = site().await;
    assert_eq!(site.put("/api/policies/%2f/%c3%a4%20%2f%25", LIMIT).await.code, 201);
    assert_eq!(site.get("/api/policies").await.body[0]["name"], "\u{e4} /%");
    assert_eq!(site.get("/api/policies/%2f/%c3%a4%20%2f%25").await.code, 200);
    for path in
        ["/api/policies/nope", "/api/policies/nope/one", "/api/policies/%ff", "/api/nothing", "/api/policies/a/b/c"]
    {
        let lost = site.get(path).await;
        assert_eq!(
            (lost.code, lost.body),
            (404, json!({"error": "Object Not Found", "reason": "Not Found"})),
            "{path}"
        );
    }
    let lost = site.put("/api/policies/nope/one", LIMIT).await;
    assert_eq!((lost.code, lost.body), (404, json!({"error": "not_found", "reason": "vhost_not_found"})));
    let long = format!("/api/policies/%2f/{}", "x".repeat(256));
    assert_eq!(site.put(&long, LIMIT).await.reason(), "a policy's name has at most 255 bytes");
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_is_told_in_rabbitmqs_words() {
    let site = site().await;
    let reasons = [
        ("", "[{key_missing,pattern},{key_missing,definition}]"),
        ("null", "[{key_missing,pattern},{key_missing,definition}]"),
        ("true", "[{key_missing,pattern},{key_missing,definition}]"),
        (r#"{"pattern":"a"}"#, "[{key_missing,definition}]"),
        ("{", "not_json"),
        ("[]", "not_json"),
        ("5", "not_json"),
        ("{} x", "not_json"),
        ("\"x\"", "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?"),
        (r#"{"pattern":"a","definition":{}}"#, "Validation failed\n\nno policy provided\n"),
        (
            r#"{"pattern":5,"definition":{"max-length":5}}"#,
            "Validation failed\n\npattern should be a binary but was 5\n",
        ),
        (
            r#"{"pattern":"a","definition":{"max-length":-5},"priority":"x"}"#,
            "Validation failed\n\n-5 is not a valid maximum length\npriority should be a number, actually was &lt;&lt;\"x\"&gt;&gt;\n",
        ),
        (
            r#"{"pattern":"a","definition":{"foo":"x","bar":[1,2],"max-length":4}}"#,
            "Validation failed\n\n[{&lt;&lt;\"bar\"&gt;&gt;,[1,2]},{&lt;&lt;\"foo\"&gt;&gt;,&lt;&lt;\"x\"&gt;&gt;}] are not recognised policy settings\n",
        ),
        (
            r#"{"pattern":"a","definition":{"ha-mode":"nodes","ha-params":["a",1]}}"#,
            "Validation failed\n\nha-mode=\"nodes\" takes a list of strings, [1] was not a string\n",
        ),
        (
            r#"{"pattern":"a","definition":{"dead-letter-exchange":{"a":null}}}"#,
            "Validation failed\n\n#{&lt;&lt;\"a\"&gt;&gt; =&gt; null} is not a valid dead letter exchange name\n",
        ),
    ];
    for (body, reason) in reasons {
        assert_eq!(site.put(ONE, body).await.reason(), reason, "{body}");
    }
    let wrong = site.put(ONE, r#"{"pattern":"(","definition":{"max-length":-5},"apply-to":"x"}"#).await;
    let lines: Vec<_> = wrong.reason().lines().collect();
    assert_eq!(lines[2], "-5 is not a valid maximum length");
    assert!(lines[3].starts_with("apply-to 'x' unrecognised; should be one of: "), "{lines:?}");
    assert!(lines[4].starts_with("pattern should be regular expression but is invalid: "), "{lines:?}");
    let operator =
        site.put("/api/operator-policies/%2f/o", r#"{"pattern":"a","definition":{"overflow":"drop-head"}}"#).await;
    let reason = "Validation failed\n\n[{<<\"overflow\">>,<<\"drop-head\">>}] are not recognised policy settings\n";
    assert_eq!(operator.reason(), reason);
    assert_eq!(site.get("/api/policies").await.body, json!([]));
}

#[tokio::test]
async fn each_tag_may_do_what_it_may_in_rabbitmq() {
    let site = site().await;
    const OPERATOR: &str = "/api/operator-policies/%2f/one";
    // What is sent; what monitoring, policymaker, management and a user without any of them get for it.
    let cases = [
        ("GET", "/api/policies", "", [200, 200, 200, 401]),
        ("GET", "/api/policies/%2f", "", [200, 200, 200, 401]),
        ("GET", "/api/policies/nope", "", [404, 404, 404, 401]),
        ("PUT", ONE, LIMIT, [401, 201, 401, 401]),
        ("GET", ONE, "", [401, 200, 401, 401]),
        ("PUT", "/api/policies/nope/one", LIMIT, [401, 404, 401, 401]),
        ("DELETE", ONE, "", [401, 204, 401, 401]),
        ("GET", "/api/operator-policies", "", [200, 200, 200, 401]),
        ("GET", "/api/operator-policies/%2f", "", [200, 200, 200, 401]),
        ("PUT", OPERATOR, LIMIT, [401, 401, 401, 401]),
        ("GET", OPERATOR, "", [401, 401, 401, 401]),
        ("DELETE", OPERATOR, "", [401, 401, 401, 401]),
        ("GET", "/api/vhosts/%2f", "", [401, 401, 401, 401]),
        ("PUT", "/api/vhosts/%2f", r#"{"tracing":true}"#, [401, 401, 401, 401]),
        ("GET", "/api/queues/%2f/nope", "", [404, 404, 404, 401]),
    ];
    for (method, path, body, codes) in cases {
        for (user, code) in ["monitoring", "policymaker", "management", "none"].into_iter().zip(codes) {
            let answer = site.call(method, path, &format!("{user}:pw"), body).await;
            assert_eq!(answer.code, code, "{method} {path} as {user}: {}", answer.body);
        }
    }
    let refused = site.call("PUT", OPERATOR, "policymaker:pw", LIMIT).await;
    assert_eq!(refused.body, json!({"error": "not_authorised", "reason": "Not administrator user"}));
    let refused = site.call("GET", ONE, "monitoring:pw", "").await;
    assert_eq!(refused.body["reason"], "User not authorised to access object");
    let refused = site.call("GET", "/api/policies", "none:pw", "").await;
    assert_eq!(refused.body["reason"], "Not management user");
    assert!(site.vhost().policies(gantry_broker::PolicyKind::Operator).is_empty() && !site.vhost().is_traced());
}

#[tokio::test]
async fn whoever_has_no_permission_in_a_virtual_host_sees_and_changes_nothing_of_it() {
    let site = site().await;
    site.put(ONE, LIMIT).await;
    for tag in ["policymaker", "monitoring"] {
        let outsider = User::with_password("outsider", b"pw", &[tag]).unwrap();
        site.broker.set_user(outsider).await.unwrap();
        assert_eq!(site.call("GET", "/api/policies", "outsider:pw", "").await.body, json!([]));
        for (method, path) in
            [("GET", "/api/policies/%2f"), ("PUT", ONE), ("DELETE", ONE), ("GET", "/api/queues/%2f/q")]
        {
            assert_eq!(site.call(method, path, "outsider:pw", LIMIT).await.code, 401, "{method} {path} as {tag}");
        }
    }
    assert_eq!(site.get(ONE).await.code, 200);
}

#[tokio::test]
async fn nobody_gets_in_without_the_right_password_or_from_elsewhere_as_guest() {
    let mut site = site().await;
    let anonymous = site.send(Request::builder().uri("/api/policies"), "").await;
    assert_eq!((anonymous.code, &anonymous.body), (401, &Value::Null));
    assert_eq!(anonymous.header("www-authenticate"), Some("Basic realm=\"RabbitMQ Management\""));
    for credentials in ["guest:wrong", "guest:", "nobody:guest", "\u{1}:x"] {
        let refused = site.call("GET", "/api/policies", credentials, "").await;
        assert_eq!((refused.code, refused.body["reason"].as_str()), (401, Some("Login failed")), "{credentials}");
        assert!(refused.headers.contains_key("www-authenticate"));
    }
    for (header, code) in [("Basic !!!", 400), ("Basic Z3Vlc3Q=", 400), ("Basic", 400), ("Bearer token", 401)] {
        let request = Request::builder().uri("/api/policies").header("authorization", header);
        assert_eq!(site.send(request, "").await.code, code, "{header}");
    }
    site.peer = SocketAddr::from(([192, 0, 2, 1], 1));
    let refused = site.call("GET", "/api/policies", ADMINISTRATOR, "").await;
    assert_eq!((refused.code, refused.body["reason"].as_str()), (401, Some("User can only log in via localhost")));
    assert_eq!(site.call("GET", "/api/policies", "monitoring:pw", "").await.code, 200);
}

#[tokio::test]
async fn other_methods_large_bodies_and_other_kinds_of_bodies_are_refused() {
    let site = site().await;
    for (path, allow) in [
        ("/api/policies", "HEAD, GET, OPTIONS"),
        (ONE, "HEAD, GET, PUT, DELETE, OPTIONS"),
        ("/api/queues/%2f/q", "HEAD, GET, OPTIONS"),
    ] {
        let refused = site.call("POST", path, ADMINISTRATOR, "{}").await;
        assert_eq!((refused.code, refused.header("allow")), (405, Some(allow)));
        let asked = site.send(Request::builder().method("OPTIONS").uri(path), "").await;
        assert_eq!((asked.code, asked.header("allow")), (200, Some(allow)));
    }
    let large = " ".repeat(request::BODY_BYTES_MAX + 1);
    assert_eq!(site.put(ONE, &large).await.reason(), "Exceeded HTTP request body size limit");
    let authorization = format!("Basic {}", STANDARD.encode(ADMINISTRATOR));
    for (path, code) in [("/api/operator-policies/%2f/one", 415), (ONE, 201)] {
        let request = Request::builder().method("PUT").uri(path).header("authorization", &authorization);
        assert_eq!(site.send(request.header("content-type", "text/plain"), LIMIT).await.code, code);
    }
}

#[tokio::test]
async fn a_queue_tells_what_it_is_and_which_policies_it_is_under() {
    let site = site().await;
    let arguments: Table = [("x-message-ttl", 5000)].into_iter().collect();
    let options = QueueOptions { durable: true, arguments, ..QueueOptions::default() };
    site.vhost().declare_queue(QueueName::Given("q"), options, 1).await.unwrap();
    let exclusive = QueueOptions { exclusive: true, ..QueueOptions::default() };
    site.vhost().declare_queue(QueueName::Given("mine"), exclusive, 1).await.unwrap();
    site.put(ONE, LIMIT).await;
    site.put("/api/operator-policies/%2f/two", r#"{"pattern":"","definition":{"max-length":3,"expires":70000}}"#).await;
    let expected = json!({
        "arguments": {"x-message-ttl": 5000}, "auto_delete": false, "consumers": 0, "durable": true,
        "effective_policy_definition": {"expires": 70000, "max-length": 3}, "exclusive": false, "message_bytes": 0,
        "message_bytes_ready": 0, "message_bytes_unacknowledged": 0, "messages": 0, "messages_ready": 0,
        "messages_unacknowledged": 0, "name": "q", "operator_policy": "two", "policy": "one", "state": "running",
        "type": "classic", "vhost": "/",
    });
    assert_eq!(site.get("/api/queues/%2f/q").await.body, expected);
    let mine = site.get("/api/queues/%2f/mine").await.body;
    assert_eq!(
        (&mine["exclusive"], &mine["policy"], &mine["operator_policy"]),
        (&json!(true), &Value::Null, &json!("two"))
    );
    let brief = site.get("/api/queues/%2f/q?disable_stats=true").await.body;
    assert_eq!((&brief["state"], brief.get("messages")), (&json!("live"), None));
}

#[tokio::test]
async fn an_access_key_is_made_given_told_without_its_secret_and_deleted() {
    const KEYS: &str = "/api/users/none/access-keys";
    let site = site().await;
    assert_eq!(site.get(KEYS).await.body, json!([]));
    let made = site.call("POST", KEYS, ADMINISTRATOR, "").await;
    assert_eq!((made.code, made.header("cache-control")), (201, Some("no-store")));
    let (id, secret) = (made.body["id"].as_str().unwrap(), made.body["secret"].as_str().unwrap());
    assert_eq!(
        site.broker.access_key(id).map(|key| (key.secret.clone(), key.user.clone())),
        Some((secret.to_owned(), "none".to_owned()))
    );
    assert_eq!(site.put(&format!("{KEYS}/zzz"), r#"{"secret":"hidden"}"#).await.code, 201);
    assert_eq!(site.put(&format!("{KEYS}/zzz"), r#"{"secret":"other"}"#).await.code, 204);
    let told = site.get(KEYS).await.body;
    assert_eq!((&told[0]["id"], &told[1]["id"], told.as_array().map(Vec::len)), (&json!(id), &json!("zzz"), Some(2)));
    assert!(!told.to_string().contains("secret") && !told.to_string().contains(secret), "{told}");
    assert_eq!(site.call("DELETE", &format!("{KEYS}/{id}"), ADMINISTRATOR, "").await.code, 204);
    assert_eq!(site.call("DELETE", &format!("{KEYS}/{id}"), ADMINISTRATOR, "").await.code, 404);
    assert!(site.broker.access_key(id).is_none());
    site.call("DELETE", "/api/users/none", ADMINISTRATOR, "").await;
    assert!(site.broker.access_key("zzz").is_none(), "it went with its user");
}

#[tokio::test]
async fn an_access_key_that_cannot_be_is_refused_and_only_administrators_deal_with_them() {
    const KEYS: &str = "/api/users/none/access-keys";
    let site = site().await;
    site.put(&format!("{KEYS}/mine"), r#"{"secret":"x"}"#).await;
    let taken = site.put("/api/users/guest/access-keys/mine", r#"{"secret":"x"}"#).await;
    assert_eq!(taken.reason(), "the id is another user's");
    assert_eq!(site.call("DELETE", "/api/users/guest/access-keys/mine", ADMINISTRATOR, "").await.code, 404);
    assert_eq!(
        site.put(&format!("{KEYS}/a%2fb"), r#"{"secret":"x"}"#).await.reason(),
        "an id has 1 to 128 letters, digits, '-', '_' or '.'"
    );
    for body in ["{}", r#"{"secret":7}"#] {
        assert_eq!(site.put(&format!("{KEYS}/k"), body).await.reason(), "secret should be a string");
    }
    assert_eq!(site.call("POST", "/api/users/nobody/access-keys", ADMINISTRATOR, "").await.code, 404);
    for tag in ["monitoring", "policymaker", "management", "none"] {
        for (method, path) in [
            ("GET", KEYS),
            ("POST", KEYS),
            ("PUT", "/api/users/none/access-keys/k"),
            ("DELETE", "/api/users/none/access-keys/mine"),
        ] {
            let answer = site.call(method, path, &format!("{tag}:pw"), r#"{"secret":"x"}"#).await;
            assert_eq!(answer.code, 401, "{method} {path} as {tag}");
        }
    }
    for _ in site.broker.access_keys("none").len()..gantry_broker::rights::ACCESS_KEYS_MAX {
        assert_eq!(site.call("POST", KEYS, ADMINISTRATOR, "").await.code, 201);
    }
    assert_eq!(site.call("POST", KEYS, ADMINISTRATOR, "").await.reason(), "a user has at most 64 access keys");
    assert_eq!(site.put(&format!("{KEYS}/mine"), r#"{"secret":"y"}"#).await.code, 204, "it is there already");
}

#[tokio::test]
async fn tracing_is_switched_by_a_truth_value() {
    let site = site().await;
    const VHOST: &str = "/api/vhosts/%2f";
    for (body, code, tracing) in [
        (r#"{"tracing":true}"#, 204, true),
        ("{}", 204, true),
        (r#"{"tracing":"false"}"#, 204, false),
        (r#"{"tracing":5}"#, 400, false),
        (r#"{"tracing":null}"#, 400, false),
        (r#"{"description":"x"}"#, 400, false),
        ("{", 400, false),
    ] {
        let answer = site.put(VHOST, body).await;
        assert_eq!(answer.code, code, "{body}: {}", answer.body);
        assert_eq!(site.get(VHOST).await.body["tracing"], tracing, "{body}");
    }
    assert_eq!(site.put(VHOST, r#"{"tracing":5}"#).await.body["reason"], json!(["not_boolean", 5]));
    assert_eq!(site.get("/api/vhosts/nope").await.code, 404);
    assert_eq!(site.put("/api/vhosts/nope", "{}").await.code, 404);
}

#[tokio::test]
async fn before_the_broker_has_recovered_it_says_so() {
    let service = TowerToHyperService::new(router(Health::default(), Api::default()));
    let authorization = format!("Basic {}", STANDARD.encode(ADMINISTRATOR));
    let request = Request::builder().uri("/api/policies").header("authorization", authorization);
    let answer = service.call(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}
