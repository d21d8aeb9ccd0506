//! Answers in one form, and how two of them differ.

use kymo_query::{PointValue, QueryError, QueryResult, Value};

use super::grammar::Order;

/// Values that differ by less, in parts of themselves, count as equal.
const RELATIVE: f64 = 1e-9;
/// The same as a number, for what is left when large numbers are subtracted.
const ABSOLUTE: f64 = 1e-7;

/// An answer of either side.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The query failed.
    Error(String),
    /// A text.
    Text(String),
    /// Series in the order of the answer: labels as JSON, and points. A scalar is one
    /// series without labels.
    Series(Vec<(String, Vec<(i64, f64)>)>),
}

/// How many points were compared, and how many were equal to the bit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Points {
    /// Compared.
    pub compared: u64,
    /// Equal, all NaN counting as one.
    pub same_bits: u64,
}

impl Answer {
    /// Takes an answer of Kymo's engine.
    pub fn of_engine(result: Result<QueryResult, QueryError>) -> Answer {
        let value = match result {
            Ok(result) => result.value,
            Err(error) => return Answer::Error(error.to_string()),
        };
        match value {
            Value::Scalar { t_ms, value } => {
                Answer::Series(vec![("{}".to_owned(), vec![(t_ms, value)])])
            }
            Value::String { value, .. } => Answer::Text(value),
            Value::Vector(samples) => {
                let series = samples.into_iter().map(|sample| {
                    let value = match sample.value {
                        PointValue::Float(value) => value,
                        other => panic!("unexpected {other:?}"),
                    };
                    (labels_json(&sample.labels), vec![(sample.t_ms, value)])
                });
                Answer::Series(series.collect())
            }
            Value::Matrix(series) => {
                let series = series.into_iter().map(|series| {
                    let (times, values) = (series.floats.timestamps, series.floats.values);
                    let points = times.into_iter().zip(values).collect();
                    (labels_json(&series.labels), points)
                });
                Answer::Series(series.collect())
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Takes an answer of the HTTP API.
    pub fn of_api(answer: &serde_json::Value) -> Answer {
        if answer["status"] != "success" {
            return Answer::Error(answer["error"].as_str().unwrap_or_default().to_owned());
        }
        let result = &answer["data"]["result"];
        let series = |with: &dyn Fn(&serde_json::Value) -> Vec<(i64, f64)>| {
            // An empty matrix is written as `null`.
            let list = result.as_array().into_iter().flatten();
            let list = list.map(|series| (series["metric"].to_string(), with(series)));
            Answer::Series(list.collect())
        };
        match answer["data"]["resultType"].as_str().unwrap_or_default() {
            "string" => Answer::Text(result[1].as_str().unwrap_or_default().to_owned()),
            "scalar" => Answer::Series(vec![("{}".to_owned(), vec![point(result)])]),
            "vector" => series(&|series| vec![point(&series["value"])]),
            _ => series(&|series| {
                let points = series["values"].as_array().into_iter().flatten();
                points.map(point).collect()
            })
            .without_empty(),
        }
    }
}

impl Answer {
    /// Drops series without points, which 2.42 shows of subqueries.
    fn without_empty(mut self) -> Answer {
        if let Answer::Series(series) = &mut self {
            series.retain(|(_, points)| !points.is_empty());
        }
        self
    }
}

fn labels_json(labels: &kymo_storage::model::Labels) -> String {
    let pairs = labels.iter().map(|(n, v)| (n.to_owned(), v.into()));
    serde_json::Value::Object(pairs.collect()).to_string()
}

fn point(pair: &serde_json::Value) -> (i64, f64) {
    let t_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
    (t_ms, pair[1].as_str().unwrap().parse().unwrap())
}

/// Compares two answers. Says how they differ, if they do.
pub fn difference(
    ours: &Answer,
    theirs: &Answer,
    order: Order,
    points: &mut Points,
) -> Option<String> {
    match (ours, theirs) {
        (Answer::Error(_), Answer::Error(_)) => None,
        (Answer::Text(l), Answer::Text(r)) if l == r => None,
        (Answer::Series(l), Answer::Series(r)) => {
            let sorted = |series: &[(String, Vec<(i64, f64)>)]| {
                let mut series = series.to_vec();
                series.sort_by(|a, b| a.0.cmp(&b.0));
                series
            };
            let differs = same_series(&sorted(l), &sorted(r), points);
            if differs.is_some() || order == Order::Any {
                return differs;
            }
            // The labels agree; where values are equal their order is open.
            let ranks = |series: &[(String, Vec<(i64, f64)>)]| -> Vec<f64> {
                series
                    .iter()
                    .filter_map(|(_, points)| Some(points.first()?.1))
                    .collect()
            };
            let (l, r) = (ranks(l), ranks(r));
            let mut pairs = l.iter().zip(&r);
            let wrong = pairs.position(|(l, r)| !same_value(*l, *r))?;
            Some(format!("order differs at {wrong}: {l:?} and {r:?}"))
        }
        _ => Some(format!("ours {}, theirs {}", brief(ours), brief(theirs))),
    }
}

fn same_series(
    ours: &[(String, Vec<(i64, f64)>)],
    theirs: &[(String, Vec<(i64, f64)>)],
    count: &mut Points,
) -> Option<String> {
    let names = |series: &[(String, Vec<(i64, f64)>)]| -> Vec<String> {
        series.iter().map(|(labels, _)| labels.clone()).collect()
    };
    if names(ours) != names(theirs) {
        let (l, r) = (names(ours), names(theirs));
        return Some(format!("series differ:\n  ours   {l:?}\n  theirs {r:?}"));
    }
    for ((labels, l), (_, r)) in ours.iter().zip(theirs) {
        let times = |points: &[(i64, f64)]| points.iter().map(|p| p.0).collect::<Vec<_>>();
        if times(l) != times(r) {
            return Some(format!(
                "{labels}: times differ:\n  ours   {l:?}\n  theirs {r:?}"
            ));
        }
        for ((t_ms, ours), (_, theirs)) in l.iter().zip(r) {
            count.compared += 1;
            let same_bits = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            count.same_bits += u64::from(same_bits);
            if !same_value(*ours, *theirs) {
                return Some(format!(
                    "{labels} at {t_ms}: ours {ours:?}, theirs {theirs:?}"
                ));
            }
        }
    }
    None
}

fn same_value(l: f64, r: f64) -> bool {
    let close = || (l - r).abs() <= ABSOLUTE.max(RELATIVE * l.abs().max(r.abs()));
    l == r || l.is_nan() && r.is_nan() || l.is_finite() && r.is_finite() && close()
}

fn brief(answer: &Answer) -> String {
    let text = format!("{answer:?}");
    text.chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(&str, f64)]) -> Answer {
        let series = points
            .iter()
            .map(|(labels, value)| ((*labels).to_owned(), vec![(0, *value)]));
        Answer::Series(series.collect())
    }

    #[test]
    fn answers_are_the_same_up_to_rounding_and_order() {
        let mut points = Points::default();
        let mut differs =
            |l: &Answer, r: &Answer, order| difference(l, r, order, &mut points).is_some();
        let two = series(&[("a", 1.0), ("b", 2.0)]);
        assert!(!differs(
            &two,
            &series(&[("b", 2.0), ("a", 1.0 + 1e-12)]),
            Order::Any
        ));
        assert!(differs(
            &two,
            &series(&[("b", 2.0), ("a", 1.0)]),
            Order::Sorted
        ));
        assert!(differs(&two, &series(&[("a", 1.0)]), Order::Any));
        assert!(differs(
            &two,
            &series(&[("a", 1.0), ("b", 2.001)]),
            Order::Any
        ));
        assert!(differs(&two, &Answer::Error(String::new()), Order::Any));
        let nan = series(&[("a", f64::NAN)]);
        assert!(!differs(&nan, &nan.clone(), Order::Sorted));
        assert!(differs(&nan, &series(&[("a", 1.0)]), Order::Any));
        assert_eq!((points.compared, points.same_bits), (8, 5));
    }
}
