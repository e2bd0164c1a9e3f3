//! SEND: receipts, where messages go, rights, and what is refused.

use gantry_broker::rights::TopicPermission;
use gantry_stomp::Settings;

use crate::client::Server;

#[tokio::test]
async fn a_receipt_comes_when_the_message_is_on_the_disk_and_not_before() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/a", &[("receipt", "0"), ("persistent", "true")], "0").await;
    client.receipt("0").await;
    server.journal.hold();
    client.publish("/queue/a", &[("receipt", "1"), ("persistent", "true")], "1").await;
    client.publish("/queue/a", &[("receipt", "2")], "2").await;
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "3")], "").await;
    assert!(client.settle().await.is_empty());
    assert_eq!(server.queue("a").ready, 3);
    server.journal.release();
    for id in ["1", "2", "3"] {
        client.receipt(id).await;
    }
}

#[tokio::test]
async fn what_was_confirmed_is_there_after_a_crash_as_it_was_sent() {
    let server = Server::new();
    let mut client = server.client().await;
    let headers = [("persistent", "true"), ("receipt", "r"), ("colour", "red\\cdark"), ("priority", "7")];
    client.publish("/queue/a", &headers, "kept").await;
    client.receipt("r").await;
    client.publish("/queue/a", &[], "transient").await;
    client.vanish().await;
    let server = server.crash();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a", &[]).await;
    let message = client.message("kept").await;
    assert_eq!((message.get("colour"), message.get("priority")), ("red\\cdark", "7"));
    assert!(client.settle().await.is_empty());
}

#[tokio::test]
async fn a_message_goes_where_its_destination_says() {
    let server = Server::new();
    let mut client = server.client().await;
    client.subscribe("q", "/queue/a", &[]).await;
    client.subscribe("t", "/topic/a.*", &[]).await;
    client.subscribe("x", "/exchange/amq.direct/k%2F1", &[]).await;
    for (destination, id, shown) in [
        ("/queue/a", "q", "/queue/a"),
        ("/amq/queue/a", "q", "/queue/a"),
        ("/reply-queue/a", "q", "/queue/a"),
        ("a", "q", "/queue/a"),
        ("/topic/a.b", "t", "/topic/a.b"),
        ("/exchange/amq.topic/a.c", "t", "/topic/a.c"),
        ("/exchange/amq.direct/k%2F1", "x", "/exchange/amq.direct/k%2F1"),
    ] {
        client.publish(destination, &[], destination).await;
        let message = client.message(destination).await;
        assert_eq!((message.get("subscription"), message.get("destination")), (id, shown));
    }
    // Nobody takes them, which is nothing to tell of.
    client.publish("/topic/other", &[("receipt", "1")], "").await;
    client.publish("/amq/queue/nope", &[("receipt", "2")], "").await;
    client.receipt("1").await;
    client.receipt("2").await;
}

#[tokio::test]
async fn a_client_goes_on_after_an_error_that_is_only_about_its_frame() {
    let server = Server::new();
    let mut client = server.client().await;
    for (headers, message) in [
        (vec![], "Missing destination"),
        (vec![("destination", "/nope/a")], "Unknown destination"),
        (vec![("destination", "/queue/a/b")], "Invalid destination"),
        (vec![("destination", "/temp-queue/a")], "Invalid destination"),
        (vec![("destination", "/queue/a"), ("message-id", "1")], "Invalid header"),
        (vec![("destination", "/queue/a"), ("transaction", "t")], "Bad transaction"),
        (vec![("destination", "/queue/b"), ("x-max-length", "many")], "Processing error"),
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("receipt", "r")]).collect();
        client.send("SEND", &headers, "").await;
        assert_eq!(client.error(message).await.get("receipt-id"), "r");
    }
    client.write(b"SEND\ndestination:/queue/\xff\n\n\0SUBSCRIBE\nid:1\ndestination:/queue/\xfe\n\n\0").await;
    client.error("Invalid destination").await;
    client.error("Invalid destination").await;
    client.publish("/queue/a", &[("receipt", "r")], "").await;
    client.receipt("r").await;
    assert_eq!(server.queue("a").ready, 1);
}

#[tokio::test]
async fn an_error_of_the_broker_ends_the_connection() {
    let server = Server::new();
    for (headers, message, detail) in [
        (vec![("destination", "/exchange/nope/k")], "not_found", "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (
            vec![("destination", "/queue/a"), ("user-id", "somebody")],
            "precondition_failed",
            "PRECONDITION_FAILED - user_id property set to 'somebody' but authenticated user was 'guest'",
        ),
        (
            vec![("destination", "/queue/amq.mine")],
            "access_refused",
            "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
        ),
    ] {
        let mut client = server.client().await;
        client.send("SEND", &headers, "").await;
        assert_eq!(client.last_error(message).await.body, detail);
    }
}

