//! ACK and NACK.

use crate::client::{Client, Received, Server};

/// Sends these to a queue, and subscribes to it.
async fn with_messages(server: &Server, mode: &str, bodies: &[&str]) -> (Client, Vec<Received>) {
    let mut client = server.client().await;
    for body in bodies {
        client.publish("/queue/a", &[("persistent", "true")], body).await;
    }
    client.subscribe("1", "/queue/a", &[("ack", mode)]).await;
    let mut messages = Vec::new();
    for body in bodies {
        messages.push(client.message(body).await);
    }
    (client, messages)
}

#[tokio::test]
async fn automatic_acknowledgement_is_the_end_of_a_message() {
    let server = Server::new();
    let (client, messages) = with_messages(&server, "auto", &["1", "2"]).await;
    assert_eq!(messages[0].find("ack"), None);
    client.vanish().await;
    assert_eq!((server.queue("a").ready, server.queue("a").unacked), (0, 0));
}

#[tokio::test]
async fn an_acknowledgement_in_the_mode_client_covers_what_came_before() {
    let server = Server::new();
    let (mut client, messages) = with_messages(&server, "client", &["1", "2", "3"]).await;
    client.send("ACK", &[("id", messages[1].get("ack"))], "").await;
    client.settle().await;
    assert_eq!(server.queue("a").unacked, 1);
}

#[tokio::test]
async fn an_acknowledgement_in_the_mode_client_individual_is_of_one_message() {
    let server = Server::new();
    let (mut client, messages) = with_messages(&server, "client-individual", &["1", "2", "3"]).await;
    client.send("ACK", &[("id", messages[1].get("ack"))], "").await;
    client.settle().await;
    assert_eq!(server.queue("a").unacked, 2);
    client.vanish().await;
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    assert_eq!(client.message("1").await.get("redelivered"), "true");
    client.message("3").await;
}

#[tokio::test]
async fn versions_before_1_2_acknowledge_by_the_id_of_the_message() {
    let server = Server::new();
    for version in ["1.0", "1.1"] {
        let mut client = server.client_of(version).await;
        client.publish("/queue/a", &[], "x").await;
        client.subscribe("1", "/queue/a", &[("ack", "client")]).await;
        let message = client.message("x").await;
        assert_eq!(message.find("ack"), None);
        let headers = [("message-id", message.get("message-id")), ("subscription", "1"), ("receipt", "done")];
        client.send("ACK", &headers, "").await;
        client.receipt("done").await;
        assert_eq!(server.queue("a").unacked, 0);
    }
}

#[tokio::test]
async fn the_receipt_of_an_acknowledgement_comes_when_it_would_be_known_after_a_crash() {
    let server = Server::new();
    let (mut client, messages) = with_messages(&server, "client", &["1", "2"]).await;
    server.journal.hold();
    client.send("ACK", &[("id", messages[0].get("ack")), ("receipt", "done")], "").await;
    assert!(client.settle().await.is_empty());
    server.journal.release();
    client.receipt("done").await;
    drop(client);
    let server = server.crash();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    client.message("2").await;
    assert!(client.settle().await.is_empty());
}

#[tokio::test]
async fn a_refused_message_comes_again_or_goes_for_good() {
    let server = Server::new();
    let mut client = server.client().await;
    let letters = [("x-dead-letter-exchange", "amq.fanout"), ("ack", "client-individual")];
    client.subscribe("dead", "/exchange/amq.fanout", &[]).await;
    client.subscribe("1", "/queue/a", &letters).await;
    let arguments = [("x-dead-letter-exchange", "amq.fanout")];
    client.publish("/queue/a", &arguments, "x").await;
    let first = client.message("x").await;
    client.send("NACK", &[("id", first.get("ack"))], "").await;
    let second = client.message("x").await;
    assert_eq!((second.get("redelivered"), second.get("subscription")), ("true", "1"));
    client.send("NACK", &[("id", second.get("ack")), ("requeue", "false")], "").await;
    assert_eq!(client.message("x").await.get("subscription"), "dead");
    assert_eq!((server.queue("a").ready, server.queue("a").unacked), (0, 0));
}

#[tokio::test]
async fn ids_that_mean_nothing_are_refused() {
    let server = Server::new();
    let (mut client, messages) = with_messages(&server, "client", &["1"]).await;
    let id = messages[0].get("ack");
    let (before, _) = id.rsplit_once("@@").expect("a tag");
    for (command, headers, message, detail) in [
        ("ACK", vec![], "Missing header", "\"ACK\" must include the \"id\" header\n"),
        ("NACK", vec![("message-id", id)], "Missing header", "\"NACK\" must include the \"id\" header\n"),
        ("ACK", vec![("id", "1")], "Invalid header", "\"ACK\" must include a valid \"id\" header\n"),
        ("ACK", vec![("id", "T_1@@x@@y")], "Invalid header", "\"ACK\" must include a valid \"id\" header\n"),
        (
            "ACK",
            vec![("id", "T_1@@session-x@@1")],
            "Subscription not found",
            "Message with id \"T_1@@session-x@@1\" has no subscription",
        ),
    ] {
        client.send(command, &headers, "").await;
        assert_eq!(client.error(message).await.body, detail);
    }
    assert_eq!(server.queue("a").unacked, 1);
    client.send("ACK", &[("id", &format!("{before}@@2"))], "").await;
    let error = client.last_error("precondition_failed").await;
    assert_eq!(error.body, "PRECONDITION_FAILED - unknown delivery tag 2");
    assert_eq!(server.queue("a").ready, 1);
}

#[tokio::test]
async fn a_message_can_be_acknowledged_after_its_subscription() {
    let server = Server::new();
    let (mut client, messages) = with_messages(&server, "client", &["1"]).await;
    client.send("UNSUBSCRIBE", &[("id", "1"), ("receipt", "gone")], "").await;
    client.receipt("gone").await;
    client.send("ACK", &[("id", messages[0].get("ack")), ("receipt", "done")], "").await;
    client.receipt("done").await;
    assert_eq!((server.queue("a").ready, server.queue("a").unacked), (0, 0));
}

#[tokio::test]
async fn a_prefetch_count_is_what_a_subscription_has_at_a_time() {
    let server = Server::new();
    let mut client = server.client().await;
    for body in ["1", "2", "3"] {
        client.publish("/queue/a", &[], body).await;
    }
    client.subscribe("1", "/queue/a", &[("ack", "client"), ("prefetch-count", "2")]).await;
    client.message("1").await;
    let second = client.message("2").await;
    assert!(client.settle().await.is_empty());
    client.send("ACK", &[("id", second.get("ack"))], "").await;
    client.message("3").await;
}
