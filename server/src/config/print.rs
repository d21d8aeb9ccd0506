//! The configuration in force as text, for `/api/v1/status/config`: every value that
//! Prometheus shows, in its order, defaults filled in, secrets hidden.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::discovery::{AttachMetadata, KubernetesConfig, SourceConfig};
use kymo_ingest::otlp::{Promotion, Settings};
use kymo_ingest::scrape::{ScrapeConfig, ScrapeLimits, TargetGroup};
use kymo_storage::compat::float;
use kymo_storage::model::RelabelRule;

use super::emit::{MapWriter, Yaml};
use super::print_client::put_client;
use super::print_limits::limits_config;
use super::{Alerting, Config, Global, LogsConfig, Retention, StorageConfig, remote_write, units};

impl Config {
    /// Returns the configuration as canonical YAML. `retention` is what is in force,
    /// wherever it was set.
    pub fn yaml(&self, retention: &Retention) -> String {
        let mut runtime = MapWriter::default();
        runtime.number("gogc", 75);
        let jobs = self.scrape_configs.iter().map(job).collect();
        let mut top = MapWriter::default();
        top.map("global", global(&self.global))
            .map("runtime", runtime)
            .map("alerting", alerting(&self.alerting))
            .list(
                "rule_files",
                self.rule_files.iter().map(|p| text(p)).collect(),
            )
            .list(
                "log_rule_files",
                self.log_rule_files.iter().map(|p| text(p)).collect(),
            )
            .list(
                "scrape_config_files",
                self.scrape_config_files.iter().map(|p| text(p)).collect(),
            )
            .list("scrape_configs", jobs)
            .map("storage", storage(&self.storage, retention))
            .list(
                "remote_write",
                self.remote_write.iter().map(remote_write::print).collect(),
            )
            .map("otlp", otlp(&self.otlp));
        if self.logs != LogsConfig::default() {
            top.map("limits_config", limits_config(&self.logs));
        }
        if let Some(logs) = &self.log_configs_shown {
            top.put("log_configs", logs.clone());
        }
        top.done().document()
    }

    /// Returns one job as canonical YAML; `None` where there is none of the name.
    pub fn job_yaml(&self, name: &str) -> Option<String> {
        let found = self.jobs().find(|c| c.job_name == name)?;
        Some(job(found).document())
    }
}

fn global(global: &Global) -> MapWriter {
    let mut map = MapWriter::default();
    put_duration(&mut map, "scrape_interval", global.scrape_interval);
    put_duration(&mut map, "scrape_timeout", global.scrape_timeout);
    let protocols = global.scrape_protocols.iter().flatten();
    map.list(
        "scrape_protocols",
        protocols.map(|p| text(p.name())).collect(),
    );
    put_duration(&mut map, "evaluation_interval", global.evaluation_interval);
    if !global.rule_query_offset.is_zero() {
        put_duration(&mut map, "rule_query_offset", global.rule_query_offset);
    }
    let mut external = MapWriter::default();
    for (name, value) in &global.external_labels {
        external.put(name, text(value));
    }
    map.map("external_labels", external);
    let query_log = global.query_log_file.to_string_lossy();
    map.text("query_log_file", &query_log);
    let failure_log = global.scrape_failure_log_file.to_string_lossy();
    map.text("scrape_failure_log_file", &failure_log);
    put_limits(&mut map, &global.limits);
    map.number("keep_dropped_targets", global.limits.dropped_targets)
        .text(
            "metric_name_validation_scheme",
            global.name_validation.as_str(),
        );
    if let Some(scheme) = global.name_escaping {
        map.text("metric_name_escaping_scheme", scheme.as_str());
    }
    map.flag("scrape_native_histograms", global.native_histograms);
    if global.convert_classic_histograms {
        map.flag("convert_classic_histograms_to_nhcb", true);
    }
    if global.always_classic_histograms {
        map.flag("always_scrape_classic_histograms", true);
    }
    map.flag("extra_scrape_metrics", global.extra_metrics);
    map
}

fn alerting(alerting: &Alerting) -> MapWriter {
    let entries = alerting.alertmanagers.iter().map(|entry| {
        let mut map = MapWriter::default();
        put_client(&mut map, &entry.client);
        map.text("scheme", &entry.scheme)
            .text("path_prefix", &entry.path_prefix);
        put_duration(&mut map, "timeout", entry.timeout);
        map.text("api_version", "v2")
            .list("relabel_configs", entry.relabel.iter().map(rule).collect())
            .list(
                "alert_relabel_configs",
                entry.alert_relabel.iter().map(rule).collect(),
            );
        put_targets(&mut map, &entry.static_configs, &entry.discovery);
        map.done()
    });
    let mut map = MapWriter::default();
    map.list(
        "alert_relabel_configs",
        alerting.alert_relabel.iter().map(rule).collect(),
    )
    .list("alertmanagers", entries.collect());
    map
}

