//! ActiveMQ's dialect.

use std::time::Duration;

use gantry_broker::DeleteQueue;
use gantry_stomp::{Dialect, Settings};

use crate::client::{Client, Server};

fn server() -> Server {
    Server::with(Settings { dialect: Dialect::ActiveMq, ..Settings::default() })
}

async fn named(server: &Server, id: &str) -> Client {
    let mut client = server.open();
    client.send("CONNECT", &[("accept-version", "1.2"), ("client-id", id)], "").await;
    assert_eq!(client.next().await.command, "CONNECTED");
    client
}

async fn unsubscribe(client: &mut Client, headers: &[(&str, &str)]) {
    let all: Vec<_> = [("receipt", "unsubscribed")].into_iter().chain(headers.iter().copied()).collect();
    client.send("UNSUBSCRIBE", &all, "").await;
    client.receipt("unsubscribed").await;
}

async fn publish(client: &mut Client, destination: &str, headers: &[(&str, &str)], body: &str) {
    let all: Vec<_> = [("receipt", "sent")].into_iter().chain(headers.iter().copied()).collect();
    client.publish(destination, &all, body).await;
    client.receipt("sent").await;
}

#[tokio::test]
async fn a_message_goes_to_all_parts_of_a_destination_or_to_none() {
    let server = server();
    let (mut client, mut sender) = (server.client().await, server.client().await);
    client.subscribe("t", "topic://t.>", &[]).await;
    publish(&mut sender, "/queue/a,b,topic://t.x", &[("persistent", "true")], "x").await;
    assert_eq!(client.message("x").await.get("destination"), "/topic/t.x");
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (1, 1));
    // In a transaction, too.
    sender.send("BEGIN", &[("transaction", "1")], "").await;
    sender.publish("/queue/a,b", &[("transaction", "1")], "y").await;
    assert!(sender.settle().await.is_empty());
    assert_eq!(server.queue("a").ready, 1);
    sender.send("COMMIT", &[("transaction", "1"), ("receipt", "c")], "").await;
    sender.receipt("c").await;
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (2, 2));
    // One that the user may not write to, and the others have nothing either.
    server.permit(".*", "^$", ".*").await;
    let mut refused = server.client().await;
    refused.publish("/queue/a,b", &[], "z").await;
    refused.last_error("access_refused").await;
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (2, 2));
}

#[tokio::test]
async fn a_queue_of_several_that_was_deleted_is_there_again() {
    let server = server();
    let mut sender = server.client().await;
    publish(&mut sender, "/queue/a,b", &[], "x").await;
    server.vhost().delete_queue("b", DeleteQueue::default(), 0).await.expect("is deleted");
    publish(&mut sender, "/queue/a,b", &[], "y").await;
    assert_eq!((server.queue("a").ready, server.queue("b").ready), (2, 1));
}

#[tokio::test]
async fn one_subscription_has_several_queues() {
    let server = server();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/a,b", &[]).await;
    publish(&mut client, "/queue/b", &[], "x").await;
    let message = client.message("x").await;
    assert_eq!((message.get("subscription"), message.get("destination")), ("1", "/queue/b"));
    unsubscribe(&mut client, &[("id", "1")]).await;
    assert_eq!((server.queue("a").consumers, server.queue("b").consumers), (0, 0));
    // Where one part is refused, none of them is left behind.
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a,/remote-temp-queue/none")], "").await;
    client.last_error("not_found").await;
    assert_eq!(server.queue("a").consumers, 0);
}

#[tokio::test]
async fn consumers_of_a_virtual_topic_share_by_name() {
    let server = server();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/Consumer.A.VirtualTopic.T", &[]).await;
    client.subscribe("2", "/queue/Consumer.B.VirtualTopic.>", &[]).await;
    publish(&mut client, "/topic/VirtualTopic.T", &[], "x").await;
    let mut names = Vec::new();
    for _ in 0..2 {
        names.push(client.message("x").await.get("destination").to_owned());
    }
    names.sort_unstable();
    assert_eq!(names, ["/queue/Consumer.A.VirtualTopic.T", "/queue/Consumer.B.VirtualTopic.>"]);
}

