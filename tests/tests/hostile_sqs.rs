//! Requests that no SDK makes, before and after it is known who asks: each costs its own connection at most, while another client
//! goes on with its work.

use std::io;
use std::time::{Duration, Instant};

use gantry_tests::aws::{ANY_KEY, Answer, Aws};
use gantry_tests::broker::Broker;
use gantry_tests::bystander::beside_an_aws_bystander;
use gantry_tests::{unique, wait_until};
use serde_json::{Value, json};

/// How long the head of a request may take, and each 64 KiB of its body; and some for a busy machine.
const REQUEST_LIMIT: Duration = Duration::from_secs(10 + 6);
/// What a claim may cost in memory, beside what the allocator keeps of honest work.
const MEMORY_GROWTH_BYTES_MAX: u64 = 32 << 20;

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

fn queue(aws: &mut Aws) -> String {
    aws.create_queue(&unique("h"), &json!({})).expect("created")
}

/// A refusal, or the end of the connection; never a success and never silence.
#[track_caller]
fn refused(aws: &mut Aws, what: &str) {
    match aws.answer() {
        Ok(answer) => assert!((400..500).contains(&answer.status), "{what}: {answer:?}"),
        Err(error) => assert!(!is_silence(&error), "{what}: no answer"),
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The request is answered as one that makes no sense, and the connection goes on.
#[track_caller]
fn nonsense(aws: &mut Aws, action: &str, body: &[u8]) -> Answer {
    let answer = aws.ask(action, body).expect("an answer");
    let shown = String::from_utf8_lossy(&body[..body.len().min(100)]).into_owned();
    assert!((400..500).contains(&answer.status), "{action} {shown}: {answer:?}");
    assert!(!answer.error().is_empty(), "{action} {shown}: {answer:?}");
    answer
}

/// Sends bytes again and again, until the broker no longer takes any.
#[track_caller]
fn until_it_ends(aws: &mut Aws, bytes: &[u8]) {
    let started = Instant::now();
    while aws.write(bytes).is_ok() {
        assert!(started.elapsed() < REQUEST_LIMIT, "still reading after {:?}", started.elapsed());
    }
}

fn head(line: &str, headers: &[&str]) -> Vec<u8> {
    let mut text = format!("{line}\r\nHost: 127.0.0.1\r\nAuthorization: {ANY_KEY}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    (text + "\r\n").into_bytes()
}

const POST: &str = "POST / HTTP/1.1";
const TARGET: &str = "X-Amz-Target: AmazonSQS.SendMessage";
const JSON: &str = "Content-Type: application/x-amz-json-1.0";

// --- what is no request

#[test]
fn other_protocols_are_sent_away() {
    beside(|broker| {
        for bytes in [
            b"AMQP\0\0\x09\x01".to_vec(),
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3],
            b"CONNECT\naccept-version:1.2\n\n\0".to_vec(),
            vec![0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0],
            vec![0; 200],
            vec![0xFF; 200],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"POST / HTTP/9.9\r\n\r\n".to_vec(),
            b"POST\r\n\r\n".to_vec(),
            b"\r\n\r\n\r\n\r\nPOST / HTTP/1.1\r\n : x\r\n\r\n".to_vec(),
        ] {
            let mut aws = connect(broker);
            aws.write(&bytes).expect("sent");
            for status in aws.end(REQUEST_LIMIT).unwrap_or_else(|_| panic!("not closed after {bytes:02x?}")) {
                assert!((400..600).contains(&status), "{status} for {bytes:02x?}");
            }
        }
    });
}

#[test]
fn heads_that_never_end() {
    beside(|broker| {
        for (start, more) in [
            (&b"POST / HTTP/1.1\r\n"[..], &b"a: b\r\n"[..]),
            (b"POST / HTTP/1.1\r\nauthorization: ", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
            (b"POST /", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            (b"GET /?Action=", b"%41%41%41%41%41%41%41%41"),
            (b"", b"POSTPOSTPOSTPOST"),
        ] {
            let mut aws = connect(broker);
            aws.write(start).expect("sent");
            until_it_ends(&mut aws, &more.repeat(512));
        }
        let headers: Vec<String> = (0..2000).map(|n| format!("x-h{n}: v")).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let mut aws = connect(broker);
        aws.write(&head(POST, &headers)).expect("sent");
        refused(&mut aws, "two thousand headers");
    });
}

#[test]
fn slow_heads_and_bodies_are_cut_off() {
    beside(|broker| {
        let body_head = head(POST, &[TARGET, JSON, "Content-Length: 100000"]);
        let chunked = head(POST, &[TARGET, JSON, "Transfer-Encoding: chunked"]);
        std::thread::scope(|scope| {
            for (start, drop) in [
                (&b""[..], &b""[..]),
                (b"POST / HTTP/1.1\r\n", b""),
                (b"POST / HTTP/1.1\r\nx: ", b"y"),
                (&body_head, b""),
                (&body_head, b" "),
                (&chunked, b""),
                (&chunked, b"1\r\n \r\n"),
            ] {
                let broker = &*broker;
                scope.spawn(move || {
                    let mut aws = connect(broker);
                    aws.write(start).expect("sent");
                    let started = Instant::now();
                    aws.set_patience(Duration::from_millis(500)).expect("a limit");
                    // One byte now and then does not keep it.
                    loop {
                        match aws.answer() {
                            Ok(answer) => assert!((400..500).contains(&answer.status), "{answer:?}"),
                            Err(error) if is_silence(&error) => {
                                let what = String::from_utf8_lossy(start);
                                assert!(started.elapsed() < REQUEST_LIMIT, "still open behind {what}");
                                if aws.write(drop).is_err() {
                                    return;
                                }
                            }
                            Err(_) => return,
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn lengths_that_lie() {
    beside(|broker| {
        for lengths in [
            &["Content-Length: 18446744073709551615"][..],
            &["Content-Length: 99999999999999999999999999"],
            &["Content-Length: 9223372036854775807"],
            &["Content-Length: 1073741824"],
            &["Content-Length: -1"],
            &["Content-Length: 1e3"],
            &["Content-Length: 2", "Content-Length: 3"],
            &["Content-Length: 2, 3"],
        ] {
            let mut aws = connect(broker);
            aws.write(&head(POST, &[&[TARGET, JSON], lengths].concat())).expect("sent");
            refused(&mut aws, &format!("{lengths:?}"));
        }
        // A second request in what one of two lengths calls the body, and the other does not.
        let smuggled = "GET /?Action=DeleteQueue HTTP/1.1\r\n\r\n";
        let mut aws = connect(broker);
        let lengths = format!("Content-Length: {}", smuggled.len() + 5);
        aws.write(&head(POST, &[TARGET, JSON, &lengths, "Transfer-Encoding: chunked"])).expect("sent");
        aws.write(format!("0\r\n\r\n{smuggled}").as_bytes()).expect("sent");
        let statuses = aws.end(REQUEST_LIMIT).unwrap_or_default();
        assert!(statuses.len() <= 2 && statuses.iter().all(|status| (400..500).contains(status)), "{statuses:?}");
        // Less than was said, and then nothing.
        for _ in 0..100 {
            let mut aws = connect(broker);
            aws.write(&head(POST, &[TARGET, JSON, "Content-Length: 4000000"])).expect("sent");
            aws.write(b"{\"QueueUrl\":").expect("sent");
        }
        // Pieces without end.
        let mut aws = connect(broker);
        aws.write(&head(POST, &[TARGET, JSON, "Transfer-Encoding: chunked"])).expect("sent");
        until_it_ends(&mut aws, &[b"10000\r\n", &b" ".repeat(65536)[..], b"\r\n"].concat());
        // A length of a piece that is none.
        for piece in ["ffffffffffffffffff\r\n", "-1\r\n", "xyz\r\n"] {
            let mut aws = connect(broker);
            aws.write(&head(POST, &[TARGET, JSON, "Transfer-Encoding: chunked"])).expect("sent");
            aws.write(piece.as_bytes()).expect("sent");
            refused(&mut aws, piece);
        }
    });
}

#[test]
fn asking_first_whether_to_go_on() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let body = json!({ "QueueUrl": queue, "MessageBody": "x".repeat(1 << 20) }).to_string();
        let length = format!("Content-Length: {}", body.len());
        aws.write(&head(POST, &[TARGET, JSON, &length, "Expect: 100-continue"])).expect("sent");
        assert_eq!(aws.answer().expect("an answer").status, 100);
        aws.write(body.as_bytes()).expect("sent");
        assert_eq!(aws.answer().expect("an answer").status, 200);
        // What is too large is not asked for.
        let mut aws = connect(broker);
        aws.write(&head(POST, &[TARGET, JSON, "Content-Length: 100000000", "Expect: 100-continue"])).expect("sent");
        assert_eq!(aws.answer().expect("an answer").status, 413);
    });
}

// --- what is no SQS

#[test]
fn json_that_is_none() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
        for body in [
            "x".to_owned(),
            "{".to_owned(),
            "[]".to_owned(),
            "null".to_owned(),
            "\"x\"".to_owned(),
            "{\"QueueUrl\":\"\\ud800\"}".to_owned(),
            "{\"QueueUrl\":\"a\",}".to_owned(),
            "{\"QueueUrl\":NaN}".to_owned(),
            "{\"QueueUrl\":\"a\"} more".to_owned(),
            "[".repeat(1_000_000),
            "{\"a\":".repeat(500_000),
            format!("{{\"QueueUrl\":{}}}", deep("[", "]", 200_000)),
            format!("{{\"unknown\":{}}}", deep("{\"a\":", "}", 100_000)),
        ] {
            nonsense(&mut aws, "SendMessage", body.as_bytes());
        }
        for bytes in [&b"{\"QueueUrl\":\"\xFF\xFE\"}"[..], b"\xEF\xBB\xBF{}", &[0; 100]] {
            nonsense(&mut aws, "SendMessage", bytes);
        }
        // Members of another type, and numbers that no member has.
        for (action, member) in [
            ("SendMessage", "MessageBody"),
            ("SendMessage", "DelaySeconds"),
            ("SendMessage", "MessageAttributes"),
            ("SendMessageBatch", "Entries"),
            ("ReceiveMessage", "MaxNumberOfMessages"),
            ("ReceiveMessage", "WaitTimeSeconds"),
            ("ReceiveMessage", "AttributeNames"),
            ("ChangeMessageVisibility", "VisibilityTimeout"),
            ("SetQueueAttributes", "Attributes"),
            ("TagQueue", "Tags"),
        ] {
            for value in [
                json!({ "a": [1] }),
                json!([[[]]]),
                json!([{ "Id": 1 }]),
                json!(true),
                json!(1.5),
                json!(-1),
                json!(4_294_967_297_u64),
                json!(u64::MAX),
                json!(1e300),
            ] {
                let mut ask = json!({ "QueueUrl": queue, "MessageBody": "x", "ReceiptHandle": "x" });
                ask[member] = value;
                nonsense(&mut aws, action, ask.to_string().as_bytes());
            }
        }
        // It goes on.
        aws.call("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": "x" })).expect("sent");
    });
}

#[test]
fn operations_that_are_none() {
    beside(|broker| {
        let mut aws = connect(broker);
        for action in ["", "Nothing", "sendmessage", &"x".repeat(10_000), "SendMessage\u{e9}", "../SendMessage"] {
            nonsense(&mut aws, action, b"{}");
        }
        for path in [
            "/",
            "/000000000000",
            "/000000000000/",
            "/000000000000/a/b/c",
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e",
            "/000000000000/%00",
            "/000000000000/%zz",
            "//",
            "/?",
            "/?Action=",
            "/?Action=SendMessage",
            "/?Action=Nothing&Version=1999-01-01",
            "/?Action=SendMessage&Action=DeleteQueue",
            "/?%",
            "/?=&=&=",
            "*",
        ] {
            let mut aws = connect(broker);
            aws.write(&head(&format!("GET {path} HTTP/1.1"), &[])).expect("sent");
            refused(&mut aws, path);
        }
        for method in ["PUT", "DELETE", "PATCH", "TRACE", "HEAD", "CONNECT", "BREW"] {
            let mut aws = connect(broker);
            aws.write(&head(&format!("{method} /000000000000/a HTTP/1.1"), &[])).expect("sent");
            aws.set_patience(Duration::from_secs(5)).expect("a limit");
            if let Ok(answer) = aws.answer() {
                assert!((400..500).contains(&answer.status), "{method}: {answer:?}");
            }
        }
    });
}

#[test]
fn forms_that_are_none() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let mut ask = |form: &str| {
            let length = format!("Content-Length: {}", form.len());
            let mut request = head(POST, &["Content-Type: application/x-www-form-urlencoded", &length]);
            request.extend(form.bytes());
            aws.write(&request).expect("sent");
            aws.answer().expect("an answer")
        };
        let to = format!("QueueUrl={queue}");
        let many: String = (0..20_000).map(|n| format!("&a{n}=b")).collect();
        for form in [
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.4294967295.Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.99999999999999999999.Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.-1.Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.0.Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.x.Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.1=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry..Id=a"),
            format!("Action=SendMessageBatch&{to}&SendMessageBatchRequestEntry.1{}=a", ".1".repeat(20_000)),
            format!("Action=SendMessage&{to}&MessageBody=%FF%FE"),
            format!("Action=SendMessage&{to}&MessageBody=%"),
            format!("Action=SendMessage&{to}&MessageBody=%4"),
            format!("Action=SendMessage&{to}&MessageBody=x&DelaySeconds=1e9"),
            format!("Action=SendMessage&{to}&MessageBody=x&DelaySeconds="),
            format!("Action=SendMessage&{to}&MessageBody=x&MessageAttribute.1.Name=a&MessageAttribute.1.Value=b"),
            format!("Action=ReceiveMessage&{to}&MaxNumberOfMessages=18446744073709551617"),
            format!("Action=CreateQueue{many}"),
            "Action=".to_owned(),
            "=".repeat(100_000),
            "&".repeat(100_000),
        ] {
            let answer = ask(&form);
            let shown = &form[..form.len().min(120)];
            // A batch may be taken although each of its entries is refused.
            let is_refused = answer.text().contains("BatchResultErrorEntry") && !answer.text().contains("MessageId");
            assert!((400..500).contains(&answer.status) || is_refused, "{shown}: {}", answer.text());
        }
        let answer = ask(&format!("Action=SendMessage&{to}&MessageBody=honest&Version=2012-11-05"));
        assert_eq!(answer.status, 200, "{answer:?}");
    });
}

#[test]
fn batches_and_attributes_without_end() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let entries = |count: usize, entry: Value| -> Value {
            let with_id = |n: usize| {
                let mut entry = entry.clone();
                entry["Id"] = json!(n.to_string());
                entry
            };
            json!({ "QueueUrl": queue, "Entries": (0..count).map(with_id).collect::<Vec<_>>() })
        };
        for (action, entry) in [
            ("SendMessageBatch", json!({ "MessageBody": "x" })),
            ("DeleteMessageBatch", json!({ "ReceiptHandle": "x" })),
            ("ChangeMessageVisibilityBatch", json!({ "ReceiptHandle": "x", "VisibilityTimeout": 0 })),
        ] {
            for count in [0, 11, 20_000] {
                nonsense(&mut aws, action, entries(count, entry.clone()).to_string().as_bytes());
            }
        }
        let attributes: serde_json::Map<String, Value> =
            (0..10_000).map(|n| (n.to_string(), json!({ "DataType": "String", "StringValue": "x" }))).collect();
        let ask = json!({ "QueueUrl": queue, "MessageBody": "x", "MessageAttributes": attributes });
        nonsense(&mut aws, "SendMessage", ask.to_string().as_bytes());
        let value =
            |value: Value| json!({ "QueueUrl": queue, "MessageBody": "x", "MessageAttributes": { "a": value } });
        for bad in [
            json!({ "DataType": "Binary", "BinaryValue": "not base64!" }),
            json!({ "DataType": "Binary", "BinaryValue": "====" }),
            json!({ "DataType": "x".repeat(100_000), "StringValue": "x" }),
            json!({ "DataType": "Number", "StringValue": "x".repeat(100_000) }),
            json!({}),
            json!(null),
        ] {
            nonsense(&mut aws, "SendMessage", value(bad).to_string().as_bytes());
        }
        let names: Vec<String> = (0..20_000).map(|n| format!("a{n}.*")).collect();
        let ask = json!({ "QueueUrl": queue, "MessageAttributeNames": names });
        let answer = aws.ask("ReceiveMessage", ask.to_string().as_bytes()).expect("an answer");
        assert!(answer.status < 500, "{answer:?}");
    });
}

