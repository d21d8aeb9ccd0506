//! `log_configs`: which logs are followed, in the form of Promtail's `scrape_configs`, so
//! that they can be pasted; and whole files of Promtail ([`promtail`]).
//!
//! Sources of entries that this version does not have are refused by their names.

mod metrics_stage;
mod promtail;
mod push;
mod scrub_stage;
mod stages;

use std::path::Path;
use std::time::Duration;

use kymo_ingest::http::TlsOptions;
use kymo_ingest::pipeline::StageConfig;
use kymo_ingest::tail::{
    Compression, FilesConfig, Glob, JournalConfig, LineOptions, LogJob, LogSourceConfig, LongLines,
    StartAt, SyslogConfig, SyslogFormat, SyslogProtocol, encoding_by_name,
};
use kymo_storage::compat::duration;
use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::quote::quote;

use super::emit::Yaml;
use super::fields::{self, Fields, Problems};
use super::yaml::{Node, Position, Value};
use super::{discovery, http_client, relabel};

pub(crate) use promtail::load as load_promtail;

const GO_TYPE: &str = "scrapeconfig.Config";

/// Sources of Promtail that this version does not have.
const REFUSED: [(&str, &str); 10] = [
    (
        "azure_event_hubs",
        "let a collector push to /loki/api/v1/push",
    ),
    ("cloudflare", "let a collector push to /loki/api/v1/push"),
    (
        "consul_agent_sd_configs",
        "list the files under static_configs, or use file_sd_configs",
    ),
    (
        "consul_sd_configs",
        "list the files under static_configs, or use file_sd_configs",
    ),
    (
        "docker_sd_configs",
        "follow the files of /var/lib/docker/containers with the stage docker",
    ),
    ("gcplog", "let a collector push to /loki/api/v1/push"),
    ("gelf", "let a collector push to /loki/api/v1/push"),
    ("heroku_drain", "let a collector push to /loki/api/v1/push"),
    ("kafka", "let a collector push to /loki/api/v1/push"),
    (
        "windows_events",
        "let a collector push to /loki/api/v1/push",
    ),
];

/// Takes the jobs under `name`, with where the name of each stands.
pub(super) fn take_jobs(
    fields: &mut Fields<'_>,
    name: &'static str,
    dir: &Path,
    problems: &mut Problems,
) -> Vec<LogJob> {
    let mut jobs: Vec<LogJob> = Vec::new();
    for node in fields.list(name, "[]scrapeconfig.Config", problems) {
        let Some((job, at)) = read_job(node, dir, problems) else {
            continue;
        };
        if jobs.iter().any(|known| known.job_name == job.job_name) {
            let name = quote(&job.job_name);
            problems.value(
                at,
                format!("found multiple log configs with job name {name}"),
            );
        }
        jobs.push(job);
    }
    jobs
}

fn read_job(node: &Node, dir: &Path, problems: &mut Problems) -> Option<(LogJob, Position)> {
    if node.is_null() {
        problems.value(node.at, "empty or null log config section");
        return None;
    }
    let mut fields = Fields::open(node, GO_TYPE, problems);
    let job_name = fields.string("job_name", problems);
    if job_name.is_empty() {
        problems.value(node.at, "job_name is empty");
    }
    let stages: Vec<StageConfig> = match fields.take("pipeline_stages") {
        Some(node) => stages::read(node, problems),
        None => Vec::new(),
    };
    let what = "target relabeling rule in log config";
    let relabel = match fields.take("relabel_configs") {
        Some(node) => relabel::read(node, what, NameValidation::Legacy, problems),
        None => Vec::new(),
    };
    for (name, remedy) in REFUSED {
        fields.unsupported(&[name], remedy, problems);
    }
    let journal = fields.take("journal").map(|node| journal(node, problems));
    let syslog = fields
        .take("syslog")
        .map(|node| syslog(node, dir, problems));
    let push = fields.take("loki_push_api");
    let push = push.map(|node| push::read(node, dir, problems));
    let files = files(&mut fields, dir, problems);
    let has_files = !files.static_configs.is_empty() || !files.discovery.is_empty();
    let source = match (journal, syslog, push, has_files) {
        (Some(journal), None, None, false) => LogSourceConfig::Journal(journal),
        (None, Some(syslog), None, false) => LogSourceConfig::Syslog(syslog),
        (None, None, Some(push), false) => LogSourceConfig::Push(push),
        (None, None, None, true) => LogSourceConfig::Files(Box::new(files)),
        (None, None, None, false) => {
            let text = "a log config needs static_configs, file_sd_configs, kubernetes_sd_configs, \
                        journal, syslog or loki_push_api";
            // What is refused was told.
            if problems.is_empty() {
                problems.value(node.at, text);
            }
            return None;
        }
        _ => {
            problems.value(
                node.at,
                "a log config has one kind of source; split it into several",
            );
            return None;
        }
    };
    let at = fields.position_of("job_name");
    fields.finish(problems);
    let job = LogJob {
        job_name,
        source,
        relabel,
        stages,
    };
    Some((job, at))
}