#[tokio::test]
async fn a_temporary_destination_is_its_connections_own() {
    let server = server();
    for kind in ["queue", "topic"] {
        let (mut client, mut other) = (server.client().await, server.client().await);
        let own = format!("/temp-{kind}/answers");
        client.subscribe("1", &own, &[]).await;
        other.subscribe("9", "/queue/service", &[]).await;
        client.publish("/queue/service", &[("reply-to", &own)], "question").await;
        let address = other.message("question").await.get("reply-to").to_owned();
        assert!(address.starts_with(&format!("/remote-temp-{kind}/amq.gen-")), "{address}");
        // What another connection calls so is another one, and this one it cannot consume from.
        other.publish(&own, &[], "to myself").await;
        other.publish(&address, &[], "answer").await;
        assert_eq!(client.message("answer").await.get("destination"), own);
        let steals: Vec<String> = [address.clone(), address.replace("remote-temp-topic", "queue")]
            .into_iter()
            .map(|text| text.replace("/remote-temp-queue/", "/queue/"))
            .collect();
        other.send("SUBSCRIBE", &[("id", "s"), ("destination", &steals[usize::from(kind == "topic")])], "").await;
        other.last_error("resource_locked").await;
        let name = address.rsplit('/').next().expect("a name").to_owned();
        client.vanish().await;
        assert!(server.vhost().queue_of_anyone(&name).is_err());
    }
}

#[tokio::test]
async fn a_durable_subscription_is_found_by_client_and_name() {
    let server = server();
    let subscription = [("activemq.subscriptionName", "s")];
    let mut client = named(&server, "c:1").await;
    client.subscribe("1", "/topic/news", &subscription).await;
    client.vanish().await;
    let mut sender = server.client().await;
    publish(&mut sender, "/topic/news", &[("persistent", "true")], "kept").await;
    let server = server.crash();
    let mut client = named(&server, "c:1").await;
    client.subscribe("1", "/topic/news", &subscription).await;
    client.message("kept").await;
    // A plain end of the subscription keeps it; this ends it for good.
    unsubscribe(&mut client, &[("id", "1")]).await;
    assert_eq!(server.queue("activemq-subscription-c%3A1:s").consumers, 0);
    unsubscribe(&mut client, &[("id", "1"), ("activemq.subscriptionName", "s")]).await;
    assert!(server.vhost().queue_of_anyone("activemq-subscription-c%3A1:s").is_err());
    // One that is to another topic is another subscription.
    client.subscribe("1", "/topic/news", &subscription).await;
    unsubscribe(&mut client, &[("id", "1")]).await;
    publish(&mut client, "/topic/news", &[], "old").await;
    client.subscribe("1", "/topic/other", &subscription).await;
    publish(&mut client, "/topic/news", &[], "lost").await;
    publish(&mut client, "/topic/other", &[], "new").await;
    client.message("new").await;
    // Without a client-id nobody would find it again.
    let mut nobody = server.client().await;
    nobody.send("SUBSCRIBE", &[("id", "1"), ("destination", "/topic/t"), subscription[0]], "").await;
    nobody.error("Missing header").await;
}

#[tokio::test]
async fn a_client_id_has_one_connection() {
    let server = server();
    let first = named(&server, "c").await;
    let mut second = server.open();
    second.send("CONNECT", &[("accept-version", "1.2"), ("client-id", "c")], "").await;
    second.last_error("Client: c already connected").await;
    first.vanish().await;
    named(&server, "c").await;
}

#[tokio::test]
async fn a_consumer_has_what_it_selects() {
    let server = server();
    let (mut client, mut other) = (server.client().await, server.client().await);
    client.subscribe("1", "/queue/q", &[("selector", "n > 5 AND colour = 'red'")]).await;
    client.subscribe("2", "/topic/t", &[("activemq.noLocal", "true")]).await;
    for (n, colour) in [("3", "red"), ("7", "blue"), ("9", "red")] {
        publish(&mut other, "/queue/q", &[("n", n), ("colour", colour)], n).await;
    }
    client.message("9").await;
    assert_eq!(server.queue("q").ready, 2);
    publish(&mut client, "/topic/t", &[], "own").await;
    publish(&mut other, "/topic/t", &[], "another's").await;
    client.message("another's").await;
    client.send("SUBSCRIBE", &[("id", "3"), ("destination", "/queue/q"), ("selector", "n >")], "").await;
    client.error("Invalid selector").await;
}

#[tokio::test]
async fn an_exclusive_consumer_has_all_until_it_goes() {
    let server = server();
    let (mut one, mut two) = (server.client().await, server.client().await);
    one.subscribe("1", "/queue/q", &[("activemq.exclusive", "true")]).await;
    two.subscribe("1", "/queue/q", &[("activemq.exclusive", "true")]).await;
    for body in ["a", "b"] {
        publish(&mut two, "/queue/q", &[], body).await;
        one.message(body).await;
    }
    one.vanish().await;
    publish(&mut two, "/queue/q", &[], "c").await;
    two.message("c").await;
}

