//! Label sets, and the series lines of unit tests.

use std::sync::Arc;

use kymo_storage::compat::quote::quote;
use kymo_storage::model::histogram::{Buckets, CounterResetHint, FloatHistogram};
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME, stale_marker};

use super::{TreeBuilder, Value, take, take_number, token};
use crate::histogram::{add, subtract};
use crate::promql::ast::Span;
use crate::promql::grammar::{Meaning, Symbol};
use crate::promql::series::{
    MAX_CHANGED_HISTOGRAMS, MAX_SERIES_VALUES, SeriesHistogram, SeriesValue,
};
use crate::promql::token::histogram_key_text;

/// What a key of a histogram description says.
pub(crate) enum HistogramPart {
    Integer(i64),
    Number(f64),
    Numbers(Vec<f64>),
    Hint(CounterResetHint),
}

impl TreeBuilder<'_> {
    pub(super) fn apply_to_series(&mut self, meaning: Meaning, args: &mut [Value]) -> Value {
        use Meaning::*;
        match meaning {
            NamedMetric => {
                let name = self.text(token(args, 0));
                let mut labels = LabelsBuilder::from_labels(&take_labels(args, 1));
                labels.set(METRIC_NAME, &name);
                Value::Labels(labels.labels())
            }
            LabelsInBraces => Value::Labels(Labels::from_pairs(take_pairs(args, 1))),
            NoLabels => Value::Labels(Labels::empty()),
            FirstLabelPair => Value::Pairs(take_pair(args, 0).into_iter().collect()),
            NextLabelPair => {
                let mut pairs = take_pairs(args, 0);
                pairs.extend(take_pair(args, 2));
                Value::Pairs(pairs)
            }
            LabelPair => {
                let (label, text) = (token(args, 0), token(args, 2));
                let name = match take(args, 0) {
                    Value::Name(name, _) => name,
                    _ => self.text(label),
                };
                Value::Pair(name, self.unquoted(text))
            }
            NameLabelPair => match take(args, 0) {
                Value::Name(name, _) => Value::Pair(METRIC_NAME.to_owned(), name),
                _ => Value::Empty,
            },
            SeriesDescription => Value::Series(take_labels(args, 0), take_values(args, 1)),
            NoValues => Value::SeriesValues(Vec::new()),
            MoreValues => {
                let mut values = take_values(args, 0);
                let more = take_values(args, 2);
                if self.fits(values.len(), more.len() as u64) {
                    values.extend(more);
                }
                Value::SeriesValues(values)
            }
            Gap => Value::SeriesValues(vec![SeriesValue::Gap]),
            Gaps => {
                let n = take_count(args, 2);
                Value::SeriesValues(self.repeated(n, |_| SeriesValue::Gap))
            }
            OneValue => {
                let value = take_number(args, 0);
                Value::SeriesValues(vec![SeriesValue::Float(value)])
            }
            // One value more than written: the first one stands at time zero.
            RepeatedValue => {
                let value = take_number(args, 0);
                let n = take_count(args, 2).saturating_add(1);
                Value::SeriesValues(self.repeated(n, |_| SeriesValue::Float(value)))
            }
            RisingValues => {
                let (mut value, change) = (take_number(args, 0), take_number(args, 1));
                let n = take_count(args, 3).saturating_add(1);
                // Added up, not multiplied: the rounding shows.
                let next = |_| {
                    let this = value;
                    value += change;
                    SeriesValue::Float(this)
                };
                Value::SeriesValues(self.repeated(n, next))
            }
            StaleValue => {
                if self.text(token(args, 0)) != "stale" {
                    self.unexpected("series values", "number or \"stale\"");
                }
                Value::Number(stale_marker())
            }
            _ => self.apply_to_histogram(meaning, args),
        }
    }

    fn apply_to_histogram(&mut self, meaning: Meaning, args: &mut [Value]) -> Value {
        use Meaning::*;
        match meaning {
            OneHistogram => self.histograms(&take_histogram(args, 0), 1),
            RepeatedHistogram => {
                let n = take_count(args, 2).saturating_add(1);
                self.histograms(&take_histogram(args, 0), n)
            }
            RisingHistograms | FallingHistograms => {
                let (start, change) = (take_histogram(args, 0), take_histogram(args, 2));
                let is_falling = meaning == FallingHistograms;
                self.changed_histograms(start, &change, is_falling, take_count(args, 4))
            }
            Histogram => Value::Histogram(described(take_parts(args, 1))),
            EmptyHistogram => Value::Histogram(WrittenHistogram::default()),
            MergeDescriptors => {
                let mut parts = take_parts(args, 0);
                for (key, part) in take_parts(args, 2) {
                    if parts.iter().any(|(known, _)| *known == key) {
                        let key = histogram_key_text(key);
                        let message = format!("duplicate key {} in histogram", quote(key));
                        self.error(Span::default(), message);
                    } else {
                        parts.push((key, part));
                    }
                }
                Value::HistogramParts(parts)
            }
            HistogramPart => {
                let key = token(args, 0).symbol;
                let part = match take(args, 2) {
                    Value::Integer(integer) => self::HistogramPart::Integer(integer),
                    Value::Number(number) => self::HistogramPart::Number(number),
                    Value::Buckets(buckets) => self::HistogramPart::Numbers(buckets),
                    Value::Token(hint) => {
                        self::HistogramPart::Hint(counter_reset_hint(hint.symbol))
                    }
                    _ => return Value::HistogramParts(Vec::new()),
                };
                Value::HistogramParts(vec![(key, part)])
            }
            FirstBucket => Value::Buckets(vec![take_number(args, 0)]),
            _ => {
                let mut buckets = match take(args, 0) {
                    Value::Buckets(buckets) => buckets,
                    _ => Vec::new(),
                };
                buckets.push(take_number(args, 2));
                Value::Buckets(buckets)
            }
        }
    }

    fn histograms(&mut self, written: &WrittenHistogram, n: u64) -> Value {
        let value = SeriesHistogram {
            histogram: Arc::new(written.histogram.clone()),
            hint_set: written.hint_set,
        };
        Value::SeriesValues(self.repeated(n, |_| SeriesValue::Histogram(value.clone())))
    }

    fn changed_histograms(
        &mut self,
        start: WrittenHistogram,
        change: &WrittenHistogram,
        is_falling: bool,
        n: u64,
    ) -> Value {
        if n > MAX_CHANGED_HISTOGRAMS {
            let message =
                format!("too many changed histograms in series, at most {MAX_CHANGED_HISTOGRAMS}");
            self.error(self.last.span, message);
            return Value::SeriesValues(Vec::new());
        }
        let mut value = SeriesHistogram {
            histogram: Arc::new(start.histogram),
            hint_set: change.hint_set,
        };
        let mut values = vec![SeriesValue::Histogram(value.clone())];
        for _ in 0..n {
            let (now, by) = (value.histogram.schema, change.histogram.schema);
            if now > by {
                let message =
                    format!("error combining histograms: cannot merge from schema {by} to {now}");
                self.error(self.last.span, message);
                break;
            }
            let mut next = FloatHistogram::clone(&value.histogram);
            let combined = match is_falling {
                true => subtract(&mut next, &change.histogram),
                false => add(&mut next, &change.histogram),
            };
            if let Err(error) = combined {
                self.error(self.last.span, error.to_string());
                break;
            }
            value.histogram = Arc::new(next);
            values.push(SeriesValue::Histogram(value.clone()));
        }
        Value::SeriesValues(values)
    }

    fn repeated(&mut self, n: u64, value: impl FnMut(u64) -> SeriesValue) -> Vec<SeriesValue> {
        if self.fits(0, n) {
            (0..n).map(value).collect()
        } else {
            Vec::new()
        }
    }

    /// Refuses more values than a test could mean.
    fn fits(&mut self, n_known: usize, n_more: u64) -> bool {
        let fits = n_more <= (MAX_SERIES_VALUES.saturating_sub(n_known)) as u64;
        if !fits {
            let message = format!("too many values in series, at most {MAX_SERIES_VALUES}");
            self.error(self.last.span, message);
        }
        fits
    }
}