fn files(fields: &mut Fields<'_>, dir: &Path, problems: &mut Problems) -> FilesConfig {
    let static_at = fields.position_of("static_configs");
    let static_configs = discovery::take_static(fields, problems);
    for group in &static_configs {
        for name in ["__path__", "__path_exclude__"] {
            if let Some(pattern) = group.labels.get(name)
                && Glob::new(pattern).is_err()
            {
                problems.value(
                    static_at,
                    format!("{name} {} is no pattern of paths", quote(pattern)),
                );
            }
        }
    }
    let encoding = fields.parsed("encoding", problems, |name| {
        encoding_by_name(name).map(|_| name.to_owned())
    });
    let longest = fields.parsed(
        "max_line_size",
        problems,
        kymo_ingest::pipeline::parse_byte_size,
    );
    let truncate = fields.bool_or("max_line_size_truncate", false, problems);
    let start = fields.parsed("start_at", problems, |text| match text {
        "beginning" => Ok(StartAt::Beginning),
        "end" => Ok(StartAt::End),
        _ => Err(format!(
            "\"{text}\" is no place to start at; there are beginning and end"
        )),
    });
    let (compression, initial_delay) = match fields.take("decompression") {
        Some(node) => decompression(node, problems),
        None => (None, Duration::ZERO),
    };
    let mut lines = LineOptions {
        encoding: encoding.unwrap_or_default(),
        ..LineOptions::default()
    };
    bound_lines(&mut lines, longest.unwrap_or(0), truncate);
    FilesConfig {
        static_configs,
        discovery: discovery::take_sources_of_files(fields, dir, problems),
        lines,
        compression,
        initial_delay,
        start: start.unwrap_or_default(),
    }
}

/// Sets the longest line; zero is none.
fn bound_lines(lines: &mut LineOptions, longest: u64, truncate: bool) {
    if longest > 0 {
        lines.longest = usize::try_from(longest).unwrap_or(usize::MAX);
        lines.long = match truncate {
            true => LongLines::Truncate,
            false => LongLines::Drop,
        };
    }
}

fn decompression(node: &Node, problems: &mut Problems) -> (Option<Compression>, Duration) {
    let mut fields = Fields::open(node, "scrapeconfig.DecompressionConfig", problems);
    let enabled = fields.bool_or("enabled", false, problems);
    let delay = go_duration(&mut fields, "initial_delay", problems);
    let format = fields.parsed("format", problems, |name| {
        Compression::by_name(name).ok_or_else(|| {
            format!("\"{name}\" is no compression; there are gz, bz2, z, zst and xz")
        })
    });
    if enabled && format.is_none() && fields.take("format").is_none() {
        problems.value(node.at, "decompression needs a format");
    }
    fields.finish(problems);
    let compression = format.filter(|_| enabled);
    (compression, delay.unwrap_or(Duration::ZERO))
}

/// Takes a duration as Go writes it.
fn go_duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Duration> {
    let ns = fields.parsed(name, problems, duration::parse_go)?;
    Some(Duration::from_nanos(ns.max(0).unsigned_abs()))
}

fn labels(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    if let Some(node) = fields.take("labels") {
        for (_, name, value) in fields::pairs(node, "model.LabelSet", problems) {
            if let Some(value) = fields::string(value, problems) {
                labels.push((name, value));
            }
        }
    }
    labels
}

