//! All that is kept for short messages, by account, in memory and in the table.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use gantry_broker::Broker;
use gantry_broker::vhost::Pending;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::sandbox::{NUMBERS_MAX, Number};
use crate::error::Error;
use crate::sns::{fault, faults};

/// The space of the table. A key is what its row is, the account, and the number if there is one, with a zero byte between them.
const SPACE: &str = "sns-sms";
const ATTRIBUTES: &str = "attributes";
const OPTED: &str = "opted";
const SANDBOX: &str = "sandbox";

/// Numbers of all accounts that want no messages, or did so lately. More are not remembered: their gateway refuses them again.
const OPTED_MAX: usize = 1_000_000;
/// How long somebody has to wait who wants to opt a number in for the second time, in milliseconds.
const OPT_IN_WAIT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// An account, and a number.
type Of = (Arc<str>, Arc<str>);

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct ShortMessages {
    kept: RwLock<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    attributes: BTreeMap<Arc<str>, Arc<BTreeMap<String, String>>>,
    opted: BTreeMap<Of, Opted>,
    sandbox: BTreeMap<Of, Number>,
}

/// What the holder of a number wants.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
struct Opted {
    is_out: bool,
    /// When it was opted in for the last time, in milliseconds since the epoch of Unix.
    in_ms: Option<u64>,
}

impl ShortMessages {
    /// Reads what is in the table. Blocks on the disk.
    ///
    /// # Errors
    /// The table cannot be read, or what is in it is damaged.
    pub(crate) fn open(broker: &Broker) -> Result<Self, gantry_broker::Error> {
        let damaged = || gantry_broker::Error::Storage("what is kept for short messages is damaged".to_owned());
        let mut kept = Kept::default();
        for (key, value) in broker.kept_rows(SPACE)? {
            let key = String::from_utf8(key).map_err(|_| damaged())?;
            let mut parts = key.split('\0');
            let (what, account, number) = (parts.next(), parts.next(), parts.next());
            let of = |number: &str| (Arc::from(account.unwrap_or_default()), Arc::from(number));
            match (what, number) {
                (Some(ATTRIBUTES), None) => {
                    let read = serde_json::from_slice(&value).map_err(|_| damaged())?;
                    kept.attributes.insert(account.ok_or_else(damaged)?.into(), Arc::new(read));
                }
                (Some(OPTED), Some(number)) => {
                    kept.opted.insert(of(number), serde_json::from_slice(&value).map_err(|_| damaged())?);
                }
                (Some(SANDBOX), Some(number)) => {
                    kept.sandbox.insert(of(number), serde_json::from_slice(&value).map_err(|_| damaged())?);
                }
                _ => return Err(damaged()),
            }
        }
        Ok(Self { kept: RwLock::new(kept) })
    }

    /// What an account has set.
    pub(crate) fn attributes(&self, account: &str) -> Arc<BTreeMap<String, String>> {
        self.kept.read().attributes.get(account).cloned().unwrap_or_default()
    }

    /// Sets what was checked.
    pub(crate) fn set(
        &self,
        broker: &Broker,
        account: &str,
        given: BTreeMap<String, String>,
    ) -> Result<Pending, Error> {
        let mut kept = self.kept.write();
        let mut changed = kept.attributes.get(account).map(|set| (**set).clone()).unwrap_or_default();
        changed.extend(given);
        // What is set to nothing is not set.
        changed.retain(|_, value| !value.is_empty());
        let pending = put(broker, &[ATTRIBUTES, account], &changed)?;
        kept.attributes.insert(account.into(), Arc::new(changed));
        Ok(pending)
    }

    /// Whether the holder of a number wants no messages.
    pub(crate) fn has_opted_out(&self, account: &str, number: &Arc<str>) -> bool {
        let of = (Arc::from(account), Arc::clone(number));
        self.kept.read().opted.get(&of).is_some_and(|opted| opted.is_out)
    }

    /// The holder of a number wants no messages from an account.
    pub(crate) fn opt_out(&self, broker: &Broker, account: &str, number: &Arc<str>) -> Result<Pending, Error> {
        let of = (Arc::from(account), Arc::clone(number));
        let mut kept = self.kept.write();
        if kept.opted.len() >= OPTED_MAX && !kept.opted.contains_key(&of) {
            tracing::warn!(account, "there are {OPTED_MAX} phone numbers that have opted out, and no more are kept");
            return Ok(Pending::nothing());
        }
        let in_ms = kept.opted.get(&of).and_then(|opted| opted.in_ms);
        let opted = Opted { is_out: true, in_ms };
        let pending = put(broker, &[OPTED, account, number], &opted)?;
        kept.opted.insert(of, opted);
        Ok(pending)
    }

