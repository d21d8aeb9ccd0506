//! A request translated: from resources, scopes and data points to series and samples.
//!
//! The order is that of the request, and what is wrong with one metric does not keep the
//! next from being looked at: a sender is told of all of them. The first point of a metric
//! that is not acceptable ends the metric.
//!
//! **Invariant:** a series is looked up by a key made of everything that its labels follow
//! from. Labels are made only where the sink does not know the key.

use std::cmp::Ordering;

use hashbrown::HashSet;
use kymo_storage::compat::float;
use kymo_storage::compat::quote::quote;
use kymo_storage::model::{
    Exemplar, Labels, METRIC_NAME, MetricMetadata, MetricType, stale_marker,
};

use super::attributes::Attribute;
use super::buckets;
use super::error::{DecodeError, PointError};
use super::labels::{
    self, LabelsError, MetricLabels, Pairs, ResourceLabels, ScopeLabels, metric_labels,
    point_labels,
};
use super::names::{self, Ending};
use super::schema;
use super::settings::Settings;
use super::sink::{Family, Sample, SampleValue, Sink};
use super::view::{
    ExemplarValue, Kind, Metric, Point, ResourceMetrics, ScopeMetrics, SentExemplar, Temporality,
    messages,
};
use super::warnings::Warnings;

/// Errors that are told; further ones are counted.
const MAX_ERRORS: usize = 1000;

/// Samples of `target_info` that one request may lead to: half a year of them.
const MAX_TARGET_INFOS: usize = 100_000;

/// Labels that are made for one request at most, those of resource and scope counted
/// with every series: it bounds the time that a few large sets can take.
const MAX_LABELS_MADE: usize = 1 << 26;

/// What became of a request.
#[derive(Debug, Default)]
pub struct Translated {
    /// What is wrong with metrics, in the order of the request. If there is anything, the
    /// request is to be undone.
    pub errors: Vec<PointError>,
    /// How many errors there are besides.
    pub n_more_errors: usize,
    /// What was wondered about.
    pub warnings: Warnings,
    /// Samples of series that would have gone over a limit of the sink, left out.
    pub over_limit: u64,
    /// The limit that was met first.
    pub series_limit: Option<kymo_storage::AppendError>,
}

impl Translated {
    fn error(&mut self, error: PointError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        } else {
            self.n_more_errors += 1;
        }
    }
}

/// Translates a request in protobuf.
///
/// # Errors
///
/// The bytes are no request. What was appended before this was found is to be undone.
pub fn translate<S: Sink>(
    request: &[u8],
    settings: &Settings,
    sink: &mut S,
) -> Result<Translated, DecodeError> {
    let mut translation = Translation {
        settings,
        sink,
        done: Translated::default(),
        seen_target_infos: HashSet::new(),
        n_labels_made: 0,
        point: Point::default(),
        key: Vec::new(),
        exemplars: Vec::new(),
    };
    for bytes in messages(request, "ExportMetricsServiceRequest", 1, "ResourceMetrics") {
        translation.resource(&ResourceMetrics::read(bytes?)?)?;
    }
    Ok(translation.done)
}

struct Translation<'r, 's, S> {
    settings: &'s Settings,
    sink: &'s mut S,
    done: Translated,
    /// Digest of the labels and time of each sample of `target_info`: several resources
    /// may have the same.
    seen_target_infos: HashSet<([u8; 16], i64)>,
    n_labels_made: usize,
    point: Point<'r>,
    /// What names the series of a point.
    key: Vec<u8>,
    exemplars: Vec<Exemplar>,
}

/// What all points of a metric have.
struct MetricContext<'c, 'r> {
    resource: &'c ResourceLabels<'r>,
    scope: &'c ScopeLabels,
    labels: MetricLabels,
    family: Family,
    digest: [u8; 16],
}

/// Why a metric ends before its last point.
enum Stop {
    /// The request is none.
    Decode(DecodeError),
    /// A point is not acceptable.
    Point(PointError),
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Stop {
        Stop::Decode(error)
    }
}

