//! What is kept of sessions in the table: a row for each session that may outlive its connection, and one for each of its
//! subscriptions.
//!
//! Values are JSON with a version, so that a later program can add to them and a person can read them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_broker::{Broker, Error};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::place::Id;
use super::wills::Will;
use crate::codec::packet::{QoS, RetainHandling, SubscribeOptions};
use crate::subscriptions::Subscription;

/// The space of sessions.
pub(super) const SESSIONS: &str = "mqtt-sessions";
/// The space of their subscriptions.
pub(super) const SUBSCRIPTIONS: &str = "mqtt-subscriptions";

/// How rows are written. What a row does not say has its default; a row of a later version is not read.
pub(super) const VERSION: u32 = 1;

/// A session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SessionRow {
    pub(super) version: u32,
    pub(super) vhost: String,
    pub(super) client: String,
    pub(super) user: String,
    pub(super) expiry_s: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) disconnected_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) will: Option<Will>,
    /// It is over, and what belongs to it is on its way out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ending: bool,
}

/// A subscription of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SubscriptionRow {
    pub(super) version: u32,
    pub(super) vhost: String,
    pub(super) client: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<String>,
    pub(super) filter: String,
    pub(super) qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_local: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) retain_as_published: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u32>,
}

type Encoded = (Vec<u8>, Vec<u8>);

fn json(row: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(row).map_err(|error| Error::Storage(error.to_string()))
}

impl SessionRow {
    /// Key and value.
    pub(super) fn encode(&self) -> Result<Encoded, Error> {
        Ok((session_key(&self.vhost, &self.client), json(self)?))
    }
}

impl SubscriptionRow {
    pub(super) fn new(id: &Id, subscription: &Subscription) -> Self {
        let Subscription { group, filter, options, id: number, .. } = subscription;
        Self {
            version: VERSION,
            vhost: id.vhost.to_string(),
            client: id.client.to_string(),
            group: group.as_deref().map(str::to_owned),
            filter: filter.to_string(),
            qos: options.qos as u8,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            id: *number,
        }
    }

    pub(super) fn encode(&self) -> Result<Encoded, Error> {
        let key = subscription_key(&self.vhost, &self.client, self.group.as_deref(), &self.filter);
        Ok((key, json(self)?))
    }

    /// The subscription that it is of.
    pub(super) fn subscription(&self) -> Subscription {
        let qos = match self.qos {
            0 => QoS::AtMostOnce,
            1 => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        };
        Subscription {
            group: self.group.as_deref().map(Box::from),
            filter: Box::from(self.filter.as_str()),
            options: SubscribeOptions {
                qos,
                no_local: self.no_local,
                retain_as_published: self.retain_as_published,
                retain_handling: RetainHandling::Send,
            },
            id: self.id,
            token: 0,
        }
    }
}

/// Client ids and filters have no U+0000 in them, so that what stands behind the first one is cut at the last ones.
pub(super) fn session_key(vhost: &str, client: &str) -> Vec<u8> {
    [vhost.as_bytes(), client.as_bytes()].join(&0)
}

/// The key of a subscription's row.
pub(super) fn subscription_key(vhost: &str, client: &str, group: Option<&str>, filter: &str) -> Vec<u8> {
    [vhost.as_bytes(), client.as_bytes(), group.unwrap_or_default().as_bytes(), filter.as_bytes()].join(&0)
}

/// Key, value and what the value says.
type Read<R> = (Vec<u8>, Vec<u8>, R);

/// All rows of a space, with their keys and as they were.
pub(super) fn read<R: DeserializeOwned + Versioned>(
    broker: &Broker,
    space: &'static str,
) -> Result<Vec<Read<R>>, Error> {
    let rows = broker.kept_rows(space)?.into_iter();
    rows.map(|(key, value)| {
        let bad = |why: String| Error::Storage(format!("row {:?} of {space}: {why}", String::from_utf8_lossy(&key)));
        let row: R = serde_json::from_slice(&value).map_err(|error| bad(error.to_string()))?;
        if row.version() > VERSION {
            return Err(bad(format!("it is of version {}, and this program reads up to {VERSION}", row.version())));
        }
        Ok((key, value, row))
    })
    .collect()
}

/// A row that says how it was written.
pub(super) trait Versioned {
    fn version(&self) -> u32;
}

impl Versioned for SessionRow {
    fn version(&self) -> u32 {
        self.version
    }
}

impl Versioned for SubscriptionRow {
    fn version(&self) -> u32 {
        self.version
    }
}

/// Bytes as text.
pub(super) mod bytes_as_text {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        STANDARD.decode(&*text).map(Bytes::from).map_err(D::Error::custom)
    }
}