/// A histogram as written.
#[derive(Default)]
pub(crate) struct WrittenHistogram {
    histogram: FloatHistogram,
    hint_set: bool,
}

fn described(parts: Vec<(Symbol, HistogramPart)>) -> WrittenHistogram {
    let mut written = WrittenHistogram::default();
    let histogram = &mut written.histogram;
    let mut positive = (0, Vec::new());
    let mut negative = (0, Vec::new());
    for (key, part) in parts {
        match (key, part) {
            (Symbol::SchemaDesc, HistogramPart::Integer(n)) => histogram.schema = n as i32,
            (Symbol::OffsetDesc, HistogramPart::Integer(n)) => positive.0 = n as i32,
            (Symbol::NegativeOffsetDesc, HistogramPart::Integer(n)) => negative.0 = n as i32,
            (Symbol::SumDesc, HistogramPart::Number(n)) => histogram.sum = n,
            (Symbol::CountDesc, HistogramPart::Number(n)) => histogram.count = n,
            (Symbol::ZeroBucketDesc, HistogramPart::Number(n)) => histogram.zero_count = n,
            (Symbol::ZeroBucketWidthDesc, HistogramPart::Number(n)) => {
                histogram.zero_threshold = n;
            }
            (Symbol::CustomValuesDesc, HistogramPart::Numbers(n)) => {
                histogram.custom_bounds = n.into();
            }
            (Symbol::BucketsDesc, HistogramPart::Numbers(n)) => positive.1 = n,
            (Symbol::NegativeBucketsDesc, HistogramPart::Numbers(n)) => negative.1 = n,
            (_, HistogramPart::Hint(hint)) => {
                histogram.counter_reset_hint = hint;
                written.hint_set = true;
            }
            _ => {}
        }
    }
    histogram.positive = from_offset(positive.0, positive.1);
    histogram.negative = from_offset(negative.0, negative.1);
    written
}