fn job(config: &ScrapeConfig) -> Yaml {
    let mut map = MapWriter::default();
    map.put("job_name", text(&config.job_name));
    if config.honor_labels {
        map.flag("honor_labels", true);
    }
    map.flag("honor_timestamps", config.honor_timestamps).flag(
        "track_timestamps_staleness",
        config.track_timestamps_staleness,
    );
    let mut params = MapWriter::default();
    for (name, values) in &config.params {
        params.put(name, texts(values));
    }
    map.map("params", params);
    put_duration(&mut map, "scrape_interval", config.interval);
    put_duration(&mut map, "scrape_timeout", config.timeout);
    let protocols = config.protocols.iter().map(|p| text(p.name()));
    map.list("scrape_protocols", protocols.collect());
    if let Some(protocol) = config.fallback_protocol {
        map.text("fallback_scrape_protocol", protocol.name());
    }
    map.flag("scrape_native_histograms", config.native_histograms)
        .flag(
            "always_scrape_classic_histograms",
            config.always_classic_histograms,
        )
        .flag(
            "convert_classic_histograms_to_nhcb",
            config.convert_classic_histograms,
        )
        .text(
            "scrape_failure_log_file",
            &config.failure_log_file.to_string_lossy(),
        )
        .text("metrics_path", &config.metrics_path)
        .text("scheme", &config.scheme)
        .flag("enable_compression", config.compression);
    put_limits(&mut map, &config.limits);
    map.number(
        "native_histogram_bucket_limit",
        config.native_histogram_bucket_limit,
    );
    let factor = config.native_histogram_min_bucket_factor;
    if factor != 0.0 {
        map.put(
            "native_histogram_min_bucket_factor",
            Yaml::Plain(float::g(factor)),
        );
    }
    map.number("keep_dropped_targets", config.limits.dropped_targets)
        .text(
            "metric_name_validation_scheme",
            config.name_validation.as_str(),
        )
        .text("metric_name_escaping_scheme", config.name_escaping.as_str())
        .flag("extra_scrape_metrics", config.extra_metrics);
    put_client(&mut map, &config.client);
    map.list("relabel_configs", config.relabel.iter().map(rule).collect())
        .list(
            "metric_relabel_configs",
            config.metric_relabel.iter().map(rule).collect(),
        );
    put_targets(&mut map, &config.static_configs, &config.discovery);
    map.done()
}

/// Puts where targets come from: the kinds in order of name, as Prometheus shows them.
fn put_targets(map: &mut MapWriter, static_configs: &[TargetGroup], sources: &[SourceConfig]) {
    for (key, mechanism) in [
        ("dns_sd_configs", "dns"),
        ("docker_sd_configs", "docker"),
        ("file_sd_configs", "file"),
        ("http_sd_configs", "http"),
        ("kubernetes_sd_configs", "kubernetes"),
    ] {
        let of_kind = sources.iter().filter(|s| s.mechanism() == mechanism);
        map.list(key, of_kind.map(source).collect());
    }
    map.list("static_configs", static_configs.iter().map(group).collect());
}

fn source(source: &SourceConfig) -> Yaml {
    let mut map = MapWriter::default();
    match source {
        SourceConfig::Dns(dns) => {
            map.put("names", texts(&dns.names));
            put_duration(&mut map, "refresh_interval", dns.refresh_interval);
            map.put("type", text(&dns.record_text));
            map.put("port", Yaml::Plain(dns.port.to_string()));
        }
        SourceConfig::Docker(docker) => {
            let filters = docker.filters.iter().map(|filter| {
                let mut map = MapWriter::default();
                map.put("name", text(&filter.name))
                    .put("values", texts(&filter.values));
                map.done()
            });
            put_client(&mut map, &docker.client);
            map.put("host", text(&docker.host))
                .put("port", Yaml::Plain(docker.port.to_string()))
                .put("filters", Yaml::List(filters.collect()))
                .put("host_networking_host", text(&docker.host_networking_host));
            put_duration(&mut map, "refresh_interval", docker.refresh_interval);
            map.flag("match_first_network", docker.match_first_network);
        }
        SourceConfig::Kubernetes(config) => put_kubernetes(&mut map, config),
        SourceConfig::File(file) => {
            map.put("files", texts(&file.files));
            put_duration(&mut map, "refresh_interval", file.refresh_interval);
        }
        SourceConfig::Http(http) => {
            put_client(&mut map, &http.client);
            put_duration(&mut map, "refresh_interval", http.refresh_interval);
            map.put("url", text(&http.url));
        }
        _ => {}
    }
    map.done()
}

