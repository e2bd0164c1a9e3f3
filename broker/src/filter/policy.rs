//! A policy to rules.

use std::borrow::Cow;
use std::sync::Arc;

use super::condition::{Bound, Condition, Literal, Range, Unwanted, folded};
use super::error::FilterError;
use super::limits::{COMBINATIONS_MAX, FIELDS_MAX, KEYS_MAX, POLICY_BYTES_MAX, WILDCARD_POINTS_MAX, WILDCARDS_MAX};
use super::network::Network;
use super::pairs::{self, Kind, Node};
use super::wildcard::Wildcard;
use super::{Field, Rule, Scope};

const OR: &str = "$or";

/// With one of these as a name in it, `$or` is a name itself.
const RESERVED: &[&str] = &[
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// Largest number in a range; the smallest is as far on the other side.
const NUMBER_MAX: f64 = 1e9;

type Members<'a> = [(Cow<'a, str>, Node<'a>)];

/// Compiles a document.
pub(super) fn parse(text: &str, scope: Scope) -> Result<Box<[Rule]>, FilterError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(too_complex());
    }
    let root = pairs::read(text)?;
    let Kind::Object(members) = &root.kind else {
        return Err(FilterError::at("Filter is not an object", text, root.seen));
    };
    let mut compiler = Compiler { text, is_nested: false, wildcard_points: 0 };
    if members.is_empty() {
        return Ok(Box::new([Rule { fields: Box::default() }]));
    }
    let parts = compiler.members(members, root.end)?;
    if compiler.is_nested && scope == Scope::MessageAttributes {
        return Err(FilterError::nested());
    }
    if members.len() > KEYS_MAX {
        return Err(FilterError::whole(format_args!("Filter policy can not have more than {KEYS_MAX} keys")));
    }
    if combinations(&parts, 1, 1) > COMBINATIONS_MAX || compiler.wildcard_points > WILDCARD_POINTS_MAX {
        return Err(too_complex());
    }
    // There are no more rules than combinations.
    let mut rules = vec![Vec::new()];
    multiply(&parts, "", &mut rules);
    if rules.iter().any(|fields| fields.len() > FIELDS_MAX) {
        return Err(too_complex());
    }
    Ok(rules.into_iter().map(|fields| Rule { fields: fields.into() }).collect())
}

fn too_complex() -> FilterError {
    FilterError::whole("Filter policy is too complex")
}

