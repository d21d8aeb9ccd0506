//! `kymo check metrics`: whether metrics are named and typed as is good style, and how
//! many series each has.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;
use std::process::ExitCode;

use clap::Args;

use super::excerpt::excerpt;
use super::report::SUSPICIOUS;
use crate::config::yaml::Position;
use crate::flags::Exit;
use crate::rules::file::MAX_FILE_BYTES;
use crate::terminal::{complain, say};
use crate::text_format::{self, Family, Kind, Value};

/// Units with the base unit that is used in their place, sorted.
#[rustfmt::skip]
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"), ("bits", "bytes"), ("bytes", "bytes"), ("calories", "joules"),
    ("celsius", "celsius"), ("days", "seconds"), ("fahrenheit", "celsius"), ("grams", "grams"),
    ("hours", "seconds"), ("inches", "meters"), ("joules", "joules"), ("kelvin", "kelvin"),
    ("kelvins", "kelvin"), ("meters", "meters"), ("metres", "metres"), ("miles", "meters"),
    ("minutes", "seconds"), ("ounces", "grams"), ("pounds", "grams"), ("rankine", "celsius"),
    ("seconds", "seconds"), ("volts", "volts"), ("weeks", "seconds"), ("yards", "meters"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

#[derive(Debug, Args)]
pub(super) struct MetricsArgs {
    /// Show how many series each metric has.
    #[arg(long)]
    extended: bool,

    /// What to look for: all or none.
    #[arg(long, value_name = "LINTS", default_value = "all")]
    lint: String,
}

/// Checks standard input and returns the exit code.
///
/// # Errors
/// There is nothing to do, or the text is not of the format.
pub(super) fn check(args: &MetricsArgs) -> Result<ExitCode, Exit> {
    let failed = |message: String| Exit { code: 1, message };
    if !args.extended && args.lint == "none" {
        return Err(failed(
            "error: at least one of --extended or linting must be enabled\n\
             Use --extended for cardinality analysis, or remove --lint=none to enable linting\n"
                .to_owned(),
        ));
    }
    let mut bytes = Vec::new();
    let mut input = std::io::stdin().lock().take(MAX_FILE_BYTES + 1);
    let read = input.read_to_end(&mut bytes);
    read.map_err(|error| failed(format!("error while linting: {error}\n")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(format!(
            "error while linting: there are more than {MAX_FILE_BYTES} bytes\n"
        )));
    }
    let families = text_format::read(&bytes).map_err(|error| {
        let at = Position {
            line: error.line,
            column: error.column,
        };
        let text = String::from_utf8_lossy(&bytes);
        let place = excerpt("<stdin>", &text, at, None);
        failed(format!("error while linting: {error}\n{place}"))
    })?;
    let mut problems = Vec::new();
    if args.lint != "none" {
        problems = lint(&families);
    }
    for (name, text) in &problems {
        complain(&format!("{name} {text}\n"));
    }
    if args.extended {
        say(&cardinality(&families));
    }
    Ok(match problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(SUSPICIOUS),
    })
}

/// Returns what is bad style, as pairs of name and text in their order.
fn lint(families: &[Family]) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for family in families {
        let mut tell = |text: String| problems.push((family.name.clone(), text));
        if family.help.is_none() {
            tell("no help text".to_owned());
        }
        lint_unit(&family.name, &mut tell);
        lint_kind(family, &mut tell);
        lint_name(family, &mut tell);
        lint_labels(family, &mut tell);
    }
    problems.sort();
    problems
}

fn lint_unit(name: &str, tell: &mut impl FnMut(String)) {
    let base = |word: &str| {
        let at = UNITS.binary_search_by(|(unit, _)| (*unit).cmp(word)).ok()?;
        UNITS.get(at).map(|(_, base)| *base)
    };
    for word in name.split('_') {
        let prefixed = || {
            let mut prefixes = PREFIXES.iter();
            prefixes.find_map(|prefix| word.strip_prefix(prefix).and_then(base))
        };
        if let Some(base) = base(word).or_else(prefixed) {
            if base != word {
                tell(format!("use base unit \"{base}\" instead of \"{word}\""));
            }
            return;
        }
    }
}

fn lint_kind(family: &Family, tell: &mut impl FnMut(String)) {
    let (name, kind) = (family.name.as_str(), family.kind);
    let is_counter = kind == Kind::Counter;
    let (is_histogram, is_summary) = (kind == Kind::Histogram, kind == Kind::Summary);
    if is_counter && !name.ends_with("_total") {
        tell("counter metrics should have \"_total\" suffix".to_owned());
    }
    if kind == Kind::Untyped {
        return;
    }
    if !is_counter && name.ends_with("_total") {
        tell("non-counter metrics should not have \"_total\" suffix".to_owned());
    }
    if !is_histogram && name.ends_with("_bucket") {
        tell("non-histogram metrics should not have \"_bucket\" suffix".to_owned());
    }
    for end in ["_count", "_sum"] {
        if !is_histogram && !is_summary && name.ends_with(end) {
            tell(format!(
                "non-histogram and non-summary metrics should not have \"{end}\" suffix"
            ));
        }
    }
    for (label, _) in family.metrics.iter().flat_map(|metric| &metric.labels) {
        if !is_histogram && label == "le" {
            tell("non-histogram metrics should not have \"le\" label".to_owned());
        }
        if !is_summary && label == "quantile" {
            tell("non-summary metrics should not have \"quantile\" label".to_owned());
        }
    }
    let (lower, word) = (name.to_lowercase(), kind.name());
    if lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}")) {
        tell(format!("metric name should not include type '{word}'"));
    }
}

