//! Writing metrics as text, Prometheus' format 0.0.4 and OpenMetrics 1.0, or keeping them
//! as families.

use http::{HeaderMap, header};
use kymo_storage::compat::float;

use super::families::Family;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Chooses by a request's `Accept`: OpenMetrics where it is asked for.
    pub(crate) fn asked(headers: &HeaderMap) -> Format {
        let open = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|entry| entry.trim().starts_with("application/openmetrics-text"));
        if open {
            Format::OpenMetrics
        } else {
            Format::Text
        }
    }

    /// Returns the content type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Format::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
        }
    }
}

/// Type of a metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Summary,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Summary => "summary",
            Kind::Histogram => "histogram",
        }
    }
}

/// Writes families one after the other.
#[derive(Debug)]
pub(crate) struct TextWriter {
    out: String,
    format: Format,
    /// Where families are kept instead of written.
    kept: Option<Vec<Family>>,
}

impl TextWriter {
    pub(crate) fn new(format: Format) -> TextWriter {
        TextWriter {
            out: String::with_capacity(16 << 10),
            format,
            kept: None,
        }
    }

    /// Keeps families, for [`TextWriter::families`], and writes no text.
    pub(crate) fn keeping() -> TextWriter {
        TextWriter {
            out: String::new(),
            format: Format::Text,
            kept: Some(Vec::new()),
        }
    }

    /// Returns the families that were kept.
    pub(crate) fn families(self) -> Vec<Family> {
        self.kept.unwrap_or_default()
    }

    /// Begins a family. Names of counters end in `_total`.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        if let Some(kept) = &mut self.kept {
            kept.push(Family::new(name, kind, help));
            return;
        }
        let shown = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        for (word, text) in [("HELP", help), ("TYPE", kind.name())] {
            self.out.push_str("# ");
            self.out.push_str(word);
            self.out.push(' ');
            self.out.push_str(shown);
            self.out.push(' ');
            for c in text.chars() {
                push_escaped(&mut self.out, c, false);
            }
            self.out.push('\n');
        }
    }

    /// Writes one sample of the family begun last.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        if let Some(kept) = &mut self.kept {
            if let Some(family) = kept.last_mut() {
                family.push(name, labels, value);
            }
            return;
        }
        self.out.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.out.push(if i == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            for c in text.chars() {
                push_escaped(&mut self.out, c, true);
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.out.push(' ');
        match self.format {
            Format::Text => float::push_exposition(&mut self.out, value),
            Format::OpenMetrics => float::push_openmetrics(&mut self.out, value),
        }
        self.out.push('\n');
    }

    /// Writes a counter without labels.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, Kind::Counter, help);
        self.sample(name, &[], value as f64);
    }

    /// Writes a gauge without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help);
        self.sample(name, &[], value);
    }

    /// Ends the text.
    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

fn push_escaped(out: &mut String, c: char, quotes: bool) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '"' if quotes => out.push_str("\\\""),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut writer = TextWriter::new(format);
        writer.counter("a_total", "Counts \"a\".\nAnd \\ b.", 1_000_000);
        writer.family("b", Kind::Gauge, "B.");
        writer.sample("b", &[("x", "1\"\n\\"), ("y", "")], f64::NAN);
        writer.finish()
    }

    #[test]
    fn text_has_the_name_of_a_counter_in_full() {
        assert_eq!(
            written(Format::Text),
            "# HELP a_total Counts \"a\".\\nAnd \\\\ b.\n# TYPE a_total counter\na_total 1e+06\n\
             # HELP b B.\n# TYPE b gauge\nb{x=\"1\\\"\\n\\\\\",y=\"\"} NaN\n"
        );
    }

    #[test]
    fn open_metrics_strips_the_suffix_from_the_family_and_ends() {
        assert_eq!(
            written(Format::OpenMetrics),
            "# HELP a Counts \"a\".\\nAnd \\\\ b.\n# TYPE a counter\na_total 1e+06\n\
             # HELP b B.\n# TYPE b gauge\nb{x=\"1\\\"\\n\\\\\",y=\"\"} NaN\n# EOF\n"
        );
    }

    #[test]
    fn open_metrics_is_written_only_where_asked_for() {
        let asked = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            Format::asked(&headers)
        };
        assert_eq!(Format::asked(&HeaderMap::new()), Format::Text);
        assert_eq!(asked("text/plain;version=0.0.4"), Format::Text);
        assert_eq!(
            asked("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2"),
            Format::OpenMetrics
        );
    }
}
