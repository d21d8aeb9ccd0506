//! The protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its
//! length.
//!
//! A metric of a summary or a classic histogram stands for several series. The parser
//! hands them out one by one, as a text would have them: the count, the sum, then each
//! quantile or bucket. A histogram with native buckets is handed out whole where those are
//! wanted, and the classic series behind it where both are.
//!
//! Families are checked as they are reached, metrics as they are reached, so that what
//! stands before a mistake is seen, as in Prometheus. There are two differences, where
//! Prometheus trips over its own state: native histograms and others may stand in one
//! family, and the value of an untyped metric that gives none is 0, not the last one.

use kymo_storage::compat::quote::quote_bytes;
use kymo_storage::model::histogram::CounterResetHint;

use super::classic::ClassicHistogram;
use super::error::ExpositionError;
use super::series::{Form, MetricSeries, Part, Series};
use super::{
    Entry, Escapes, Exemplar, Family, HelpText, HistogramSample, MetricType, ParserOptions, Sample,
};
use crate::wire::Reader;
use crate::wire::histogram::SentHistogram;
use crate::wire::metric_family::{Fields, Metric, MetricFamily};
use crate::wire::metric_histogram::Buckets;

type Result<T> = std::result::Result<T, ExpositionError>;

/// A length of a family takes at most so many bytes.
const MAX_LENGTH_BYTES: usize = 5;

/// Parser of protobuf. See [`super::Parser`].
#[derive(Debug)]
pub(super) struct ProtobufParser<'a> {
    /// What was not read yet.
    rest: &'a [u8],
    options: ParserOptions,
    /// Name and help of the family, which are text.
    name: &'a str,
    help: &'a str,
    family: Family<'a>,
    metrics: Option<Fields<'a>>,
    metric: Metric<'a>,
    /// The metric's buckets that were not handed out yet.
    buckets: Option<Buckets<'a>>,
    step: Step,
    classic: ClassicHistogram,
}

/// What is handed out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The help of the next family.
    Family,
    Unit,
    Type,
    /// The first sample of the metric that was read.
    Metric,
    Count,
    Sum,
    /// The quantile of this number.
    Quantile(usize),
    Bucket,
    /// The native histogram of classic series that were kept.
    Converted,
    /// The next metric.
    NextMetric,
    Done,
}

