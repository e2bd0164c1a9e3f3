//! A request becomes an action and its caller, and a reply becomes a response.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use gantry_broker::protocol::Connection;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use parking_lot::Mutex;

use crate::Edge;
use crate::action::{Boxed, Done, Entry};
use crate::auth;
use crate::body;
use crate::call::{Call, Caller};
use crate::cors;
use crate::error::{Error, faults};
use crate::parked::Parked;
use crate::request_id::RequestId;
use crate::service::Service;
use crate::sigv4::Claim;
use crate::sns;
use crate::sns::Signing;
use crate::stats::Stats;
use crate::stream::{Phase, SharedProgress};
use crate::wire::{self, Form, FormError, Format, Input, json, xml};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// Longest name of a host, with a port.
const HOST_BYTES_MAX: usize = 255 + 6;
const NO_HOST: HeaderValue = HeaderValue::from_static("localhost");
const UNKNOWN_OPERATION: &str = "There is no such operation.";

/// So much of the name of an action that there is not is told again.
const ACTION_CHARS_SHOWN: usize = 64;

/// What cannot be asked at the URL of a queue.
const NOT_AT_A_QUEUE: [&str; 2] = ["CreateQueue", "ListQueues"];

/// What AWS answers to whatever is not a request for an action.
const NO_REQUEST: &str = "<UnknownOperationException/>\n";

/// The client of a connection.
pub(crate) struct Client {
    pub(crate) edge: Arc<Edge>,
    pub(crate) peer: SocketAddr,
    pub(crate) is_local: bool,
    pub(crate) is_secure: bool,
    /// It has asked for an action, and waits for the reply or has had it.
    has_asked: AtomicBool,
    /// Who it was last.
    pub(crate) caller: Mutex<Option<Arc<Caller>>>,
    /// The region of its last request.
    pub(crate) region: Mutex<Arc<str>>,
}

impl Client {
    pub(crate) fn new(edge: Arc<Edge>, connection: &Connection) -> Self {
        let region = Mutex::new(Arc::clone(&edge.region));
        Self {
            edge,
            region,
            peer: connection.peer,
            is_local: connection.is_from_this_machine(),
            is_secure: connection.tls.is_some(),
            has_asked: AtomicBool::new(false),
            caller: Mutex::default(),
        }
    }

    /// Forgets who it was last: that is found out again.
    pub(crate) fn forget(&self) {
        *self.caller.lock() = None;
    }

    /// Whether it has asked anything yet.
    pub(crate) fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }
}

/// A reply before it is one of HTTP.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) request_id: RequestId,
    pub(crate) content_type: &'static str,
    /// What clients that once spoke Query look at.
    pub(crate) query_error: Option<String>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn success(format: Format, request_id: RequestId, body: Bytes) -> Self {
        Self { status: StatusCode::OK, request_id, content_type: format.content_type(), query_error: None, body }
    }

    pub(crate) fn failure(format: Format, request_id: RequestId, error: &Error) -> Self {
        let status = StatusCode::from_u16(error.fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (query_error, body) = match format {
            Format::Json => {
                let whose = if error.fault.is_sender { "Sender" } else { "Receiver" };
                (Some(format!("{};{whose}", error.query_code())), json::failure(error))
            }
            // AWS has no form for it.
            Format::Query(_) if std::ptr::eq(error.fault, &faults::MISSING_ACTION) => {
                return Self::not_found(request_id);
            }
            // In this format it has other words.
            Format::Query(service) if std::ptr::eq(error.fault, &faults::QUEUE_DOES_NOT_EXIST) => {
                let error = Error::new(error.fault, "The specified queue does not exist for this wsdl version.");
                (None, xml::failure(service, &error, request_id))
            }
            Format::Query(service) => (None, xml::failure(service, error, request_id)),
        };
        Self { status, request_id, content_type: format.content_type(), query_error, body }
    }

    fn not_found(request_id: RequestId) -> Self {
        let (status, content_type) = (StatusCode::NOT_FOUND, Format::Query(Service::Sqs).content_type());
        Self { status, request_id, content_type, query_error: None, body: Bytes::from_static(NO_REQUEST.as_bytes()) }
    }

    /// A response but for what depends on how it is written; with what a browser asks for where a page has asked.
    pub(crate) fn whole(self, is_page: bool) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_bytes(&self.request_id.text()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(Ok(error)) = self.query_error.map(HeaderValue::try_from) {
            headers.insert(QUERY_ERROR, error);
        }
        if is_page {
            cors::allow(headers);
        }
        response
    }
}

