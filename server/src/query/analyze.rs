//! `kymo query analyze`: how many buckets histograms use over time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use clap::Args;
use kymo_storage::compat::duration::format_prometheus;

use super::data::{Data, Series};
use super::print::{metric, pairs};
use super::{query_error, seconds, time_or};
use crate::client::{HttpFlags, Server};
use crate::clock;
use crate::flags::parse_duration;
use crate::terminal::say;

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).\n\n";

const FOOTER: &str = "\nAggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.\n";

#[derive(Debug, Args)]
pub(super) struct AnalyzeArgs {
    /// The server.
    #[arg(long, value_name = "URL")]
    server: String,

    /// Kind of metrics: histogram.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,

    /// How long the range is.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    duration: Duration,

    /// Where the range ends; default: now.
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Selector; may be given several times.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    matchers: Vec<String>,
}

/// Populated buckets of one histogram over time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Usage {
    least: usize,
    average: f64,
    most: usize,
    total: usize,
}

/// Numbers of several histograms.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spread {
    least: usize,
    average: f64,
    most: usize,
    count: usize,
}

/// [`Usage`] of several histograms.
#[derive(Debug, Default)]
struct Summary {
    least: Spread,
    average: Spread,
    most: Spread,
    total: Spread,
}

/// Asks the server and prints what it finds.
///
/// # Errors
/// A flag is wrong, or a query failed.
pub(super) fn run(args: &AnalyzeArgs, http: &HttpFlags) -> Result<(), String> {
    if args.kind != "histogram" {
        return Err(format!(
            "analyze type is {}, must be 'histogram'",
            args.kind
        ));
    }
    let server = Server::new(&args.server, http, &[])?;
    let end_ms = time_or(args.time.as_deref(), "end", clock::now_ms())?;
    let nanos = i64::try_from(args.duration.as_nanos()).unwrap_or(i64::MAX);
    let range = format_prometheus(nanos);
    let mut out = HEADER.to_owned();
    let (mut native, mut classic) = (Summary::default(), Summary::default());
    for matcher in &args.matchers {
        let params = [
            ("query", format!("{matcher}[{range}]")),
            ("time", seconds(end_ms)),
        ];
        let reply = server.call("/api/v1/query", &params);
        let Data::Matrix(series) = Data::read(reply.map_err(query_error)?.data)? else {
            return Err("query of buckets resulted in non-Matrix".to_owned());
        };
        for one in series.iter().filter(|one| one.floats().next().is_none()) {
            if let Some(usage) = native_usage(one) {
                out.push_str(&format!("- {} (native): {usage}\n", metric(&one.metric)));
                native.add(usage);
            }
        }
        for (name, buckets) in classic_histograms(&series) {
            if let Some(usage) = classic_usage(buckets)? {
                out.push_str(&format!("- {name} (classic): {usage}\n"));
                classic.add(usage);
            }
        }
    }
    out.push_str(FOOTER);
    for (kind, summary) in [("Native", &native), ("Classic", &classic)] {
        if summary.least.count > 0 {
            out.push_str(&format!("\n{kind} {summary}\n"));
        }
    }
    say(&out);
    Ok(())
}

/// Counts the buckets of a native histogram; `None` where it has fewer than two samples.
fn native_usage(series: &Series) -> Option<Usage> {
    let mut bounds = BTreeSet::new();
    let mut populated = Vec::new();
    for point in series.histograms() {
        let buckets = &point.1.buckets;
        populated.push(buckets.len());
        bounds.extend(
            buckets
                .iter()
                .map(|bucket| (bucket.0, &bucket.1, &bucket.2)),
        );
    }
    (populated.len() > 1).then(|| Usage::of(&populated, bounds.len()))
}

/// Groups the series of buckets by histogram.
fn classic_histograms(series: &[Series]) -> BTreeMap<String, Vec<&Series>> {
    let mut histograms: BTreeMap<String, Vec<&Series>> = BTreeMap::new();
    for one in series.iter().filter(|one| one.floats().next().is_some()) {
        let name = one.metric.get("__name__").map_or("", String::as_str);
        if !name.ends_with("_bucket") || !one.metric.contains_key("le") {
            continue;
        }
        let others = one.metric.iter();
        let others = others.filter(|(label, _)| !matches!(label.as_str(), "__name__" | "le"));
        let key = format!("{name}{{{}}}", pairs(others));
        histograms.entry(key).or_default().push(one);
    }
    histograms
}

