//! What files are accepted, what they mean, and what the others are told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kymo_ingest::discovery::{DnsConfig, DnsRecord, FileConfig, SourceConfig};
use kymo_ingest::http::{Auth, PemSource, SecretSource, TlsVersion};
use kymo_ingest::scrape::ScrapeProtocol;
use kymo_storage::compat::name::{EscapingScheme, NameValidation};

use std::time::Duration;

use super::*;

fn config(text: &str) -> Config {
    match parse(text, Path::new("/etc/kymo")) {
        Ok(config) => config,
        Err(error) => panic!("{text}\n{error}"),
    }
}

fn refusal(text: &str) -> String {
    match parse(text, Path::new("/etc/kymo")) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(error) => error.to_string(),
    }
}

fn job(text: &str) -> ScrapeConfig {
    let indented = text.replace('\n', "\n    ");
    let config = config(&format!(
        "scrape_configs:\n  - job_name: a\n    {indented}\n"
    ));
    config.scrape_configs[0].clone()
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in [
        "",
        "# nothing\n",
        "global:\n",
        "global: {}\nscrape_configs:\n",
    ] {
        let config = config(text);
        assert_eq!(config, Config::default(), "{text:?}");
        assert_eq!(config.global.scrape_interval, Duration::from_secs(60));
        assert_eq!(config.global.evaluation_interval, Duration::from_secs(60));
    }
}

#[test]
fn a_job_inherits_what_it_does_not_set() {
    let config = config(
        "scrape_configs:
  - job_name: own
    scrape_interval: 5s
    sample_limit: 7
    scrape_protocols: [PrometheusText0.0.4]
  - job_name: inherited
global:
  scrape_interval: 20s
  scrape_timeout: 15s
  sample_limit: 100
  body_size_limit: 15MB
  scrape_protocols: [OpenMetricsText1.0.0]
  metric_name_validation_scheme: legacy
  extra_scrape_metrics: true
",
    );
    let [own, inherited] = &config.scrape_configs[..] else {
        panic!("{config:?}");
    };
    assert_eq!(own.interval, Duration::from_secs(5));
    assert_eq!(own.timeout, Duration::from_secs(5));
    assert_eq!(own.limits.samples, 7);
    assert_eq!(own.limits.body_size_bytes, 15 << 20);
    assert_eq!(own.protocols, [ScrapeProtocol::PrometheusText004]);
    assert_eq!(inherited.interval, Duration::from_secs(20));
    assert_eq!(inherited.timeout, Duration::from_secs(15));
    assert_eq!(inherited.limits.samples, 100);
    assert_eq!(inherited.protocols, [ScrapeProtocol::OpenMetricsText100]);
    assert_eq!(inherited.name_validation, NameValidation::Legacy);
    assert_eq!(inherited.name_escaping, EscapingScheme::Underscores);
    assert!(inherited.extra_metrics);
}

#[test]
fn jobs_inherit_what_is_done_with_histograms() {
    let config = config(
        "scrape_configs:
  - job_name: own
    scrape_native_histograms: false
    convert_classic_histograms_to_nhcb: false
    native_histogram_bucket_limit: 100
    native_histogram_min_bucket_factor: 1.1
    fallback_scrape_protocol: PrometheusProto
  - job_name: inherited
  - job_name: asked
    scrape_protocols: [PrometheusProto]
global:
  scrape_native_histograms: true
  convert_classic_histograms_to_nhcb: true
  always_scrape_classic_histograms: true
",
    );
    let [own, inherited, asked] = &config.scrape_configs[..] else {
        panic!("{config:?}");
    };
    assert_eq!(own.protocols, ScrapeProtocol::DEFAULT);
    assert!(!own.native_histograms && !own.convert_classic_histograms);
    assert!(own.always_classic_histograms);
    assert_eq!(own.native_histogram_bucket_limit, 100);
    assert_eq!(own.native_histogram_min_bucket_factor, 1.1);
    let fallback = own.fallback_protocol;
    assert_eq!(fallback, Some(ScrapeProtocol::PrometheusProto));
    assert_eq!(inherited.protocols, ScrapeProtocol::PROTOBUF_FIRST);
    assert!(inherited.native_histograms && inherited.convert_classic_histograms);
    assert_eq!(asked.protocols, [ScrapeProtocol::PrometheusProto]);
}

