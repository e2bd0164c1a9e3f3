//! Headers: the binding's arguments are compared with the message's headers.
//!
//! `x-match` is `all` (also where it is absent) or `any`, and then arguments whose name begins with `x-` are left out;
//! `all-with-x` and `any-with-x` count them, `x-match` itself excepted. An argument without a value asks only that the header is
//! there. With nothing to compare, `all` matches every message and `any` none.
//!
//! A message is not compared with every binding. A rule that needs all of its arguments is filed under one of them, a
//! rule that needs any is filed under each, and a message looks only at what is filed under the headers that it has.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};
use smallvec::SmallVec;

use super::bindings::Arguments;
use super::compare;
use super::destinations::Once;
use super::error::BindError;
use crate::value::{Table, Text, Value};

const MATCH: &[u8] = b"x-match";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    All,
    Any,
}

type Field = (Text, Value);

/// What one binding asks of a message.
#[derive(Debug, Clone)]
pub(super) struct Rule<D> {
    destination: D,
    arguments: Arguments,
    need: Need,
    with_x: bool,
}

impl<D> Rule<D> {
    pub(super) fn new(destination: D, arguments: Arguments) -> Result<Self, BindError> {
        let (need, with_x) = match arguments.get(MATCH) {
            None => (Need::All, false),
            Some(Value::Text(text)) => match text.as_bytes() {
                b"all" => (Need::All, false),
                b"any" => (Need::Any, false),
                b"all-with-x" => (Need::All, true),
                b"any-with-x" => (Need::Any, true),
                _ => return Err(BindError::MatchValue(text.clone())),
            },
            Some(other) => return Err(BindError::MatchType(other.clone())),
        };
        Ok(Self { destination, arguments, need, with_x })
    }

    /// What is compared, sorted by name.
    fn fields(&self) -> impl Iterator<Item = &Field> {
        let with_x = self.with_x;
        self.arguments.iter().filter(move |(name, _)| {
            let name = name.as_bytes();
            name != MATCH && (with_x || !name.starts_with(b"x-"))
        })
    }

    /// `headers` are sorted by name. Where a name is repeated, the n-th header of that name answers the n-th argument.
    fn matches(&self, headers: &[&Field]) -> bool {
        let mut rest = headers;
        for (name, wanted) in self.fields() {
            while let [(header, _), after @ ..] = rest
                && header < name
            {
                rest = after;
            }
            let matched = match rest {
                [(header, value), after @ ..] if header == name => {
                    rest = after;
                    *wanted == Value::Null || compare::equal(wanted, value)
                }
                _ => false,
            };
            match self.need {
                Need::All if !matched => return false,
                Need::Any if matched => return true,
                _ => {}
            }
        }
        self.need == Need::All
    }
}

type RuleId = u32;

#[derive(Debug, Clone, Copy)]
struct Filed {
    id: RuleId,
    /// Bindings with the same arguments and destination, which differ by the key that nobody looks at here.
    bindings: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Headers<D> {
    by_binding: HashMap<(D, Arguments), Filed>,
    rules: Vec<Option<Rule<D>>>,
    rules_free: Vec<RuleId>,
    /// Rules by the hash of a header that they need. Different headers may share a hash: what is found is compared in full.
    by_header: HashMap<u64, SmallVec<[RuleId; 2]>>,
    /// Rules that need all of nothing.
    always: Vec<RuleId>,
    hasher: DefaultHashBuilder,
}

impl<D: Clone + Eq + Hash> Headers<D> {
    pub(super) fn new() -> Self {
        Self {
            by_binding: HashMap::new(),
            rules: Vec::new(),
            rules_free: Vec::new(),
            by_header: HashMap::new(),
            always: Vec::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_binding.is_empty()
    }

    pub(super) fn insert(&mut self, rule: Rule<D>) {
        let binding = (rule.destination.clone(), rule.arguments.clone());
        if let Some(filed) = self.by_binding.get_mut(&binding) {
            filed.bindings += 1;
            return;
        }
        let places = self.places(&rule);
        let need = rule.need;
        let id = match self.rules_free.pop() {
            Some(id) => {
                self.rules[id as usize] = Some(rule);
                id
            }
            None => {
                // Each takes some tens of bytes: memory is gone long before there are so many.
                let id = RuleId::try_from(self.rules.len()).expect("fewer rules than u32::MAX");
                self.rules.push(Some(rule));
                id
            }
        };
        self.by_binding.insert(binding, Filed { id, bindings: 1 });
        match need {
            Need::All => {
                // Where least is filed already, the list to look through is the shortest.
                let filed = |place: &u64| self.by_header.get(place).map_or(0, SmallVec::len);
                match places.iter().copied().min_by_key(filed) {
                    Some(place) => self.by_header.entry(place).or_default().push(id),
                    None => self.always.push(id),
                }
            }
            Need::Any => {
                for place in places {
                    self.by_header.entry(place).or_default().push(id);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, destination: &D, arguments: &Arguments) {
        let binding = (destination.clone(), arguments.clone());
        let Some(filed) = self.by_binding.get_mut(&binding) else {
            debug_assert!(false, "a binding has no rule");
            return;
        };
        filed.bindings -= 1;
        if filed.bindings > 0 {
            return;
        }
        let id = filed.id;
        self.by_binding.remove(&binding);
        let Some(rule) = self.rules[id as usize].take() else {
            debug_assert!(false, "a rule is gone before its binding");
            return;
        };
        self.rules_free.push(id);
        let places = self.places(&rule);
        if places.is_empty()
            && let Some(index) = self.always.iter().position(|other| *other == id)
        {
            self.always.swap_remove(index);
        }
        for place in places {
            if let Some(list) = self.by_header.get_mut(&place)
                && let Some(index) = list.iter().position(|other| *other == id)
            {
                list.swap_remove(index);
                if list.is_empty() {
                    self.by_header.remove(&place);
                }
            }
        }
    }

    pub(super) fn matches(&self, headers: Option<&Table>, visit: &mut dyn FnMut(&D)) {
        let mut sorted: SmallVec<[&Field; 16]> = headers.into_iter().flatten().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));

        let mut candidates: SmallVec<[&[RuleId]; 16]> = SmallVec::new();
        candidates.push(&self.always);
        for &(name, value) in &sorted {
            for place in [self.place(name, None), self.place(name, Some(value))] {
                if let Some(list) = self.by_header.get(&place) {
                    candidates.push(list);
                }
            }
        }
        let total = candidates.iter().map(|list| list.len()).sum();
        let mut once = Once::with_capacity(total);
        for id in candidates.into_iter().flatten() {
            if let Some(rule) = &self.rules[*id as usize]
                && rule.matches(&sorted)
                && once.first(&rule.destination)
            {
                visit(&rule.destination);
            }
        }
    }

    /// Where a rule may be filed: one place for each header that it compares.
    fn places(&self, rule: &Rule<D>) -> SmallVec<[u64; 8]> {
        let mut places: SmallVec<[u64; 8]> = rule
            .fields()
            .map(|(name, value)| self.place(name, Some(value).filter(|value| **value != Value::Null)))
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Where is filed what needs this header: with this value, or with whatever value.
    fn place(&self, name: &Text, value: Option<&Value>) -> u64 {
        let mut state = self.hasher.build_hasher();
        name.hash(&mut state);
        match value {
            Some(value) => compare::hash(value, &mut state),
            None => state.write_u8(u8::MAX),
        }
        state.finish()
    }
}
