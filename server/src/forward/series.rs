//! What the series of the log are called at the receiver.
//!
//! Labels of a series are worked out once: external labels are added, the rules of the
//! section applied, and the texts numbered. What is kept is a cache; it can be cleared at
//! any time, and the reader of the log tells of each series again.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use kymo_ingest::wire::encode::Symbols;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, LabelsBuilder, MetricType, RelabelRule, Verdict, relabel};

/// Texts are cleared when they take so many bytes; their places are numbers of 32 bits.
const MAX_TEXT_BYTES: usize = 1 << 30;

/// Endings of series whose metadata stands under the name before them.
const SUFFIXES: [&str; 7] = [
    "_total", "_bucket", "_count", "_sum", "_created", "_info", "_gsum",
];

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    text: String,
    bounds: Vec<(u32, u32)>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Symbols for Texts {
    #[inline]
    fn text(&self, symbol: u32) -> &str {
        let bounds = self.bounds.get(symbol as usize);
        let text = bounds.and_then(|&(start, end)| self.text.get(start as usize..end as usize));
        text.unwrap_or_default()
    }
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (whole, bounds) = (&self.text, &self.bounds);
        let get = |number: u32| {
            let (start, end) = bounds[number as usize];
            &whole[start as usize..end as usize]
        };
        if let Some(&number) = self.index.find(hash, |&number| get(number) == text) {
            return number;
        }
        let number = bounds.len() as u32;
        let hasher = &self.hasher;
        self.index
            .insert_unique(hash, number, |&number| hasher.hash_one(get(number)));
        let start = self.text.len() as u32;
        self.text.push_str(text);
        self.bounds.push((start, self.text.len() as u32));
        number
    }
}

/// Labels as pairs of numbers of texts.
pub(super) type LabelPairs = Box<[(u32, u32)]>;

/// What is known of a series.
#[derive(Debug, Clone, Default)]
enum Known {
    #[default]
    Nothing,
    /// The rules dropped it.
    Dropped,
    Labels(LabelPairs),
}

/// Type, help and unit of a metric, texts as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) kind: MetricType,
    pub(super) help: u32,
    pub(super) unit: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct SeriesTable {
    external: Labels,
    rules: Vec<RelabelRule>,
    pub(super) texts: Texts,
    known: Vec<Known>,
    builder: LabelsBuilder,
    metadata: HashMap<u32, Option<Described>>,
}

impl SeriesTable {
    /// Makes an empty table.
    pub(super) fn new(external: Labels, rules: Vec<RelabelRule>) -> SeriesTable {
        SeriesTable {
            external,
            rules,
            texts: Texts::default(),
            known: Vec::new(),
            builder: LabelsBuilder::new(),
            metadata: HashMap::new(),
        }
    }