#[tokio::test]
async fn what_is_refused_is_a_dead_letter() {
    let server = server();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/q", &[("ack", "client-individual")]).await;
    for (persistent, left) in [("true", 1), ("false", 1)] {
        publish(&mut client, "/queue/q", &[("persistent", persistent)], "x").await;
        let id = client.message("x").await.get("ack").to_owned();
        client.send("NACK", &[("id", &id), ("receipt", "n")], "").await;
        client.receipt("n").await;
        assert_eq!((server.queue("q").unacked, server.queue("q").ready), (0, 0));
        assert_eq!(server.queue("ActiveMQ.DLQ").ready, left, "persistent:{persistent}");
    }
    let server = server.crash();
    assert_eq!((server.queue("q").ready, server.queue("ActiveMQ.DLQ").ready), (0, 1));
    let mut client = server.client().await;
    client.subscribe("1", "/queue/ActiveMQ.DLQ", &[]).await;
    assert_eq!(client.message("x").await.get("original-destination"), "/queue/q");
}

#[tokio::test]
async fn what_is_refused_in_a_transaction_is_a_dead_letter_once_it_is_committed() {
    let server = server();
    let (mut client, mut sender) = (server.client().await, server.client().await);
    client.subscribe("1", "/queue/q", &[("ack", "client-individual")]).await;
    for body in ["a", "b", "c"] {
        publish(&mut sender, "/queue/q", &[("persistent", "true")], body).await;
    }
    client.send("BEGIN", &[("transaction", "t")], "").await;
    for (body, command) in [("a", "NACK"), ("b", "ACK"), ("c", "NACK")] {
        let id = client.message(body).await.get("ack").to_owned();
        client.send(command, &[("id", &id), ("transaction", "t")], "").await;
    }
    assert!(client.settle().await.is_empty());
    assert_eq!(server.queue("q").unacked, 3);
    // Whoever deletes the queue meanwhile does not take the letters with it.
    let dead = server.vhost().queue_of_anyone("ActiveMQ.DLQ").unwrap();
    server.vhost().delete_queue("ActiveMQ.DLQ", DeleteQueue::default(), 0).await.unwrap();
    drop(dead);
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")], "").await;
    client.receipt("c").await;
    assert_eq!((server.queue("q").unacked, server.queue("q").ready), (0, 0));
    assert_eq!(server.queue("ActiveMQ.DLQ").ready, 2);
    let server = server.crash();
    assert_eq!((server.queue("q").ready, server.queue("ActiveMQ.DLQ").ready), (0, 2));
}

#[tokio::test]
async fn what_cannot_be_refused_for_want_of_space_goes_back_with_the_connection() {
    let server = server();
    let (mut client, mut sender) = (server.client().await, server.client().await);
    client.subscribe("1", "/queue/q", &[("ack", "client-individual"), ("activemq.exclusive", "true")]).await;
    publish(&mut sender, "/queue/q", &[("persistent", "true")], "first").await;
    publish(&mut sender, "/queue/q", &[("persistent", "true")], "second").await;
    let first = client.message("first").await.get("ack").to_owned();
    let second = client.message("second").await.get("ack").to_owned();
    client.send("NACK", &[("id", &first), ("receipt", "n")], "").await;
    client.receipt("n").await;
    server.faults.set_full(true);
    client.send("NACK", &[("id", &second)], "").await;
    client.last_error("resource_error").await;
    server.faults.set_full(false);
    assert_eq!((server.queue("q").ready, server.queue("ActiveMQ.DLQ").ready), (1, 1));
    let mut next = server.client().await;
    next.subscribe("1", "/queue/q", &[("activemq.exclusive", "true")]).await;
    assert_eq!(next.message("second").await.get("redelivered"), "true");
}

#[tokio::test]
async fn a_subscription_to_several_of_which_one_cannot_be_had_loses_nothing() {
    let server = server();
    let mut sender = server.client().await;
    publish(&mut sender, "/queue/a", &[("persistent", "true")], "x").await;
    server.permit(".*", ".*", "^a$").await;
    let mut client = server.client().await;
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/a,/queue/denied")], "").await;
    // It was granted at once, and wants no acknowledgement: the client has it, and is told that there is no subscription.
    let mut seen = Vec::new();
    while let Some(frame) = client.read().await {
        seen.push((frame.command, frame.body));
        if seen.last().is_some_and(|(command, _)| command == "ERROR") {
            break;
        }
    }
    let had = seen.iter().filter(|(command, body)| command == "MESSAGE" && body == "x").count();
    assert_eq!(had + server.queue("a").ready, 1, "{seen:?}");
}