impl From<PointError> for Stop {
    fn from(error: PointError) -> Stop {
        Stop::Point(error)
    }
}

impl From<LabelsError> for Stop {
    fn from(error: LabelsError) -> Stop {
        match error {
            LabelsError::Decode(error) => Stop::Decode(error),
            LabelsError::Name(text) => Stop::Point(PointError::Untranslatable(text)),
        }
    }
}

fn untranslatable(text: impl Into<String>) -> PointError {
    PointError::Untranslatable(text.into())
}

impl<'r, S: Sink> Translation<'r, '_, S> {
    /// Notes why something ended, if that does not end the request.
    fn note(&mut self, outcome: Result<(), Stop>) -> Result<(), DecodeError> {
        match outcome {
            Ok(()) => {}
            Err(Stop::Decode(error)) => return Err(error),
            Err(Stop::Point(error)) => self.done.error(error),
        }
        Ok(())
    }

    fn resource(&mut self, resource: &ResourceMetrics<'r>) -> Result<(), DecodeError> {
        let labels = match ResourceLabels::new(&resource.attributes, self.settings) {
            Ok(labels) => labels,
            Err(error) => return self.note(Err(error.into())),
        };
        let mut context = vec![self.settings.fingerprint()];
        labels.push_key(&mut context);
        let digest = self.sink.digest(&context);
        let mut times = Times::default();
        for bytes in resource.scopes() {
            let scope = ScopeMetrics::read(bytes?)?;
            let scope_labels = match ScopeLabels::new(&scope, self.settings) {
                Ok(labels) => labels,
                Err(error) => {
                    self.note(Err(error.into()))?;
                    continue;
                }
            };
            let mut context = digest.to_vec();
            scope_labels.push_key(&mut context);
            let digest = self.sink.digest(&context);
            for bytes in scope.metrics() {
                let metric = Metric::read(bytes?)?;
                self.metric(&metric, &labels, &scope_labels, &digest, &mut times)?;
            }
        }
        if let Some((earliest_ns, latest_ns)) = times.range() {
            let outcome = self.target_info(&labels, earliest_ns, latest_ns);
            self.note(outcome)?;
        }
        Ok(())
    }

    fn metric(
        &mut self,
        metric: &Metric<'r>,
        resource: &ResourceLabels<'r>,
        scope: &ScopeLabels,
        digest: &[u8; 16],
        times: &mut Times,
    ) -> Result<(), DecodeError> {
        let mut points = metric.points().peekable();
        let context = self.context(metric, resource, scope, digest);
        let context = match context {
            Ok(context) if points.peek().is_none() => {
                drop(context);
                self.done.warnings.empty(metric.name);
                return Ok(());
            }
            Ok(context) => Some(context),
            Err(error) => {
                self.done.error(error);
                None
            }
        };
        if let Some(context) = &context {
            self.sink.family(&context.family);
        }
        // Times count, whatever becomes of the points.
        let mut goes_on = context.as_ref();
        for bytes in points {
            let mut point = std::mem::take(&mut self.point);
            point.read(metric.kind, bytes?)?;
            times.add(point.t_ns);
            if let Some(context) = goes_on {
                let outcome = self.append_point(metric, context, &point);
                if outcome.is_err() {
                    goes_on = None;
                }
                self.note(outcome)?;
            }
            self.point = point;
        }
        Ok(())
    }

    /// Prepares what all points of a metric have.
    fn context<'c>(
        &mut self,
        metric: &Metric<'r>,
        resource: &'c ResourceLabels<'r>,
        scope: &'c ScopeLabels,
        digest: &[u8; 16],
    ) -> Result<MetricContext<'c, 'r>, PointError> {
        let name = metric.name;
        if metric.kind == Kind::Empty {
            return Err(untranslatable(format!(
                "could not get aggregation temporality for {name} as it has unsupported metric \
                 type Empty"
            )));
        }
        let is_valid = match metric.temporality {
            Temporality::Cumulative => true,
            Temporality::Delta => self.settings.allow_delta,
            Temporality::Unspecified => false,
        };
        if metric.has_temporality() && !is_valid {
            return Err(untranslatable(format!(
                "invalid temporality and type combination for metric {}",
                quote(name)
            )));
        }
        let ending = match metric.kind {
            Kind::Gauge => Ending::Gauge,
            Kind::Sum if metric.is_monotonic => Ending::Monotonic,
            _ => Ending::Plain,
        };
        let name = names::metric_name(self.settings, name, metric.unit, ending);
        let family = Family {
            name: name.map_err(PointError::Untranslatable)?,
            metadata: MetricMetadata {
                kind: type_of(metric),
                unit: names::unit_name(metric.unit, false),
                help: metric.description.to_owned(),
            },
        };
        let labels = metric_labels(self.settings, &family.metadata);
        let mut key = digest.to_vec();
        key.extend_from_slice(&(family.name.len() as u64).to_le_bytes());
        key.extend_from_slice(family.name.as_bytes());
        for (name, value) in &labels {
            key.extend_from_slice(name.as_bytes());
            key.extend_from_slice(value.as_bytes());
        }
        Ok(MetricContext {
            resource,
            scope,
            labels,
            family,
            digest: self.sink.digest(&key),
        })
    }

    fn append_point(
        &mut self,
        metric: &Metric<'r>,
        context: &MetricContext<'_, 'r>,
        point: &Point<'r>,
    ) -> Result<(), Stop> {
        self.key.clear();
        self.key.extend_from_slice(&context.digest);
        for attribute in &point.attributes {
            let len = attribute.len() as u64;
            self.key.extend_from_slice(&len.to_le_bytes());
            self.key.extend_from_slice(attribute);
        }
        let temporality = metric.temporality;
        match metric.kind {
            Kind::Empty => Ok(()),
            Kind::Gauge => {
                // Exemplars of gauges are left out, but have to be well formed.
                for bytes in &point.exemplars {
                    schema::check(bytes, &schema::EXEMPLAR)?;
                }
                self.append_number(context, point, &[])
            }
            Kind::Sum => {
                let exemplars = self.take_exemplars(&point.exemplars)?;
                let outcome = self.append_number(context, point, &exemplars);
                self.exemplars = exemplars;
                outcome
            }
            Kind::Histogram if self.settings.convert_histograms_to_nhcb => {
                let (histogram, warning) = buckets::custom(point, temporality);
                self.append_histogram(context, point, &histogram, warning)
            }
            Kind::Histogram => self.append_buckets(context, point),
            Kind::ExponentialHistogram => {
                let (histogram, warning) =
                    buckets::exponential(point, temporality).map_err(PointError::Untranslatable)?;
                self.append_histogram(context, point, &histogram, warning)
            }
            Kind::Summary => self.append_summary(context, point),
        }
    }

    #[inline]
    fn append_number(
        &mut self,
        context: &MetricContext<'_, 'r>,
        point: &Point<'r>,
        exemplars: &[Exemplar],
    ) -> Result<(), Stop> {
        let value = match point.has_no_value() {
            true => stale_marker(),
            false => point.value,
        };
        let sample = sample_of(point, SampleValue::Float(value), exemplars);
        let mut series = PointSeries::new(self, context, point);
        series.append("", None, sample)
    }

    fn append_histogram(
        &mut self,
        context: &MetricContext<'_, 'r>,
        point: &Point<'r>,
        histogram: &kymo_storage::model::histogram::IntegerHistogram,
        warning: Option<String>,
    ) -> Result<(), Stop> {
        if let Some(text) = warning {
            self.done.warnings.zero_count(text);
        }
        let exemplars = self.take_exemplars(&point.exemplars)?;
        let sample = sample_of(point, SampleValue::Histogram(histogram), &exemplars);
        let outcome = PointSeries::new(self, context, point).append("", None, sample);
        self.exemplars = exemplars;
        outcome
    }

    /// Stores a histogram with explicit bounds as sum, count and cumulative buckets.
    fn append_buckets(
        &mut self,
        context: &MetricContext<'_, 'r>,
        point: &Point<'r>,
    ) -> Result<(), Stop> {
        let told = |value: f64| match point.has_no_value() {
            true => SampleValue::Float(stale_marker()),
            false => SampleValue::Float(value),
        };
        let count = point.count as f64;
        let mut series = PointSeries::new(self, context, point);
        series.is_one_of_many();
        if let Some(sum) = point.sum {
            series.append("_sum", None, sample_of(point, told(sum), &[]))?;
        }
        series.append("_count", None, sample_of(point, told(count), &[]))?;
        let exemplars = series.translation.take_exemplars(&point.exemplars)?;
        let mut rest = exemplars.as_slice();
        let mut cumulative = 0u64;
        for (&bound, &count) in point.bounds.iter().zip(&point.bucket_counts) {
            cumulative = cumulative.wrapping_add(count);
            // Exemplars are in the order of their values, as buckets are.
            let is_beyond =
                |one: &&Exemplar| one.value.partial_cmp(&bound) == Some(Ordering::Greater);
            let n_here = rest.iter().take_while(|one| !is_beyond(one)).count();
            let (here, beyond) = rest.split_at(n_here);
            rest = beyond;
            let sample = sample_of(point, told(cumulative as f64), here);
            series.append("_bucket", Some(("le", bound)), sample)?;
        }
        let sample = sample_of(point, told(count), rest);
        series.append("_bucket", Some(("le", f64::INFINITY)), sample)?;
        self.exemplars = exemplars;
        Ok(())
    }

    fn append_summary(
        &mut self,
        context: &MetricContext<'_, 'r>,
        point: &Point<'r>,
    ) -> Result<(), Stop> {
        let told = |value: f64| match point.has_no_value() {
            true => SampleValue::Float(stale_marker()),
            false => SampleValue::Float(value),
        };
        let mut series = PointSeries::new(self, context, point);
        series.is_one_of_many();
        let sum = point.sum.unwrap_or(0.0);
        series.append("_sum", None, sample_of(point, told(sum), &[]))?;
        let count = told(point.count as f64);
        series.append("_count", None, sample_of(point, count, &[]))?;
        for &(quantile, value) in &point.quantiles {
            let sample = sample_of(point, told(value), &[]);
            series.append("", Some(("quantile", quantile)), sample)?;
        }
        Ok(())
    }

    /// Translates exemplars into the buffer that is handed back to `self.exemplars`.
    fn take_exemplars(&mut self, sent: &[&'r [u8]]) -> Result<Vec<Exemplar>, Stop> {
        let mut exemplars = std::mem::take(&mut self.exemplars);
        exemplars.clear();
        for bytes in sent {
            exemplars.push(exemplar(&SentExemplar::read(bytes)?)?);
        }
        Ok(exemplars)
    }

    /// Stores what is known of a resource, from its first data point to its last, such
    /// that every query in between finds it.
    fn target_info(
        &mut self,
        resource: &ResourceLabels<'r>,
        earliest_ns: u64,
        latest_ns: u64,
    ) -> Result<(), Stop> {
        let labels = resource.target_info(self.settings, &mut self.done.warnings)?;
        let Some(labels) = labels else {
            return Ok(());
        };
        self.sink.family(&Family {
            name: "target_info".to_owned(),
            metadata: MetricMetadata {
                kind: MetricType::Gauge,
                help: "Target metadata".to_owned(),
                unit: String::new(),
            },
        });
        let mut key = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            key.extend_from_slice(&(text.len() as u64).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
        let digest = self.sink.digest(&key);
        let pairs = labels::with(&labels, &[]);
        let series = match self.sink.series(Some(&digest), &pairs) {
            Ok(series) => series,
            Err(error) => return self.over_limit(error),
        };
        let lookback_ms = match self.settings.lookback_ms {
            ..=0 => Settings::default().lookback_ms,
            given => given,
        };
        let interval_ns = i128::from(lookback_ms) * 1_000_000 / 2;
        let latest_ns = i128::from(latest_ns.cast_signed());
        let mut t_ns = i128::from(earliest_ns.cast_signed());
        while t_ns < latest_ns {
            self.append_target_info(series, digest, t_ns)?;
            t_ns += interval_ns;
        }
        self.append_target_info(series, digest, latest_ns)
    }

    fn append_target_info(
        &mut self,
        series: S::Series,
        digest: [u8; 16],
        t_ns: i128,
    ) -> Result<(), Stop> {
        if self.seen_target_infos.len() >= MAX_TARGET_INFOS {
            return Err(untranslatable(format!(
                "data points of one resource are too far apart: target_info would need more than \
                 {MAX_TARGET_INFOS} samples; send points with their times, and old ones apart"
            ))
            .into());
        }
        let t_ms = i64::try_from(t_ns.div_euclid(1_000_000)).unwrap_or(i64::MAX);
        if self.seen_target_infos.insert((digest, t_ms)) {
            let sample = Sample {
                t_ms,
                start_ms: 0,
                value: SampleValue::Float(1.0),
                exemplars: &[],
            };
            self.sink.append(series, sample)?;
        }
        Ok(())
    }

    /// Takes note of a series that there is no room for; any other error stays one.
    fn over_limit(&mut self, error: PointError) -> Result<(), Stop> {
        match error {
            PointError::Append(limit) if limit.is_series_limit() => {
                self.done.series_limit.get_or_insert(limit);
                self.done.over_limit += 1;
                Ok(())
            }
            error => Err(error.into()),
        }
    }
}

/// The series of one point: one, or one for each bucket and quantile.
struct PointSeries<'p, 'r, 's, 'c, S> {
    translation: &'p mut Translation<'r, 's, S>,
    context: &'p MetricContext<'c, 'r>,
    point: &'p Point<'r>,
    /// The labels of the point, made when the first series is not known.
    labels: Option<Pairs>,
    /// Attributes made one label: such series are not remembered, so that it is told again.
    collides: bool,
}

impl<'p, 'r, 's, 'c, S: Sink> PointSeries<'p, 'r, 's, 'c, S> {
    fn new(
        translation: &'p mut Translation<'r, 's, S>,
        context: &'p MetricContext<'c, 'r>,
        point: &'p Point<'r>,
    ) -> PointSeries<'p, 'r, 's, 'c, S> {
        PointSeries {
            translation,
            context,
            point,
            labels: None,
            collides: false,
        }
    }

    /// Makes keys short where there are several of them.
    fn is_one_of_many(&mut self) {
        let translation = &mut *self.translation;
        let digest = translation.sink.digest(&translation.key);
        translation.key.clear();
        translation.key.extend_from_slice(&digest);
    }

    /// Adds a sample to the series with this ending of its name, and this label if any.
    #[inline]
    fn append(
        &mut self,
        ending: &str,
        more: Option<(&str, f64)>,
        sample: Sample<'_>,
    ) -> Result<(), Stop> {
        let translation = &mut *self.translation;
        let key_len = translation.key.len();
        translation.key.extend_from_slice(ending.as_bytes());
        if let Some((_, bound)) = more {
            translation.key.extend_from_slice(&bound.to_le_bytes());
        }
        let known = translation.sink.known(&translation.key);
        let stored = known.map(|series| translation.sink.append(series, sample));
        let outcome = match stored {
            Some(Ok(())) => Ok(()),
            // It was removed a moment ago; its labels then name a new one.
            None | Some(Err(PointError::Append(kymo_storage::AppendError::UnknownSeries))) => {
                self.append_new(ending, more, sample)
            }
            Some(Err(error)) => Err(error.into()),
        };
        self.translation.key.truncate(key_len);
        outcome
    }

    /// Adds a sample to a series whose key is not known.
    fn append_new(
        &mut self,
        ending: &str,
        more: Option<(&str, f64)>,
        sample: Sample<'_>,
    ) -> Result<(), Stop> {
        let translation = &mut *self.translation;
        let labels = match self.labels.take() {
            Some(labels) => labels,
            None => {
                let warnings = &mut translation.done.warnings;
                let before = warnings.n_collisions();
                let labels = point_labels(
                    &self.point.attributes,
                    self.context.resource,
                    self.context.scope,
                    &self.context.labels,
                    translation.settings,
                    warnings,
                )?;
                self.collides = warnings.n_collisions() > before;
                labels
            }
        };
        translation.n_labels_made += labels.len();
        if translation.n_labels_made > MAX_LABELS_MADE {
            return Err(untranslatable(format!(
                "the series of the request have more than {MAX_LABELS_MADE} labels together; \
                 send fewer at a time, or promote fewer attributes"
            ))
            .into());
        }
        let name = format!("{}{ending}", self.context.family.name);
        let bound = more.map(|(_, bound)| float::f(bound)).unwrap_or_default();
        let named = [(METRIC_NAME, name.as_str())];
        let pairs = match more {
            Some((label, _)) => labels::with(&labels, &[named[0], (label, &bound)]),
            None => labels::with(&labels, &named),
        };
        let key = Some(translation.key.as_slice()).filter(|_| !self.collides);
        let series = translation.sink.series(key, &pairs);
        drop(pairs);
        self.labels = Some(labels);
        match series {
            Ok(series) => Ok(translation.sink.append(series, sample)?),
            Err(error) => translation.over_limit(error),
        }
    }
}

fn sample_of<'e>(
    point: &Point<'_>,
    value: SampleValue<'e>,
    exemplars: &'e [Exemplar],
) -> Sample<'e> {
    Sample {
        t_ms: point.t_ns.cast_signed() / 1_000_000,
        start_ms: point.start_ns.cast_signed() / 1_000_000,
        value,
        exemplars,
    }
}

