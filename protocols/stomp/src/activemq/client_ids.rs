//! What clients call themselves: one connection at a time has a name.

use std::sync::Arc;

use hashbrown::HashSet;
use parking_lot::Mutex;

/// The names that are taken, each with its virtual host.
#[derive(Debug, Default)]
pub(crate) struct ClientIds(Mutex<HashSet<(Arc<str>, Box<str>)>>);

/// The name of a client. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct ClientId {
    vhost: Arc<str>,
    id: Box<str>,
    /// None where others may have it too.
    taken: Option<Arc<ClientIds>>,
}

impl ClientId {
    /// A name that does not exclude others.
    pub(crate) fn shared(vhost: &Arc<str>, id: &str) -> Self {
        Self { vhost: Arc::clone(vhost), id: id.into(), taken: None }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.id
    }
}

impl ClientIds {
    /// Takes a name; none where somebody has it.
    pub(crate) fn take(self: &Arc<Self>, vhost: &Arc<str>, id: &str) -> Option<ClientId> {
        let is_new = self.0.lock().insert((Arc::clone(vhost), id.into()));
        is_new.then(|| ClientId { vhost: Arc::clone(vhost), id: id.into(), taken: Some(Arc::clone(self)) })
    }
}

impl Drop for ClientId {
    fn drop(&mut self) {
        if let Some(ids) = &self.taken {
            ids.0.lock().remove(&(Arc::clone(&self.vhost), self.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_free_again_when_its_client_has_gone() {
        let (ids, one, other) = (Arc::new(ClientIds::default()), Arc::from("/"), Arc::from("other"));
        let taken = ids.take(&one, "c");
        assert!(taken.is_some() && ids.take(&one, "c").is_none());
        assert!(ids.take(&other, "c").is_some() && ids.take(&one, "d").is_some());
        drop(taken);
        assert!(ids.take(&one, "c").is_some());
    }
}
