//! The `global` section: what every job inherits, and the server's own labels.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kymo_ingest::scrape::{ScrapeLimits, ScrapeProtocol};
use kymo_storage::compat::name::{EscapingScheme, NameValidation};
use kymo_storage::compat::quote::quote;
use kymo_storage::model::Labels;

use super::expand::expand_env;
use super::fields::{self, Fields, Problems};
use super::http_client::join_dir;
use super::units;
use super::yaml::Node;

/// Name that complaints about keys of this section give it, as Go does.
const GO_TYPE: &str = "config.plain";

/// The validated `global` section; what the file leaves out has Prometheus' default.
#[derive(Debug, Clone, PartialEq)]
pub struct Global {
    /// Time between scrapes where a job does not say.
    pub scrape_interval: Duration,
    /// Longest scrape where a job does not say; at most `scrape_interval`.
    pub scrape_timeout: Duration,
    /// Time between evaluations of rules.
    pub evaluation_interval: Duration,
    /// How far rule queries look back behind now.
    pub rule_query_offset: Duration,
    /// File for a line about each query; empty for none.
    pub query_log_file: PathBuf,
    /// File for a line about each scrape that fails, where a job names none; empty for none.
    pub scrape_failure_log_file: PathBuf,
    /// Labels of this server, with environment variables put in.
    pub external_labels: Labels,
    /// Limits a job inherits one by one where it sets none.
    pub limits: ScrapeLimits,
    /// Formats to ask for, where the file says so.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// Rules for names.
    pub name_validation: NameValidation,
    /// How foreign names are asked for, where the file says so.
    pub name_escaping: Option<EscapingScheme>,
    /// `scrape_native_histograms`.
    pub native_histograms: bool,
    /// `convert_classic_histograms_to_nhcb`.
    pub convert_classic_histograms: bool,
    /// `always_scrape_classic_histograms`.
    pub always_classic_histograms: bool,
    /// `extra_scrape_metrics`.
    pub extra_metrics: bool,
}

impl Default for Global {
    fn default() -> Global {
        Global {
            scrape_interval: Duration::from_secs(60),
            scrape_timeout: Duration::from_secs(10),
            evaluation_interval: Duration::from_secs(60),
            rule_query_offset: Duration::ZERO,
            query_log_file: PathBuf::new(),
            scrape_failure_log_file: PathBuf::new(),
            external_labels: Labels::empty(),
            limits: ScrapeLimits::default(),
            scrape_protocols: None,
            name_validation: NameValidation::Utf8,
            name_escaping: Some(EscapingScheme::AllowUtf8),
            native_histograms: false,
            convert_classic_histograms: false,
            always_classic_histograms: false,
            extra_metrics: false,
        }
    }
}

