//! Users, permissions and the decisions that follow from them: the one place where it is decided who may do what.
//!
//! A change is in memory at once, and counts from the next question on. What it leaves for the table is handed over under the
//! lock that the change was made under, so that the table has them in the same order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gantry_storage::{Change, Table};
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::broker::commit_blocking;
use crate::error::Error;
use crate::rights::{
    ACCESS_KEYS_MAX, AccessKey, AccessKeyRefused, Authenticated, Claimed, Denied, Login, Permission, ScramVerifier,
    TokenError, Tokens, TopicPermission, TopicPermissions, User,
};

const USERS: &str = "users";
const PERMISSIONS: &str = "permissions";
const TOPIC_PERMISSIONS: &str = "topic-permissions";
const ACCESS_KEYS: &str = "access-keys";
const SECRETS: &str = "secrets";
const SCRAM: &[u8] = b"scram";

/// Bytes of a secret of the broker.
const SECRET_BYTES: usize = 32;

/// By user, then by virtual host.
type ByUser<T> = HashMap<String, HashMap<String, Arc<T>>>;

/// All users and permissions.
pub(crate) struct RightsStore {
    login: Login,
    tokens: Option<Tokens>,
    /// What SCRAM tells of users that do not exist is derived from it: the same after a restart.
    scram_secret: Vec<u8>,
    changing: Mutex<()>,
    users: RwLock<HashMap<String, Account>>,
    permissions: RwLock<ByUser<Permission>>,
    topics: RwLock<ByUser<TopicPermissions>>,
    /// By id.
    access_keys: RwLock<HashMap<String, Arc<AccessKey>>>,
    version: AtomicU64,
}

/// A user, and whoever wants to know when it is gone: the channel ends with the account.
struct Account {
    user: Arc<User>,
    there: watch::Sender<()>,
}

impl Account {
    fn new(user: User) -> Self {
        Self { user: Arc::new(user), there: watch::Sender::new(()) }
    }
}

/// What a change was, and the rows that it leaves.
pub(crate) struct Changed {
    /// There was something before.
    pub(crate) existed: bool,
    pub(crate) rows: Vec<Change>,
}

fn storage(error: impl ToString) -> Error {
    Error::Storage(error.to_string())
}

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(storage)
}

fn put(space: &'static str, key: Vec<u8>, value: &impl Serialize) -> Result<Change, Error> {
    Ok(Change::Put { space, key, value: serde_json::to_vec(value).map_err(storage)? })
}

/// Names with zeros between them, which no name contains.
fn key(names: &[&str]) -> Vec<u8> {
    names.join("\0").into_bytes()
}

impl RightsStore {
    pub(crate) fn load(table: &dyn Table, login: Login, tokens: Option<Tokens>) -> Result<Self, Error> {
        let mut users = HashMap::new();
        for (_, value) in table.scan(USERS, &[])? {
            let user: User = read(&value)?;
            users.insert(user.name.clone(), Account::new(user));
        }
        let mut permissions = ByUser::new();
        for (_, value) in table.scan(PERMISSIONS, &[])? {
            let (user, vhost, permission): (String, String, Permission) = read(&value)?;
            permissions.entry(user).or_default().insert(vhost, Arc::new(permission));
        }
        let mut topics = ByUser::<TopicPermissions>::new();
        for (_, value) in table.scan(TOPIC_PERMISSIONS, &[])? {
            let (user, vhost, permission): (String, String, TopicPermission) = read(&value)?;
            insert_topic(&mut topics, &user, &vhost, permission);
        }
        let mut access_keys = HashMap::new();
        for (_, value) in table.scan(ACCESS_KEYS, &[])? {
            let key: AccessKey = read(&value)?;
            access_keys.insert(key.id.clone(), Arc::new(key));
        }
        Ok(Self {
            login,
            tokens,
            scram_secret: scram_secret(table)?,
            changing: Mutex::new(()),
            users: RwLock::new(users),
            permissions: RwLock::new(permissions),
            topics: RwLock::new(topics),
            access_keys: RwLock::new(access_keys),
            version: AtomicU64::new(1),
        })
    }

    /// Held by whoever changes something, until the rows are on their way to the table.
    pub(crate) fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    pub(crate) fn put_user(&self, user: User) -> Result<Changed, Error> {
        let rows = vec![put(USERS, key(&[&user.name]), &user)?];
        let mut users = self.users.write();
        let existed = match users.get_mut(&user.name) {
            Some(account) => {
                account.user = Arc::new(user);
                true
            }
            None => {
                users.insert(user.name.clone(), Account::new(user));
                false
            }
        };
        drop(users);
        Ok(self.changed(existed, rows))
    }