#[test]
fn handles_that_are_forged() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        for n in 0..20 {
            aws.call("SendMessage", &json!({ "QueueUrl": queue, "MessageBody": n.to_string() })).expect("sent");
        }
        let messages =
            [aws.receive(&queue, 600, 1), aws.receive(&queue, 600, 1)].map(|got| got.expect("received")).concat();
        let handle = messages[0]["ReceiptHandle"].as_str().expect("a handle").to_owned();
        let mut forged = vec![
            String::new(),
            "A".repeat(handle.len()),
            "A".repeat(2_000_000),
            handle.repeat(2),
            format!(" {handle}"),
        ];
        // Every letter of it is another one, once.
        for at in 0..handle.len() {
            let mut letters = handle.clone().into_bytes();
            letters[at] = if letters[at] == b'A' { b'B' } else { b'A' };
            forged.push(String::from_utf8(letters).expect("letters"));
        }
        let (deletes, changes) = ("DeleteMessage", "ChangeMessageVisibility");
        let mut taken = 0;
        for text in &forged {
            for action in [deletes, changes] {
                let ask = json!({ "QueueUrl": queue, "ReceiptHandle": text, "VisibilityTimeout": 0 });
                // The last letter of base64 has bits that mean nothing: one that says the same is the same.
                let answer = aws.ask(action, ask.to_string().as_bytes()).expect("an answer");
                taken += usize::from(answer.status == 200);
                assert!(answer.status < 500, "{answer:?}");
            }
        }
        assert!(taken == 0, "{taken} forged handles were taken");
        let told =
            aws.call("GetQueueAttributes", &json!({ "QueueUrl": queue, "AttributeNames": ["All"] })).expect("told");
        assert_eq!(told["Attributes"]["ApproximateNumberOfMessagesNotVisible"], json!(messages.len().to_string()));
        aws.delete(&queue, &messages[..10]).expect("deleted by their own handles");
    });
}

