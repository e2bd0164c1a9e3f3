//! A set of patterns made of words, and all of them that a name matches.
//!
//! A pattern is cut into words at a separator. One wildcard stands for exactly one word, the other for any number of
//! words, none included. The same structure serves `*` and `#` between dots and `+` and `#` between slashes.
//!
//! Matching walks the words of the name once and keeps the set of trie nodes that are reached so far, so that its cost is
//! at most words x nodes reached, whatever the wildcards. There is no backtracking to blow up. A node is three
//! integers wide and all edges live in one hash table keyed by (node, word number), so a hundred thousand patterns cost
//! neither a hundred thousand small tables nor a comparison of strings per step.

#[cfg(test)]
pub(super) mod tests;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

/// The bytes that give a pattern its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// Stands between two words.
    pub separator: u8,
    /// A word of only this byte matches exactly one word.
    pub one: u8,
    /// A word of only this byte matches any number of words, none included.
    pub many: u8,
    /// Whether the empty string has no word at all (`true`) or one empty word (`false`).
    pub empty_is_no_word: bool,
}

impl Syntax {
    /// Words between dots, `*` for one word, `#` for any number of them.
    pub const DOTS: Self = Self { separator: b'.', one: b'*', many: b'#', empty_is_no_word: true };

    /// Words between slashes, `+` for one word, `#` for any number of them.
    pub const SLASHES: Self = Self { separator: b'/', one: b'+', many: b'#', empty_is_no_word: false };

    fn words(self, text: &[u8]) -> impl Iterator<Item = &[u8]> {
        let none = self.empty_is_no_word && text.is_empty();
        text.split(move |&byte| byte == self.separator).skip(usize::from(none))
    }

    fn label(self, word: &[u8]) -> Label<'_> {
        match word {
            [byte] if *byte == self.one => Label::One,
            [byte] if *byte == self.many => Label::Many,
            literal => Label::Literal(literal),
        }
    }
}

enum Label<'a> {
    One,
    Many,
    Literal(&'a [u8]),
}

type NodeId = u32;
type WordId = u32;

const ROOT: NodeId = 0;
/// Node 0 is the root and no node's child, so it can say "no child".
const NONE: NodeId = 0;

#[derive(Debug, Clone)]
struct Node<V> {
    one: NodeId,
    many: NodeId,
    literal_children: u32,
    value: Option<V>,
}

impl<V> Node<V> {
    const fn new() -> Self {
        Self { one: NONE, many: NONE, literal_children: 0, value: None }
    }

    fn is_bare(&self) -> bool {
        self.value.is_none() && self.one == NONE && self.many == NONE && self.literal_children == 0
    }
}

#[derive(Debug, Clone, Copy)]
struct Word {
    id: WordId,
    /// How many edges carry this word.
    edges: u32,
}

/// Patterns, each with a value.
///
/// Holds at most `u32::MAX` nodes; a node takes some tens of bytes, so memory ends first.
#[derive(Debug, Clone)]
pub struct Trie<V> {
    syntax: Syntax,
    nodes: Vec<Node<V>>,
    nodes_free: Vec<NodeId>,
    words: HashMap<Box<[u8]>, Word>,
    words_free: Vec<WordId>,
    words_issued: WordId,
    edges: HashMap<(NodeId, WordId), NodeId>,
    len: usize,
}

