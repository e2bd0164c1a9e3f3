//! Replies of AWS Query.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::shapes::{Member, Shape};
use crate::error::Error;
use crate::request_id::RequestId;
use crate::service::Service;

/// Writes the output of an action.
pub(crate) fn write<T: Serialize>(service: Service, action: &str, id: RequestId, output: &T) -> Result<Bytes, Error> {
    let value = serde_json::to_value(output).map_err(|error| Error::internal(&error))?;
    let mut xml = String::with_capacity(512);
    xml.push_str("<?xml version=\"1.0\"?><");
    xml.push_str(action);
    xml.push_str("Response xmlns=\"");
    xml.push_str(service.namespace());
    xml.push_str("\">");
    if let Some(Shape::Structure(members)) = service.operation(action).and_then(|operation| operation.output) {
        xml.push('<');
        xml.push_str(action);
        xml.push_str("Result>");
        structure(&mut xml, members, &value);
        close(&mut xml, action, "Result");
    }
    xml.push_str("<ResponseMetadata>");
    element(&mut xml, "RequestId", &id.to_string());
    xml.push_str("</ResponseMetadata>");
    close(&mut xml, action, "Response");
    Ok(Bytes::from(xml))
}

/// The body of a failure.
pub(crate) fn failure(service: Service, error: &Error, id: RequestId) -> Bytes {
    let mut xml = String::with_capacity(512);
    xml.push_str("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"");
    xml.push_str(service.namespace());
    xml.push_str("\"><Error>");
    element(&mut xml, "Type", if error.fault.is_sender { "Sender" } else { "Receiver" });
    element(&mut xml, "Code", error.query_code());
    element(&mut xml, "Message", &error.message);
    if service == Service::Sqs {
        xml.push_str("<Detail/>");
    }
    xml.push_str("</Error>");
    element(&mut xml, "RequestId", &id.to_string());
    xml.push_str("</ErrorResponse>");
    Bytes::from(xml)
}

fn structure(xml: &mut String, members: &[Member], value: &Value) {
    debug_assert!(
        value.as_object().is_none_or(|map| map.keys().all(|key| members.iter().any(|member| member.name == key))),
        "an output has a member that the model does not have: {value}"
    );
    for member in members {
        match value.get(member.name) {
            None | Some(Value::Null) => {}
            Some(value) => content(xml, member.query_name, &member.shape, value),
        }
    }
}

/// Writes a value, each item of a list, or each entry of a map, as elements of a name.
fn content(xml: &mut String, name: &str, shape: &Shape, value: &Value) {
    match (shape, value) {
        (Shape::Structure(members), value) => {
            open(xml, name);
            structure(xml, members, value);
            close(xml, name, "");
        }
        (Shape::Within(part, shape), value) => {
            open(xml, name);
            content(xml, part, shape, value);
            close(xml, name, "");
        }
        (Shape::List(item), Value::Array(items)) => {
            for value in items {
                content(xml, name, item, value);
            }
        }
        (Shape::Map { key, value: value_name, shape }, Value::Object(map)) => {
            for (entry, value) in map {
                open(xml, name);
                element(xml, key, entry);
                content(xml, value_name, shape, value);
                close(xml, name, "");
            }
        }
        (_, Value::String(text)) => element(xml, name, text),
        (_, value) => element(xml, name, &value.to_string()),
    }
}

fn open(xml: &mut String, name: &str) {
    xml.push('<');
    xml.push_str(name);
    xml.push('>');
}

fn close(xml: &mut String, name: &str, suffix: &str) {
    xml.push_str("</");
    xml.push_str(name);
    xml.push_str(suffix);
    xml.push('>');
}

fn element(xml: &mut String, name: &str, text: &str) {
    open(xml, name);
    escape(xml, text);
    close(xml, name, "");
}

fn escape(xml: &mut String, text: &str) {
    let mut written = 0;
    for (at, letter) in text.char_indices() {
        let instead = match letter {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            // A parser would make a line feed of it.
            '\r' => "&#xD;",
            '\t' | '\n' => continue,
            // No document may have these, not even escaped: no parser would read the rest of it.
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => "\u{fffd}",
            _ => continue,
        };
        xml.push_str(&text[written..at]);
        xml.push_str(instead);
        written = at + letter.len_utf8();
    }
    xml.push_str(&text[written..]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(action: &str, output: &Value) -> String {
        let id = RequestId::next();
        let xml = write(Service::Sqs, action, id, output).unwrap();
        String::from_utf8(xml.to_vec()).unwrap().replace(&id.to_string(), "ID")
    }

    #[test]
    fn what_xml_has_no_letter_for_is_not_written() {
        let mut xml = String::new();
        escape(&mut xml, "\0a\u{1}b\t\n\r\u{1f}\u{7f}\u{85}\u{d7ff}\u{e000}\u{fffd}\u{fffe}c\u{ffff}\u{10ffff}&\u{b}");
        assert_eq!(
            xml,
            "\u{fffd}a\u{fffd}b\t\n&#xD;\u{fffd}\u{7f}\u{85}\u{d7ff}\u{e000}\u{fffd}\u{fffd}c\u{fffd}\u{10ffff}&amp;\u{fffd}"
        );
        let xml = written("ListQueueTags", &json!({"Tags": {"a\u{1}": "b\u{2}"}}));
        assert!(xml.contains("<Key>a\u{fffd}</Key><Value>b\u{fffd}</Value>"), "{xml}");
    }

    #[test]
    fn outputs_are_written_by_their_shapes() {
        assert_eq!(
            written("ListQueues", &json!({"QueueUrls": ["http://h/0/a", "http://h/0/b"], "NextToken": "n"})),
            "<?xml version=\"1.0\"?><ListQueuesResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
             <ListQueuesResult><QueueUrl>http://h/0/a</QueueUrl><QueueUrl>http://h/0/b</QueueUrl><NextToken>n</NextToken>\
             </ListQueuesResult><ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></ListQueuesResponse>"
        );
        assert_eq!(
            written("DeleteQueue", &Value::Null),
            "<?xml version=\"1.0\"?><DeleteQueueResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
             <ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></DeleteQueueResponse>"
        );
        let message = json!({
            "MessageId": "m",
            "Body": "a<b>&\"c\"\r\n",
            "Attributes": {"SentTimestamp": "1"},
            "MessageAttributes": {"n": {"DataType": "Number", "StringValue": "7"}},
        });
        let xml = written("ReceiveMessage", &json!({"Messages": [message]}));
        let body = "<Message><MessageId>m</MessageId><Body>a&lt;b&gt;&amp;&quot;c&quot;&#xD;\n</Body>\
                    <Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute>\
                    <MessageAttribute><Name>n</Name><Value><StringValue>7</StringValue><DataType>Number</DataType></Value>\
                    </MessageAttribute></Message>";
        assert!(xml.contains(body), "{xml}");
        let failed =
            json!({"Successful": [], "Failed": [{"Id": "1", "SenderFault": true, "Code": "X", "Message": null}]});
        let xml = written("DeleteMessageBatch", &failed);
        let body =
            "<BatchResultErrorEntry><Id>1</Id><SenderFault>true</SenderFault><Code>X</Code></BatchResultErrorEntry>";
        assert!(xml.contains(body), "{xml}");
    }
}
