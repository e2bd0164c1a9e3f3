//! An exchange and its settings as SNS reads them.

use std::borrow::Cow;
use std::sync::Arc;

use gantry_broker::exchange::ExchangeKind;
use gantry_broker::value::Table;
use gantry_broker::vhost::Exchange;
use gantry_broker::vhost::{Route, RouteCache};
use gantry_broker::{ExchangeOptions, ExchangeSettings, VirtualHost};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::convert::Notice;
use super::fault;
use super::limits::MESSAGE_BYTES_MAX;
use super::protection::{Denied, Direction, Protection};
use crate::arn::Arn;
use crate::error::Error;
use crate::iam::{Effect, Invalid, Policy};

/// What the names of annotations begin with that are SNS's.
pub(super) const PREFIX: &str = "sns.";
/// The annotation that holds the region in which a topic was made.
const REGION: &str = "sns.region";
/// The attribute that holds a data protection policy, which has actions of its own.
pub(super) const DATA_PROTECTION_POLICY: &str = "DataProtectionPolicy";
/// What the default statement of a topic's policy is called.
pub(super) const DEFAULT_STATEMENT: &str = "__default_statement_ID";

/// Above so many topics all are forgotten: they are worked out again.
const TOPICS_MAX: usize = 100_000;

/// Topics by the numbers of their exchanges.
#[derive(Debug, Default)]
pub(super) struct Topics {
    known: RwLock<HashMap<u64, Arc<Topic>>>,
}

/// An exchange and its settings as SNS reads them: what each publish would otherwise be looked up for again.
#[derive(Debug)]
pub(crate) struct Topic {
    /// What it is in the broker.
    pub(crate) exchange: Arc<Exchange>,
    /// What it was worked out from.
    pub(crate) settings: Arc<ExchangeSettings>,
    /// `arn:aws:sns:<region>:<account>:<name>`, with the region in which it was made.
    pub(crate) arn: Arc<str>,
    /// The account of its virtual host.
    pub(crate) account: Arc<str>,
    /// Where messages to the topic went lately.
    routes: Mutex<RouteCache>,
    /// Whether messages have an order and are deduplicated.
    pub(crate) is_fifo: bool,
    /// Deduplication ids count in their groups.
    pub(crate) is_per_group: bool,
    /// Deduplication ids are made of bodies where a publisher gives none.
    pub(crate) is_content_based: bool,
    /// The version of signatures: 1 or 2.
    pub(crate) signature_version: u8,
    /// What may not be in its messages, and what is made unreadable in them, where somebody has said. One that cannot be read lets
    /// nothing in or out.
    protection: Option<Result<Protection, Denied>>,
    /// Bytes of its largest message, and of the messages of a batch together.
    pub(crate) message_bytes_max: usize,
    /// Who may do what, where somebody has said. One that cannot be read lets nobody do anything.
    pub(crate) policy: Option<Result<Policy, Invalid>>,
}

impl Topics {
    /// How SNS reads an exchange; none where it is no topic.
    pub(super) fn of(&self, exchange: &Arc<Exchange>, account: &str, region: &str) -> Option<Arc<Topic>> {
        if exchange.options().kind != ExchangeKind::Subscriptions {
            return None;
        }
        let settings = exchange.settings();
        if let Some(topic) = self.known.read().get(&exchange.id())
            && Arc::ptr_eq(&topic.settings, &settings)
            && Arc::ptr_eq(&topic.exchange, exchange)
        {
            return Some(Arc::clone(topic));
        }
        let topic = Arc::new(Topic::new(exchange, settings, account, region));
        let mut known = self.known.write();
        if known.len() >= TOPICS_MAX {
            known.clear();
        }
        known.insert(exchange.id(), Arc::clone(&topic));
        Some(topic)
    }

    pub(super) fn forget(&self, topic: &Topic) {
        self.known.write().remove(&topic.exchange.id());
    }
}

