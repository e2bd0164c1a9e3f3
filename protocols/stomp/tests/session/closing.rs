//! The end of a connection, from either side.

use crate::client::Server;

#[tokio::test]
async fn the_receipt_of_disconnect_comes_behind_all_others() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/a", &[("receipt", "0"), ("persistent", "true")], "").await;
    client.receipt("0").await;
    server.journal.hold();
    client.publish("/queue/a", &[("receipt", "1"), ("persistent", "true")], "").await;
    client.send("DISCONNECT", &[("receipt", "bye")], "").await;
    while server.queue("a").ready < 2 {
        tokio::task::yield_now().await;
    }
    server.journal.release();
    client.receipt("1").await;
    client.receipt("bye").await;
    client.closed().await;
}

#[tokio::test]
async fn what_a_client_had_and_did_not_acknowledge_is_there_for_others() {
    let server = Server::new();
    let mut client = server.client().await;
    for body in ["1", "2", "3"] {
        client.publish("/queue/a", &[], body).await;
    }
    client.subscribe("1", "/queue/a", &[("ack", "client"), ("prefetch-count", "2")]).await;
    client.message("1").await;
    client.message("2").await;
    client.vanish().await;
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[("ack", "client")]).await;
    for (body, redelivered) in [("1", "true"), ("2", "true"), ("3", "false")] {
        assert_eq!(client.message(body).await.get("redelivered"), redelivered);
    }
    assert_eq!(server.stats.clients.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn clients_are_told_that_the_broker_stops() {
    let server = Server::new();
    let mut client = server.client().await;
    server.stop.request();
    let error = client.last_error("connection_forced").await;
    assert_eq!(error.body, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'");
}

#[tokio::test]
async fn a_user_who_is_deleted_is_out() {
    let server = Server::new();
    let mut client = server.client().await;
    server.broker.delete_user("guest").await.expect("is deleted");
    let error = client.last_error("connection_forced").await;
    assert_eq!(error.body, "CONNECTION_FORCED - user 'guest' is deleted");
}

#[tokio::test]
async fn frames_that_cannot_be_read_end_the_connection() {
    let server = Server::new();
    for bytes in [
        "SEND\ndestination\n\n\0",
        "SEND\ndestination:/queue/a\nx:a\\tb\n\n\0",
        "SEND\ndestination:/queue/a\ncontent-length:-1\n\n\0",
        "SEND\ndestination:/queue/a\ncontent-length:1\n\nxx\0",
        "MESSAGE\n\n\0",
        "GET / HTTP/1.1\r\n",
        "CONNECT\n\n\0",
    ] {
        let mut client = server.client().await;
        client.write(bytes.as_bytes()).await;
        assert_eq!(client.next().await.command, "ERROR", "{bytes}");
        client.closed().await;
    }
}

#[tokio::test]
async fn frames_may_come_in_pieces_and_many_at_once() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    for byte in b"\n\r\n\0SEND\r\ndestination:/queue/a\r\ncontent-length:2\r\n\r\n\0x\0\n" {
        client.write(&[*byte]).await;
    }
    client.message("\0x").await;
    let many = "SEND\ndestination:/queue/a\n\nx\0".repeat(200);
    client.write(many.as_bytes()).await;
    for _ in 0..200 {
        client.message("x").await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_take_the_brokers_memory() {
    let server = Server::new();
    let mut client = server.client().await;
    let body = "x".repeat(100_000);
    let mut publisher = server.client().await;
    for n in 0..300 {
        publisher.publish("/queue/a", &[("receipt", &n.to_string())], &body).await;
        publisher.receipt(&n.to_string()).await;
    }
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/a"), ("ack", "client")], "").await;
    while server.queue("a").unacked == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    // What waits to be written and what waits in the inbox, no more.
    let unacked = server.queue("a").unacked;
    assert!(unacked < 100, "{unacked}");
    for _ in 0..300 {
        client.message(&body).await;
    }
}