/// Counts the buckets of a classic histogram; `None` where it has fewer than two samples.
fn classic_usage(mut buckets: Vec<&Series>) -> Result<Option<Usage>, String> {
    let bound = |series: &Series| -> f64 {
        let le = series.metric.get("le").map_or("", String::as_str);
        le.parse().unwrap_or(0.0)
    };
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let samples: Vec<Vec<(f64, f64)>> = buckets
        .iter()
        .map(|series| {
            let points = series.floats();
            let points = points.map(|point| (point.seconds(), point.1.parse().unwrap_or(0.0)));
            points.collect()
        })
        .collect();
    let n_samples = samples.first().map_or(0, Vec::len);
    if n_samples < 2 {
        return Ok(None);
    }
    let mut populated = Vec::with_capacity(n_samples);
    for at in 0..n_samples {
        let mut before: Option<(f64, f64)> = None;
        let mut n_populated = 0;
        for bucket in &samples {
            // Where one is shorter, what is known so far counts.
            let Some(&(t, value)) = bucket.get(at) else {
                break;
            };
            if before.is_some_and(|(t_before, _)| t_before != t) {
                return Err("matrix result is not time aligned".to_owned());
            }
            let count = (value - before.map_or(0.0, |(_, value)| value)).trunc();
            n_populated += usize::from(count != 0.0);
            before = Some((t, value));
        }
        populated.push(n_populated);
    }
    Ok(Some(Usage::of(&populated, samples.len())))
}

impl Usage {
    fn of(populated: &[usize], total: usize) -> Usage {
        let sum: usize = populated.iter().sum();
        Usage {
            least: populated.iter().copied().min().unwrap_or(0),
            average: sum as f64 / populated.len().max(1) as f64,
            most: populated.iter().copied().max().unwrap_or(0),
            total,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.least, self.average, self.most)?;
        match self.most == self.total {
            true => Ok(()),
            false => write!(f, "/{}", self.total),
        }
    }
}

impl Spread {
    fn add(&mut self, number: usize) {
        self.least = match self.count {
            0 => number,
            _ => self.least.min(number),
        };
        self.most = self.most.max(number);
        self.count += 1;
        self.average += (number as f64 - self.average) / self.count as f64;
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.least, self.average, self.most)
    }
}

impl Summary {
    fn add(&mut self, usage: Usage) {
        self.least.add(usage.least);
        self.average.add(usage.average as usize);
        self.most.add(usage.most);
        self.total.add(usage.total);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "histogram series ({} in total):", self.least.count)?;
        writeln!(f, "- min populated: {}", self.least)?;
        writeln!(f, "- avg populated: {}", self.average)?;
        write!(f, "- max populated: {}", self.most)?;
        match self.most == self.total {
            true => Ok(()),
            false => write!(f, "\n- total: {}", self.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matrix(result: serde_json::Value) -> Vec<Series> {
        let data = json!({"resultType": "matrix", "result": result});
        match Data::read(data) {
            Ok(Data::Matrix(series)) => series,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn buckets_of_classic_histograms_are_differences() {
        let bucket = |le: &str, values: [&str; 2]| {
            json!({"metric": {"__name__": "h_bucket", "le": le, "a": "b"},
                   "values": [[1, values[0]], [2, values[1]]]})
        };
        let series = matrix(json!([
            bucket("+Inf", ["3", "9"]),
            bucket("1", ["1", "1"]),
            bucket("2", ["1", "4"]),
            {"metric": {"__name__": "other"}, "values": [[1, "1"]]},
        ]));
        let histograms = classic_histograms(&series);
        let (name, buckets) = histograms.into_iter().next().unwrap();
        assert_eq!(name, "h_bucket{a=\"b\"}");
        let usage = classic_usage(buckets).unwrap().unwrap();
        assert_eq!(usage.to_string(), "2/2.500/3");
    }

    #[test]
    fn buckets_of_native_histograms_are_those_that_are_there() {
        let buckets = |n: usize| -> Vec<serde_json::Value> {
            (0..n)
                .map(|i| json!([0, i.to_string(), (i + 1).to_string(), "1"]))
                .collect()
        };
        let histogram = |n| json!({"count": "1", "sum": "1", "buckets": buckets(n)});
        let series = matrix(json!([
            {"metric": {"__name__": "h"}, "histograms": [[1, histogram(1)], [2, histogram(4)]]},
            {"metric": {"__name__": "h"}, "histograms": [[1, histogram(1)]]},
        ]));
        let usage = native_usage(&series[0]).unwrap();
        assert_eq!(usage.to_string(), "1/2.500/4");
        assert_eq!(native_usage(&series[1]), None);
        let mut summary = Summary::default();
        summary.add(usage);
        summary.add(Usage {
            most: 6,
            total: 6,
            ..usage
        });
        assert!(
            summary.to_string().ends_with("- max populated: 4/5.000/6"),
            "{summary}"
        );
    }
}
