//! Our own log lines: logfmt as Go's `slog` writes it, or JSON, on standard error.
//!
//! Both forms carry `time`, `level`, `source` and `msg` first, then the fields of
//! the event in the order in which they were written.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock;
use crate::flags::{LogFormat, LogLevel};

/// Starts logging for the whole process. A second call changes nothing, which
/// lets tests start several servers in one process.
pub(crate) fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .event_format(Lines { format })
        .finish();
    let _already_started = tracing::subscriber::set_global_default(subscriber);
}

struct Lines {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = Line {
            time: format!("{:.3}", clock::now()),
            level: level_name(*metadata.level()),
            source: source(metadata.file(), metadata.line()),
            fields,
        };
        match self.format {
            LogFormat::Logfmt => line.write_logfmt(&mut writer),
            LogFormat::Json => line.write_json(&mut writer),
        }
    }
}

#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let text = crate::http::error::with_causes(value);
        self.add(field, text);
    }
}

struct Line {
    time: String,
    level: &'static str,
    source: String,
    fields: Fields,
}

impl Line {
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = [
            ("time", self.time.as_str()),
            ("level", self.level),
            ("source", self.source.as_str()),
            ("msg", self.fields.message.as_str()),
        ];
        let others = &self.fields.others;
        first
            .into_iter()
            .chain(others.iter().map(|(name, value)| (*name, value.as_str())))
    }

    fn write_logfmt(&self, writer: &mut Writer<'_>) -> fmt::Result {
        for (i, (name, value)) in self.pairs().enumerate() {
            if i > 0 {
                writer.write_char(' ')?;
            }
            writer.write_str(name)?;
            writer.write_char('=')?;
            if needs_quotes(value) {
                write!(writer, "{value:?}")?;
            } else {
                writer.write_str(value)?;
            }
        }
        writer.write_char('\n')
    }

    fn write_json(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let mut line = vec![b'{'];
        for (i, (name, value)) in self.pairs().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            crate::http::json::push_string(&mut line, name, crate::http::json::Escape::Plain);
            line.push(b':');
            crate::http::json::push_string(&mut line, value, crate::http::json::Escape::Plain);
        }
        line.extend_from_slice(b"}\n");
        writer.write_str(&String::from_utf8_lossy(&line))
    }
}

/// Go's `slog` quotes the empty text and whatever holds a space, an equals sign,
/// a quote or a character that does not print.
fn needs_quotes(value: &str) -> bool {
    value.is_empty()
        || value
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '=' | '"'))
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

fn source(file: Option<&str>, line: Option<u32>) -> String {
    let file = file.and_then(|file| file.rsplit('/').next()).unwrap_or("?");
    format!("{file}:{}", line.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            time: "2026-11-22T08:00:00.000Z".to_owned(),
            level: "INFO",
            source: "app.rs:12".to_owned(),
            fields: Fields {
                message: "server is ready".to_owned(),
                others: vec![
                    ("address", "127.0.0.1:9090".to_owned()),
                    ("note", "say \"hi\"\n".to_owned()),
                    ("empty", String::new()),
                ],
            },
        }
    }

    #[test]
    fn logfmt_quotes_what_needs_it() {
        let mut text = String::new();
        line().write_logfmt(&mut Writer::new(&mut text)).unwrap();
        assert_eq!(
            text,
            "time=2026-11-22T08:00:00.000Z level=INFO source=app.rs:12 msg=\"server is ready\" \
             address=127.0.0.1:9090 note=\"say \\\"hi\\\"\\n\" empty=\"\"\n"
        );
    }

    #[test]
    fn json_lines_read_back() {
        let mut text = String::new();
        line().write_json(&mut Writer::new(&mut text)).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["msg"], "server is ready");
        assert_eq!(value["note"], "say \"hi\"\n");
        assert_eq!(value["level"], "INFO");
    }
}
