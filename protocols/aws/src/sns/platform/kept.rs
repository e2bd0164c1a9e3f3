//! All applications and endpoints, by their ARNs, in memory and in the table.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use gantry_broker::Broker;
use gantry_broker::vhost::Pending;
use hashbrown::HashMap;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::application::Application;
use super::endpoint::{self, Endpoint};
use super::tokens::Tokens;
use crate::error::Error;
use crate::sns::fault;

/// The space of the table. A key is an ARN, which says what its row is.
const SPACE: &str = "sns-platforms";

/// Applications of all accounts.
const APPLICATIONS_MAX: usize = 10_000;
/// Endpoints of all applications: one takes about half a kilobyte of memory.
const ENDPOINTS_MAX: usize = 1_000_000;

/// An application or an endpoint, and its ARN.
pub(crate) type Named<T> = (Arc<str>, Arc<T>);

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Platforms {
    kept: RwLock<Kept>,
    /// What services take for a while.
    pub(crate) tokens: Tokens,
}

#[derive(Debug, Default)]
struct Kept {
    applications: BTreeMap<Arc<str>, Arc<Application>>,
    endpoints: BTreeMap<Arc<str>, Arc<Endpoint>>,
    /// Endpoints by the ARN of their application and their token.
    by_token: HashMap<(Arc<str>, Box<str>), Arc<str>>,
}

impl Platforms {
    /// Reads what is in the table. Blocks on the disk.
    ///
    /// # Errors
    /// The table cannot be read, or what is in it is damaged.
    pub(crate) fn open(broker: &Broker) -> Result<Self, gantry_broker::Error> {
        let mut kept = Kept::default();
        for (key, value) in broker.kept_rows(SPACE)? {
            let arn = String::from_utf8(key).map_err(|_| damaged("an ARN"))?;
            match endpoint::application_of(&arn) {
                None => {
                    kept.applications.insert(arn.into(), Arc::new(read(&value)?));
                }
                Some(application) => {
                    let (arn, endpoint): (Arc<str>, Endpoint) = (arn.into(), read(&value)?);
                    // Applications come before endpoints: `app` is less.
                    let (application, _) =
                        kept.applications.get_key_value(application.as_str()).ok_or_else(|| damaged(&arn))?;
                    let by = (Arc::clone(application), endpoint.token.as_str().into());
                    kept.by_token.insert(by, Arc::clone(&arn));
                    kept.endpoints.insert(arn, Arc::new(endpoint));
                }
            }
        }
        Ok(Self { kept: RwLock::new(kept), tokens: Tokens::default() })
    }

    /// The application of this ARN.
    pub(crate) fn application(&self, arn: &str) -> Result<Arc<Application>, Error> {
        self.kept.read().applications.get(arn).cloned().ok_or_else(no_application)
    }

    /// The endpoint of this ARN.
    pub(crate) fn endpoint(&self, arn: &str) -> Result<Arc<Endpoint>, Error> {
        self.kept.read().endpoints.get(arn).cloned().ok_or_else(no_endpoint)
    }

    /// Applications whose ARNs begin so, in their order.
    pub(crate) fn applications(&self, prefix: &str) -> Vec<Named<Application>> {
        from(&self.kept.read().applications, prefix, None).collect()
    }

    /// Endpoints of an application behind the one of this ARN, in the order of their ARNs; at most so many.
    pub(crate) fn endpoints(
        &self,
        application: &str,
        after: Option<&str>,
        endpoints_max: usize,
    ) -> Result<Vec<Named<Endpoint>>, Error> {
        let kept = self.kept.read();
        kept.applications.get(application).ok_or_else(no_application)?;
        Ok(from(&kept.endpoints, &endpoint::arn(application, ""), after).take(endpoints_max).collect())
    }