/// A policy whose conditions are read.
enum Part<'a> {
    Field(&'a str, Arc<[Condition]>),
    Object(&'a str, Vec<Part<'a>>),
    Or(Vec<Vec<Part<'a>>>),
}

/// The combinations of what stands on a level, given those in front of it.
fn combinations(parts: &[Part<'_>], level: usize, before: usize) -> usize {
    parts.iter().fold(before, |before, part| match part {
        Part::Field(_, conditions) => before.saturating_mul(conditions.len()).saturating_mul(level),
        Part::Object(_, inner) => combinations(inner, level + 1, before),
        Part::Or(ways) => ways.iter().fold(0, |sum: usize, way| sum.saturating_add(combinations(way, level, before))),
    })
}

/// Adds what stands on a level to each rule; `$or` makes as many of each as it has ways.
fn multiply(parts: &[Part<'_>], path: &str, rules: &mut Vec<Vec<Field>>) {
    let full = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for part in parts {
        match part {
            Part::Field(name, conditions) => {
                let name = Arc::<str>::from(full(name));
                for fields in rules.iter_mut() {
                    let field = Field { name: Arc::clone(&name), conditions: Arc::clone(conditions) };
                    // Said twice, the last one counts, as for a name in JSON.
                    match fields.iter_mut().find(|known| known.name == field.name) {
                        Some(known) => *known = field,
                        None => fields.push(field),
                    }
                }
            }
            Part::Object(name, inner) => multiply(inner, &full(name), rules),
            Part::Or(ways) => {
                let before = std::mem::take(rules);
                for way in ways {
                    let mut more = before.clone();
                    multiply(way, path, &mut more);
                    rules.append(&mut more);
                }
            }
        }
    }
}

struct Compiler<'t> {
    text: &'t str,
    /// An object stands in the object.
    is_nested: bool,
    wildcard_points: usize,
}

impl Compiler<'_> {
    fn at(&self, what: impl std::fmt::Display, end: usize) -> FilterError {
        FilterError::at(what, self.text, end)
    }

    fn members<'n>(&mut self, members: &'n Members<'_>, end: usize) -> Result<Vec<Part<'n>>, FilterError> {
        if members.is_empty() {
            return Err(self.at("Empty objects are not allowed", end));
        }
        members
            .iter()
            .map(|(name, node)| match &node.kind {
                Kind::Object(inner) => {
                    self.is_nested = true;
                    Ok(Part::Object(name, self.members(inner, node.end)?))
                }
                Kind::Array(ways) if name == OR && is_or(ways) => {
                    let ways = ways.iter().filter_map(|way| match &way.kind {
                        Kind::Object(members) => Some((members, way.end)),
                        _ => None,
                    });
                    Ok(Part::Or(ways.map(|(members, end)| self.members(members, end)).collect::<Result<_, _>>()?))
                }
                Kind::Array(values) => Ok(Part::Field(name, self.values(values, node.end)?)),
                _ => Err(self.at(format_args!("\"{name}\" must be an object or an array"), node.seen)),
            })
            .collect()
    }

    fn values(&mut self, values: &[Node<'_>], end: usize) -> Result<Arc<[Condition]>, FilterError> {
        if values.is_empty() {
            return Err(self.at("Empty arrays are not allowed", end));
        }
        let conditions: Arc<[Condition]> = values.iter().map(|value| self.value(value)).collect::<Result<_, _>>()?;
        let patterns = conditions.iter().flat_map(wildcards);
        let (points, count) = patterns.fold((0_usize, 0_usize), |(points, count), pattern| {
            let wildcards = pattern.wildcards();
            (points + if wildcards > 1 { 3 * wildcards } else { wildcards }, count + 1)
        });
        self.wildcard_points = self.wildcard_points.saturating_add(points.saturating_mul(count));
        Ok(conditions)
    }

    fn value(&mut self, node: &Node<'_>) -> Result<Condition, FilterError> {
        match &node.kind {
            Kind::Object(members) => self.expression(members, node.end),
            Kind::Array(_) => Err(self.at("Match value must be String, number, true, false, or null", node.seen)),
            _ => Ok(Condition::Equal(self.literal(node)?)),
        }
    }

    /// A value that is neither an object nor an array.
    fn literal(&self, node: &Node<'_>) -> Result<Literal, FilterError> {
        match &node.kind {
            Kind::Text(text) => Ok(Literal::Text((&**text).into())),
            Kind::Bool(value) => Ok(Literal::Bool(*value)),
            Kind::Null => Ok(Literal::Null),
            _ => match node.number() {
                Some(number) => Ok(Literal::Number(number)),
                None => Err(self.at("Match value must be String, number, true, false, or null", node.seen)),
            },
        }
    }

    /// `{"OPERATOR": ...}`.
    fn expression(&mut self, members: &Members<'_>, end: usize) -> Result<Condition, FilterError> {
        let Some(((operator, node), others)) = members.split_first() else {
            return Err(self.at("Match expression name not found", end));
        };
        let condition = match &**operator {
            "prefix" => Condition::Prefix(self.text(operator, node)?.into()),
            "suffix" => Condition::Suffix(self.text(operator, node)?.into()),
            "equals-ignore-case" => Condition::EqualIgnoringCase(folded(self.text(operator, node)?).into()),
            "wildcard" => Condition::Wildcard(self.wildcard(operator, node)?),
            // AWS says so.
            "cidr" => self.network(self.text("prefix", node)?, node)?,
            "numeric" => Condition::Within(self.range(node)?),
            "exists" => match node.kind {
                Kind::Bool(true) => Condition::Present,
                Kind::Bool(false) => Condition::Absent,
                _ => return Err(self.at("exists match pattern must be either true or false.", node.seen)),
            },
            "anything-but" => Condition::AnythingBut(self.unwanted(node)?),
            other => return Err(self.at(format_args!("Unrecognized match type {other}"), node.seen)),
        };
        match others.first() {
            None => Ok(condition),
            Some((_, next)) => {
                let what = match &**operator {
                    "numeric" | "anything-but" => "Too many elements in numeric expression",
                    _ => "Only one key allowed in match expression",
                };
                Err(self.at(what, next.seen))
            }
        }
    }

    fn text<'n>(&self, operator: &str, node: &'n Node<'_>) -> Result<&'n str, FilterError> {
        match &node.kind {
            Kind::Text(text) => Ok(text),
            _ => Err(self.at(format_args!("{operator} match pattern must be a string"), node.seen)),
        }
    }

    fn wildcard(&self, operator: &str, node: &Node<'_>) -> Result<Wildcard, FilterError> {
        let pattern = Wildcard::parse(self.text(operator, node)?).map_err(|what| self.at(what, node.end))?;
        if pattern.wildcards() > WILDCARDS_MAX {
            return Err(too_complex());
        }
        Ok(pattern)
    }

    fn network(&self, text: &str, node: &Node<'_>) -> Result<Condition, FilterError> {
        Network::parse(text).map(Condition::Network).map_err(|what| self.at(what, node.end))
    }

    /// `["=", 1]`, `[">", 1]`, `[">=", 1, "<", 2]`.
    fn range(&self, node: &Node<'_>) -> Result<Range, FilterError> {
        let Kind::Array(items) = &node.kind else {
            return Err(self.at("Value of numeric must be an array.", node.seen));
        };
        // Where the parser is once it has read the next token.
        let seen = |index: usize| items.get(index).map_or(node.end, |item| item.seen);
        let operator = match items.first() {
            None => return Err(self.at("Invalid member in numeric match: ]", node.end)),
            Some(Node { kind: Kind::Text(operator), .. }) => &**operator,
            Some(other) => {
                let what = format!("Invalid member in numeric match: {}", self.shown(other));
                return Err(self.at(what, other.seen));
            }
        };
        if !matches!(operator, "=" | "<" | "<=" | ">" | ">=") {
            return Err(self.at(format_args!("Unrecognized numeric range operator: {operator}"), seen(1)));
        }
        let first = self.bound(operator, items.get(1), node.end)?;
        let bound = |at, is_within| Some(Bound { at, is_within });
        let range = match operator {
            "=" => Range { low: bound(first, true), high: bound(first, true) },
            "<" | "<=" => Range { low: None, high: bound(first, operator == "<=") },
            _ => Range { low: bound(first, operator == ">="), high: None },
        };
        if items.len() == 2 {
            return self.in_range(range, node.end);
        }
        if range.low.is_none() || operator == "=" {
            return Err(self.at("Too many elements in numeric expression", seen(2)));
        }
        let second = match &items[2].kind {
            Kind::Text(second) => &**second,
            _ => {
                let what = format!("Bad value in numeric range: {}", self.shown(&items[2]));
                return Err(self.at(what, items[2].seen));
            }
        };
        if !matches!(second, "<" | "<=") {
            return Err(self.at(format_args!("Bad numeric range operator: {second}"), items[2].end));
        }
        let top = self.bound(second, items.get(3), node.end)?;
        if items.len() > 4 {
            return Err(self.at("Too many terms in numeric range expression", seen(4)));
        }
        if top <= first {
            return Err(self.at("Bottom must be less than top", node.end));
        }
        self.in_range(Range { high: bound(top, second == "<="), ..range }, node.end)
    }

    fn bound(&self, operator: &str, node: Option<&Node<'_>>, end: usize) -> Result<f64, FilterError> {
        let operator = if operator == "=" { "equals" } else { operator };
        node.and_then(Node::number).ok_or_else(|| {
            let seen = node.map_or(end, |node| node.seen);
            self.at(format_args!("Value of {operator} must be numeric"), seen)
        })
    }

    fn in_range(&self, range: Range, end: usize) -> Result<Range, FilterError> {
        let bounds = [range.low, range.high];
        if bounds.into_iter().flatten().all(|bound| bound.at.abs() <= NUMBER_MAX) {
            return Ok(range);
        }
        Err(self.at("Value must be between -1.0E9 and 1.0E9, inclusive", end))
    }

    fn shown<'s>(&'s self, node: &'s Node<'_>) -> &'s str {
        match &node.kind {
            Kind::Text(text) => text,
            Kind::Object(_) => "{",
            Kind::Array(_) => "[",
            Kind::Number(text) => text,
            Kind::Bool(true) => "true",
            Kind::Bool(false) => "false",
            Kind::Null => "null",
        }
    }

    fn unwanted(&self, node: &Node<'_>) -> Result<Unwanted, FilterError> {
        match &node.kind {
            Kind::Object(members) => self.unwanted_expression(members, node.end),
            Kind::Array(items) => {
                let mut kinds = (false, false);
                for item in items {
                    match item.kind {
                        Kind::Text(_) => kinds.0 = true,
                        Kind::Number(_) => kinds.1 = true,
                        _ => {
                            let what = "Inside anything but list, start|null|boolean is not supported.";
                            return Err(self.at(what, item.seen));
                        }
                    }
                }
                if kinds.0 == kinds.1 {
                    let what =
                        "Inside anything but list, either all values are number or string, mixed type is not supported";
                    return Err(self.at(what, node.end));
                }
                items.iter().map(|item| self.literal(item)).collect::<Result<_, _>>().map(Unwanted::Values)
            }
            Kind::Text(_) | Kind::Number(_) => Ok(Unwanted::Values(Box::new([self.literal(node)?]))),
            Kind::Bool(_) | Kind::Null => {
                Err(self.at("Value of anything-but must be an array or single string/number value.", node.seen))
            }
        }
    }

    /// `{"prefix": ...}`, with one text or a list of them.
    fn unwanted_expression(&self, members: &Members<'_>, end: usize) -> Result<Unwanted, FilterError> {
        let Some(((operator, node), others)) = members.split_first() else {
            return Err(self.at("Anything-But expression name not found", end));
        };
        let one = std::slice::from_ref(node);
        let items = match &node.kind {
            Kind::Array(items) if items.is_empty() => return Err(self.at("Empty arrays are not allowed", node.end)),
            Kind::Array(items) => items,
            _ => one,
        };
        let texts = || {
            items
                .iter()
                .map(|item| match self.text(operator, item)? {
                    "" => Err(self.at("Null prefix/suffix not allowed", item.end)),
                    text => Ok(text.into()),
                })
                .collect::<Result<Box<[Box<str>]>, _>>()
        };
        let unwanted = match &**operator {
            "prefix" => Unwanted::Prefixes(texts()?),
            "suffix" => Unwanted::Suffixes(texts()?),
            "wildcard" => {
                Unwanted::Wildcards(items.iter().map(|item| self.wildcard(operator, item)).collect::<Result<_, _>>()?)
            }
            other => return Err(self.at(format_args!("Unsupported anything-but pattern: {other}"), node.seen)),
        };
        match others.first() {
            None => Ok(unwanted),
            Some((_, next)) => Err(self.at("Only one key allowed in match expression", next.seen)),
        }
    }
}

/// Whether `$or` means that one of these has to hold: they are several, all objects, and none has a reserved name.
fn is_or(ways: &[Node<'_>]) -> bool {
    ways.len() > 1
        && ways.iter().all(|way| match &way.kind {
            Kind::Object(members) => {
                !members.is_empty() && members.iter().all(|(name, _)| !RESERVED.contains(&&**name))
            }
            _ => false,
        })
}

fn wildcards(condition: &Condition) -> &[Wildcard] {
    match condition {
        Condition::Wildcard(pattern) => std::slice::from_ref(pattern),
        Condition::AnythingBut(Unwanted::Wildcards(patterns)) => patterns,
        _ => &[],
    }
}
