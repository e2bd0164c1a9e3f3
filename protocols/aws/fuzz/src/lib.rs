//! What must hold for any bytes: nothing panics, whatever is answered is HTTP, a form means the same when it is written and read
//! again, no signature is right by chance, and who is denied is denied.

use std::cell::LazyCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use gantry_aws::iam::{self, Decision, Policy, Principal};
use gantry_aws::sigv4::{Claim, Signed, SigningKeys};
use gantry_aws::Service;
use gantry_aws::wire::shapes::{Member, Shape};
use gantry_aws::wire::{self, Form};
use gantry_aws::{Aws, Settings};
use gantry_broker::protocol::{Connection, Protocol, ShutdownTrigger};
use gantry_broker::{Broker, BrokerOptions, Found};
use gantry_storage::{Faults, MemoryJournal, MemoryTable};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// A client that has sent all that it will.
struct Said {
    left: Vec<u8>,
    answers: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Said {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = into.remaining().min(self.left.len());
        into.put_slice(&self.left[..bytes]);
        self.left.drain(..bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.answers.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Server {
    runtime: Runtime,
    protocol: Aws,
    stop: ShutdownTrigger,
    shutdown: gantry_broker::protocol::Shutdown,
}

fn server() -> Server {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
    let broker = Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap();
    let (protocol, _) = Aws::new(broker, Settings::default(), Arc::default()).unwrap();
    let (stop, shutdown) = ShutdownTrigger::new();
    drop(_inside);
    Server { runtime, protocol, stop, shutdown }
}

thread_local! {
    static SERVER: LazyCell<Server> = LazyCell::new(server);
}

/// Takes the bytes for all that a client on this machine sends.
pub fn check_requests(bytes: &[u8]) {
    let answers = SERVER.with(|server| {
        assert!(!server.shutdown.is_requested(), "{:?}", server.stop);
        let answers = Arc::<Mutex<Vec<u8>>>::default();
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 4566));
        let connection = Connection {
            stream: Box::new(Said { left: bytes.to_vec(), answers: Arc::clone(&answers) }),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            local,
            tls: None,
            credentials: None,
            relayed: false,
            shutdown: server.shutdown.clone(),
        };
        server.runtime.block_on(server.protocol.serve(connection));
        let answers = answers.lock().unwrap();
        answers.clone()
    });
    let mut rest = answers.as_slice();
    while !rest.is_empty() {
        let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head has an end");
        let head = std::str::from_utf8(&rest[..end]).expect("a head is text");
        assert!(head.starts_with("HTTP/1."), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
        // The answer to HEAD has the length of a body that it does not have.
        if rest.len() < end + 4 + length || head.starts_with("HTTP/1.1 404") {
            return;
        }
        rest = &rest[end + 4 + length..];
    }
}

/// Takes the bytes for a form; the first picks the action.
pub fn check_form(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let operations = || Service::ALL.into_iter().flat_map(Service::operations);
    let Some(operation) = operations().nth(usize::from(first) % operations().count()) else { return };
    let mut form = Form::default();
    if form.read(bytes).is_err() {
        return;
    }
    let Ok(value) = wire::form_input(&form, operation) else { return };
    let Shape::Structure(members) = operation.input else { panic!("an input is a structure") };
    let mut again = Form::default();
    for member in members {
        if let Some(value) = value.get(member.name) {
            write(&mut again, String::new(), member, value);
        }
    }
    let read = wire::form_input(&again, operation).expect("what is written can be read");
    // An empty list or map leaves nothing in a form.
    assert_eq!(without_empty(read), without_empty(value));
}

fn write(form: &mut Form<'_>, prefix: String, member: &Member, value: &Value) {
    put(form, format!("{prefix}{}", member.query_name), &member.shape, value);
}

fn put(form: &mut Form<'_>, name: String, shape: &Shape, value: &Value) {
    match (shape, value) {
        (Shape::Structure(members), Value::Object(map)) => {
            for member in *members {
                if let Some(value) = map.get(member.name) {
                    write(form, format!("{name}."), member, value);
                }
            }
        }
        (Shape::Within(part, shape), value) => put(form, format!("{name}.{part}"), shape, value),
        (Shape::List(item), Value::Array(items)) => {
            for (at, value) in items.iter().enumerate() {
                put(form, format!("{name}.{}", at + 1), item, value);
            }
        }
        (Shape::Map { key, value: value_name, shape }, Value::Object(map)) => {
            for (at, (entry, value)) in map.iter().enumerate() {
                form.push(format!("{name}.{}.{key}", at + 1), entry.clone());
                put(form, format!("{name}.{}.{value_name}", at + 1), shape, value);
            }
        }
        (_, Value::String(text)) => form.push(name, text.clone()),
        (_, value) => form.push(name, value.to_string()),
    }
}

fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(items) => items.into_iter().map(without_empty).filter(|value| !is_empty(value)).collect(),
        Value::Object(map) => {
            let entries = map.into_iter().map(|(key, value)| (key, without_empty(value)));
            Value::Object(entries.filter(|(_, value)| !is_empty(value)).collect())
        }
        value => value,
    }
}

/// Takes the bytes for a header, a date and a query, on a line each.
pub fn check_signature(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (authorization, date, query) =
        (lines.next().unwrap_or_default(), lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("localhost"));
    for (name, value) in [("authorization", authorization), ("x-amz-date", date)] {
        if let Ok(value) = HeaderValue::from_bytes(value)
            && !value.is_empty()
        {
            headers.insert(name, value);
        }
    }
    let query = String::from_utf8_lossy(query);
    let request = Signed { method: "POST", path: "/", query: &query, headers: &headers };
    if let Ok(Some(claim)) = Claim::read(request) {
        let _ = claim.check(request, "sqs", 1_714_564_800);
        assert!(claim.verify(request, b"body", "secret", &SigningKeys::default()).is_err());
    }
}

/// Takes the bytes for a policy.
pub fn check_policy(bytes: &[u8]) {
    let Ok(document) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse(document) else { return };
    let denying = r#"{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}}"#;
    let mut denied = policy.clone();
    denied.statements.extend(Policy::parse(denying).unwrap().statements);
    let mut context = iam::Context::default();
    context.add("aws:SourceIp", "10.0.0.1");
    context.add("aws:CurrentTime", "2024-05-01T12:00:00Z");
    context.add("aws:SecureTransport", "true");
    context.add("aws:SourceArn", "arn:aws:sns:us-east-1:000000000000:topic");
    let user = Principal::User { account: "000000000000", arn: "arn:aws:iam::000000000000:user/guest" };
    for principal in [Principal::Anonymous, user, Principal::Service("sns.amazonaws.com")] {
        let resource = "arn:aws:sqs:us-east-1:000000000000:orders";
        let request = iam::Request { principal, action: "sqs:SendMessage", resource, context: &context };
        if policy.statements.is_empty() {
            assert_eq!(policy.decide(&request), Decision::Silent);
        }
        assert_eq!(denied.decide(&request), Decision::Denied);
    }
}
