//! Native histograms out of the lines of classic ones.
//!
//! The text formats write a classic histogram as one line a bucket, one for the count and
//! one for the sum. A [`Collator`] stands between a parser and its reader: it takes these
//! lines out (or hands them on as well), puts them together, and hands out the histogram
//! once the lines are over: when the name or the labels change, when metadata or a comment
//! follows, or at the end.
//!
//! Only lines of a family whose TYPE line says histogram count, and only right behind one
//! another. What cannot be converted is left out without a word, as in Prometheus.

use super::classic::ClassicHistogram;
use super::error::ExpositionError;
use super::labels::{LabelPairs, Pair};
use super::series::{ClassicSeries, Form, Series};
use super::{Entry, Exemplar, HistogramSample, Lines, MetricType, ParserOptions, Sample};
use kymo_storage::compat::float;
use kymo_storage::model::METRIC_NAME;
use kymo_storage::model::histogram::CounterResetHint;

type Next<'a> = Option<Result<Entry<'a>, ExpositionError>>;

/// A parser of lines that puts classic histograms together.
#[derive(Debug)]
pub(super) struct Collator<'a> {
    lines: Lines<'a>,
    keep_classic: bool,
    start_times: bool,
    /// Name and type of the last TYPE line.
    family: (&'a [u8], MetricType),
    state: State,
    /// What was read when the histogram in front of it was over.
    held: Option<Next<'a>>,
    collected: Collected<'a>,
    /// When the series of the histogram handed out last began.
    emitted_start_ms: Option<i64>,
    /// Labels of the line just read.
    labels: Labels<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between histograms.
    Outside,
    /// Lines of a histogram have come.
    Collecting,
    /// A histogram was handed out, and what came after it is held.
    Emitting,
}

/// A histogram so far.
#[derive(Debug, Default)]
struct Collected<'a> {
    histogram: ClassicHistogram,
    series: Option<Series<'a>>,
    labels: Labels<'a>,
    /// The time of the line read last.
    timestamp_ms: Option<i64>,
    exemplars: Vec<Exemplar<'a>>,
    start_ms: Option<i64>,
}

/// Name of a line without its suffix, and its labels but for the bound, sorted.
#[derive(Debug, Default, Clone, PartialEq)]
struct Labels<'a> {
    base_name: Vec<u8>,
    suffix: Suffix,
    bound: Option<Vec<u8>>,
    others: Vec<Pair<'a>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Suffix {
    #[default]
    None,
    Bucket,
    Sum,
    Count,
}

impl<'a> Collator<'a> {
    pub(super) fn new(lines: Lines<'a>, options: ParserOptions) -> Collator<'a> {
        Collator {
            lines,
            keep_classic: options.keep_classic_histograms,
            start_times: options.skip_created_series,
            family: (&[], MetricType::Unknown),
            state: State::Outside,
            held: None,
            collected: Collected::default(),
            emitted_start_ms: None,
            labels: Labels::default(),
        }
    }

    /// See [`super::Parser::start_timestamp_ms`].
    pub(super) fn start_timestamp_ms(&mut self) -> Option<i64> {
        match self.state {
            State::Outside => self.lines.start_timestamp_ms(),
            State::Collecting => self.collected.start_ms,
            State::Emitting => self.emitted_start_ms,
        }
    }

    pub(super) fn next_entry(&mut self) -> Next<'a> {
        loop {
            let (entry, was_held) = match self.held.take() {
                Some(entry) => {
                    self.state = State::Outside;
                    (entry, true)
                }
                None => (self.lines.next_entry(), false),
            };
            let mut sample = match entry {
                Some(Ok(Entry::Sample(sample))) => sample,
                // A body that breaks is thrown away whole.
                Some(Err(error)) => return Some(Err(error)),
                other => {
                    if let Some(Ok(Entry::Type { name, kind })) = &other {
                        self.family = (name, *kind);
                    }
                    return match self.finish() {
                        Some(histogram) => self.emit(histogram, other),
                        None => other,
                    };
                }
            };
            if !was_held {
                self.read_labels(&sample.series);
                if self.state == State::Collecting
                    && self.is_another()
                    && let Some(histogram) = self.finish()
                {
                    return self.emit(histogram, Some(Ok(Entry::Sample(sample))));
                }
            }
            let taken = self.take(&mut sample);
            if !taken || self.keep_classic {
                return Some(Ok(Entry::Sample(sample)));
            }
        }
    }

