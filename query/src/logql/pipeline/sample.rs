//! From entries to samples: a number, and the series that it is of.
//!
//! Upstream source: `pkg/logql/log/metrics_extraction.go` of Loki.

use std::sync::Arc;

use hashbrown::HashMap;
use kymo_storage::compat::{duration, float};
use kymo_storage::model::Labels;

use super::entry_labels::EntryLabels;
use super::hints::Wanted;
use super::label_filter::LabelFilter;
use super::names::NameId;
use super::{Pipeline, Purpose, order};
use crate::logql::LogQlError;
use crate::logql::ast::{Conversion, Grouping, RangeExpr, RangeOp};
use crate::logql::label_set::LabelSet;
use crate::logql::source::{EntryRef, LineNeedles};
use crate::template::logs::parse_size;

/// What a label is called that is no number.
const ERROR_KIND: &str = "SampleExtractionErr";

/// Number of a series among those of an [`Extractor`].
pub(crate) type SeriesId = u32;

/// What the labels of a series are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Grouped {
    /// All labels of the entry.
    All,
    /// None.
    None,
    /// Those of the entry that are among these.
    By(Vec<NameId>),
    /// Those of the entry that are not.
    Without(Vec<NameId>),
}

/// What of an entry is the number.
#[derive(Debug, Clone)]
enum Number {
    One,
    LineBytes,
    Label(NameId, Conversion),
}

/// Turns entries into samples of series.
#[derive(Debug, Clone)]
pub(crate) struct Extractor {
    pipeline: Pipeline,
    grouped: Grouped,
    number: Number,
    /// Conditions behind `unwrap`.
    after: Vec<Arc<LabelFilter>>,
    series: Vec<LabelSet>,
    by_set: HashMap<LabelSet, SeriesId>,
    /// Series by labels as numbers and bytes, as long as the numbers mean something.
    by_key: HashMap<Box<[u8]>, SeriesId>,
    epoch: u32,
    key: Vec<u8>,
    /// Series of streams whose entries have no other labels.
    of_stream: Vec<Option<SeriesId>>,
}

impl Extractor {
    /// Compiles a function's query. A grouping from outside stands in for the function's own.
    pub(crate) fn new(
        range: &RangeExpr,
        outer: Option<&Grouping>,
        now_ns: i64,
    ) -> Result<Extractor, LogQlError> {
        let grouping = outer.or(range.grouping.as_ref());
        let stages = order::needed(&range.log.stages, range.op);
        let is_single = grouping.is_some_and(|g| !g.without && g.labels.is_empty());
        let wanted = match grouping {
            _ if is_single || range.op == RangeOp::Absent => Wanted::None,
            Some(Grouping {
                without: false,
                labels,
            }) => Wanted::These(labels),
            _ => Wanted::All,
        };
        let purpose = Purpose {
            wanted,
            unwrap: range.unwrap.as_ref().map(|unwrap| unwrap.label.as_str()),
            after: range.unwrap.as_ref().map_or(&[], |unwrap| &unwrap.filters),
        };
        let (mut pipeline, after) = Pipeline::compile(&stages, &purpose)?;
        pipeline.now_ns = now_ns;
        let names = &mut pipeline.labels.names;
        let unwrapped = range.unwrap.as_ref().map(|unwrap| names.fix(&unwrap.label));
        let mut fix = |labels: &[String]| labels.iter().map(|l| names.fix(l)).collect();
        let grouped = match (wanted, grouping) {
            (Wanted::None, _) => Grouped::None,
            (Wanted::These(labels), _) => Grouped::By(fix(labels)),
            (Wanted::All, grouping) => {
                // The label that became a number is no label of its series.
                let mut without: Vec<NameId> = grouping.map_or(Vec::new(), |g| fix(&g.labels));
                without.extend(unwrapped);
                match without.is_empty() {
                    true => Grouped::All,
                    false => Grouped::Without(without),
                }
            }
        };
        let number = match (&range.unwrap, unwrapped) {
            (Some(unwrap), Some(label)) => Number::Label(label, unwrap.conversion),
            _ if matches!(range.op, RangeOp::Bytes | RangeOp::BytesRate) => Number::LineBytes,
            _ => Number::One,
        };
        Ok(Extractor {
            pipeline,
            grouped,
            number,
            after,
            series: Vec::new(),
            by_set: HashMap::new(),
            by_key: HashMap::new(),
            epoch: 0,
            key: Vec::new(),
            of_stream: Vec::new(),
        })
    }

    /// Returns the series, by number.
    pub(crate) fn series(&self) -> &[LabelSet] {
        &self.series
    }

    /// Returns the stages.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Returns the names of all labels that are looked at; `None` where that may be any.
    pub(crate) fn wanted_names(&self) -> Option<Vec<String>> {
        self.pipeline.hints.wanted_names().map(<[String]>::to_vec)
    }

    /// Returns the labels that series are told apart by, where these are named.
    pub(crate) fn grouping(&self) -> Vec<String> {
        let names = &self.pipeline.labels.names;
        match &self.grouped {
            Grouped::By(by) => by.iter().map(|id| names.text(*id).to_owned()).collect(),
            Grouped::All | Grouped::None | Grouped::Without(_) => Vec::new(),
        }
    }

