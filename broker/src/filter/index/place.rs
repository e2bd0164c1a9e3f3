//! All that is asked of the values of one name.

use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::{Equivalent, HashMap};

use super::super::condition::{Condition, Key, Range, Scalar, folded};
use super::super::network::Network;
use super::lists::{List, RuleId};
use super::ranges::Ranges;
use super::tree::Tree;

/// Where the rules of one name are filed.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    equal: HashMap<OwnKey, List>,
    /// By texts in lower case.
    folded: HashMap<Box<str>, List>,
    prefixes: Tree,
    /// By texts from behind.
    suffixes: Tree,
    ranges: Ranges,
    networks: HashMap<Network, List>,
    /// How many there are of each size.
    network_sizes: BTreeMap<(bool, u8), usize>,
    /// What no list helps with: each of them is looked at.
    rest: List,
    /// What holds where there is no value.
    absent: List,
    /// Fields of this name, filed or not.
    pub(super) fields: usize,
}

/// [`Key`] that owns its text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnKey {
    Text(Box<str>),
    Number(u64),
    Bool(bool),
    Null,
}

impl OwnKey {
    fn key(&self) -> Key<'_> {
        match self {
            Self::Text(text) => Key::Text(text),
            Self::Number(bits) => Key::Number(*bits),
            Self::Bool(value) => Key::Bool(*value),
            Self::Null => Key::Null,
        }
    }
}

impl Hash for OwnKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Equivalent<OwnKey> for Key<'_> {
    fn equivalent(&self, key: &OwnKey) -> bool {
        *self == key.key()
    }
}

impl From<&Key<'_>> for OwnKey {
    fn from(key: &Key<'_>) -> Self {
        match *key {
            Key::Text(text) => Self::Text(text.into()),
            Key::Number(bits) => Self::Number(bits),
            Key::Bool(value) => Self::Bool(value),
            Key::Null => Self::Null,
        }
    }
}

