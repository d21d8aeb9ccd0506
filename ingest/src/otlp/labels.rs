//! The labels that series have of their resource, their scope, and the attributes of
//! their points.

use kymo_storage::model::METRIC_NAME;

use super::attributes::{self, Attribute};
use super::error::DecodeError;
use super::names;
use super::schema;
use super::settings::Settings;
use super::view::ScopeMetrics;
use super::warnings::Warnings;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";

/// Attributes that make `job` and `instance`.
const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE_ID];

/// The label of a metric's type.
const TYPE: &str = "__type__";
/// The label of a metric's unit.
const UNIT: &str = "__unit__";

/// Why labels could not be made: the bytes are no request, or a name cannot be kept.
#[derive(Debug)]
pub(super) enum LabelsError {
    Decode(DecodeError),
    Name(String),
}

impl From<DecodeError> for LabelsError {
    fn from(error: DecodeError) -> LabelsError {
        LabelsError::Decode(error)
    }
}

impl From<String> for LabelsError {
    fn from(error: String) -> LabelsError {
        LabelsError::Name(error)
    }
}

/// Names and values, sorted by name when they are finished.
pub(super) type Pairs = Vec<(String, String)>;

/// What all series of a resource have.
#[derive(Debug, Default)]
pub(super) struct ResourceLabels<'a> {
    attributes: Vec<Attribute<'a>>,
    job: String,
    instance: String,
    /// Attributes that became labels; those of a point go before them.
    promoted: Pairs,
}

impl<'a> ResourceLabels<'a> {
    pub(super) fn new(
        sent: &[&'a [u8]],
        settings: &Settings,
    ) -> Result<ResourceLabels<'a>, LabelsError> {
        let attributes = attributes::read_all(sent)?;
        let text = |key: &str| match attributes::find(&attributes, key) {
            Some(attribute) => attribute.text().map(Some),
            None => Ok(None),
        };
        let job = match (text(SERVICE_NAME)?, text(SERVICE_NAMESPACE)?) {
            (Some(name), Some(namespace)) => format!("{namespace}/{name}"),
            (Some(name), None) => name,
            (None, _) => String::new(),
        };
        let instance = text(SERVICE_INSTANCE_ID)?.unwrap_or_default();
        let mut draft = Draft::default();
        for attribute in &attributes {
            if settings.promotion.has(attribute.key) {
                let name = names::label_name(settings, attribute.key)?;
                draft.set(name, attribute.text()?);
            }
        }
        Ok(ResourceLabels {
            job,
            instance,
            promoted: draft.finish(),
            attributes,
        })
    }

    /// Appends all that is of weight for labels, to be part of a key.
    pub(super) fn push_key(&self, out: &mut Vec<u8>) {
        push_framed(out, &self.job);
        push_framed(out, &self.instance);
        push_pairs(out, &self.promoted);
    }

    /// Returns the labels of `target_info`, `None` where there are none to tell.
    pub(super) fn target_info(
        &self,
        settings: &Settings,
        warnings: &mut Warnings,
    ) -> Result<Option<Pairs>, LabelsError> {
        let has = |key: &&str| attributes::find(&self.attributes, key).is_some();
        let n_identifying = IDENTIFYING.iter().filter(|key| has(key)).count();
        if self.attributes.len() <= n_identifying {
            return Ok(None);
        }
        let ignored: &[&str] = match settings.keep_identifying_attributes {
            true => &[],
            false => &IDENTIFYING,
        };
        let mut draft = Draft::default();
        draft.attributes(&self.attributes, ignored, settings, "resource", warnings)?;
        self.identify(&mut draft);
        if settings.type_and_unit_labels {
            draft.set(TYPE.to_owned(), String::new());
        }
        draft.set(METRIC_NAME.to_owned(), "target_info".to_owned());
        let labels = draft.finish();
        let is_identified = |(name, _): &(String, String)| name == "job" || name == "instance";
        Ok(Some(labels).filter(|labels| labels.iter().any(is_identified)))
    }

    fn identify(&self, draft: &mut Draft) {
        for (name, value) in [("job", &self.job), ("instance", &self.instance)] {
            if !value.is_empty() {
                draft.set(name.to_owned(), value.clone());
            }
        }
    }
}

/// What all series of a scope have, where the settings want it. An empty value takes a
/// label of that name away.
#[derive(Debug, Default)]
pub(super) struct ScopeLabels(Pairs);

