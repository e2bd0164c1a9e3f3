use super::*;

/// [MQTT-3.1.2-5], [MQTT-4.1.0-1], and a kill -9.
#[tokio::test]
async fn a_session_is_there_after_a_crash_with_its_subscriptions_and_messages() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    let first = SubscribeOptions { no_local: true, retain_as_published: true, ..options(QoS::ExactlyOnce) };
    fake.subscribe(&[("a/+", first), ("b", options(QoS::AtMostOnce))]).await;
    fake.subscribe_one("$share/g/s", QoS::AtLeastOnce).await;
    for (topic, body) in [("a/x", "one"), ("s", "shared"), ("b", "lost")] {
        assert_eq!(rig.publish(topic, QoS::AtLeastOnce, body), 1);
    }
    fake.held.marks().put(7).unwrap();
    let rig = rig.crash();
    assert_eq!(rig.sessions.counts().subscriptions, 3);
    let mut fake = rig.open("c", Ask::default()).await;
    assert!(fake.present);
    assert_eq!(fake.held.marks().numbers(), [7]);
    let mut bodies = fake.next_bodies().await;
    bodies.sort_unstable();
    assert_eq!(bodies, ["one", "shared"]);
    let subscription = fake.held.subscriptions_mut().get(None, "a/+").unwrap();
    assert_eq!(subscription.options, first);
    assert_eq!(rig.publish("b", QoS::AtMostOnce, "direct again"), 1);
    assert_eq!(fake.bodies(), ["direct again"]);
}

#[tokio::test]
async fn the_time_without_a_connection_goes_on_over_a_restart() {
    let rig = Rig::new();
    rig.open("c", Ask::default()).await.close(End::Lost);
    rig.age("c", 60);
    rig.sessions.stop();
    let rig = rig.crash();
    rig.age("c", 39);
    assert_eq!(rig.sessions.counts().sessions, 1);
    rig.age("c", 2);
    until(|| rig.sessions.counts().sessions == 0).await;
}

#[tokio::test]
async fn a_session_that_was_connected_when_the_process_died_waits_from_then_on() {
    let rig = Rig::new();
    let fake = rig.open("c", Ask::default()).await;
    let rig = rig.crash();
    drop(fake);
    rig.age("c", 99);
    assert!(rig.open("c", Ask::default()).await.present);
}

/// [MQTT-3.1.2-8], [MQTT-3.1.3-9]
#[tokio::test]
async fn a_will_survives_and_is_published_when_it_is_due_by_the_user_that_left_it() {
    let rig = Rig::new();
    let mut listener = rig.open("listener", Ask::default()).await;
    listener.subscribe_one("w/#", QoS::AtLeastOnce).await;
    let ask = |client: &str, delay_s| Ask { will: Some(will(&format!("w/{client}"), delay_s)), ..Ask::default() };
    let connected = rig.open("connected", ask("connected", 0)).await;
    let returns = rig.open("returns", ask("returns", 50)).await;
    rig.open("waits", ask("waits", 50)).await.close(End::Lost);
    rig.open("normal", ask("normal", 0)).await.close(End::Normal);
    rig.open("published", ask("published", 0)).await.close(End::Lost);
    assert_eq!(listener.bodies().len(), 1);
    let rig = rig.crash();
    drop((connected, returns));
    rig.open("returns", Ask::default()).await.close(End::Normal);
    let listener = rig.open("listener", Ask::default()).await;
    // The one that was connected is lost, and has no delay.
    until(|| rig.place("connected").inner.lock().kept.as_ref().is_some_and(|kept| kept.will.is_none())).await;
    assert_eq!(listener.bodies().len(), 1);
    rig.age("waits", 51);
    rig.age("returns", 51);
    rig.age("normal", 51);
    assert_eq!(listener.next_bodies().await.len(), 1);
}