    /// A number gets messages again.
    ///
    /// # Errors
    /// That was so a short while ago.
    pub(crate) fn opt_in(
        &self,
        broker: &Broker,
        account: &str,
        number: &Arc<str>,
        now_ms: u64,
    ) -> Result<Pending, Error> {
        let of = (Arc::from(account), Arc::clone(number));
        let mut kept = self.kept.write();
        let Some(there) = kept.opted.get(&of).filter(|opted| opted.is_out) else { return Ok(Pending::nothing()) };
        if there.in_ms.is_some_and(|in_ms| in_ms.saturating_add(OPT_IN_WAIT_MS) > now_ms) {
            return Err(fault::invalid_parameter(
                "PhoneNumber Reason: a phone number can be opted in only once every 30 days",
            ));
        }
        let opted = Opted { is_out: false, in_ms: Some(now_ms) };
        let pending = put(broker, &[OPTED, account, number], &opted)?;
        kept.opted.insert(of, opted);
        Ok(pending)
    }

    /// Numbers that want no messages from an account, behind this one, in their order; at most so many.
    pub(crate) fn opted_out(&self, account: &str, after: Option<&str>, numbers_max: usize) -> Vec<Arc<str>> {
        let kept = self.kept.read();
        let from = (Arc::from(account), Arc::from(after.unwrap_or_default()));
        let opted = kept.opted.range((Bound::Excluded(from), Bound::Unbounded));
        let opted = opted.take_while(|((of, _), _)| **of == *account).filter(|(_, opted)| opted.is_out);
        opted.map(|((_, number), _)| Arc::clone(number)).take(numbers_max).collect()
    }

    /// Numbers in the sandbox of an account, and how far they are.
    pub(crate) fn sandbox(&self, account: &str) -> Vec<(Arc<str>, &'static str)> {
        let kept = self.kept.read();
        let of = kept.sandbox.range((Arc::from(account), Arc::from(""))..);
        let of = of.take_while(|((of, _), _)| **of == *account);
        of.map(|((_, number), state)| (Arc::clone(number), state.status())).collect()
    }

    /// Whether a number in the sandbox was verified.
    pub(crate) fn is_verified(&self, account: &str, number: &Arc<str>) -> bool {
        let of = (Arc::from(account), Arc::clone(number));
        self.kept.read().sandbox.get(&of) == Some(&Number::Verified)
    }

    /// Whether a message is the one that asks the holder of a number in the sandbox to say a password: only it has that.
    pub(crate) fn has_asked(&self, account: &str, number: &Arc<str>, message: &str) -> bool {
        let of = (Arc::from(account), Arc::clone(number));
        let kept = self.kept.read();
        matches!(kept.sandbox.get(&of), Some(Number::Pending { password, .. }) if message.contains(password.as_str()))
    }

    /// Puts a number into the sandbox that this password is sent to. One that was verified is asked again.
    ///
    /// # Errors
    /// There are as many as there may be, or its holder wants no messages.
    pub(crate) fn ask(
        &self,
        broker: &Broker,
        account: &str,
        number: &Arc<str>,
        password: String,
        now_ms: u64,
    ) -> Result<Pending, Error> {
        if self.has_opted_out(account, number) {
            return Err(Error::new(&faults::OPTED_OUT, format!("The phone number {number} has opted out of messages")));
        }
        let of = (Arc::from(account), Arc::clone(number));
        let mut kept = self.kept.write();
        let count = kept.sandbox.keys().filter(|(of, _)| **of == *account).count();
        if count >= NUMBERS_MAX && !kept.sandbox.contains_key(&of) {
            let message =
                format!("There are {NUMBERS_MAX} phone numbers in the sandbox, which is as many as there may be");
            return Err(Error::new(&faults::USER_ERROR, message));
        }
        let asked = Number::pending(password, now_ms);
        let pending = put(broker, &[SANDBOX, account, number], &asked)?;
        kept.sandbox.insert(of, asked);
        Ok(pending)
    }

    /// Somebody says the password that a number in the sandbox was sent.
    ///
    /// # Errors
    /// There is no such number. What is answered to the password is the second half.
    pub(crate) fn verify(
        &self,
        broker: &Broker,
        account: &str,
        number: &Arc<str>,
        said: &str,
        now_ms: u64,
    ) -> Result<(Pending, Result<(), Error>), Error> {
        let of = (Arc::from(account), Arc::clone(number));
        let mut kept = self.kept.write();
        let there = kept.sandbox.get_mut(&of).ok_or_else(no_number)?;
        let (changed, answer) = there.said(said, now_ms);
        let pending = put(broker, &[SANDBOX, account, number], &changed)?;
        *there = changed;
        Ok((pending, answer))
    }

    /// Takes a number out of the sandbox.
    ///
    /// # Errors
    /// It is not in it.
    pub(crate) fn forget(&self, broker: &Broker, account: &str, number: &Arc<str>) -> Result<Pending, Error> {
        let of = (Arc::from(account), Arc::clone(number));
        self.kept.write().sandbox.remove(&of).ok_or_else(no_number)?;
        Ok(broker.keep_row(SPACE, key(&[SANDBOX, account, number]), None))
    }
}

fn no_number() -> Error {
    Error::new(&faults::RESOURCE_NOT_FOUND, "The phone number is not in the sandbox")
}

