//! Ranges of numbers. A range that ends on both sides is filed in a grid whose cells are as wide as the range is, or up to twice as
//! wide: there are two at most that it is in, and a number is looked up once for each width that occurs. Those that are open on
//! one side stand in order.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::super::condition::Range;
use super::lists::{List, RuleId};

#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    cells: HashMap<Cell, List>,
    /// How many cells are taken of each width.
    widths: BTreeMap<i32, usize>,
    /// From a number upwards.
    above: BTreeMap<u64, List>,
    /// From a number downwards.
    below: BTreeMap<u64, List>,
}

/// The exponent of a width to the base of 2, and the bits of the number that says which one it is.
type Cell = (i32, u64);

/// A number's bits in the order of numbers.
fn in_order(number: f64) -> u64 {
    let bits = if number == 0.0 { 0 } else { number.to_bits() };
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn cell(number: f64, width: i32) -> Cell {
    let at = (number / 2_f64.powi(width)).floor();
    (width, if at == 0.0 { 0 } else { at.to_bits() })
}

/// The exponent of the narrowest cells that are wider than this.
fn width_above(length: f64) -> i32 {
    let exponent = (length.to_bits() >> 52 & 0x7ff) as i32 - 1023;
    (exponent + 1).clamp(-1022, 1023)
}

/// Where a range is filed.
enum Filed {
    Cells(Cell, Cell),
    Above(u64),
    Below(u64),
}

fn filed(range: &Range) -> Filed {
    match (range.low, range.high) {
        (Some(low), Some(high)) => {
            let width = width_above(high.at - low.at);
            Filed::Cells(cell(low.at, width), cell(high.at, width))
        }
        (Some(low), None) => Filed::Above(in_order(low.at)),
        (None, Some(high)) => Filed::Below(in_order(high.at)),
        // Every number; none such can be written.
        (None, None) => Filed::Below(u64::MAX),
    }
}

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty() && self.above.is_empty() && self.below.is_empty()
    }

    /// About how many other rules are looked at with one that is filed here.
    pub(super) fn crowd(&self, range: &Range) -> usize {
        match filed(range) {
            Filed::Cells(first, last) => [first, last].iter().filter_map(|at| self.cells.get(at)).map(List::len).sum(),
            Filed::Above(_) => self.above.len(),
            Filed::Below(_) => self.below.len(),
        }
    }

    pub(super) fn insert(&mut self, range: &Range, id: RuleId) {
        match filed(range) {
            Filed::Cells(first, last) => {
                self.insert_cell(first, id);
                if last != first {
                    self.insert_cell(last, id);
                }
            }
            Filed::Above(at) => self.above.entry(at).or_default().add(id),
            Filed::Below(at) => self.below.entry(at).or_default().add(id),
        }
    }

    fn insert_cell(&mut self, at: Cell, id: RuleId) {
        let list = self.cells.entry(at).or_default();
        if list.is_empty() {
            *self.widths.entry(at.0).or_default() += 1;
        }
        list.add(id);
    }

    pub(super) fn remove(&mut self, range: &Range, id: RuleId) {
        match filed(range) {
            Filed::Cells(first, last) => {
                self.remove_cell(first, id);
                if last != first {
                    self.remove_cell(last, id);
                }
            }
            Filed::Above(at) => remove(&mut self.above, at, id),
            Filed::Below(at) => remove(&mut self.below, at, id),
        }
    }

    fn remove_cell(&mut self, at: Cell, id: RuleId) {
        let Some(list) = self.cells.get_mut(&at) else { return };
        list.remove(id);
        if !list.is_empty() {
            return;
        }
        self.cells.remove(&at);
        if let Some(cells) = self.widths.get_mut(&at.0) {
            *cells -= 1;
            if *cells == 0 {
                self.widths.remove(&at.0);
            }
        }
    }

    /// Visits the rules of all ranges that a number may be in.
    pub(super) fn visit<'r>(&'r self, number: f64, visit: &mut dyn FnMut(&'r List)) {
        for width in self.widths.keys() {
            if let Some(list) = self.cells.get(&cell(number, *width)) {
                visit(list);
            }
        }
        let at = in_order(number);
        self.above.range(..=at).for_each(|(_, list)| visit(list));
        self.below.range(at..).for_each(|(_, list)| visit(list));
    }
}

fn remove(lists: &mut BTreeMap<u64, List>, at: u64, id: RuleId) {
    if let Some(list) = lists.get_mut(&at) {
        list.remove(id);
        if list.is_empty() {
            lists.remove(&at);
        }
    }
}
