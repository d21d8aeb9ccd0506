//! What texts mean: precedence, folding, the many places of a window.

use crate::logql::ast::{Conversion, Expr, LineOp, MetricExpr, RangeExpr, Stage};
use crate::logql::parse;

fn printed(query: &str) -> String {
    match parse(query) {
        Ok(expr) => expr.to_string(),
        Err(error) => panic!("{query}: {error}"),
    }
}

fn range(query: &str) -> RangeExpr {
    match parse(query) {
        Ok(Expr::Metric(metric)) => match &metric {
            MetricExpr::Range(range) => range.clone(),
            other => panic!("{query}: {other:?}"),
        },
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn label_filters_bind_as_in_loki() {
    let cases = [
        ("a>1 and b>2 or c>3", "( ( a>1 , b>2 ) or c>3 )"),
        ("a>1 or b>2 and c>3", "( a>1 or ( b>2 , c>3 ) )"),
        ("a>1, b>2 or c>3", "( a>1 , ( b>2 or c>3 ) )"),
        ("a>1 b>2 or c>3", "( a>1 , ( b>2 or c>3 ) )"),
        ("a>1 or b>2, c>3", "( a>1 or ( b>2 , c>3 ) )"),
        ("a>1 or b>2 or c>3", "( ( a>1 or b>2 ) or c>3 )"),
        ("(a>1 or b>2), c>3", "( ( a>1 or b>2 ) , c>3 )"),
    ];
    for (filter, want) in cases {
        let query = format!("{{x=\"y\"}} | {filter}");
        assert_eq!(printed(&query), format!("{{x=\"y\"}} | {want}"), "{filter}");
    }
}

#[test]
fn arithmetic_of_literals_is_done_at_once() {
    let cases = [
        ("1 + 2 * 3", "7"),
        ("2 ^ 3 ^ 2", "512"),
        ("-2 ^ 2", "4"),
        ("7 % 4 == 3", "1"),
        ("1 > bool 2", "0"),
        ("1 / 0", "NaN"),
        ("1e3 + .5", "1000.5"),
        ("0x1p4", "16"),
    ];
    for (query, want) in cases {
        assert_eq!(printed(query), want, "{query}");
    }
    assert_eq!(
        printed("1 + 1 + count_over_time({a=\"b\"}[1m]) * 2"),
        "(2 + (count_over_time({a=\"b\"}[1m]) * 2))"
    );
}

#[test]
fn a_window_may_stand_in_many_places() {
    let want = "rate({a=\"b\"} |= \"c\" | json | unwrap d[5m] offset 1h0m0s)";
    for query in [
        "rate({a=\"b\"} |= \"c\" | json | unwrap d [5m] offset 1h)",
        "rate({a=\"b\"}[5m] offset 1h |= \"c\" | json | unwrap d)",
        "rate(({a=\"b\"} |= \"c\" | json | unwrap d) [5m] offset 60m)",
        "rate((({a=\"b\"} |= \"c\" | json | unwrap d [5m] offset 1h)))",
    ] {
        assert_eq!(printed(query), want, "{query}");
    }
    let back = range("rate({a=\"b\"}[1h] offset -5m)");
    assert_eq!(
        (back.range_ns, back.offset_ns),
        (3_600_000_000_000, -300_000_000_000)
    );
}

#[test]
fn unwraps_keep_their_conversion_and_filters() {
    let range =
        range("sum_over_time({a=\"b\"} | unwrap duration_seconds(c) | __error__=\"\" [1m])");
    let unwrap = range.unwrap.unwrap();
    assert_eq!(unwrap.label, "c");
    assert_eq!(unwrap.conversion, Conversion::Duration { seconds: true });
    assert_eq!(unwrap.filters.len(), 1);
}

#[test]
fn line_filters_that_exclude_share_nothing() {
    let Expr::Log(log) =
        parse("{a=\"b\"} != \"c\" or \"d\" or ip(\"10.0.0.0/8\") |= `e` or `f`").unwrap()
    else {
        panic!("no query for entries");
    };
    let filters: Vec<(LineOp, usize)> = log
        .stages
        .iter()
        .map(|stage| match stage {
            Stage::LineFilter(filter) => (filter.op, filter.operands.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    let not = (LineOp::NotContains, 1);
    assert_eq!(filters, [not, not, not, (LineOp::Contains, 2)]);
}

#[test]
fn words_are_names_where_nothing_else_can_stand() {
    let query = "sum by (rate) (rate({count=\"x\"} | duration > 1.5h | bytes = 1KiB [1m]))";
    assert_eq!(
        printed(query),
        "sum by (rate)(rate({count=\"x\"} | duration>1h30m0s | bytes==1024B[1m]))"
    );
    assert!(parse("{json=\"x\"}").is_err());
    assert_eq!(
        printed("COUNT BY (a) (Count_Over_Time({a=\"b\"}[1d]))"),
        "count by (a)(count_over_time({a=\"b\"}[1d]))"
    );
}
