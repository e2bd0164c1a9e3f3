//! An exchange: a name, what it was declared with, and the matcher that knows what is bound to it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::aside::forget;
use super::exchange_settings::ExchangeSettings;
use super::manner::{Manner, Memory, Seen, resource};
use crate::delays::DelayLane;
use crate::error::{Differing, Error, Resource};
use crate::exchange::{ExchangeKind, Matcher};
use crate::message::now_ms;
use crate::policy::{Applied, Policies};
use crate::queue::{Place, Queue, Restored, window_lane};
use crate::shared::Shared;
use crate::timer::Sleeper;
use crate::value::Table;
use crate::window::{Remembered, Window};

/// What an exchange is declared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExchangeOptions {
    /// How it routes.
    pub kind: ExchangeKind,
    /// It survives a restart.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it; only other exchanges can.
    pub internal: bool,
    /// Everything else, as declared.
    pub arguments: Table,
}

/// What an exchange has from an earlier run, or is made with beside what it is declared with.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Its lane of the journal, where it has one.
    pub(crate) lane: Option<u64>,
    /// See [`Exchange::id`].
    pub(crate) id: Option<u64>,
    pub(crate) settings: ExchangeSettings,
}

/// An exchange.
pub struct Exchange {
    pub(super) name: Arc<str>,
    pub(super) vhost: Arc<str>,
    id: u64,
    pub(super) options: ExchangeOptions,
    settings: ArcSwap<ExchangeSettings>,
    /// What was published to it lately, where it is ordered.
    window: OnceLock<Arc<Window>>,
    /// The number of the next message that is published once.
    sequence: AtomicU64,
    /// Where what cannot be routed goes.
    alternate: Option<Arc<str>>,
    /// The same, as a policy has it.
    policy_alternate: ArcSwapOption<Arc<str>>,
    applied: Mutex<Applied>,
    /// It comes with the broker.
    pub(super) predeclared: bool,
    pub(super) matcher: RwLock<Matcher<Destination>>,
    pub(super) memory: Memory,
    pub(super) delays: Option<Arc<DelayLane>>,
    /// More than the routing key decides what becomes of a message.
    pub(super) asks_message: bool,
}

impl Exchange {
    /// `known` is what it has from an earlier run.
    pub(super) fn new(
        shared: &Arc<Shared>,
        name: Arc<str>,
        vhost: Arc<str>,
        options: ExchangeOptions,
        predeclared: bool,
        known: Known,
    ) -> Result<Arc<Self>, Error> {
        let Manner { matcher, memory, delays, alternate } =
            Manner::of(shared, &resource(&name, &vhost), &options, known.lane)?;
        let id = known.id.unwrap_or_else(|| shared.next_lane());
        let window = OnceLock::new();
        if let Some(ordered) = known.settings.ordered {
            let _ = window.set(Window::new(shared, window_lane(id), ordered));
        }
        let settings = ArcSwap::from_pointee(known.settings);
        let sequence = AtomicU64::new(shared.first_seq(0));
        let asks_message = matcher.asks_message() || delays.is_some() || !matches!(memory, Memory::Nothing);
        let matcher = RwLock::new(matcher);
        let (policy_alternate, applied) = (ArcSwapOption::empty(), Mutex::default());
        Ok(Arc::new(Self {
            name,
            vhost,
            id,
            options,
            settings,
            window,
            sequence,
            alternate,
            policy_alternate,
            applied,
            predeclared,
            matcher,
            memory,
            delays,
            asks_message,
        }))
    }

    /// The lane of the journal that is its own, where it has one.
    pub(super) fn lane(&self) -> Option<u64> {
        match &self.memory {
            Memory::Seen(seen) if seen.lane.is_some() => seen.lane,
            _ => self.delays.as_ref().map(|delays| delays.lane()),
        }
    }

    /// A number that no other exchange of the broker ever has, one of the same name that is made later included. One that was
    /// declared by an earlier version of this program may have another one after each restart, until it is declared again.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What is set on it beside its declaration.
    pub fn settings(&self) -> Arc<ExchangeSettings> {
        self.settings.load_full()
    }

    pub(super) fn set_settings(&self, shared: &Arc<Shared>, settings: ExchangeSettings) {
        if let Some(ordered) = settings.ordered {
            self.window.get_or_init(|| Window::new(shared, window_lane(self.id), ordered));
        }
        self.settings.store(Arc::new(settings));
    }

    /// Remembers what was published for as long as its settings say now. Not under the lock of the topology: whoever publishes once
    /// has that of the window first.
    pub(super) fn follow_settings(&self) {
        if let (Some(window), Some(ordered)) = (self.window(), self.settings.load().ordered) {
            window.follow(ordered);
        }
    }

    /// What was published to it lately, where it remembers that.
    pub(super) fn window(&self) -> Option<&Arc<Window>> {
        self.window.get()
    }

    /// A number that rises, over restarts, too.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts back the keys of what was published to it lately.
    pub(crate) fn restore_window(&self, shared: &Shared, found: Vec<Remembered>) {
        match self.window() {
            Some(window) => window.restore(found, now_ms()),
            None => forget(shared, found.iter().map(|one| Place::from(one.position))),
        }
    }

