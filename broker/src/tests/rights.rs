//! Who may do what, as it changes while sessions are open, and after a restart.

use super::*;
use crate::exchange::ExchangeKind;
use crate::rights::{Access, Denied, PasswordHash, Permission, TopicAccess, TopicPermission, User};
use crate::{Kind, Session};

const WRITE: TopicAccess = TopicAccess::Write;

fn topic(exchange: &str, write: &str, read: &str) -> TopicPermission {
    TopicPermission::new(exchange, write, read).unwrap()
}

impl Rig {
    async fn user(&self, name: &str) -> Session {
        self.broker.set_user(User::with_password(name, b"secret", &[]).unwrap()).await.unwrap();
        self.broker.set_permission(name, "/", Permission::new(".*", ".*", ".*").unwrap()).await.unwrap();
        self.session(name)
    }

    fn session(&self, name: &str) -> Session {
        let user = self.broker.authenticate(name, b"secret", false).unwrap();
        self.broker.open_session(user, "/").unwrap()
    }

    async fn limit(&self, user: &str, permission: TopicPermission) -> bool {
        self.broker.set_topic_permission(user, "/", permission).await.unwrap()
    }
}

fn may(session: &mut Session, access: TopicAccess, exchange: &str, key: &str) -> bool {
    match session.check_topic(access, exchange, key.as_bytes(), Some("c1")) {
        Ok(()) => true,
        Err(Error::TopicRefused { routing_key, exchange: resource, user }) => {
            assert_eq!((&*routing_key, &*resource.name, &*user), (key.as_bytes(), exchange, "ann"));
            false
        }
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn topic_permissions_are_asked_on_topic_exchanges_only_and_count_at_once() {
    let rig = Rig::new(PLENTY);
    let mut ann = rig.user("ann").await;
    assert!(may(&mut ann, WRITE, "amq.topic", "x"));
    for exchange in ["amq.topic", "amq.direct", "gone"] {
        assert!(!rig.limit("ann", topic(exchange, "^{username}\\.", "^{client_id}\\.")).await, "not there before");
    }
    assert!(!may(&mut ann, WRITE, "amq.topic", "x"));
    assert!(may(&mut ann, WRITE, "amq.topic", "ann.x"));
    assert!(may(&mut ann, TopicAccess::Read, "amq.topic", "c1.x"));
    assert!(!may(&mut ann, TopicAccess::Read, "amq.topic", "ann.x"));
    for exchange in ["amq.direct", "gone", "amq.fanout", ""] {
        assert!(may(&mut ann, WRITE, exchange, "x"), "{exchange}");
    }
    // An exchange that is a topic exchange from now on.
    let options = ExchangeOptions {
        kind: ExchangeKind::Topic,
        durable: false,
        auto_delete: false,
        internal: false,
        arguments: Table::new(),
    };
    rig.exchange("gone", options).await;
    assert!(!may(&mut ann, WRITE, "gone", "x"));
    assert!(rig.limit("ann", topic("amq.topic", "x", "")).await, "in place of the one before");
    assert!(may(&mut ann, WRITE, "amq.topic", "x"));
    assert!(rig.broker.clear_topic_permissions("ann", "/", Some("gone")).await.unwrap());
    assert!(may(&mut ann, WRITE, "gone", "x") && !may(&mut ann, WRITE, "amq.topic", "y"));
    assert!(rig.broker.clear_topic_permissions("ann", "/", None).await.unwrap());
    assert!(!rig.broker.clear_topic_permissions("ann", "/", None).await.unwrap());
    assert!(may(&mut ann, WRITE, "amq.topic", "y"));
}

#[tokio::test]
async fn rights_survive_and_so_does_that_they_were_taken() {
    let rig = Rig::new(PLENTY);
    rig.user("ann").await;
    rig.user("bob").await;
    rig.limit("ann", topic("amq.topic", "^a", "^b")).await;
    rig.limit("ann", topic("other", "^a", "^b")).await;
    rig.broker.clear_topic_permissions("ann", "/", Some("other")).await.unwrap();
    rig.limit("bob", topic("amq.topic", "^a", "^b")).await;
    assert!(rig.broker.delete_user("bob").await.unwrap());
    let rig = rig.crash();
    let limits = rig.broker.topic_permissions();
    let [(user, vhost, permissions)] = &limits[..] else { panic!("{limits:?}") };
    assert_eq!((user.as_str(), vhost.as_str()), ("ann", "/"));
    assert_eq!(permissions.values().collect::<Vec<_>>(), [&topic("amq.topic", "^a", "^b")]);
    assert!(!may(&mut rig.session("ann"), WRITE, "amq.topic", "x"));
    assert_eq!(rig.broker.authenticate("bob", b"secret", false), Err(Denied::Credentials));
    let users: Vec<_> = rig.broker.users().iter().map(|user| user.name.clone()).collect();
    assert_eq!(users, ["ann", "guest"]);
    // The next user of the name begins anew.
    rig.broker.set_user(User::with_password("bob", b"secret", &[]).unwrap()).await.unwrap();
    assert!(rig.broker.permission("bob", "/").is_none() && rig.broker.topic_permissions_of("bob", "/").is_none());
    assert!(rig.broker.clear_permission("ann", "/").await.unwrap());
    assert!(!rig.broker.clear_permission("ann", "/").await.unwrap());
    let rig = rig.crash();
    assert_eq!(rig.broker.permissions().len(), 1);
}

#[tokio::test]
async fn a_session_may_do_nothing_more_when_its_user_is_gone_or_has_lost_the_right() {
    let rig = Rig::new(PLENTY);
    let (mut ann, mut bob) = (rig.user("ann").await, rig.user("bob").await);
    assert!(ann.check(Access::Write, Kind::Queue, "q").is_ok() && bob.check(Access::Write, Kind::Queue, "q").is_ok());
    let (mut gone, there) = (ann.user_deletion(), bob.user_deletion());
    // A changed user is the same one.
    rig.broker.set_user(User::with_password("ann", b"other", &[]).unwrap()).await.unwrap();
    assert!(!gone.has_happened());
    let waiting = tokio::spawn(async move { gone.happened().await });
    rig.broker.delete_user("ann").await.unwrap();
    waiting.await.unwrap();
    rig.broker.clear_permission("bob", "/").await.unwrap();
    assert!(ann.user_deletion().has_happened() && !there.has_happened());
    ann.user_deletion().happened().await;
    for session in [&mut ann, &mut bob] {
        for access in [Access::Configure, Access::Write, Access::Read] {
            assert!(matches!(session.check(access, Kind::Queue, "q"), Err(Error::Refused { .. })));
        }
    }
}

#[tokio::test]
async fn scram_has_something_to_say_of_every_name_and_says_the_same_after_a_restart() {
    let rig = Rig::new(PLENTY);
    rig.user("ann").await;
    let hash_only = User {
        name: "imported".to_owned(),
        password: Some(PasswordHash::new(b"secret").unwrap()),
        scram: None,
        tags: Vec::new(),
    };
    rig.broker.set_user(hash_only).await.unwrap();
    let names = ["ann", "imported", "nobody", "nobody2"];
    let verifiers = names.map(|name| rig.broker.scram(name));
    for (n, verifier) in verifiers.iter().enumerate() {
        assert_eq!((verifier.salt().len(), verifier.iterations()), (16, 4096));
        assert!(verifiers[..n].iter().all(|other| other.salt() != verifier.salt()));
    }
    let rig = rig.crash();
    assert_eq!(names.map(|name| rig.broker.scram(name)), verifiers);
    let other = Rig::new(PLENTY);
    assert_ne!(other.broker.scram("nobody").salt(), rig.broker.scram("nobody").salt());
    // A row from before there were verifiers.
    let row: User = serde_json::from_str(r#"{"name":"old","tags":[]}"#).unwrap();
    assert_eq!(row.scram, None);
}

#[tokio::test]
async fn a_permission_needs_a_user_and_a_virtual_host() {
    let rig = Rig::new(PLENTY);
    let everything = || Permission::new("", "", "").unwrap();
    for (user, vhost, missing) in [("nobody", "/", Kind::User), ("guest", "nowhere", Kind::VirtualHost)] {
        let set = rig.broker.set_permission(user, vhost, everything()).await.unwrap_err();
        let limited = rig.broker.set_topic_permission(user, vhost, topic("t", "", "")).await.unwrap_err();
        for error in [set, limited] {
            assert!(matches!(&error, Error::NotFound(resource) if resource.kind == missing), "{error}");
        }
    }
    assert_eq!((rig.broker.permissions().len(), rig.broker.topic_permissions().len()), (1, 0));
    // Somebody who is deleted while logging in does not get in.
    rig.user("ann").await;
    let user = rig.broker.authenticate("ann", b"secret", false).unwrap();
    rig.broker.delete_user("ann").await.unwrap();
    assert!(rig.broker.open_session(user, "/").is_err());
}

/// Counts what is logged.
#[derive(Clone, Default)]
struct Counting(Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for Counting {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn whoever_asks_about_many_names_does_not_fill_the_log_and_who_is_refused_is_in_it() {
    let rig = Rig::new(PLENTY);
    let mut ann = rig.user("ann").await;
    let mine = Permission::new("^mine-c$", "^mine-w$", "^mine-r$").unwrap();
    rig.broker.set_permission("ann", "/", mine).await.unwrap();
    let logged = Counting::default();
    let guard = tracing::subscriber::set_default(logged.clone());
    let count = || logged.0.load(Ordering::Relaxed);
    for n in 0..1_000 {
        assert!(!ann.may_any(&format!("theirs-{n}")) && !ann.may(Access::Read, "theirs"));
    }
    for (access, name) in [(Access::Configure, "mine-c"), (Access::Write, "mine-w"), (Access::Read, "mine-r")] {
        assert!(ann.may_any(name) && ann.may(access, name));
    }
    assert!(!ann.may(Access::Write, "mine-r"));
    assert_eq!(count(), 0);
    assert!(ann.check(Access::Read, Kind::Queue, "theirs").is_err());
    assert!(ann.check_any(Kind::Queue, "theirs").is_err());
    assert_eq!(count(), 2);
    drop(guard);
    // It counts from the next question on.
    rig.broker.set_permission("ann", "/", Permission::new("", "", "^theirs").unwrap()).await.unwrap();
    assert!(ann.may_any("theirs-1") && ann.may(Access::Read, "theirs"));
}

#[tokio::test]
async fn virtual_hosts_that_have_to_be_there_are_made_once_and_are_the_default_users() {
    let mut rig = Rig::new(PLENTY);
    assert!(rig.broker.vhost("sales").is_none());
    let open = |rig: Rig, vhosts: &[&str]| {
        let mut found = Found::default();
        let journal = Arc::new(rig.journal.reopen(&mut found));
        let table = Arc::new(HeldTable { rows: rig.table.rows.reopen(), ..HeldTable::default() });
        let vhosts = vhosts.iter().map(|name| (*name).to_owned()).collect();
        let options = BrokerOptions { vhosts, ..options(PLENTY) };
        let broker = Broker::open(options, journal.clone(), table.clone(), found).unwrap();
        let vhost = vhost(&broker);
        Rig { broker, vhost, journal, table, faults: rig.faults }
    };
    rig = open(rig, &["/", "sales"]);
    assert_eq!(rig.broker.vhosts().len(), 2);
    let guest = rig.broker.authenticate("guest", b"guest", true).unwrap();
    let session = rig.broker.open_session(guest, "sales").unwrap();
    let (_, _, pending) =
        session.vhost().declare_with("q", durable(), crate::QueueSettings::default(), session.connection()).unwrap();
    pending.wait().await.unwrap();
    drop(session);
    // It stays without being asked for, with what is in it; and what somebody took away stays away.
    rig = open(rig, &[]);
    assert!(rig.broker.vhost("sales").unwrap().queue("q", CLIENT).is_ok());
    assert!(rig.broker.may_enter("guest", "sales"));
    rig.broker.clear_permission("guest", "sales").await.unwrap();
    rig = open(rig, &["sales", "other"]);
    assert!(!rig.broker.may_enter("guest", "sales") && rig.broker.may_enter("guest", "other"));
}
