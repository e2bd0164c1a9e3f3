//! Web pages that use SQS by an SDK for browsers. Their requests are signed like any other, and what is not signed does not come
//! from this machine if a page has sent it (see `auth`), so every page may ask; none of them is lent the browser's own logins.

use hyper::HeaderMap;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue,
};

/// What a page may see of a reply beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-amzn-requestid,x-amzn-query-error,date");
const METHODS: HeaderValue = HeaderValue::from_static("GET,POST");
/// How long a browser need not ask again: two days.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("172800");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Lets the page see the reply.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Answers a browser that asks whether a page may send these headers.
pub(crate) fn preflight(asked: &HeaderMap, headers: &mut HeaderMap) {
    allow(headers);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    if let Some(asked) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
}
