use super::*;

/// [MQTT-3.1.2-4], [MQTT-3.1.2-5], [MQTT-3.1.2-6], [MQTT-3.2.2-2], [MQTT-3.2.2-3]
#[tokio::test]
async fn a_session_is_resumed_unless_its_client_begins_anew() {
    let rig = Rig::new();
    let mut first = rig.open("c", Ask::default()).await;
    assert!(!first.present);
    first.subscribe_one("a/#", QoS::AtLeastOnce).await;
    first.close(End::Lost);
    assert_eq!(rig.publish("a/b", QoS::AtLeastOnce, "while away"), 1);

    let second = rig.open("c", Ask::default()).await;
    assert!(second.present);
    assert_eq!(second.bodies(), ["while away"]);
    second.close(End::Normal);

    let third = rig.open("c", Ask { clean_start: true, ..Ask::default() }).await;
    assert!(!third.present);
    assert_eq!(rig.publish("a/b", QoS::AtLeastOnce, "for nobody"), 0);
    assert_eq!(rig.queue_names(), [""; 0]);
    third.close(End::Normal);
    assert!(rig.open("c", Ask::default()).await.present, "a new session is one that is resumed");
}

/// [MQTT-3.1.2-23]; 3.1.2.11.2
#[tokio::test]
async fn a_session_without_expiry_ends_with_its_connection_and_leaves_nothing() {
    let rig = Rig::new();
    let mut fake = rig.open("c", passing()).await;
    fake.subscribe_one("a", QoS::ExactlyOnce).await;
    fake.subscribe_one("b", QoS::AtMostOnce).await;
    fake.subscribe_one("$share/g/c", QoS::AtLeastOnce).await;
    assert_eq!(rig.queue_names().len(), 3);
    assert_eq!(rig.rows(), (0, 0));
    fake.close(End::Lost);
    assert_eq!(rig.queue_names(), [""; 0]);
    assert_eq!(rig.sessions.counts(), SessionCounts::default());
    let again = rig.open("c", Ask { clean_start: false, ..passing() }).await;
    assert!(!again.present);
}

/// 3.1.2.11.2, 4.1.0-2
#[tokio::test]
async fn a_session_ends_when_nobody_comes_for_it_in_time() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    fake.close(End::Normal);
    assert_eq!(rig.rows(), (1, 1));
    assert_eq!(rig.sessions.agenda.len(), 1);
    rig.age("c", 99);
    assert_eq!(rig.queue_names(), ["mqtt-subscription-c"]);
    rig.age("c", 2);
    until(|| rig.sessions.counts().sessions == 0).await;
    assert_eq!((rig.queue_names().len(), rig.rows(), rig.sessions.agenda.len()), (0, (0, 0), 0));
    assert_eq!(rig.vhost.marks_names().len(), 0);
    assert_eq!(rig.sessions.counts().expired, 1);
    assert!(!rig.open("c", Ask::default()).await.present);
}

#[tokio::test]
async fn whoever_comes_for_a_session_whose_time_is_over_gets_a_new_one_before_anybody_has_looked() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    fake.close(End::Normal);
    let place = rig.place("c");
    place.inner.lock().kept.as_mut().unwrap().disconnected_ms = Some(1);
    let fake = rig.open("c", Ask::default()).await;
    assert!(!fake.present);
    assert_eq!(rig.queue_names(), [""; 0]);
}

/// 3.1.2.11.2, 3.14.2.2.2
#[tokio::test]
async fn expiry_is_capped_for_ever_is_for_ever_and_a_client_may_change_it_when_it_leaves() {
    let rig = Rig::new();
    let for_ever = rig.open("e", Ask { expiry_s: EXPIRY_NEVER, ..Ask::default() }).await;
    assert_eq!(for_ever.expiry_s, EXPIRY_NEVER);
    for_ever.close(End::Normal);
    assert_eq!(rig.sessions.agenda.len(), 0, "nothing of it is ever due");

    let mut short = rig.open("s", Ask::default()).await;
    short.held.set_expiry(0);
    short.close(End::Normal);
    assert!(!rig.open("s", passing()).await.present);

    let mut long = rig.open("l", Ask::default()).await;
    long.held.set_expiry(1000);
    long.close(End::Normal);
    rig.age("l", 500);
    assert!(rig.open("l", Ask::default()).await.present);

    let capped = SessionSettings { expiry_s_max: 60, ..settings() };
    let rig = Rig { sessions: Sessions::new(Arc::clone(&rig.broker), capped).unwrap(), ..rig };
    assert_eq!(rig.open("x", Ask { expiry_s: EXPIRY_NEVER, ..Ask::default() }).await.expiry_s, 60);
}

#[tokio::test]
async fn there_are_no_more_sessions_than_allowed_and_room_comes_back() {
    let rig = Rig::new();
    let mut open = Vec::new();
    for n in 0..50 {
        open.push(rig.open(&format!("c{n}"), passing()).await);
    }
    let refused = rig.try_open("one more", passing()).await;
    assert!(matches!(refused, Err(OpenError::Broker(Error::LimitReached { limit: 50, .. }))));
    // Who is there already comes in all the same, in its own place.
    let again = open.pop().unwrap();
    let taking_over = tokio::join!(rig.open("c49", passing()), async {
        again.held.signals().wanted().await;
        again.close(End::TakenOver);
    });
    taking_over.0.close(End::Normal);
    rig.open("one more", passing()).await;
}

#[tokio::test]
async fn a_quick_reconnect_that_changes_nothing_writes_nothing() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask { will: Some(will("w", 50)), ..Ask::default() }).await;
    fake.subscribe_one("a", QoS::AtLeastOnce).await;
    fake.subscribe_one("$share/g/s", QoS::AtLeastOnce).await;
    let rows = || {
        let spaces = [rows::SESSIONS, rows::SUBSCRIPTIONS];
        spaces.map(|space| rig.broker.kept_rows(space).unwrap())
    };
    let before = rows();
    fake.close(End::Lost);
    assert_eq!(rows(), before);
    rig.table.fail_commit(1, gantry_storage::TableError::Full);
    let fake = rig.open("c", Ask { will: Some(will("w", 50)), ..Ask::default() }).await;
    assert!(fake.present);
    assert_eq!(rows(), before);
}

#[tokio::test]
async fn after_a_while_the_row_says_since_when_a_session_waits_and_no_more_once_it_is_resumed() {
    let rig = Rig::new();
    rig.open("c", Ask::default()).await.close(End::Lost);
    let row = || {
        let rows = rig.broker.kept_rows(rows::SESSIONS).unwrap();
        serde_json::from_slice::<rows::SessionRow>(&rows[0].1).unwrap().disconnected_ms
    };
    assert_eq!(row(), None);
    rig.age("c", 11);
    until(|| row().is_some()).await;
    assert_eq!(rig.sessions.agenda.len(), 1, "its end is next");
    let fake = rig.open("c", Ask::default()).await;
    assert_eq!(row(), None);
    fake.close(End::Lost);
    rig.sessions.stop();
    assert!(row().is_some(), "an orderly stop says it, too");
}