impl Topic {
    fn new(exchange: &Arc<Exchange>, settings: Arc<ExchangeSettings>, account: &str, region: &str) -> Self {
        let text = |name: &str| settings.annotations.get(&annotation(name)).map(String::as_str);
        let region = settings.annotations.get(REGION).map_or(region, String::as_str);
        let arn = Arn::topic(region, account, exchange.name()).to_string();
        // It was checked when it was set.
        let mut policy = text("Policy").map(Policy::parse);
        if let Some(Ok(policy)) = &mut policy {
            // It lets the topic's own account do everything: what the users of that may do, their permissions say.
            policy.statements.retain(|statement| {
                statement.effect != Effect::Allow || statement.sid.as_deref() != Some(DEFAULT_STATEMENT)
            });
        }
        let protection = text(DATA_PROTECTION_POLICY).map(|policy| {
            // It was checked when it was set, perhaps by another version of the program.
            Protection::parse(policy).map_err(|error| {
                tracing::error!(%arn, %error, "a data protection policy cannot be read: no message goes in or out");
                Denied
            })
        });
        let message_bytes_max = text("MaximumMessageSize").and_then(|bytes| bytes.parse().ok());
        Self {
            exchange: Arc::clone(exchange),
            arn: arn.into(),
            account: account.into(),
            routes: Mutex::default(),
            protection,
            message_bytes_max: message_bytes_max.unwrap_or(MESSAGE_BYTES_MAX),
            is_fifo: settings.ordered.is_some(),
            is_per_group: text("FifoThroughputScope") == Some("MessageGroup"),
            is_content_based: text("ContentBasedDeduplication") == Some("true"),
            signature_version: if text("SignatureVersion") == Some("2") { 2 } else { 1 },
            policy,
            settings,
        }
    }

    /// Its name: that of the exchange.
    pub(crate) fn name(&self) -> &Arc<str> {
        self.exchange.name()
    }

    /// Where messages to it go.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn route(&self, vhost: &VirtualHost) -> Result<Arc<Route>, Error> {
        // Subscribers of other protocols see by the key where it came from.
        // All publishers of a topic share it: it is held for a look, and its messages have to be put in line by its queues anyway.
        vhost.route(&mut self.routes.lock(), self.name(), self.name().as_bytes()).map_err(fault::of_broker)
    }

    /// Takes out of a message to it what may not be in what a principal publishes.
    ///
    /// # Errors
    /// The message may not be published.
    pub(crate) fn protect_inbound<'t, 'm: 't>(
        &self,
        principal: &str,
        texts: impl Iterator<Item = &'t mut Cow<'m, str>>,
    ) -> Result<(), Denied> {
        self.protect(Direction::Inbound, principal, texts)
    }

    /// As [`Topic::protect_inbound`], of what goes to a subscription that a principal has made.
    ///
    /// # Errors
    /// The message may not go there.
    pub(crate) fn protect_outbound(&self, principal: &str, notice: &mut Notice<'_>) -> Result<(), Denied> {
        self.protect(Direction::Outbound, principal, std::iter::once(&mut notice.message).chain(&mut notice.subject))
    }

    /// Whether what goes to subscriptions is looked at before.
    pub(crate) fn protects_outbound(&self) -> bool {
        match &self.protection {
            Some(Ok(protection)) => protection.is_about(Direction::Outbound),
            Some(Err(Denied)) => true,
            None => false,
        }
    }

    fn protect<'t, 'm: 't>(
        &self,
        direction: Direction,
        principal: &str,
        texts: impl Iterator<Item = &'t mut Cow<'m, str>>,
    ) -> Result<(), Denied> {
        let Some(protection) = &self.protection else { return Ok(()) };
        let protection = protection.as_ref().map_err(|denied| *denied)?;
        if !protection.is_about(direction) {
            return Ok(());
        }
        for text in texts {
            if let Some(left) = protection.apply(direction, principal, text)? {
                *text = left.into();
            }
        }
        Ok(())
    }

    /// An attribute as it is kept, by AWS's name for it; none where nobody has set it.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.settings.annotations.get(&annotation(name)).map(String::as_str)
    }
}

/// The name of the annotation that holds an attribute.
pub(super) fn annotation(attribute: &str) -> String {
    format!("{PREFIX}{attribute}")
}

/// What the exchange of a topic is declared with.
pub(super) fn options() -> ExchangeOptions {
    ExchangeOptions {
        kind: ExchangeKind::Subscriptions,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    }
}

/// Notes in which region a topic is made.
pub(super) fn set_region(settings: &mut ExchangeSettings, region: &str) {
    settings.annotations.insert(REGION.to_owned(), region.to_owned());
}