/// Where a condition is filed. Wherever a value meets it, a look at the value finds it there.
enum Spot<'c> {
    Equal(Key<'c>),
    Folded(&'c str),
    Prefix(&'c str),
    Suffix(Vec<u8>),
    Range(&'c Range),
    Network(&'c Network),
    Rest,
    Absent,
}

impl<'c> Spot<'c> {
    fn of(condition: &'c Condition) -> Self {
        match condition {
            Condition::Equal(literal) => Self::Equal(literal.key()),
            Condition::EqualIgnoringCase(text) => Self::Folded(text),
            Condition::Prefix(text) => Self::Prefix(text),
            Condition::Suffix(text) => Self::Suffix(backwards(text)),
            Condition::Wildcard(pattern) if pattern.wildcards() == 0 => Self::Equal(Key::Text(pattern.prefix())),
            Condition::Wildcard(pattern) if !pattern.prefix().is_empty() => Self::Prefix(pattern.prefix()),
            Condition::Wildcard(pattern) if !pattern.suffix().is_empty() => Self::Suffix(backwards(pattern.suffix())),
            Condition::Within(range) => match (range.low, range.high) {
                (Some(low), Some(high)) if low == high => Self::Equal(Key::of_number(low.at)),
                _ => Self::Range(range),
            },
            Condition::Network(network) => Self::Network(network),
            Condition::Wildcard(_) | Condition::Present | Condition::AnythingBut(_) => Self::Rest,
            Condition::Absent => Self::Absent,
        }
    }
}

fn backwards(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}

/// As crowded as if so many rules more were there: what these lists hold is looked at for every value.
const REST_CROWD: usize = 64;

impl Place {
    /// About how many rules are looked at in vain with one that is filed here by these conditions.
    pub(super) fn crowd(&self, conditions: &[Condition]) -> usize {
        conditions
            .iter()
            .map(|condition| match Spot::of(condition) {
                Spot::Equal(key) => self.equal.get(&key).map_or(0, List::len),
                Spot::Folded(text) => self.folded.get(text).map_or(0, List::len),
                Spot::Prefix(text) => 1 + self.prefixes.len_at(text.as_bytes()),
                Spot::Suffix(text) => 1 + self.suffixes.len_at(&text),
                Spot::Range(range) => 2 + self.ranges.crowd(range),
                Spot::Network(network) => 1 + self.networks.get(network).map_or(0, List::len),
                Spot::Rest => REST_CROWD + self.rest.len(),
                Spot::Absent => REST_CROWD + self.absent.len(),
            })
            .sum()
    }

    pub(super) fn insert(&mut self, conditions: &[Condition], id: RuleId) {
        for condition in conditions {
            match Spot::of(condition) {
                Spot::Equal(key) => self.equal.entry(OwnKey::from(&key)).or_default().add(id),
                Spot::Folded(text) => self.folded.entry(text.into()).or_default().add(id),
                Spot::Prefix(text) => self.prefixes.insert(text.as_bytes(), id),
                Spot::Suffix(text) => self.suffixes.insert(&text, id),
                Spot::Range(range) => self.ranges.insert(range, id),
                Spot::Network(network) => {
                    let list = self.networks.entry(*network).or_default();
                    if list.is_empty() {
                        *self.network_sizes.entry(network.size()).or_default() += 1;
                    }
                    list.add(id);
                }
                Spot::Rest => self.rest.add(id),
                Spot::Absent => self.absent.add(id),
            }
        }
    }

    pub(super) fn remove(&mut self, conditions: &[Condition], id: RuleId) {
        for condition in conditions {
            match Spot::of(condition) {
                Spot::Equal(key) => remove(&mut self.equal, &key, id),
                Spot::Folded(text) => remove(&mut self.folded, text, id),
                Spot::Prefix(text) => self.prefixes.remove(text.as_bytes(), id),
                Spot::Suffix(text) => self.suffixes.remove(&text, id),
                Spot::Range(range) => self.ranges.remove(range, id),
                Spot::Network(network) => self.remove_network(network, id),
                Spot::Rest => self.rest.remove(id),
                Spot::Absent => self.absent.remove(id),
            }
        }
    }

    fn remove_network(&mut self, network: &Network, id: RuleId) {
        // Said twice in one rule, it is gone after the first time.
        if !self.networks.contains_key(network) {
            return;
        }
        remove(&mut self.networks, network, id);
        if !self.networks.contains_key(network)
            && let Some(networks) = self.network_sizes.get_mut(&network.size())
        {
            *networks -= 1;
            if *networks == 0 {
                self.network_sizes.remove(&network.size());
            }
        }
    }

    /// Rules that hold where there is no value.
    pub(super) fn absent(&self) -> &List {
        &self.absent
    }

    /// Visits all rules that may hold for a value.
    pub(super) fn visit<'p>(&'p self, value: &Scalar<'_>, visit: &mut dyn FnMut(&'p List)) {
        if !self.equal.is_empty()
            && let Some(list) = self.equal.get(&value.key())
        {
            visit(list);
        }
        match value {
            Scalar::Number(number) if !self.ranges.is_empty() => self.ranges.visit(*number, visit),
            Scalar::Text(text) => self.visit_text(text, visit),
            _ => {}
        }
        if !self.rest.is_empty() {
            visit(&self.rest);
        }
    }

    fn visit_text<'p>(&'p self, text: &str, visit: &mut dyn FnMut(&'p List)) {
        if !self.folded.is_empty()
            && let Some(list) = self.folded.get(&*folded(text))
        {
            visit(list);
        }
        if !self.prefixes.is_empty() {
            self.prefixes.visit(text.bytes(), visit);
        }
        if !self.suffixes.is_empty() {
            self.suffixes.visit(text.bytes().rev(), visit);
        }
        if !self.networks.is_empty() {
            for network in Network::around(text, self.network_sizes.keys()) {
                if let Some(list) = self.networks.get(&network) {
                    visit(list);
                }
            }
        }
    }
}

fn remove<K: Eq + Hash, Q: Hash + Equivalent<K> + ?Sized>(lists: &mut HashMap<K, List>, key: &Q, id: RuleId) {
    if let Some(list) = lists.get_mut(key) {
        list.remove(id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}