/// What was made by halves is made whole: a row without its queue, a row without its binding.
#[tokio::test]
async fn queues_and_bindings_that_rows_name_are_there_after_a_start() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    fake.subscribe_one("b", QoS::AtLeastOnce).await;
    fake.subscribe_one("$share/g/s", QoS::AtLeastOnce).await;
    // As if only the rows had got to the disk.
    let none = gantry_broker::value::Table::new();
    let queue = (gantry_broker::Kind::Queue, "mqtt-subscription-c");
    rig.vhost.unbind("amq.topic", queue, b"b", &none, 0).await.unwrap();
    let gone = gantry_broker::DeleteQueue::default();
    rig.vhost.delete_queue("mqtt-shared-subscription-g/s", gone, 0).await.unwrap();
    let rig = rig.crash();
    for topic in ["a", "b", "s"] {
        // A queue that is new is there once its row is.
        until(|| rig.publish(topic, QoS::AtLeastOnce, topic) == 1).await;
    }
    rig.vhost.delete_queue("mqtt-subscription-c", gone, 0).await.unwrap();
    let rig = rig.crash();
    until(|| rig.publish("a", QoS::AtLeastOnce, "x") == 1).await;
    assert_eq!(rig.publish("b", QoS::AtLeastOnce, "x"), 1);
    let fake = rig.open("c", Ask::default()).await;
    let mut bodies = fake.next_bodies().await;
    bodies.sort_unstable();
    assert_eq!(bodies, ["s", "x", "x"]);
}

/// What was ended by halves is ended: the row says so before anything goes.
#[tokio::test]
async fn a_session_that_was_ending_is_gone_after_a_start_with_everything_that_was_its_own() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    fake.subscribe_one("$share/g/s", QoS::AtLeastOnce).await;
    let mut row: rows::SessionRow =
        serde_json::from_slice(&rig.broker.kept_rows(rows::SESSIONS).unwrap()[0].1).unwrap();
    row.ending = true;
    let (key, value) = row.encode().unwrap();
    rig.broker.keep_row(rows::SESSIONS, key, Some(value)).wait().await.unwrap();
    let rig = rig.crash();
    assert_eq!(rig.queue_names(), [""; 0]);
    assert_eq!((rig.rows(), rig.vhost.marks_names().len()), ((0, 0), 0));
    assert_eq!(rig.sessions.counts(), SessionCounts::default());
    assert!(!rig.open("c", Ask::default()).await.present);
}

#[tokio::test]
async fn what_no_row_names_goes_and_what_is_somebody_elses_stays() {
    let rig = Rig::new();
    let mut passes = rig.open("passes", passing()).await;
    passes.subscribe_one("$share/g/s", QoS::AtLeastOnce).await;
    rig.vhost.marks("mqtt-subscription-nobody").unwrap().1.wait().await.unwrap();
    rig.vhost.marks("another-protocol").unwrap().1.wait().await.unwrap();
    let options = gantry_broker::QueueOptions { durable: true, ..Default::default() };
    let name = gantry_broker::QueueName::Given("mqtt-subscription-by-hand");
    rig.vhost.declare_queue(name, options, 0).await.unwrap();
    let orphan = rows::SubscriptionRow {
        version: 1,
        vhost: "/".to_owned(),
        client: "nobody".to_owned(),
        group: None,
        filter: "a".to_owned(),
        qos: 1,
        no_local: false,
        retain_as_published: false,
        id: None,
    };
    let (key, value) = orphan.encode().unwrap();
    rig.broker.keep_row(rows::SUBSCRIPTIONS, key, Some(value)).wait().await.unwrap();
    let rig = rig.crash();
    drop(passes);
    assert_eq!(rig.queue_names(), ["mqtt-subscription-by-hand"]);
    assert_eq!(rig.rows(), (0, 0));
    assert_eq!(rig.vhost.marks_names().iter().map(|name| &**name).collect::<Vec<_>>(), ["another-protocol"]);
}

#[tokio::test]
async fn rows_of_a_later_version_stop_the_start_and_say_so() {
    let rig = Rig::new();
    let value = br#"{"version":2,"vhost":"/","client":"c","user":"guest","expiry_s":1}"#.to_vec();
    rig.broker.keep_row(rows::SESSIONS, rows::session_key("/", "c"), Some(value)).wait().await.unwrap();
    let error = Sessions::new(Arc::clone(&rig.broker), settings()).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}