#[test]
fn a_job_has_prometheus_defaults() {
    let job = job("static_configs:\n- targets: ['localhost:9100', b]\n  labels: {zone: a}");
    let expected = ScrapeConfig {
        static_configs: vec![kymo_ingest::scrape::TargetGroup {
            targets: vec!["localhost:9100".to_owned(), "b".to_owned()],
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        }],
        ..ScrapeConfig::new("a", Duration::from_secs(60), Duration::from_secs(10))
    };
    assert_eq!(job, expected);
    assert!(job.honor_timestamps && job.compression && job.client.follow_redirects);
    assert_eq!(job.metrics_path, "/metrics");
}

#[test]
fn a_written_null_is_the_zero_of_its_type() {
    let job = job("honor_timestamps:
enable_compression: ~
follow_redirects: null
enable_http2: ~
metrics_path: ~
scheme: ~
scrape_interval: ~
sample_limit: ~
scrape_protocols: ~
params: ~
tls_config: ~
basic_auth: ~
metric_relabel_configs: ~
static_configs: [{targets: [~], labels: {zone: ~}}]");
    assert!(!job.honor_timestamps && !job.compression);
    assert!(!job.client.follow_redirects && !job.client.http2);
    assert_eq!((job.metrics_path.as_str(), job.scheme.as_str()), ("", ""));
    // A zero of these inherits.
    assert_eq!(job.interval, Duration::from_secs(60));
    assert_eq!(job.protocols, ScrapeProtocol::DEFAULT);
    assert_eq!(job.client.auth, None);
    assert_eq!(job.static_configs[0].targets, [""]);
    assert_eq!(job.static_configs[0].labels["zone"], "");
    let text = "alerting: {alertmanagers: [{scheme: ~, timeout: ~, api_version: ~}]}";
    let alerting = config(text).alerting;
    assert_eq!(alerting.alertmanagers[0].scheme, "");
    assert_eq!(alerting.alertmanagers[0].timeout, Duration::ZERO);
    let text = "scrape_configs: [{job_name: a, static_configs: [~]}]";
    assert!(refusal(text).contains("empty or null section in static_configs"));
    let text = "scrape_configs: [{job_name: a, ~: 1}]";
    assert!(refusal(text).contains("field  not found in type config.ScrapeConfig"));
}

#[test]
fn a_second_document_is_left_out_with_a_warning() {
    let config = config("global: {scrape_interval: 5s}\n---\nnonsense: [\n");
    assert_eq!(config.global.scrape_interval, Duration::from_secs(5));
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("line 2: only the first document"));
}

