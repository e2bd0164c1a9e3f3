use std::time::Duration;

use serde_json::json;

use super::client::{PIPE_BYTES, Server, json};
use super::wait_for;

/// Until nobody has anything left to do: the clock of these tests only goes on then. A request has been parked.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_is_answered_when_there_is_something_and_the_connection_goes_on() {
    let server = Server::new();
    let mut client = server.client();
    for text in ["one", "two"] {
        let said = wait_for("goes on");
        client.write(json("Wait", &[], &json!({"key": "goes on"}))).await;
        settle().await;
        said.send(text).unwrap();
        let received = client.next().await;
        assert_eq!((received.status, received.json()), (200, json!({"text": text})));
        assert_eq!(received.header("content-type"), Some("application/x-amz-json-1.0"));
        assert_eq!(received.header("x-amzn-requestid").map(str::len), Some(36));
        assert!(received.header("date").is_some());
        assert_eq!(client.ask("Echo", &json!({"text": text})).await.json()["text"], text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_is_told_so() {
    let server = Server::new();
    let mut client = server.client();
    let said = wait_for("fails");
    client.write(json("Wait", &[("Connection", "close")], &json!({"key": "fails"}))).await;
    settle().await;
    drop(said);
    let received = client.next().await;
    let query_error = "AWS.SimpleQueueService.NonExistentQueue;Sender";
    assert_eq!(received.failure(), (400, "com.amazonaws.sqs#QueueDoesNotExist".to_owned(), query_error));
    assert_eq!(received.header("connection"), Some("close"));
    client.ends().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_while_it_waits_is_answered_afterwards() {
    let server = Server::new();
    let mut client = server.client();
    let said = wait_for("pipelined");
    let mut all = json("Echo", &[], &json!({"text": "before"}));
    all.push_str(&json("Wait", &[], &json!({"key": "pipelined"})));
    all.push_str(&json("Echo", &[], &json!({"text": "after"})));
    client.write(all).await;
    settle().await;
    client.write(json("Echo", &[], &json!({"text": "later"}))).await;
    // More than is read while it waits.
    let large = "x".repeat(2 * PIPE_BYTES);
    let sent = json("Echo", &[], &json!({"text": large}));
    assert_eq!(client.next().await.json()["text"], "before");
    let (first, second) = sent.split_at(PIPE_BYTES);
    client.write(first).await;
    settle().await;
    said.send("now").unwrap();
    for text in ["now", "after", "later"] {
        assert_eq!(client.next().await.json()["text"], text);
    }
    client.write(second).await;
    assert_eq!(client.next().await.json()["text"], *large);
}

#[tokio::test(start_paused = true)]
async fn a_reply_before_a_poll_is_whole_however_slowly_it_is_read() {
    let server = Server::new();
    let mut client = server.client();
    let said = wait_for("slowly");
    let large = "x".repeat(4 * PIPE_BYTES);
    client.write(json("Echo", &[], &json!({"text": large}))).await;
    client.write(json("Wait", &[], &json!({"key": "slowly"}))).await;
    said.send("now").unwrap();
    settle().await;
    assert_eq!(client.next().await.json()["text"], *large);
    assert_eq!(client.next().await.json()["text"], "now");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_is_not_waited_for() {
    let server = Server::new();
    let mut client = server.client();
    let mut said = wait_for("gone");
    client.write(json("Wait", &[], &json!({"key": "gone"}))).await;
    settle().await;
    assert!(!said.is_closed());
    drop(client.stream);
    tokio::time::timeout(Duration::from_secs(60), said.closed()).await.expect("the poll is given up");
    client.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_when_the_program_stops_is_told_to_try_again() {
    let server = Server::new();
    let mut client = server.client();
    let said = wait_for("stops");
    client.write(json("Wait", &[], &json!({"key": "stops"}))).await;
    settle().await;
    let idle = server.client();
    server.stop.request();
    let received = client.next().await;
    let code = "com.amazon.coral.service#ServiceUnavailableException".to_owned();
    assert_eq!(received.failure(), (503, code, "ServiceUnavailable;Receiver"));
    assert!(said.is_closed());
    client.ends().await;
    idle.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_an_old_client_ends_its_connection_unless_it_says_otherwise() {
    let server = Server::new();
    for (header, connection) in [("X", "close"), ("Connection", "keep-alive")] {
        let mut client = server.client();
        let said = wait_for("old");
        let request = json("Wait", &[(header, "keep-alive")], &json!({"key": "old"})).replace("HTTP/1.1", "HTTP/1.0");
        client.write(request).await;
        settle().await;
        said.send("now").unwrap();
        let received = client.next().await;
        assert_eq!((received.header("connection"), received.json()), (Some(connection), json!({"text": "now"})));
        match connection {
            "close" => client.ends().await,
            _ => assert_eq!(client.ask("Echo", &json!({"text": "x"})).await.status, 200),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_does_not_read_what_came_before_is_left() {
    let server = Server::new();
    let mut client = server.client();
    let _said = wait_for("behind");
    client.write(json("Echo", &[], &json!({"text": "x".repeat(PIPE_BYTES)}))).await;
    client.write(json("Wait", &[], &json!({"key": "behind"}))).await;
    let begun = tokio::time::Instant::now();
    (&mut client.serving).await.unwrap();
    assert!((60..=66).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn ten_thousand_of_them_cost_little() {
    // What the program keeps of each beside its stream and the reply that it waits for.
    let bytes = Server::new().served_bytes();
    assert!(bytes <= 1024, "{bytes}");
}
