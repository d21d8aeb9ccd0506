//! Entries of `scrape_configs`: read first, resolved against `global` afterwards,
//! because `global` may stand behind them in the file.

use std::collections::BTreeMap;
use std::path::Path;

use kymo_ingest::scrape::{ScrapeConfig, ScrapeProtocol};
use kymo_storage::compat::name::{EscapingScheme, NameValidation};
use kymo_storage::compat::quote::quote;

use super::discovery;
use super::fields::{self, Fields, Problems};
use super::global::{self, Global};
use super::http_client;
use super::relabel;
use super::yaml::{Node, Position};

/// Name that complaints about keys of an entry give it, as Go does.
const GO_TYPE: &str = "config.ScrapeConfig";

const TARGET_RULES: &str = "relabel_configs";
const METRIC_RULES: &str = "metric_relabel_configs";

/// An entry as written: zero durations and limits, and `None`, inherit.
pub(super) struct Draft<'n> {
    node: &'n Node,
    config: ScrapeConfig,
    protocols: Option<Vec<ScrapeProtocol>>,
    native_histograms: Option<bool>,
    always_classic_histograms: Option<bool>,
    convert_classic_histograms: Option<bool>,
    extra_metrics: Option<bool>,
    name_validation: Option<NameValidation>,
    name_escaping: Option<EscapingScheme>,
    /// Lists of rules by key; which names are valid in them is inherited, too.
    rules: Vec<(&'static str, &'n Node)>,
}

/// Reads one entry. Paths in it are relative to `dir`.
pub(super) fn read<'n>(node: &'n Node, dir: &Path, problems: &mut Problems) -> Option<Draft<'n>> {
    if node.is_null() {
        problems.value(node.at, "empty or null scrape config section");
        return None;
    }
    let mut fields = Fields::open(node, GO_TYPE, problems);
    let job_name = fields.string("job_name", problems);
    if job_name.is_empty() {
        problems.value(node.at, "job_name is empty");
    }
    let interval = global::duration(&mut fields, "scrape_interval", problems);
    let timeout = global::duration(&mut fields, "scrape_timeout", problems);
    let place = format!(" for scrape config with job name {}", quote(&job_name));
    let protocols = global::protocols(&mut fields, &place, problems);
    let mut config = ScrapeConfig::new(job_name, interval, timeout);
    config.limits = global::limits(&mut fields, problems);
    let failure_log = fields.string("scrape_failure_log_file", problems);
    config.failure_log_file = http_client::join_dir(dir, &failure_log);
    read_switches(&mut fields, &mut config, problems);
    read_request(&mut fields, &mut config, &place, problems);
    read_histogram_limits(&mut fields, &mut config, problems);
    let mut rules = Vec::new();
    for name in [TARGET_RULES, METRIC_RULES] {
        let node = fields.take(name).filter(|node| !node.is_empty());
        rules.extend(node.map(|node| (name, node)));
    }
    let draft = Draft {
        node,
        rules: rules.clone(),
        protocols,
        native_histograms: fields.bool("scrape_native_histograms", problems),
        always_classic_histograms: fields.bool("always_scrape_classic_histograms", problems),
        convert_classic_histograms: fields.bool("convert_classic_histograms_to_nhcb", problems),
        extra_metrics: fields.bool("extra_scrape_metrics", problems),
        name_validation: global::validation(&mut fields, problems),
        name_escaping: global::escaping(&mut fields, "scrape config", problems),
        config: ScrapeConfig {
            client: http_client::take(&mut fields, dir, problems),
            static_configs: discovery::take_static(&mut fields, problems),
            discovery: discovery::take_sources(&mut fields, dir, problems),
            ..config
        },
    };
    discovery::refuse_others(&mut fields, problems);
    if !rules.iter().any(|(name, _)| *name == TARGET_RULES) {
        discovery::check_addresses(node, problems);
    }
    fields.finish(problems);
    Some(draft)
}

fn read_switches(fields: &mut Fields<'_>, config: &mut ScrapeConfig, problems: &mut Problems) {
    for (name, value) in [
        ("honor_labels", &mut config.honor_labels),
        ("honor_timestamps", &mut config.honor_timestamps),
        (
            "track_timestamps_staleness",
            &mut config.track_timestamps_staleness,
        ),
        ("enable_compression", &mut config.compression),
    ] {
        *value = fields.bool_or(name, *value, problems);
    }
}

fn read_request(
    fields: &mut Fields<'_>,
    config: &mut ScrapeConfig,
    place: &str,
    problems: &mut Problems,
) {
    for (name, value) in [
        ("metrics_path", &mut config.metrics_path),
        ("scheme", &mut config.scheme),
    ] {
        *value = fields.string_or(name, value, problems);
    }
    if let Some(node) = fields.take("params") {
        config.params = params(node, problems);
    }
    let fallback = |name: &str| match ScrapeProtocol::by_name(name) {
        _ if name.is_empty() => Ok(None),
        Some(protocol) => Ok(Some(protocol)),
        None => {
            let text = global::unknown_protocol(name);
            Err(format!("invalid fallback_scrape_protocol{place}: {text}"))
        }
    };
    config.fallback_protocol = fields
        .parsed("fallback_scrape_protocol", problems, fallback)
        .flatten();
}

