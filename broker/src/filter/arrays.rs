//! Whether values come from the same elements of arrays.
//!
//! A policy that asks for two things in the elements of an array means one element that has both: `[{"a": 1}, {"b": 2}]` has `a` and
//! `b`, and no element that has them.

use std::cell::Cell;

use super::limits::TRIES_MAX;

/// An element of an array, in whatever document; 0 is the document itself.
pub(super) type Element = u32;

/// The elements of arrays that are arrays or objects themselves, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Elements(Vec<Place>);

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The element that the array is in.
    parent: Element,
    array: u32,
    depth: u32,
}

impl Elements {
    pub(super) fn add(&mut self, parent: Element, array: u32) -> Element {
        let depth = self.get(parent).map_or(1, |place| place.depth + 1);
        self.0.push(Place { parent, array, depth });
        self.0.len() as Element
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, element: Element) -> Option<Place> {
        self.0.get((element as usize).checked_sub(1)?).copied()
    }

    fn depth(&self, element: Element) -> u32 {
        self.get(element).map_or(0, |place| place.depth)
    }

    fn parent(&self, element: Element) -> Element {
        self.get(element).map_or(0, |place| place.parent)
    }

    /// Whether no array has one of them in one of its elements and the other in another.
    fn agree(&self, mut a: Element, mut b: Element) -> bool {
        while self.depth(a) > self.depth(b) {
            a = self.parent(a);
        }
        while self.depth(b) > self.depth(a) {
            b = self.parent(b);
        }
        while a != b {
            let (parent_a, parent_b) = (self.parent(a), self.parent(b));
            if parent_a == parent_b {
                return self.get(a).map(|place| place.array) != self.get(b).map(|place| place.array);
            }
            (a, b) = (parent_a, parent_b);
        }
        true
    }

    /// Whether one of each of these can be taken so that all of them agree. False, too, where that takes too long to find out:
    /// `left` is what may be spent on it and whatever comes afterwards.
    pub(super) fn any_agree(&self, choices: Vec<Vec<Element>>, left: &Cell<usize>) -> bool {
        let mut tries = 0;
        let any = self.try_all(choices, &mut tries, left.get().min(TRIES_MAX));
        left.set(left.get().saturating_sub(tries));
        any
    }

    fn try_all(&self, mut choices: Vec<Vec<Element>>, tries: &mut usize, tries_max: usize) -> bool {
        for choice in &mut choices {
            choice.sort_unstable();
            choice.dedup();
        }
        // What leaves least to choose decides soonest.
        choices.sort_by_key(Vec::len);
        let mut taken: Vec<Element> = Vec::with_capacity(choices.len());
        // Which one is to be tried next, of each that has been begun.
        let mut next = vec![0_usize];
        while *tries < tries_max {
            if taken.len() == choices.len() {
                return true;
            }
            let (Some(at), Some(choice)) = (next.last_mut(), choices.get(taken.len())) else { return false };
            match choice.get(*at) {
                Some(&element) => {
                    *at += 1;
                    *tries += 1 + taken.len() * (1 + self.depth(element) as usize);
                    if taken.iter().all(|other| self.agree(*other, element)) {
                        taken.push(element);
                        next.push(0);
                    }
                }
                None => {
                    *tries += 1;
                    next.pop();
                    if taken.pop().is_none() {
                        return false;
                    }
                }
            }
        }
        false
    }
}
