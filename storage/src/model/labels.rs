//! A label set: sorted, unique names with non-empty values, packed in one allocation.
//!
//! The bytes hold, for each label in order of name, the length and bytes of the
//! name and of the value; lengths are LEB128. Cloning shares the allocation.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Name of the label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable set of labels, sorted by name, each name once, no empty value.
///
/// Ordering is Prometheus': pairwise by name, then value; a set that is a prefix
/// of another comes first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels {
    packed: Arc<str>,
}

impl Labels {
    /// Returns the set without labels.
    pub fn empty() -> Labels {
        Labels {
            packed: Arc::from(""),
        }
    }

    /// Builds a set from pairs in any order. Of several pairs with one name the
    /// last stays; pairs with an empty value are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Labels {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.labels()
    }

    /// Builds a set from pairs that are already sorted by name, unique and without
    /// empty values. In debug builds a violation panics.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut packed = String::new();
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            debug_assert!(
                last.is_none_or(|last| last < name),
                "labels out of order at {name}"
            );
            debug_assert!(!value.is_empty(), "empty value of label {name}");
            last = Some(name);
            push_text(&mut packed, name);
            push_text(&mut packed, value);
        }
        Labels {
            packed: Arc::from(packed),
        }
    }

    /// Returns the value of a label, or `None` where the set does not have it.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (label, value) in self.iter() {
            match label.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// Returns the metric's name, empty where there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Iterates over `(name, value)` in order of name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.packed }
    }

    /// Counts the labels, in one pass.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Tells whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.packed.is_empty()
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Iterator over the labels of a set, in order of name.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        if self.rest.is_empty() {
            return None;
        }
        let name = take_text(&mut self.rest);
        let value = take_text(&mut self.rest);
        Some((name, value))
    }
}

/// Lengths are written as 7-bit groups in single ASCII bytes, so that the packed
/// form stays valid UTF-8: six payload bits, and bit 6 set where more follow.
fn push_text(packed: &mut String, text: &str) {
    let mut len = text.len();
    while len >= 0x40 {
        packed.push(char::from((len & 0x3f) as u8 | 0x40));
        len >>= 6;
    }
    packed.push(char::from(len as u8));
    packed.push_str(text);
}

fn take_text<'a>(rest: &mut &'a str) -> &'a str {
    let bytes = rest.as_bytes();
    let (mut len, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        len |= usize::from(byte & 0x3f) << shift;
        shift += 6;
        if byte & 0x40 == 0 {
            break;
        }
    }
    let text = &rest[at..at + len];
    *rest = &rest[at + len..];
    text
}

/// Collects labels in any order and builds a [`Labels`].
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Returns a builder without labels.
    pub fn new() -> LabelsBuilder {
        LabelsBuilder::default()
    }

    /// Returns a builder that starts with the labels of a set.
    pub fn from_labels(labels: &Labels) -> LabelsBuilder {
        let pairs = labels
            .iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        LabelsBuilder { pairs }
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut LabelsBuilder {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => {
                self.pairs[at].1.clear();
                self.pairs[at].1.push_str(value);
            }
            Err(_) if value.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label where present.
    pub fn remove(&mut self, name: &str) -> &mut LabelsBuilder {
        self.set(name, "")
    }

    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self
            .pairs
            .binary_search_by(|(n, _)| n.as_str().cmp(name))
            .ok()?;
        Some(&self.pairs[at].1)
    }

    /// Keeps the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut LabelsBuilder {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// Iterates over `(name, value)` in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Tells whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Builds the set.
    pub fn labels(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_any_order_come_back_sorted_without_empty_values() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "3")]);
        assert_eq!(labels.get("b"), Some("3"));
        assert_eq!(labels.get("aa"), None);
    }

    #[test]
    fn long_and_multibyte_texts_survive_packing() {
        for len in [0, 1, 63, 64, 65, 4095, 4096, 300_000] {
            let value = format!("é{}", "x".repeat(len));
            let labels = Labels::from_pairs([("name", value.as_str()), ("z", "€")]);
            assert_eq!(labels.get("name"), Some(value.as_str()));
            assert_eq!(labels.get("z"), Some("€"));
        }
    }

    #[test]
    fn order_is_pairwise_and_shorter_first() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "1"), ("b", "9")]) < set(&[("a", "2")]));
        assert!(set(&[("a", "11")]) < set(&[("a", "2")]));
    }
}
