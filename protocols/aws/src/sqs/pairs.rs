//! Maps of requests and answers, in the order in which they are written.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// More entries than any map of a request may have by the rules of its action: each says so itself, in AWS's words. This only
/// bounds what a request can make of one body.
const ENTRIES_MAX: usize = 256;

/// A map. Of a name that comes twice, the last value counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs<'a, V>(pub(crate) Vec<(Cow<'a, str>, V)>);

impl<V> Default for Pairs<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'a, V> Pairs<'a, V> {
    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&V> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) fn push(&mut self, name: impl Into<Cow<'a, str>>, value: V) {
        self.0.push((name.into(), value));
    }
}

/// A list of a request. No more than `MAX` of its entries are kept; those behind them are only counted, so that they can be refused.
#[derive(Clone, Debug)]
pub(crate) struct List<T, const MAX: usize> {
    kept: Vec<T>,
    /// How many came.
    pub(crate) sent: usize,
}

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self { kept: Vec::new(), sent: 0 }
    }
}

impl<T, const MAX: usize> std::ops::Deref for List<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.kept
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Entries<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = List::default();
                while list.kept.len() < MAX {
                    let Some(entry) = seq.next_element()? else { break };
                    list.kept.push(entry);
                }
                list.sent = list.kept.len();
                while list.sent >= MAX && seq.next_element::<IgnoredAny>()?.is_some() {
                    list.sent += 1;
                }
                Ok(list)
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

/// Text that is borrowed from the request where it can be. A plain `Cow` in a map or a list never is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<'a, V>(PhantomData<(&'a (), V)>);

        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Map<'a, V> {
            type Value = Pairs<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Vec<(Cow<'a, str>, V)> = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'a>, V>()? {
                    if let Some((_, old)) = pairs.iter_mut().find(|(known, _)| *known == name) {
                        *old = value;
                    } else if pairs.len() < ENTRIES_MAX {
                        pairs.push((name, value));
                    } else {
                        return Err(A::Error::custom("too many entries in a map"));
                    }
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Map(PhantomData))
    }
}

impl<V: Serialize> Serialize for Pairs<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_keeps_its_order_and_borrows_what_it_can() {
        let json = r#"{"b":"1","a":"2\n","b":"3"}"#;
        let pairs: Pairs<'_, Text<'_>> = serde_json::from_str(json).unwrap();
        let all: Vec<_> = pairs.iter().map(|(name, value)| (name, &**value)).collect();
        assert_eq!(all, [("b", "3"), ("a", "2\n")]);
        assert!(matches!(&pairs.0[0], (Cow::Borrowed("b"), Text(Cow::Borrowed("3")))));
        assert!(matches!(&pairs.0[1], (Cow::Borrowed("a"), Text(Cow::Owned(_)))));
    }

    #[test]
    fn a_list_without_end_is_counted_and_not_kept() {
        let list = |json: &str| serde_json::from_str::<List<u8, 2>>(json).map(|list| (list.to_vec(), list.sent)).ok();
        assert_eq!(list("[]"), Some((vec![], 0)));
        assert_eq!(list("[1]"), Some((vec![1], 1)));
        assert_eq!(list("[1,2]"), Some((vec![1, 2], 2)));
        assert_eq!(list(r#"[1,2,"x",{}]"#), Some((vec![1, 2], 4)));
        assert_eq!((list(r#"[1,"x"]"#), list("1"), list("[1,2,")), (None, None, None));
    }

    #[test]
    fn a_map_without_end_is_refused() {
        let json = |entries: usize| {
            let entries: Vec<_> = (0..entries).map(|n| format!("\"{n}\":\"\"")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert!(serde_json::from_str::<Pairs<'_, Text<'_>>>(&json(ENTRIES_MAX)).is_ok());
        assert!(serde_json::from_str::<Pairs<'_, Text<'_>>>(&json(ENTRIES_MAX + 1)).is_err());
    }
}