#[test]
fn policies_cost_what_they_are() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let set = |policy: String| json!({ "QueueUrl": queue, "Attributes": { "Policy": policy } }).to_string();
        let statement = |condition: Value| {
            json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*", "Condition": condition,
            }] })
            .to_string()
        };
        for policy in [
            "[".repeat(100_000),
            "{\"Statement\":".repeat(50_000),
            format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", "{},".repeat(50_000)),
            statement(json!({ "Unknown": { "aws:SourceIp": "1.2.3.4" } })),
            statement(json!({ "IpAddress": { "aws:SourceIp": "999.0.0.0/99" } })),
            statement(json!({ "StringLike": { "aws:UserAgent": "x".repeat(1_000_000) } })),
        ] {
            nonsense(&mut aws, "SetQueueAttributes", set(policy).as_bytes());
        }
        // Patterns that a simple matcher tries in more ways than there are seconds.
        let pattern = "*a".repeat(60) + "*b";
        let policy = statement(json!({ "StringLike": { "aws:UserAgent": [pattern, "?*".repeat(200) + "b"] } }));
        let answer = aws.ask("SetQueueAttributes", set(policy).as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = json!({ "QueueUrl": queue, "MessageBody": "x" }).to_string();
        let agent = format!("User-Agent: {}", "a".repeat(8000));
        let length = format!("Content-Length: {}", body.len());
        let mut request = head(POST, &[TARGET, JSON, &agent, &length]);
        request.extend(body.bytes());
        let started = Instant::now();
        for _ in 0..20 {
            aws.write(&request).expect("sent");
            let answer = aws.answer().expect("an answer");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert!(started.elapsed() < Duration::from_secs(10), "20 requests took {:?}", started.elapsed());
    });
}