#[test]
fn the_client_block_is_read() {
    let job = job("basic_auth:
  username: me
  password_file: secret/pw
tls_config:
  ca_file: /abs/ca.pem
  server_name: inner
  insecure_skip_verify: yes
  min_version: TLS13
follow_redirects: off
http_headers:
  X-Scope: {values: [one], secrets: [two]}
params: {module: [http_2xx, 7]}");
    let Some(Auth::Basic { username, password }) = &job.client.auth else {
        panic!("{:?}", job.client);
    };
    let Some(SecretSource::Inline(name)) = username else {
        panic!("{username:?}");
    };
    assert_eq!(name.expose(), "me");
    let path = PathBuf::from("/etc/kymo/secret/pw");
    assert_eq!(password, &Some(SecretSource::File(path)));
    let tls = &job.client.tls;
    assert_eq!(tls.ca, Some(PemSource::File(PathBuf::from("/abs/ca.pem"))));
    assert_eq!(tls.min_version, Some(TlsVersion::Tls13));
    assert!(tls.insecure_skip_verify && !job.client.follow_redirects);
    assert_eq!(job.client.headers[0].values, ["one"]);
    assert_eq!(job.params["module"], ["http_2xx", "7"]);
    assert!(!format!("{job:?}").contains("two"), "{job:?}");
}

#[test]
fn bearer_tokens_become_an_authorization() {
    let job = job("bearer_token: abc");
    let Some(Auth::Scheme {
        scheme,
        credentials,
    }) = job.client.auth
    else {
        panic!("no authorization");
    };
    assert_eq!(scheme, "Bearer");
    assert!(matches!(credentials, Some(SecretSource::Inline(s)) if s.expose() == "abc"));
}

#[test]
fn mistakes_are_told_in_prometheus_words_with_lines() {
    for (text, expected) in [
        (
            "global:\n  scrape_intervall: 5s\nfoo: 1\n",
            "yaml: unmarshal errors:\n  line 2: field scrape_intervall not found in type config.plain: did you mean \"scrape_interval\"?\n  line 3: field foo not found in type config.plain: not known here, remove it",
        ),
        (
            "scrape_configs:\n- job_name: a\n  honor_labels: maybe\n  sample_limit: -1\n",
            "yaml: unmarshal errors:\n  line 3: cannot unmarshal !!str `maybe` into bool\n  line 4: cannot unmarshal !!int `-1` into uint",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_interval: 5s\n  scrape_interval: 6s\n",
            "yaml: unmarshal errors:\n  line 4: field scrape_interval already set in type config.ScrapeConfig",
        ),
        (
            "scrape_configs:\n- metrics_path: /m\n",
            "job_name is empty (line 2, column 3)",
        ),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n",
            "found multiple scrape configs with job name \"a\" (line 3, column 3)",
        ),
        (
            "scrape_configs:\n-\n",
            "empty or null scrape config section (line 2, column 2)",
        ),
        (
            "global: {scrape_interval: 5s, scrape_timeout: 6s}\n",
            "global scrape timeout greater than scrape interval (line 1, column 31)",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_timeout: 2m\n",
            "scrape timeout greater than scrape interval for scrape config with job name \"a\" (line 3, column 3)",
        ),
        (
            "global:\n  scrape_interval: 5\n",
            "not a valid duration string: \"5\" (line 2, column 20)",
        ),
        (
            "global:\n  body_size_limit: 5x\n",
            "units: unknown unit x in 5x (line 2, column 20)",
        ),
        (
            "scrape_configs:\n- job_name: a\n  scrape_protocols: []\n",
            "scrape_protocols cannot be empty for scrape config with job name \"a\" (line 3, column 3)",
        ),
        (
            "global:\n  scrape_protocols: [x]\n",
            "scrape_protocols: unknown scrape protocol x, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0] for global config (line 2, column 3)",
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: [http://x]\n",
            "\"http://x\" is not a valid hostname (line 4, column 15)",
        ),
        (
            "global:\n  metric_name_validation_scheme: legacy\n  external_labels: {a.b: c}\n",
            "\"a.b\" is not a valid label name (line 3, column 21)",
        ),
        (
            "scrape_configs:\n- job_name: a\n  basic_auth: {password: a, password_file: b}\n",
            "at most one of basic_auth password, password_file & password_ref must be configured (line 3, column 15)",
        ),
        (
            "scrape_configs:\n- job_name: a\n  basic_auth: {username: a}\n  authorization: {credentials: b}\n",
            "at most one of basic_auth, oauth2 & authorization must be configured (line 4, column 3)",
        ),
        ("a: [\n", "yaml: line 1: "),
    ] {
        let refusal = refusal(text);
        assert!(
            refusal.starts_with(expected),
            "{text}\ngot  {refusal}\nwant {expected}"
        );
    }
}

#[test]
fn what_this_version_does_not_do_is_refused_by_name() {
    for (text, name, line) in [
        ("\nremote_read:\n- url: http://x\n", "remote_read", 2),
        (
            "scrape_configs:\n- job_name: a\n  consul_sd_configs:\n  - server: x\n",
            "consul_sd_configs",
            3,
        ),
        (
            "storage:\n  tsdb:\n    chunk_encoding: {floats: xor2}\n",
            "chunk_encoding",
            3,
        ),
    ] {
        let error = parse(text, Path::new("")).unwrap_err();
        let [problem] = error.problems() else {
            panic!("{error}");
        };
        assert_eq!(problem.kind, ProblemKind::Unsupported);
        assert_eq!(problem.at.line, line, "{text}");
        let start = format!("{name} is not supported yet by this version of Kymo (line {line}, ");
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(problem.remedy.is_some());
    }
    config(
        "rule_files:\n  # - a.yml\nremote_write: []\nscrape_configs:\n- job_name: a\n  dns_sd_configs:\n",
    );
}

#[test]
fn rule_files_are_patterns_beside_the_configuration() {
    let text = "rule_files: [a*.yml, ./b.yml, ../c/d.yml, /e/*.yml]\n";
    let read = parse(text, Path::new("etc/kymo")).unwrap();
    assert_eq!(
        read.rule_files,
        [
            "etc/kymo/a*.yml",
            "etc/kymo/b.yml",
            "etc/c/d.yml",
            "/e/*.yml"
        ]
    );
    assert_eq!(
        parse("rule_files: [a.yml]", Path::new(""))
            .unwrap()
            .rule_files,
        ["a.yml"]
    );
    let shown = read.yaml(&Retention::default());
    assert!(
        shown.contains("rule_files:\n- etc/kymo/a*.yml\n- etc/kymo/b.yml\n"),
        "{shown}"
    );
    for (text, message) in [
        (
            "rule_files: [a/*/b.yml]",
            "invalid rule file path \"a/*/b.yml\" (line 1, column 14)",
        ),
        (
            "rule_files: a.yml",
            "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `a.yml` into []string",
        ),
    ] {
        assert_eq!(parse(text, Path::new("")).unwrap_err().to_string(), message);
    }
}

#[test]
fn external_labels_expand_variables_and_warn_of_empty_ones() {
    let config = config("global:\n  external_labels: {zone: \"a$$\", x: $KYMO_TEST_IS_NOT_SET}\n");
    assert_eq!(config.global.external_labels.get("zone"), Some("a$"));
    assert_eq!(config.global.external_labels.get("x"), None);
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn a_file_is_named_in_its_errors() {
    let missing = load(Path::new("/nonexistent/p.yml")).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "couldn't load configuration (--config.file=\"/nonexistent/p.yml\"): open /nonexistent/p.yml: no such file or directory"
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.yml");
    std::fs::write(&path, "foo: 1\n").unwrap();
    let refused = load(&path).unwrap_err().to_string();
    let path = path.display();
    let expected = format!(
        "couldn't load configuration (--config.file=\"{path}\"): parsing YAML file {path}: yaml: unmarshal errors:\n  line 1: field foo not found in type config.plain"
    );
    assert!(refused.starts_with(&expected), "{refused}");
}

#[test]
fn the_storage_section_is_read_and_printed() {
    let full = config(
        "storage:
  tsdb:
    out_of_order_time_window: 30m
    retention: {time: 1d, size: 1.5GB, percentage: 80}
  exemplars: {max_exemplars: 7}
",
    );
    let storage = &full.storage;
    assert_eq!(storage.out_of_order_window, Duration::from_secs(1800));
    let retention = storage.retention;
    assert_eq!(retention.time, Duration::from_secs(86_400));
    assert_eq!(retention.size_bytes, 3 << 29);
    assert_eq!(retention.percentage, 80.0);
    assert_eq!(storage.max_exemplars, 7);
    assert_eq!(retention.text(), "1d or 1GiB512MiB or 80%");
    let yaml = full.yaml(&retention);
    let expected = "storage:
  tsdb:
    outofordertimewindow: 1800000
    out_of_order_time_window: 30m
    retention:
      time: 1d
      size: 1GiB512MiB
      percentage: 80
  exemplars:
    max_exemplars: 7
";
    assert!(yaml.contains(expected), "{yaml}");

    for text in ["", "storage:\n", "storage: {tsdb: {retention: {}}}\n"] {
        assert_eq!(config(text).storage, StorageConfig::default(), "{text:?}");
    }
    let none = config("storage: {exemplars: {max_exemplars: 0}}\n");
    assert_eq!(none.storage.max_exemplars, 0);
}

#[test]
fn mistakes_of_the_storage_section_are_named() {
    for (text, part) in [
        (
            "storage:\n  tsdb:\n    retention: {percentage: 101}\n",
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got 101 (line 3, ",
        ),
        (
            "storage:\n  tsdb:\n    retention: {size: 5x}\n",
            "units: unknown unit x in 5x (line 3, ",
        ),
        (
            "storage:\n  tsdb:\n    out_of_order_window: 5m\n",
            "line 3: field out_of_order_window not found in type config.plain",
        ),
        (
            "storage:\n  exemplars:\n    max_exemplars: many\n",
            "line 3: cannot unmarshal !!str `many` into ",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn limits_of_the_file_stand_above_those_of_the_flags() {
    let flags = Retention {
        time: Duration::from_secs(60),
        size_bytes: 5,
        percentage: 0.0,
    };
    let file = Retention {
        size_bytes: 7,
        ..Retention::default()
    };
    let both = flags.with(file);
    assert_eq!((both.time, both.size_bytes), (flags.time, 7));
    assert_eq!(flags.with(Retention::default()), flags);
    assert_eq!(Retention::default().text(), "");
}

/// The two configurations of the golden HTTP API, as far as this version takes them.
#[test]
fn the_configuration_prints_as_prometheus_prints_it() {
    let config = config(
        "global:
  scrape_interval: 1y
  external_labels: {cluster: golden, replica: a}
scrape_configs:
  - job_name: demo
    static_configs:
      - targets: ['127.0.0.1:29491']
        labels: {tier: front}
    relabel_configs:
      - source_labels: [__address__]
        regex: .*:29492
        action: drop
  - job_name: other
    honor_labels: true
    metrics_path: /probe
    scheme: https
    sample_limit: 5
    body_size_limit: 1.5MB
    params: {module: [http_2xx]}
    basic_auth: {username: someone, password: hidden-word}
    tls_config: {ca_file: ca.pem}
    static_configs:
      - targets: [example.invalid]
",
    );
    let expected = "global:
  scrape_interval: 1y
  scrape_timeout: 10s
  evaluation_interval: 1m
  external_labels:
    cluster: golden
    replica: a
  metric_name_validation_scheme: utf8
  scrape_native_histograms: false
  extra_scrape_metrics: false
runtime:
  gogc: 75
scrape_configs:
- job_name: demo
  honor_timestamps: true
  track_timestamps_staleness: false
  scrape_interval: 1y
  scrape_timeout: 10s
  scrape_protocols:
  - OpenMetricsText1.0.0
  - OpenMetricsText0.0.1
  - PrometheusText1.0.0
  - PrometheusText0.0.4
  scrape_native_histograms: false
  always_scrape_classic_histograms: false
  convert_classic_histograms_to_nhcb: false
  metrics_path: /metrics
  scheme: http
  enable_compression: true
  metric_name_validation_scheme: utf8
  metric_name_escaping_scheme: allow-utf-8
  extra_scrape_metrics: false
  follow_redirects: true
  enable_http2: true
  relabel_configs:
  - source_labels: [__address__]
    separator: ;
    regex: .*:29492
    replacement: $1
    action: drop
  static_configs:
  - targets:
    - 127.0.0.1:29491
    labels:
      tier: front
- job_name: other
  honor_labels: true
  honor_timestamps: true
  track_timestamps_staleness: false
  params:
    module:
    - http_2xx
  scrape_interval: 1y
  scrape_timeout: 10s
  scrape_protocols:
  - OpenMetricsText1.0.0
  - OpenMetricsText0.0.1
  - PrometheusText1.0.0
  - PrometheusText0.0.4
  scrape_native_histograms: false
  always_scrape_classic_histograms: false
  convert_classic_histograms_to_nhcb: false
  metrics_path: /probe
  scheme: https
  enable_compression: true
  body_size_limit: 1MiB512KiB
  sample_limit: 5
  metric_name_validation_scheme: utf8
  metric_name_escaping_scheme: allow-utf-8
  extra_scrape_metrics: false
  basic_auth:
    username: someone
    password: <secret>
  tls_config:
    ca_file: /etc/kymo/ca.pem
    insecure_skip_verify: false
  follow_redirects: true
  enable_http2: true
  static_configs:
  - targets:
    - example.invalid
storage:
  tsdb:
    outofordertimewindow: 0
    retention:
      time: 15d
  exemplars:
    max_exemplars: 100000
otlp:
  translation_strategy: UnderscoreEscapingWithSuffixes
  label_name_underscore_sanitization: true
  label_name_preserve_multiple_underscores: true
";
    let retention = Retention {
        time: Duration::from_secs(15 * 86_400),
        ..Retention::default()
    };
    assert_eq!(config.yaml(&retention), expected);
    assert_eq!(config.job_yaml("nope"), None);
}

#[test]
fn relabelling_rules_follow_the_names_of_their_job() {
    let rule = "\nmetric_relabel_configs:\n- {target_label: a.b, replacement: x}\n";
    assert_eq!(job(rule).metric_relabel.len(), 1);
    let text = format!(
        "scrape_configs:\n- job_name: a\n  metric_name_validation_scheme: legacy{}",
        rule.replace('\n', "\n  ")
    );
    assert_eq!(
        refusal(text.trim_end()),
        "\"a.b\" is invalid 'target_label' for replace action (line 5, column 6)"
    );
    // Rules may make an address of a URL.
    job("relabel_configs:\n- {action: drop, regex: x}\nstatic_configs:\n- targets: [http://x]");
}

/// The files that Prometheus and Debian ship have the section without any rules.
#[test]
fn alerting_without_rules_is_taken_and_shown() {
    let shipped = config(
        "alerting:
  alertmanagers:
    - static_configs:
        - targets:
          # - alertmanager:9093
rule_files:
  # - \"first_rules.yml\"
",
    );
    assert!(shipped.warnings.is_empty());
    let config = config(
        "alerting:
  alert_relabel_configs:
    - {regex: replica, action: labeldrop}
  alertmanagers:
    - static_configs:
        - targets: ['127.0.0.1:29498']
",
    );
    assert!(config.warnings.is_empty());
    let shown = config.yaml(&Retention::default());
    let expected = "runtime:
  gogc: 75
alerting:
  alert_relabel_configs:
  - separator: ;
    regex: replica
    replacement: $1
    action: labeldrop
  alertmanagers:
  - follow_redirects: true
    enable_http2: true
    scheme: http
    timeout: 10s
    api_version: v2
    static_configs:
    - targets:
      - 127.0.0.1:29498
storage:
";
    assert!(shown.contains(expected), "{shown}");
    assert_eq!(
        refusal("alerting: {alertmanagers: [{api_version: v1}]}\n"),
        "expected Alertmanager api version to be one of [v2] but got v1 (line 1, column 42)"
    );
    assert!(refusal("alerting: {x: 1}\n").contains("field x not found in type config.plain"));
}

#[test]
fn sources_of_targets_have_prometheus_defaults() {
    let job = job("file_sd_configs:
- files: [targets/*.json, /etc/x.yml]
dns_sd_configs:
- names: [_p._tcp.org]
- {names: [h], type: aaaa, port: 80, refresh_interval: 1m}
http_sd_configs:
- url: http://h/sd
  basic_auth: {username: u, password: hidden}");
    let dns = |names: &str, record, text: &str, port, seconds| {
        SourceConfig::Dns(DnsConfig {
            names: vec![names.to_owned()],
            record,
            record_text: text.to_owned(),
            port,
            refresh_interval: Duration::from_secs(seconds),
        })
    };
    assert_eq!(
        job.discovery[..3],
        [
            dns("_p._tcp.org", DnsRecord::Srv, "SRV", 0, 30),
            dns("h", DnsRecord::Aaaa, "aaaa", 80, 60),
            SourceConfig::File(FileConfig {
                files: vec![
                    "/etc/kymo/targets/*.json".to_owned(),
                    "/etc/x.yml".to_owned()
                ],
                refresh_interval: Duration::from_secs(300),
            }),
        ]
    );
    let SourceConfig::Http(http) = &job.discovery[3] else {
        panic!("{job:?}");
    };
    assert_eq!(http.refresh_interval, Duration::from_secs(60));
    assert!(http.client.auth.is_some());
    let config = Config {
        scrape_configs: vec![job],
        ..Config::default()
    };
    let shown = config.job_yaml("a").unwrap();
    let expected = "dns_sd_configs:
- names:
  - _p._tcp.org
  refresh_interval: 30s
  type: SRV
  port: 0
- names:
  - h
  refresh_interval: 1m
  type: aaaa
  port: 80
file_sd_configs:
- files:
  - /etc/kymo/targets/*.json
  - /etc/x.yml
  refresh_interval: 5m
http_sd_configs:
- basic_auth:
    username: u
    password: <secret>
  follow_redirects: true
  enable_http2: true
  refresh_interval: 1m
  url: http://h/sd
";
    assert!(shown.ends_with(expected), "{shown}");
}

#[test]
fn sources_of_targets_are_checked_as_prometheus_does_it() {
    for (source, complaint) in [
        (
            "file_sd_configs: [~]",
            "empty or null section in file_sd_configs",
        ),
        (
            "file_sd_configs: [{}]",
            "file service discovery config must contain at least one path name",
        ),
        (
            "file_sd_configs: [{files: ['*.txt']}]",
            "path name \"*.txt\" is not valid for file discovery",
        ),
        (
            "file_sd_configs: [{file: [a.yml]}]",
            "field file not found in type file.plain",
        ),
        (
            "file_sd_configs: a",
            "cannot unmarshal !!str `a` into []*file.SDConfig",
        ),
        (
            "dns_sd_configs: [{type: A}]",
            "DNS-SD config must contain at least one SRV record name",
        ),
        (
            "dns_sd_configs: [{names: [a], type: A}]",
            "a port is required in DNS-SD configs for all record types except SRV",
        ),
        (
            "dns_sd_configs: [{names: [a], type: TXT}]",
            "invalid DNS-SD records type TXT",
        ),
        (
            "dns_sd_configs: [{names: [a], refresh_interval: 0s}]",
            "refresh_interval must be longer than 0",
        ),
        (
            "dns_sd_configs: [{names: [a], refresh_interval: 1x}]",
            "unknown unit \"x\" in duration \"1x\"",
        ),
        ("http_sd_configs: [{}]", "URL is missing"),
        (
            "http_sd_configs: [{url: ftp://x}]",
            "URL scheme must be 'http' or 'https'",
        ),
        (
            "http_sd_configs: [{url: 'http:///x'}]",
            "host is missing in URL",
        ),
        (
            "http_sd_configs: [{url: 'http://[x'}]",
            "parse \"http://[x\": ",
        ),
    ] {
        let text = format!("scrape_configs: [{{job_name: a, {source}}}]");
        let found = refusal(&text);
        assert!(found.contains(complaint), "{found}");
    }
}

#[test]
fn files_of_targets_are_read_as_strictly() {
    let text = "- targets: [a:1, 2]\n  labels: {x: 1, y: ~}\n- {}\n";
    let groups = parse_target_groups(text).unwrap();
    assert_eq!(groups[0].targets, ["a:1", "2"]);
    assert_eq!(groups[0].labels["x"], "1");
    assert_eq!(groups[0].labels["y"], "");
    assert!(groups[1].targets.is_empty());
    assert!(parse_target_groups("").unwrap().is_empty());
    for (text, complaint) in [
        ("- ~", "nil target group item found"),
        ("- target: x", "field target not found in type struct"),
        ("a: b", "cannot unmarshal !!map into []*targetgroup.Group"),
        ("- targets: [a", "yaml: line"),
    ] {
        let found = parse_target_groups(text).unwrap_err();
        assert!(found.contains(complaint), "{found}");
    }
}
