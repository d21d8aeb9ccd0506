//! One entry on its way through a pipeline: time, line, labels, structured metadata and
//! what stages have extracted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::value::Value;

/// What stages have extracted, by name.
pub type Extracted = BTreeMap<Arc<str>, Value>;

/// An entry between two stages.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it happened, in nanoseconds since the epoch: at first when it was read.
    pub t_ns: i64,
    /// When it was read. Stages that ask for the present get this, so that an entry that is
    /// read again after a crash becomes the same one.
    pub read_ns: i64,
    /// The line without its end.
    pub line: Vec<u8>,
    /// Labels of its stream.
    pub labels: LabelSet,
    /// Labels of this entry alone.
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
    /// What stages have extracted, the labels it came with among it.
    pub extracted: Extracted,
    /// Where it starts in its source.
    pub from: u64,
    /// Where what follows it starts.
    pub to: u64,
}

impl Entry {
    /// Returns an entry as a source has it.
    pub fn new(read_ns: i64, line: Vec<u8>, labels: LabelSet) -> Entry {
        Entry {
            t_ns: read_ns,
            read_ns,
            line,
            labels,
            metadata: Vec::new(),
            extracted: Extracted::new(),
            from: 0,
            to: 0,
        }
    }

    /// Puts the labels among what was extracted, as the start of a pipeline does.
    pub(super) fn extract_labels(&mut self) {
        for (name, value) in self.labels.iter() {
            let value = Value::Text(String::from(&**value));
            self.extracted.insert(Arc::clone(name), value);
        }
    }

    /// Returns what a stage reads: the line, or a value that was extracted. `None` where
    /// there is no such value.
    pub(super) fn input(&self, source: Option<&str>) -> Option<std::borrow::Cow<'_, str>> {
        match source {
            None => Some(String::from_utf8_lossy(&self.line)),
            Some(name) => self.extracted.get(name).and_then(Value::text),
        }
    }
}

/// Labels in order of their names; cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSet(Vec<(Arc<str>, Arc<str>)>);

impl LabelSet {
    /// Returns the labels of pairs; of one name the last counts.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> LabelSet {
        let mut labels = LabelSet::default();
        for (name, value) in pairs {
            labels.set(Arc::from(name.as_ref()), Arc::from(value.as_ref()));
        }
        labels
    }

    /// Returns the labels in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &(Arc<str>, Arc<str>)> {
        self.0.iter()
    }

    /// Returns the value of a label.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Sets a label.
    pub fn set(&mut self, name: Arc<str>, value: Arc<str>) {
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.0.remove(at);
        }
    }

    /// Keeps the labels whose names a condition holds for.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}
