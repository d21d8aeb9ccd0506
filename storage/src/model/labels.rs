//! A label set: sorted, unique names with non-empty values, packed in one allocation.
//!
//! The text holds, for each label in order of name, the length and bytes of the name
//! and of the value:
//!
//! ```text
//! | len | name | len | value | len | name | len | value | ...
//! ```
//!
//! Equal sets have equal bytes, so equality and hashing look at one run of memory.
//! Cloning shares the allocation. Invariant: every length ends inside the text and on
//! a boundary of characters; only [`Labels::from_sorted`] writes one.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::LabelsBuilder;

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

    /// Returns the bytes of memory that the set and its clones hold together.
    pub fn memory_bytes(&self) -> usize {
        // The two counters of the allocation are part of it.
        self.packed.len() + 2 * size_of::<usize>()
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
    pub fn from_sorted<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str), IntoIter: Clone>,
    ) -> Labels {
        let pairs = pairs.into_iter();
        // Measured first, so that the text is written once into its final size.
        let len_bytes = pairs
            .clone()
            .map(|(name, value)| packed_len(name) + packed_len(value))
            .sum();
        let mut packed = String::with_capacity(len_bytes);
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

    /// Returns the value of a label, or `None` where the set does not have it. Costs
    /// one comparison for each label in front of it.
    pub fn get(&self, name: &str) -> Option<&str> {
        let bytes = self.packed.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let label = text_at(bytes, at);
            let value = text_at(bytes, label.end);
            match bytes[label].cmp(name.as_bytes()) {
                Ordering::Less => at = value.end,
                Ordering::Equal => return Some(&self.packed[value]),
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

    /// Returns the bytes of memory of the text.
    pub(crate) fn len_bytes(&self) -> usize {
        self.packed.len()
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
        if Arc::ptr_eq(&self.packed, &other.packed) {
            return Ordering::Equal;
        }
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

    #[inline]
    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let name = text_at(bytes, 0);
        let value = text_at(bytes, name.end);
        let label = (&self.rest[name], &self.rest[value.clone()]);
        self.rest = &self.rest[value.end..];
        Some(label)
    }
}

/// Payload bits of a length byte; the bit above says that more follow.
const LEN_BITS: u32 = 6;
const MORE: u8 = 1 << LEN_BITS;

/// Lengths are written in groups of six bits, lowest first, each in one byte of
/// ASCII, so that the packed form stays valid UTF-8.
#[inline]
fn push_text(packed: &mut String, text: &str) {
    let mut len = text.len();
    while len >= usize::from(MORE) {
        packed.push(char::from((len as u8 & (MORE - 1)) | MORE));
        len >>= LEN_BITS;
    }
    packed.push(char::from(len as u8));
    packed.push_str(text);
}

/// Returns how many bytes [`push_text`] appends.
#[inline]
fn packed_len(text: &str) -> usize {
    let groups = text.len().checked_ilog2().unwrap_or(0) / LEN_BITS + 1;
    groups as usize + text.len()
}

/// Returns where the text lies whose length stands at `at`.
#[inline]
fn text_at(bytes: &[u8], at: usize) -> Range<usize> {
    let first = bytes[at];
    let (mut len, mut start) = (usize::from(first & (MORE - 1)), at + 1);
    if first & MORE != 0 {
        let mut shift = LEN_BITS;
        loop {
            let byte = bytes[start];
            start += 1;
            len |= usize::from(byte & (MORE - 1)) << shift;
            shift += LEN_BITS;
            if byte & MORE == 0 {
                break;
            }
        }
    }
    start..start + len
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn packing_keeps_pairs_and_their_order(
            pairs in prop::collection::btree_map(".{0,80}", ".{1,80}", 0..8),
            other in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..4),
            third in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..4),
        ) {
            let set = |map: &BTreeMap<String, String>| Labels::from_pairs(map);
            let labels = set(&pairs);
            let read: BTreeMap<_, _> = labels
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            prop_assert_eq!(&read, &pairs);
            prop_assert_eq!(labels.len(), pairs.len());
            for (name, value) in &pairs {
                prop_assert_eq!(labels.get(name), Some(value.as_str()));
            }
            for name in other.keys() {
                prop_assert_eq!(labels.get(name), pairs.get(name).map(String::as_str));
            }
            prop_assert_eq!(set(&other).cmp(&set(&third)), other.iter().cmp(third.iter()));
            prop_assert_eq!(set(&other) == set(&third), other == third);
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
