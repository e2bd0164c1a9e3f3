//! What no SDK asks SNS for, and endpoints that do not behave: each costs itself at most, while another client goes on with its
//! work.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use gantry_tests::aws::{ANY_KEY, Aws, encoded};
use gantry_tests::broker::Broker;
use gantry_tests::bystander::beside_an_aws_bystander;
use gantry_tests::webhook::{Webhook, status};
use gantry_tests::{unique, wait_until};
use serde_json::{Value, json};

/// What a claim may cost in memory, beside what the allocator keeps of honest work.
const MEMORY_GROWTH_BYTES_MAX: u64 = 48 << 20;

/// Runs the case with a broker of its own and a bystander; the process must not grow by more than this.
fn beside(case: impl FnOnce(&mut Broker)) {
    beside_an_aws_bystander(Broker::settings(), |broker| {
        let before = broker.memory_bytes();
        case(broker);
        if let (Some(before), Some(after)) = (before, broker.memory_bytes()) {
            assert!(after < before + MEMORY_GROWTH_BYTES_MAX, "memory grew from {before} to {after} bytes");
        }
    });
}

fn connect(broker: &Broker) -> Aws {
    Aws::open(broker.address_of("aws")).expect("connected")
}

fn topic(aws: &mut Aws) -> String {
    aws.sns("CreateTopic", &[("Name", &unique("h"))], "TopicArn").expect("created")
}

/// A queue by its URL, subscribed to the topic with these attributes.
fn subscribed_queue(aws: &mut Aws, topic: &str, attributes: &[(&str, &str)]) -> String {
    let name = unique("h");
    let url = aws.create_queue(&name, &json!({})).expect("created");
    subscribe(aws, topic, "sqs", &format!("arn:aws:sqs:us-east-1:000000000000:{name}"), attributes)
        .expect("subscribed");
    url
}

/// Subscribes: the ARN.
fn subscribe(
    aws: &mut Aws,
    topic: &str,
    protocol: &str,
    endpoint: &str,
    attributes: &[(&str, &str)],
) -> std::io::Result<String> {
    let names: Vec<(String, String)> = (1..=attributes.len())
        .map(|at| (format!("Attributes.entry.{at}.key"), format!("Attributes.entry.{at}.value")))
        .collect();
    let mut values =
        vec![("TopicArn", topic), ("Protocol", protocol), ("Endpoint", endpoint), ("ReturnSubscriptionArn", "true")];
    for ((key, value), attribute) in names.iter().zip(attributes) {
        values.extend([(key.as_str(), attribute.0), (value.as_str(), attribute.1)]);
    }
    aws.sns("Subscribe", &values, "SubscriptionArn")
}

/// Waits for the webhook's confirmation and gives its token back: the subscription is good from now on.
fn confirm(aws: &mut Aws, topic: &str, hook: &Webhook) {
    wait_until("the confirmation", || !hook.posted().is_empty());
    let token = token_of(&hook.take()[0].body);
    aws.sns("ConfirmSubscription", &[("TopicArn", topic), ("Token", &token)], "SubscriptionArn").expect("confirmed");
}

fn token_of(body: &str) -> String {
    let document: Value = serde_json::from_str(body).expect("a document");
    document["Token"].as_str().expect("a token").to_owned()
}

/// The action is refused as a mistake of who asks, and the connection goes on.
#[track_caller]
fn nonsense(aws: &mut Aws, action: &str, values: &[(&str, &str)]) {
    let shown: String = format!("{values:?}").chars().take(200).collect();
    match aws.try_sns(action, values) {
        Ok(Ok(answer)) => panic!("{action} {shown} was answered: {answer}"),
        Ok(Err(refused)) => {
            assert!(!refused.error.is_empty() && refused.error != "InternalError", "{action} {shown}: {refused:?}");
        }
        Err(error) => panic!("{action} {shown}: {error}"),
    }
}

/// It still works: what is published comes.
#[track_caller]
fn works(aws: &mut Aws, topic: &str, queue: &str) {
    let body = unique("works");
    aws.sns("Publish", &[("TopicArn", topic), ("Message", &body)], "MessageId").expect("published");
    let started = Instant::now();
    loop {
        let messages = aws.receive(queue, 30, 1).expect("received");
        aws.delete(queue, &messages).expect("deleted");
        if messages.iter().any(|message| message["Body"].as_str().unwrap_or_default().contains(&body)) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{body} does not come");
    }
}