fn journal(node: &Node, problems: &mut Problems) -> JournalConfig {
    let mut fields = Fields::open(node, "scrapeconfig.JournalTargetConfig", problems);
    let max_age = go_duration(&mut fields, "max_age", problems);
    let config = JournalConfig {
        labels: labels(&mut fields, problems),
        max_age: max_age.unwrap_or(Duration::from_secs(7 * 3600)),
        path: fields.string("path", problems).into(),
        matches: fields
            .string("matches", problems)
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        json: fields.bool_or("json", false, problems),
    };
    for text in &config.matches {
        if text.starts_with('-') || !text.contains('=') && text != "+" {
            let text = format!(
                "{} is no condition of the journal, such as _UID=0",
                quote(text)
            );
            problems.value(fields.position_of("matches"), text);
        }
    }
    fields.finish(problems);
    config
}

fn syslog(node: &Node, dir: &Path, problems: &mut Problems) -> SyslogConfig {
    let mut fields = Fields::open(node, "scrapeconfig.SyslogTargetConfig", problems);
    let protocol = fields.parsed("listen_protocol", problems, |text| match text {
        "tcp" => Ok(SyslogProtocol::Tcp),
        "udp" => Ok(SyslogProtocol::Udp),
        _ => Err(format!(
            "\"{text}\" is no protocol of syslog; there are tcp and udp"
        )),
    });
    let format = fields.parsed("syslog_format", problems, |text| match text {
        "rfc5424" => Ok(SyslogFormat::Rfc5424),
        "rfc3164" => Ok(SyslogFormat::Rfc3164),
        _ => Err(format!(
            "\"{text}\" is no format of syslog; there are rfc5424 and rfc3164"
        )),
    });
    let idle = go_duration(&mut fields, "idle_timeout", problems);
    let longest = fields.uint("max_message_length", problems);
    let tls_at = fields.position_of("tls_config");
    let tls = fields.take("tls_config");
    let tls = tls.map(|node| http_client::tls_options(node, dir, problems));
    let tls = tls.filter(|tls| *tls != TlsOptions::default());
    if tls
        .as_ref()
        .is_some_and(|tls| tls.cert.is_none() || tls.key.is_none())
    {
        problems.value(tls_at, "certificate and key files are required");
    }
    if tls.is_some() && protocol == Some(SyslogProtocol::Udp) {
        problems.value(
            tls_at,
            "syslog over udp has no TLS; use listen_protocol: tcp",
        );
    }
    let config = SyslogConfig {
        listen_address: fields.string("listen_address", problems),
        protocol: protocol.unwrap_or(SyslogProtocol::Tcp),
        format: format.unwrap_or(SyslogFormat::Rfc5424),
        labels: labels(&mut fields, problems),
        idle_timeout: idle.unwrap_or(Duration::from_secs(120)),
        max_message_bytes: match usize::try_from(longest).unwrap_or(usize::MAX) {
            0 => 8192,
            longest => longest.min(1 << 20),
        },
        tls,
        label_structured_data: fields.bool_or("label_structured_data", false, problems),
        use_incoming_timestamp: fields.bool_or("use_incoming_timestamp", false, problems),
        use_rfc5424_message: fields.bool_or("use_rfc5424_message", false, problems),
    };
    if config.listen_address.is_empty() {
        problems.value(
            node.at,
            "syslog needs a listen_address, such as 0.0.0.0:1514",
        );
    }
    fields.finish(problems);
    config
}

/// Returns a section as it was written, secrets hidden.
pub(super) fn shown(node: &Node) -> Yaml {
    match &node.value {
        Value::Null => Yaml::Plain("null".to_owned()),
        Value::Scalar { text, plain: true } => Yaml::Plain(text.clone()),
        Value::Scalar { text, .. } => Yaml::Text(text.clone()),
        Value::List(items) => Yaml::List(items.iter().map(shown).collect()),
        Value::Map(pairs) => Yaml::Map(pairs.iter().map(shown_pair).collect()),
    }
}

fn shown_pair((key, value): &(Node, Node)) -> (String, Yaml) {
    const SECRETS: [&str; 5] = [
        "hash_key",
        "password",
        "bearer_token",
        "credentials",
        "client_secret",
    ];
    let name = key.text().unwrap_or_default().to_owned();
    let value = match SECRETS.contains(&name.as_str()) {
        true => Yaml::Plain("<secret>".to_owned()),
        false => shown(value),
    };
    (name, value)
}

#[cfg(test)]
mod tests;
