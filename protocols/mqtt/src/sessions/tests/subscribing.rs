use super::*;
use crate::subscriptions::{TOKEN_DIRECT, TOKEN_OWN};

/// [MQTT-3.8.4-1], [MQTT-3.8.4-6], [MQTT-3.9.3-1]
#[tokio::test]
async fn each_filter_is_answered_and_led_to_the_queue_of_its_qos() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    let filters =
        [("a/+", options(QoS::AtMostOnce)), ("b/#", options(QoS::ExactlyOnce)), ("c/#/d", options(QoS::AtLeastOnce))];
    let (reasons, _) = fake.subscribe(&filters).await;
    assert_eq!(reasons.as_slice(), [Reason::GRANTED_QOS_0, Reason::GRANTED_QOS_2, Reason::TOPIC_FILTER_INVALID]);
    assert_eq!(rig.queue_names(), ["mqtt-qos0-subscription-c", "mqtt-subscription-c"]);
    assert_eq!(rig.publish("a/x", QoS::AtLeastOnce, "one"), 1);
    assert_eq!(rig.publish("b", QoS::AtLeastOnce, "two"), 1);
    assert_eq!(rig.publish("c", QoS::AtLeastOnce, "three"), 0);
    assert_eq!(fake.take(), [(TOKEN_DIRECT, "one".to_owned()), (TOKEN_OWN, "two".to_owned())]);
    assert_eq!(rig.sessions.counts().subscriptions, 2);
}

/// [MQTT-3.10.4-1], [MQTT-3.10.4-4], [MQTT-3.11.3-2]
#[tokio::test]
async fn whoever_unsubscribes_gets_nothing_more_and_is_told_what_was_there() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtMostOnce).await;
    fake.subscribe_one("b", QoS::AtLeastOnce).await;
    assert_eq!(fake.unsubscribe("a").await, Reason::SUCCESS);
    assert_eq!(fake.unsubscribe("b").await, Reason::SUCCESS);
    assert_eq!(fake.unsubscribe("b").await, Reason::NO_SUBSCRIPTION_EXISTED);
    assert_eq!(fake.unsubscribe("$share/g/b").await, Reason::NO_SUBSCRIPTION_EXISTED);
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x") + rig.publish("b", QoS::AtLeastOnce, "x"), 0);
    assert_eq!((rig.rows(), rig.sessions.counts().subscriptions), ((1, 0), 0));
}

/// [MQTT-3.8.4-3], [MQTT-3.8.4-4]
#[tokio::test]
async fn another_qos_moves_the_binding_and_what_waits_stays() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    rig.publish("a", QoS::AtLeastOnce, "waits");
    for (qos, token) in [(QoS::AtMostOnce, TOKEN_DIRECT), (QoS::ExactlyOnce, TOKEN_OWN), (QoS::AtLeastOnce, TOKEN_OWN)]
    {
        assert_eq!(fake.subscribe_one("a", qos).await, Reason(qos as u8));
        assert_eq!(rig.publish("a", QoS::AtLeastOnce, "now"), 1, "one binding, {qos:?}");
        let taken = fake.take();
        assert_eq!(taken.last(), Some(&(token, "now".to_owned())), "{qos:?}");
        if qos == QoS::AtMostOnce {
            assert_eq!(taken[0], (TOKEN_OWN, "waits".to_owned()));
        }
        assert_eq!((rig.sessions.counts().subscriptions, rig.rows()), (1, (1, 1)));
    }
}

/// [MQTT-3.8.4-4]: publishing goes on while the QoS changes again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_missing_while_the_qos_changes() {
    let rig = Arc::new(Rig::new());
    let mut fake = rig.open("c", Ask { receive_max: 1 << 20, ..Ask::default() }).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    let publisher = {
        let rig = Arc::clone(&rig);
        tokio::task::spawn_blocking(move || {
            (0..5000).for_each(|n| _ = rig.publish("a", QoS::AtLeastOnce, &n.to_string()))
        })
    };
    let mut got = Vec::new();
    let mut round = 0;
    while !publisher.is_finished() {
        fake.subscribe_one("a", [QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtLeastOnce][round % 3]).await;
        got.extend(fake.bodies());
        round += 1;
    }
    publisher.await.unwrap();
    got.extend(fake.bodies());
    let mut numbers: Vec<u32> = got.iter().map(|body| body.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert!(round > 3);
    assert_eq!(numbers.len(), 5000);
}