// --- who asks

#[test]
fn web_pages_are_not_this_machine() {
    beside(|broker| {
        let body = b"{}";
        for more in [
            &["Origin: https://evil.example"][..],
            &["Origin: null"],
            &["Sec-Fetch-Site: cross-site"],
            &["Origin: http://127.0.0.1:4566"],
        ] {
            let mut aws = connect(broker);
            let target = "X-Amz-Target: AmazonSQS.ListQueues";
            let mut request = head(POST, &[&[target, JSON, "Content-Length: 2"], more].concat());
            request.extend(body);
            aws.write(&request).expect("sent");
            let answer = aws.answer().expect("an answer");
            assert!((400..500).contains(&answer.status), "{more:?}: {answer:?}");
        }
        // By a name of its own for this machine.
        let mut aws = connect(broker);
        let line = "POST / HTTP/1.1\r\nHost: rebound.evil.example\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n\
             Content-Length: 2\r\n\r\n{}";
        aws.write(line.as_bytes()).expect("sent");
        let answer = aws.answer().expect("an answer");
        assert!((400..500).contains(&answer.status), "{answer:?}");
    });
}

#[test]
fn requests_in_one_go_are_answered_in_order() {
    beside(|broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let mut bytes = Vec::new();
        for n in 0..300 {
            let body = json!({ "QueueUrl": queue, "MessageBody": n.to_string() }).to_string();
            bytes.extend(aws.request("SendMessage", body.as_bytes()));
        }
        let poll = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 1, "WaitTimeSeconds": 20 }).to_string();
        for _ in 0..20 {
            bytes.extend(aws.request("ReceiveMessage", poll.as_bytes()));
        }
        aws.write(&bytes).expect("sent");
        for n in 0..300 {
            let answer = aws.answer().expect("an answer");
            assert_eq!(answer.status, 200, "{n}: {answer:?}");
            assert!(answer.text().contains("MessageId"), "{n}: {answer:?}");
        }
        for n in 0..20 {
            let answer = aws.answer().expect("an answer");
            assert!(answer.text().contains("ReceiptHandle"), "{n}: {answer:?}");
        }
    });
}

