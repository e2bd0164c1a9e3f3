//! What is bound, as it was bound. Routes can be made from it; it is kept beside them so that a destination's bindings are
//! found without looking through all others, and so that they can be listed.

use std::hash::Hash;
use std::ops::Deref;
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::value::Table;

/// A binding, for listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a, D> {
    /// Where messages go.
    pub destination: &'a D,
    /// The routing key or pattern.
    pub key: &'a [u8],
    /// The arguments, sorted by name.
    pub arguments: &'a Table,
}

static NO_ARGUMENTS: Table = Table::new();

/// Arguments sorted by name, so that two bindings are the same whatever the order in which a client wrote them. Most
/// bindings have none, which costs no allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Arguments(Option<Arc<Table>>);

impl Arguments {
    pub(super) fn new(table: &Table) -> Self {
        if table.is_empty() {
            return Self(None);
        }
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Self(Some(Arc::new(entries.into_iter().cloned().collect())))
    }
}

impl Deref for Arguments {
    type Target = Table;

    fn deref(&self) -> &Table {
        self.0.as_deref().unwrap_or(&NO_ARGUMENTS)
    }
}

/// The same destination and key with different arguments is rare, so there is room for one without a list.
type ArgumentsOfKey = SmallVec<[Arguments; 1]>;
type Keys = HashMap<Box<[u8]>, ArgumentsOfKey>;

#[derive(Debug, Clone)]
pub(super) struct Bindings<D> {
    by_destination: HashMap<D, Keys>,
    len: usize,
}

impl<D: Clone + Eq + Hash> Bindings<D> {
    pub(super) fn new() -> Self {
        Self { by_destination: HashMap::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, destination: &D) -> bool {
        self.by_destination.contains_key(destination)
    }

    pub(super) fn contains_key(&self, destination: &D, key: &[u8]) -> bool {
        self.by_destination.get(destination).is_some_and(|keys| keys.contains_key(key))
    }

    pub(super) fn contains_binding(&self, destination: &D, key: &[u8], arguments: &Arguments) -> bool {
        let keys = self.by_destination.get(destination);
        keys.and_then(|keys| keys.get(key)).is_some_and(|known| known.contains(arguments))
    }

    /// Whether the binding is new.
    pub(super) fn insert(&mut self, destination: &D, key: &[u8], arguments: Arguments) -> bool {
        let keys = self.by_destination.entry_ref(destination).or_default();
        let known = keys.entry(key.into()).or_default();
        if known.contains(&arguments) {
            return false;
        }
        known.push(arguments);
        self.len += 1;
        true
    }

    /// Whether the binding was there.
    pub(super) fn remove(&mut self, destination: &D, key: &[u8], arguments: &Arguments) -> bool {
        let Some(keys) = self.by_destination.get_mut(destination) else {
            return false;
        };
        let Some(known) = keys.get_mut(key) else {
            return false;
        };
        let Some(index) = known.iter().position(|other| other == arguments) else {
            return false;
        };
        known.swap_remove(index);
        if known.is_empty() {
            keys.remove(key);
        }
        if keys.is_empty() {
            self.by_destination.remove(destination);
        }
        self.len -= 1;
        true
    }

    /// Takes out all bindings of a destination.
    pub(super) fn remove_destination(
        &mut self,
        destination: &D,
    ) -> impl Iterator<Item = (Box<[u8]>, ArgumentsOfKey)> + use<D> {
        let keys = self.by_destination.remove(destination).unwrap_or_default();
        self.len -= keys.values().map(SmallVec::len).sum::<usize>();
        keys.into_iter()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Binding<'_, D>> {
        self.by_destination.iter().flat_map(|(destination, keys)| list(destination, keys))
    }

    pub(super) fn of(&self, destination: &D) -> impl Iterator<Item = Binding<'_, D>> + use<'_, D> {
        self.by_destination
            .get_key_value(destination)
            .into_iter()
            .flat_map(|(destination, keys)| list(destination, keys))
    }
}

fn list<'a, D>(destination: &'a D, keys: &'a Keys) -> impl Iterator<Item = Binding<'a, D>> {
    keys.iter().flat_map(move |(key, all)| all.iter().map(move |arguments| Binding { destination, key, arguments }))
}