fn put_kubernetes(map: &mut MapWriter, config: &KubernetesConfig) {
    let kubeconfig = config.kubeconfig.as_deref().unwrap_or(Path::new(""));
    map.text(
        "api_server",
        config.api_server.as_deref().unwrap_or_default(),
    )
    .put("role", text(config.role.name()))
    .put("kubeconfig_file", text(&kubeconfig.display().to_string()));
    put_client(map, &config.client);
    if config.own_namespace || !config.namespaces.is_empty() {
        let mut namespaces = MapWriter::default();
        namespaces
            .flag("own_namespace", config.own_namespace)
            .put("names", texts(&config.namespaces));
        map.map("namespaces", namespaces);
    }
    let selectors = config.selectors.iter().map(|selector| {
        let mut map = MapWriter::default();
        map.text("role", selector.role.name())
            .text("label", &selector.label)
            .text("field", &selector.field);
        map.done()
    });
    map.list("selectors", selectors.collect());
    let attach = config.attach;
    if attach != AttachMetadata::default() {
        let mut metadata = MapWriter::default();
        metadata
            .flag("node", attach.node)
            .flag("namespace", attach.namespace)
            .flag("deployment", attach.deployment)
            .flag("job", attach.job)
            .flag("cronjob", attach.cronjob);
        map.map("attach_metadata", metadata);
    }
}

fn put_limits(map: &mut MapWriter, limits: &ScrapeLimits) {
    if limits.body_size_bytes != 0 {
        map.text(
            "body_size_limit",
            &units::print_size(limits.body_size_bytes),
        );
    }
    map.number("sample_limit", limits.samples)
        .number("target_limit", limits.targets)
        .number("label_limit", limits.labels)
        .number("label_name_length_limit", limits.label_name_bytes)
        .number("label_value_length_limit", limits.label_value_bytes);
}

pub(super) fn rule(rule: &RelabelRule) -> Yaml {
    let config = rule.config();
    let mut map = MapWriter::default();
    if let Some(names) = config
        .source_labels
        .as_ref()
        .filter(|names| !names.is_empty())
    {
        map.put("source_labels", Yaml::Flow(names.clone()));
    }
    map.put("separator", text(&config.separator));
    if let Some(regex) = &config.regex {
        map.put("regex", text(regex));
    }
    map.number("modulus", config.modulus)
        .text("target_label", &config.target_label)
        .put("replacement", text(&config.replacement))
        .text("action", config.action.as_str());
    map.done()
}

fn group(group: &TargetGroup) -> Yaml {
    let mut map = MapWriter::default();
    map.put("targets", texts(&group.targets));
    let mut labels = MapWriter::default();
    for (name, value) in &group.labels {
        labels.put(name, text(value));
    }
    map.map("labels", labels);
    map.done()
}

fn storage(config: &StorageConfig, retention: &Retention) -> MapWriter {
    let mut limits = MapWriter::default();
    if !retention.time.is_zero() {
        put_duration(&mut limits, "time", retention.time);
    }
    if retention.size_bytes > 0 {
        limits.text("size", &units::print_size(retention.size_bytes));
    }
    if retention.percentage > 0.0 {
        limits.put("percentage", Yaml::Plain(float::g(retention.percentage)));
    }
    let window = config.out_of_order_window;
    let mut tsdb = MapWriter::default();
    // Prometheus shows the window twice, in milliseconds too, which no file can set.
    tsdb.put(
        "outofordertimewindow",
        Yaml::Plain(window.as_millis().to_string()),
    );
    if !window.is_zero() {
        put_duration(&mut tsdb, "out_of_order_time_window", window);
    }
    tsdb.map("retention", limits);
    let mut exemplars = MapWriter::default();
    exemplars.number("max_exemplars", config.max_exemplars);
    let mut map = MapWriter::default();
    map.map("tsdb", tsdb).map("exemplars", exemplars);
    map
}

fn otlp(settings: &Settings) -> MapWriter {
    let mut map = MapWriter::default();
    match &settings.promotion {
        Promotion::AllBut(ignored) => {
            map.flag("promote_all_resource_attributes", true).list(
                "ignore_resource_attributes",
                ignored.iter().map(|name| text(name)).collect(),
            );
        }
        Promotion::Listed(names) => {
            let names = names.iter().map(|name| text(name));
            map.list("promote_resource_attributes", names.collect());
        }
    }
    map.text("translation_strategy", settings.strategy.as_str());
    for (key, on) in [
        (
            "keep_identifying_resource_attributes",
            settings.keep_identifying_attributes,
        ),
        (
            "convert_histograms_to_nhcb",
            settings.convert_histograms_to_nhcb,
        ),
        ("promote_scope_metadata", settings.promote_scope_metadata),
        (
            "label_name_underscore_sanitization",
            settings.underscore_sanitization,
        ),
        (
            "label_name_preserve_multiple_underscores",
            settings.preserve_multiple_underscores,
        ),
    ] {
        if on {
            map.flag(key, true);
        }
    }
    map
}

pub(super) fn put_duration(map: &mut MapWriter, key: &str, value: Duration) {
    map.text(key, &units::print_duration(value));
}

pub(super) fn text(text: &str) -> Yaml {
    Yaml::Text(text.to_owned())
}

pub(super) fn texts(items: &[String]) -> Yaml {
    Yaml::List(items.iter().map(|item| text(item)).collect())
}
