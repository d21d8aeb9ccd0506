//! Prints samples, or the labels of series, in order of labels.

use std::io::Write;

use clap::ValueEnum;
use kymo_storage::compat::float;
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

fn open_metrics_name(labels: &Labels) -> String {
    let name = labels.metric_name();
    let others = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
    format!("{name}{}", Labels::from_sorted(others))
}
