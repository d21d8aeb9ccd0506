use std::path::Path;

use super::super::{Config, parse};
use super::promtail;
use kymo_ingest::tail::{LogSourceConfig, LongLines};

fn config(text: &str) -> Config {
    parse(text, Path::new("/etc")).unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    let error = parse(text, Path::new("/etc")).unwrap_err();
    let problems = error.problems().iter();
    problems
        .map(|p| format!("{}:{} {}", p.at.line, p.at.column, p.message))
        .collect()
}

const PROMTAIL: &str = r#"
server:
  http_listen_port: 9080
positions:
  filename: /tmp/positions.yaml
clients:
  - url: http://loki:3100/loki/api/v1/push
limits_config:
  readline_rate_enabled: true
  readline_rate: 500
  max_line_size: 64KB
  max_line_size_truncate: true
target_config:
  sync_period: 5s
scrape_configs:
  - job_name: system
    static_configs:
      - targets: [localhost]
        labels:
          job: varlogs
          __path__: /var/log/**/*.log
          __path_exclude__: /var/log/private/*
    pipeline_stages:
      - match:
          selector: '{job="varlogs"} |= "level"'
          stages:
            - regex:
                expression: '^(?P<ts>\S+) (?P<level>\w+) (?P<msg>.*)$'
            - template:
                source: level
                template: '{{ ToLower .Value }}'
            - labels:
                level:
            - timestamp:
                source: ts
                format: RFC3339Nano
                fallback_formats: ["2006-01-02T15:04:05"]
                location: Europe/Berlin
      - drop:
          expression: "healthz"
          older_than: 24h
      - multiline:
          firstline: '^\d'
          max_wait_time: 1s
      - metrics:
          lines_total:
            type: Counter
            description: lines
            source: level
            config: {value: error, action: inc}
          bytes:
            type: Histogram
            config: {buckets: [1, 10.5]}
      - replace:
          expression: '(\d{4})'
          replace: '{{ .Value | Hash "salt" }}'
      - structured_metadata:
          trace_id: id
      - limit: {rate: 10, burst: 20, drop: true}
      - sampling: {rate: 0.5}
      - pack: {labels: [level]}
      - tenant: {value: x}
      - cri: {}
      - docker: {}
      - decolorize:
      - labeldrop: [filename]
      - scrub:
          json_keys: [user]
          mode: hash
          hash_key: 0123456789abcdef0
  - job_name: journal
    journal:
      max_age: 12h
      labels: {job: systemd-journal}
      matches: _TRANSPORT=kernel PRIORITY=3
    relabel_configs:
      - source_labels: ['__journal__systemd_unit']
        target_label: unit
  - job_name: syslog
    syslog:
      listen_address: 0.0.0.0:1514
      label_structured_data: yes
      labels: {job: syslog}
"#;

#[test]
fn a_file_of_promtail_is_read_whole() {
    let read = promtail::parse(PROMTAIL, Path::new("/etc")).unwrap();
    let names: Vec<&str> = read.jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["system", "journal", "syslog"]);
    let stages: Vec<&str> = read.jobs[0]
        .stages
        .iter()
        .map(|stage| stage.name())
        .collect();
    assert_eq!(
        stages,
        [
            "match",
            "drop",
            "multiline",
            "metrics",
            "replace",
            "structured_metadata",
            "limit",
            "sampling",
            "pack",
            "tenant",
            "cri",
            "docker",
            "decolorize",
            "labeldrop",
            "scrub",
        ]
    );
    let LogSourceConfig::Files(files) = &read.jobs[0].source else {
        panic!("no files");
    };
    assert_eq!(
        (files.lines.longest, files.lines.long),
        (65536, LongLines::Truncate)
    );
    assert_eq!(read.options.rate.unwrap().lines, 500.0);
    assert_eq!(read.options.sync_period.as_secs(), 5);
    assert_eq!(
        read.options.promtail_positions.as_deref(),
        Some(Path::new("/tmp/positions.yaml"))
    );
    assert_eq!(read.warnings.len(), 2, "{:?}", read.warnings);
    let LogSourceConfig::Journal(journal) = &read.jobs[1].source else {
        panic!("no journal");
    };
    assert_eq!(journal.matches, ["_TRANSPORT=kernel", "PRIORITY=3"]);
}

#[test]
fn its_jobs_can_be_pasted_and_show_no_secret() {
    let (_, jobs) = PROMTAIL.split_once("scrape_configs:").unwrap();
    let config = config(&format!("log_configs:{jobs}"));
    assert_eq!(config.log_configs.len(), 3);
    let shown = config.yaml(&config.storage.retention);
    assert!(
        shown.contains("log_configs:\n- job_name: system\n"),
        "{shown}"
    );
    assert!(shown.contains("hash_key: <secret>") && !shown.contains("0123456789abcdef0"));
    // What is shown is read as the same.
    let (_, section) = shown.split_once("log_configs:").unwrap();
    let section = section.replace("<secret>", "0123456789abcdef0");
    let again = parse(&format!("log_configs:{section}"), Path::new("/etc"));
    assert_eq!(again.unwrap().log_configs, config.log_configs);
}

#[test]
fn mistakes_are_told_with_their_places() {
    for (stages, expected) in [
        (
            "- regex: {expression: '('}",
            "invalid regex stage config: could not compile regular expression: error parsing regexp: missing closing ): `(`",
        ),
        ("- jsn: {}", "Unknown stage type: jsn"),
        (
            "- text",
            "invalid YAML config, make sure each stage of your pipeline is a YAML object (must end with a `:`)",
        ),
        (
            "- {json: {expressions: {a: }}, regex: {}}",
            "pipeline stage must contain only one key",
        ),
        (
            "- geoip: {db: /x}",
            "stage geoip is not supported yet by this version of Kymo",
        ),
        (
            "- timestamp: {source: a, format: RFC3339, action_on_failure: x}",
            "invalid action on failure (supported values are [skip fudge])",
        ),
        (
            "- match: {selector: '{a=', stages: [docker: ]}",
            "invalid match stage config: invalid selector syntax for match stage: ",
        ),
        (
            "- match: {selector: '{a=\"b\"}', stages: [{x: }]}",
            "Unknown stage type: x",
        ),
        (
            "- template: {source: a, template: '{{'}",
            "invalid template stage config: template: pipeline_template:1",
        ),
        (
            "- scrub: {kinds: [email, phone]}",
            "\"phone\" is no kind of the scrub stage",
        ),
        ("- scrub: {mode: hash}", "`mode: hash` needs a hash_key"),
        (
            "- json: {expressions: {a: }, sources: b}",
            "field sources not found in type stages.JSONConfig",
        ),
        (
            "- metrics: {a: {type: Counter, config: {action: set}}}",
            "action set is not valid",
        ),
    ] {
        let text = format!(
            "log_configs:\n  - job_name: a\n    static_configs:\n      - labels: {{__path__: /x}}\n    pipeline_stages:\n    {stages}\n"
        );
        let found = mistakes(&text);
        assert!(
            found
                .iter()
                .any(|one| one.starts_with("6:") && one.contains(expected)),
            "{stages}: {found:?}"
        );
    }
}

#[test]
fn a_job_that_is_pushed_to_is_open_where_it_says_so() {
    let address = |server: &str| {
        let text = format!(
            "scrape_configs:\n  - job_name: a\n    loki_push_api: {{server: {{{server}}}}}\n"
        );
        let read = promtail::parse(&text, Path::new("/etc")).unwrap();
        match &read.jobs[0].source {
            LogSourceConfig::Push(push) => push.listen_address.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(address("http_listen_port: 3500"), "127.0.0.1:3500");
    let open = "http_listen_address: 0.0.0.0, http_listen_port: 3500";
    assert_eq!(address(open), "0.0.0.0:3500");
    let six = "http_listen_address: '::1', http_listen_port: 3500";
    assert_eq!(address(six), "[::1]:3500");
}

#[test]
fn sources_that_are_not_there_are_refused_by_name() {
    for source in [
        "kafka",
        "gcplog",
        "gelf",
        "docker_sd_configs",
        "windows_events",
    ] {
        let found = mistakes(&format!(
            "log_configs:\n  - job_name: a\n    {source}: {{a: b}}\n"
        ));
        assert_eq!(
            found,
            [format!(
                "3:5 {source} is not supported yet by this version of Kymo"
            )]
        );
    }
    for (job, expected) in [
        ("{job_name: a}", "a log config needs static_configs"),
        (
            "{job_name: a, journal: {}, syslog: {listen_address: x}}",
            "a log config has one kind of source",
        ),
        ("{job_name: a, syslog: {}}", "syslog needs a listen_address"),
        (
            "{job_name: a, loki_push_api: {}}",
            "loki_push_api needs server",
        ),
        (
            "{job_name: a, loki_push_api: {server: {http_listen_address: x}}}",
            "loki_push_api needs server with a http_listen_port",
        ),
        (
            "{job_name: a, loki_push_api: {server: {http_listen_port: 99999}}}",
            "\"99999\" is no port",
        ),
        (
            "{job_name: a, loki_push_api: {server: {http_listen_port: 1, http_tls_config: {cert_file: x, key_file: y, client_ca_file: z}}}}",
            "client_ca_file goes with client_auth_type: RequireAndVerifyClientCert",
        ),
        (
            "{job_name: a, journal: {}, loki_push_api: {server: {http_listen_port: 1}}}",
            "a log config has one kind of source",
        ),
        (
            "{job_name: a, syslog: {listen_address: x, tls_config: {ca_file: /x}}}",
            "certificate and key files are required",
        ),
        (
            "{job_name: a, syslog: {listen_address: x, listen_protocol: udp, tls_config: {cert_file: /x, key_file: y}}}",
            "syslog over udp has no TLS",
        ),
        (
            "{job_name: a, journal: {matches: --file=x}}",
            "\"--file=x\" is no condition of the journal",
        ),
        (
            "{job_name: a, static_configs: [labels: {__path__: '/x['}]}",
            "__path__ \"/x[\" is no pattern",
        ),
        (
            "{job_name: a, encoding: klingon, static_configs: [labels: {__path__: /x}]}",
            "there is no encoding named \"klingon\"",
        ),
    ] {
        let found = mistakes(&format!("log_configs:\n  - {job}\n"));
        assert!(
            found[0].starts_with("2:") && found[0].contains(expected),
            "{found:?}"
        );
    }
    let twice = "log_configs:\n- {job_name: a, journal: {}}\n- {job_name: a, journal: {}}\n";
    assert_eq!(
        mistakes(twice),
        ["3:4 found multiple log configs with job name \"a\""]
    );
}