/// Makes buckets without a gap. None are kept beyond the last index there is.
fn from_offset(first: i32, mut counts: Vec<f64>) -> Buckets {
    let indexes: Arc<[i32]> = (first..=i32::MAX).take(counts.len()).collect();
    counts.truncate(indexes.len());
    Buckets::from_layout(indexes, counts).unwrap_or_default()
}

fn counter_reset_hint(symbol: Symbol) -> CounterResetHint {
    match symbol {
        Symbol::CounterReset => CounterResetHint::Reset,
        Symbol::NotCounterReset => CounterResetHint::NotReset,
        Symbol::GaugeType => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn take_labels(args: &mut [Value], index: usize) -> Labels {
    match take(args, index) {
        Value::Labels(labels) => labels,
        _ => Labels::empty(),
    }
}

fn take_pair(args: &mut [Value], index: usize) -> Option<(String, String)> {
    match take(args, index) {
        Value::Pair(name, value) => Some((name, value)),
        _ => None,
    }
}

fn take_pairs(args: &mut [Value], index: usize) -> Vec<(String, String)> {
    match take(args, index) {
        Value::Pairs(pairs) => pairs,
        _ => Vec::new(),
    }
}

fn take_values(args: &mut [Value], index: usize) -> Vec<SeriesValue> {
    match take(args, index) {
        Value::SeriesValues(values) => values,
        _ => Vec::new(),
    }
}

fn take_count(args: &mut [Value], index: usize) -> u64 {
    match take(args, index) {
        Value::Count(count) => count,
        _ => 0,
    }
}

fn take_histogram(args: &mut [Value], index: usize) -> WrittenHistogram {
    match take(args, index) {
        Value::Histogram(histogram) => histogram,
        _ => WrittenHistogram::default(),
    }
}

fn take_parts(args: &mut [Value], index: usize) -> Vec<(Symbol, HistogramPart)> {
    match take(args, index) {
        Value::HistogramParts(parts) => parts,
        _ => Vec::new(),
    }
}