// --- forms

#[test]
fn forms_that_are_none() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        for values in [
            &[][..],
            &[("TopicArn", "")],
            &[("TopicArn", &topic)],
            &[("Message", "x")],
            &[("TopicArn", "arn:aws:sns:::"), ("Message", "x")],
            &[("TopicArn", "arn:aws:sns:us-east-1:000000000000:../../x"), ("Message", "x")],
            &[("TopicArn", "arn:aws:sns:us-east-1:999999999999:x"), ("Message", "x")],
            &[("TopicArn", &":".repeat(100_000)), ("Message", "x")],
            &[("TopicArn", &topic), ("Message", "x"), ("MessageAttributes.entry.1.Name", "a")],
            &[("TopicArn", &topic), ("Message", "x"), ("MessageAttributes.entry.1.Value.DataType", "String")],
            &[("TopicArn", &topic), ("Message", "x"), ("Subject", "a\u{1b}[31mb")],
        ] {
            nonsense(&mut aws, "Publish", values);
        }
        // Places in lists and maps that nobody fills up to them.
        for at in ["0", "-1", "99999999999999999999", "18446744073709551615", "4294967296", "x", "1.1", ""] {
            let name = format!("MessageAttributes.entry.{at}.Name");
            let kind = format!("MessageAttributes.entry.{at}.Value.DataType");
            let text = format!("MessageAttributes.entry.{at}.Value.StringValue");
            let values =
                [("TopicArn", topic.as_str()), ("Message", "x"), (&name, "a"), (&kind, "String"), (&text, "b")];
            // Refused, or not looked at: never room for so many.
            let _ = aws.try_sns("Publish", &values).expect("an answer");
            let id = format!("PublishBatchRequestEntries.member.{at}.Id");
            let message = format!("PublishBatchRequestEntries.member.{at}.Message");
            let values = [("TopicArn", topic.as_str()), (&id, "a"), (&message, "b")];
            let _ = aws.try_sns("PublishBatch", &values).expect("an answer");
        }
        let many: Vec<(String, String)> =
            (0..50_000).map(|n| (format!("Tags.member.{n}.Key"), "k".to_owned())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        nonsense(&mut aws, "TagResource", &[&[("ResourceArn", topic.as_str())], &many[..]].concat());
        let deep = "a.".repeat(100_000);
        let _ = aws.try_sns("Publish", &[("TopicArn", &topic), ("Message", "x"), (&deep, "y")]).expect("an answer");
        for body in [
            &b"%"[..],
            b"Action=Publish&%zz=%",
            b"Action=%ff%fe&Version=2010-03-31",
            b"&&&&====",
            b"\xff\xfe",
            &[0; 500],
        ] {
            let head = format!(
                "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {}\r\n\r\n",
                ANY_KEY.replace("/sqs/", "/sns/"),
                body.len()
            );
            let mut other = connect(broker);
            other.write(&[head.as_bytes(), body].concat()).expect("sent");
            let answer = other.answer().expect("an answer");
            assert!((400..500).contains(&answer.status), "{body:?}: {answer:?}");
        }
        works(&mut aws, &topic, &queue);
    });
}