/// A body that is there.
#[derive(Clone, Debug)]
pub(crate) struct Whole(Option<Bytes>);

impl Whole {
    pub(crate) fn new(body: Bytes) -> Self {
        Self(Some(body))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Serves one request.
pub(crate) fn serve<'a>(
    client: &'a Client,
    progress: &'a SharedProgress,
    request: Request<Incoming>,
) -> Boxed<'a, Result<Response<Whole>, Infallible>> {
    progress.lock().enter(Phase::Serving);
    Box::pin(async move {
        let request_id = RequestId::next();
        let (head, incoming) = request.into_parts();
        let keep_alive = keeps_alive(&head);
        let is_old = head.version == Version::HTTP_10;
        if let Some(response) = certificate(client, &head) {
            client.has_asked.store(true, Ordering::Relaxed);
            Stats::add(&client.edge.stats.requests, 1);
            progress.lock().enter(Phase::Writing);
            return Ok(response);
        }
        let mut asked = Asked::of(&head);
        let is_page = head.headers.contains_key(ORIGIN);
        let answer = match head.method {
            Method::GET | Method::POST => answer(client, request_id, &head, incoming, &mut asked).await,
            _ => return Ok(other_method(progress, request_id, &head)),
        };
        client.has_asked.store(true, Ordering::Relaxed);
        let format = asked.format;
        let stats = &client.edge.stats;
        Stats::add(&stats.requests, 1);
        Stats::add(&stats.errors, u64::from(answer.is_err()));
        let answer = match answer {
            Ok((Done::Now(body), _)) => Answer::success(format, request_id, body),
            Err(error) => Answer::failure(format, request_id, &error),
            Ok((Done::Later(reply), caller)) => {
                let deletion = caller.deletion();
                let parked = Parked { reply, deletion, format, request_id, keep_alive, is_old, is_page };
                progress.lock().parked = Some(parked);
                // The connection is taken out of hyper's hands, and this future is dropped.
                std::future::pending().await
            }
        };
        progress.lock().enter(Phase::Writing);
        Ok(answer.whole(is_page).map(Whole::new))
    })
}

/// The certificate that messages of SNS are signed with, which anybody may have; none where something else is asked for.
fn certificate(client: &Client, head: &Parts) -> Option<Response<Whole>> {
    let path = head.uri.path();
    if head.method != Method::GET || !Signing::is_path(path) {
        return None;
    }
    let certificate = client.edge.sns.signing.certificate_at(path);
    let mut response = Response::new(Whole::new(certificate.clone().unwrap_or_default()));
    if certificate.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-pem-file"));
    Some(response)
}

/// Anything but GET and POST: a browser that asks whether it may, or nothing that there is here.
fn other_method(progress: &SharedProgress, request_id: RequestId, head: &Parts) -> Response<Whole> {
    progress.lock().enter(Phase::Writing);
    if head.method != Method::OPTIONS {
        return Answer::not_found(request_id).whole(false).map(Whole::new);
    }
    let mut response =
        Answer::success(Format::Query(Service::Sqs), request_id, Bytes::new()).whole(false).map(Whole::new);
    cors::preflight(&head.headers, response.headers_mut());
    response
}

