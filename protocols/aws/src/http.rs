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
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Version};
use parking_lot::Mutex;

use crate::Edge;
use crate::action::{Boxed, Done, Entry};
use crate::body;
use crate::call::{Call, Caller};
use crate::error::{Error, faults};
use crate::parked::Parked;
use crate::request_id::RequestId;
use crate::sqs;
use crate::stream::{Phase, SharedProgress};
use crate::wire::{Form, Format, Input, json, query, shapes, xml};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

/// What `x-amz-target` begins with for SQS.
const TARGET_SQS: &str = "AmazonSQS.";

/// The client of a connection.
pub(crate) struct Client {
    pub(crate) edge: Arc<Edge>,
    pub(crate) peer: SocketAddr,
    pub(crate) is_local: bool,
    pub(crate) is_secure: bool,
    /// It has had a reply.
    has_asked: AtomicBool,
    /// Who it was last.
    caller: Mutex<Option<Arc<Caller>>>,
}

impl Client {
    pub(crate) fn new(edge: Arc<Edge>, connection: &Connection) -> Self {
        Self {
            edge,
            peer: connection.peer,
            is_local: connection.is_from_this_machine(),
            is_secure: connection.tls.is_some(),
            has_asked: AtomicBool::new(false),
            caller: Mutex::default(),
        }
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
            Format::Query => (None, xml::failure(error, request_id)),
        };
        Self { status, request_id, content_type: format.content_type(), query_error, body }
    }

    fn response(self) -> Response<Whole> {
        let mut response = Response::new(Whole(Some(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_bytes(&self.request_id.text()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(Ok(error)) = self.query_error.map(HeaderValue::try_from) {
            headers.insert(QUERY_ERROR, error);
        }
        response
    }
}

/// A body that is there.
pub(crate) struct Whole(Option<Bytes>);

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
        let asked = Asked::of(&head);
        let format = asked.format;
        let answer = match answer(client, request_id, head, incoming, asked).await {
            Ok(Done::Now(body)) => Answer::success(format, request_id, body),
            Err(error) => Answer::failure(format, request_id, &error),
            Ok(Done::Later(reply)) => {
                progress.lock().parked = Some(Parked { reply, format, request_id, keep_alive, is_old });
                // The connection is taken out of hyper's hands, and this future is dropped.
                std::future::pending().await
            }
        };
        client.has_asked.store(true, Ordering::Relaxed);
        progress.lock().enter(Phase::Writing);
        Ok(answer.response())
    })
}

/// What a request says it wants, as far as its head tells.
struct Asked {
    format: Format,
    /// Of JSON.
    target: Option<&'static Entry>,
}

impl Asked {
    fn of(head: &Parts) -> Self {
        let Some(target) = head.headers.get("x-amz-target") else {
            return Self { format: Format::Query, target: None };
        };
        let name = target.to_str().ok().and_then(|target| target.strip_prefix(TARGET_SQS));
        Self { format: Format::Json, target: name.and_then(find) }
    }
}

fn find(name: &str) -> Option<&'static Entry> {
    sqs::ACTIONS.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|at| &sqs::ACTIONS[at])
}

fn keeps_alive(head: &Parts) -> bool {
    let says = |word: &str| {
        let values = head.headers.get_all(hyper::header::CONNECTION).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|said| said.trim().eq_ignore_ascii_case(word))
    };
    if head.version == Version::HTTP_10 { says("keep-alive") } else { !says("close") }
}

async fn answer(
    client: &Client,
    request_id: RequestId,
    head: Parts,
    incoming: Incoming,
    asked: Asked,
) -> Result<Done, Error> {
    let body = body::collect(&head, incoming, &client.edge.settings).await?;
    let caller = client.caller()?;
    let host = head.headers.get("host").cloned().unwrap_or_else(|| HeaderValue::from_static("localhost"));
    let region = Arc::clone(&client.edge.region);
    let call = Call { edge: Arc::clone(&client.edge), caller, region, request_id, host };
    match asked.format {
        Format::Json => {
            let entry = asked.target.ok_or_else(unknown)?;
            (entry.run)(Input::Json(&body), &call).await
        }
        Format::Query => {
            let mut form = Form::default();
            let malformed =
                |error: crate::wire::FormError| Error::new(&faults::MALFORMED_QUERY_STRING, error.to_string());
            form.read(head.uri.query().unwrap_or_default().as_bytes()).map_err(malformed)?;
            if head.method == Method::POST {
                form.read(&body).map_err(malformed)?;
            }
            let entry = form.get("Action").and_then(find).ok_or_else(unknown)?;
            if form.get("QueueUrl").is_none() && head.uri.path().len() > 1 {
                form.push("QueueUrl", head.uri.path());
            }
            let operation = shapes::operation(entry.name).ok_or_else(unknown)?;
            let value = query::value(&form, &operation.input)?;
            (entry.run)(Input::Query(&value), &call).await
        }
    }
}

fn unknown() -> Error {
    Error::new(&faults::UNKNOWN_OPERATION, "The action or operation requested is invalid.")
}

impl Client {
    fn caller(&self) -> Result<Arc<Caller>, Error> {
        if let Some(caller) = &*self.caller.lock() {
            return Ok(Arc::clone(caller));
        }
        let denied = || Error::new(&faults::ACCESS_DENIED, "Access to the resource is denied.");
        if !self.is_local {
            return Err(denied());
        }
        let edge = &self.edge;
        let user = edge.broker.admit(&edge.settings.default_user, self.is_local).map_err(|_| denied())?;
        let (account, vhost) = edge.settings.accounts.first().ok_or_else(denied)?;
        let session = edge.broker.open_session(Arc::clone(&user), vhost).map_err(|_| denied())?;
        let caller = Arc::new(Caller {
            user: Some(Arc::from(user.name.as_str())),
            account: Arc::from(&**account),
            arn: format!("arn:aws:iam::{account}:user/{}", user.name).into(),
            access_key: "".into(),
            peer: self.peer.ip(),
            is_secure: self.is_secure,
            session: Some(Mutex::new(session)),
        });
        *self.caller.lock() = Some(Arc::clone(&caller));
        Ok(caller)
    }
}