fn key(parts: &[&str]) -> Vec<u8> {
    parts.join("\0").into_bytes()
}

fn put(broker: &Broker, parts: &[&str], value: &impl Serialize) -> Result<Pending, Error> {
    let value = serde_json::to_vec(value).map_err(|error| Error::internal(&error))?;
    Ok(broker.keep_row(SPACE, key(parts), Some(value)))
}

#[cfg(test)]
mod tests {
    use gantry_broker::{BrokerOptions, Found};
    use gantry_storage::{Faults, MemoryJournal, MemoryTable};

    use super::*;

    const ACCOUNT: &str = "000000000000";

    fn broker() -> Arc<Broker> {
        let (journal, table) = (Arc::new(MemoryJournal::new(Faults::default())), Arc::new(MemoryTable::new()));
        Broker::open(BrokerOptions::default(), journal, table, Found::default()).unwrap()
    }

    fn number(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[tokio::test]
    async fn everything_is_there_after_a_restart() {
        let broker = broker();
        let kept = ShortMessages::open(&broker).unwrap();
        let set = [("DefaultSMSType".to_owned(), "Promotional".to_owned())];
        kept.set(&broker, ACCOUNT, set.clone().into()).unwrap().wait().await.unwrap();
        kept.opt_out(&broker, ACCOUNT, &number("+15550100")).unwrap().wait().await.unwrap();
        kept.ask(&broker, ACCOUNT, &number("+15550101"), "123456".into(), 1).unwrap().wait().await.unwrap();
        let kept = ShortMessages::open(&broker).unwrap();
        assert_eq!(*kept.attributes(ACCOUNT), set.into());
        assert!(kept.attributes("111122223333").is_empty());
        assert!(kept.has_opted_out(ACCOUNT, &number("+15550100")));
        assert_eq!(kept.sandbox(ACCOUNT), [(number("+15550101"), "Pending")]);
        assert!(kept.sandbox("111122223333").is_empty());
        broker.keep_row(SPACE, b"other".to_vec(), Some(b"{}".to_vec())).wait().await.unwrap();
        assert!(ShortMessages::open(&broker).unwrap_err().to_string().contains("damaged"));
    }

    #[tokio::test]
    async fn a_number_is_opted_in_once_in_thirty_days() {
        let (broker, kept) = (broker(), ShortMessages::default());
        let (one, other) = (number("+15550100"), number("+15550101"));
        drop(kept.opt_out(&broker, ACCOUNT, &other).unwrap());
        drop(kept.opt_out(&broker, ACCOUNT, &one).unwrap());
        assert_eq!(kept.opted_out(ACCOUNT, None, 10), [Arc::clone(&one), Arc::clone(&other)]);
        assert_eq!(kept.opted_out(ACCOUNT, Some("+15550100"), 10), [Arc::clone(&other)]);
        assert!(kept.opted_out("111122223333", None, 10).is_empty());
        drop(kept.opt_in(&broker, ACCOUNT, &one, 1).unwrap());
        assert_eq!(kept.opted_out(ACCOUNT, None, 10), [other]);
        assert!(kept.opt_in(&broker, ACCOUNT, &one, 2).unwrap().is_nothing(), "it is in");
        drop(kept.opt_out(&broker, ACCOUNT, &one).unwrap());
        assert!(kept.opt_in(&broker, ACCOUNT, &one, 2).unwrap_err().message.contains("30 days"));
        assert!(kept.opt_in(&broker, ACCOUNT, &one, 1 + OPT_IN_WAIT_MS).is_ok());
    }

    #[tokio::test]
    async fn numbers_are_verified_in_the_sandbox() {
        let (broker, kept) = (broker(), ShortMessages::default());
        for at in 0..NUMBERS_MAX {
            let number = number(&format!("+1555010{at}"));
            drop(kept.ask(&broker, ACCOUNT, &number, "123456".into(), 1).unwrap());
        }
        let error = kept.ask(&broker, ACCOUNT, &number("+19990000"), "1".into(), 1).unwrap_err();
        assert_eq!(error.query_code(), "UserError");
        let first = number("+15550100");
        let (_, answer) = kept.verify(&broker, ACCOUNT, &first, "000000", 2).unwrap();
        assert!(answer.is_err() && !kept.is_verified(ACCOUNT, &first));
        let (_, answer) = kept.verify(&broker, ACCOUNT, &first, "123456", 2).unwrap();
        assert!(answer.is_ok() && kept.is_verified(ACCOUNT, &first));
        drop(kept.forget(&broker, ACCOUNT, &first).unwrap());
        let error = kept.forget(&broker, ACCOUNT, &first).unwrap_err();
        assert_eq!(error.query_code(), "ResourceNotFound");
        drop(kept.opt_out(&broker, ACCOUNT, &first).unwrap());
        let error = kept.ask(&broker, ACCOUNT, &first, "1".into(), 1).unwrap_err();
        assert_eq!(error.query_code(), "OptedOut");
    }
}
