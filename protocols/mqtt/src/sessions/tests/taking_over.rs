use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A connection that lets go when it is told to, as one should.
fn serve(fake: Fake, let_go: Arc<AtomicUsize>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        fake.held.signals().clone().wanted().await;
        fake.close(End::TakenOver);
        let_go.fetch_add(1, Ordering::SeqCst);
    })
}

/// [MQTT-3.1.4-3]
#[tokio::test]
async fn the_older_connection_is_told_and_has_let_go_before_the_new_one_resumes() {
    let rig = Rig::new();
    let let_go = Arc::new(AtomicUsize::new(0));
    let mut old = rig.open("c", Ask::default()).await;
    old.subscribe_one("a", QoS::AtLeastOnce).await;
    for n in 0..5 {
        rig.publish("a", QoS::AtLeastOnce, &n.to_string());
    }
    let serving = serve(old, Arc::clone(&let_go));
    let new = rig.open("c", Ask::default()).await;
    assert_eq!(let_go.load(Ordering::SeqCst), 1);
    assert!(new.present);
    // What the old one had been granted and had not said anything of, in order.
    assert_eq!(new.bodies(), ["0", "1", "2", "3", "4"]);
    serving.await.unwrap();
    assert_eq!(rig.sessions.counts().connected, 1);
}

/// [MQTT-3.1.4-3], and CVE-2026-22040 of another broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_connections_of_one_client_at_once_leave_exactly_the_last_one() {
    let rig = Arc::new(Rig::new());
    let (let_go, opened) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for round in 0..200 {
        let (rig, let_go, opened) = (Arc::clone(&rig), Arc::clone(&let_go), Arc::clone(&opened));
        tasks.push(tokio::spawn(async move {
            let ask = Ask { clean_start: round % 3 == 0, expiry_s: [0, 100][round % 2], ..Ask::default() };
            match rig.try_open("c", ask).await {
                Ok(mut fake) => {
                    opened.fetch_add(1, Ordering::SeqCst);
                    fake.subscribe_one("a", [QoS::AtMostOnce, QoS::AtLeastOnce][round % 2]).await;
                    fake.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
                    serve(fake, let_go).await.unwrap();
                }
                Err(OpenError::TakenOver) => {}
                Err(error) => panic!("{error}"),
            }
        }));
        if round % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // All others are gone or have given up; the last one holds on.
    until(|| tasks.iter().filter(|task| !task.is_finished()).count() == 1).await;
    until(|| let_go.load(Ordering::SeqCst) + 1 == opened.load(Ordering::SeqCst)).await;
    let counts = rig.sessions.counts();
    assert_eq!((counts.sessions, counts.connected), (1, 1));
    // It works, and nothing of the others is left.
    let mut last = {
        let taking = rig.open("c", Ask { clean_start: true, ..Ask::default() });
        tokio::time::timeout(Duration::from_secs(10), taking).await.unwrap()
    };
    assert_eq!(rig.queue_names(), [""; 0]);
    assert_eq!(rig.vhost.bindings().len(), 0);
    last.subscribe_one("a", QoS::AtLeastOnce).await;
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 1);
    assert_eq!(last.bodies(), ["x"]);
    last.close(End::Normal);
    for task in tasks {
        task.await.unwrap();
    }
}

/// A peer that does not read must not keep its successor out.
#[tokio::test]
async fn a_connection_that_does_not_listen_is_cut_and_one_that_cannot_be_is_not_waited_for_for_ever() {
    let rig = Rig::new();
    let quick = SessionSettings { take_over_wait: Duration::from_millis(50), ..settings() };
    let rig = Rig { sessions: Sessions::new(Arc::clone(&rig.broker), quick).unwrap(), ..rig };
    let old = rig.open("c", Ask::default()).await;
    let signals = Arc::clone(old.held.signals());
    let (new, ()) = tokio::join!(rig.try_open("c", Ask::default()), async {
        signals.cut().await;
        old.close(End::TakenOver);
    });
    let new = new.unwrap();
    assert!(new.present);
    assert!(matches!(rig.try_open("c", Ask::default()).await, Err(OpenError::Busy)));
    // It still has it, and has been told twice.
    assert!(new.held.signals().is_wanted());
    assert_eq!(rig.sessions.counts().connected, 1);
    new.close(End::TakenOver);
    rig.open("c", Ask::default()).await;
}

#[tokio::test]
async fn a_connection_that_goes_away_while_it_waits_leaves_the_place_to_others() {
    let rig = Rig::new();
    let old = rig.open("c", passing()).await;
    let waiting = tokio::time::timeout(Duration::from_millis(20), rig.try_open("c", Ask::default())).await;
    assert!(waiting.is_err());
    old.close(End::TakenOver);
    assert_eq!(rig.sessions.counts(), SessionCounts::default());
    assert!(!rig.open("c", Ask::default()).await.present);
}

/// A session without expiry ends with its connection, also where another connection of its client ends that (3.1.2.11.2).
#[tokio::test]
async fn whoever_takes_over_a_session_that_ends_with_its_connection_gets_a_new_one() {
    let rig = Rig::new();
    let mut old = rig.open("c", passing()).await;
    old.subscribe_one("a", QoS::AtLeastOnce).await;
    let serving = serve(old, Arc::default());
    let new = rig.open("c", Ask::default()).await;
    serving.await.unwrap();
    assert!(!new.present);
    assert_eq!(rig.publish("a", QoS::AtLeastOnce, "x"), 0);
}