    /// Tells whether the last sample has an error.
    pub(crate) fn has_error(&self) -> bool {
        !self.pipeline.labels.error().is_empty()
    }

    /// Tells whether the number of an entry is a label of it.
    pub(crate) fn unwraps(&self) -> bool {
        matches!(self.number, Number::Label(..))
    }

    /// Tells whether the number of an entry is how long its line is.
    pub(crate) fn counts_bytes(&self) -> bool {
        matches!(self.number, Number::LineBytes)
    }

    /// Returns what lines contain at least that count.
    pub(crate) fn needles(&self) -> Vec<LineNeedles> {
        self.pipeline.needles()
    }

    /// Tells whether lines are looked at.
    pub(crate) fn reads_lines(&self) -> bool {
        self.pipeline.reads_lines() || matches!(self.number, Number::LineBytes)
    }

    /// Returns the sample of an entry, `None` where it has none.
    pub(crate) fn sample(
        &mut self,
        stream: &Labels,
        entry: &EntryRef<'_>,
    ) -> Option<(SeriesId, f64)> {
        let at = entry.stream as usize;
        let line = self
            .pipeline
            .run(at, stream, entry.t_ns, entry.line, entry.metadata)?;
        let len = line.len();
        let labels = &mut self.pipeline.labels;
        let value = match &self.number {
            Number::One => 1.0,
            Number::LineBytes => len as f64,
            Number::Label(name, conversion) => {
                let text = labels.get(*name).filter(|text| !text.is_empty())?;
                match convert(&String::from_utf8_lossy(text), *conversion) {
                    Ok(value) => value,
                    Err(details) => {
                        labels.set_error(ERROR_KIND, Some(&details));
                        0.0
                    }
                }
            }
        };
        if !keeps_all(&self.after, labels) {
            return None;
        }
        Some((self.series_of_entry(at), value))
    }

    /// Returns the series of the entry that has run through the pipeline.
    fn series_of_entry(&mut self, stream: usize) -> SeriesId {
        let labels = &self.pipeline.labels;
        if labels.epoch() != self.epoch {
            self.epoch = labels.epoch();
            self.by_key.clear();
        }
        let has_error = !labels.error().is_empty();
        let is_plain = !has_error && (labels.is_unchanged() || self.grouped == Grouped::None);
        if is_plain && let Some(Some(series)) = self.of_stream.get(stream) {
            return *series;
        }
        // An error must not get lost in a group.
        let all = has_error || self.grouped == Grouped::All;
        let mut chosen: Vec<(NameId, &[u8])> = match &self.grouped {
            _ if all => {
                let all = labels.iter().map(|(name, _, value)| (name, value));
                all.chain(labels.errors()).collect()
            }
            Grouped::All | Grouped::None => Vec::new(),
            Grouped::By(names) => by(labels, names),
            Grouped::Without(names) => {
                let all = labels.iter().map(|(name, _, value)| (name, value));
                all.filter(|(name, _)| !names.contains(name)).collect()
            }
        };
        chosen.sort_unstable_by_key(|(name, _)| *name);
        let key = &mut self.key;
        key.clear();
        for (name, value) in &chosen {
            key.extend_from_slice(&name.to_le_bytes());
            key.extend_from_slice(&(value.len() as u64).to_le_bytes());
            key.extend_from_slice(value);
        }
        let series = match self.by_key.get(key.as_slice()) {
            Some(series) => *series,
            None => {
                let set = labels.to_set(&chosen);
                let next = self.series.len() as SeriesId;
                let series = *self.by_set.entry(set.clone()).or_insert_with(|| {
                    self.series.push(set);
                    next
                });
                self.by_key.insert(key.as_slice().into(), series);
                series
            }
        };
        if is_plain {
            if self.of_stream.len() <= stream {
                self.of_stream.resize(stream + 1, None);
            }
            self.of_stream[stream] = Some(series);
        }
        series
    }
}

fn by<'a>(labels: &'a EntryLabels, names: &[NameId]) -> Vec<(NameId, &'a [u8])> {
    let mut chosen: Vec<(NameId, &[u8])> = Vec::with_capacity(names.len());
    for name in names {
        let is_new = chosen.iter().all(|(known, _)| known != name);
        if !labels.is_deleted(*name)
            && is_new
            && let Some(value) = labels.get(*name)
        {
            chosen.push((*name, value));
        }
    }
    chosen
}

fn keeps_all(filters: &[Arc<LabelFilter>], labels: &mut EntryLabels) -> bool {
    let mut keeps = true;
    for filter in filters {
        // All are looked at, as those of one condition are: each may leave its error.
        keeps &= filter.keeps(labels);
    }
    keeps
}

/// Reads a number.
fn convert(text: &str, conversion: Conversion) -> Result<f64, String> {
    match conversion {
        Conversion::Number => float::parse(text).map_err(|error| error.to_string()),
        Conversion::Duration { .. } => {
            let ns = duration::parse_go(text).map_err(|error| error.to_string())?;
            let (seconds, rest) = (ns / 1_000_000_000, ns % 1_000_000_000);
            Ok(seconds as f64 + rest as f64 / 1e9)
        }
        Conversion::Bytes => parse_size(text).map(|size| size as f64),
    }
}