#[test]
fn nothing_of_a_request_becomes_markup() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        for evil in ["</Message></Error><x>", "\"><script>", "&amp;&lt;", "]]>", "<!DOCTYPE a [<!ENTITY b \"c\">]>"] {
            let refused = aws.try_sns("Publish", &[("TopicArn", evil), ("Message", "x")]).expect("an answer");
            let refused = refused.expect_err("no ARN");
            assert!(!refused.message.contains('<') && !refused.message.contains("\">"), "{refused:?}");
            aws.sns(
                "SetTopicAttributes",
                &[("TopicArn", &topic), ("AttributeName", "DisplayName"), ("AttributeValue", evil)],
                "RequestId",
            )
            .expect("any text is a name to be shown");
            let told = aws.sns("GetTopicAttributes", &[("TopicArn", &topic)], "Attributes").expect("told");
            assert!(!told.contains(evil) || evil == "&amp;&lt;", "{told}");
        }
        // Nor of the document, whatever the host is called.
        for host in ["a\"b", "x/../y", "[::1]:1", "a,\"Type\":\"Evil\"", "ü.example"] {
            let body = format!(
                "Action=Subscribe&TopicArn={}&Protocol=sqs&Endpoint=arn%3Aaws%3Asqs%3Aus-east-1%3A000000000000%3A{}",
                encoded(&topic),
                queue.rsplit('/').next().unwrap_or_default()
            );
            let head = format!(
                "POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                ANY_KEY.replace("/sqs/", "/sns/"),
                body.len()
            );
            let mut other = connect(broker);
            other.write(head.as_bytes()).expect("sent");
            let _ = other.answer();
            for message in ["a\"b\\\u{1}\u{2028}", "a\u{0}b"] {
                aws.sns("Publish", &[("TopicArn", &topic), ("Message", message)], "MessageId").unwrap_or_default();
            }
            aws.sns("Publish", &[("TopicArn", &topic), ("Message", "a\"b\\\t\u{2028}")], "MessageId")
                .expect("published");
            for message in aws.receive(&queue, 30, 1).expect("received") {
                let document: Value = serde_json::from_str(message["Body"].as_str().unwrap_or_default()).expect("JSON");
                assert_eq!(document["Type"], "Notification", "{document}");
                aws.delete(&queue, &[message]).expect("deleted");
            }
        }
    });
}

#[test]
fn messages_and_attributes_are_bounded() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let queue = subscribed_queue(&mut aws, &topic, &[("RawMessageDelivery", "true")]);
        nonsense(&mut aws, "Publish", &[("TopicArn", &topic), ("Message", &"x".repeat(1 << 21))]);
        let many: Vec<(String, String)> = (1..=10_000)
            .flat_map(|n| {
                let prefix = format!("MessageAttributes.entry.{n}");
                [
                    (format!("{prefix}.Name"), format!("attribute-{n}")),
                    (format!("{prefix}.Value.DataType"), "String".to_owned()),
                    (format!("{prefix}.Value.StringValue"), "x".repeat(10)),
                ]
            })
            .collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        nonsense(&mut aws, "Publish", &[&[("TopicArn", topic.as_str()), ("Message", "x")], &many[..]].concat());
        nonsense(&mut aws, "CreateTopic", &[("Name", &"x".repeat(3_000_000))]);
        for name in ["DisplayName", "Policy", "DeliveryPolicy", "KmsMasterKeyId", "SQSFailureFeedbackRoleArn"] {
            let value = "x".repeat(2_000_000);
            let values = [("TopicArn", topic.as_str()), ("AttributeName", name), ("AttributeValue", &value)];
            let refused = aws.try_sns("SetTopicAttributes", &values).expect("an answer");
            assert!(refused.is_err(), "two million bytes as {name}");
        }
        // Blanks are no mistake in JSON, but nobody keeps so many of them.
        let blank = format!("{{{}}}", " ".repeat(300_000));
        let values = [("TopicArn", topic.as_str()), ("AttributeName", "DeliveryPolicy"), ("AttributeValue", &blank)];
        nonsense(&mut aws, "SetTopicAttributes", &values);
        let place = [("TopicArn", topic.as_str()), ("Protocol", "http"), ("Endpoint", "http://127.0.0.1:9/")];
        for name in ["DeliveryPolicy", "RedrivePolicy", "SubscriptionRoleArn"] {
            let values = [("Attributes.entry.1.key", name), ("Attributes.entry.1.value", blank.as_str())];
            nonsense(&mut aws, "Subscribe", &[&place[..], &values].concat());
        }
        works(&mut aws, &topic, &queue);
    });
}