    /// Keeps a new application. One of this ARN that is the same is left as it is.
    ///
    /// # Errors
    /// There is another one of this name, or there are too many.
    pub(crate) fn create_application(
        &self,
        broker: &Broker,
        arn: &str,
        application: Application,
    ) -> Result<Pending, Error> {
        let mut kept = self.kept.write();
        if let Some(there) = kept.applications.get(arn) {
            if !there.is_same(&application) {
                return Err(fault::invalid_parameter(
                    "Attributes Reason: An application with the same name but different properties already exists",
                ));
            }
            // Whoever made it may not have been answered yet.
            return put(broker, arn, &**there);
        }
        if kept.applications.len() >= APPLICATIONS_MAX {
            return Err(fault::throttled());
        }
        let pending = put(broker, arn, &application)?;
        kept.applications.insert(arn.into(), Arc::new(application));
        Ok(pending)
    }

    /// Changes an application.
    ///
    /// # Errors
    /// There is none of this ARN, or it cannot be changed so.
    pub(crate) fn change_application(
        &self,
        broker: &Broker,
        arn: &str,
        change: impl FnOnce(&Application) -> Result<Application, Error>,
    ) -> Result<Pending, Error> {
        let mut kept = self.kept.write();
        let there = kept.applications.get_mut(arn).ok_or_else(no_application)?;
        let changed = change(there)?;
        let pending = put(broker, arn, &changed)?;
        self.tokens.forget(&there.id);
        *there = Arc::new(changed);
        Ok(pending)
    }

    /// Forgets an application and its endpoints. The application, if it was there.
    pub(crate) fn delete_application(&self, broker: &Broker, arn: &str) -> (Pending, Option<Arc<Application>>) {
        let mut kept = self.kept.write();
        let Some((arn, application)) = kept.applications.remove_entry(arn) else { return (Pending::nothing(), None) };
        let endpoints: Vec<_> = from(&kept.endpoints, &endpoint::arn(&arn, ""), None).collect();
        for (endpoint_arn, endpoint) in endpoints {
            kept.endpoints.remove(&endpoint_arn);
            kept.by_token.remove(&(Arc::clone(&arn), endpoint.token.as_str().into()));
            // The last one is waited for.
            let _ = broker.keep_row(SPACE, endpoint_arn.as_bytes().to_vec(), None);
        }
        self.tokens.forget(&application.id);
        // Behind those of its endpoints: what is waited for is all of it.
        (broker.keep_row(SPACE, arn.as_bytes().to_vec(), None), Some(application))
    }