#[tokio::test]
async fn a_message_comes_when_it_is_due() {
    let server = server();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/q", &[]).await;
    let later =
        [("AMQ_SCHEDULED_DELAY", "60"), ("AMQ_SCHEDULED_PERIOD", "40"), ("AMQ_SCHEDULED_REPEAT", "1"), ("a", "b")];
    let sent = tokio::time::Instant::now();
    publish(&mut client, "/queue/q", &later, "late").await;
    publish(&mut client, "/queue/q", &[], "now").await;
    client.message("now").await;
    for due_ms in [60, 100] {
        let message = client.message("late").await;
        assert!(sent.elapsed() >= Duration::from_millis(due_ms), "{:?}", sent.elapsed());
        assert_eq!((message.get("a"), message.find("AMQ_SCHEDULED_DELAY")), ("b", None));
    }
    for wrong in [("AMQ_SCHEDULED_DELAY", "x"), ("AMQ_SCHEDULED_CRON", "nonsense"), ("AMQ_SCHEDULED_REPEAT", "-1")] {
        client.publish("/queue/q", &[wrong], "never").await;
        let error = client.next().await;
        assert_eq!(error.command, "ERROR", "{wrong:?}");
    }
    // An aborted transaction leaves nothing behind.
    client.send("BEGIN", &[("transaction", "1")], "").await;
    client.publish("/queue/q", &[("transaction", "1"), ("AMQ_SCHEDULED_DELAY", "60000")], "x").await;
    assert!(client.settle().await.is_empty());
    client.send("ABORT", &[("transaction", "1"), ("receipt", "a")], "").await;
    client.receipt("a").await;
    assert_eq!(server.vhost().scheduled(), 0);
    client.send("BEGIN", &[("transaction", "1")], "").await;
    client.publish("/queue/q", &[("transaction", "1"), ("AMQ_SCHEDULED_DELAY", "60000")], "x").await;
    client.send("COMMIT", &[("transaction", "1"), ("receipt", "c")], "").await;
    client.receipt("c").await;
    assert_eq!(server.vhost().scheduled(), 1);
}

#[tokio::test]
async fn a_text_has_no_length_and_a_transformation_is_refused() {
    let server = server();
    let mut client = server.client().await;
    client.subscribe("1", "/queue/q", &[]).await;
    publish(&mut client, "/queue/q", &[("expires", "0")], "text").await;
    let text = client.message("text").await;
    assert_eq!((text.find("content-length"), text.get("priority"), text.get("expires")), (None, "4", "0"));
    assert!(text.get("timestamp").parse::<u64>().is_ok());
    publish(&mut client, "/queue/q", &[("content-length", "3")], "a\0b").await;
    assert_eq!(client.message("a\0b").await.get("content-length"), "3");
    for command in ["SEND", "SUBSCRIBE"] {
        let headers = [("destination", "/queue/q"), ("id", "2"), ("transformation", "jms-map-xml")];
        client.send(command, &headers, "").await;
        assert!(client.error("Invalid header").await.body.contains("'transformation' is not supported"));
    }
}

#[tokio::test]
async fn advisories_are_made_where_somebody_listens() {
    let server = server();
    let mut quiet = server.client().await;
    quiet.subscribe("1", "/queue/q", &[]).await;
    let mut watcher = server.client().await;
    watcher.subscribe("c", "/topic/ActiveMQ.Advisory.Connection", &[]).await;
    watcher.subscribe("q", "/topic/ActiveMQ.Advisory.Consumer.Queue.>", &[]).await;
    let mut client = named(&server, "seen").await;
    let connected = watcher.next().await;
    assert_eq!((connected.get("subscription"), connected.get("type")), ("c", "Advisory"));
    assert!(connected.body.contains("\"ConnectionInfo\"") && connected.body.contains("\"seen\""), "{connected:?}");
    client.subscribe("2", "/topic/any", &[]).await;
    client.subscribe("1", "/queue/q", &[]).await;
    let consumes = watcher.next().await;
    assert_eq!((consumes.get("subscription"), consumes.get("consumerCount")), ("q", "2"));
    assert_eq!(consumes.get("destination"), "/topic/ActiveMQ.Advisory.Consumer.Queue.q");
    client.vanish().await;
    assert_eq!(watcher.next().await.get("consumerCount"), "1");
    assert!(watcher.next().await.body.contains("RemoveInfo"));
}