#[test]
fn documents_that_are_nested_without_end() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let policy = json!({ "a": { "b": ["x"] } }).to_string();
        let attributes =
            [("FilterPolicyScope", "MessageBody"), ("FilterPolicy", policy.as_str()), ("RawMessageDelivery", "true")];
        let queue = subscribed_queue(&mut aws, &topic, &attributes);
        let arrays = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        for body in [arrays(100_000), objects(40_000), "[".repeat(200_000), "{\"a\":".repeat(40_000)] {
            // A message like any other, which the policy does not let through.
            aws.sns("Publish", &[("TopicArn", &topic), ("Message", &body)], "MessageId").expect("published");
            nonsense(&mut aws, "Publish", &[("TopicArn", &topic), ("Message", &body), ("MessageStructure", "json")]);
        }
        let structure = format!("{{\"default\":\"x\",\"email\":{}}}", arrays(100_000));
        let _ = aws
            .try_sns("Publish", &[("TopicArn", &topic), ("Message", &structure), ("MessageStructure", "json")])
            .expect("an answer");
        let set = |aws: &mut Aws, name: &str, value: &str| {
            nonsense(
                aws,
                "SetTopicAttributes",
                &[("TopicArn", &topic), ("AttributeName", name), ("AttributeValue", value)],
            );
        };
        for value in [arrays(100_000), objects(40_000), "[".repeat(200_000)] {
            for name in ["Policy", "DeliveryPolicy"] {
                set(&mut aws, name, &value);
            }
            nonsense(&mut aws, "PutDataProtectionPolicy", &[("ResourceArn", &topic), ("DataProtectionPolicy", &value)]);
            for name in ["FilterPolicy", "RedrivePolicy", "DeliveryPolicy"] {
                let refused = subscribe(&mut aws, &topic, "http", "http://127.0.0.1:9/", &[(name, &value)]);
                assert!(refused.is_err(), "{name} is taken");
            }
        }
        // Nothing of it came, and what should come does.
        aws.sns("Publish", &[("TopicArn", &topic), ("Message", "{\"a\":{\"b\":\"x\"}}")], "MessageId")
            .expect("published");
        let mut got = Vec::new();
        wait_until("the message", || {
            got.extend(aws.receive(&queue, 30, 1).expect("received"));
            !got.is_empty()
        });
        assert_eq!(got.len(), 1, "{got:?}");
    });
}

#[test]
fn patterns_cost_no_time() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        // Many stars, and a text that almost matches.
        let policy = json!({ "k": [{ "wildcard": "*a*a*a" }, { "wildcard": "*aa*ab" }, { "anything-but": { "wildcard": "*a*a*b" } }] });
        let attributes = [("FilterPolicy", policy.to_string())];
        let attributes: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        for _ in 0..5 {
            subscribed_queue(&mut aws, &topic, &attributes);
        }
        let text = "a".repeat(200_000);
        let started = Instant::now();
        for _ in 0..5 {
            let values = [
                ("TopicArn", topic.as_str()),
                ("Message", "x"),
                ("MessageAttributes.entry.1.Name", "k"),
                ("MessageAttributes.entry.1.Value.DataType", "String"),
                ("MessageAttributes.entry.1.Value.StringValue", &text),
            ];
            aws.sns("Publish", &values, "MessageId").expect("published");
        }
        assert!(started.elapsed() < Duration::from_secs(30), "five publishes took {:?}", started.elapsed());
    });
}

// --- tokens

#[test]
fn tokens_are_nobodys_guess() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let hook = Webhook::start();
        for n in 0..20 {
            subscribe(&mut aws, &topic, "http", &hook.url(&n.to_string()), &[]).expect("subscribed");
        }
        wait_until("all confirmations", || hook.posted().len() >= 20);
        let tokens: Vec<String> = hook.take().iter().map(|posted| token_of(&posted.body)).collect();
        let set: BTreeSet<&String> = tokens.iter().collect();
        assert_eq!(set.len(), 20, "{tokens:?}");
        for token in &tokens {
            assert!(token.len() >= 32 && token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        }
        // What two have in common tells nothing of a third: no more than a few leading digits.
        let common = tokens[0].bytes().zip(tokens[1].bytes()).filter(|(a, b)| a == b).count();
        assert!(common < tokens[0].len() * 3 / 4, "{} and {}", tokens[0], tokens[1]);
        let token = &tokens[0];
        let mut changed = token.clone().into_bytes();
        let last = changed.len() - 1;
        changed[last] = if changed[last] == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).expect("text");
        for wrong in [
            &changed,
            &token[..token.len() - 1],
            &format!("{token}0"),
            "",
            "0",
            &"f".repeat(token.len()),
            &"f".repeat(1_000_000),
        ] {
            nonsense(&mut aws, "ConfirmSubscription", &[("TopicArn", &topic), ("Token", wrong)]);
        }
        // It is good for its own subscription, whatever topic is named beside it, which has to be one.
        nonsense(&mut aws, "ConfirmSubscription", &[("TopicArn", ""), ("Token", token)]);
        nonsense(&mut aws, "ConfirmSubscription", &[("TopicArn", "arn:aws:sqs:::x"), ("Token", token)]);
        aws.sns("ConfirmSubscription", &[("TopicArn", &topic), ("Token", token)], "SubscriptionArn")
            .expect("confirmed");
        let told = aws.sns("ListSubscriptionsByTopic", &[("TopicArn", &topic)], "Subscriptions").expect("told");
        assert_eq!(told.matches("PendingConfirmation").count(), 19, "only one is confirmed: {told}");
        // Nobody is shown a token who was not sent it.
        assert!(!told.contains(token.as_str()));
    });
}