    /// Learns the labels of a series, in the place of those that the number had before.
    pub(super) fn learn(&mut self, id: u32, labels: &[(&str, &str)]) {
        let known = match self.external.is_empty() && self.rules.is_empty() {
            true => self.numbered(labels.iter().copied()),
            false => self.rewritten(labels),
        };
        let at = id as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, Known::Nothing);
        }
        if let Some(place) = self.known.get_mut(at) {
            *place = known;
        }
    }

    fn rewritten(&mut self, labels: &[(&str, &str)]) -> Known {
        let mut builder = std::mem::take(&mut self.builder);
        builder.clear();
        for (name, value) in labels {
            builder.set(name, value);
        }
        for (name, value) in &self.external {
            // A series that has the label keeps its own.
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        let verdict = relabel(&self.rules, &mut builder);
        let known = match verdict {
            Verdict::Keep if !builder.is_empty() => self.numbered(builder.iter()),
            _ => Known::Dropped,
        };
        self.builder = builder;
        known
    }

    fn numbered<'l>(&mut self, labels: impl Iterator<Item = (&'l str, &'l str)>) -> Known {
        let pairs = labels.map(|(name, value)| {
            let name = self.texts.number(name);
            (name, self.texts.number(value))
        });
        Known::Labels(pairs.collect())
    }

    /// Returns the labels of a series; `None` where it is not sent.
    #[inline]
    pub(super) fn labels(&self, id: u32) -> Option<&[(u32, u32)]> {
        match self.known.get(id as usize) {
            Some(Known::Labels(labels)) => Some(labels),
            _ => None,
        }
    }

    /// Tells whether the series is sent.
    #[inline]
    pub(super) fn is_sent(&self, id: u32) -> bool {
        matches!(self.known.get(id as usize), Some(Known::Labels(_)))
    }

    /// Returns what is known of the metric of a series.
    pub(super) fn described(&mut self, id: u32, store: &MetricStore) -> Option<Described> {
        let labels = self.labels(id)?;
        let is_name = |name: u32| self.texts.text(name) == "__name__";
        let name = labels.iter().find(|(name, _)| is_name(*name))?.1;
        if let Some(&known) = self.metadata.get(&name) {
            return known;
        }
        let text = self.texts.text(name).to_owned();
        let before = SUFFIXES
            .iter()
            .filter_map(|suffix| text.strip_suffix(suffix));
        let mut found = std::iter::once(text.as_str())
            .chain(before)
            .filter_map(|name| store.metadata(Some(name)).pop());
        let described = found.next().map(|(_, metadata)| Described {
            kind: metadata.kind,
            help: self.texts.number(&metadata.help),
            unit: self.texts.number(&metadata.unit),
        });
        self.metadata.insert(name, described);
        described
    }

    /// Forgets what is known of metrics: something has changed.
    pub(super) fn forget_metadata(&mut self) {
        self.metadata.clear();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.texts = Texts::default();
        self.known = Vec::new();
        self.metadata.clear();
    }

    /// Tells whether the texts are so many that they should be forgotten.
    pub(super) fn is_full(&self) -> bool {
        self.texts.text.len() > MAX_TEXT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kymo_storage::StoreOptions;
    use kymo_storage::model::MetricMetadata;

    use super::*;
    use crate::config;

    fn table(section: &str) -> SeriesTable {
        let text = format!(
            "global: {{external_labels: {{cluster: a, job: outer}}}}\n\
             remote_write:\n- url: http://x\n{section}"
        );
        let config = config::parse(&text, Path::new("")).unwrap();
        let rules = config.remote_write[0].relabel.clone();
        SeriesTable::new(config.global.external_labels, rules)
    }

    fn shown(table: &SeriesTable, id: u32) -> Option<String> {
        let labels = table.labels(id)?;
        let text = |symbol| table.texts.text(symbol);
        let labels = labels
            .iter()
            .map(|&(n, v)| format!("{}={}", text(n), text(v)));
        Some(labels.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn external_labels_come_first_and_those_of_the_series_win() {
        let mut table = table("");
        table.learn(3, &[("__name__", "up"), ("job", "inner")]);
        table.learn(1, &[("__name__", "up"), ("z", "1")]);
        assert_eq!(shown(&table, 3).unwrap(), "__name__=up,cluster=a,job=inner");
        assert_eq!(
            shown(&table, 1).unwrap(),
            "__name__=up,cluster=a,job=outer,z=1"
        );
        assert_eq!(shown(&table, 2), None);
        assert!(!table.is_sent(9));
        table.learn(3, &[("__name__", "other")]);
        assert_eq!(
            shown(&table, 3).unwrap(),
            "__name__=other,cluster=a,job=outer"
        );
        table.clear();
        assert_eq!(shown(&table, 3), None);
    }

    #[test]
    fn rules_see_external_labels_and_may_drop_a_series() {
        let mut table = table(
            "  write_relabel_configs:\n  - {source_labels: [cluster, __name__], regex: 'a;go_.*', action: drop}\n  \
             - {regex: 'cluster|job', action: labeldrop}\n  - {source_labels: [__name__], target_label: copy}\n",
        );
        table.learn(0, &[("__name__", "go_threads")]);
        table.learn(1, &[("__name__", "up")]);
        assert_eq!((shown(&table, 0), table.is_sent(0)), (None, false));
        assert_eq!(shown(&table, 1).unwrap(), "__name__=up,copy=up");
    }

    #[test]
    fn a_series_without_labels_is_not_sent() {
        let mut table = table("  write_relabel_configs:\n  - {regex: .*, action: labeldrop}\n");
        table.learn(0, &[("__name__", "up")]);
        assert!(!table.is_sent(0));
    }

    #[test]
    fn metadata_is_found_under_the_name_of_the_family() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = MetricStore::open(&StoreOptions::new(dir.path())).unwrap();
        let metadata = MetricMetadata {
            kind: MetricType::Histogram,
            help: "Time.".to_owned(),
            unit: String::new(),
        };
        let mut appender = store.appender();
        appender.set_metadata("latency", &metadata);
        appender.commit().unwrap();
        let mut table = table("");
        table.learn(0, &[("__name__", "latency_bucket"), ("le", "1")]);
        table.learn(1, &[("__name__", "other")]);
        let found = table.described(0, &store).unwrap();
        assert_eq!(found.kind, MetricType::Histogram);
        assert_eq!(table.texts.text(found.help), "Time.");
        assert_eq!(table.described(1, &store), None);
    }
}
