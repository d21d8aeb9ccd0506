//! The stage `timestamp`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::config::{TimestampConfig, TimestampFailure};
use super::super::entry::LabelSet;
use super::super::languages::TimeLayout;
use super::super::value::Value;
use super::super::{Entry, Stage, Step, Tools};

/// For how many label sets of a source the last time is known.
const MAX_KNOWN: usize = 10_000;

/// Takes the time out of a value.
#[derive(Clone)]
pub(super) struct Timestamp {
    source: Arc<str>,
    formats: Arc<[Format]>,
    on_failure: TimestampFailure,
    /// The last time of each label set, to go on from where one cannot be read.
    last_ns: BTreeMap<LabelSet, i64>,
}

enum Format {
    Unix,
    /// A whole number of units of so many nanoseconds.
    UnixIn(i64),
    Layout(Box<dyn TimeLayout>),
}

impl Timestamp {
    pub(super) fn new(config: &TimestampConfig, tools: &Tools) -> Result<Timestamp, String> {
        if config.source.is_empty() {
            return Err("timestamp source value is required if timestamp is specified".to_owned());
        }
        if config.format.is_empty() {
            return Err("timestamp format is required".to_owned());
        }
        let location = config.location.as_deref();
        let all = std::iter::once(&config.format).chain(&config.fallback_formats);
        let formats = all.map(|format| Format::new(format, location, tools));
        Ok(Timestamp {
            source: config.source.as_str().into(),
            formats: formats.collect::<Result<Vec<_>, String>>()?.into(),
            on_failure: config.on_failure,
            last_ns: BTreeMap::new(),
        })
    }

    fn read(&self, entry: &Entry) -> Option<i64> {
        let text = entry.extracted.get(&self.source).and_then(Value::text)?;
        let mut formats = self.formats.iter();
        formats.find_map(|format| format.read(&text, entry.read_ns))
    }
}

impl Format {
    fn new(name: &str, location: Option<&str>, tools: &Tools) -> Result<Format, String> {
        // Formats with a name take no location: what they do not say is UTC.
        let (layout, location) = match name {
            "Unix" => return Ok(Format::Unix),
            "UnixMs" => return Ok(Format::UnixIn(1_000_000)),
            "UnixUs" => return Ok(Format::UnixIn(1_000)),
            "UnixNs" => return Ok(Format::UnixIn(1)),
            "ANSIC" => ("Mon Jan _2 15:04:05 2006", None),
            "UnixDate" => ("Mon Jan _2 15:04:05 MST 2006", None),
            "RubyDate" => ("Mon Jan 02 15:04:05 -0700 2006", None),
            "RFC822" => ("02 Jan 06 15:04 MST", None),
            "RFC822Z" => ("02 Jan 06 15:04 -0700", None),
            "RFC850" => ("Monday, 02-Jan-06 15:04:05 MST", None),
            "RFC1123" => ("Mon, 02 Jan 2006 15:04:05 MST", None),
            "RFC1123Z" => ("Mon, 02 Jan 2006 15:04:05 -0700", None),
            "RFC3339" => ("2006-01-02T15:04:05Z07:00", None),
            "RFC3339Nano" => ("2006-01-02T15:04:05.999999999Z07:00", None),
            layout => (layout, location),
        };
        let layout = tools.languages.layout(layout, location);
        Ok(Format::Layout(layout.map_err(|error| {
            format!("invalid location specified: {error}")
        })?))
    }

    fn read(&self, text: &str, now_ns: i64) -> Option<i64> {
        match self {
            Format::Unix => unix(text),
            Format::UnixIn(unit_ns) => text.parse::<i64>().ok()?.checked_mul(*unit_ns),
            Format::Layout(layout) => layout.read(text, now_ns),
        }
    }
}

/// Reads seconds since the epoch, with digits behind a point as a fraction.
fn unix(text: &str) -> Option<i64> {
    let (seconds, fraction) = match text.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (text, None),
    };
    let seconds: i64 = seconds.parse().ok()?;
    let nanos = match fraction {
        None => 0,
        Some(digits) => {
            let number: i64 = digits.parse().ok()?;
            let digits = i32::try_from(digits.len()).ok()?;
            (number as f64 * 10f64.powi(9 - digits)) as i64
        }
    };
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

impl Stage for Timestamp {
    fn process(&mut self, mut entry: Entry) -> Step {
        let fudge = self.on_failure == TimestampFailure::Fudge;
        match self.read(&entry) {
            Some(t_ns) => entry.t_ns = t_ns,
            None if fudge => match self.last_ns.get(&entry.labels) {
                Some(last_ns) => entry.t_ns = last_ns.saturating_add(1),
                None => return Step::On(entry),
            },
            None => return Step::On(entry),
        }
        if fudge {
            match self.last_ns.get_mut(&entry.labels) {
                Some(last_ns) => *last_ns = entry.t_ns,
                None => {
                    if self.last_ns.len() >= MAX_KNOWN {
                        self.last_ns.clear();
                    }
                    self.last_ns.insert(entry.labels.clone(), entry.t_ns);
                }
            }
        }
        Step::On(entry)
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Timestamp {
            last_ns: BTreeMap::new(),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction() {
        for (text, expected) in [
            ("1562708916", Some(1_562_708_916_000_000_000)),
            ("1562708916.414", Some(1_562_708_916_414_000_000)),
            ("1562708916.000000123", Some(1_562_708_916_000_000_123)),
            ("-1", Some(-1_000_000_000)),
            ("1.2.3", None),
            ("", None),
            ("x", None),
            ("99999999999999", None),
        ] {
            assert_eq!(unix(text), expected, "{text}");
        }
    }
}