impl ScopeLabels {
    pub(super) fn new(
        scope: &ScopeMetrics<'_>,
        settings: &Settings,
    ) -> Result<ScopeLabels, LabelsError> {
        if !settings.promote_scope_metadata || scope.name.is_empty() {
            // Not read, but to be well formed.
            for bytes in &scope.attributes {
                schema::check(bytes, &schema::KEY_VALUE)?;
            }
            return Ok(ScopeLabels::default());
        }
        let mut draft = Draft::default();
        for bytes in &scope.attributes {
            let attribute = Attribute::read(bytes)?;
            let name = format!("otel_scope_{}", attribute.key);
            draft.set(names::label_name(settings, &name)?, attribute.text()?);
        }
        let mut pairs = draft.finish();
        for (name, value) in [
            ("otel_scope_name", scope.name),
            ("otel_scope_version", scope.version),
            ("otel_scope_schema_url", scope.schema_url),
        ] {
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(ScopeLabels(pairs))
    }

    /// Appends the labels, to be part of a key.
    pub(super) fn push_key(&self, out: &mut Vec<u8>) {
        push_pairs(out, &self.0);
    }
}

/// Type and unit of a metric as labels; empty without the setting.
pub(super) type MetricLabels = Pairs;

/// Returns the labels that tell type and unit of a metric.
pub(super) fn metric_labels(
    settings: &Settings,
    metadata: &kymo_storage::model::MetricMetadata,
) -> MetricLabels {
    let mut pairs = Pairs::new();
    if !settings.type_and_unit_labels {
        return pairs;
    }
    if metadata.kind != kymo_storage::model::MetricType::Unknown {
        pairs.push((TYPE.to_owned(), metadata.kind.as_str().to_owned()));
    }
    if !metadata.unit.is_empty() {
        let unit = names::unit_name(&metadata.unit, !settings.strategy.escapes());
        pairs.push((UNIT.to_owned(), unit));
    }
    pairs
}

/// Returns the labels of a point, without its metric's name.
pub(super) fn point_labels(
    sent: &[&[u8]],
    resource: &ResourceLabels<'_>,
    scope: &ScopeLabels,
    metric: &MetricLabels,
    settings: &Settings,
    warnings: &mut Warnings,
) -> Result<Pairs, LabelsError> {
    let attributes = attributes::read_all(sent)?;
    let mut draft = Draft::default();
    let ignored = [METRIC_NAME];
    draft.attributes(&attributes, &ignored, settings, "data point", warnings)?;
    draft.set_missing(&resource.promoted);
    resource.identify(&mut draft);
    for (name, value) in scope.0.iter().chain(metric) {
        draft.set(name.clone(), value.clone());
    }
    Ok(draft.finish())
}

/// Puts further labels into those of a point, in place of others of these names.
pub(super) fn with<'l>(labels: &'l Pairs, more: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    let is_new = |name: &str| more.iter().all(|(other, _)| *other != name);
    let kept = labels.iter().filter(|(name, _)| is_new(name));
    let mut all: Vec<(&str, &str)> = kept
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(more.iter().copied().filter(|(_, value)| !value.is_empty()))
        .collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

/// Labels in the making: what is set later goes before what was set earlier.
#[derive(Debug, Default)]
struct Draft {
    /// Name, value, and what the pair does to others of its name.
    entries: Vec<(String, String, Rank)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Only where there is no other.
    Missing,
    /// Several of one name stay.
    Attribute,
    /// In place of all before it.
    Set,
}

impl Draft {
    fn set(&mut self, name: String, value: String) {
        self.entries.push((name, value, Rank::Set));
    }

    fn set_missing(&mut self, pairs: &Pairs) {
        let pairs = pairs.iter().cloned();
        self.entries
            .extend(pairs.map(|(name, value)| (name, value, Rank::Missing)));
    }

    /// Adds attributes. Where several get one name, their values are put together.
    fn attributes(
        &mut self,
        attributes: &[Attribute<'_>],
        ignored: &[&str],
        settings: &Settings,
        source: &str,
        warnings: &mut Warnings,
    ) -> Result<(), LabelsError> {
        let kept = attributes.iter().filter(|one| !ignored.contains(&one.key));
        let mut sorted: Vec<&Attribute<'_>> = kept.collect();
        sorted.sort_by_key(|attribute| attribute.key);
        if !settings.strategy.escapes() {
            for same in sorted.chunk_by(|one, next| one.key == next.key) {
                let texts = same.iter().map(|one| one.text());
                let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
                // An empty one takes the others with it.
                if texts.iter().all(|text| !text.is_empty()) {
                    let name = same.first().map_or("", |one| one.key);
                    let entries = texts.into_iter();
                    self.entries
                        .extend(entries.map(|text| (name.to_owned(), text, Rank::Attribute)));
                }
            }
            return Ok(());
        }
        let mut named = Vec::with_capacity(sorted.len());
        for attribute in sorted {
            let name = names::label_name(settings, attribute.key)?;
            named.push((name, attribute.key, attribute.text()?));
        }
        named.sort_by(|(one, ..), (next, ..)| one.cmp(next));
        for same in named.chunk_by(|(one, ..), (next, ..)| one == next) {
            let mut joined = String::new();
            let mut collides = false;
            for (_, _, text) in same {
                if !joined.is_empty() {
                    joined.push(';');
                    collides = true;
                }
                joined.push_str(text);
            }
            let name = same.first().map_or("", |(name, ..)| name.as_str());
            if collides {
                let keys = same.iter().map(|(_, key, _)| *key);
                warnings.collision(source, keys, name);
            }
            if !joined.is_empty() {
                self.entries
                    .push((name.to_owned(), joined, Rank::Attribute));
            }
        }
        Ok(())
    }

    /// Returns the labels, sorted, without empty values.
    fn finish(self) -> Pairs {
        let mut entries = self.entries;
        // What was set last stands last.
        entries.sort_by(|(one, _, rank), (next, _, next_rank)| {
            one.cmp(next).then(rank.cmp(next_rank))
        });
        let mut pairs = Pairs::with_capacity(entries.len());
        for same in entries.chunk_by_mut(|(one, ..), (next, ..)| one == next) {
            let highest = same.last().map_or(Rank::Missing, |(_, _, rank)| *rank);
            let kept = match highest {
                Rank::Attribute => same.iter().position(|(_, _, rank)| *rank == highest),
                _ => same.len().checked_sub(1),
            };
            for (name, value, _) in &mut same[kept.unwrap_or(0)..] {
                if !value.is_empty() {
                    pairs.push((std::mem::take(name), std::mem::take(value)));
                }
            }
        }
        pairs
    }
}

fn push_framed(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_pairs(out: &mut Vec<u8>, pairs: &Pairs) {
    out.extend_from_slice(&(pairs.len() as u64).to_le_bytes());
    for (name, value) in pairs {
        push_framed(out, name);
        push_framed(out, value);
    }
}