impl<'a> ProtobufParser<'a> {
    pub(super) fn new(body: &'a [u8], options: ParserOptions) -> ProtobufParser<'a> {
        ProtobufParser {
            rest: body,
            options,
            name: "",
            help: "",
            family: Family {
                as_labels: options.type_and_unit_labels,
                ..Family::default()
            },
            metrics: None,
            metric: Metric::default(),
            buckets: None,
            step: Step::Family,
            classic: ClassicHistogram::default(),
        }
    }

    pub(super) fn next_entry(&mut self) -> Option<Result<Entry<'a>>> {
        let entry = self.read_entry().transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.step = Step::Done;
        }
        entry
    }

    /// See [`super::Parser::start_timestamp_ms`].
    pub(super) fn start_timestamp_ms(&self) -> Option<i64> {
        let start = match self.family.kind {
            MetricType::Counter => self.metric.counter.start,
            MetricType::Summary => self.metric.summary.start,
            MetricType::Histogram | MetricType::GaugeHistogram => self.metric.histogram.start,
            _ => return None,
        };
        Some(start.ms()).filter(|ms| *ms != 0)
    }

    fn read_entry(&mut self) -> Result<Option<Entry<'a>>> {
        let name = self.name.as_bytes();
        loop {
            match self.step {
                Step::Done => return Ok(None),
                Step::Family => {
                    if !self.read_family()? {
                        return Ok(None);
                    }
                    let has_unit = !self.family.unit.is_empty();
                    self.step = if has_unit { Step::Unit } else { Step::Type };
                    return Ok(Some(Entry::Help {
                        name: self.name.as_bytes(),
                        help: HelpText {
                            raw: self.help,
                            escapes: Escapes::None,
                        },
                    }));
                }
                Step::Unit => {
                    self.step = Step::Type;
                    let unit = self.family.unit;
                    return Ok(Some(Entry::Unit { name, unit }));
                }
                Step::Type => {
                    self.step = Step::Metric;
                    let kind = self.family.kind;
                    return Ok(Some(Entry::Type { name, kind }));
                }
                Step::NextMetric => {
                    self.step = match self.read_metric()? {
                        true => Step::Metric,
                        false => Step::Family,
                    };
                }
                Step::Metric => {
                    if let Some(entry) = self.first_of_metric()? {
                        return Ok(Some(entry));
                    }
                }
                _ => {
                    if let Some(entry) = self.part_of_metric()? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    /// Reads the next family that has a metric, and that metric.
    fn read_family(&mut self) -> Result<bool> {
        loop {
            let Some(bytes) = self.take_message()? else {
                return Ok(false);
            };
            let family = MetricFamily::read(bytes)?;
            self.metrics = Some(family.metrics());
            if !self.read_metric()? {
                continue;
            }
            let lossy = String::from_utf8_lossy;
            self.name = match std::str::from_utf8(family.name) {
                Ok(name) if !name.is_empty() => name,
                _ => {
                    let text = format!("invalid metric name: {}", lossy(family.name));
                    return Err(ExpositionError::Content(text));
                }
            };
            let quoted = || quote_bytes(family.name);
            self.help = std::str::from_utf8(family.help).map_err(|_| {
                let help = lossy(family.help);
                ExpositionError::Content(format!("invalid help for metric {}: {help}", quoted()))
            })?;
            self.family.unit = family.unit;
            self.family.kind = match family.kind {
                0 => MetricType::Counter,
                1 => MetricType::Gauge,
                2 => MetricType::Summary,
                3 => MetricType::Unknown,
                4 => MetricType::Histogram,
                5 => MetricType::GaugeHistogram,
                other => {
                    let text = format!("unknown metric type for metric {}: {other}", quoted());
                    return Err(ExpositionError::Content(text));
                }
            };
            return Ok(true);
        }
    }

    /// Takes the bytes of the next family off the body.
    fn take_message(&mut self) -> Result<Option<&'a [u8]>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::new(self.rest);
        let len = match reader.varint() {
            Ok(len) if reader.pos() <= MAX_LENGTH_BYTES => len,
            _ => return Err(ExpositionError::InvalidLength),
        };
        let expected = len + reader.pos() as u64;
        let got = self.rest.len();
        let message = usize::try_from(expected)
            .ok()
            .and_then(|expected| self.rest.split_at_checked(expected));
        let Some((message, rest)) = message else {
            return Err(ExpositionError::Truncated { expected, got });
        };
        self.rest = rest;
        Ok(Some(message.get(reader.pos()..).unwrap_or_default()))
    }

    /// Reads the next metric of the family.
    fn read_metric(&mut self) -> Result<bool> {
        let Some(bytes) = self.metrics.as_mut().and_then(Iterator::next) else {
            return Ok(false);
        };
        self.metric.read(bytes)?;
        self.buckets = None;
        Ok(true)
    }

    /// Begins a metric: returns all of it, or goes on with its parts.
    fn first_of_metric(&mut self) -> Result<Option<Entry<'a>>> {
        let metric = &self.metric;
        let value = match self.family.kind {
            MetricType::Counter => metric.counter.value,
            MetricType::Gauge => metric.gauge,
            MetricType::Summary => {
                self.check_labels()?;
                self.step = Step::Count;
                return Ok(None);
            }
            MetricType::Histogram | MetricType::GaugeHistogram => return self.first_of_histogram(),
            _ => metric.untyped,
        };
        let exemplar = match self.family.kind {
            MetricType::Counter => metric.counter.exemplar,
            _ => None,
        };
        self.check_labels()?;
        self.step = Step::NextMetric;
        let exemplar = exemplar.as_ref().map(Exemplar::of_message);
        Ok(Some(self.sample(Part::Whole, value, exemplar)))
    }

    fn first_of_histogram(&mut self) -> Result<Option<Entry<'a>>> {
        let histogram = &self.metric.histogram;
        if self.options.native_histograms && histogram.is_native() {
            let name = self.name;
            let native = histogram.native(self.hint()).map_err(|mismatch| {
                let name = name.to_owned();
                ExpositionError::Layout { name, mismatch }
            })?;
            let has_classic = histogram.next_bucket(&mut histogram.buckets()).is_some();
            self.check_labels()?;
            self.step = match self.options.keep_classic_histograms && has_classic {
                true => Step::Count,
                false => Step::NextMetric,
            };
            return Ok(Some(self.histogram(native)));
        }
        let convert = self.options.convert_classic_histograms;
        self.step = match convert && !self.options.keep_classic_histograms {
            true => Step::Converted,
            false => Step::Count,
        };
        if self.step == Step::Count {
            self.check_labels()?;
        }
        Ok(None)
    }

    /// Returns the next series of a summary or a classic histogram, or what was made of it.
    fn part_of_metric(&mut self) -> Result<Option<Entry<'a>>> {
        let is_summary = self.family.kind == MetricType::Summary;
        let metric = &self.metric;
        Ok(match self.step {
            Step::Count => {
                self.step = Step::Sum;
                let count = match is_summary {
                    true => metric.summary.count as f64,
                    false => metric.histogram.count(),
                };
                Some(self.sample(Part::Count, count, None))
            }
            Step::Sum if is_summary => {
                self.step = Step::Quantile(0);
                Some(self.sample(Part::Sum, metric.summary.sum, None))
            }
            Step::Sum => {
                self.step = Step::Bucket;
                self.buckets = Some(metric.histogram.buckets());
                Some(self.sample(Part::Sum, metric.histogram.sum, None))
            }
            Step::Quantile(at) => match metric.summary.quantiles.get(at) {
                Some(&(quantile, value)) => {
                    self.step = Step::Quantile(at + 1);
                    Some(self.sample(Part::Quantile(quantile), value, None))
                }
                None => {
                    self.step = Step::NextMetric;
                    None
                }
            },
            Step::Bucket => Some(self.next_bucket()),
            _ => {
                self.step = Step::NextMetric;
                let converted = self.convert()?;
                self.check_labels()?;
                Some(self.histogram(converted))
            }
        })
    }

    /// Returns the next bucket of a classic histogram; the last one is that of all
    /// observations, whether it is there or not.
    fn next_bucket(&mut self) -> Entry<'a> {
        let histogram = &self.metric.histogram;
        let bucket = self
            .buckets
            .as_mut()
            .and_then(|buckets| histogram.next_bucket(buckets));
        let (bound, count, exemplar) = match bucket {
            Some(bucket) => (bucket.upper_bound, bucket.count, bucket.exemplar),
            None => (f64::INFINITY, histogram.count(), None),
        };
        if bound == f64::INFINITY {
            let is_native = self.options.native_histograms && histogram.is_native();
            self.step = match self.options.convert_classic_histograms && !is_native {
                true => Step::Converted,
                false => Step::NextMetric,
            };
        }
        let exemplar = exemplar.as_ref().map(Exemplar::of_message);
        self.sample(Part::Bucket(bound), count, exemplar)
    }

    fn convert(&mut self) -> Result<SentHistogram> {
        let histogram = &self.metric.histogram;
        self.classic.clear();
        self.classic.set_count(histogram.count())?;
        self.classic.set_sum(histogram.sum)?;
        let mut buckets = histogram.buckets();
        while let Some(bucket) = histogram.next_bucket(&mut buckets) {
            self.classic.set_bucket(bucket.upper_bound, bucket.count)?;
        }
        Ok(self.classic.convert(self.hint())?)
    }

    fn hint(&self) -> CounterResetHint {
        match self.family.kind {
            MetricType::GaugeHistogram => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        }
    }

    /// Checks names and values of the metric's labels.
    fn check_labels(&self) -> Result<()> {
        self.metric.labels.check(|name, value| {
            let is_text = |bytes| std::str::from_utf8(bytes).is_ok();
            let lossy = String::from_utf8_lossy;
            match name {
                Some(name) if name.is_empty() || !is_text(name) => Err(ExpositionError::Content(
                    format!("invalid label name: {}", lossy(name)),
                )),
                _ if !is_text(value) => Err(ExpositionError::Content(format!(
                    "invalid label value: {}",
                    lossy(value)
                ))),
                _ => Ok(()),
            }
        })
    }

    fn series(&self, part: Part) -> Series<'a> {
        Series {
            form: Form::Metric(MetricSeries {
                name: self.name,
                labels: self.metric.labels,
                part,
            }),
            family: self.family,
        }
    }

    fn timestamp_ms(&self) -> Option<i64> {
        Some(self.metric.timestamp_ms).filter(|ms| *ms != 0)
    }

    fn sample(&self, part: Part, value: f64, exemplar: Option<Exemplar<'a>>) -> Entry<'a> {
        Entry::Sample(Sample {
            series: self.series(part),
            value,
            timestamp_ms: self.timestamp_ms(),
            exemplar,
        })
    }

    fn histogram(&self, histogram: SentHistogram) -> Entry<'a> {
        Entry::Histogram(Box::new(HistogramSample {
            series: self.series(Part::Whole),
            histogram,
            timestamp_ms: self.timestamp_ms(),
            exemplars: self.exemplars(),
        }))
    }

    /// Returns the exemplars of a native histogram: its own, or where there are none
    /// those of its classic buckets. Those without a time are passed over.
    fn exemplars(&self) -> Vec<Exemplar<'a>> {
        let histogram = &self.metric.histogram;
        let mut own = histogram.exemplars().peekable();
        if own.peek().is_some() {
            return own
                .filter(|exemplar| exemplar.timestamp.is_some())
                .map(|exemplar| Exemplar::of_message(&exemplar))
                .collect();
        }
        let mut exemplars = Vec::new();
        let mut buckets = histogram.buckets();
        while let Some(bucket) = histogram.next_bucket(&mut buckets) {
            let timed = bucket.exemplar.filter(|found| found.timestamp.is_some());
            exemplars.extend(timed.as_ref().map(Exemplar::of_message));
        }
        exemplars
    }
}
