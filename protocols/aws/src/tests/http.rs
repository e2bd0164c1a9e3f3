use std::time::Duration;

use gantry_broker::{QueueOptions, QueueSettings};
use proptest::prelude::*;
use serde_json::json;

use super::client::{Client, PIPE_BYTES, Received, Server, json};
use super::wait_for;

const GET: &str = "GET /?Action=ListQueues HTTP/1.1\r\nHost: localhost:4566\r\n\r\n";

async fn asked(request: impl AsRef<[u8]>) -> Received {
    let server = Server::new();
    let mut client = server.client();
    client.write(request).await;
    client.next().await
}

fn form(path: &str, form: &str) -> String {
    let length = form.len();
    let form_type = "application/x-www-form-urlencoded; charset=utf-8";
    format!("POST {path} HTTP/1.1\r\nHost: h:1\r\nContent-Type: {form_type}\r\nContent-Length: {length}\r\n\r\n{form}")
}

#[tokio::test]
async fn one_action_answers_in_both_formats() {
    let server = Server::new();
    let vhost = server.broker.vhost("/").unwrap();
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    vhost.declare_with("orders", options, QueueSettings::default(), 0).unwrap().2.wait().await.unwrap();
    let mut client = server.client();
    let received = client.ask("GetQueueUrl", &json!({"QueueName": "orders"})).await;
    assert_eq!(received.status, 200);
    assert_eq!(received.json(), json!({"QueueUrl": "http://localhost:4566/000000000000/orders"}));
    assert_eq!(received.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(received.header("x-amzn-requestid").map(str::len), Some(36));
    assert!(received.header("date").is_some());
    let requests = [
        "GET /?Action=GetQueueUrl&QueueName=orders HTTP/1.1\r\nHost: h:1\r\n\r\n".to_owned(),
        form("/", "Action=GetQueueUrl&QueueName=orders&Version=2012-11-05"),
        form("/?Action=GetQueueUrl", "QueueName=orders"),
        form("/000000000000/orders", "Action=GetQueueUrl&QueueName=orders"),
    ];
    for request in requests {
        client.write(&request).await;
        let received = client.next().await;
        assert_eq!((received.status, received.header("content-type")), (200, Some("text/xml")), "{request}");
        let url = "<GetQueueUrlResult><QueueUrl>http://h:1/000000000000/orders</QueueUrl></GetQueueUrlResult>";
        assert!(received.body.contains(url), "{received:?}");
        assert!(received.body.contains(received.header("x-amzn-requestid").unwrap()));
    }
}

#[tokio::test]
async fn failures_are_told_in_the_format_of_the_request() {
    let server = Server::new();
    let mut client = server.client();
    let received = client.ask("GetQueueUrl", &json!({"QueueName": "none"})).await;
    let (code, query_error) = ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue;Sender");
    assert_eq!(received.failure(), (400, code.to_owned(), query_error));
    assert_eq!(received.json()["message"], "The specified queue does not exist.");
    for (request, code) in [
        (json("NoSuchThing", &[], &json!({})), "UnknownOperationException"),
        (json("GetQueueUrl", &[], &json!({})), "MissingRequiredParameterException"),
        (json("GetQueueUrl", &[], &json!({"QueueName": 7})), "SerializationException"),
        (json("GetQueueUrl", &[], &json!([])), "SerializationException"),
        (json("GetQueueUrl", &[("X", "y")], &json!({"QueueName": "none"})).replace('}', " "), "SerializationException"),
    ] {
        client.write(&request).await;
        let received = client.next().await;
        assert_eq!(received.status, 400, "{request}");
        assert_eq!(received.json()["__type"], format!("com.amazon.coral.service#{code}"), "{request}");
    }
    for (request, status, code) in [
        (form("/", "Action=GetQueueUrl&QueueName=none"), 400, "AWS.SimpleQueueService.NonExistentQueue"),
        (form("/", "Action=NoSuchThing"), 400, "InvalidAction"),
        (form("/000000000000/orders", "Action=ListQueues"), 400, "InvalidAction"),
        (form("/", "Action=GetQueueUrl"), 400, "MissingParameter"),
        (form("/", "Action=SendMessage&DelaySeconds=soon"), 400, "MalformedInput"),
        (form("/", "Action=%zz"), 404, "MalformedQueryString"),
    ] {
        client.write(&request).await;
        let received = client.next().await;
        assert_eq!(received.status, status, "{request}");
        assert!(received.body.contains(&format!("<Type>Sender</Type><Code>{code}</Code>")), "{received:?}");
        assert!(received.body.contains(received.header("x-amzn-requestid").unwrap()));
        assert_eq!(received.header("x-amzn-query-error"), None);
    }
}

#[tokio::test]
async fn what_is_not_a_request_for_an_action_is_not_found() {
    for request in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /favicon.ico HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /?Action=ListQueues HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "DELETE /000000000000/orders HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let received = asked(request).await;
        assert_eq!((received.status, received.body.trim()), (404, "<UnknownOperationException/>"), "{request}");
    }
    let server = Server::new();
    let mut client = server.client();
    client.write("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    client.write("GET garbage HTTP/9.9\r\n\r\n").await;
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all).await.unwrap();
    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("HTTP/1.1 404 Not Found\r\n") && !all.contains("Unknown"), "{all}");
    assert!(all.contains("\r\n\r\nHTTP/1.1 400 Bad Request\r\n"), "{all}");
}

