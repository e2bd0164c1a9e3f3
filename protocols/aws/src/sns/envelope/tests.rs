use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::{Address, Message};
use proptest::prelude::*;

use super::*;
use crate::message::{AttributeValue, Checked};
use crate::sns::convert::{At, Published, message};
use crate::sns::message_attributes;
use crate::sqs::pairs::Pairs;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:orders";
const AT: At<'_> = At { topic: TOPIC, queue: 1, seq: 2, first_received_ms: 3 };

fn published(subject: Option<&str>, body: &str, attributes: &str) -> Arc<Message> {
    let pairs: Pairs<'_, AttributeValue<'_>> = serde_json::from_str(attributes).unwrap();
    let attributes = message_attributes::check(&pairs, None).unwrap();
    let address = Arc::new(Address { exchange: "orders".into(), routing_key: Bytes::new() });
    message(&address, &Published { subject, body, attributes: &attributes, ..blank(&Checked::default()) })
}

fn blank<'a>(attributes: &'a Checked<'a>) -> Published<'a> {
    Published {
        id: [0x11; 16],
        published_ms: 1_332_997_936_901,
        topic: TOPIC,
        subject: None,
        body: "",
        variants: &[],
        group: None,
        deduplication: None,
        trace: None,
        sequence: None,
        attributes,
    }
}

#[test]
fn a_notification_is_written_as_aws_writes_it() {
    let attributes = r#"{"store":{"DataType":"String","StringValue":"a\"b"},"n":{"DataType":"Number","StringValue":"1"},
        "b":{"DataType":"Binary","BinaryValue":"AgME"}}"#;
    let message = published(Some("Hello"), "line\nö\u{1}\\", attributes);
    let notice = Notice::of(&message, &["sqs"], &AT);
    let signature = Signature { version: 1, value: "c2ln", certificate_url: "https://h/S.pem" };
    let expected = r#"{
  "Type" : "Notification",
  "MessageId" : "11111111-1111-1111-1111-111111111111",
  "TopicArn" : "arn:aws:sns:us-east-1:000000000000:orders",
  "Subject" : "Hello",
  "Message" : "line\nö\u0001\\",
  "Timestamp" : "2012-03-29T05:12:16.901Z",
  "SignatureVersion" : "1",
  "Signature" : "c2ln",
  "SigningCertURL" : "https://h/S.pem",
  "UnsubscribeURL" : "https://h/?Action=Unsubscribe&SubscriptionArn=s",
  "MessageAttributes" : {
    "store" : {"Type":"String","Value":"a\"b"},
    "n" : {"Type":"Number","Value":"1"},
    "b" : {"Type":"Binary","Value":"AgME"}
  }
}"#;
    let url = "https://h/?Action=Unsubscribe&SubscriptionArn=s";
    assert_eq!(notification(&notice, url, Some(&signature)), expected);
    assert_eq!(
        string_to_sign(&notice),
        "Message\nline\nö\u{1}\\\nMessageId\n11111111-1111-1111-1111-111111111111\nSubject\nHello\nTimestamp\n\
         2012-03-29T05:12:16.901Z\nTopicArn\narn:aws:sns:us-east-1:000000000000:orders\nType\nNotification\n"
    );
}

#[test]
fn what_is_not_there_is_not_said() {
    let message = published(None, "x", "{}");
    let notice = Notice::of(&message, &["sqs"], &AT);
    let document = notification(&notice, "u", None);
    let value: serde_json::Value = serde_json::from_str(&document).unwrap();
    let names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "UnsubscribeURL"]);
    assert!(!string_to_sign(&notice).contains("Subject"));
}

#[test]
fn what_is_of_a_topic_with_order_has_its_number() {
    let attributes = Checked::default();
    let address = Arc::new(Address { exchange: "t.fifo".into(), routing_key: Bytes::new() });
    let message = message(&address, &Published { body: "x", sequence: Some(3000), ..blank(&attributes) });
    let notice = Notice::of(&message, &["sqs"], &AT);
    let document = notification(&notice, "u", None);
    assert!(document.contains("\",\n  \"SequenceNumber\" : \"10000000000000003000\",\n  \"TopicArn\""), "{document}");
}

#[test]
fn a_confirmation_has_what_its_signature_is_of() {
    let asked = Confirmation {
        kind: "SubscriptionConfirmation",
        id: "i",
        token: "t",
        topic: TOPIC,
        message: "m",
        subscribe_url: "u",
        sent_ms: 0,
    };
    let document = confirmation(&asked, &Signature { version: 2, value: "s", certificate_url: "c" });
    let value: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(value["SignatureVersion"], "2");
    let text = confirmation_to_sign(&asked);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 14);
    for pair in lines.chunks(2) {
        assert_eq!(value[pair[0]], pair[1]);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_back_from_json(text in ".*", control in "[\\x00-\\x1f\"\\\\]*") {
        for text in [text, control] {
            let mut json = String::new();
            quote(&text, &mut json);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