    /// The virtual host it is in.
    pub fn vhost(&self) -> &Arc<str> {
        &self.vhost
    }

    /// Whether anything is bound to it.
    pub fn has_bindings(&self) -> bool {
        !self.matcher.read().is_empty()
    }

    /// Messages that it holds back for now.
    pub fn delayed(&self) -> usize {
        self.delays.as_ref().map_or(0, |delays| delays.len())
    }

    /// Puts back what was found in its lane at recovery.
    pub(crate) fn restore(&self, shared: &Shared, entries: Vec<Restored>, crashed: bool) {
        if let Some(delays) = &self.delays {
            delays.restore(entries, crashed);
        } else if let Memory::Seen(Seen { keys, .. }) = &self.memory {
            let mut keys = keys.lock();
            let mut forgotten = Vec::new();
            for entry in entries {
                let until_ms = if entry.due_ms() == 0 { u64::MAX } else { entry.due_ms() };
                match keys.insert(entry.seq(), until_ms, 0, Place::from(entry.position())) {
                    Some(new) => forgotten.extend(new.forgotten),
                    None => forgotten.push(Place::from(entry.position())),
                }
            }
            drop(keys);
            forget(shared, forgotten);
        }
    }

    /// The end of what it keeps in the journal. Blocks for as long as that takes.
    pub(super) fn close(&self, shared: &Shared) {
        if let Some(window) = self.window() {
            window.close();
        }
        if let Some(delays) = &self.delays {
            delays.close();
        }
        if let Memory::Seen(Seen { keys, lane: Some(_), .. }) = &self.memory {
            let kept: Vec<Place> = keys.lock().kept().collect();
            forget(shared, kept);
        }
    }

    /// Its name; empty for the default exchange.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it was declared with.
    pub fn options(&self) -> &ExchangeOptions {
        &self.options
    }

    /// The exchange for what it cannot route: by its arguments or, without one, by policy.
    pub fn alternate(&self) -> Option<Arc<str>> {
        self.alternate.clone().or_else(|| self.policy_alternate.load().as_deref().cloned())
    }

    /// The policies that apply to it.
    pub fn applied(&self) -> Applied {
        self.applied.lock().clone()
    }

    /// Does as the policies say. True where what it cannot route goes elsewhere now.
    pub(super) fn follow(&self, policies: &Policies) -> bool {
        let mut applied = self.applied.lock();
        if !applied.follow(policies, |before| policies.for_exchange(&self.name, before)) {
            return false;
        }
        let alternate = applied.setting("alternate-exchange").and_then(|value| value.as_str().map(Arc::<str>::from));
        self.policy_alternate.store(alternate.map(Arc::new));
        true
    }

    /// Whether it keeps something in the journal.
    pub(super) fn has_lane(&self) -> bool {
        self.lane().is_some() || self.window().is_some()
    }

    pub(super) fn resource(&self) -> Resource {
        resource(&self.name, &self.vhost)
    }

    /// Compares with what is declared once more.
    pub(super) fn check_same(&self, again: &ExchangeOptions) -> Result<(), Error> {
        let differs = |property: &str, differing| {
            Err(Error::Differs {
                resource: self.resource(),
                property: property.to_owned(),
                differing: Box::new(differing),
            })
        };
        let current = &self.options;
        if again.kind != current.kind {
            let (received, current) = (again.kind.name().to_owned(), current.kind.name().to_owned());
            return differs("type", Differing::Word { received, current });
        }
        let flags = [
            ("durable", again.durable, current.durable),
            ("auto_delete", again.auto_delete, current.auto_delete),
            ("internal", again.internal, current.internal),
        ];
        for (property, received, current) in flags {
            if received != current {
                return differs(property, Differing::Flag { received, current });
            }
        }
        let name = "alternate-exchange";
        let (received, current) = (again.arguments.get(name), current.arguments.get(name));
        if received != current {
            let (received, current) = (received.cloned(), current.cloned());
            return differs(name, Differing::Argument { received, current });
        }
        Ok(())
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).field("kind", &self.options.kind).finish_non_exhaustive()
    }
}

/// Where a binding leads. The same one is the same object.
#[derive(Clone, Debug)]
pub enum Destination {
    /// To a queue.
    Queue(Arc<Queue>),
    /// To another exchange.
    Exchange(Arc<Exchange>),
}

impl Destination {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Queue(queue) => queue.name(),
            Self::Exchange(exchange) => exchange.name(),
        }
    }

    pub(super) fn is_durable(&self) -> bool {
        match self {
            Self::Queue(queue) => queue.survives(),
            Self::Exchange(exchange) => exchange.options.durable,
        }
    }

    fn address(&self) -> *const () {
        match self {
            Self::Queue(queue) => Arc::as_ptr(queue).cast(),
            Self::Exchange(exchange) => Arc::as_ptr(exchange).cast(),
        }
    }
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Destination {}

impl Hash for Destination {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}