#[tokio::test]
async fn a_connection_is_kept_as_its_client_wants() {
    let server = Server::new();
    for (request, is_kept) in [
        (GET.to_owned(), true),
        (GET.replace("Host", "Connection: close\r\nHost"), false),
        (GET.replace("1.1", "1.0"), false),
        (GET.replace("1.1\r\n", "1.0\r\nConnection: keep-alive\r\n"), true),
    ] {
        let mut client = server.client();
        client.write(&request).await;
        assert_eq!(client.next().await.status, 200, "{request}");
        if is_kept {
            client.write(&request).await;
            assert_eq!(client.next().await.status, 200, "{request}");
        } else {
            client.ends().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_makes_a_connection_quiet_and_the_next_request_wakes_it() {
    let server = Server::new();
    let mut client = server.client();
    for pause_s in [0, 1, 2, 3, 250] {
        tokio::time::sleep(Duration::from_secs(pause_s)).await;
        let received = client.ask("Echo", &json!({"text": "x".repeat(pause_s as usize)})).await;
        assert_eq!(received.json()["text"].as_str().map(str::len), Some(pause_s as usize));
    }
    tokio::time::sleep(Duration::from_secs(302)).await;
    client.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_only_polled_has_asked_something() {
    let server = Server::new();
    let mut client = server.client();
    let said = wait_for("has asked");
    client.write(json("Wait", &[], &json!({"key": "has asked"}))).await;
    said.send("one").unwrap();
    assert_eq!(client.next().await.json()["text"], "one");
    // Longer than the time for a login, and it is busy with its message.
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(client.ask("Echo", &json!({"text": "two"})).await.json()["text"], "two");
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_is_not_waited_for() {
    let server = Server::new();
    // Says nothing, or not all of a head.
    for beginning in ["", "POST / HTTP/1.1\r\nHost: h"] {
        let mut client = server.client();
        client.write(beginning).await;
        let begun = tokio::time::Instant::now();
        client.ends().await;
        assert!((10..=13).contains(&begun.elapsed().as_secs()), "{beginning} {:?}", begun.elapsed());
    }
    let mut client = server.client();
    client.write("POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.Echo\r\nContent-Length: 20\r\n\r\n{").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(client.next().await.failure().0, 408);
    assert!((10..=12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    client.ends().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_not_waited_for_either() {
    let server = Server::new();
    let mut client = server.client();
    client.write(json("Echo", &[], &json!({"text": "x".repeat(4 * PIPE_BYTES)}))).await;
    let begun = tokio::time::Instant::now();
    (&mut client.serving).await.unwrap();
    assert!((60..=64).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_a_body_is_told_to_or_not() {
    let server = Server::new();
    let mut client = server.client();
    let head = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.Echo\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    client.write(head(13)).await;
    assert_eq!(client.next().await.status, 100);
    client.write(r#"{"text":"hi"}"#).await;
    assert_eq!(client.next().await.json()["text"], "hi");
    client.write(head(4 << 20)).await;
    assert_eq!(client.next().await.status, 100);
    let mut client = server.client();
    client.write(head((4 << 20) + 1)).await;
    assert_eq!(client.next().await.failure().0, 413);
    client.ends().await;
}

#[tokio::test]
async fn bodies_and_heads_have_bounds() {
    let server = Server::new();
    let mut client = server.client();
    let text = "x".repeat(3 << 20);
    let sent = json("Echo", &[], &json!({"text": text}));
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let writing = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut writer, sent.as_bytes()).await.unwrap();
        writer
    });
    let mut all = vec![0; 3 << 20];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 OK"));
    drop((writing.await.unwrap(), reader));
    // Chunks do not say how much there is of them.
    client = server.client();
    client
        .write("POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: AmazonSQS.Echo\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    tokio::spawn(
        async move { while tokio::io::AsyncWriteExt::write_all(&mut writer, chunk.as_bytes()).await.is_ok() {} },
    );
    let mut status = [0; 13];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 413 ");
    // Heads.
    let mut client = server.client();
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut writer, long.as_bytes()).await });
    let mut status = [0; 13];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 431 ");
    client = server.client();
    client.write(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101))).await;
    assert_eq!(client.next().await.status, 431);
}

#[tokio::test]
async fn browsers_are_told_what_their_pages_may_send_and_see() {
    let preflight = "OPTIONS / HTTP/1.1\r\nHost: h\r\nOrigin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n\
                     Access-Control-Request-Headers: authorization,x-amz-target\r\n\r\n";
    let received = asked(preflight).await;
    assert_eq!(received.status, 200);
    assert_eq!(received.header("access-control-allow-origin"), Some("*"));
    assert_eq!(received.header("access-control-allow-headers"), Some("authorization,x-amz-target"));
    assert_eq!(received.header("access-control-allow-methods"), Some("GET,POST"));
    assert_eq!(received.header("access-control-allow-credentials"), None);
    let received = asked(GET.replace("Host", "Origin: https://shop.example\r\nHost")).await;
    assert_eq!(received.header("access-control-allow-origin"), Some("*"));
    assert_eq!(received.status, 403, "a page is not somebody on this machine");
    assert_eq!(asked(GET).await.header("access-control-allow-origin"), None);
}

/// Requests that come one behind the other are answered one behind the other.
async fn echoes(client: &mut Client, texts: &[String], cuts: &[usize]) {
    let sent: Vec<u8> = texts.iter().flat_map(|text| json("Echo", &[], &json!({"text": text})).into_bytes()).collect();
    let mut rest = sent.as_slice();
    for cut in cuts {
        let (piece, behind) = rest.split_at((*cut).min(rest.len()));
        client.write(piece).await;
        tokio::task::yield_now().await;
        rest = behind;
    }
    client.write(rest).await;
    for text in texts {
        assert_eq!(client.next().await.json()["text"], **text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn it_does_not_matter_how_requests_are_cut(
        texts in proptest::collection::vec("[a-z]{0,200}", 1..6),
        cuts in proptest::collection::vec(1_usize..300, 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::new();
            echoes(&mut server.client(), &texts, &cuts).await;
        });
    }
}

#[tokio::test]
async fn the_certificate_of_signatures_is_anybodys() {
    let server = Server::new();
    let path = server.edge().sns.signing.cert_path().await.unwrap();
    let mut client = server.client();
    for (path, status) in [(&*path, 200), ("/SimpleNotificationService-0.pem", 404), (&path, 200)] {
        client.write(format!("GET {path} HTTP/1.1\r\nHost: localhost:4566\r\n\r\n")).await;
        let received = client.next().await;
        assert_eq!((received.status, received.header("content-type")), (status, Some("application/x-pem-file")));
        assert_eq!(received.body.starts_with("-----BEGIN CERTIFICATE-----\n"), status == 200, "{received:?}");
    }
}

#[test]
fn what_is_no_host_stands_in_no_link() {
    let is_host = |text: &str| crate::http::is_host(&text.parse().unwrap());
    for host in ["localhost:4566", "sqs.us-east-1.amazonaws.com", "my_broker", "[::1]:4566", "10.0.0.1"] {
        assert!(is_host(host), "{host}");
    }
    for no_host in ["", "x y", "a@b", "<script>", "a/b", "a?b", "a\"b", &"x".repeat(5_000)] {
        assert!(!is_host(no_host), "{no_host}");
    }
}
