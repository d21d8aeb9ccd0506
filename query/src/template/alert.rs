//! Templates of alerts: labels and annotations of alerting rules.
//!
//! Upstream source: `template.Expander` and `AlertTemplateData` of Prometheus, and the
//! definitions that its rules put before each text.

use std::borrow::Cow;
use std::sync::Arc;

use kymo_storage::model::Labels;

use super::prometheus::{self, Environment};
use super::value::{Map, NamedType, STRING_MAP, Shape, Struct, Text, Type, Value};
use super::{Functions, Limits, MissingKey, Sample, Template, TemplateError};

/// What stands before the text of each label and annotation of an alert: the variables
/// that it may use.
pub const PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                          {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// What stands there for alerts of rules over logs: the same and `$line`.
pub const LOG_PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                              {{$externalURL := .ExternalURL}}{{$value := .Value}}\
                              {{$line := .Line}}";

static DATA: NamedType = NamedType::plain(
    "struct { Labels map[string]string; ExternalLabels map[string]string; \
     ExternalURL string; Value interface {} }",
    Shape::Struct(&[
        ("Labels", Type::Named(&STRING_MAP)),
        ("ExternalLabels", Type::Named(&STRING_MAP)),
        ("ExternalURL", Type::String),
        ("Value", Type::Any),
    ]),
);

static LOG_DATA: NamedType = NamedType::plain(
    "struct { Labels map[string]string; ExternalLabels map[string]string; \
     ExternalURL string; Value interface {}; Line string }",
    Shape::Struct(&[
        ("Labels", Type::Named(&STRING_MAP)),
        ("ExternalLabels", Type::Named(&STRING_MAP)),
        ("ExternalURL", Type::String),
        ("Value", Type::Any),
        ("Line", Type::String),
    ]),
);

/// What the templates of one alert see. Cloning shares it.
#[derive(Debug, Clone)]
pub struct AlertData(Value);

impl AlertData {
    /// Puts together the labels of the result that the alert is of, the external
    /// labels and URL of the server, and the value of the result.
    pub fn new(
        labels: &Labels,
        external_labels: &Labels,
        external_url: &str,
        value: impl Into<SampleValue>,
    ) -> AlertData {
        AlertData::from_pairs(labels, external_labels, external_url, value)
    }

    /// The same over any pairs of names and values; a value may be empty here.
    pub fn from_pairs<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        external_labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        external_url: &str,
        value: impl Into<SampleValue>,
    ) -> AlertData {
        let values = vec![
            string_map(labels),
            string_map(external_labels),
            Value::from(external_url),
            value.into().0,
        ];
        AlertData::of(&DATA, values)
    }

    /// The same with a line of a log that the alert is about; it may be empty.
    pub fn with_line(
        labels: &Labels,
        external_labels: &Labels,
        external_url: &str,
        value: impl Into<SampleValue>,
        line: &str,
    ) -> AlertData {
        let values = vec![
            string_map(labels),
            string_map(external_labels),
            Value::from(external_url),
            value.into().0,
            Value::from(line),
        ];
        AlertData::of(&LOG_DATA, values)
    }

    fn of(shape: &'static NamedType, values: Vec<Value>) -> AlertData {
        let data = Struct::new(shape, values, None);
        AlertData(data.map_or(Value::Invalid, |data| Value::Struct(Arc::new(data))))
    }
}

/// Returns a `map[string]string` of pairs.
pub(super) fn string_map<'a, V: Into<Text>>(
    pairs: impl IntoIterator<Item = (&'a str, V)>,
) -> Value {
    let entries = pairs
        .into_iter()
        .map(|(name, value)| (Text::from(name), Value::String(value.into())))
        .collect();
    Map::new(&STRING_MAP, entries).map_or(Value::Invalid, |map| Value::Map(Arc::new(map)))
}

/// The value of a sample: a number, or a native histogram.
#[derive(Debug, Clone)]
pub struct SampleValue(pub(super) Value);

impl From<f64> for SampleValue {
    fn from(value: f64) -> SampleValue {
        SampleValue(Value::Float(value))
    }
}

/// Answers a query at a time in milliseconds since the epoch.
pub type Query<'a> = dyn Fn(&str, i64) -> Result<Vec<Sample>, String> + 'a;

/// Expands the text of a label or an annotation of an alert.
pub struct Expander<'a> {
    /// The name of the template; rules call theirs `__alert_` and the name of the alert.
    pub name: &'a str,
    /// The text as it stands in the rule.
    pub text: &'a str,
    /// What the text may refer to.
    pub data: &'a AlertData,
    /// The time of the evaluation, in milliseconds since the epoch.
    pub now_ms: i64,
    /// The URL under which the server is reached from outside.
    pub external_url: &'a str,
    /// The path of that URL.
    pub path_prefix: &'a str,
    /// Answers the queries of the text.
    pub query: &'a Query<'a>,
    /// Whether the variables of alerts stand before the text.
    pub prefix: Prefix,
}

/// What stands before a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Prefix {
    /// [`PREFIX`], as for alerts.
    #[default]
    Alert,
    /// [`LOG_PREFIX`], as for alerts of rules over logs.
    LogAlert,
    /// Nothing.
    None,
}

impl Expander<'_> {
    /// Returns the text with its actions carried out.
    ///
    /// # Errors
    /// The text is no template or fails; the message is what upstream puts behind
    /// `error expanding template: `.
    pub fn expand(&self) -> Result<String, TemplateError> {
        // Cutting strings may split characters; labels hold none that are split.
        Ok(super::value::decode(&self.expand_bytes()?))
    }

    /// Returns the same as [`Expander::expand`], as the bytes that upstream has.
    ///
    /// # Errors
    /// Those of [`Expander::expand`].
    pub fn expand_bytes(&self) -> Result<Vec<u8>, TemplateError> {
        let name = self.name;
        let text = match self.prefix {
            Prefix::Alert => Cow::Owned(format!("{PREFIX}{}", self.text)),
            Prefix::LogAlert => Cow::Owned(format!("{LOG_PREFIX}{}", self.text)),
            Prefix::None => Cow::Borrowed(self.text),
        };
        let template = Template::parse(name, &text, Functions::PROMETHEUS).map_err(|error| {
            TemplateError::Parse(format!("error parsing template {name}: {error}"))
        })?;
        let environment = Environment {
            now_ms: self.now_ms,
            external_url: self.external_url,
            path_prefix: self.path_prefix,
            query: self.query,
        };
        let data = self.data.0.clone();
        template
            .execute(data, &environment, MissingKey::Zero, Limits::default())
            .map_err(|error| {
                TemplateError::Exec(format!("error executing template {name}: {error}"))
            })
    }
}

/// Tells whether the text of a label or an annotation is a template, as rules are
/// checked when they are loaded: nothing is executed.
///
/// # Errors
/// What is wrong with the text, without words around it.
pub fn check(name: &str, text: &str, prefix: Prefix) -> Result<(), TemplateError> {
    let text = match prefix {
        Prefix::Alert => format!("{PREFIX}{text}"),
        Prefix::LogAlert => format!("{LOG_PREFIX}{text}"),
        Prefix::None => text.to_owned(),
    };
    Template::parse(name, &text, Functions::PROMETHEUS).map(|_| ())
}

/// Returns the names of the functions that the templates of alerts have besides Go's
/// own.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    prometheus::FUNCTIONS.iter().map(|function| function.name)
}
