//! The one-line print, the print over several lines, the tree as JSON, series lines.

use kymo_storage::model::is_stale_marker;
use serde_json::json;

use crate::promql::{Features, SeriesValue, expr_json, parse_expr, parse_series, pretty};

fn print(query: &str) -> String {
    parse_expr(query, &Features::ALL).unwrap().to_string()
}

#[test]
fn a_query_prints_in_its_canonical_form() {
    let cases = [
        ("SUM(a) BY (b,\"c.d\")", "sum by (b, \"c.d\") (a)"),
        ("topk(5,a) without ()", "topk without () (5, a)"),
        ("a{c=\"1\",b=~\"2\"}", "a{b=~\"2\",c=\"1\"}"),
        ("{\"a.b\"}", "{__name__=\"a.b\"}"),
        ("a[5m] offset 1m @ 5", "a[5m] @ 5.000 offset 1m"),
        ("a @ end() offset -90", "a @ end() offset -1m30s"),
        ("a[36h:30]", "a[1d12h:30s]"),
        ("rate(a[8d] smoothed)", "rate(a[8d] smoothed)"),
        ("a[(1h+step())]", "a[(1h + step())]"),
        ("a offset -(5m)", "a offset -(5m)"),
        ("a + ignoring () b", "a + b"),
        ("a * on(b) group_left c", "a * on (b) group_left () c"),
        (
            "a + fill_left(1) fill_right(2e6) b",
            "a + fill_left (1) fill_right (2e+06) b",
        ),
        ("-1 ^ 2", "-1 ^ 2"),
        ("+a", "+a"),
        ("0x1F + 010 + 1e-7", "31 + 8 + 0.0000001"),
        ("5m * 2", "5m * 2"),
        ("'it\\'s'", "\"it's\""),
        ("fill + fill", "fill + fill"),
        ("a </ 1 >/ 2", "a </ 1 >/ 2"),
    ];
    for (query, expected) in cases {
        let printed = print(query);
        assert_eq!(printed, expected, "{query}");
        assert_eq!(print(&printed), printed);
    }
}

#[test]
fn only_long_lines_are_split() {
    let query = "histogram_quantile(0.99, sum by (le, namespace) (rate(http_request_duration_seconds_bucket{job=\"api\"}[5m])))";
    let expected = "\
histogram_quantile(
  0.99,
  sum by (le, namespace) (rate(http_request_duration_seconds_bucket{job=\"api\"}[5m]))
)";
    let expr = parse_expr(query, &Features::ALL).unwrap();
    assert_eq!(pretty(&expr), expected);
    let short = parse_expr("sum(a)/sum(b)", &Features::ALL).unwrap();
    assert_eq!(pretty(&short), "sum(a) / sum(b)");
}

#[test]
fn the_tree_is_shown_with_functions_described() {
    let expr = parse_expr("abs(a offset 1s)", &Features::ALL).unwrap();
    let expected = json!({
        "type": "call",
        "func": {
            "name": "abs", "argTypes": ["vector"], "variadic": 0, "returnType": "vector",
        },
        "args": [{
            "type": "vectorSelector", "name": "a",
            "matchers": [{ "name": "__name__", "value": "a", "type": "=" }],
            "offset": 1000, "offsetExpr": null, "timestamp": null, "startOrEnd": null,
            "anchored": false, "smoothed": false,
        }],
    });
    assert_eq!(expr_json(&expr), expected.to_string());
}

#[test]
fn series_lines_stand_for_their_values() {
    let values = |line: &str| parse_series(line).unwrap().1;
    let floats = |line: &str| -> Vec<f64> {
        let float = |value: SeriesValue| match value {
            SeriesValue::Float(value) => value,
            other => panic!("{other:?}"),
        };
        values(line).into_iter().map(float).collect()
    };
    assert_eq!(floats("a 1+2x3"), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(floats("a 5-1x2 7x1"), [5.0, 4.0, 3.0, 7.0, 7.0]);
    assert_eq!(
        values("a _x2 _"),
        [SeriesValue::Gap, SeriesValue::Gap, SeriesValue::Gap]
    );
    assert!(is_stale_marker(floats("a stale")[0]));
    let histogram = "{{schema:1 count:3 sum:2.5 offset:-1 buckets:[1 2]}}";
    let written = |line: &str| -> Vec<(String, bool)> {
        let histogram = |value: SeriesValue| match value {
            SeriesValue::Histogram(value) => (value.histogram.to_test_notation(), value.hint_set),
            other => panic!("{other:?}"),
        };
        values(line).into_iter().map(histogram).collect()
    };
    let again = (histogram.to_owned(), false);
    assert_eq!(
        written(&format!("a {histogram}x1")),
        [again.clone(), again.clone()]
    );
    let changed = written(&format!(
        "a {histogram}+{{{{schema:1 sum:1 buckets:[1]}}}}x2"
    ));
    assert_eq!(changed[0], again);
    assert_eq!(
        changed[2].0,
        "{{schema:1 count:3 sum:4.5 offset:-1 buckets:[1 4]}}"
    );
    let gauge = "{{counter_reset_hint:gauge sum:1}}";
    let falling = written(&format!("a {{{{}}}}-{gauge}x1"));
    assert_eq!(
        falling[1],
        ("{{sum:-1 counter_reset_hint:gauge}}".to_owned(), true)
    );
}

#[test]
fn histograms_that_do_not_go_together_are_refused() {
    let error = |line: &str| parse_series(line).unwrap_err().to_string();
    for (line, expected) in [
        (
            "a {{schema:1}}+{{}}x1",
            "error combining histograms: cannot merge from schema 0 to 1",
        ),
        (
            "a {{schema:-53}}+{{}}x1",
            "cannot apply this operation on histograms with a mix of exponential and custom \
             bucket schemas",
        ),
        (
            "a {{}}+{{}}x100001",
            "too many changed histograms in series, at most 100000",
        ),
    ] {
        assert!(error(line).contains(expected), "{}", error(line));
    }
}