#[tokio::test]
async fn what_a_user_may_not_do_is_refused() {
    let server = Server::new();
    server.permit("^mine$", "^(amq\\.default|amq\\.topic|)$", "^mine$").await;
    for destination in ["/queue/yours", "/exchange/amq.direct/k"] {
        let mut client = server.client().await;
        client.publish(destination, &[], "x").await;
        let refused = client.last_error("access_refused").await;
        assert!(refused.body.contains("refused for user 'guest'"), "{refused:?}");
    }
    let permission = TopicPermission::new("amq.topic", "^mine\\.", ".*").expect("patterns");
    server.broker.set_topic_permission("guest", "/", permission).await.expect("is set");
    let mut client = server.client().await;
    client.publish("/queue/mine", &[("receipt", "1")], "").await;
    client.publish("/topic/mine.a", &[("receipt", "2")], "").await;
    client.receipt("1").await;
    client.receipt("2").await;
    client.publish("/topic/yours.a", &[], "").await;
    client.last_error("access_refused").await;
}

#[tokio::test]
async fn a_publisher_is_told_of_a_message_that_a_full_queue_refuses() {
    let server = Server::new();
    let mut client = server.client().await;
    let full = [("x-max-length", "1"), ("x-overflow", "reject-publish")];
    for (id, refused) in [("1", false), ("2", true), ("3", true)] {
        let headers: Vec<_> = full.into_iter().chain([("receipt", id), ("persistent", "true")]).collect();
        client.publish("/queue/a", &headers, id).await;
        if refused {
            assert_eq!(client.error("Message refused").await.get("receipt-id"), id);
        } else {
            client.receipt(id).await;
        }
    }
    assert_eq!(server.queue("a").ready, 1);
}

#[tokio::test]
async fn a_full_disk_holds_a_publisher_back_and_loses_nothing() {
    let server = Server::new();
    let mut client = server.client().await;
    client.publish("/queue/a", &[("receipt", "0")], "0").await;
    client.receipt("0").await;
    server.faults.set_full(true);
    client.publish("/queue/a", &[("receipt", "1"), ("persistent", "true")], "1").await;
    client.publish("/queue/a", &[("receipt", "2"), ("persistent", "true")], "2").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(server.queue("a").ready, 1);
    server.faults.set_full(false);
    client.receipt("1").await;
    client.receipt("2").await;
    assert_eq!(server.queue("a").ready, 3);
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_declared_again() {
    let server = Server::new();
    let mut client = server.client().await;
    for id in ["1", "2"] {
        client.publish("/queue/a", &[("receipt", id)], id).await;
        client.receipt(id).await;
        assert_eq!(server.queue("a").ready, 1);
        let vhost = server.vhost();
        vhost.delete_queue("a", gantry_broker::DeleteQueue::default(), 0).await.expect("is deleted");
    }
}

#[tokio::test]
async fn a_question_is_answered_by_a_queue_that_nobody_declared() {
    let server = Server::new();
    let (mut asking, mut answering) = (server.client().await, server.client().await);
    answering.subscribe("1", "/queue/questions", &[]).await;
    for (question, name) in [("one", "a"), ("two", "a"), ("three", "b")] {
        let reply_to = format!("/temp-queue/{name}");
        asking.publish("/queue/questions", &[("reply-to", &reply_to)], question).await;
        let asked = answering.message(question).await;
        let address = asked.get("reply-to").to_owned();
        assert!(address.starts_with("/reply-queue/amq.gen-"), "{address}");
        answering.publish(&address, &[], "answer").await;
        assert_eq!(asking.message("answer").await.get("subscription"), reply_to);
    }
    assert_eq!(server.vhost().queues().len(), 3);
    asking.vanish().await;
    assert_eq!(server.vhost().queues().len(), 1);
}

#[tokio::test]
async fn bodies_and_headers_have_limits() {
    let settings = Settings { message_bytes_max: 1_000, header_bytes_max: 2_048, ..Settings::default() };
    let server = Server::with(settings);
    for (headers, body) in [
        ([("receipt", "1"), ("a", "b")], "x".repeat(1_001)),
        ([("content-length", "1001"), ("a", "b")], String::new()),
        ([("receipt", "1"), ("a", &"x".repeat(2_048) as &str)], String::new()),
    ] {
        let mut client = server.client().await;
        client.publish("/queue/a", &headers, &body).await;
        client.last_error("Invalid frame").await;
    }
    let mut client = server.client().await;
    client.publish("/queue/a", &[("receipt", "1"), ("content-length", "3")], "a\0b").await;
    client.receipt("1").await;
    client.subscribe("1", "/queue/a", &[]).await;
    client.message("a\0b").await;
}
