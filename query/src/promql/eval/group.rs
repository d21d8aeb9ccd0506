//! Which series belong together: groups by some of their labels.

use hashbrown::HashMap;
use kymo_storage::model::{Labels, METRIC_NAME};

/// Which labels tell groups apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep<'a> {
    /// These, sorted (`by`, `on`).
    Only(&'a [String]),
    /// All but these, sorted, and the metric's name (`without`, `ignoring`).
    AllBut(&'a [String]),
}

impl Keep<'_> {
    /// Tells whether a label counts.
    fn has(self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|n| n == name);
        match self {
            Keep::Only(names) => listed(names),
            Keep::AllBut(names) => name != METRIC_NAME && !listed(names),
        }
    }

    /// Returns the labels that count.
    pub(super) fn of(self, labels: &Labels) -> Labels {
        Labels::from_sorted(labels.iter().filter(|(name, _)| self.has(name)))
    }

    fn is_nothing(self) -> bool {
        matches!(self, Keep::Only([]))
    }
}

/// Numbers groups in the order in which they are first met.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    keep: Keep<'a>,
    numbers: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
    len: usize,
}

impl<'a> Groups<'a> {
    pub(super) fn new(keep: Keep<'a>) -> Groups<'a> {
        Groups {
            keep,
            numbers: HashMap::new(),
            key: Vec::new(),
            len: 0,
        }
    }

    /// Returns the number of the group of a label set, leaving out the labels for
    /// which `skip` holds.
    pub(super) fn number(&mut self, labels: &Labels, skip: impl Fn(&str) -> bool) -> usize {
        self.key.clear();
        if !self.keep.is_nothing() {
            for (name, value) in labels {
                if self.keep.has(name) && !skip(name) {
                    self.key.extend_from_slice(name.as_bytes());
                    self.key.push(0xff);
                    self.key.extend_from_slice(value.as_bytes());
                    self.key.push(0xff);
                }
            }
        }
        if let Some(&number) = self.numbers.get(self.key.as_slice()) {
            return number;
        }
        let number = self.len;
        self.len += 1;
        self.numbers.insert(self.key.clone(), number);
        number
    }

    /// Returns how many groups there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the labels that a group has in the result.
    pub(super) fn labels(&self, labels: &Labels) -> Labels {
        self.keep.of(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_as_they_come() {
        let a = Labels::from_pairs([("__name__", "m"), ("job", "a"), ("x", "1")]);
        let b = Labels::from_pairs([("__name__", "n"), ("job", "a"), ("x", "2")]);
        let c = Labels::from_pairs([("__name__", "m"), ("x", "1")]);
        let names = ["x".to_owned()];
        let cases = [
            (Keep::Only(&names), [0, 1, 0]),
            (Keep::AllBut(&names), [0, 0, 1]),
            (Keep::Only(&[]), [0, 0, 0]),
        ];
        for (keep, expected) in cases {
            let mut groups = Groups::new(keep);
            let numbers = [&a, &b, &c].map(|labels| groups.number(labels, |_| false));
            assert_eq!(numbers, expected, "{keep:?}");
        }
        assert_eq!(
            Keep::AllBut(&names).of(&a),
            Labels::from_pairs([("job", "a")])
        );
    }
}
