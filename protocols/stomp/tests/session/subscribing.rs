//! SUBSCRIBE and UNSUBSCRIBE.

use gantry_broker::rights::TopicPermission;
use gantry_broker::{DeleteQueue, QueueName, QueueOptions};
use gantry_stomp::Settings;

use crate::client::Server;

#[tokio::test]
async fn a_message_says_whose_it_is() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("a:1", "/queue/a", &[("ack", "client")]).await;
    client.publish("/queue/a", &[("colour", "red")], "x").await;
    let message = client.message("x").await;
    assert_eq!(
        message.names(),
        ["subscription", "destination", "message-id", "redelivered", "ack", "colour", "content-length"]
    );
    assert_eq!(message.get("subscription"), "a\\c1");
    assert_eq!(message.get("message-id"), message.get("ack"));
    // Without an id, as 1.0 has it.
    let mut client = server.client_of("1.0").await;
    client.send("SUBSCRIBE", &[("destination", "/queue/b")], "").await;
    client.publish("/queue/b", &[], "y").await;
    let message = client.message("y").await;
    assert_eq!(message.find("subscription"), None);
    assert!(message.get("message-id").starts_with("Q_/queue/b@@session-"));
    client.send("UNSUBSCRIBE", &[("destination", "/queue/b"), ("receipt", "u")], "").await;
    client.receipt("u").await;
    assert_eq!(server.queue("b").consumers, 0);
}

#[tokio::test]
async fn what_a_subscription_to_a_topic_needs_goes_with_it() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("1", "/topic/a.*", &[]).await;
    client.subscribe("2", "/topic/a.#", &[]).await;
    client.publish("/topic/a.b", &[], "x").await;
    let (one, two) = (client.message("x").await, client.message("x").await);
    assert_ne!(one.get("subscription"), two.get("subscription"));
    assert_eq!(server.vhost().queues().len(), 2);
    client.send("UNSUBSCRIBE", &[("id", "1"), ("receipt", "u")], "").await;
    client.receipt("u").await;
    client.publish("/topic/a.b", &[], "y").await;
    assert_eq!(client.message("y").await.get("subscription"), "2");
    client.vanish().await;
    assert!(server.vhost().queues().is_empty());
}

#[tokio::test]
async fn a_durable_subscription_keeps_what_comes_while_nobody_listens() {
    let server = Server::new();
    let durable = [("durable", "true"), ("auto-delete", "false"), ("ack", "client")];
    let mut client = server.client().await;
    client.subscribe("d1", "/topic/news", &durable).await;
    client.send("DISCONNECT", &[("receipt", "bye")], "").await;
    client.receipt("bye").await;
    client.closed().await;
    let mut publisher = server.client().await;
    publisher.publish("/topic/news", &[("persistent", "true"), ("receipt", "r")], "x").await;
    publisher.receipt("r").await;
    drop(publisher);
    // As RabbitMQ calls it.
    let server = server.crash();
    let name = "stomp-subscription-";
    assert!(server.vhost().queues()[0].name().starts_with(name));
    let mut client = server.client().await;
    client.subscribe("d1", "/topic/news", &durable).await;
    client.message("x").await;
    client.send("UNSUBSCRIBE", &[("id", "d1"), ("durable", "true"), ("receipt", "u")], "").await;
    client.receipt("u").await;
    assert!(server.vhost().queues().is_empty());
    client.send("SUBSCRIBE", &[("destination", "/topic/news"), ("durable", "true")], "").await;
    client.error("Missing Header").await;
}

#[tokio::test]
async fn a_queue_with_a_name_is_shared_by_those_who_subscribe_with_it() {
    let server = Server::new();
    let (mut one, mut two) = (server.client().await, server.client().await);
    for client in [&mut one, &mut two] {
        client.subscribe("1", "/exchange/amq.topic/k", &[("x-queue-name", "shared")]).await;
    }
    one.publish("/topic/k", &[], "1").await;
    one.publish("/topic/k", &[], "2").await;
    one.message("1").await;
    two.message("2").await;
    assert_eq!(server.queue("shared").consumers, 2);
}

#[tokio::test]
async fn nothing_comes_behind_the_receipt_of_unsubscribe() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    let mut bytes = String::new();
    for n in 0..50 {
        bytes.push_str(&format!("SEND\ndestination:/queue/a\n\n{n}\0"));
    }
    bytes.push_str("UNSUBSCRIBE\nid:1\nreceipt:u\n\n\0");
    client.write(bytes.as_bytes()).await;
    let mut got = 0;
    loop {
        let received = client.next().await;
        if received.command == "RECEIPT" {
            break;
        }
        got += 1;
    }
    assert!(client.settle().await.is_empty());
    // None of those that were granted is lost.
    assert_eq!(server.queue("a").ready + got, 50);
}

#[tokio::test]
async fn subscriptions_that_make_no_sense_are_refused() {
    let server = Server::with(Settings { subscriptions_max: 1, ..Settings::default() });
    let mut client = server.client().await;
    for (headers, message) in [
        (vec![("id", "1")], "Missing destination"),
        (vec![("id", "1"), ("destination", "/queue/a"), ("ack", "never")], "Processing error"),
        (vec![("id", "1"), ("destination", "/queue/a"), ("prefetch-count", "-1")], "Processing error"),
        (vec![("id", "/temp-queue/x"), ("destination", "/queue/a")], "Invalid id"),
        (vec![("id", "1"), ("destination", "/temp-queue/a")], "Invalid destination"),
    ] {
        client.send("SUBSCRIBE", &headers, "").await;
        client.error(message).await;
    }
    for (headers, message) in [
        (vec![], "Missing destination or id"),
        (vec![("id", "1")], "No subscription found"),
        (vec![("id", "/temp-queue/x")], "Invalid id"),
    ] {
        client.send("UNSUBSCRIBE", &headers, "").await;
        client.error(message).await;
    }
    client.subscribe("1", "/queue/a", &[]).await;
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a")], "").await;
    client.error("Subscription limit exceeded").await;
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/a")], "").await;
    let error = client.last_error("Duplicated subscription identifier").await;
    assert_eq!(error.body, "A subscription identified by 'T_1' already exists.");
}

