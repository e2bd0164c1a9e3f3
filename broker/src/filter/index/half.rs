//! The filters of one scope.

use std::cell::Cell;
use std::sync::Arc;

use hashbrown::HashMap;

use super::super::arrays::Element;
use super::super::condition::Scalar;
use super::super::limits::COMPARED_MAX;
use super::super::subject::{Names, Subject};
use super::super::{Field, Filter, Scope};
use super::lists::RuleId;
use super::place::Place;
use crate::message::Message;

/// Rules of filters that look at the same part of a message.
#[derive(Clone, Debug)]
pub(super) struct Half<D> {
    scope: Scope,
    names: HashMap<Box<str>, u32>,
    names_free: Vec<u32>,
    /// Bytes of the longest name that there has been since there was none.
    name_bytes_max: usize,
    /// By the numbers of the names.
    places: Vec<Place>,
    /// Names of which rules are filed that hold where there is no value.
    absent: Vec<u32>,
    rules: Vec<Option<Filed<D>>>,
    rules_free: Vec<RuleId>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Filed<D> {
    destination: D,
    filter: Arc<Filter>,
    rule: usize,
    /// The numbers of the names of its fields.
    names: Box<[u32]>,
    /// Which of the fields it is filed by.
    by: usize,
}

impl<D> Filed<D> {
    fn fields(&self) -> &[Field] {
        &self.filter.rules[self.rule].fields
    }

    fn by(&self) -> (u32, &Field) {
        (self.names[self.by], &self.fields()[self.by])
    }
}

impl<D> Names for Half<D> {
    fn number(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    fn bytes_max(&self) -> usize {
        self.name_bytes_max
    }
}

impl<D> Half<D> {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            names: HashMap::new(),
            names_free: Vec::new(),
            name_bytes_max: 0,
            places: Vec::new(),
            absent: Vec::new(),
            rules: Vec::new(),
            rules_free: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Files one of the rules of a filter, which has fields.
    pub(super) fn insert(&mut self, filter: &Arc<Filter>, rule: usize, destination: D) -> RuleId {
        let fields = &filter.rules[rule].fields;
        let names: Box<[u32]> = fields.iter().map(|field| self.take_name(&field.name)).collect();
        let crowd = |at: &usize| self.places[names[*at] as usize].crowd(&fields[*at].conditions);
        let by = (0..fields.len()).min_by_key(crowd).unwrap_or(0);
        // Each takes some hundred bytes: memory is gone long before there are so many.
        let id = self.rules_free.pop().unwrap_or(self.rules.len() as RuleId);
        if id as usize == self.rules.len() {
            self.rules.push(None);
        }
        if let Some(&name) = names.get(by) {
            self.places[name as usize].insert(&fields[by].conditions, id);
            if fields[by].may_be_absent() && !self.absent.contains(&name) {
                self.absent.push(name);
            }
        }
        self.rules[id as usize] = Some(Filed { destination, filter: Arc::clone(filter), rule, names, by });
        self.len += 1;
        id
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        let Some(filed) = self.rules.get_mut(id as usize).and_then(Option::take) else {
            debug_assert!(false, "a rule is taken out twice");
            return;
        };
        self.rules_free.push(id);
        self.len -= 1;
        let (name, field) = filed.by();
        let place = &mut self.places[name as usize];
        place.remove(&field.conditions, id);
        if place.absent().is_empty() {
            self.absent.retain(|other| *other != name);
        }
        for (field, name) in filed.fields().iter().zip(&filed.names) {
            self.give_back_name(&field.name, *name);
        }
        if self.len == 0 {
            *self = Self::new(self.scope);
        }
    }

    fn take_name(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            self.places[number as usize].fields += 1;
            return number;
        }
        self.name_bytes_max = self.name_bytes_max.max(name.len());
        let number = self.names_free.pop().unwrap_or(self.places.len() as u32);
        if number as usize == self.places.len() {
            self.places.push(Place::default());
        }
        self.places[number as usize].fields = 1;
        self.names.insert(name.into(), number);
        number
    }

    fn give_back_name(&mut self, name: &str, number: u32) {
        let place = &mut self.places[number as usize];
        place.fields -= 1;
        if place.fields == 0 {
            *place = Place::default();
            self.names.remove(name);
            self.names_free.push(number);
        }
    }

    /// Visits the destination of each rule that may hold for a message, with what finds out whether it does. The same one may come
    /// several times.
    pub(super) fn matches(&self, message: &Message, visit: &mut dyn FnMut(&D, &dyn Fn() -> bool)) {
        if self.is_empty() {
            return;
        }
        let Some(subject) = Subject::of(message, self.scope, self) else { return };
        let look = Look { subject: &subject, left: Cell::new(COMPARED_MAX) };
        let mut candidates = |ids: &[RuleId], value: Option<&Scalar<'_>>| {
            for filed in ids.iter().filter_map(|id| self.rules[*id as usize].as_ref()) {
                if look.is_spent() {
                    return;
                }
                visit(&filed.destination, &|| look.holds(filed, value));
            }
        };
        for value in subject.values() {
            let place = &self.places[value.name as usize];
            place.visit(&value.scalar, &mut |list| candidates(list.ids(), Some(&value.scalar)));
        }
        for name in &self.absent {
            if subject.named(*name).is_empty() {
                candidates(self.places[*name as usize].absent().ids(), None);
            }
        }
    }
}

/// A look at one message.
struct Look<'s, 'm> {
    subject: &'s Subject<'m>,
    /// What may still be compared.
    left: Cell<usize>,
}

impl Look<'_, '_> {
    fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether a rule holds that was found by this value, or by there being none.
    fn holds<D>(&self, filed: &Filed<D>, value: Option<&Scalar<'_>>) -> bool {
        let (_, by) = filed.by();
        if value.is_some_and(|value| !self.one_holds(by, value)) {
            return false;
        }
        let others = filed.fields().iter().zip(&filed.names).enumerate().filter(|(at, _)| *at != filed.by);
        for (_, (field, name)) in others {
            let values = self.subject.named(*name);
            let is_met = match values {
                [] => field.may_be_absent(),
                values => values.iter().any(|value| self.one_holds(field, &value.scalar)),
            };
            if !is_met {
                return false;
            }
        }
        filed.names.len() == 1 || self.subject.elements.is_empty() || self.agree(filed)
    }

    /// Whether the fields that have values can have them from the same elements of arrays.
    fn agree<D>(&self, filed: &Filed<D>) -> bool {
        let choices = filed.fields().iter().zip(&filed.names).filter_map(|(field, name)| {
            let values = self.subject.named(*name);
            let elements = values.iter().filter(|value| self.one_holds(field, &value.scalar));
            (!values.is_empty()).then(|| elements.map(|value| value.element).collect::<Vec<Element>>())
        });
        let choices: Vec<_> = choices.collect();
        self.subject.elements.any_agree(choices, &self.left)
    }

    fn one_holds(&self, field: &Field, value: &Scalar<'_>) -> bool {
        field.conditions.iter().any(|condition| {
            let left = self.left.get();
            let cost = condition.cost(value);
            self.left.set(left.saturating_sub(cost));
            cost <= left && condition.holds(value)
        })
    }
}
