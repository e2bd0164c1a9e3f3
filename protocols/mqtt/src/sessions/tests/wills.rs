use super::*;

/// Somebody who hears what is published on `w/#`.
async fn listener(rig: &Rig) -> Fake {
    let mut fake = rig.open("listener", passing()).await;
    fake.subscribe_one("w/#", QoS::ExactlyOnce).await;
    fake
}

fn with_will(topic: &str, delay_s: u32) -> Ask {
    Ask { will: Some(will(topic, delay_s)), ..Ask::default() }
}

/// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3]
#[tokio::test]
async fn a_will_is_published_when_its_client_is_lost_and_not_when_it_takes_leave() {
    let rig = Rig::new();
    let listener = listener(&rig).await;
    for (end, expected) in [(End::Normal, 0), (End::Lost, 1), (End::WithWill, 1), (End::TakenOver, 1)] {
        for expiry_s in [0, 100] {
            rig.open("c", Ask { expiry_s, ..with_will("w/c", 0) }).await.close(end);
            assert_eq!(listener.bodies().len(), expected, "{end:?} {expiry_s}");
        }
    }
    // Dropped in the middle of something is lost.
    drop(rig.open("c", with_will("w/c", 0)).await);
    assert_eq!(listener.bodies(), ["gone"]);
    // It was published; it is not once more.
    rig.open("c", Ask::default()).await.close(End::Lost);
    assert_eq!(listener.bodies(), [""; 0]);
}

/// [MQTT-3.1.3-9]
#[tokio::test]
async fn a_delayed_will_waits_and_is_cancelled_by_whoever_comes_back_in_time() {
    let rig = Rig::new();
    let listener = listener(&rig).await;
    rig.open("c", with_will("w/c", 50)).await.close(End::Lost);
    rig.age("c", 49);
    assert_eq!(listener.bodies(), [""; 0]);
    rig.open("c", Ask::default()).await.close(End::Lost);
    rig.age("c", 51);
    rig.open("other", with_will("w/c", 50)).await.close(End::Lost);
    rig.age("other", 51);
    assert_eq!(listener.next_bodies().await, ["gone"], "of the other one only");
    // Its session lives on.
    assert!(rig.open("other", Ask::default()).await.present);
}

/// 3.1.3.2.2: with the end of the session, if that is sooner; a session that ends with its connection has no delay.
#[tokio::test]
async fn the_end_of_a_session_does_not_wait_for_the_delay_of_its_will() {
    let rig = Rig::new();
    let listener = listener(&rig).await;
    rig.open("c", Ask { expiry_s: 0, ..with_will("w/c", 50) }).await.close(End::Lost);
    assert_eq!(listener.bodies().len(), 1);
    rig.open("d", Ask { expiry_s: 10, ..with_will("w/d", 50) }).await.close(End::Lost);
    assert_eq!(listener.bodies().len(), 0);
    rig.age("d", 11);
    until(|| rig.sessions.counts().sessions == 1).await;
    assert_eq!(listener.bodies().len(), 1);
    // A new session instead of the old one is its end, too.
    rig.open("e", with_will("w/e", 50)).await.close(End::Lost);
    let fake = rig.open("e", Ask { clean_start: true, ..Ask::default() }).await;
    assert_eq!(listener.bodies().len(), 1);
    fake.close(End::Normal);
}

/// 3.1.3.2.2, with [MQTT-3.1.4-3]
#[tokio::test]
async fn a_client_that_takes_its_session_over_sends_its_will_only_without_a_delay() {
    let rig = Rig::new();
    let listener = listener(&rig).await;
    for (delay_s, expected) in [(0, 1), (50, 0)] {
        let old = rig.open("c", with_will("w/c", delay_s)).await;
        let (new, ()) = tokio::join!(rig.open("c", Ask::default()), async {
            old.held.signals().clone().wanted().await;
            old.close(End::TakenOver);
        });
        assert_eq!(listener.bodies().len(), expected);
        new.close(End::Normal);
    }
}

/// [MQTT-3.1.2-14], [MQTT-3.1.2-15], 3.1.3.2
#[tokio::test]
async fn a_will_may_be_retained_and_has_the_properties_that_it_was_given() {
    let rig = Rig::new();
    let listener = listener(&rig).await;
    let mut ask = with_will("w/c", 0);
    if let Some(will) = &mut ask.will {
        (will.retain, will.message_expiry_s, will.qos) = (true, Some(60), 2);
        // Content type `t`.
        will.application = Bytes::from_static(&[3, 0, 1, b't']);
    }
    rig.open("c", ask).await.close(End::Lost);
    assert_eq!(rig.vhost.retained_count(), 1);
    let delivery = listener.deliveries().pop().unwrap();
    let Content::Loaded(message) = &delivery.content else { panic!("it is in memory") };
    let outgoing = convert::Outgoing::of(message, Version::V5);
    assert_eq!(
        (outgoing.qos, outgoing.retain, &outgoing.application[..]),
        (QoS::ExactlyOnce, true, &[3, 0, 1, b't'][..])
    );
    assert_eq!(message.essentials().ttl_ms, Some(60_000));
    assert_eq!(outgoing.publisher, Some(convert::publisher("/", "c")));
}

#[tokio::test]
async fn who_may_not_publish_a_will_does_not_get_in_and_who_may_no_more_leaves_none() {
    let rig = Rig::new();
    rig.add_user("writer", Permission::new(".*", "^amq\\.topic$", ".*").unwrap()).await;
    rig.add_user("reader", Permission::new(".*", "^mqtt-", ".*").unwrap()).await;
    let listener = listener(&rig).await;
    let refused = rig.try_open("c", Ask { user: "reader", ..with_will("w/c", 0) }).await;
    assert!(matches!(refused, Err(OpenError::Broker(Error::Refused { .. }))));
    assert_eq!(rig.sessions.counts().sessions, 1, "that of the listener");
    let fake = rig.open("c", Ask { user: "writer", ..with_will("w/c", 0) }).await;
    rig.broker.set_permission("writer", "/", Permission::new(".*", "", ".*").unwrap()).await.unwrap();
    fake.close(End::Lost);
    assert_eq!(listener.bodies(), [""; 0]);
}
