use super::*;
use crate::subscriptions::TOKEN_DIRECT;

fn value<'a>(found: &'a [(String, String)], topic: &str) -> &'a str {
    let topic = format!("$SYS/broker/{topic}");
    &found.iter().find(|(found, _)| *found == topic).unwrap_or_else(|| panic!("{topic}")).1
}

/// Topics and values that somebody who has just subscribed is sent as retained.
fn snapshot(fake: &Fake, filter: &str) -> Vec<(String, String)> {
    let found = fake.held.system_retained(filter).expect("it is a filter of the broker's own");
    let read = |message: &Arc<gantry_broker::Message>| {
        let mut topic = String::new();
        topics::topic_of(&message.address().routing_key, &mut topic);
        (topic, String::from_utf8(message.body().to_vec()).unwrap())
    };
    found.iter().map(read).collect()
}

/// The names are those that Mosquitto 2.0 has.
#[tokio::test]
async fn the_tree_has_the_names_that_clients_of_mosquitto_look_for() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    assert_eq!(fake.held.system_retained("a/#").map(|found| found.len()), None);
    fake.subscribe_one("$SYS/#", QoS::AtMostOnce).await;
    fake.subscribe_one("$share/g/a", QoS::AtLeastOnce).await;
    rig.open("away", Ask::default()).await.close(End::Normal);
    rig.publish("a", QoS::AtLeastOnce, "12345");
    let all = snapshot(&fake, "$SYS/#");
    for topic in MOSQUITTO.split_whitespace() {
        value(&all, &topic.replace('~', " "));
    }
    assert_eq!(all.len(), MOSQUITTO.split_whitespace().count());
    assert!(value(&all, "version").starts_with("gantry version "));
    assert!(value(&all, "uptime").ends_with(" seconds"));
    for (topic, expected) in [
        ("clients/total", "2"),
        ("clients/connected", "1"),
        ("clients/disconnected", "1"),
        ("subscriptions/count", "2"),
        ("shared_subscriptions/count", "1"),
        ("store/messages/count", "1"),
        ("store/messages/bytes", "5"),
        ("retained messages/count", "0"),
        ("load/publish/received/1min", "0.00"),
    ] {
        assert_eq!(value(&all, topic), expected, "{topic}");
    }
    assert_eq!(snapshot(&fake, "$SYS/broker/clients/+").len(), 7);
    assert_eq!(snapshot(&fake, "$SYS/broker/uptime").len(), 1);
}

const MOSQUITTO: &str =
    "bytes/received bytes/sent clients/active clients/connected clients/disconnected clients/expired
    clients/inactive clients/maximum clients/total heap/current heap/maximum load/bytes/received/15min
    load/bytes/received/1min load/bytes/received/5min load/bytes/sent/15min load/bytes/sent/1min load/bytes/sent/5min
    load/connections/15min load/connections/1min load/connections/5min load/messages/received/15min
    load/messages/received/1min load/messages/received/5min load/messages/sent/15min load/messages/sent/1min
    load/messages/sent/5min load/publish/dropped/15min load/publish/dropped/1min load/publish/dropped/5min
    load/publish/received/15min load/publish/received/1min load/publish/received/5min load/publish/sent/15min
    load/publish/sent/1min load/publish/sent/5min load/sockets/15min load/sockets/1min load/sockets/5min
    messages/received messages/sent messages/stored publish/bytes/received publish/bytes/sent publish/messages/dropped
    publish/messages/received publish/messages/sent retained~messages/count shared_subscriptions/count
    store/messages/bytes store/messages/count subscriptions/count uptime version";

/// [MQTT-4.7.2-1], and nothing for those that read the exchange of topics by other protocols.
#[tokio::test]
async fn numbers_are_published_to_whoever_subscribed_to_them_and_only_what_has_changed() {
    let rig = Rig::new();
    let mut listener = rig.open("listener", Ask::default()).await;
    let mut other = rig.open("other", Ask::default()).await;
    for filter in ["#", "+/broker/uptime"] {
        other.subscribe_one(filter, QoS::AtLeastOnce).await;
    }
    let telling = || rig.sessions.system().publish(&rig.broker, &rig.sessions.counts());
    // Also with QoS 1 they do not go through the session's queue.
    listener.subscribe_one("$SYS/broker/+/count", QoS::AtLeastOnce).await;
    telling();
    let first = listener.take();
    assert!(first.iter().all(|(token, _)| *token == TOKEN_DIRECT));
    assert_eq!(first.len(), 3, "subscriptions, shared subscriptions, retained messages");
    telling();
    assert_eq!(listener.take().len(), 0);
    other.subscribe_one("one/more", QoS::AtMostOnce).await;
    telling();
    assert_eq!(listener.bodies(), ["4"]);
    assert_eq!(other.bodies(), [""; 0]);
    // Nothing waits for who is away.
    listener.close(End::Lost);
    other.subscribe_one("and/one/more", QoS::AtMostOnce).await;
    telling();
    let listener = rig.open("listener", Ask::default()).await;
    assert_eq!(listener.bodies(), [""; 0]);
    assert!(rig.sessions.hears_system());
}

#[tokio::test]
async fn loads_are_averages_that_fade() {
    let rig = Rig::new();
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("$SYS/#", QoS::AtMostOnce).await;
    let (stats, system) = (Arc::clone(&rig.sessions.settings.stats), rig.sessions.system());
    let mut now = std::time::Instant::now();
    // 600 a minute, until the average of a minute has come close to that.
    for _ in 0..60 {
        now += Duration::from_secs(10);
        stats.published.fetch_add(100, std::sync::atomic::Ordering::Relaxed);
        system.tick(0, now);
    }
    let load = |span: &str| -> f64 {
        let found = snapshot(&fake, &format!("$SYS/broker/load/publish/received/{span}"));
        found[0].1.parse().unwrap()
    };
    assert!((599.0..601.0).contains(&load("1min")), "{}", load("1min"));
    assert!((500.0..540.0).contains(&load("5min")), "{}", load("5min"));
    // Then nothing for a minute: what is left of it is one e-th.
    system.tick(0, now + Duration::from_secs(60));
    // What is told is looked up anew.
    system.publish(&rig.broker, &rig.sessions.counts());
    assert!((215.0..226.0).contains(&load("1min")), "{}", load("1min"));
}

#[tokio::test]
async fn nobody_is_told_while_nobody_has_subscribed() {
    let rig = Rig::new();
    assert!(!rig.sessions.hears_system());
    let mut fake = rig.open("c", Ask::default()).await;
    fake.subscribe_one("$SYS/#", QoS::AtMostOnce).await;
    fake.subscribe_one("$share/g/$SYS/broker/uptime", QoS::AtLeastOnce).await;
    assert!(rig.sessions.hears_system());
    // What is shared of it is not kept for who is away, either.
    fake.close(End::Lost);
    assert_eq!(rig.queue_names(), [""; 0]);
    let mut fake = rig.open("c", Ask::default()).await;
    fake.unsubscribe("$SYS/#").await;
    fake.unsubscribe("$share/g/$SYS/broker/uptime").await;
    assert!(!rig.sessions.hears_system());
}
