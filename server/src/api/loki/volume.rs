//! How many bytes of lines there are, by label sets or by labels.

use std::collections::BTreeMap;

use kymo_query::logql::ast::{
    Expr, Grouping, LogExpr, MetricExpr, RangeExpr, RangeOp, VectorExpr, VectorOp,
};
use kymo_storage::compat::float;
use kymo_storage::model::{Labels, MatchOp, Matcher};

use super::error::LokiError;
use super::json::push_seconds;
use super::params::{Bounds, DEFAULT_LIMIT, count, number};
use crate::http::json::{Escape, push_string};
use crate::http::params::Params;

/// What is asked about volume.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// None: all streams.
    pub(super) matchers: Vec<Matcher>,
    targets: Vec<String>,
    by_labels: bool,
    pub(super) limit: usize,
}

impl Asked {
    /// Reads the parameters. `most` is how many label sets an answer may have.
    pub(super) fn read(
        params: &Params,
        matchers: Vec<Matcher>,
        most: u32,
    ) -> Result<Asked, LokiError> {
        let limit = match number(params, "limit", 0)? {
            0 => DEFAULT_LIMIT,
            _ => count(params, "limit", DEFAULT_LIMIT)?,
        };
        let by_labels = match params.get("aggregateBy") {
            "" | "series" => false,
            "labels" => true,
            _ => return Err(LokiError::bad("invalid aggregation option")),
        };
        let targets = params.get("targetLabels").split(',');
        let targets: Vec<String> = targets
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        let mut asked = Asked {
            matchers,
            targets,
            by_labels,
            limit: limit.min(most.max(1)) as usize,
        };
        for target in &asked.targets {
            // Streams without the label say nothing about it.
            if !asked.matchers.iter().any(|known| known.name() == target) {
                let present = Matcher::new(MatchOp::Regex, target, ".+");
                let present = present.map_err(|error| LokiError::bad(error.to_string()))?;
                asked.matchers.push(present);
            }
        }
        Ok(asked)
    }

    /// Returns the labels by which volume is summed up; `all` are those that streams have.
    pub(super) fn labels(&self, all: Vec<String>) -> Vec<String> {
        if !self.targets.is_empty() {
            return self.targets.clone();
        }
        if self.by_labels || self.matchers.is_empty() {
            return all;
        }
        let mut labels: Vec<String> = self
            .matchers
            .iter()
            .map(|matcher| matcher.name().to_owned())
            .collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Turns sums by label sets into what is asked for: the greatest first.
    pub(super) fn ranked(&self, sums: Vec<(Labels, Vec<Point>)>) -> Vec<Volume> {
        let mut volumes: Vec<Volume> = if self.by_labels {
            by_label(sums)
        } else {
            let named = sums.into_iter().map(|(labels, points)| Volume {
                labels: labels
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                points,
            });
            named.collect()
        };
        volumes.retain(|volume| !volume.points.is_empty());
        volumes.sort_by(|a, b| {
            let total = |volume: &Volume| volume.points.iter().map(|point| point.bytes).sum();
            let (of_a, of_b): (f64, f64) = (total(a), total(b));
            of_b.total_cmp(&of_a).then_with(|| a.labels.cmp(&b.labels))
        });
        volumes.truncate(self.limit);
        volumes
    }
}

/// Volume at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) t_ms: i64,
    pub(super) bytes: f64,
}

/// Volume of a label set, or of a label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Volume {
    labels: Vec<(String, String)>,
    points: Vec<Point>,
}

/// Sums up by names of labels.
fn by_label(sums: Vec<(Labels, Vec<Point>)>) -> Vec<Volume> {
    let mut names: BTreeMap<String, BTreeMap<i64, f64>> = BTreeMap::new();
    for (labels, points) in sums {
        for (name, _) in labels.iter() {
            let sums = names.entry(name.to_owned()).or_default();
            for point in &points {
                *sums.entry(point.t_ms).or_default() += point.bytes;
            }
        }
    }
    let volumes = names.into_iter().map(|(name, points)| Volume {
        labels: vec![(name, String::new())],
        points: points
            .into_iter()
            .map(|(t_ms, bytes)| Point { t_ms, bytes })
            .collect(),
    });
    volumes.collect()
}

/// Returns the query that sums up bytes, or entries, by labels, over windows of this length.
pub(super) fn summed(
    op: RangeOp,
    matchers: Vec<Matcher>,
    labels: Vec<String>,
    range_ns: i64,
) -> Expr {
    Expr::Metric(MetricExpr::Vector(Box::new(VectorExpr {
        op: VectorOp::Sum,
        parameter: None,
        inner: MetricExpr::Range(RangeExpr {
            op,
            parameter: None,
            log: LogExpr {
                matchers,
                stages: Vec::new(),
            },
            unwrap: None,
            range_ns,
            offset_ns: 0,
            grouping: None,
        }),
        grouping: Some(Grouping {
            without: false,
            labels,
        }),
    })))
}

/// Splits a range at multiples of a step, for each of which there is a point at its end.
pub(super) fn pieces(bounds: Bounds, step_ns: i64) -> Vec<Bounds> {
    let mut pieces = Vec::new();
    let mut start_ns = bounds.start_ns;
    while start_ns < bounds.end_ns {
        let next_ns = start_ns
            .saturating_sub(start_ns.rem_euclid(step_ns))
            .saturating_add(step_ns);
        let end_ns = next_ns.min(bounds.end_ns);
        pieces.push(Bounds { start_ns, end_ns });
        start_ns = end_ns;
    }
    pieces
}