    /// Keeps a new endpoint of an application, and gives its ARN. The one that has this token already is given if it is the same. `says_enabled` is
    /// whether the request said if it is enabled.
    ///
    /// # Errors
    /// There is no such application, another endpoint has the token, or there are too many.
    pub(crate) fn create_endpoint(
        &self,
        broker: &Broker,
        application: &str,
        id: &str,
        endpoint: Endpoint,
        says_enabled: bool,
    ) -> Result<(Arc<str>, Pending), Error> {
        let mut kept = self.kept.write();
        let (application, _) = kept.applications.get_key_value(application).ok_or_else(no_application)?;
        let application = Arc::clone(application);
        let by = (Arc::clone(&application), Box::from(endpoint.token.as_str()));
        if let Some(arn) = kept.by_token.get(&by) {
            let there = kept.endpoints.get(arn).ok_or_else(no_endpoint)?;
            return if there.is_same(&endpoint, says_enabled) {
                Ok((Arc::clone(arn), put(broker, arn, &**there)?))
            } else {
                Err(token_taken(arn))
            };
        }
        if kept.endpoints.len() >= ENDPOINTS_MAX {
            return Err(fault::throttled());
        }
        let arn: Arc<str> = endpoint::arn(&application, id).into();
        let pending = put(broker, &arn, &endpoint)?;
        kept.by_token.insert(by, Arc::clone(&arn));
        kept.endpoints.insert(Arc::clone(&arn), Arc::new(endpoint));
        Ok((arn, pending))
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// There is none of this ARN, it cannot be changed so, or another one has its new token.
    pub(crate) fn change_endpoint(
        &self,
        broker: &Broker,
        arn: &str,
        change: impl FnOnce(&Endpoint) -> Result<Endpoint, Error>,
    ) -> Result<Pending, Error> {
        let mut kept = self.kept.write();
        let (arn, there) = kept.endpoints.get_key_value(arn).ok_or_else(no_endpoint)?;
        let (arn, there) = (Arc::clone(arn), Arc::clone(there));
        let changed = change(&there)?;
        if changed.token != there.token {
            let application = endpoint::application_of(&arn).ok_or_else(no_application)?;
            let (application, _) = kept.applications.get_key_value(&*application).ok_or_else(no_application)?;
            let application = Arc::clone(application);
            let by = (Arc::clone(&application), Box::from(changed.token.as_str()));
            if let Some(other) = kept.by_token.get(&by) {
                return Err(token_taken(other));
            }
            kept.by_token.remove(&(application, there.token.as_str().into()));
            kept.by_token.insert(by, Arc::clone(&arn));
        }
        let pending = put(broker, &arn, &changed)?;
        kept.endpoints.insert(arn, Arc::new(changed));
        Ok(pending)
    }

    /// Forgets an endpoint, if it is there. The endpoint.
    pub(crate) fn delete_endpoint(&self, broker: &Broker, arn: &str) -> (Pending, Option<Arc<Endpoint>>) {
        let mut kept = self.kept.write();
        let Some(there) = kept.endpoints.remove(arn) else { return (Pending::nothing(), None) };
        if let Some(application) = endpoint::application_of(arn) {
            kept.by_token.remove(&(application.into(), there.token.as_str().into()));
        }
        (broker.keep_row(SPACE, arn.as_bytes().to_vec(), None), Some(there))
    }
}

/// Entries whose keys begin so, behind one of them.
fn from<T>(map: &BTreeMap<Arc<str>, Arc<T>>, prefix: &str, after: Option<&str>) -> impl Iterator<Item = Named<T>> {
    let first = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let entries = map.range::<str, _>((first, Bound::Unbounded));
    let entries = entries.take_while(move |(arn, _)| arn.starts_with(prefix));
    entries.map(|(arn, entry)| (Arc::clone(arn), Arc::clone(entry)))
}

fn put(broker: &Broker, arn: &str, value: &impl Serialize) -> Result<Pending, Error> {
    let value = serde_json::to_vec(value).map_err(|error| Error::internal(&error))?;
    Ok(broker.keep_row(SPACE, arn.as_bytes().to_vec(), Some(value)))
}

fn read<T: DeserializeOwned>(row: &[u8]) -> Result<T, gantry_broker::Error> {
    serde_json::from_slice(row).map_err(|error| damaged(&error.to_string()))
}

fn damaged(what: &str) -> gantry_broker::Error {
    gantry_broker::Error::Storage(format!("what is kept of platform applications is damaged: {what}"))
}

fn no_application() -> Error {
    fault::not_found("PlatformApplication")
}

fn no_endpoint() -> Error {
    fault::not_found("Endpoint")
}

fn token_taken(arn: &str) -> Error {
    fault::invalid_parameter(format_args!(
        "Token Reason: Endpoint {arn} already exists with the same Token, but different attributes."
    ))
}

#[cfg(test)]
mod tests {
    use gantry_broker::{BrokerOptions, Found};
    use gantry_storage::{Faults, MemoryJournal, MemoryTable};

    use super::*;
    use crate::sns::platform::kind::Platform;

    const SHOP: &str = "arn:aws:sns:us-east-1:000000000000:app/GCM/shop";
    const SHOP_2: &str = "arn:aws:sns:us-east-1:000000000000:app/GCM/shop2";

    fn broker() -> Arc<Broker> {
        let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
        Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap()
    }

    fn an_application(key: &str) -> Application {
        let given = [("PlatformCredential".to_owned(), key.to_owned())].into();
        Application::new(Platform::of("GCM").unwrap(), given, "1".into()).unwrap()
    }

    fn an_endpoint(token: &str) -> Endpoint {
        Endpoint::new(Platform::of("GCM").unwrap(), token, None, BTreeMap::new()).unwrap()
    }

    async fn made(broker: &Broker) -> Platforms {
        let platforms = Platforms::open(broker).unwrap();
        for arn in [SHOP, SHOP_2] {
            platforms.create_application(broker, arn, an_application("key")).unwrap().wait().await.unwrap();
        }
        for (id, token) in [("a", "1"), ("b", "2"), ("c", "3")] {
            let (arn, pending) = platforms.create_endpoint(broker, SHOP, id, an_endpoint(token), false).unwrap();
            assert_eq!(*arn, endpoint::arn(SHOP, id));
            pending.wait().await.unwrap();
        }
        platforms
    }

