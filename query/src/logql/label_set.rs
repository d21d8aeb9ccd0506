//! Labels of an answer.
//!
//! Unlike [`Labels`], a value may be empty here: `| json a="x"` over a line without `x` makes
//! a label `a` that is there and empty, and users see it.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use kymo_storage::compat::quote::push_quoted;
use kymo_storage::model::Labels;

/// Labels sorted by name, each name once. Clones share their memory.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct LabelSet {
    inner: Arc<Inner>,
}

#[derive(PartialEq, Eq, Hash, Default)]
struct Inner {
    /// Names and values, one behind the other.
    text: Box<str>,
    /// Where each name and each value ends.
    ends: Box<[(u32, u32)]>,
}

impl LabelSet {
    /// Returns the set without labels.
    pub fn empty() -> LabelSet {
        LabelSet::default()
    }

    /// Builds a set from pairs in any order. Of several pairs with one name the last stays.
    /// A set is smaller than 4 GiB; what is over is left out.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSet {
        let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        pairs.sort_by_key(|(name, _)| *name);
        let mut unique: Vec<(&str, &str)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match unique.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => unique.push(pair),
            }
        }
        LabelSet::from_sorted(&unique)
    }

    /// Builds a set from pairs in order of their names, each once.
    pub(crate) fn from_sorted(pairs: &[(&str, &str)]) -> LabelSet {
        debug_assert!(pairs.is_sorted_by(|a, b| a.0 < b.0), "labels out of order");
        let len = pairs.iter().map(|(n, v)| n.len() + v.len()).sum();
        let mut text = String::with_capacity(len);
        let mut ends = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let Ok(end) = u32::try_from(text.len() + name.len() + value.len()) else {
                break;
            };
            text.push_str(name);
            ends.push((text.len() as u32, end));
            text.push_str(value);
        }
        LabelSet {
            inner: Arc::new(Inner {
                text: text.into(),
                ends: ends.into(),
            }),
        }
    }

    /// Returns names and values in order of the names.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> + ExactSizeIterator {
        let Inner { text, ends } = &*self.inner;
        (0..ends.len()).map(move |at| {
            let start = at.checked_sub(1).map_or(0, |before| ends[before].1) as usize;
            let (name_end, value_end) = (ends[at].0 as usize, ends[at].1 as usize);
            (&text[start..name_end], &text[name_end..value_end])
        })
    }

    /// Returns the value of a label, `None` where there is no such label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Returns how many labels there are.
    pub fn len(&self) -> usize {
        self.inner.ends.len()
    }

    /// Tells whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.inner.ends.is_empty()
    }

    /// Returns the set without the labels that a condition refuses.
    pub fn filter(&self, mut keep: impl FnMut(&str, &str) -> bool) -> LabelSet {
        let kept: Vec<(&str, &str)> = self.iter().filter(|(n, v)| keep(n, v)).collect();
        if kept.len() == self.len() {
            return self.clone();
        }
        LabelSet::from_sorted(&kept)
    }

    /// Returns the set with one label set anew; an empty value removes it.
    pub(crate) fn with(&self, name: &str, value: &str) -> LabelSet {
        let others = self.iter().filter(|(n, _)| *n != name);
        match value {
            "" => LabelSet::from_pairs(others),
            _ => LabelSet::from_pairs(others.chain([(name, value)])),
        }
    }

    /// Returns the labels that are not empty, as a series or stream has them.
    pub fn to_labels(&self) -> Labels {
        Labels::from_pairs(self.iter())
    }

    /// Returns the bytes of memory that the set and its clones hold together.
    pub fn memory_bytes(&self) -> usize {
        self.inner.text.len() + size_of_val(&*self.inner.ends) + size_of::<Inner>() + 16
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> LabelSet {
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        LabelSet::from_sorted(&pairs)
    }
}

impl PartialOrd for LabelSet {
    fn partial_cmp(&self, other: &LabelSet) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Pairwise by name, then value; a set that is the start of another comes first.
impl Ord for LabelSet {
    fn cmp(&self, other: &LabelSet) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

/// As a selector that finds exactly these labels: `{app="a", env="prod"}`.
impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from("{");
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(name);
            text.push('=');
            push_quoted(&mut text, value);
        }
        text.push('}');
        f.write_str(&text)
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_values_stay_and_the_last_of_a_name_wins() {
        let set = LabelSet::from_pairs([("b", "2"), ("a", ""), ("b", "3\n")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", ""), ("b", "3\n")]);
        assert_eq!((set.get("a"), set.get("c")), (Some(""), None));
        assert_eq!(set.to_string(), r#"{a="", b="3\n"}"#);
        assert_eq!(set.to_labels(), Labels::from_pairs([("b", "3\n")]));
        assert_eq!(set.with("b", "").to_string(), r#"{a=""}"#);
        assert_eq!(
            set.with("aa", "x").to_string(),
            r#"{a="", aa="x", b="3\n"}"#
        );
        assert_eq!(set.filter(|n, _| n == "b").len(), 1);
    }

    #[test]
    fn order_is_that_of_labels() {
        let set = |pairs: &[(&'static str, &'static str)]| LabelSet::from_pairs(pairs.to_vec());
        assert!(set(&[]) < set(&[("a", "1")]));
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "1"), ("c", "1")]) < set(&[("b", "0")]));
        let labels = Labels::from_pairs([("x", "1"), ("y", "2")]);
        assert_eq!(LabelSet::from(&labels).to_labels(), labels);
    }
}
