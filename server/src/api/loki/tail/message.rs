//! What is sent to a client that follows logs.

use kymo_query::logql::{LabelSet, LineLabels, LogLine};
use kymo_storage::compat::quote::push_quoted;
use kymo_storage::compat::time::Instant;

use super::outbox::Batch;
use crate::api::loki::json::{push_labels, push_line};
use crate::api::loki::params::NS_PER_S;
use crate::api::loki::result::push_entry;
use crate::http::json::{Escape, push_string};

/// Forms of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Labels in one set.
    Merged,
    /// Labels by where they come from.
    Categorized,
    /// As they were before there was a version.
    Legacy,
}

/// Writes a message. Neighbours of one stream share an object, so that the order of all
/// entries is that of their times.
pub(super) fn message(batch: &Batch, form: Form) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(b"{\"streams\":[");
    let same = |a: &LogLine, b: &LogLine| {
        let categorize = form == Form::Categorized;
        a.labels == b.labels || shown(&a.labels, categorize) == shown(&b.labels, categorize)
    };
    for (i, entries) in batch.entries.chunk_by(same).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_stream(&mut out, entries, form);
    }
    out.push(b']');
    if form == Form::Legacy {
        push_legacy_dropped(&mut out, batch);
    } else if !batch.dropped.is_empty() {
        out.extend_from_slice(b",\"dropped_entries\":[");
        for (i, dropped) in batch.dropped.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            out.extend_from_slice(format!("{comma}{{\"labels\":").as_bytes());
            push_labels(&mut out, dropped.labels.iter());
            out.extend_from_slice(format!(",\"timestamp\":\"{}\"}}", dropped.t_ns).as_bytes());
        }
        out.push(b']');
    }
    if form == Form::Categorized {
        out.extend_from_slice(b",\"encodingFlags\":[\"categorize-labels\"]");
    }
    out.push(b'}');
    out
}

fn push_stream(out: &mut Vec<u8>, entries: &[LogLine], form: Form) {
    let Some(first) = entries.first() else {
        return;
    };
    let labels = shown(&first.labels, form == Form::Categorized);
    if form == Form::Legacy {
        push_legacy_stream(out, &labels, entries);
        return;
    }
    out.extend_from_slice(b"{\"stream\":");
    push_labels(out, labels.iter());
    out.extend_from_slice(b",\"values\":[");
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_entry(out, entry, form == Form::Categorized);
    }
    out.extend_from_slice(b"]}");
}

/// Returns the labels of the stream that an entry is shown in.
fn shown(labels: &LineLabels, categorize: bool) -> LabelSet {
    match categorize {
        true => labels.stream.clone(),
        false => labels.merged(),
    }
}

/// Appends a stream in the form of 2018: labels as text, times as dates.
pub(in crate::api::loki) fn push_legacy_stream(
    out: &mut Vec<u8>,
    labels: &LabelSet,
    entries: &[LogLine],
) {
    out.extend_from_slice(b"{\"labels\":");
    push_string(out, &text(labels), Escape::Html);
    out.extend_from_slice(b",\"entries\":[");
    for (i, entry) in entries.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let date = date(entry.t_ns);
        out.extend_from_slice(format!("{comma}{{\"ts\":\"{date}\",\"line\":").as_bytes());
        push_line(out, &entry.line);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

fn push_legacy_dropped(out: &mut Vec<u8>, batch: &Batch) {
    out.extend_from_slice(b",\"dropped_entries\":");
    if batch.dropped.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'[');
    for (i, dropped) in batch.dropped.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let date = date(dropped.t_ns);
        out.extend_from_slice(format!("{comma}{{\"Timestamp\":\"{date}\",\"Labels\":").as_bytes());
        push_string(out, &text(&dropped.labels), Escape::Html);
        out.push(b'}');
    }
    out.push(b']');
}

/// Writes labels as a selector that selects them.
fn text(labels: &LabelSet) -> String {
    let mut text = String::from("{");
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        push_quoted(&mut text, value);
    }
    text.push('}');
    text
}

fn date(t_ns: i64) -> String {
    let instant = Instant {
        unix_s: t_ns.div_euclid(NS_PER_S),
        nanos: t_ns.rem_euclid(NS_PER_S) as u32,
    };
    instant.rfc3339_nano()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::outbox::Dropped;
    use super::*;

    fn batch() -> Batch {
        let entry = |t_ns, app, level| LogLine {
            t_ns,
            line: b"a < b".to_vec(),
            labels: Arc::new(LineLabels {
                stream: LabelSet::from_pairs([("app", app)]),
                metadata: LabelSet::from_pairs([("level", level)]),
                parsed: LabelSet::empty(),
            }),
        };
        Batch {
            entries: vec![entry(1, "a", "x"), entry(2, "a", "y"), entry(3, "b", "y")],
            dropped: vec![Dropped {
                t_ns: 1_500_000_000,
                labels: LabelSet::from_pairs([("app", "c"), ("q", "\"")]),
            }],
        }
    }

    fn text(batch: &Batch, form: Form) -> String {
        String::from_utf8(message(batch, form)).unwrap()
    }

    #[test]
    fn messages_have_streams_and_what_was_dropped() {
        let expected = concat!(
            r#"{"streams":["#,
            r#"{"stream":{"app":"a","level":"x"},"values":[["1","a \u003c b"]]},"#,
            r#"{"stream":{"app":"a","level":"y"},"values":[["2","a \u003c b"]]},"#,
            r#"{"stream":{"app":"b","level":"y"},"values":[["3","a \u003c b"]]}],"#,
            r#""dropped_entries":[{"labels":{"app":"c","q":"\""},"timestamp":"1500000000"}]}"#,
        );
        assert_eq!(text(&batch(), Form::Merged), expected);
        let none = text(&Batch::default(), Form::Merged);
        assert_eq!(none, r#"{"streams":[]}"#);
    }

    #[test]
    fn categories_keep_streams_together() {
        let own = |level: &str| format!(r#"{{"structuredMetadata":{{"level":"{level}"}}}}"#);
        let expected = format!(
            concat!(
                r#"{{"streams":[{{"stream":{{"app":"a"}},"values":"#,
                r#"[["1","a \u003c b",{}],["2","a \u003c b",{}]]}},"#,
                r#"{{"stream":{{"app":"b"}},"values":[["3","a \u003c b",{}]]}}],"#,
                r#""dropped_entries":"#,
            ),
            own("x"),
            own("y"),
            own("y"),
        );
        let found = text(&batch(), Form::Categorized);
        assert!(found.starts_with(&expected), "{found}");
        assert!(
            found.ends_with(r#"],"encodingFlags":["categorize-labels"]}"#),
            "{found}"
        );
    }

    #[test]
    fn the_form_of_2018_has_texts_and_dates() {
        let found = text(&batch(), Form::Legacy);
        let first = concat!(
            r#"{"streams":[{"labels":"{app=\"a\", level=\"x\"}","entries":"#,
            r#"[{"ts":"1970-01-01T00:00:00.000000001Z","line":"a \u003c b"}]},"#,
        );
        assert!(found.starts_with(first), "{found}");
        let last = concat!(
            r#""dropped_entries":[{"Timestamp":"1970-01-01T00:00:01.5Z","#,
            r#""Labels":"{app=\"c\", q=\"\\\"\"}"}]}"#,
        );
        assert!(found.ends_with(last), "{found}");
    }
}
