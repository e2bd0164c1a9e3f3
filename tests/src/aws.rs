//! AWS's protocols (JSON for SQS, Query for SNS) by hand over one socket: for requests that no SDK would send, and without an SDK's weight under load.
//!
//! It shares nothing with the broker's codec, so that neither can hide the other's mistakes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::PATIENCE;

/// A signature that is none: on this machine any key is the default user's.
pub const ANY_KEY: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, \
     SignedHeaders=host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000";

/// A response as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200 and so on.
    pub status: u16,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As long as content-length says.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, `""` where it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or_default()
    }

    /// The body as text, for messages of failed checks.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> io::Result<Value> {
        serde_json::from_slice(&self.body).map_err(|error| io::Error::other(format!("{error}: {}", self.text())))
    }

    /// The name of an error's shape, `""` where it is none.
    #[must_use]
    pub fn error(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let kind = value["__type"].as_str().unwrap_or_default();
        kind.rsplit('#').next().unwrap_or_default().to_owned()
    }
}

/// What the broker says when it does not do what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The name of the error's shape.
    pub error: String,
    /// Its text.
    pub message: String,
}

/// One connection, which is kept.
pub struct Aws {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Aws {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), host: address.to_owned() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the broker has closed the connection, or takes nothing for a long time.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// How long [`Self::answer`] waits.
    ///
    /// # Errors
    /// When the socket does not take it.
    pub fn set_patience(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(limit))
    }

    /// The next response.
    ///
    /// # Errors
    /// When the connection ends, nothing comes, or what comes is no HTTP.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| io::Error::other(format!("no header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if status == 100 {
            return Ok(answer);
        }
        let length = answer.header("content-length");
        let length: usize = length.parse().map_err(|_| io::Error::other(format!("no length: {answer:?}")))?;
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The bytes of a request in the JSON protocol.
    #[must_use]
    pub fn request(&self, action: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nX-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Authorization: {ANY_KEY}\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        bytes
    }

    /// Sends a request and waits for the response.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes.
    pub fn ask(&mut self, action: &str, body: &[u8]) -> io::Result<Answer> {
        self.write(&self.request(action, body))?;
        self.answer()
    }

    /// Carries out an action.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes; what the broker refuses is no such error.
    pub fn try_call(&mut self, action: &str, values: &Value) -> io::Result<Result<Value, Refused>> {
        let answer = self.ask(action, values.to_string().as_bytes())?;
        if answer.status == 200 {
            return Ok(Ok(if answer.body.is_empty() { Value::Null } else { answer.json()? }));
        }
        let value = answer.json()?;
        let message = value["message"].as_str().or(value["Message"].as_str()).unwrap_or_default().to_owned();
        Ok(Err(Refused { error: answer.error(), message }))
    }

    /// Carries out an action that the broker must not refuse.
    ///
    /// # Errors
    /// When it does, or the connection ends.
    pub fn call(&mut self, action: &str, values: &Value) -> io::Result<Value> {
        self.try_call(action, values)?.map_err(|refused| io::Error::other(format!("{action} {values}: {refused:?}")))
    }

    /// The bytes of a request of SNS, in the Query protocol.
    #[must_use]
    pub fn form(&self, action: &str, values: &[(&str, &str)]) -> Vec<u8> {
        let mut body = format!("Action={action}&Version=2010-03-31");
        for (name, value) in values {
            body.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        let mut bytes = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Authorization: {}\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: {}\r\n\r\n",
            self.host,
            ANY_KEY.replace("/sqs/", "/sns/"),
            body.len()
        )
        .into_bytes();
        bytes.extend(body.into_bytes());
        bytes
    }

    /// Carries out an action of SNS.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes; what the broker refuses is no such error.
    pub fn try_sns(&mut self, action: &str, values: &[(&str, &str)]) -> io::Result<Result<String, Refused>> {
        self.write(&self.form(action, values))?;
        let answer = self.answer()?;
        let text = answer.text();
        if answer.status == 200 {
            return Ok(Ok(text));
        }
        let part = |tag| element(&text, tag).unwrap_or_default();
        Ok(Err(Refused { error: part("Code"), message: part("Message") }))
    }

    /// Carries out an action of SNS that the broker must not refuse: what the answer has in this element.
    ///
    /// # Errors
    /// When it does, the element is missing, or the connection ends.
    pub fn sns(&mut self, action: &str, values: &[(&str, &str)], tag: &str) -> io::Result<String> {
        let text = self
            .try_sns(action, values)?
            .map_err(|refused| io::Error::other(format!("{action} {values:?}: {refused:?}")))?;
        element(&text, tag).ok_or_else(|| io::Error::other(format!("{action}: no {tag} in {text}")))
    }

    /// CreateQueue: the queue's URL.
    ///
    /// # Errors
    /// When it is refused, or the connection ends.
    pub fn create_queue(&mut self, name: &str, attributes: &Value) -> io::Result<String> {
        let made = self.call("CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }))?;
        Ok(made["QueueUrl"].as_str().unwrap_or_default().to_owned())
    }

    /// ReceiveMessage of up to ten, with all system attributes.
    ///
    /// # Errors
    /// When it is refused, or the connection ends.
    pub fn receive(&mut self, queue: &str, visibility_s: u32, wait_s: u32) -> io::Result<Vec<Value>> {
        let ask = json!({
            "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": visibility_s, "WaitTimeSeconds": wait_s,
            "AttributeNames": ["All"],
        });
        let mut answer = self.call("ReceiveMessage", &ask)?;
        match answer["Messages"].take() {
            Value::Array(messages) => Ok(messages),
            _ => Ok(Vec::new()),
        }
    }

    /// DeleteMessageBatch of messages that were received, ten at most; those that are gone already count as deleted.
    ///
    /// # Errors
    /// When one of them fails, or the connection ends.
    pub fn delete(&mut self, queue: &str, messages: &[Value]) -> io::Result<()> {
        let entry =
            |(at, message): (usize, &Value)| json!({ "Id": at.to_string(), "ReceiptHandle": message["ReceiptHandle"] });
        let entries: Vec<Value> = messages.iter().enumerate().map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let answer = self.call("DeleteMessageBatch", &json!({ "QueueUrl": queue, "Entries": entries }))?;
        match answer["Failed"].as_array() {
            Some(failed) if !failed.is_empty() => Err(io::Error::other(format!("{failed:?}"))),
            _ => Ok(()),
        }
    }

    /// SendMessageBatch: the entries that were taken, of which none may fail.
    ///
    /// # Errors
    /// When one does, or the connection ends.
    pub fn send(&mut self, queue: &str, entries: &[Value]) -> io::Result<Vec<Value>> {
        let mut answer = self.call("SendMessageBatch", &json!({ "QueueUrl": queue, "Entries": entries }))?;
        let taken = answer["Successful"].take();
        match taken {
            Value::Array(taken) if taken.len() == entries.len() => Ok(taken),
            taken => {
                Err(io::Error::other(format!("of {} entries {taken}, and failed {}", entries.len(), answer["Failed"])))
            }
        }
    }

    /// Reads what still comes until the broker closes the connection, which must be within a time: the statuses of what came.
    ///
    /// # Errors
    /// When it stays open for longer.
    pub fn end(&mut self, limit: Duration) -> io::Result<Vec<u16>> {
        self.set_patience(limit)?;
        let mut statuses = Vec::new();
        loop {
            match self.answer() {
                Ok(answer) => statuses.push(answer.status),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Err(error);
                }
                Err(_) => return Ok(statuses),
            }
        }
    }
}

/// What the first element of this name holds, with its entities as they are; `None` where there is none.
#[must_use]
pub fn element(xml: &str, tag: &str) -> Option<String> {
    let start = xml.find(&format!("<{tag}>"))? + tag.len() + 2;
    let length = xml[start..].find(&format!("</{tag}>"))?;
    Some(xml[start..start + length].to_owned())
}

/// A text as a form has it.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