#[tokio::test]
async fn what_has_to_be_there_and_is_not_ends_the_connection() {
    let server = Server::new();
    for (destination, what) in [
        ("/amq/queue/nope", "no queue 'nope' in vhost '/'"),
        ("/reply-queue/nope", "no queue 'nope' in vhost '/'"),
        ("/exchange/nope/k", "no exchange 'nope' in vhost '/'"),
    ] {
        let mut client = server.client().await;
        client.send("SUBSCRIBE", &[("id", "1"), ("destination", destination)], "").await;
        assert_eq!(client.last_error("not_found").await.body, format!("NOT_FOUND - {what}"));
    }
    assert!(server.vhost().queues().is_empty());
}

#[tokio::test]
async fn what_a_user_may_not_read_is_refused() {
    let server = Server::new();
    let options = QueueOptions { durable: true, ..QueueOptions::default() };
    server.vhost().declare_queue(QueueName::Given("yours"), options, 0).await.expect("is declared");
    server.permit("^(mine|stomp-subscription-.*)$", ".*", "^(mine|amq\\.topic|stomp-subscription-.*)$").await;
    let permission = TopicPermission::new("amq.topic", ".*", "^mine\\.").expect("patterns");
    server.broker.set_topic_permission("guest", "/", permission).await.expect("is set");
    for destination in ["/queue/yours", "/amq/queue/yours", "/exchange/amq.fanout", "/topic/yours.a", "/topic/#"] {
        let mut client = server.client().await;
        client.send("SUBSCRIBE", &[("id", "1"), ("destination", destination)], "").await;
        client.last_error("access_refused").await;
    }
    let mut client = server.client().await;
    client.subscribe("1", "/queue/mine", &[]).await;
    client.subscribe("2", "/topic/mine.a", &[]).await;
}

#[tokio::test]
async fn a_subscription_whose_queue_is_deleted_ends_with_an_error_that_names_it() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    server.vhost().delete_queue("a", DeleteQueue::default(), 0).await.expect("is deleted");
    let error = client.error("Server cancelled subscription").await;
    assert_eq!(error.get("subscription"), "1");
    assert_eq!(
        error.body,
        "The server has canceled a subscription.\nNo more messages will be delivered for \"id='1'\".\n"
    );
    // The id is free again.
    client.subscribe("1", "/queue/a", &[]).await;
}

#[tokio::test]
async fn a_stream_is_read_from_where_the_client_wants_and_says_where_each_message_is() {
    let server = Server::new();
    let stream = [("x-queue-type", "stream"), ("x-max-age", "1h")];
    let mut client = server.client().await;
    for body in ["0", "1", "2"] {
        let headers: Vec<_> = stream.into_iter().chain([("receipt", body)]).collect();
        client.publish("/queue/s", &headers, body).await;
        client.receipt(body).await;
    }
    for (id, offset, first) in [("f", "first", 0), ("l", "last", 2), ("o", "offset=1", 1), ("n", "1", 1)] {
        let mut headers = stream.to_vec();
        headers.extend([("ack", "client"), ("prefetch-count", "10")]);
        if id == "n" {
            // Without a word, a number is no place.
            headers.push(("x-stream-offset", "offset=1"));
        } else {
            headers.push(("x-stream-offset", offset));
        }
        client.subscribe(id, "/queue/s", &headers).await;
        for n in first..3 {
            let message = client.message(&n.to_string()).await;
            assert_eq!((message.get("x-stream-offset"), message.get("subscription")), (&*n.to_string(), id));
        }
    }
    for (headers, error) in [
        (vec![("ack", "client")], "precondition_failed"),
        (vec![("prefetch-count", "10")], "not_implemented"),
        (vec![("ack", "client"), ("prefetch-count", "1"), ("x-stream-offset", "soon")], "precondition_failed"),
    ] {
        let mut client = server.client().await;
        let headers: Vec<_> =
            [("id", "1"), ("destination", "/queue/s")].into_iter().chain(stream).chain(headers).collect();
        client.send("SUBSCRIBE", &headers, "").await;
        client.last_error(error).await;
    }
}

#[tokio::test]
async fn priorities_of_subscriptions_hold() {
    let server = Server::new();
    let (mut low, mut high) = (server.client().await, server.client().await);
    low.subscribe("1", "/queue/a", &[]).await;
    high.subscribe("1", "/queue/a", &[("x-priority", "10"), ("ack", "client"), ("prefetch-count", "1")]).await;
    low.publish("/queue/a", &[], "1").await;
    high.message("1").await;
    low.publish("/queue/a", &[], "2").await;
    low.message("2").await;
}

#[tokio::test]
async fn what_is_said_of_a_queue_counts_the_first_time_that_a_connection_uses_it() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/q", &[("x-max-length", "5"), ("durable", "false"), ("auto-delete", "true")]).await;
    client.publish("/queue/q", &[], "x").await;
    client.message("x").await;
}