    /// With everything that the user may do: the next one of this name begins anew.
    pub(crate) fn delete_user(&self, name: &str) -> Changed {
        let account = self.users.write().remove(name);
        let mut rows = vec![Change::Delete { space: USERS, key: key(&[name]) }];
        for vhost in self.permissions.write().remove(name).unwrap_or_default().into_keys() {
            rows.push(Change::Delete { space: PERMISSIONS, key: key(&[name, &vhost]) });
        }
        for (vhost, permissions) in self.topics.write().remove(name).unwrap_or_default() {
            rows.extend(permissions.keys().map(|exchange| delete_topic_row(name, &vhost, exchange)));
        }
        self.access_keys.write().retain(|id, key| {
            let stays = key.user != name;
            if !stays {
                rows.push(delete_access_key_row(id));
            }
            stays
        });
        let changed = self.changed(account.is_some(), rows);
        // Whoever hears of it finds that it has happened.
        drop(account);
        changed
    }

    pub(crate) fn put_permission(&self, user: &str, vhost: &str, permission: Permission) -> Result<Changed, Error> {
        let rows = vec![put(PERMISSIONS, key(&[user, vhost]), &(user, vhost, &permission))?];
        let mut permissions = self.permissions.write();
        let of_user = permissions.entry(user.to_owned()).or_default();
        let existed = of_user.insert(vhost.to_owned(), Arc::new(permission)).is_some();
        drop(permissions);
        Ok(self.changed(existed, rows))
    }

    pub(crate) fn delete_permission(&self, user: &str, vhost: &str) -> Changed {
        let existed = self.permissions.write().get_mut(user).and_then(|of_user| of_user.remove(vhost)).is_some();
        self.changed(existed, vec![Change::Delete { space: PERMISSIONS, key: key(&[user, vhost]) }])
    }

    pub(crate) fn put_topic_permission(
        &self,
        user: &str,
        vhost: &str,
        permission: TopicPermission,
    ) -> Result<Changed, Error> {
        let rows =
            vec![put(TOPIC_PERMISSIONS, key(&[user, vhost, permission.exchange()]), &(user, vhost, &permission))?];
        let existed = insert_topic(&mut self.topics.write(), user, vhost, permission);
        Ok(self.changed(existed, rows))
    }

    /// Those of one exchange, or of all.
    pub(crate) fn delete_topic_permissions(&self, user: &str, vhost: &str, exchange: Option<&str>) -> Changed {
        let mut topics = self.topics.write();
        let mut gone = Vec::new();
        if let Some(of_user) = topics.get_mut(user)
            && let Some(permissions) = of_user.get_mut(vhost)
        {
            let kept = Arc::make_mut(permissions);
            kept.retain(|name, _| {
                let goes = exchange.is_none_or(|exchange| exchange == name);
                if goes {
                    gone.push(delete_topic_row(user, vhost, name));
                }
                !goes
            });
            // Sessions ask less where there are none.
            if kept.is_empty() {
                of_user.remove(vhost);
            }
        }
        drop(topics);
        self.changed(!gone.is_empty(), gone)
    }

    /// Whether the user had one of this id.
    pub(crate) fn put_access_key(&self, key: Arc<AccessKey>) -> Result<Changed, AccessKeyRefused> {
        // Users do not go meanwhile: whoever changes something holds the lock.
        if self.user(&key.user).is_none() {
            return Err(AccessKeyRefused::NoUser);
        }
        let rows = vec![put(ACCESS_KEYS, key.id.clone().into_bytes(), &*key)?];
        let mut keys = self.access_keys.write();
        let before = keys.get(&key.id);
        if before.is_some_and(|before| before.user != key.user) {
            return Err(AccessKeyRefused::Taken);
        }
        let existed = before.is_some();
        if !existed && keys.values().filter(|other| other.user == key.user).count() >= ACCESS_KEYS_MAX {
            return Err(AccessKeyRefused::TooMany);
        }
        keys.insert(key.id.clone(), key);
        drop(keys);
        Ok(self.changed(existed, rows))
    }

    pub(crate) fn delete_access_key(&self, user: &str, id: &str) -> Changed {
        let mut keys = self.access_keys.write();
        let existed = keys.get(id).is_some_and(|key| key.user == user);
        if !existed {
            return Changed { existed, rows: Vec::new() };
        }
        keys.remove(id);
        drop(keys);
        self.changed(existed, vec![delete_access_key_row(id)])
    }