/// Returns the type that metadata gives a metric. There is none for deltas.
fn type_of(metric: &Metric<'_>) -> MetricType {
    let is_delta = metric.temporality == Temporality::Delta;
    match metric.kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Summary => MetricType::Summary,
        Kind::Sum | Kind::Histogram | Kind::ExponentialHistogram if is_delta => MetricType::Unknown,
        Kind::Sum if metric.is_monotonic => MetricType::Counter,
        Kind::Sum => MetricType::Gauge,
        Kind::Histogram | Kind::ExponentialHistogram => MetricType::Histogram,
        Kind::Empty => MetricType::Unknown,
    }
}

/// Translates an exemplar. Attributes are left out where they would make it too long.
fn exemplar(sent: &SentExemplar<'_>) -> Result<Exemplar, Stop> {
    let ExemplarValue::Number(value) = sent.value else {
        return Err(untranslatable("unsupported exemplar value type: Empty").into());
    };
    let mut pairs = Vec::new();
    for (name, id) in [("trace_id", sent.trace_id), ("span_id", sent.span_id)] {
        if !id.is_empty() {
            let digits = id.iter().map(|byte| format!("{byte:02x}"));
            pairs.push((name.to_owned(), digits.collect::<String>()));
        }
    }
    let n_chars = |(name, value): &(String, String)| name.chars().count() + value.chars().count();
    let mut n_used: usize = pairs.iter().map(n_chars).sum();
    let n_ids = pairs.len();
    for bytes in &sent.attributes {
        let attribute = Attribute::read(bytes)?;
        pairs.push((attribute.key.to_owned(), attribute.text()?));
        n_used += pairs.last().map_or(0, n_chars);
        if n_used > Exemplar::MAX_LABEL_CHARS {
            pairs.truncate(n_ids);
            break;
        }
    }
    let t_ms = sent.t_ns.cast_signed().div_euclid(1_000_000);
    Ok(Exemplar {
        labels: Labels::from_pairs(pairs),
        value,
        t_ms,
        timed: t_ms != 0,
    })
}

/// The first and the last time of a resource's points, as unsigned nanoseconds.
#[derive(Debug, Default)]
struct Times(Option<(u64, u64)>);

impl Times {
    fn add(&mut self, t_ns: u64) {
        let (earliest, latest) = self.0.unwrap_or((t_ns, t_ns));
        self.0 = Some((earliest.min(t_ns), latest.max(t_ns)));
    }

    /// Returns both, where there is a point with a time that is not the very last.
    fn range(&self) -> Option<(u64, u64)> {
        self.0.filter(|(earliest, _)| *earliest < u64::MAX)
    }
}