impl<V> Trie<V> {
    /// An empty set of patterns.
    pub fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            nodes: vec![Node::new()],
            nodes_free: Vec::new(),
            words: HashMap::default(),
            words_free: Vec::new(),
            words_issued: 0,
            edges: HashMap::default(),
            len: 0,
        }
    }

    /// How many patterns have a value.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no pattern has a value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many nodes the patterns take now, the root included.
    pub fn nodes_used(&self) -> usize {
        self.nodes.len() - self.nodes_free.len()
    }

    /// The value of exactly this pattern; wildcards in it are not interpreted.
    pub fn get_mut(&mut self, pattern: &[u8]) -> Option<&mut V> {
        let mut node = ROOT;
        for word in self.syntax.words(pattern) {
            node = self.child(node, word)?;
        }
        self.nodes[node as usize].value.as_mut()
    }

    /// The value of exactly this pattern, made by `default` where there was none.
    pub fn get_or_insert_with(&mut self, pattern: &[u8], default: impl FnOnce() -> V) -> &mut V {
        let syntax = self.syntax;
        let mut node = ROOT;
        for word in syntax.words(pattern) {
            node = match self.child(node, word) {
                Some(child) => child,
                None => self.grow(node, word),
            };
        }
        let value = &mut self.nodes[node as usize].value;
        if value.is_none() {
            self.len += 1;
        }
        value.get_or_insert_with(default)
    }

    /// Takes the value of exactly this pattern out, and frees the nodes that only it needed.
    pub fn remove(&mut self, pattern: &[u8]) -> Option<V> {
        let syntax = self.syntax;
        let mut path: SmallVec<[(NodeId, &[u8]); 16]> = SmallVec::new();
        let mut node = ROOT;
        for word in syntax.words(pattern) {
            path.push((node, word));
            node = self.child(node, word)?;
        }
        let value = self.nodes[node as usize].value.take()?;
        self.len -= 1;
        while let Some((parent, word)) = path.pop() {
            if !self.nodes[node as usize].is_bare() {
                break;
            }
            self.cut(parent, word);
            self.nodes_free.push(node);
            node = parent;
        }
        Some(value)
    }

    /// Visits the value of each pattern that `name` matches, each once, in no particular order.
    pub fn matches<'a>(&'a self, name: &[u8], mut visit: impl FnMut(&'a V)) {
        let mut walk = Walk { trie: self, plain: SmallVec::new(), looping: SmallVec::new(), looped: Seen::default() };
        walk.reach(ROOT, &mut visit);
        let mut reached: SmallVec<[NodeId; 32]> = SmallVec::new();
        for word in self.syntax.words(name) {
            if walk.plain.is_empty() && walk.looping.is_empty() {
                return;
            }
            let id = self.words.get(word).map(|word| word.id);
            std::mem::swap(&mut reached, &mut walk.plain);
            // Loops that begin with this word may only take the next one.
            let looping = walk.looping.len();
            for index in 0..looping {
                let node = walk.looping[index];
                walk.step(node, id, &mut visit);
            }
            for node in reached.drain(..) {
                walk.step(node, id, &mut visit);
            }
        }
        for node in walk.plain {
            if let Some(value) = &self.nodes[node as usize].value {
                visit(value);
            }
        }
    }

    fn child(&self, parent: NodeId, word: &[u8]) -> Option<NodeId> {
        let node = &self.nodes[parent as usize];
        match self.syntax.label(word) {
            Label::One => Some(node.one).filter(|&id| id != NONE),
            Label::Many => Some(node.many).filter(|&id| id != NONE),
            Label::Literal(word) => {
                let word = self.words.get(word)?;
                self.edges.get(&(parent, word.id)).copied()
            }
        }
    }

    fn grow(&mut self, parent: NodeId, word: &[u8]) -> NodeId {
        let child = match self.nodes_free.pop() {
            Some(id) => id,
            None => {
                // A node takes some tens of bytes: memory is gone long before there are so many.
                let id = NodeId::try_from(self.nodes.len()).expect("fewer nodes than u32::MAX");
                self.nodes.push(Node::new());
                id
            }
        };
        match self.syntax.label(word) {
            Label::One => self.nodes[parent as usize].one = child,
            Label::Many => self.nodes[parent as usize].many = child,
            Label::Literal(word) => {
                let id = self.intern(word);
                self.edges.insert((parent, id), child);
                self.nodes[parent as usize].literal_children += 1;
            }
        }
        child
    }

    /// Removes the edge from `parent` by `word`, which leads to a bare node.
    fn cut(&mut self, parent: NodeId, word: &[u8]) {
        match self.syntax.label(word) {
            Label::One => self.nodes[parent as usize].one = NONE,
            Label::Many => self.nodes[parent as usize].many = NONE,
            Label::Literal(word) => {
                let Some(known) = self.words.get_mut(word) else {
                    debug_assert!(false, "an edge has a word that is not known");
                    return;
                };
                let id = known.id;
                known.edges -= 1;
                if known.edges == 0 {
                    self.words.remove(word);
                    self.words_free.push(id);
                }
                self.edges.remove(&(parent, id));
                self.nodes[parent as usize].literal_children -= 1;
            }
        }
    }

    fn intern(&mut self, word: &[u8]) -> WordId {
        if let Some(known) = self.words.get_mut(word) {
            known.edges += 1;
            return known.id;
        }
        let id = self.words_free.pop().unwrap_or_else(|| {
            // Never more words than edges, nor more edges than nodes.
            self.words_issued += 1;
            self.words_issued
        });
        self.words.insert(word.into(), Word { id, edges: 1 });
        id
    }
}

/// The nodes reached after some words of a name.
///
/// A node below a "many" wildcard is reached from one parent only, and a parent is in `plain` at most once a step. So
/// only the "many" nodes themselves, which stay reached for good, have to be remembered to keep the sets free of doubles.
struct Walk<'a, V> {
    trie: &'a Trie<V>,
    /// Reached by exactly the words so far.
    plain: SmallVec<[NodeId; 32]>,
    /// "Many" nodes that have children: reached now and after each further word.
    looping: SmallVec<[NodeId; 16]>,
    looped: Seen,
}

impl<'a, V> Walk<'a, V> {
    fn step(&mut self, node: NodeId, word: Option<WordId>, visit: &mut impl FnMut(&'a V)) {
        #[cfg(test)]
        tests::count_step();
        let trie = self.trie;
        let from = &trie.nodes[node as usize];
        if from.literal_children > 0
            && let Some(word) = word
            && let Some(&child) = trie.edges.get(&(node, word))
        {
            self.reach(child, visit);
        }
        if from.one != NONE {
            self.reach(from.one, visit);
        }
    }

    /// Adds a node that is not a "many" node, and the "many" nodes below it, which take no word.
    fn reach(&mut self, node: NodeId, visit: &mut impl FnMut(&'a V)) {
        let trie = self.trie;
        self.plain.push(node);
        let mut many = trie.nodes[node as usize].many;
        while many != NONE && self.looped.insert(many) {
            let node = &trie.nodes[many as usize];
            // It takes all that is left, so it matches whatever comes.
            if let Some(value) = &node.value {
                visit(value);
            }
            if node.literal_children > 0 || node.one != NONE {
                self.looping.push(many);
            }
            many = node.many;
        }
    }
}

/// A set of nodes: a list while that is the quicker one.
#[derive(Default)]
struct Seen {
    few: SmallVec<[NodeId; 16]>,
    many: HashSet<NodeId>,
}

impl Seen {
    /// Whether `node` was not in the set.
    fn insert(&mut self, node: NodeId) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(node);
        }
        if self.few.contains(&node) {
            return false;
        }
        if self.few.len() == self.few.inline_size() {
            self.many.extend(self.few.iter().copied());
            return self.many.insert(node);
        }
        self.few.push(node);
        true
    }
}