    pub(crate) fn access_key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.access_keys.read().get(id).cloned()
    }

    /// In the order of their ids.
    pub(crate) fn access_keys(&self, user: &str) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<_> = self.access_keys.read().values().filter(|key| key.user == user).cloned().collect();
        keys.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        keys
    }

    /// What was changed counts from here on.
    fn changed(&self, existed: bool, rows: Vec<Change>) -> Changed {
        self.version.fetch_add(1, Ordering::Release);
        Changed { existed, rows }
    }

    pub(crate) fn version(&self) -> &AtomicU64 {
        &self.version
    }

    pub(crate) fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.read().get(name).map(|account| Arc::clone(&account.user))
    }

    /// A channel that ends with the user.
    pub(crate) fn watch_user(&self, name: &str) -> Option<watch::Receiver<()>> {
        Some(self.users.read().get(name)?.there.subscribe())
    }

    pub(crate) fn users(&self) -> Vec<Arc<User>> {
        let mut users: Vec<_> = self.users.read().values().map(|account| Arc::clone(&account.user)).collect();
        users.sort_by(|one, other| one.name.cmp(&other.name));
        users
    }

    pub(crate) fn permission(&self, user: &str, vhost: &str) -> Option<Arc<Permission>> {
        self.permissions.read().get(user)?.get(vhost).cloned()
    }

    pub(crate) fn topic_permissions(&self, user: &str, vhost: &str) -> Option<Arc<TopicPermissions>> {
        self.topics.read().get(user)?.get(vhost).cloned()
    }

    /// All permissions: user, virtual host, and what may be done there.
    pub(crate) fn all_permissions(&self) -> Vec<(String, String, Arc<Permission>)> {
        flat(&self.permissions.read())
    }

    /// As [`RightsStore::all_permissions`], by topic.
    pub(crate) fn all_topic_permissions(&self) -> Vec<(String, String, Arc<TopicPermissions>)> {
        flat(&self.topics.read())
    }

    pub(crate) fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        peer_is_loopback: bool,
    ) -> Result<Arc<User>, Denied> {
        self.login.authenticate(|name| self.user(name), name, password, peer_is_loopback)
    }

    /// Lets a user in by a password, or by a token in its place. A client that gives a token may leave its name out, but must
    /// not say another one.
    pub(crate) fn log_in(
        &self,
        name: &str,
        secret: &[u8],
        peer_is_loopback: bool,
        now_ms: u64,
    ) -> Result<Authenticated, Denied> {
        let Some(tokens) = self.tokens.as_ref().filter(|_| Tokens::look_like(secret)) else {
            let user = self.authenticate(name, secret, peer_is_loopback)?;
            return Ok(Authenticated { user, expires_ms: None });
        };
        let Claimed { user, expires_ms } = tokens.check(secret, now_ms)?;
        if !name.is_empty() && name != user {
            return Err(TokenError::User.into());
        }
        Ok(Authenticated { user: self.admit(&user, peer_is_loopback)?, expires_ms: Some(expires_ms) })
    }

    /// What the user's password is checked with in SCRAM-SHA-256. There is one for everybody: a client does not get to know
    /// who has none.
    pub(crate) fn scram(&self, name: &str) -> ScramVerifier {
        let nobody = ScramVerifier::of_nobody(&self.scram_secret, name);
        self.user(name).and_then(|user| user.scram.clone()).unwrap_or(nobody)
    }

    pub(crate) fn admit(&self, name: &str, peer_is_loopback: bool) -> Result<Arc<User>, Denied> {
        self.login.admit(self.user(name).ok_or(Denied::Credentials)?, peer_is_loopback)
    }
}

fn scram_secret(table: &dyn Table) -> Result<Vec<u8>, Error> {
    if let Some(secret) = table.get(SECRETS, SCRAM)? {
        return Ok(secret);
    }
    let mut secret = vec![0; SECRET_BYTES];
    getrandom::fill(&mut secret).map_err(storage)?;
    let put = Change::Put { space: SECRETS, key: SCRAM.to_vec(), value: secret.clone() };
    commit_blocking(table, vec![put])?;
    Ok(secret)
}

/// Whether there was one before.
fn insert_topic(topics: &mut ByUser<TopicPermissions>, user: &str, vhost: &str, permission: TopicPermission) -> bool {
    let of_user = topics.entry(user.to_owned()).or_default();
    let permissions = of_user.entry(vhost.to_owned()).or_default();
    Arc::make_mut(permissions).insert(permission.exchange().to_owned(), permission).is_some()
}

fn delete_topic_row(user: &str, vhost: &str, exchange: &str) -> Change {
    Change::Delete { space: TOPIC_PERMISSIONS, key: key(&[user, vhost, exchange]) }
}

fn delete_access_key_row(id: &str) -> Change {
    Change::Delete { space: ACCESS_KEYS, key: id.as_bytes().to_vec() }
}

/// In the order of users, then of virtual hosts.
fn flat<T>(by_user: &ByUser<T>) -> Vec<(String, String, Arc<T>)> {
    let of_user = |(user, by_vhost): (&String, &HashMap<String, Arc<T>>)| {
        by_vhost.iter().map(|(vhost, one)| (user.clone(), vhost.clone(), Arc::clone(one))).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = by_user.iter().flat_map(of_user).collect();
    all.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
    all
}