    fn emit(&mut self, histogram: HistogramSample<'a>, held: Next<'a>) -> Next<'a> {
        self.state = State::Emitting;
        self.held = Some(held);
        Some(Ok(Entry::Histogram(Box::new(histogram))))
    }

    /// Reads the labels of a line, if it can be one of a histogram.
    fn read_labels(&mut self, series: &Series<'a>) {
        let labels = &mut self.labels;
        labels.base_name.clear();
        labels.suffix = Suffix::None;
        labels.bound = None;
        labels.others.clear();
        if self.family.1 != MetricType::Histogram {
            return;
        }
        let Form::Line(line) = series.form else {
            return;
        };
        // The labels of a line live as long as the body, and the line is only borrowed.
        let pairs = LabelPairs::of_line(line, series.family);
        let mut name = None;
        for (label, value) in pairs {
            if label == METRIC_NAME.as_bytes() {
                name.get_or_insert(value);
            } else if label == b"le".as_slice() {
                labels.bound.get_or_insert_with(|| value.into_owned());
            } else {
                labels.others.push((label, value));
            }
        }
        labels.others.sort();
        let name = name.unwrap_or_default();
        let (stem, suffix) = split_suffix(&name);
        labels.base_name.extend_from_slice(stem);
        labels.suffix = suffix;
    }

    /// Tells whether the line just read is not one of the histogram so far.
    fn is_another(&self) -> bool {
        self.family.1 != MetricType::Histogram
            || self.labels.base_name != self.collected.labels.base_name
            || self.labels.others != self.collected.labels.others
    }

    /// Takes in the line just read, and tells whether it is one of a histogram.
    fn take(&mut self, sample: &mut Sample<'a>) -> bool {
        let (family_name, kind) = self.family;
        if kind != MetricType::Histogram || self.labels.base_name != family_name {
            return false;
        }
        let bound = match self.labels.suffix {
            Suffix::None => return false,
            Suffix::Sum | Suffix::Count => 0.0,
            Suffix::Bucket => match self.labels.bound.as_deref().map(read_bound) {
                Some(Some(bound)) => bound,
                _ => return false,
            },
        };
        if self.state != State::Collecting {
            self.state = State::Collecting;
            self.collected.labels.clone_from(&self.labels);
            self.collected.series = Some(Series {
                form: Form::Classic(Box::new(ClassicSeries {
                    name: self.labels.base_name.clone(),
                    labels: self.labels.others.clone(),
                })),
                family: sample.series.family,
            });
            self.collected.start_ms = match self.start_times {
                true => self.lines.start_timestamp_ms(),
                false => None,
            };
        }
        let collected = &mut self.collected;
        collected.exemplars.extend(sample.exemplar.take());
        collected.timestamp_ms = sample.timestamp_ms;
        // What is wrong comes out when the histogram is asked for.
        let _ = match self.labels.suffix {
            Suffix::Bucket => collected.histogram.set_bucket(bound, sample.value),
            Suffix::Sum => collected.histogram.set_sum(sample.value),
            _ => collected.histogram.set_count(sample.value),
        };
        true
    }

    /// Ends the histogram so far, and returns it if it is one.
    fn finish(&mut self) -> Option<HistogramSample<'a>> {
        if self.state != State::Collecting {
            return None;
        }
        let converted = self.collected.histogram.convert(CounterResetHint::Unknown);
        if let Ok(histogram) = &converted
            && histogram.clone().check().is_err()
        {
            // As in Prometheus: the lines that follow are put on top of it, in vain.
            return None;
        }
        self.state = State::Outside;
        self.collected.histogram.clear();
        let exemplars = std::mem::take(&mut self.collected.exemplars);
        self.emitted_start_ms = self.collected.start_ms.take();
        Some(HistogramSample {
            series: self.collected.series.take()?,
            histogram: converted.ok()?,
            timestamp_ms: self.collected.timestamp_ms,
            exemplars,
        })
    }
}

/// Splits the name of a line into that of its histogram and what the line is of it.
fn split_suffix(name: &[u8]) -> (&[u8], Suffix) {
    for (suffix, kind) in [
        (&b"_bucket"[..], Suffix::Bucket),
        (b"_sum", Suffix::Sum),
        (b"_count", Suffix::Count),
    ] {
        if let Some(stem) = name.strip_suffix(suffix) {
            return (stem, kind);
        }
    }
    (name, Suffix::None)
}

fn read_bound(text: &[u8]) -> Option<f64> {
    let bound = float::parse(std::str::from_utf8(text).ok()?).ok()?;
    (!bound.is_nan()).then_some(bound)
}
