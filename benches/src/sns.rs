//! A load generator's SNS: AWS Query over HTTP/1.1, as SDKs ask. What is said of signatures in [`sqs`](crate::sqs) holds here, too.

use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::Value;

use crate::error::{Fallible, fail};
use crate::sqs;

/// A request for an action, whole, to be sent over and over.
pub(crate) fn request(address: SocketAddr, action: &str, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = format!("Action={action}&Version=2010-03-31");
    for (name, value) in parameters {
        body.push('&');
        encode(name, &mut body);
        body.push('=');
        encode(value, &mut body);
    }
    let signature = "0123456789abcdef".repeat(4);
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: identity\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nUser-Agent: gantry-benches/1 md/http#raw lang/rust\r\n\
         X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/sns/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={signature}\r\n\
         amz-sdk-invocation-id: 00000000-0000-4000-8000-000000000000\r\namz-sdk-request: attempt=1\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn encode(text: &str, to: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(to, "%{byte:02X}");
        }
    }
}

/// Asks one thing on a connection of its own, and waits for the answer.
pub(crate) fn call(address: SocketAddr, action: &str, parameters: &[(&str, &str)]) -> Fallible<String> {
    let answer =
        sqs::exchange(address, &request(address, action, parameters)).map_err(|error| format!("{action}: {error}"))?;
    Ok(String::from_utf8(answer)?)
}

/// The text of an element in an answer.
pub(crate) fn element<'a>(answer: &'a str, name: &str) -> Fallible<&'a str> {
    let found = answer
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")))
        .map(|(text, _)| text);
    match found {
        Some(text) => Ok(text),
        None => fail(format!("{name} is not in the answer {answer}")),
    }
}

/// Makes a topic; gives its ARN.
pub(crate) fn create(address: SocketAddr, name: &str) -> Fallible<String> {
    let answer = call(address, "CreateTopic", &[("Name", name)])?;
    Ok(element(&answer, "TopicArn")?.to_owned())
}

/// The attributes of a subscription with a filter policy.
pub(crate) fn filtering(policy: &Value) -> [(&'static str, String); 2] {
    [("Attributes.entry.1.key", "FilterPolicy".to_owned()), ("Attributes.entry.1.value", policy.to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_elements_found() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let request = String::from_utf8(request(address, "Publish", &[("Message", "a b&c")])).unwrap();
        assert!(request.ends_with("\r\n\r\nAction=Publish&Version=2010-03-31&Message=a%20b%26c"), "{request}");
        assert_eq!(element("<a><b>c</b></a>", "b").unwrap(), "c");
        assert!(element("<a/>", "b").is_err());
    }
}