#[tokio::test]
async fn limits_of_filters_are_kept() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    let long = "x".repeat(101);
    assert_eq!(fake.subscribe_one(&long, QoS::AtMostOnce).await, Reason::TOPIC_FILTER_INVALID);
    // In one packet, too.
    let names: Vec<String> = (0..30).map(|n| format!("t/{n}")).collect();
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), options(QoS::AtMostOnce))).collect();
    let (reasons, _) = fake.subscribe(&all).await;
    assert!(reasons[..20].iter().all(|reason| *reason == Reason::GRANTED_QOS_0));
    assert!(reasons[20..].iter().all(|reason| *reason == Reason::QUOTA_EXCEEDED));
    // One that is there may change.
    assert_eq!(fake.subscribe_one("t/3", QoS::AtLeastOnce).await, Reason::GRANTED_QOS_1);
    assert_eq!(fake.unsubscribe("t/4").await, Reason::SUCCESS);
    assert_eq!(fake.subscribe_one("another", QoS::AtLeastOnce).await, Reason::GRANTED_QOS_1);
}

/// [MQTT-3.8.4-5], with one filter more than once in a packet.
#[tokio::test]
async fn a_filter_that_comes_twice_in_a_packet_is_one_subscription_as_said_last() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    for qos in [[QoS::AtMostOnce, QoS::AtLeastOnce], [QoS::AtLeastOnce, QoS::AtMostOnce]] {
        let (reasons, _) = fake.subscribe(&[("a", options(qos[0])), ("a", options(qos[1]))]).await;
        assert_eq!(reasons.as_slice(), [Reason(qos[0] as u8), Reason(qos[1] as u8)]);
        assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 1, "{qos:?}");
        assert_eq!(fake.bodies(), ["x"]);
        assert_eq!((rig.sessions.counts().subscriptions, rig.rows()), (1, (1, 1)));
    }
}

/// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
#[tokio::test]
async fn retained_messages_are_wanted_as_retain_handling_says() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    for (handling, first, again) in
        [(RetainHandling::Send, 1, 1), (RetainHandling::SendIfNew, 1, 0), (RetainHandling::DoNotSend, 0, 0)]
    {
        let options = SubscribeOptions { retain_handling: handling, ..options(QoS::AtLeastOnce) };
        assert_eq!(fake.subscribe(&[("a", options)]).await.1.len(), first, "{handling:?}");
        assert_eq!(fake.subscribe(&[("a", options)]).await.1.len(), again, "{handling:?}");
        fake.unsubscribe("a").await;
    }
    // 3.8.3.1: never for shared ones.
    assert_eq!(fake.subscribe(&[("$share/g/a", options(QoS::AtLeastOnce))]).await.1.len(), 0);
}

/// 3.8.4; rights as RabbitMQ asks for them.
#[tokio::test]
async fn who_may_not_read_is_refused_filter_by_filter() {
    let rig = Rig::new();
    rig.add_user("reader", Permission::new("^mqtt-", "^mqtt-", "^(mqtt-.*|amq\\.topic)$").unwrap()).await;
    rig.add_user("nobody", Permission::new("", "", "").unwrap()).await;
    let mut fake = rig.open("r", Ask { user: "reader", ..Ask::default() }).await;
    assert_eq!(fake.subscribe_one("a", QoS::AtLeastOnce).await, Reason::GRANTED_QOS_1);
    assert_eq!(fake.subscribe_one("$SYS/#", QoS::AtMostOnce).await, Reason::NOT_AUTHORIZED);
    let mut fake = rig.open("n", Ask { user: "nobody", ..Ask::default() }).await;
    for filter in ["a", "$share/g/a", "$SYS/#"] {
        assert_eq!(fake.subscribe_one(filter, QoS::AtLeastOnce).await, Reason::NOT_AUTHORIZED, "{filter}");
    }
    assert_eq!(rig.queue_names(), ["mqtt-subscription-r"]);
}

