//! Beginnings of texts, as a tree whose edges are as long as nothing branches off: what a text begins with is found on one way down,
//! however many there are.

use super::lists::{List, RuleId};

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// What leads here from the node above.
    edge: Box<[u8]>,
    /// By the first byte of their edges.
    children: Vec<(u8, u32)>,
    rules: List,
}

const ROOT: usize = 0;

impl Node {
    fn child(&self, byte: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&byte, |(first, _)| *first)
    }
}

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Rules at exactly this text.
    pub(super) fn len_at(&self, key: &[u8]) -> usize {
        self.find(key).and_then(|way| way.last().copied()).map_or(0, |at| self.nodes[at].rules.len())
    }

    pub(super) fn insert(&mut self, key: &[u8], id: RuleId) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let (mut at, mut left) = (ROOT, key);
        while let Some(&first) = left.first() {
            let place = match self.nodes[at].child(first) {
                Ok(place) => place,
                Err(place) => {
                    let leaf = self.new_node(Node { edge: left.into(), ..Node::default() });
                    self.nodes[at].children.insert(place, (first, leaf));
                    at = leaf as usize;
                    break;
                }
            };
            let child = self.nodes[at].children[place].1 as usize;
            let shared = shared_bytes(&self.nodes[child].edge, left);
            if shared < self.nodes[child].edge.len() {
                self.split(child, shared);
            }
            left = &left[shared..];
            at = child;
        }
        self.nodes[at].rules.add(id);
    }

    pub(super) fn remove(&mut self, key: &[u8], id: RuleId) {
        let Some(mut way) = self.find(key) else { return };
        let Some(&at) = way.last() else { return };
        self.nodes[at].rules.remove(id);
        while let Some(at) = way.pop() {
            let node = &self.nodes[at];
            if !node.rules.is_empty() {
                return;
            }
            let Some(&above) = way.last() else {
                if node.children.is_empty() {
                    *self = Self::default();
                }
                return;
            };
            match node.children.len() {
                0 => {
                    let first = node.edge.first().copied().unwrap_or(0);
                    if let Ok(place) = self.nodes[above].child(first) {
                        self.nodes[above].children.remove(place);
                    }
                    self.forget(at);
                }
                1 => {
                    // What is below takes its place.
                    let below = node.children[0].1 as usize;
                    let edge = [&*node.edge, &*self.nodes[below].edge].concat();
                    let node = std::mem::take(&mut self.nodes[below]);
                    self.nodes[at] = Node { edge: edge.into(), ..node };
                    self.forget(below);
                    return;
                }
                _ => return,
            }
        }
    }

    /// Visits the rules of all that a text begins with.
    pub(super) fn visit<'t>(&'t self, text: impl Iterator<Item = u8>, visit: &mut dyn FnMut(&'t List)) {
        let Some(mut node) = self.nodes.first() else { return };
        let mut text = text;
        loop {
            if !node.rules.is_empty() {
                visit(&node.rules);
            }
            let Some(first) = text.next() else { return };
            let Ok(place) = node.child(first) else { return };
            node = &self.nodes[node.children[place].1 as usize];
            if !node.edge[1..].iter().all(|byte| text.next() == Some(*byte)) {
                return;
            }
        }
    }

    /// The nodes on the way to this text.
    fn find(&self, key: &[u8]) -> Option<Vec<usize>> {
        let mut node = self.nodes.first()?;
        let (mut way, mut left) = (vec![ROOT], key);
        while let Some(&first) = left.first() {
            let at = node.children[node.child(first).ok()?].1 as usize;
            node = &self.nodes[at];
            left = left.strip_prefix(&*node.edge)?;
            way.push(at);
        }
        Some(way)
    }

    /// Cuts the edge to a node, so that one ends behind so many bytes of it.
    fn split(&mut self, at: usize, bytes: usize) {
        let node = std::mem::take(&mut self.nodes[at]);
        let (upper, lower): (Box<[u8]>, Box<[u8]>) = (node.edge[..bytes].into(), node.edge[bytes..].into());
        let first = lower.first().copied().unwrap_or(0);
        let below = self.new_node(Node { edge: lower, ..node });
        self.nodes[at] = Node { edge: upper, children: vec![(first, below)], rules: List::default() };
    }

    fn new_node(&mut self, node: Node) -> u32 {
        if let Some(id) = self.free.pop() {
            self.nodes[id as usize] = node;
            return id;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    fn forget(&mut self, at: usize) {
        self.nodes[at] = Node::default();
        self.free.push(at as u32);
    }
}

fn shared_bytes(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn found(tree: &Tree, text: &[u8]) -> Vec<RuleId> {
        let mut found = Vec::new();
        tree.visit(text.iter().copied(), &mut |list| found.extend_from_slice(list.ids()));
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn a_tree_finds_what_a_list_finds_whatever_comes_and_goes(
            steps in proptest::collection::vec((any::<bool>(), "[ab]{0,5}", 0..4_u32), 0..60),
            texts in proptest::collection::vec("[ab]{0,7}", 8),
        ) {
            let mut tree = Tree::default();
            let mut list: BTreeMap<(String, RuleId), ()> = BTreeMap::new();
            for (adds, key, id) in steps {
                if adds {
                    if list.insert((key.clone(), id), ()).is_none() {
                        tree.insert(key.as_bytes(), id);
                    }
                } else if list.remove(&(key.clone(), id)).is_some() {
                    tree.remove(key.as_bytes(), id);
                }
                for text in &texts {
                    let mut expected: Vec<_> =
                        list.keys().filter(|(key, _)| text.starts_with(&**key)).map(|(_, id)| *id).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(found(&tree, text.as_bytes()), expected);
                }
                prop_assert!(tree.nodes.len() <= 2 * list.len() + tree.free.len() + 1);
            }
            for ((key, id), ()) in list {
                tree.remove(key.as_bytes(), id);
            }
            prop_assert!(tree.is_empty());
        }
    }
}
