//! Names behind `--enable-feature`: those of Prometheus 3.14 and of its past, and what
//! becomes of each.

use kymo_query::promql::Features;

/// What becomes of a feature that is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is switched on.
    Works,
    /// What it does is done anyway.
    Always,
    /// It changes nothing here, for this reason.
    Nothing(&'static str),
    /// What it does is not there.
    Absent(&'static str),
}

use Fate::{Absent, Always, Nothing, Works};

/// All names, sorted.
#[rustfmt::skip]
const FEATURES: [(&str, Fate); 39] = [
    ("agent", Absent("there is no agent mode; a server with remote_write does its work")),
    ("auto-gomaxprocs", Nothing("there are as many threads as cores that the process may use")),
    ("auto-gomemlimit", Nothing("memory is bounded by --memory.limit")),
    ("auto-reload-config", Absent("use --config.auto-reload")),
    (CONCURRENT_RULES, Works),
    (START_ZEROS, Works),
    ("delayed-compaction", Nothing("blocks are merged one at a time, beside queries")),
    (EXEMPLARS, Works),
    ("expand-external-labels", Always),
    ("extra-scrape-metrics", Absent("set extra_scrape_metrics in the configuration")),
    ("fast-startup", Nothing("a start reads a snapshot and the log behind it")),
    ("histograms-st-encoding", Nothing("data on disk has a form of its own")),
    ("memory-snapshot-on-shutdown", Always),
    ("metadata-wal-records", Always),
    ("native-histograms", Always),
    ("new-service-discovery-manager", Always),
    ("no-default-scrape-port", Always),
    ("old-ui", Absent("there is no web interface")),
    ("ooo-native-histograms", Always),
    ("otlp-deltatocumulative", Absent("sums of deltas are not made; otlp-native-delta-ingestion stores deltas as they are")),
    (NATIVE_DELTAS, Works),
    ("otlp-write-receiver", Absent("use --web.enable-otlp-receiver")),
    ("promql-at-modifier", Always),
    (BINOP_FILL_MODIFIERS, Works),
    (DELAYED_NAME_REMOVAL, Works),
    ("promql-duration-expr", Always),
    (EXPERIMENTAL_FUNCTIONS, Works),
    (EXTENDED_RANGE_SELECTORS, Works),
    ("promql-negative-offset", Always),
    (PER_STEP_STATS, Works),
    ("remote-write-receiver", Always),
    (SEARCH, Works),
    ("st-storage", Absent("times since when counters count are not stored")),
    ("st-synthesis", Absent("times since when counters count are not stored")),
    (TYPE_AND_UNIT_LABELS, Works),
    ("use-start-timestamps", Absent("times since when counters count are not stored")),
    ("use-uncached-io", Nothing("the page cache is left to the system")),
    ("utf8-names", Always),
    ("xor2-encoding", Nothing("data on disk has a form of its own")),
];

const EXPERIMENTAL_FUNCTIONS: &str = "promql-experimental-functions";
const EXTENDED_RANGE_SELECTORS: &str = "promql-extended-range-selectors";
const BINOP_FILL_MODIFIERS: &str = "promql-binop-fill-modifiers";

/// Keeps the names of metrics until the end of a query.
pub(crate) const DELAYED_NAME_REMOVAL: &str = "promql-delayed-name-removal";

/// Counts samples by step where a client asks for all statistics.
pub(super) const PER_STEP_STATS: &str = "promql-per-step-stats";

/// Has the calls that search names and values.
const SEARCH: &str = "search-api";

/// Evaluates independent rules of a group at the same time.
pub(super) const CONCURRENT_RULES: &str = "concurrent-rule-eval";

/// Begins series with a zero at the time since when they count.
pub(super) const START_ZEROS: &str = "created-timestamp-zero-ingestion";

/// Stores delta values of OTLP as they are.
pub(super) const NATIVE_DELTAS: &str = "otlp-native-delta-ingestion";

/// Makes labels of the type and the unit of a metric.
pub(super) const TYPE_AND_UNIT_LABELS: &str = "type-and-unit-labels";

/// Keeps exemplars.
pub(super) const EXEMPLARS: &str = "exemplar-storage";

/// Tells whether a feature was switched on.
pub(crate) fn has(switched_on: &[String], name: &str) -> bool {
    switched_on.iter().any(|feature| feature == name)
}

/// Returns what becomes of a feature; `None` where nobody knows it.
pub(crate) fn fate(name: &str) -> Option<Fate> {
    let at = FEATURES.binary_search_by(|(known, _)| (*known).cmp(name));
    at.ok()
        .and_then(|at| FEATURES.get(at))
        .map(|(_, fate)| *fate)
}

/// Returns the known name that is most like an unknown one, where one is.
pub(crate) fn closest(name: &str) -> Option<&'static str> {
    let known = FEATURES.iter().map(|(known, _)| *known);
    let (distance, closest) = known.map(|known| (edits(name, known), known)).min()?;
    (distance <= 1 + name.len() / 4).then_some(closest)
}

/// Counts the characters to insert, remove or replace that make one text of another.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

/// Returns the optional parts of PromQL among the features that were switched on.
pub(crate) fn promql_features(switched_on: &[String]) -> Features {
    let on = |name| has(switched_on, name);
    let mut features = Features::default();
    features.experimental_functions |= on(EXPERIMENTAL_FUNCTIONS);
    features.extended_range_selectors |= on(EXTENDED_RANGE_SELECTORS);
    features.binop_fill_modifiers |= on(BINOP_FILL_MODIFIERS);
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_typos_find_theirs() {
        assert!(FEATURES.is_sorted_by_key(|(name, _)| *name));
        assert_eq!(fate(EXEMPLARS), Some(Works));
        assert_eq!(fate("exemplar-storages"), None);
        assert_eq!(closest("exemplar-storages"), Some(EXEMPLARS));
        assert_eq!(closest("promql-per-steps-stat"), Some(PER_STEP_STATS));
        assert_eq!(closest("native-histogram"), Some("native-histograms"));
        assert_eq!(closest("zzz"), None);
        assert_eq!(closest(""), None);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
