use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;

// Passwords. The hashes are those of a RabbitMQ 3.10 node.

const SECRET_SHA256: &str = "AQIDBDB9kM21iEUzN1lZ+6VReCsdNqS0sERdAQTcY6Xs3PMz";
const SECRET_SHA512: &str =
    "AQIDBPhTH2L5HGYB1LWOrn+YpvuQmVOXKGqgsuiJRIZTILRoEvblSJo/WAsym3IZTfuaIaK5KR2o5KwFfTv6KsxfMIE=";
const SECRET_MD5: &str = "AQIDBDgk9ci8Lfh6CKE9Y0AUfmU=";

#[test]
fn rabbitmqs_hashes_are_checked_and_given_back() {
    for (algorithm, hash) in [
        ("rabbit_password_hashing_sha256", SECRET_SHA256),
        ("rabbit_password_hashing_sha512", SECRET_SHA512),
        ("rabbit_password_hashing_md5", SECRET_MD5),
    ] {
        let password = PasswordHash::from_rabbitmq(Some(algorithm), hash).unwrap();
        assert!(password.verify(b"secret"), "{algorithm}");
        for wrong in ["", "Secret", "secret ", "secre", "secret\0"] {
            assert!(!password.verify(wrong.as_bytes()), "{algorithm} {wrong:?}");
        }
        assert_eq!(password.to_rabbitmq(), (algorithm, hash.to_owned()));
        let stored = serde_json::to_string(&password).unwrap();
        assert_eq!(serde_json::from_str::<PasswordHash>(&stored).unwrap(), password);
    }
}

#[test]
fn a_password_that_rabbitmq_salted_itself_is_known() {
    let bytes: [u8; 36] = [
        53, 75, 37, 46, 161, 181, 255, 135, 71, 214, 108, 50, 22, 42, 74, 105, 188, 246, 86, 40, 214, 205, 57, 191, 97,
        1, 162, 115, 80, 68, 245, 247, 11, 153, 164, 215,
    ];
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
    let password = PasswordHash::from_rabbitmq(None, &hash).unwrap();
    assert!(password.verify(b"secret"));
    assert!(!password.verify(b"guest"));
}

#[test]
fn a_new_hash_has_its_own_salt() {
    let (one, other) = (PasswordHash::new(b"secret").unwrap(), PasswordHash::new(b"secret").unwrap());
    assert_ne!(one, other);
    assert!(one.verify(b"secret") && other.verify(b"secret"));
    assert!(!one.verify(b"secret2"));
    let (algorithm, hash) = one.to_rabbitmq();
    assert_eq!(algorithm, "rabbit_password_hashing_sha256");
    assert!(PasswordHash::from_rabbitmq(Some(algorithm), &hash).unwrap().verify(b"secret"));
}