/// What a request says it wants, as far as it is known.
struct Asked {
    format: Format,
    /// Of JSON: the service and the action.
    target: Option<(Service, Option<&'static Entry>)>,
}

impl Asked {
    fn of(head: &Parts) -> Self {
        let Some(target) = head.headers.get("x-amz-target") else {
            // Also whoever is not let in is told so in the words of the service that was meant.
            let scope = head.headers.get(AUTHORIZATION).and_then(|header| Claim::key_and_scope(header.to_str().ok()?));
            let service = scope.and_then(|(_, _, service)| Service::of_scope(service)).unwrap_or(Service::Sqs);
            return Self { format: Format::Query(service), target: None };
        };
        let target = target.to_str().ok().and_then(Service::of_target);
        Self { format: Format::Json, target: target.map(|(service, name)| (service, service.action(name))) }
    }
}

fn keeps_alive(head: &Parts) -> bool {
    let says = |word: &str| {
        let values = head.headers.get_all(CONNECTION).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    if head.version == Version::HTTP_10 { says("keep-alive") } else { !says("close") }
}

/// What an action answers, and to whom.
async fn answer(
    client: &Client,
    request_id: RequestId,
    head: &Parts,
    incoming: Incoming,
    asked: &mut Asked,
) -> Result<(Done, Arc<Caller>), Error> {
    let identity = auth::identify(client, head, asked.target.map(|(service, _)| service))?;
    if let (Format::Query(_), Some(service)) = (asked.format, identity.service()) {
        asked.format = Format::Query(service);
    }
    let body = body::collect(head, incoming, identity.limits(client)).await?;
    let caller = identity.verify(client, &body)?;
    let region = identity.region(client);
    let host = head.headers.get(HOST).filter(|host| is_host(host)).cloned().unwrap_or(NO_HOST);
    let user_agent = head.headers.get(USER_AGENT).cloned();
    let trace = head.headers.get("x-amzn-trace-id").cloned();
    let is_near = auth::is_near(client, head);
    let call = Call { edge: Arc::clone(&client.edge), caller, region, request_id, host, user_agent, trace, is_near };
    let done = match asked.format {
        Format::Json => {
            let entry = asked
                .target
                .and_then(|(_, entry)| entry)
                .ok_or_else(|| Error::new(&faults::UNKNOWN_OPERATION, UNKNOWN_OPERATION))?;
            (entry.run)(Input::Json(&body), &call).await
        }
        Format::Query(_) => {
            let mut form = Form::default();
            form.read(head.uri.query().unwrap_or_default().as_bytes()).map_err(malformed)?;
            if head.method == Method::POST {
                form.read(&body).map_err(malformed)?;
            }
            let Some(action) = form.get("Action") else {
                return Err(Error::new(&faults::MISSING_ACTION, "The request must contain the parameter Action."));
            };
            let service = identity.service().unwrap_or_else(|| Service::of_form(form.get("Version"), action));
            asked.format = Format::Query(service);
            // The URL of a queue is no place to ask for others.
            let is_queue = service == Service::Sqs && head.uri.path().len() > 1;
            let entry = service.action(action).filter(|entry| !is_queue || !NOT_AT_A_QUEUE.contains(&entry.name));
            let (Some(entry), Some(operation)) = (entry, service.operation(action)) else {
                return Err(no_action(service, action));
            };
            if is_queue && form.get("QueueUrl").is_none() {
                form.push("QueueUrl", head.uri.path());
            }
            let value = wire::form_input(&form, operation)?;
            (entry.run)(Input::Query(&value, service), &call).await
        }
    };
    Ok((done?, call.caller))
}

/// What is said of an action that a service has not.
fn no_action(service: Service, action: &str) -> Error {
    let shown: String = action.chars().take(ACTION_CHARS_SHOWN).collect();
    match service {
        Service::Sqs => {
            let message = format!("The action {shown} is not valid for this endpoint.");
            Error::new(&faults::INVALID_ACTION, message)
        }
        Service::Sns => sns::fault::invalid_action(&shown),
    }
}

/// Whether a client has named a host and not something else, which would stand in links that others are sent (RFC 9112, 3.2).
pub(crate) fn is_host(host: &HeaderValue) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.as_bytes().iter().all(is_part)
}

fn malformed(error: FormError) -> Error {
    Error::new(&faults::MALFORMED_QUERY_STRING, error.to_string())
}