fn lint_name(family: &Family, tell: &mut impl FnMut(String)) {
    let name = &family.name;
    if name.contains(':') {
        tell("metric names should not contain ':'".to_owned());
    }
    if is_camel_case(name) {
        tell("metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    }
    let lower = name.to_lowercase();
    for short in ABBREVIATIONS {
        if lower.contains(&format!("_{short}_")) || lower.ends_with(&format!("_{short}")) {
            tell("metric names should not contain abbreviated units".to_owned());
        }
    }
}

fn lint_labels(family: &Family, tell: &mut impl FnMut(String)) {
    let mut seen: HashMap<&[(String, String)], usize> = HashMap::new();
    for metric in &family.metrics {
        for (label, _) in &metric.labels {
            if is_camel_case(label) {
                tell("label names should be written in 'snake_case' not 'camelCase'".to_owned());
            }
        }
        let times = seen.entry(&metric.labels).or_default();
        *times += 1;
        if *times > 1 {
            tell("metric not unique".to_owned());
        }
    }
}

fn is_camel_case(name: &str) -> bool {
    let mut pairs = name.as_bytes().windows(2);
    pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Returns a table of how many series each family makes, most first.
fn cardinality(families: &[Family]) -> String {
    let mut counts: Vec<(&str, usize)> = families
        .iter()
        .map(|family| {
            let of_one = match family.metrics.first().map(|metric| &metric.value) {
                Some(Value::Parts(parts)) => 2 + parts.steps.len(),
                _ => 1,
            };
            (family.name.as_str(), family.metrics.len() * of_one)
        })
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let head = ["Metric", "Cardinality", "Percentage"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(counts.iter().map(|(name, count)| {
        let share = *count as f64 / total as f64 * 100.0;
        [
            (*name).to_owned(),
            count.to_string(),
            format!("{share:.2}%"),
        ]
    }));
    rows.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    let widths = [0, 1, 2].map(|column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0) + 4
    });
    let mut table = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(table, "{cell:<width$}");
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let families = text_format::read(text.as_bytes()).unwrap();
        let problems = lint(&families).into_iter();
        problems
            .map(|(name, text)| format!("{name} {text}"))
            .collect()
    }

    #[test]
    fn tables_are_sorted_for_search() {
        assert!(UNITS.is_sorted());
    }

    #[test]
    fn bad_style_is_told_in_the_words_of_promlint() {
        let text = "# TYPE a counter\na 1\n\
                    # HELP b_total x\n# TYPE b_total gauge\nb_total{le=\"1\",quantile=\"1\"} 1\n\
                    # HELP c_milliseconds x\n# TYPE c_milliseconds gauge\nc_milliseconds 1\n\
                    # HELP d_gauge_ms x\n# TYPE d_gauge_ms gauge\nd_gauge_ms 1\n\
                    # HELP e:fG x\ne:fG{hI=\"1\"} 1\ne:fG{hI=\"1\"} 1\n\
                    # HELP g_bytes_count x\n# TYPE g_bytes_count gauge\ng_bytes_count 1\n\
                    # HELP z_seconds_total x\n# TYPE z_seconds_total counter\nz_seconds_total 1\n";
        assert_eq!(
            problems(text),
            [
                "a counter metrics should have \"_total\" suffix",
                "a no help text",
                "b_total non-counter metrics should not have \"_total\" suffix",
                "b_total non-histogram metrics should not have \"le\" label",
                "b_total non-summary metrics should not have \"quantile\" label",
                "c_milliseconds use base unit \"seconds\" instead of \"milliseconds\"",
                "d_gauge_ms metric name should not include type 'gauge'",
                "d_gauge_ms metric names should not contain abbreviated units",
                "e:fG label names should be written in 'snake_case' not 'camelCase'",
                "e:fG label names should be written in 'snake_case' not 'camelCase'",
                "e:fG metric names should be written in 'snake_case' not 'camelCase'",
                "e:fG metric names should not contain ':'",
                "e:fG metric not unique",
                "g_bytes_count non-histogram and non-summary metrics should not have \
                 \"_count\" suffix",
            ]
        );
    }

    #[test]
    fn series_are_counted_and_the_most_come_first() {
        let text = "a 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\n\
                    h_sum 1\nh_count 1\n";
        let families = text_format::read(text.as_bytes()).unwrap();
        assert_eq!(
            cardinality(&families),
            "Metric    Cardinality    Percentage    \n\
             h         4              80.00%        \n\
             a         1              20.00%        \n\
             Total     5              100%          \n"
        );
    }
}