// --- long polls

/// How many long polls wait, as Prometheus is told.
fn polls(broker: &Broker) -> u64 {
    let mut metrics = Aws::open(broker.address_of("metrics")).expect("connected");
    metrics.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let text = metrics.answer().expect("an answer").text();
    let line = text.lines().find_map(|line| line.strip_prefix("gantry_aws_polls ")).expect("the gauge");
    line.trim().parse().expect("a number")
}

#[test]
fn two_thousand_polls_wait_and_go_away() {
    beside_an_aws_bystander(Broker::settings().listener("metrics"), |broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let poll = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 }).to_string();
        let before = broker.memory_bytes();
        let mut waiting: Vec<Aws> = (0..2000).map(|_| connect(broker)).collect();
        for waiter in &mut waiting {
            let request = waiter.request("ReceiveMessage", poll.as_bytes());
            waiter.write(&request).expect("sent");
        }
        wait_until("all of them wait", || polls(broker) >= 2000);
        if let (Some(before), Some(after)) = (before, broker.memory_bytes()) {
            let each = after.saturating_sub(before) / 2000;
            println!("{each} bytes a waiting poll");
            // The allocator, and what served the other requests, take some of it.
            assert!(each < 6 << 10, "{each} bytes a waiting poll");
        }
        // Half of them go away, and take nothing with them once the broker has heard of that.
        waiting.truncate(1000);
        wait_until("half of them are gone", || polls(broker) <= 1001);
        for start in 0..100 {
            let entries: Vec<Value> =
                (0..10).map(|n| json!({ "Id": n.to_string(), "MessageBody": format!("{start}:{n}") })).collect();
            aws.send(&queue, &entries).expect("sent");
        }
        let mut seen = std::collections::BTreeSet::new();
        for waiter in &mut waiting {
            let answer = waiter.answer().expect("an answer").json().expect("JSON");
            let body = answer["Messages"][0]["Body"].as_str().unwrap_or_default().to_owned();
            assert!(seen.insert(body.clone()), "{body:?} came twice: {answer}");
        }
        assert_eq!(seen.len(), 1000);
    });
}

#[test]
fn polls_end_when_their_queue_does() {
    beside_an_aws_bystander(Broker::settings().listener("metrics"), |broker| {
        let mut aws = connect(broker);
        let queue = queue(&mut aws);
        let poll = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 }).to_string();
        let mut waiting: Vec<Aws> = (0..50).map(|_| connect(broker)).collect();
        for waiter in &mut waiting {
            let request = waiter.request("ReceiveMessage", poll.as_bytes());
            waiter.write(&request).expect("sent");
        }
        wait_until("all of them wait", || polls(broker) >= 50);
        let started = Instant::now();
        aws.call("DeleteQueue", &json!({ "QueueUrl": queue })).expect("deleted");
        for waiter in &mut waiting {
            let answer = waiter.answer().expect("an answer");
            assert_eq!((answer.status, answer.error().as_str()), (400, "QueueDoesNotExist"), "{answer:?}");
        }
        assert!(started.elapsed() < Duration::from_secs(10), "the last one ended after {:?}", started.elapsed());
    });
}
