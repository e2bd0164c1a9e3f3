//! The access keys of users, as operators make and delete them while the broker runs.

use std::sync::Arc;

use crate::broker::Broker;
use crate::error::Error;
use crate::rights::{AccessKey, AccessKeyRefused};
use crate::rights_store::Changed;

impl Broker {
    /// The access key of this id.
    pub fn access_key(&self, id: &str) -> Option<Arc<AccessKey>> {
        self.rights().access_key(id)
    }

    /// The access keys of a user, by id.
    pub fn access_keys(&self, user: &str) -> Vec<Arc<AccessKey>> {
        self.rights().access_keys(user)
    }

    /// Makes a new access key for a user. It is on stable storage when this returns.
    ///
    /// # Errors
    /// There is no such user, it has too many, or the disk is full.
    pub async fn create_access_key(&self, user: &str) -> Result<Arc<AccessKey>, AccessKeyRefused> {
        let key = Arc::new(AccessKey::generate(user)?);
        self.set_access_key(Arc::clone(&key)).await?;
        Ok(key)
    }

    /// Gives a user an access key that was made elsewhere, in place of the one of its id; whether the user had one of this id.
    ///
    /// # Errors
    /// There is no such user, it has too many; the id is another user's; id or secret cannot be one; the disk is full.
    pub async fn put_access_key(&self, user: &str, id: &str, secret: &str) -> Result<bool, AccessKeyRefused> {
        self.set_access_key(Arc::new(AccessKey::given(user, id, secret)?)).await
    }

    /// Deletes an access key of a user; whether it had one of this id.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn delete_access_key(&self, user: &str, id: &str) -> Result<bool, Error> {
        self.change_rights(|rights| Ok(rights.delete_access_key(user, id))).await
    }

    async fn set_access_key(&self, key: Arc<AccessKey>) -> Result<bool, AccessKeyRefused> {
        let mut refused = None;
        let set = self.change_rights(|rights| match rights.put_access_key(key) {
            Ok(changed) => Ok(changed),
            Err(AccessKeyRefused::Broker(error)) => Err(error),
            Err(why) => {
                refused = Some(why);
                Ok(Changed { existed: false, rows: Vec::new() })
            }
        });
        let existed = set.await?;
        refused.map_or(Ok(existed), Err)
    }
}