/// Reads the section. Paths in it are relative to `dir`; `warnings` takes what is allowed
/// but worth a word.
pub(super) fn read(
    node: &Node,
    dir: &Path,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Global {
    let defaults = Global::default();
    let mut fields = Fields::open(node, GO_TYPE, problems);
    let mut global = Global {
        scrape_interval: duration(&mut fields, "scrape_interval", problems),
        scrape_timeout: duration(&mut fields, "scrape_timeout", problems),
        evaluation_interval: duration(&mut fields, "evaluation_interval", problems),
        rule_query_offset: duration(&mut fields, "rule_query_offset", problems),
        query_log_file: join_dir(dir, &fields.string("query_log_file", problems)),
        scrape_failure_log_file: join_dir(dir, &fields.string("scrape_failure_log_file", problems)),
        external_labels: Labels::empty(),
        limits: limits(&mut fields, problems),
        scrape_protocols: protocols(&mut fields, " for global config", problems),
        name_validation: validation(&mut fields, problems).unwrap_or(NameValidation::Utf8),
        name_escaping: escaping(&mut fields, "global", problems),
        native_histograms: fields.bool_or("scrape_native_histograms", false, problems),
        convert_classic_histograms: fields.bool_or(
            "convert_classic_histograms_to_nhcb",
            false,
            problems,
        ),
        always_classic_histograms: fields.bool_or(
            "always_scrape_classic_histograms",
            false,
            problems,
        ),
        extra_metrics: fields.bool_or("extra_scrape_metrics", false, problems),
    };
    if let Some(node) = fields.take("external_labels") {
        global.external_labels = external_labels(node, global.name_validation, problems, warnings);
    }
    if global.scrape_interval.is_zero() {
        global.scrape_interval = defaults.scrape_interval;
    }
    if global.scrape_timeout > global.scrape_interval {
        problems.value(
            fields.position_of("scrape_timeout"),
            "global scrape timeout greater than scrape interval",
        );
    }
    if global.scrape_timeout.is_zero() {
        global.scrape_timeout = defaults.scrape_timeout.min(global.scrape_interval);
    }
    if global.evaluation_interval.is_zero() {
        global.evaluation_interval = defaults.evaluation_interval;
    }
    fields.finish(problems);
    global
}

fn external_labels(
    node: &Node,
    validation: NameValidation,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Labels {
    let mut labels = Vec::new();
    for (at, name, value) in fields::pairs(node, "map[string]string", problems) {
        let Some(text) = fields::string(value, problems) else {
            continue;
        };
        if !validation.is_label_name(&name) {
            problems.value(at, format!("{} is not a valid label name", quote(&name)));
        }
        let expanded = expand_env(&text, |variable| {
            let value = std::env::var(variable).ok().filter(|v| !v.is_empty());
            if value.is_none() {
                warnings.push(format!(
                    "external label {name}: empty environment variable {variable}"
                ));
            }
            value
        });
        labels.push((name, expanded));
    }
    Labels::from_pairs(labels)
}

/// Takes a duration; zero where it is missing, which means "inherit".
pub(super) fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Duration {
    fields
        .parsed(name, problems, units::parse_duration)
        .unwrap_or_default()
}

/// Takes the limits that `global` and each job share; 0 where one is missing.
pub(super) fn limits(fields: &mut Fields<'_>, problems: &mut Problems) -> ScrapeLimits {
    ScrapeLimits {
        body_size_bytes: fields
            .parsed("body_size_limit", problems, units::parse_size)
            .unwrap_or(0),
        samples: fields.uint("sample_limit", problems),
        targets: fields.uint("target_limit", problems),
        labels: fields.uint("label_limit", problems),
        label_name_bytes: fields.uint("label_name_length_limit", problems),
        label_value_bytes: fields.uint("label_value_length_limit", problems),
        dropped_targets: fields.uint("keep_dropped_targets", problems),
    }
}

/// Takes `scrape_protocols`; `place` ends the texts of its mistakes.
pub(super) fn protocols(
    fields: &mut Fields<'_>,
    place: &str,
    problems: &mut Problems,
) -> Option<Vec<ScrapeProtocol>> {
    let node = fields.take("scrape_protocols")?;
    let names = fields::strings(node, problems);
    let at = fields.position_of("scrape_protocols");
    if names.is_empty() {
        problems.value(at, format!("scrape_protocols cannot be empty{place}"));
        return None;
    }
    let mut protocols = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        if names[..i].iter().any(|n| n.eq_ignore_ascii_case(name)) {
            let all = names.join(" ");
            let text = format!("duplicated protocol in scrape_protocols, got [{all}]{place}");
            problems.value(at, text);
            return None;
        }
        match ScrapeProtocol::by_name(name) {
            Some(protocol) => protocols.push(protocol),
            None => {
                let text = unknown_protocol(name);
                problems.value(at, format!("scrape_protocols: {text}{place}"));
                return None;
            }
        }
    }
    Some(protocols)
}

/// Returns the text for a format that does not exist.
pub(super) fn unknown_protocol(name: &str) -> String {
    let all = ScrapeProtocol::ALL.map(ScrapeProtocol::name).join(" ");
    format!("unknown scrape protocol {name}, supported: [{all}]")
}

/// Takes `metric_name_validation_scheme`.
pub(super) fn validation(
    fields: &mut Fields<'_>,
    problems: &mut Problems,
) -> Option<NameValidation> {
    let parse = |text: &str| match NameValidation::from_config(text) {
        None if !text.is_empty() => Err(format!("unrecognized ValidationScheme: {}", quote(text))),
        scheme => Ok(scheme),
    };
    fields
        .parsed("metric_name_validation_scheme", problems, parse)
        .flatten()
}

/// Takes `metric_name_escaping_scheme`; `owner` is `global` or `scrape config`.
pub(super) fn escaping(
    fields: &mut Fields<'_>,
    owner: &str,
    problems: &mut Problems,
) -> Option<EscapingScheme> {
    let parse = |text: &str| match EscapingScheme::from_parameter(text) {
        None if !text.is_empty() => Err(format!(
            "unknown {owner} name escaping method specified, must be one of \
             'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
            quote(text)
        )),
        scheme => Ok(scheme),
    };
    fields
        .parsed("metric_name_escaping_scheme", problems, parse)
        .flatten()
}
