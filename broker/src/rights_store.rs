//! Users, permissions and the decisions that follow from them: the one place where it is decided who may do what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gantry_storage::{Change, Table};
use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::error::Error;
use crate::rights::{Denied, Login, Permission, User};

const USERS: &str = "users";
const PERMISSIONS: &str = "permissions";

/// All users and permissions.
#[derive(Debug)]
pub(crate) struct RightsStore {
    login: Login,
    users: RwLock<HashMap<String, Arc<User>>>,
    /// By user, then by virtual host.
    permissions: RwLock<HashMap<String, HashMap<String, Arc<Permission>>>>,
    version: AtomicU64,
}

fn storage(error: impl ToString) -> Error {
    Error::Storage(error.to_string())
}

impl RightsStore {
    pub(crate) fn load(table: &dyn Table, login: Login) -> Result<Self, Error> {
        let mut users = HashMap::new();
        for (_, value) in table.scan(USERS, &[])? {
            let user: User = serde_json::from_slice(&value).map_err(storage)?;
            users.insert(user.name.clone(), Arc::new(user));
        }
        let mut permissions: HashMap<String, HashMap<String, Arc<Permission>>> = HashMap::new();
        for (_, value) in table.scan(PERMISSIONS, &[])? {
            let (user, vhost, permission): (String, String, Permission) =
                serde_json::from_slice(&value).map_err(storage)?;
            permissions.entry(user).or_default().insert(vhost, Arc::new(permission));
        }
        let (users, permissions) = (RwLock::new(users), RwLock::new(permissions));
        Ok(Self { login, users, permissions, version: AtomicU64::new(1) })
    }

    /// Puts a user in memory; the row to keep.
    pub(crate) fn put_user(&self, user: User) -> Result<Change, Error> {
        let value = serde_json::to_vec(&user).map_err(storage)?;
        let change = Change::Put { space: USERS, key: user.name.clone().into_bytes(), value };
        self.users.write().insert(user.name.clone(), Arc::new(user));
        self.changed();
        Ok(change)
    }

    /// Puts a permission in memory; the row to keep.
    pub(crate) fn put_permission(&self, user: &str, vhost: &str, permission: Permission) -> Result<Change, Error> {
        let value = serde_json::to_vec(&(user, vhost, &permission)).map_err(storage)?;
        let mut key = user.as_bytes().to_vec();
        key.push(0);
        key.extend_from_slice(vhost.as_bytes());
        self.permissions.write().entry(user.to_owned()).or_default().insert(vhost.to_owned(), Arc::new(permission));
        self.changed();
        Ok(Change::Put { space: PERMISSIONS, key, value })
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn version(&self) -> &AtomicU64 {
        &self.version
    }

    pub(crate) fn permission(&self, user: &str, vhost: &str) -> Option<Arc<Permission>> {
        self.permissions.read().get(user)?.get(vhost).cloned()
    }

    pub(crate) fn authenticate(
        &self,
        name: &str,
        password: &[u8],
        peer_is_loopback: bool,
    ) -> Result<Arc<User>, Denied> {
        self.login.authenticate(|name| self.users.read().get(name).cloned(), name, password, peer_is_loopback)
    }

    pub(crate) fn admit(&self, name: &str, peer_is_loopback: bool) -> Result<Arc<User>, Denied> {
        let user = self.users.read().get(name).cloned().ok_or(Denied::Credentials)?;
        self.login.admit(user, peer_is_loopback)
    }
}