// --- endpoints

#[test]
fn nothing_is_posted_where_it_must_not_be() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        for endpoint in [
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.169.254:80/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://2852039166/",
            "http://0xa9.0xfe.0xa9.0xfe/",
            "http://0251.0376.0251.0376/",
            "http://[fe80::1]/",
            "http://[fe80::1%25lo]/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://user:password@169.254.169.254/",
            "http://169.254.169.254#@example.com/",
            "http://169.254.169.254\\@example.com/",
            "gopher://127.0.0.1/",
            "file:///etc/passwd",
            "http:///x",
            "http://",
            "http://exa mple/",
            "http://a\r\nX-Evil: 1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:65536/",
        ] {
            // Refused at once, or never delivered; nothing stops.
            let _ = aws
                .try_sns("Subscribe", &[("TopicArn", &topic), ("Protocol", "http"), ("Endpoint", endpoint)])
                .unwrap_or_else(|error| panic!("{endpoint}: {error}"));
        }
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        works(&mut aws, &topic, &queue);
    });
}

#[test]
fn headers_cannot_be_smuggled_into_webhooks() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let hook = Webhook::start();
        for kind in ["text/plain\r\nX-Evil: 1", "a\nb", "x\0y", &"x".repeat(100_000)] {
            let policy = json!({ "requestPolicy": { "headerContentType": kind } }).to_string();
            let refused = subscribe(&mut aws, &topic, "http", &hook.url(""), &[("DeliveryPolicy", &policy)]);
            assert!(refused.is_err(), "{kind:?} is taken");
        }
        for path in ["x\r\nX-Evil: 1", "x HTTP/1.1\r\nX-Evil: 1\r\n\r\n", "\u{0}"] {
            let _ = subscribe(&mut aws, &topic, "http", &hook.url(path), &[]);
        }
        subscribe(&mut aws, &topic, "http", &hook.url("good"), &[]).expect("subscribed");
        wait_until("the confirmation", || hook.posted().iter().any(|posted| posted.path == "/good"));
        for posted in hook.posted() {
            assert!(!posted.headers.iter().any(|(name, _)| name == "x-evil"), "{posted:?}");
        }
    });
}

#[test]
fn answers_of_webhooks_without_end() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        let policy =
            json!({ "healthyRetryPolicy": { "numRetries": 0, "minDelayTarget": 1, "maxDelayTarget": 1 } }).to_string();
        let answers: [fn() -> Vec<u8>; 7] = [
            // As much as it likes.
            || [b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n".to_vec(), vec![b'x'; 64 << 20]].concat(),
            || {
                [
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                    b"10000\r\n".to_vec(),
                    vec![b'x'; 1 << 16],
                ]
                .concat()
            },
            || [b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: value\r\n".repeat(1 << 18)].concat(),
            || [b"HTTP/1.1 200 ".to_vec(), vec![b'x'; 8 << 20]].concat(),
            // What is no HTTP.
            || vec![0xff; 1 << 16],
            || b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1 << 16),
            || b"SSH-2.0-OpenSSH\r\n".to_vec(),
        ];
        for answer in answers {
            let hook = Webhook::answering(move |posted| match posted.header("x-amz-sns-message-type") {
                "Notification" => answer(),
                _ => status(200),
            });
            subscribe(&mut aws, &topic, "http", &hook.url(""), &[("DeliveryPolicy", &policy)]).expect("subscribed");
            confirm(&mut aws, &topic, &hook);
            aws.sns("Publish", &[("TopicArn", &topic), ("Message", "x")], "MessageId").expect("published");
            wait_until("the notification", || !hook.posted().is_empty());
            works(&mut aws, &topic, &queue);
        }
    });
}

