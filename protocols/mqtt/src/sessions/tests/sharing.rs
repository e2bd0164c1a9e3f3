use super::*;

/// [MQTT-4.8.2-3]
#[tokio::test]
async fn members_share_by_credit_and_others_have_their_own() {
    let rig = Rig::new();
    let mut fast = rig.open("fast", Ask::default()).await;
    let mut slow = rig.open("slow", Ask { receive_max: 1, ..Ask::default() }).await;
    let mut alone = rig.open("alone", Ask::default()).await;
    for fake in [&mut fast, &mut slow] {
        assert_eq!(fake.subscribe_one("$share/g/a/+", QoS::AtLeastOnce).await, Reason::GRANTED_QOS_1);
    }
    alone.subscribe_one("$share/other/a/+", QoS::AtLeastOnce).await;
    for n in 0..10 {
        assert_eq!(rig.publish("a/x", QoS::AtLeastOnce, &n.to_string()), 2, "a group is one queue");
    }
    assert_eq!(slow.deliveries().len(), 1, "its receive maximum");
    assert_eq!(fast.bodies().len(), 9);
    assert_eq!(alone.bodies().len(), 10);
    assert_eq!(rig.sessions.counts().groups, 2);
}

/// What 4.8.2 says of a member that is lost.
#[tokio::test]
async fn what_a_lost_member_had_goes_to_another_one() {
    let rig = Rig::new();
    let mut one = rig.open("one", passing()).await;
    one.subscribe_one("$share/g/a", QoS::ExactlyOnce).await;
    rig.publish("a", QoS::ExactlyOnce, "x");
    let mut two = rig.open("two", passing()).await;
    two.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    assert_eq!(two.bodies(), [""; 0]);
    one.close(End::Lost);
    assert_eq!(two.bodies(), ["x"]);
}

#[tokio::test]
async fn the_queue_of_a_group_goes_with_its_last_member_and_not_before() {
    let rig = Rig::new();
    let mut stays = rig.open("stays", Ask::default()).await;
    let mut passes = rig.open("passes", passing()).await;
    stays.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    passes.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    stays.close(End::Lost);
    passes.close(End::Lost);
    // Messages wait for the one that may come back.
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "waits"), 1);
    let mut stays = rig.open("stays", Ask::default()).await;
    assert_eq!(stays.bodies(), ["waits"]);
    assert_eq!(stays.unsubscribe("$share/g/a").await, Reason::SUCCESS);
    assert_eq!((rig.queue_names().len(), rig.sessions.counts().groups), (0, 0));
}

#[tokio::test]
async fn a_group_of_qos_0_keeps_nothing_while_nobody_is_there() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("$share/g/a", QoS::AtMostOnce).await;
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 1);
    assert_eq!(fake.bodies(), ["x"]);
    fake.close(End::Lost);
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 0);
    let fake = rig.open("c", Ask::default()).await;
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "again"), 1);
    assert_eq!(fake.bodies(), ["again"]);
}

#[tokio::test]
async fn a_member_that_subscribes_once_more_is_one_member_with_one_consumer() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    for qos in [QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
        assert_eq!(fake.subscribe_one("$share/g/a", qos).await, Reason(qos as u8));
        rig.publish("a", QoS::AtLeastOnce, "x");
        let taken = fake.take();
        assert_eq!(taken.len(), 1);
        let subscription = fake.held.subscriptions_mut().shared(taken[0].0).unwrap();
        assert_eq!(subscription.options.qos, qos);
    }
    let queue = rig.vhost.queue_of_anyone("mqtt-shared-subscription-g/a").unwrap();
    assert_eq!(queue.status().consumers, 1);
    assert_eq!((rig.sessions.counts().shared_subscriptions, rig.rows()), (1, (1, 1)));
}

/// Only who comes back after a crash could miss something.
#[tokio::test]
async fn a_group_is_stored_while_a_member_with_qos_has_a_session_that_stays() {
    let rig = Rig::new();
    let stored = || rig.publish_stored("a", QoS::AtLeastOnce, "x");
    let mut passes = rig.open("passes", passing()).await;
    passes.subscribe_one("$share/g/a", QoS::ExactlyOnce).await;
    assert!(!stored(), "a session that ends with its connection");
    let mut stays = rig.open("stays", Ask::default()).await;
    for (qos, expected) in [(QoS::AtMostOnce, false), (QoS::AtLeastOnce, true), (QoS::ExactlyOnce, true)] {
        stays.subscribe_one("$share/g/a", qos).await;
        assert_eq!(stored(), expected, "{qos:?}");
    }
    stays.close(End::Lost);
    assert!(stored(), "it may come back");
    let stays = rig.open("stays", Ask { expiry_s: 0, ..Ask::default() }).await;
    assert!(!stored(), "it comes back, and does not stay any more");
    stays.close(End::Lost);
    let mut stays = rig.open("stays", Ask::default()).await;
    stays.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    assert!(stored());
    stays.unsubscribe("$share/g/a").await;
    assert!(!stored());
    stays.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    assert!(stored());
    // As DISCONNECT says it.
    stays.held.set_expiry(0);
    stays.close(End::Normal);
    assert!(!stored());
}

#[tokio::test]
async fn what_a_group_stores_is_there_after_a_crash_and_so_is_what_comes_then() {
    let rig = Rig::new();
    let mut stays = rig.open("stays", Ask { receive_max: 0, ..Ask::default() }).await;
    stays.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    let mut passes = rig.open("passes", Ask { receive_max: 0, ..passing() }).await;
    passes.subscribe_one("$share/lost/a", QoS::AtLeastOnce).await;
    assert!(rig.publish_stored("a", QoS::AtLeastOnce, "before"));
    let rig = rig.crash();
    assert!(rig.publish_stored("a", QoS::AtLeastOnce, "after"));
    assert_eq!(rig.sessions.counts().groups, 1);
    let stays = rig.open("stays", Ask::default()).await;
    assert_eq!(stays.next_bodies().await, ["before", "after"]);
}