    #[tokio::test]
    async fn everything_is_there_after_a_restart() {
        let broker = broker();
        made(&broker).await;
        let platforms = Platforms::open(&broker).unwrap();
        assert_eq!(platforms.applications("arn:aws:sns:us-east-1:000000000000:app/").len(), 2);
        assert_eq!(platforms.endpoints(SHOP, None, 10).unwrap().len(), 3);
        assert!(platforms.endpoints(SHOP_2, None, 10).unwrap().is_empty());
        // Tokens are known, too.
        let (arn, pending) = platforms.create_endpoint(&broker, SHOP, "d", an_endpoint("2"), false).unwrap();
        assert_eq!(*arn, endpoint::arn(SHOP, "b"));
        pending.wait().await.unwrap();
        broker.keep_row(SPACE, SHOP_2.into(), Some(b"{".to_vec())).wait().await.unwrap();
        assert!(Platforms::open(&broker).unwrap_err().to_string().contains("damaged"));
    }

    #[tokio::test]
    async fn a_token_is_that_of_one_endpoint() {
        let broker = broker();
        let platforms = made(&broker).await;
        let gcm = Platform::of("GCM").unwrap();
        let other = Endpoint::new(gcm, "1", Some("data"), BTreeMap::new()).unwrap();
        let error = platforms.create_endpoint(&broker, SHOP, "d", other, false).unwrap_err();
        assert_eq!(
            error.message,
            "Invalid parameter: Token Reason: Endpoint arn:aws:sns:us-east-1:000000000000:endpoint/GCM/shop/a already \
             exists with the same Token, but different attributes."
        );
        let a = endpoint::arn(SHOP, "a");
        let renamed = |token: &str| {
            let given: BTreeMap<_, _> = [("Token".to_owned(), token.to_owned())].into();
            platforms.change_endpoint(&broker, &a, |endpoint| endpoint.with(gcm, given))
        };
        assert!(renamed("2").is_err());
        drop(renamed("9").unwrap());
        // The old one is free.
        let (arn, _) = platforms.create_endpoint(&broker, SHOP, "e", an_endpoint("1"), false).unwrap();
        assert_eq!(*arn, endpoint::arn(SHOP, "e"));
        let (arn, _) = platforms.create_endpoint(&broker, SHOP_2, "f", an_endpoint("2"), false).unwrap();
        assert_eq!(*arn, endpoint::arn(SHOP_2, "f"));
        let (_, gone) = platforms.delete_endpoint(&broker, &arn);
        assert!(gone.is_some() && platforms.endpoint(&arn).is_err());
        assert!(platforms.delete_endpoint(&broker, &arn).1.is_none());
        assert!(platforms.create_endpoint(&broker, SHOP_2, "g", an_endpoint("2"), false).is_ok());
    }

    #[tokio::test]
    async fn endpoints_come_in_pages_and_go_with_their_application() {
        let broker = broker();
        let platforms = made(&broker).await;
        let page = platforms.endpoints(SHOP, None, 2).unwrap();
        let last = page.last().unwrap().0.to_string();
        assert_eq!(last, endpoint::arn(SHOP, "b"));
        let page = platforms.endpoints(SHOP, Some(&last), 2).unwrap();
        assert_eq!(page.len(), 1);
        let error = platforms.create_application(&broker, SHOP, an_application("other")).unwrap_err();
        assert!(error.message.ends_with("An application with the same name but different properties already exists"));
        let (pending, gone) = platforms.delete_application(&broker, SHOP);
        pending.wait().await.unwrap();
        assert!(gone.is_some());
        let error = platforms.endpoints(SHOP, None, 2).unwrap_err();
        assert_eq!(error.message, "PlatformApplication does not exist");
        let again = Platforms::open(&broker).unwrap();
        assert!(again.endpoint(&last).is_err() && again.application(SHOP_2).is_ok());
    }
}
