//! One job: which targets, how to ask them, what to do with what they answer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kymo_storage::compat::name::{EscapingScheme, NameValidation};
use kymo_storage::model::RelabelRule;

use crate::discovery::{SourceConfig, TargetGroup};
use crate::http::ClientOptions;

/// A validated entry of `scrape_configs`: everything inherited from `global` is
/// filled in, so two entries that compare equal scrape alike.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrapeConfig {
    /// Name of the pool and value of the `job` label unless a target sets it.
    pub job_name: String,
    /// Whether a label the target exposes wins over one of the target itself.
    pub honor_labels: bool,
    /// Whether timestamps the target exposes are used.
    pub honor_timestamps: bool,
    /// Whether series with exposed timestamps get stale markers when they vanish.
    pub track_timestamps_staleness: bool,
    /// URL parameters by name; the first value of each may be replaced by relabelling.
    pub params: BTreeMap<String, Vec<String>>,
    /// Time between two scrapes of a target.
    pub interval: Duration,
    /// Longest time from connecting to the last byte; at most `interval`.
    pub timeout: Duration,
    /// Formats to ask for, the preferred first; never empty.
    pub protocols: Vec<ScrapeProtocol>,
    /// Whether nobody chose the formats, so that the program may choose others.
    pub protocols_by_default: bool,
    /// Format to read where the target names none or an unknown one.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// Whether native histograms are wanted. A target may say otherwise, as of the next two.
    pub native_histograms: bool,
    /// Whether classic histograms are kept beside native ones.
    pub always_classic_histograms: bool,
    /// Whether classic histograms become native ones with custom buckets.
    pub convert_classic_histograms: bool,
    /// Buckets of a native histogram; one with more is made coarser until it fits. 0 = none.
    pub native_histogram_bucket_limit: u64,
    /// By how much bounds of a native histogram are to grow at least from bucket to bucket;
    /// a finer one is made coarser. 0 = any.
    pub native_histogram_min_bucket_factor: f64,
    /// Path of the URL.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Whether a compressed answer is asked for.
    pub compression: bool,
    /// What a scrape may bring.
    pub limits: ScrapeLimits,
    /// Rules for the names of metrics and labels.
    pub name_validation: NameValidation,
    /// How names outside the old character set are asked for.
    pub name_escaping: EscapingScheme,
    /// File for a line about each scrape that fails; empty for none.
    pub failure_log_file: PathBuf,
    /// Whether the three extra synthetic series are written.
    pub extra_metrics: bool,
    /// How to reach the targets.
    pub client: ClientOptions,
    /// The targets that the configuration lists.
    pub static_configs: Vec<TargetGroup>,
    /// Where others are found.
    pub discovery: Vec<SourceConfig>,
    /// Rules for the labels of targets.
    pub relabel: Vec<RelabelRule>,
    /// Rules for the labels of series.
    pub metric_relabel: Vec<RelabelRule>,
}

/// Limits of one job; 0 = none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrapeLimits {
    /// Bytes of an answer, uncompressed.
    pub body_size_bytes: u64,
    /// Samples of a scrape after relabelling.
    pub samples: u64,
    /// Targets of the job after relabelling.
    pub targets: u64,
    /// Labels of a series, the metric's name and the target's labels included.
    pub labels: u64,
    /// Bytes of a label's name.
    pub label_name_bytes: u64,
    /// Bytes of a label's value.
    pub label_value_bytes: u64,
    /// Dropped targets to remember for the API.
    pub dropped_targets: u64,
}

/// A format of the scraped text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScrapeProtocol {
    /// Prometheus' protobuf, which alone has native histograms.
    PrometheusProto,
    /// Prometheus' text, version 0.0.4.
    PrometheusText004,
    /// Prometheus' text, version 1.0.0.
    PrometheusText100,
    /// OpenMetrics text, version 0.0.1.
    OpenMetricsText001,
    /// OpenMetrics text, version 1.0.0.
    OpenMetricsText100,
}

impl ScrapeProtocol {
    /// All formats, sorted by name.
    pub const ALL: [ScrapeProtocol; 5] = [
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::PrometheusText004,
        ScrapeProtocol::PrometheusText100,
    ];

    /// What is asked for where the configuration does not say, and native histograms are
    /// wanted.
    pub const PROTOBUF_FIRST: [ScrapeProtocol; 5] = [
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// What is asked for where the configuration does not say.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// Returns the name the configuration uses.
    pub fn name(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => "PrometheusProto",
            ScrapeProtocol::PrometheusText004 => "PrometheusText0.0.4",
            ScrapeProtocol::PrometheusText100 => "PrometheusText1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "OpenMetricsText0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "OpenMetricsText1.0.0",
        }
    }

    /// Finds a format by the name the configuration uses.
    pub fn by_name(name: &str) -> Option<ScrapeProtocol> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Returns the media type with its parameters, as the `Accept` header has it.
    pub fn media_type(self) -> &'static str {
        match self {
            ScrapeProtocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            ScrapeProtocol::PrometheusText004 => "text/plain;version=0.0.4",
            ScrapeProtocol::PrometheusText100 => "text/plain;version=1.0.0",
            ScrapeProtocol::OpenMetricsText001 => "application/openmetrics-text;version=0.0.1",
            ScrapeProtocol::OpenMetricsText100 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// Tells whether the format carries an `escaping` parameter.
    pub fn has_escaping(self) -> bool {
        matches!(
            self,
            ScrapeProtocol::PrometheusText100 | ScrapeProtocol::OpenMetricsText100
        )
    }
}

impl fmt::Display for ScrapeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ScrapeConfig {
    /// Returns a job with Prometheus' defaults and no targets.
    pub fn new(job_name: impl Into<String>, interval: Duration, timeout: Duration) -> ScrapeConfig {
        ScrapeConfig {
            job_name: job_name.into(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            params: BTreeMap::new(),
            interval,
            timeout,
            protocols: ScrapeProtocol::DEFAULT.to_vec(),
            protocols_by_default: true,
            fallback_protocol: None,
            native_histograms: false,
            always_classic_histograms: false,
            convert_classic_histograms: false,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: 0.0,
            metrics_path: "/metrics".to_owned(),
            scheme: "http".to_owned(),
            compression: true,
            limits: ScrapeLimits::default(),
            name_validation: NameValidation::Utf8,
            name_escaping: EscapingScheme::AllowUtf8,
            failure_log_file: PathBuf::new(),
            extra_metrics: false,
            client: ClientOptions::default(),
            static_configs: Vec::new(),
            discovery: Vec::new(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
        }
    }
}
