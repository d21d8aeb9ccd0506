//! Counts what labels series have, and how much of the time they cover.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, bail};
use kymo_storage::compat::duration;
use kymo_storage::metrics::MetricStore;
use kymo_storage::model::{Labels, METRIC_NAME, Matcher, TimeRange};

/// What stands for the head in the place of a block's name.
const HEAD: &str = "head";

/// Analyses the block of a name, or the head; without a name the newest block.
pub(super) fn analyze(
    store: &MetricStore,
    name: Option<&str>,
    matchers: &[Matcher],
    limit: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let blocks = store.blocks();
    let block = match name {
        Some(HEAD) => None,
        Some(name) => {
            let named = blocks.iter().find(|block| block.ulid == name);
            Some(named.with_context(|| format!("invalid block ID {name}"))?)
        }
        None => blocks.iter().max_by_key(|block| block.max_t_ms),
    };
    let (name, range) = match block {
        Some(block) => {
            let range = TimeRange::new(block.min_t_ms, block.max_t_ms - 1);
            (block.ulid.as_str(), range)
        }
        None => (HEAD, head_range(store)?),
    };
    let analysis = Analysis::of(store, matchers, range)?;
    writeln!(out, "Block ID: {name}")?;
    analysis.write(limit, out)?;
    Ok(())
}

fn head_range(store: &MetricStore) -> anyhow::Result<TimeRange> {
    let stats = store.stats();
    match (stats.min_time_ms, stats.max_time_ms) {
        (Some(min_ms), Some(max_ms)) => Ok(TimeRange::new(min_ms, max_ms)),
        _ => bail!("there are no samples in the head"),
    }
}

/// What the series of a time range have in common.
#[derive(Debug)]
struct Analysis {
    /// Milliseconds of the whole range.
    span_ms: u64,
    series: u64,
    /// By name and value.
    pairs: BTreeMap<(String, String), PairCounts>,
}

#[derive(Debug, Default, Clone, Copy)]
struct PairCounts {
    series: u64,
    /// Milliseconds of the range in which series of the pair have no samples.
    uncovered_ms: u64,
}

impl Analysis {
    fn of(store: &MetricStore, matchers: &[Matcher], range: TimeRange) -> anyhow::Result<Analysis> {
        let mut analysis = Analysis {
            // The end of a block belongs to the next one.
            span_ms: range.end_ms.abs_diff(range.start_ms).saturating_add(1),
            series: 0,
            pairs: BTreeMap::new(),
        };
        let selection = store.select(matchers, range)?;
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for index in 0..selection.len() {
            selection.read(index, &mut times, &mut values)?;
            if let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) {
                analysis.add(&selection.labels(index), last_ms.abs_diff(*first_ms));
            }
        }
        Ok(analysis)
    }

    fn add(&mut self, labels: &Labels, covered_ms: u64) {
        self.series += 1;
        for (name, value) in labels {
            let key = (name.to_owned(), value.to_owned());
            let counts = self.pairs.entry(key).or_default();
            counts.series += 1;
            counts.uncovered_ms += self.span_ms.saturating_sub(covered_ms);
        }
    }

    /// Adds up something of each pair by name.
    fn by_name(&self, of: impl Fn(&str, &PairCounts) -> u64) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for ((name, value), counts) in &self.pairs {
            *sums.entry(name.as_str()).or_default() += of(value, counts);
        }
        sums
    }

    fn write(&self, limit: usize, out: &mut dyn Write) -> io::Result<()> {
        let span_ns = i64::try_from(self.span_ms).unwrap_or(i64::MAX);
        let duration = duration::format_go(span_ns.saturating_mul(1_000_000));
        let entries: u64 = self.pairs.values().map(|counts| counts.series).sum();
        let names = self.by_name(|_, _| 1);
        writeln!(out, "Duration: {duration}")?;
        writeln!(out, "Total Series: {}", self.series)?;
        writeln!(out, "Label names: {}", names.len())?;
        writeln!(out, "Postings (unique label pairs): {}", self.pairs.len())?;
        writeln!(out, "Postings entries (total label pairs): {entries}")?;

        let pairs = |of: fn(&PairCounts) -> u64| {
            let pairs = self.pairs.iter();
            let counted =
                pairs.map(|((name, value), counts)| (format!("{name}={value}"), of(counts)));
            counted.collect::<Vec<_>>()
        };
        let owned = |counts: BTreeMap<&str, u64>| {
            let counts = counts.into_iter();
            counts.map(|(name, n)| (name.to_owned(), n)).collect()
        };
        let times = |uncovered_ms: u64| (uncovered_ms as f64 / self.span_ms as f64) as u64;
        let churning = pairs(|counts| counts.uncovered_ms);
        let churning = churning.into_iter().map(|(pair, ms)| (pair, times(ms)));
        let churning_names = self.by_name(|_, counts| counts.uncovered_ms);
        let churning_names = churning_names
            .into_iter()
            .map(|(name, ms)| (name.to_owned(), times(ms)));
        let metrics = self
            .pairs
            .iter()
            .filter(|((name, _), _)| name == METRIC_NAME);
        let metrics = metrics.map(|((_, value), counts)| (value.clone(), counts.series));
        for (title, counts) in [
            ("Label pairs most involved in churning", churning.collect()),
            (
                "Label names most involved in churning",
                churning_names.collect(),
            ),
            ("Most common label pairs", pairs(|counts| counts.series)),
            (
                "Label names with highest cumulative label value length",
                owned(self.by_name(|value, _| value.len() as u64)),
            ),
            ("Highest cardinality labels", owned(names)),
            ("Highest cardinality metric names", metrics.collect()),
        ] {
            write_list(title, counts, limit, out)?;
        }
        Ok(())
    }
}

/// Writes the largest entries; equal ones in order of their texts.
fn write_list(
    title: &str,
    mut counts: Vec<(String, u64)>,
    limit: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    writeln!(out, "\n{title}:")?;
    for (text, count) in counts.iter().take(limit) {
        writeln!(out, "{count} {text}")?;
    }
    Ok(())
}