/// Appends the data of an answer: a vector, or a matrix where there are steps.
pub(super) fn push_data(out: &mut Vec<u8>, volumes: &[Volume], is_range: bool) {
    let kind: &[u8] = if is_range { b"matrix" } else { b"vector" };
    out.extend_from_slice(b"{\"resultType\":\"");
    out.extend_from_slice(kind);
    out.extend_from_slice(b"\",\"result\":[");
    for (i, volume) in volumes.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"metric\":{");
        for (i, (name, value)) in volume.labels.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_string(out, name, Escape::Html);
            out.push(b':');
            push_string(out, value, Escape::Html);
        }
        let points = volume.points.iter();
        if is_range {
            out.extend_from_slice(b"},\"values\":[");
            for (i, point) in points.enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_point(out, *point);
            }
            out.push(b']');
        } else {
            out.extend_from_slice(b"},\"value\":");
            points.take(1).for_each(|point| push_point(out, *point));
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]");
}

fn push_point(out: &mut Vec<u8>, point: Point) {
    out.push(b'[');
    push_seconds(out, point.t_ms);
    out.extend_from_slice(b",\"");
    float::push_f(out, point.bytes);
    out.extend_from_slice(b"\"]");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(name: &str, value: &str) -> Matcher {
        Matcher::new(MatchOp::Equal, name, value).unwrap()
    }

    fn asked(query: &str, matchers: Vec<Matcher>) -> Result<Asked, LokiError> {
        Asked::read(&Params::decode(Some(query), None), matchers, 1000)
    }

    fn sums() -> Vec<(Labels, Vec<Point>)> {
        let point = |bytes| vec![Point { t_ms: 1500, bytes }];
        vec![
            (
                Labels::from_pairs([("app", "a"), ("env", "x<y")]),
                point(5.0),
            ),
            (Labels::from_pairs([("app", "b"), ("env", "p")]), point(9.0)),
            (Labels::from_pairs([("app", "c")]), point(9.0)),
        ]
    }

    fn json(asked: &Asked, is_range: bool) -> String {
        let mut out = Vec::new();
        push_data(&mut out, &asked.ranked(sums()), is_range);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_labels_are_those_of_the_selector_or_the_targets() {
        let all = || vec!["app".to_owned(), "env".to_owned()];
        let plain = asked("", vec![matcher("env", "p"), matcher("env", "p")]).unwrap();
        assert_eq!(plain.labels(all()), ["env"]);
        assert_eq!(asked("", Vec::new()).unwrap().labels(all()), all());
        let targets = asked("targetLabels=app,,zone", vec![matcher("app", "a")]).unwrap();
        assert_eq!(targets.labels(all()), ["app", "zone"]);
        // Who asks about a label gets those that have it.
        assert_eq!(targets.matchers.len(), 2);
        assert_eq!(targets.matchers[1].name(), "zone");
        let labels = asked("aggregateBy=labels", vec![matcher("env", "p")]).unwrap();
        assert_eq!(labels.labels(all()), all());
        assert_eq!(
            asked("aggregateBy=x", Vec::new()).unwrap_err(),
            LokiError::bad("invalid aggregation option")
        );
        assert!(asked("limit=-1", Vec::new()).is_err());
        assert_eq!(asked("limit=0", Vec::new()).unwrap().limit, 100);
        assert_eq!(asked("limit=5000", Vec::new()).unwrap().limit, 1000);
    }

    #[test]
    fn the_greatest_come_first_and_those_alike_by_name() {
        let two = asked("limit=2", Vec::new()).unwrap();
        let expected = concat!(
            r#"{"resultType":"vector","result":["#,
            r#"{"metric":{"app":"b","env":"p"},"value":[1.5,"9"]},"#,
            r#"{"metric":{"app":"c"},"value":[1.5,"9"]}]"#
        );
        assert_eq!(json(&two, false), expected);
        let all = asked("", Vec::new()).unwrap();
        let expected = r#"{"metric":{"app":"a","env":"x\u003cy"},"values":[[1.5,"5"]]}"#;
        assert!(json(&all, true).contains(expected), "{}", json(&all, true));
    }

    #[test]
    fn labels_are_summed_up_by_name() {
        let labels = asked("aggregateBy=labels", Vec::new()).unwrap();
        let expected = concat!(
            r#"{"resultType":"vector","result":["#,
            r#"{"metric":{"app":""},"value":[1.5,"23"]},"#,
            r#"{"metric":{"env":""},"value":[1.5,"14"]}]"#
        );
        assert_eq!(json(&labels, false), expected);
    }

    #[test]
    fn pieces_end_at_multiples_of_the_step() {
        let bounds = |start_ns, end_ns| Bounds { start_ns, end_ns };
        assert_eq!(
            pieces(bounds(7, 31), 10),
            [
                bounds(7, 10),
                bounds(10, 20),
                bounds(20, 30),
                bounds(30, 31)
            ]
        );
        assert_eq!(pieces(bounds(-5, 0), 10), [bounds(-5, 0)]);
        assert_eq!(pieces(bounds(5, 5), 10), []);
    }
}