fn read_histogram_limits(
    fields: &mut Fields<'_>,
    config: &mut ScrapeConfig,
    problems: &mut Problems,
) {
    config.native_histogram_bucket_limit = fields.uint("native_histogram_bucket_limit", problems);
    if let Some(node) = fields.take("native_histogram_min_bucket_factor") {
        config.native_histogram_min_bucket_factor = fields::float(node, problems).unwrap_or(0.0);
    }
}

fn params(node: &Node, problems: &mut Problems) -> BTreeMap<String, Vec<String>> {
    let pairs = fields::pairs(node, "url.Values", problems);
    pairs
        .into_iter()
        .map(|(_, name, values)| (name, fields::strings(values, problems)))
        .collect()
}

impl Draft<'_> {
    /// Returns where the job's name stands.
    pub(super) fn job_position(&self) -> Position {
        self.node.position_of("job_name")
    }

    /// Fills in what the entry inherits and checks what depends on it.
    pub(super) fn resolve(self, global: &Global, problems: &mut Problems) -> ScrapeConfig {
        let mut config = self.config;
        let job = format!(
            "for scrape config with job name {}",
            quote(&config.job_name)
        );
        if config.interval.is_zero() {
            config.interval = global.scrape_interval;
        }
        if config.timeout > config.interval {
            let at = self.node.position_of("scrape_timeout");
            let text = format!("scrape timeout greater than scrape interval {job}");
            problems.value(at, text);
        }
        if config.timeout.is_zero() {
            config.timeout = global.scrape_timeout.min(config.interval);
        }
        inherit_limits(&mut config, global);
        if config.failure_log_file.as_os_str().is_empty() {
            config
                .failure_log_file
                .clone_from(&global.scrape_failure_log_file);
        }
        let protocols = self.protocols.or_else(|| global.scrape_protocols.clone());
        config.native_histograms = self.native_histograms.unwrap_or(global.native_histograms);
        config.protocols_by_default = protocols.is_none();
        // As in Prometheus, what `global` asks for counts even where histograms are wanted.
        config.protocols = protocols.unwrap_or_else(|| match config.native_histograms {
            true => ScrapeProtocol::PROTOBUF_FIRST.to_vec(),
            false => ScrapeProtocol::DEFAULT.to_vec(),
        });
        config.convert_classic_histograms = self
            .convert_classic_histograms
            .unwrap_or(global.convert_classic_histograms);
        config.always_classic_histograms = self
            .always_classic_histograms
            .unwrap_or(global.always_classic_histograms);
        config.extra_metrics = self.extra_metrics.unwrap_or(global.extra_metrics);
        config.name_validation = self.name_validation.unwrap_or(global.name_validation);
        config.name_escaping = self
            .name_escaping
            .unwrap_or_else(|| match self.name_validation {
                None => global.effective_escaping(),
                Some(validation) => default_escaping(validation),
            });
        let utf8 = config.name_escaping == EscapingScheme::AllowUtf8;
        if utf8 && config.name_validation == NameValidation::Legacy {
            let at = self.node.position_of("metric_name_escaping_scheme");
            let text = "utf8 metric names requested but validation scheme is not set to UTF8";
            problems.value(at, text);
        }
        for (name, node) in self.rules {
            let (what, rules) = match name {
                TARGET_RULES => (
                    "target relabeling rule in scrape config",
                    &mut config.relabel,
                ),
                _ => (
                    "metric relabeling rule in scrape config",
                    &mut config.metric_relabel,
                ),
            };
            *rules = relabel::read(node, what, config.name_validation, problems);
        }
        config
    }
}

impl Global {
    /// Returns how foreign names are asked for where a job does not say.
    pub fn effective_escaping(&self) -> EscapingScheme {
        self.name_escaping
            .unwrap_or_else(|| default_escaping(self.name_validation))
    }
}

fn default_escaping(validation: NameValidation) -> EscapingScheme {
    match validation {
        NameValidation::Utf8 => EscapingScheme::AllowUtf8,
        NameValidation::Legacy => EscapingScheme::Underscores,
    }
}

fn inherit_limits(config: &mut ScrapeConfig, global: &Global) {
    let (own, inherited) = (&mut config.limits, &global.limits);
    for (own, inherited) in [
        (&mut own.body_size_bytes, inherited.body_size_bytes),
        (&mut own.samples, inherited.samples),
        (&mut own.targets, inherited.targets),
        (&mut own.labels, inherited.labels),
        (&mut own.label_name_bytes, inherited.label_name_bytes),
        (&mut own.label_value_bytes, inherited.label_value_bytes),
        (&mut own.dropped_targets, inherited.dropped_targets),
    ] {
        if *own == 0 {
            *own = inherited;
        }
    }
}
