//! Prints samples, or the labels of series, in order of labels.

use std::io::Write;

use clap::ValueEnum;
use kymo_storage::compat::float;
use kymo_storage::compat::name::{is_legacy_label_name, is_legacy_metric_name};
use kymo_storage::metrics::{MetricStore, Selection};
use kymo_storage::model::{Labels, METRIC_NAME};

use super::SelectArgs;

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// `{__name__="up", job="api"} 1 1700000000000`
    Prom,
    /// `{"__name__":"up","job":"api"}`, once a series.
    #[value(name = "seriesjson")]
    SeriesJson,
    /// `up{job="api"} 1 1700000000.000`, and an end.
    #[value(skip)]
    OpenMetrics,
}

/// Prints what `select` asks for.
pub(super) fn dump(
    store: &MetricStore,
    select: &SelectArgs,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let selections: Vec<Selection> = select
        .matchers
        .iter()
        .map(|matchers| store.select(&matchers.0, select.times.range()))
        .collect::<Result<_, _>>()?;
    let mut series: Vec<(Labels, usize, usize)> = Vec::new();
    for (number, selection) in selections.iter().enumerate() {
        let all = 0..selection.len();
        series.extend(all.map(|index| (selection.labels(index), number, index)));
    }
    series.sort();
    // Several selectors may name one series.
    series.dedup_by(|a, b| a.0 == b.0);
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for (labels, number, index) in &series {
        selections[*number].read(*index, &mut times, &mut values)?;
        if times.is_empty() {
            continue;
        }
        let name = match format {
            Format::SeriesJson => {
                let mut json = String::new();
                labels.push_json(&mut json);
                writeln!(out, "{json}")?;
                continue;
            }
            Format::Prom => labels.to_string(),
            Format::OpenMetrics => open_metrics_name(labels),
        };
        for (&t_ms, &value) in times.iter().zip(&values) {
            let value = float::g(value);
            match format {
                Format::OpenMetrics => {
                    let seconds = t_ms as f64 / 1000.0;
                    writeln!(out, "{name} {value} {seconds:.3}")?;
                }
                _ => writeln!(out, "{name} {value} {t_ms}")?,
            }
        }
    }
    if format == Format::OpenMetrics {
        writeln!(out, "# EOF")?;
    }
    Ok(())
}

/// Returns the series as OpenMetrics writes it: no blanks, and no escapes but the three
/// that its readers know. Names that are not of the old alphabet stand in quotes.
fn open_metrics_name(labels: &Labels) -> String {
    let name = labels.metric_name();
    let mut text = String::new();
    let is_plain = name.is_empty() || is_legacy_metric_name(name);
    if is_plain {
        text.push_str(name);
    }
    text.push('{');
    let mut is_first = is_plain;
    if !is_plain {
        push_open_metrics(&mut text, name);
    }
    let others = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
    for (label, value) in others {
        if !is_first {
            text.push(',');
        }
        is_first = false;
        match is_legacy_label_name(label) {
            true => text.push_str(label),
            false => push_open_metrics(&mut text, label),
        }
        text.push('=');
        push_open_metrics(&mut text, value);
    }
    text.push('}');
    text
}

fn push_open_metrics(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_written_as_openmetrics_reads_them() {
        for (pairs, expected) in [
            (&[("__name__", "up")][..], "up{}"),
            (
                &[("__name__", "up"), ("a", "x \"y\\\n\tz"), ("b.c", "ä")],
                "up{a=\"x \\\"y\\\\\\n\tz\",\"b.c\"=\"ä\"}",
            ),
            (&[("__name__", "my.name")], "{\"my.name\"}"),
            (
                &[("__name__", "my.name"), ("a", "b")],
                "{\"my.name\",a=\"b\"}",
            ),
        ] {
            let labels = Labels::from_pairs(pairs.iter().copied());
            assert_eq!(open_metrics_name(&labels), expected);
        }
    }
}