#[test]
fn webhooks_that_never_answer_delay_nobody() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let policy =
            json!({ "healthyRetryPolicy": { "numRetries": 0, "minDelayTarget": 1, "maxDelayTarget": 1 } }).to_string();
        // Confirms, and then holds every connection.
        let silent = Webhook::answering(|posted| match posted.header("x-amz-sns-message-type") {
            "Notification" => {
                std::thread::sleep(Duration::from_secs(60));
                Vec::new()
            }
            _ => status(200),
        });
        for n in 0..40 {
            let endpoint = silent.url(&n.to_string());
            subscribe(&mut aws, &topic, "http", &endpoint, &[("DeliveryPolicy", &policy)]).expect("subscribed");
        }
        wait_until("all confirmations", || silent.posted().len() >= 40);
        for posted in silent.take() {
            let values = [("TopicArn", topic.as_str()), ("Token", &token_of(&posted.body))];
            aws.sns("ConfirmSubscription", &values, "SubscriptionArn").expect("confirmed");
        }
        let quick = Webhook::start();
        subscribe(&mut aws, &topic, "http", &quick.url(""), &[]).expect("subscribed");
        confirm(&mut aws, &topic, &quick);
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        let started = Instant::now();
        for n in 0..50 {
            aws.sns("Publish", &[("TopicArn", &topic), ("Message", &n.to_string())], "MessageId").expect("published");
        }
        wait_until("the quick one has all of them", || quick.posted().len() >= 50);
        works(&mut aws, &topic, &queue);
        assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
    });
}

#[test]
fn nobody_listens_there() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        // Bound, and never accepted from; and a port that is closed again.
        let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let closed = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
        let deaf_address = deaf.local_addr().expect("an address");
        for n in 0..200 {
            for address in [deaf_address, closed] {
                subscribe(&mut aws, &topic, "http", &format!("http://{address}/{n}"), &[]).expect("subscribed");
            }
        }
        let queue = subscribed_queue(&mut aws, &topic, &[]);
        works(&mut aws, &topic, &queue);
        aws.sns("DeleteTopic", &[("TopicArn", &topic)], "RequestId").expect("deleted");
    });
}

#[test]
fn subscribing_and_unsubscribing_at_once() {
    beside(|broker| {
        let mut aws = connect(broker);
        let topic = topic(&mut aws);
        let queue = subscribed_queue(&mut aws, &topic, &[("RawMessageDelivery", "true")]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (broker, topic) = (&*broker, topic.as_str());
                scope.spawn(move || {
                    let mut aws = connect(broker);
                    let name = unique("h");
                    let url = aws.create_queue(&name, &json!({})).expect("created");
                    let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
                    for n in 0..25 {
                        let arn = subscribe(&mut aws, topic, "sqs", &endpoint, &[]).expect("subscribed");
                        aws.sns("Publish", &[("TopicArn", topic), ("Message", &n.to_string())], "MessageId")
                            .expect("published");
                        aws.sns("Unsubscribe", &[("SubscriptionArn", &arn)], "RequestId").expect("unsubscribed");
                    }
                    // What it was subscribed for has come, its own at least, and each once.
                    let (mut bodies, mut seen) = (Vec::new(), 0);
                    loop {
                        let messages = aws.receive(&url, 600, 0).expect("received");
                        if messages.is_empty() {
                            break;
                        }
                        seen += messages.len();
                        bodies.extend(messages.iter().map(|message| message["MessageId"].to_string()));
                    }
                    assert!(seen >= 25, "{seen} messages");
                    assert_eq!(bodies.iter().collect::<BTreeSet<_>>().len(), seen, "one came twice");
                });
            }
        });
        let mut all = 0;
        loop {
            let messages = aws.receive(&queue, 600, 0).expect("received");
            if messages.is_empty() {
                break;
            }
            all += messages.len();
        }
        assert_eq!(all, 100, "to whoever was subscribed all the time");
    });
}
