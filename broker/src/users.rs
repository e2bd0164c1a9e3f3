//! Users and what they may do, as operators change them while the broker runs.
//!
//! Each change counts from the next thing on that any session of the user tries, and returns when it is on stable storage.

use std::sync::Arc;

use gantry_storage::Change;

use crate::broker::Broker;
use crate::error::{Error, Kind, Resource};
use crate::rights::{Permission, ScramVerifier, TopicPermission, TopicPermissions, User};
use crate::rights_store::{Changed, RightsStore};
use crate::vhost::Pending;

impl Broker {
    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.rights().user(name)
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.rights().users()
    }

    /// What the password of a user is checked with in SCRAM-SHA-256. For a name without one there is one too, the same each
    /// time, that no password fits. Whoever has given the right proof is let in by [`Broker::admit`].
    pub fn scram(&self, name: &str) -> ScramVerifier {
        self.rights().scram(name)
    }

    /// Sets a user, in place of the one of its name; whether there was one.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn set_user(&self, user: User) -> Result<bool, Error> {
        self.change_rights(|rights| rights.put_user(user)).await
    }

    /// Deletes a user with all its permissions and access keys; whether there was one. Its sessions may do nothing more.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn delete_user(&self, name: &str) -> Result<bool, Error> {
        self.change_rights(|rights| Ok(rights.delete_user(name))).await
    }

    /// What a user may do in a virtual host, if it may enter it at all.
    pub fn permission(&self, user: &str, vhost: &str) -> Option<Arc<Permission>> {
        self.rights().permission(user, vhost)
    }

    /// All permissions, by user and virtual host.
    pub fn permissions(&self) -> Vec<(String, String, Arc<Permission>)> {
        self.rights().all_permissions()
    }

    /// Sets what a user may do in a virtual host; whether there was such a permission.
    ///
    /// # Errors
    /// There is no such user or virtual host; the disk is full.
    pub async fn set_permission(&self, user: &str, vhost: &str, permission: Permission) -> Result<bool, Error> {
        let change = |rights: &RightsStore| {
            self.check_exist(user, vhost)?;
            rights.put_permission(user, vhost, permission)
        };
        self.change_rights(change).await
    }

    /// Takes the right to enter a virtual host from a user; whether it had it.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn clear_permission(&self, user: &str, vhost: &str) -> Result<bool, Error> {
        self.change_rights(|rights| Ok(rights.delete_permission(user, vhost))).await
    }

    /// The topic permissions of a user in a virtual host; none is no restriction.
    pub fn topic_permissions_of(&self, user: &str, vhost: &str) -> Option<Arc<TopicPermissions>> {
        self.rights().topic_permissions(user, vhost)
    }

    /// All topic permissions, by user and virtual host.
    pub fn topic_permissions(&self) -> Vec<(String, String, Arc<TopicPermissions>)> {
        self.rights().all_topic_permissions()
    }

    /// Sets which routing keys a user may use on a topic exchange; whether there was such a permission. The
    /// exchange need not exist.
    ///
    /// # Errors
    /// There is no such user or virtual host; the disk is full.
    pub async fn set_topic_permission(
        &self,
        user: &str,
        vhost: &str,
        permission: TopicPermission,
    ) -> Result<bool, Error> {
        let change = |rights: &RightsStore| {
            self.check_exist(user, vhost)?;
            rights.put_topic_permission(user, vhost, permission)
        };
        self.change_rights(change).await
    }

    /// Clears the topic permissions of a user in a virtual host, those for one exchange or all; whether there were any.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<bool, Error> {
        self.change_rights(|rights| Ok(rights.delete_topic_permissions(user, vhost, exchange))).await
    }

    fn check_exist(&self, user: &str, vhost: &str) -> Result<(), Error> {
        let missing = |kind, name| Resource { kind, name: Arc::from(name), vhost: Arc::from(vhost) };
        if self.vhost(vhost).is_none() {
            return Err(Error::NotFound(missing(Kind::VirtualHost, vhost)));
        }
        if self.user(user).is_none() {
            return Err(Error::NotFound(missing(Kind::User, user)));
        }
        Ok(())
    }

    pub(crate) async fn change_rights(
        &self,
        change: impl FnOnce(&RightsStore) -> Result<Changed, Error>,
    ) -> Result<bool, Error> {
        let (existed, durable) = {
            let _changing = self.rights().lock();
            let Changed { existed, rows } = change(self.rights())?;
            if rows.is_empty() {
                return Ok(existed);
            }
            (existed, self.commit(rows))
        };
        durable.wait().await?;
        Ok(existed)
    }

    /// Hands rows to the table at once; resolves when they are on stable storage.
    fn commit(&self, rows: Vec<Change>) -> Pending {
        Pending::commit(&*self.shared().table, rows)
    }
}
