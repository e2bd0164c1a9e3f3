//! Wills (3.1.2.5, 3.1.3.2): what is published when a client is lost.
//!
//! Whoever opens a session with a will may publish it then; whether they still may is asked again when it is published.

use std::sync::Arc;

use bytes::Bytes;
use gantry_broker::message::now_ms;
use gantry_broker::rights::{Access, TopicAccess};
use gantry_broker::{Broker, Error, Kind, RouteCache, Session, VirtualHost, Wakes};
use serde::{Deserialize, Serialize};

use super::kept::Owner;
use super::place::Id;
use super::registry::Sessions;
use super::rows::bytes_as_text;
use crate::codec::packet::{self, QoS, Version};
use crate::convert::{self, Published};
use crate::topics;

/// The will of a client, to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Will {
    pub(crate) topic: String,
    #[serde(with = "bytes_as_text")]
    pub(crate) payload: Bytes,
    /// 0 to 2.
    pub(crate) qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) retain: bool,
    /// It came by MQTT 5.
    #[serde(default)]
    pub(crate) v5: bool,
    /// So many seconds after the client is lost.
    #[serde(default)]
    pub(crate) delay_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message_expiry_s: Option<u32>,
    /// The properties of the application, encoded.
    #[serde(default, with = "bytes_as_text", skip_serializing_if = "Bytes::is_empty")]
    pub(crate) application: Bytes,
}

impl Will {
    /// Of a CONNECT.
    pub(crate) fn new(will: &packet::Will<'_>, version: Version) -> Self {
        Self {
            topic: will.topic.to_owned(),
            payload: Bytes::copy_from_slice(will.payload),
            qos: will.qos as u8,
            retain: will.retain,
            v5: version == Version::V5,
            delay_s: will.delay_s,
            message_expiry_s: will.message_expiry_s,
            application: Bytes::copy_from_slice(&will.application),
        }
    }
}

/// Whether a client may publish its will.
///
/// # Errors
/// It may not.
pub(super) fn check(session: &mut Session, exchange: &str, client: &str, will: &Will) -> Result<(), Error> {
    session.check(Access::Write, Kind::Exchange, exchange)?;
    session.check_topic(TopicAccess::Write, exchange, &topics::key(&will.topic), Some(client))
}

/// The client of a session that nobody holds, as far as it may still come in.
fn absent(broker: &Arc<Broker>, user: &Owner, vhost: &str) -> Option<Session> {
    let user = match user {
        Owner::Known(user) => Arc::clone(user),
        // It came in before; from where does not matter now.
        Owner::Named(name) => broker.admit(name, true).ok()?,
    };
    broker.open_session(user, vhost).ok()
}

impl Sessions {
    /// Publishes a will, if its client still may. What it is refused for is logged: there is nobody to tell.
    pub(super) fn publish_will(&self, vhost: &Arc<VirtualHost>, id: &Id, user: &Owner, will: &Will) {
        if let Err(error) = self.try_publish_will(vhost, id, user, will) {
            tracing::warn!(client = &*id.client, vhost = &*id.vhost, %error, "a will was not published");
        }
    }

    fn try_publish_will(&self, vhost: &Arc<VirtualHost>, id: &Id, user: &Owner, will: &Will) -> Result<(), WillError> {
        let exchange = &self.settings.exchange;
        let mut session = absent(&self.broker, user, &id.vhost).ok_or(WillError::NotAllowedIn)?;
        check(&mut session, exchange, &id.client, will)?;
        let key = Bytes::copy_from_slice(&topics::key(&will.topic));
        let published = Published {
            version: if will.v5 { Version::V5 } else { Version::V311 },
            qos: match will.qos {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            retain: will.retain,
            dup: false,
            publisher: convert::publisher(&id.vhost, &id.client),
            expiry_s: will.message_expiry_s,
            application: &will.application,
            payload: &will.payload,
        };
        let route = vhost.route(&mut RouteCache::default(), exchange, &key)?;
        let message = convert::message(Arc::clone(route.address()), &published);
        let now_ms = now_ms();
        if will.retain {
            // Nobody waits for the disk: a retained message is there when its row is, and the client has gone.
            drop(vhost.retain(&message, now_ms)?);
        }
        vhost.publish(&route, &message, now_ms, &mut Wakes::new())?;
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum WillError {
    #[error("its user may not come in any more")]
    NotAllowedIn,
    #[error(transparent)]
    Broker(#[from] Error),
}