#[tokio::test]
async fn another_user_gets_a_session_of_their_own_and_nothing_of_what_waited() {
    let rig = Rig::new();
    rig.add_user("other", Permission::new(".*", ".*", ".*").unwrap()).await;
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("secret", QoS::AtLeastOnce).await;
    fake.close(End::Lost);
    rig.publish("secret", QoS::AtLeastOnce, "waits");
    let fake = rig.open("c", Ask { user: "other", ..Ask::default() }).await;
    assert!(!fake.present);
    assert_eq!(rig.publish("secret", QoS::AtLeastOnce, "now"), 0);
    assert_eq!(fake.bodies(), [""; 0]);
    assert_eq!(rig.rows(), (1, 0));
}

#[tokio::test]
async fn a_full_disk_refuses_a_subscription_and_leaves_nothing_of_it() {
    let rig = Rig::new();
    // Row of the subscription, row of the queue, row of the binding.
    for n in 1..=3 {
        let mut fake = rig.open("c", Ask { clean_start: true, ..Ask::default() }).await;
        rig.table.fail_commit(n, gantry_storage::TableError::Full);
        assert_eq!(fake.subscribe_one("a", QoS::AtLeastOnce).await, Reason::QUOTA_EXCEEDED, "commit {n}");
        assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 0, "commit {n}");
        assert_eq!((rig.sessions.counts().subscriptions, rig.rows()), (0, (1, 0)), "commit {n}");
        assert_eq!(fake.subscribe_one("a", QoS::AtLeastOnce).await, Reason::GRANTED_QOS_1, "commit {n}");
        assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 1, "commit {n}");
        assert_eq!(fake.bodies(), ["x"], "commit {n}");
        fake.close(End::Normal);
    }
    let mut fake = rig.open("c", Ask::default()).await;
    // What it was before stays.
    rig.table.fail_commit(1, gantry_storage::TableError::Full);
    assert_eq!(fake.subscribe_one("a", QoS::AtMostOnce).await, Reason::QUOTA_EXCEEDED);
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 1);
    assert_eq!(fake.take(), [(TOKEN_OWN, "x".to_owned())]);
}

#[tokio::test]
async fn a_queue_that_somebody_deletes_is_made_again_when_the_session_is_resumed() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a/+", QoS::AtLeastOnce).await;
    rig.vhost.delete_queue("mqtt-subscription-c", gantry_broker::DeleteQueue::default(), 0).await.unwrap();
    let mut items = Vec::new();
    fake.inbox.take(&mut items);
    assert!(matches!(items[..], [Item::Cancelled(TOKEN_OWN)]));
    fake.held.lost_queue(TOKEN_OWN);
    fake.close(End::Lost);
    let fake = rig.open("c", Ask::default()).await;
    assert!(fake.present);
    assert_eq!(rig.publish("a/b", QoS::AtLeastOnce, "x"), 1);
    assert_eq!(fake.bodies(), ["x"]);
}

#[tokio::test]
async fn a_slow_reader_of_qos_0_loses_messages_and_nobody_waits_for_it() {
    let rig = Rig::new();
    let mut fake = rig.open("c", passing()).await;
    fake.subscribe_one("a", QoS::AtMostOnce).await;
    let body = "x".repeat(100_000);
    (0..100).for_each(|_| _ = rig.publish("a", QoS::AtMostOnce, &body));
    let got = fake.bodies().len();
    assert!((5..20).contains(&got), "{got}");
    rig.publish("a", QoS::AtMostOnce, "room again");
    assert_eq!(fake.bodies(), ["room again"]);
}