#[test]
fn what_is_no_hash_is_refused() {
    let sha256 = Some("rabbit_password_hashing_sha256");
    let length = |got_bytes| Err(PasswordHashError::Length { got_bytes, want_bytes: 36 });
    assert_eq!(PasswordHash::from_rabbitmq(sha256, ""), length(0));
    assert_eq!(PasswordHash::from_rabbitmq(sha256, "AQID"), length(3));
    assert_eq!(PasswordHash::from_rabbitmq(sha256, SECRET_MD5), length(20));
    assert_eq!(PasswordHash::from_rabbitmq(sha256, SECRET_SHA512), length(68));
    assert_eq!(PasswordHash::from_rabbitmq(sha256, "not base64!"), Err(PasswordHashError::Encoding));
    assert_eq!(
        PasswordHash::from_rabbitmq(Some("rot13"), SECRET_SHA256),
        Err(PasswordHashError::Algorithm("rot13".to_owned()))
    );
    assert!(serde_json::from_str::<PasswordHash>(r#"{"hashing_algorithm":"x","password_hash":""}"#).is_err());
}

#[test]
fn a_hash_is_never_printed() {
    let user = User {
        name: "u".to_owned(),
        password: Some(PasswordHash::from_rabbitmq(None, SECRET_SHA256).unwrap()),
        scram: Some(ScramVerifier::new(b"secret").unwrap()),
        tags: vec!["administrator".to_owned()],
    };
    let printed = "User { name: \"u\", password: Some(PasswordHash::Sha256(..)), scram: Some(ScramVerifier(..)), \
                   tags: [\"administrator\"] }";
    assert_eq!(format!("{user:?}"), printed);
    assert!(user.has_tag("administrator") && !user.has_tag("monitoring"));
}

// SCRAM-SHA-256. The messages are those of RFC 7677.

const SCRAM_MESSAGES: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

fn base64(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap()
}

#[test]
fn a_verifier_knows_the_proof_of_its_password_for_these_messages() {
    let verifier = ScramVerifier::with_salt(b"pencil", &base64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
    let mut proof = base64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let signature = verifier.check(SCRAM_MESSAGES.as_bytes(), &proof);
    assert_eq!(signature.unwrap().to_vec(), base64("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    assert_eq!(verifier.check(b"other messages", &proof), None);
    assert_eq!(verifier.check(SCRAM_MESSAGES.as_bytes(), &proof[1..]), None);
    proof[31] ^= 1;
    assert_eq!(verifier.check(SCRAM_MESSAGES.as_bytes(), &proof), None);
}

#[test]
fn a_verifier_is_stored_and_checked_when_read_and_has_its_own_salt() {
    let verifier = ScramVerifier::new(b"secret").unwrap();
    assert_ne!(verifier.salt(), ScramVerifier::new(b"secret").unwrap().salt());
    assert_eq!((verifier.salt().len(), verifier.iterations()), (16, SCRAM_ITERATIONS));
    let stored = serde_json::to_string(&verifier).unwrap();
    assert_eq!(serde_json::from_str::<ScramVerifier>(&stored).unwrap(), verifier);
    for wrong in
        [stored.replacen("stored_key\":\"", "stored_key\":\"AAAA", 1), stored.replacen("salt\":\"", "salt\":\"!", 1)]
    {
        assert!(serde_json::from_str::<ScramVerifier>(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_password_is_prepared_as_clients_prepare_it() {
    let verifier = |password: &str| ScramVerifier::with_salt(password.as_bytes(), b"salt", 1);
    assert_eq!(verifier("I\u{AD}X"), verifier("IX"), "soft hyphens are nothing");
    assert_eq!(verifier("\u{AA}"), verifier("a"), "compatible forms are one");
    assert_ne!(verifier("A"), verifier("a"));
    // One that cannot be prepared is taken as it is.
    assert_ne!(verifier("\u{7}\u{E9}"), verifier("\u{E9}"));
    let long = "x".repeat(1000);
    assert_ne!(verifier(&long), verifier(&long[1..]));
}

// Logging in.

fn users() -> HashMap<String, Arc<User>> {
    let guest = User::with_password("guest", b"guest", &["administrator"]).unwrap();
    let app = User::with_password("app", b"secret", &[]).unwrap();
    let by_certificate = User { name: "cert".to_owned(), password: None, scram: None, tags: Vec::new() };
    [guest, app, by_certificate].into_iter().map(|user| (user.name.clone(), Arc::new(user))).collect()
}

#[test]
fn only_the_right_password_lets_in() {
    let (users, login) = (users(), Login::default());
    let enter = |name: &str, password: &[u8]| {
        login.authenticate(|name| users.get(name).cloned(), name, password, false).map(|user| user.name.clone())
    };
    assert_eq!(enter("app", b"secret"), Ok("app".to_owned()));
    assert_eq!(enter("app", b"guest"), Err(Denied::Credentials));
    assert_eq!(enter("App", b"secret"), Err(Denied::Credentials));
    assert_eq!(enter("nobody", b"secret"), Err(Denied::Credentials));
    assert_eq!(enter("cert", b"secret"), Err(Denied::Credentials));
    for name in ["app", "cert", "nobody"] {
        assert_eq!(enter(name, b""), Err(Denied::BlankPassword));
    }
}

#[test]
fn a_user_with_a_hash_of_the_empty_password_does_not_get_in_by_it() {
    let user = User::with_password("u", b"", &[]).unwrap();
    let entered = Login::default().authenticate(|_| Some(&user), "u", b"", true);
    assert_eq!(entered.map(|_| ()), Err(Denied::BlankPassword));
}

#[test]
fn guest_comes_from_loopback_only() {
    let users = users();
    let enter = |login: &Login, password: &[u8], peer_is_loopback| {
        login.authenticate(|name| users.get(name).cloned(), "guest", password, peer_is_loopback).map(|_| ())
    };
    let login = Login::default();
    assert_eq!(enter(&login, b"guest", true), Ok(()));
    assert_eq!(enter(&login, b"guest", false), Err(Denied::LoopbackOnly));
    // Whether the password is right is not told to whoever may not come in with it.
    assert_eq!(enter(&login, b"wrong", false), Err(Denied::Credentials));
    let anywhere = Login { loopback_users: Default::default() };
    assert_eq!(enter(&anywhere, b"guest", false), Ok(()));
    assert_eq!(login.admit(users["guest"].clone(), false).map(|_| ()), Err(Denied::LoopbackOnly));
    assert!(login.admit(users["guest"].clone(), true).is_ok());
    assert!(login.admit(users["cert"].clone(), false).is_ok());
}

// Patterns.

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).unwrap().matches(name)
}

/// All lines but the two marked ones were asked of the engine in a RabbitMQ 3.10 node, here and in the next test.
#[test]
fn a_pattern_is_searched_for() {
    for (pattern, name, expected) in [
        ("", "a", false),
        ("", "", true),
        ("^$", "a", false),
        (".*", "", true),
        (".*", "anything\n\u{e9}", true),
        ("^.*$", "anything", true),
        ("a", "bar", true),
        ("^a", "bar", false),
        ("^bar$", "bar", true),
        ("^bar$", "barn", false),
        ("^(amq\\.gen.*|amq\\.default)$", "amq.gen-x", true),
        ("^(amq\\.gen.*|amq\\.default)$", "amqXgen-x", false),
        ("A", "a", false),
        ("(?i)A", "a", true),
        (r"^q\d$", "q1", true),
        (r"^q\d$", "q\u{661}", false),
        ("^..$", "\u{e9}", true), // two bytes, as in RabbitMQ
        ("^\u{e9}$", "\u{e9}", true),
        ("^[\u{e9}]$", "\u{e9}", true), // a character, where RabbitMQ has two bytes
        ("a$", "a\n", false),           // stricter than RabbitMQ
        (r"a\Z", "ba", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern:?} {name:?}");
    }
}

#[test]
fn what_perl_writes_differently_keeps_its_meaning() {
    for (pattern, name, expected) in [
        ("^a{2}$", "aa", true),
        ("^a{2,}$", "aaa", true),
        ("^a{1,2}$", "aaa", false),
        ("^{a}$", "{a}", true),
        ("^a{,2}$", "a{,2}", true),
        ("^a{x$", "a{x", true),
        (r"^\x{61}$", "a", true),
        (r"^\{\}$", "{}", true),
        ("^[[]$", "[", true),
        ("^[a&&b]$", "&", true),
        ("^[a&&b]$", "a", true),
        ("^[a~~b]$", "~", true),
        ("^[+--]$", ",", true),
        ("^[+--]$", "-", true),
        ("^[]a]$", "]", true),
        ("^[^]a]$", "]", false),
        ("^[^]a]$", "b", true),
        ("^[[:digit:]a]+$", "1a2", true),
        (r"^[\]{]+$", "]{", true),
        ("^[{}]+$", "{}", true),
        (r"^\<a\>$", "<a>", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern:?} {name:?}");
    }
}

/// CVE-2026-66074, 67240: an expression costs no more than its own length and the name's, or it is refused.
#[test]
fn hostile_expressions_are_linear_or_refused() {
    let name = "a".repeat(255) + "!";
    for pattern in
        ["^(a+)+$", "^(a|a)*$", "^(a*)*b$", "^(.*)*(.*)*(.*)*x$", "(a?){100}a{100}b", "^(([a-z])+.)+[A-Z]([a-z])+$"]
    {
        assert!(!matches(pattern, &name), "{pattern}");
    }
    let mut too_much = vec![
        "((((a{100}){100}){100}){100})".to_owned(),
        "(".repeat(2_000) + "a" + &")".repeat(2_000),
        "a".repeat(PATTERN_BYTES_MAX + 1),
        "((a{0,1000}){0,1000}){0,1000}".to_owned(),
    ];
    too_much
        .extend(["(", "[", "a)", "*", r"\d+(?=x)", "(?!a)", "(?<=a)b", r"(a)\1", "(?>a)", "a\\"].map(str::to_owned));
    for pattern in too_much {
        let error = Pattern::new(pattern.clone()).unwrap_err();
        assert!(error.to_string().contains("regular expression"), "{error}");
        assert!(serde_json::from_value::<Pattern>(pattern.into()).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_pattern_panic(text in r#"[-a\[\]{}()&~^$.*+?|\\\:\d,\PC<>]{0,24}"#, name in ".{0,8}") {
        if let Ok(pattern) = Pattern::new(text.clone()) {
            pattern.matches(&name);
            let stored = serde_json::to_string(&pattern).unwrap();
            prop_assert_eq!(serde_json::from_str::<Pattern>(&stored).unwrap(), pattern);
        }
    }

    /// A name that is escaped matches itself and nothing shorter, so translation loses no escape.
    #[test]
    fn an_escaped_name_matches_itself(name in any::<String>()) {
        let pattern = Pattern::new(format!("^{}$", regex::escape(&name))).unwrap();
        prop_assert!(pattern.matches(&name));
        let mut longer = name.clone();
        longer.push('x');
        prop_assert!(!pattern.matches(longer));
    }
}

// Permissions.

#[test]
fn each_access_has_its_own_pattern() {
    let permission = Permission::new("^c", "^w", "").unwrap();
    for access in [Access::Configure, Access::Write, Access::Read] {
        for name in ["c", "w", "r", "amq.default"] {
            let expected = matches!((access, name), (Access::Configure, "c") | (Access::Write, "w"));
            assert_eq!(permission.may(access, name), expected, "{} {name}", access.name());
        }
    }
}

#[test]
fn the_default_exchange_is_amq_default() {
    assert!(Permission::new("", r"^amq\.default$", "").unwrap().may(Access::Write, ""));
    assert!(!Permission::new("", "^$", "").unwrap().may(Access::Write, ""));
    assert!(!Permission::new("", "", "").unwrap().may(Access::Write, ""));
    assert!(Permission::new("", ".*", "").unwrap().may(Access::Write, ""));
}

#[test]
fn permissions_are_stored_as_their_text() {
    let permission = Permission::new("^$", ".*", "^q{1}-").unwrap();
    let stored = serde_json::to_string(&permission).unwrap();
    assert_eq!(stored, r#"{"configure":"^$","write":".*","read":"^q{1}-"}"#);
    let read: Permission = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, permission);
    assert!(read.may(Access::Read, "q-1") && !read.may(Access::Read, "q2"));
}

// Topic permissions.

const ALICE: Variables<'static> = Variables { username: "alice", vhost: "/", client_id: None };

#[test]
fn variables_stand_for_the_session() {
    let permission = TopicPermission::new("amq.topic", r"^{username}\.", "^{vhost}-{client_id}-{other}$").unwrap();
    let grant = permission.grant(ALICE).unwrap();
    assert!(grant.may(TopicAccess::Write, "alice.x"));
    assert!(!grant.may(TopicAccess::Write, "bob.x"));
    assert!(grant.may(TopicAccess::Read, "/-{client_id}-{other}"));
    let grant = permission.grant(Variables { client_id: Some("c1"), ..ALICE }).unwrap();
    assert!(grant.may(TopicAccess::Read, "/-c1-{other}"));
}

#[test]
fn a_name_gives_no_rights_by_its_spelling() {
    let permission = TopicPermission::new("amq.topic", r"^{username}\.", "^[{username}]$").unwrap();
    let write = |username: &str, key: &str| {
        permission.grant(Variables { username, ..ALICE }).unwrap().may(TopicAccess::Write, key)
    };
    assert!(!write(".*", "alice.x"));
    assert!(write(".*", ".*.x"));
    assert!(!write("a|b", "b.x"));
    assert!(!write("{vhost}", "/.x"));
    assert!(write("{vhost}", "{vhost}.x"));
    assert!(!write("[a-z]+", "alice.x"));
    // Within a class it stands for its characters, not for a range or the class's end.
    let read = |username: &str, key: &str| {
        permission.grant(Variables { username, ..ALICE }).unwrap().may(TopicAccess::Read, key)
    };
    assert!(!read("a-z", "b") && read("a-z", "-"));
    assert!(!read("]|.*[", "b"));
}

#[test]
fn an_endless_client_id_gets_nothing() {
    let permission = TopicPermission::new("amq.topic", ".*{client_id}", ".*").unwrap();
    let endless = "x".repeat(60_000);
    let variables = Variables { client_id: Some(&endless), ..ALICE };
    assert!(matches!(permission.grant(variables), Err(PatternError::Long { .. })));
    let mut cache = TopicCache::new();
    let version = AtomicU64::new(0);
    let load = || Some(permissions_of(&permission));
    assert!(!cache.may(&version, load, variables, TopicAccess::Read, "amq.topic", "k"));
}

#[test]
fn topic_permissions_are_stored_and_checked_when_read() {
    let permission = TopicPermission::new("amq.topic", "^{username}", "").unwrap();
    let stored = serde_json::to_string(&permission).unwrap();
    assert_eq!(stored, r#"{"exchange":"amq.topic","write":"^{username}","read":""}"#);
    assert_eq!(serde_json::from_str::<TopicPermission>(&stored).unwrap(), permission);
    assert_eq!((permission.exchange(), permission.write(), permission.read()), ("amq.topic", "^{username}", ""));
    assert!(serde_json::from_str::<TopicPermission>(r#"{"exchange":"x","write":"(","read":""}"#).is_err());
    assert!(!permission.grant(ALICE).unwrap().may(TopicAccess::Read, "k"));
}

// Caches.

#[test]
fn a_decision_is_remembered_until_the_version_changes() {
    let version = AtomicU64::new(7);
    let loads = Cell::new(0);
    let (before, after) = (Permission::new("", "^a", "").unwrap(), Permission::new("", "^b", "").unwrap());
    let (before, after) = (Arc::new(before), Arc::new(after));
    let current = Cell::new(Some(&before));
    let mut cache = AccessCache::new();
    let mut write = |name: &str| {
        let load = || {
            loads.set(loads.get() + 1);
            current.get().cloned()
        };
        cache.may(&version, load, Access::Write, name)
    };
    for _ in 0..3 {
        assert!(write("a") && !write("b"));
    }
    assert_eq!(loads.get(), 1);
    current.set(Some(&after));
    assert!(write("a"), "remembered");
    version.fetch_add(1, Ordering::Release);
    assert!(!write("a") && write("b"));
    assert_eq!(loads.get(), 2);
    current.set(None);
    version.fetch_add(1, Ordering::Release);
    assert!(!write("a") && !write("b"), "nothing without a permission");
}

proptest! {
    #[test]
    fn a_cache_answers_as_the_permission(
        questions in prop::collection::vec((0..3u8, 0..200u32, prop::bool::weighted(0.02)), 0..600),
    ) {
        let permissions = [
            Permission::new("[02468]$", "^1", "7").unwrap(),
            Permission::new("^1", "7", "[02468]$").unwrap(),
        ].map(Arc::new);
        let version = AtomicU64::new(0);
        let mut cache = AccessCache::new();
        for (access, name, changes) in questions {
            if changes {
                version.fetch_add(1, Ordering::Release);
            }
            let permission = &permissions[version.load(Ordering::Acquire) as usize % 2];
            let access = [Access::Configure, Access::Write, Access::Read][access as usize];
            let name = name.to_string();
            let may = cache.may(&version, || Some(permission.clone()), access, &name);
            prop_assert_eq!(may, permission.may(access, &name));
        }
    }
}

fn permissions_of(permission: &TopicPermission) -> Arc<TopicPermissions> {
    Arc::new(TopicPermissions::from([(permission.exchange().to_owned(), permission.clone())]))
}

#[test]
fn topic_permissions_are_loaded_once_a_version() {
    let version = AtomicU64::new(0);
    let loads = Cell::new(0);
    let mut cache = TopicCache::new();
    let permission = TopicPermission::new("t", "^{username}", "^{client_id}").unwrap();
    let current = Cell::new(Some(&permission));
    let mut may = |access, exchange: &str, key: &str, client_id| {
        let load = || {
            loads.set(loads.get() + 1);
            current.get().map(permissions_of)
        };
        cache.may(&version, load, Variables { client_id, ..ALICE }, access, exchange, key)
    };
    let write = TopicAccess::Write;
    for _ in 0..2 {
        assert!(may(write, "t", "alice.1", None) && !may(write, "t", "bob.1", None) && may(write, "u", "bob.1", None));
    }
    // What was compiled for one client is not used for another.
    for id in ["c1", "c2", "c1"] {
        assert!(may(TopicAccess::Read, "t", &format!("{id}.x"), Some(id)));
        assert!(!may(TopicAccess::Read, "t", "c3.x", Some(id)));
    }
    assert_eq!(loads.get(), 1);
    current.set(None);
    assert!(!may(write, "t", "bob.1", None), "remembered");
    version.fetch_add(1, Ordering::Release);
    assert!(may(write, "t", "bob.1", None));
    assert_eq!(loads.get(), 2);
}
