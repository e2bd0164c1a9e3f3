//! BEGIN, COMMIT and ABORT.

use gantry_broker::DeleteQueue;

use crate::client::Server;

#[tokio::test]
async fn a_transaction_happens_when_it_is_committed() {
    let server = Server::new();
    let mut client = server.client().await;
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "b")], "").await;
    client.receipt("b").await;
    client.publish("/queue/a", &[("transaction", "t"), ("receipt", "1"), ("persistent", "true")], "1").await;
    client.publish("/queue/b", &[("transaction", "t"), ("persistent", "true")], "2").await;
    assert!(client.settle().await.is_empty());
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (0, 0));
    server.journal.hold();
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")], "").await;
    assert!(client.settle().await.is_empty());
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (1, 1));
    server.journal.release();
    client.receipt("1").await;
    client.receipt("c").await;
    client.send("COMMIT", &[("transaction", "t")], "").await;
    assert_eq!(client.error("Bad transaction").await.body, "Invalid transaction identifier: \"t\"\n");
}

#[tokio::test]
async fn messages_and_acknowledgements_of_a_transaction_survive_a_crash_together() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/in", &[("persistent", "true"), ("receipt", "r")], "question").await;
    client.receipt("r").await;
    client.subscribe("1", "/queue/in", &[("ack", "client")]).await;
    let question = client.message("question").await;
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.send("ACK", &[("id", question.get("ack")), ("transaction", "t")], "").await;
    client.publish("/queue/out", &[("transaction", "t"), ("persistent", "true")], "answer").await;
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")], "").await;
    client.receipt("c").await;
    drop(client);
    let server = server.crash();
    assert_eq!((server.queue("in").ready, server.queue("out").ready), (0, 1));
}

#[tokio::test]
async fn nothing_of_an_aborted_transaction_happens() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/in", &[], "question").await;
    client.subscribe("1", "/queue/in", &[("ack", "client")]).await;
    let question = client.message("question").await;
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.send("ACK", &[("id", question.get("ack")), ("transaction", "t")], "").await;
    client.publish("/queue/out", &[("transaction", "t")], "answer").await;
    client.send("ABORT", &[("transaction", "t"), ("receipt", "a")], "").await;
    client.receipt("a").await;
    assert_eq!((server.queue("in").unacked, server.queue("out").ready), (1, 0));
    // The message is the client's as before.
    client.send("ACK", &[("id", question.get("ack")), ("receipt", "done")], "").await;
    client.receipt("done").await;
    assert_eq!((server.queue("in").ready, server.queue("in").unacked), (0, 0));
}

#[tokio::test]
async fn a_transaction_that_is_not_committed_goes_with_its_connection() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/in", &[], "question").await;
    client.subscribe("1", "/queue/in", &[("ack", "client")]).await;
    let question = client.message("question").await;
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.send("ACK", &[("id", question.get("ack")), ("transaction", "t")], "").await;
    client.publish("/queue/out", &[("transaction", "t")], "answer").await;
    client.settle().await;
    client.vanish().await;
    assert_eq!((server.queue("in").ready, server.queue("in").unacked, server.queue("out").ready), (1, 0, 0));
}

#[tokio::test]
async fn a_transaction_that_a_full_queue_refuses_does_not_happen_at_all() {
    let server = Server::new();
    let mut client = server.client().await;
    let full = [("x-max-length", "1"), ("x-overflow", "reject-publish")];
    client.send("BEGIN", &[("transaction", "t")], "").await;
    for body in ["1", "2"] {
        let headers: Vec<_> = full.into_iter().chain([("transaction", "t")]).collect();
        client.publish("/queue/a", &headers, body).await;
    }
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")], "").await;
    let error = client.last_error("precondition_failed").await;
    assert_eq!(error.body, "PRECONDITION_FAILED - partial tx completion");
    assert_eq!(server.queue("a").ready, 0);
}

#[tokio::test]
async fn several_transactions_are_open_at_a_time() {
    let server = Server::new();
    let mut client = server.client().await;
    for name in ["s", "t"] {
        client.send("BEGIN", &[("transaction", name)], "").await;
    }
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.error("Bad transaction").await;
    client.publish("/queue/a", &[("transaction", "s")], "s").await;
    client.publish("/queue/a", &[("transaction", "t")], "t").await;
    client.send("COMMIT", &[("transaction", "t")], "").await;
    client.send("ABORT", &[("transaction", "s")], "").await;
    client.subscribe("1", "/queue/a", &[]).await;
    client.message("t").await;
    assert!(client.settle().await.is_empty());
    for n in 0..1_025 {
        client.send("BEGIN", &[("transaction", &n.to_string())], "").await;
    }
    client.error("Transaction limit exceeded").await;
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_there_again_for_a_transaction() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/q", &[("receipt", "1")], "x").await;
    client.receipt("1").await;
    server.vhost().delete_queue("q", DeleteQueue::default(), 0).await.expect("is deleted");
    client.send("BEGIN", &[("transaction", "t")], "").await;
    client.publish("/queue/q", &[("transaction", "t")], "y").await;
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "2")], "").await;
    client.receipt("2").await;
    assert_eq!(server.queue("q").ready, 1);
}
