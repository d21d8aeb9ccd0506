//! A file of Promtail, `promtail.yaml`: its jobs are followed by this server, and its limits
//! hold. What is about Promtail's own server, or about where it sends entries, has no effect
//! and is said.

use std::path::Path;
use std::time::Duration;

use kymo_ingest::tail::{LogJob, LogSourceConfig, RateLimit, TailOptions};

use super::super::fields::{Fields, Problems};
use super::super::yaml::{Node, Value};
use super::super::{ConfigError, os_text, yaml};
use super::{bound_lines, go_duration};

/// What a file of Promtail says.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Promtail {
    pub(crate) jobs: Vec<LogJob>,
    pub(crate) options: TailOptions,
    pub(crate) warnings: Vec<String>,
}

/// Reads and checks a file. Where `expand` is set, `${NAME}` stands for a variable of the
/// environment, and `${NAME:default}` too.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub(crate) fn load(path: &Path, expand: bool) -> Result<Promtail, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        path: path.to_owned(),
        reason: os_text(&error),
    })?;
    let text = match expand {
        true => expand_env(&text, |name| std::env::var(name).ok()),
        false => text,
    };
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&text, dir).map_err(|error| match error {
        ConfigError::Invalid { problems, .. } => ConfigError::Invalid {
            path: Some(path.to_owned()),
            problems,
        },
        other => other,
    })
}

/// Checks a file of Promtail given as text.
pub(super) fn parse(text: &str, dir: &Path) -> Result<Promtail, ConfigError> {
    let document = yaml::parse(text)?;
    let mut problems = Problems::default();
    let promtail = read(&document.root, dir, &mut problems);
    problems.settle(promtail)
}

fn read(root: &Node, dir: &Path, problems: &mut Problems) -> Promtail {
    let mut fields = Fields::open(root, "config.Config", problems);
    let mut promtail = Promtail::default();
    let warnings = &mut promtail.warnings;
    let mut ignored = |name: &str, reason: &str| warnings.push(format!("{name}: {reason}"));
    let clients = [fields.take("clients"), fields.take("client")];
    let clients: Vec<&Node> = clients.into_iter().flatten().collect();
    if clients.iter().any(|node| !node.is_empty()) {
        let urls: Vec<String> = clients.iter().flat_map(|node| urls(node)).collect();
        let nowhere = match urls.is_empty() {
            true => "anywhere else".to_owned(),
            false => urls.join(", "),
        };
        let reason = format!("entries go to this server's own store and are not sent to {nowhere}");
        ignored("clients", &reason);
    }
    for (name, reason) in [
        ("server", "this server listens as its own flags say"),
        (
            "wal",
            "positions are kept with the store, no log of its own is needed",
        ),
        ("tracing", "there are no traces of following logs"),
        ("options", "labels of streams are no metrics here"),
    ] {
        if fields.take(name).is_some_and(|node| !node.is_empty()) {
            ignored(name, reason);
        }
    }
    let options = &mut promtail.options;
    if let Some(node) = fields.take("positions") {
        let mut positions = Fields::open(node, "positions.Config", problems);
        let file = positions.string_or("filename", "/var/log/positions.yaml", problems);
        options.promtail_positions = Some(file.into());
        go_duration(&mut positions, "sync_period", problems);
        positions.bool_or("ignore_invalid_yaml", false, problems);
        positions.finish(problems);
    }
    if let Some(node) = fields.take("target_config") {
        let mut targets = Fields::open(node, "file.Config", problems);
        options.sync_period = at_least(
            go_duration(&mut targets, "sync_period", problems),
            options.sync_period,
        );
        targets.bool_or("stdin", false, problems);
        targets.finish(problems);
    }
    if let Some(node) = fields.take("global") {
        let mut global = Fields::open(node, "config.GlobalConfig", problems);
        if let Some(node) = global.take("file_watch_config") {
            let mut watch = Fields::open(node, "file.WatchConfig", problems);
            let least = go_duration(&mut watch, "min_poll_frequency", problems);
            options.min_poll = at_least(least, options.min_poll);
            let most = go_duration(&mut watch, "max_poll_frequency", problems);
            options.max_poll = at_least(most, options.max_poll).max(options.min_poll);
            watch.finish(problems);
        }
        global.finish(problems);
    }
    let (longest, truncate) = match fields.take("limits_config") {
        Some(node) => limits(node, options, problems),
        None => (0, false),
    };
    promtail.jobs = super::take_jobs(&mut fields, "scrape_configs", dir, problems);
    for job in &mut promtail.jobs {
        if let LogSourceConfig::Files(files) = &mut job.source {
            bound_lines(&mut files.lines, longest, truncate);
        }
    }
    fields.finish(problems);
    promtail
}

/// Returns where clients would send, without names and passwords.
fn urls(clients: &Node) -> Vec<String> {
    let one = std::slice::from_ref(clients);
    let all = match &clients.value {
        Value::List(items) => items.as_slice(),
        _ => one,
    };
    let urls = all.iter().filter_map(|client| client.get("url")?.text());
    urls.map(|text| match url::Url::parse(text) {
        Ok(mut url) => {
            let _cannot = (url.set_username(""), url.set_password(None));
            url.set_query(None);
            url.to_string()
        }
        Err(_) => "a URL that cannot be read".to_owned(),
    })
    .collect()
}

/// Reads limits, and returns those of lines.
fn limits(node: &Node, options: &mut TailOptions, problems: &mut Problems) -> (u64, bool) {
    let mut fields = Fields::open(node, "limit.Config", problems);
    let enabled = fields.bool_or("readline_rate_enabled", false, problems);
    let rate = fields.parsed("readline_rate", problems, |text| text.parse::<f64>());
    let burst = fields.uint("readline_burst", problems);
    let drop = fields.bool_or("readline_rate_drop", true, problems);
    if enabled {
        options.rate = Some(RateLimit {
            lines: rate.filter(|rate| *rate > 0.0).unwrap_or(10_000.0),
            burst: match burst {
                0 => 10_000,
                burst => burst,
            },
            drop,
        });
    }
    // The store has a limit of its own.
    fields.uint("max_streams", problems);
    let longest = fields.parsed(
        "max_line_size",
        problems,
        kymo_ingest::pipeline::parse_byte_size,
    );
    let truncate = fields.bool_or("max_line_size_truncate", false, problems);
    fields.finish(problems);
    (longest.unwrap_or(0), truncate)
}

/// Returns a time that was set, within reason, or the default.
fn at_least(set: Option<Duration>, default: Duration) -> Duration {
    set.map_or(default, |time| time.max(Duration::from_millis(1)))
}

/// Replaces `${NAME}`, `${NAME:default}` and `${NAME:-default}`.
fn expand_env(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        out.push_str(before);
        let Some((inner, after)) = behind.split_once('}') else {
            out.push_str("${");
            rest = behind;
            continue;
        };
        let (name, default) = match inner.split_once(':') {
            Some((name, default)) => (name, default.strip_prefix('-').unwrap_or(default)),
            None => (inner, ""),
        };
        let value = lookup(name).filter(|value| !value.is_empty());
        out.push_str(value.as_deref().unwrap_or(default));
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_environment_stand_in_for_themselves() {
        let lookup = |name: &str| (name == "A").then(|| "x".to_owned());
        for (text, expected) in [
            ("a: ${A}", "a: x"),
            ("a: ${B:y} ${B:-z} ${B}", "a: y z "),
            ("a: $A ${", "a: $A ${"),
        ] {
            assert_eq!(expand_env(text, lookup), expected);
        }
    }
}
