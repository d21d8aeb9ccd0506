//! Which form of answer a scraper takes: text 0.0.4 or delimited protobuf.
//!
//! Upstream's other two forms of protobuf, which are texts for debugging, count as
//! unknown.

use http::{HeaderMap, header};
use kymo_storage::compat::name::EscapingScheme;

/// A form of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Protobuf,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) format: Format,
    /// How names are written that are not of the old alphabet.
    pub(super) escaping: EscapingScheme,
}

/// One entry of the header.
#[derive(Debug, Default)]
struct Entry<'a> {
    kind: &'a str,
    weight: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Entry<'a> {
        let mut parts = text.split(';').map(str::trim);
        let mut entry = Entry {
            kind: parts.next().unwrap_or_default(),
            weight: 1.0,
            parameters: Vec::new(),
        };
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            match name {
                // Go takes what is no number for 1.
                "q" => entry.weight = value.parse().unwrap_or(1.0),
                name => entry.parameters.push((name, value)),
            }
        }
        entry
    }

    fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(n, _)| *n == name);
        found.map_or("", |(_, value)| value)
    }

    fn format(&self) -> Option<Format> {
        match self.kind {
            "application/vnd.google.protobuf"
                if self.parameter("proto") == "io.prometheus.client.MetricFamily"
                    && self.parameter("encoding") == "delimited" =>
            {
                Some(Format::Protobuf)
            }
            "text/plain" if matches!(self.parameter("version"), "" | "0.0.4") => Some(Format::Text),
            _ => None,
        }
    }
}

impl Accepted {
    /// Chooses by a request's `Accept`. Text is for whoever asks for nothing that is
    /// there. A way to escape names counts also where the rest of its entry does not.
    pub(super) fn of(headers: &HeaderMap) -> Accepted {
        let header = headers.get(header::ACCEPT);
        let header = header.and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut entries: Vec<Entry<'_>> = header.split(',').map(Entry::parse).collect();
        entries.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let mut accepted = Accepted {
            format: Format::Text,
            escaping: EscapingScheme::Underscores,
        };
        for entry in &entries {
            if let Some(scheme) = EscapingScheme::from_parameter(entry.parameter("escaping")) {
                accepted.escaping = scheme;
            }
            if let Some(format) = entry.format() {
                accepted.format = format;
                break;
            }
        }
        accepted
    }

    /// Returns the content type.
    pub(super) fn content_type(self) -> String {
        let format = match self.format {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        };
        format!("{format}; escaping={}", self.escaping.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content_type(accept: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        Accepted::of(&headers).content_type()
    }

    #[test]
    fn the_best_form_that_is_there_is_chosen_and_text_where_none_is() {
        let text = "text/plain; version=0.0.4; charset=utf-8; escaping=";
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                        encoding=delimited; escaping=";
        for (accept, form, escaping) in [
            ("", text, "underscores"),
            ("*/*", text, "underscores"),
            (
                "application/openmetrics-text;version=1.0.0",
                text,
                "underscores",
            ),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8",
                text,
                "allow-utf-8",
            ),
            ("text/plain;escaping=dots", text, "dots"),
            ("text/plain;escaping=nosuch", text, "underscores"),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
                protobuf,
                "underscores",
            ),
            (
                "text/plain;version=0.0.4;q=0.3, application/vnd.google.protobuf; \
                 proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=values; q=0.6",
                protobuf,
                "values",
            ),
            (
                "application/vnd.google.protobuf;proto=other;encoding=delimited",
                text,
                "underscores",
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=values;q=0.9,\
                 text/plain;version=0.0.4;q=0.1",
                text,
                "values",
            ),
        ] {
            assert_eq!(
                content_type(accept),
                format!("{form}{escaping}"),
                "{accept}"
            );
        }
    }
}
