//! What a query may ask for, and how it is told that it asked for too much.

use kymo_query::logql::ast::{Expr, LogExpr, MetricExpr};
use kymo_storage::compat::duration::{format_go, format_prometheus};

use super::error::LokiError;
use super::params::Bounds;
use crate::flags::LogQueryFlags;

const NS_PER_MS: i64 = 1_000_000;

/// Nanoseconds of a flag; 0 is no limit.
fn ns(limit: std::time::Duration) -> i64 {
    i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX)
}

/// Checks how many entries are asked for.
pub(super) fn check_entries(flags: &LogQueryFlags, limit: u32) -> Result<(), LokiError> {
    let most = flags.max_entries;
    if most > 0 && limit > most {
        return Err(LokiError::bad(format!(
            "max entries limit per query exceeded, limit > max_entries_limit_per_query \
             ({limit} > {most}) (--logs.query.max-entries)"
        )));
    }
    Ok(())
}

/// Checks how long the range is, and cuts off what lies too far back.
pub(super) fn check_span(
    flags: &LogQueryFlags,
    bounds: Bounds,
    now_ns: i64,
) -> Result<Bounds, LokiError> {
    let mut bounds = bounds;
    let lookback_ns = ns(flags.max_lookback);
    let earliest_ns = now_ns.saturating_sub(lookback_ns);
    if lookback_ns > 0 && bounds.start_ns < earliest_ns {
        if bounds.end_ns < earliest_ns {
            let text = format_prometheus(lookback_ns);
            return Err(LokiError::bad(format!(
                "this data is no longer available, it is past now - max_query_lookback ({text}) \
                 (--logs.query.max-lookback)"
            )));
        }
        bounds.start_ns = earliest_ns;
    }
    let most_ns = ns(flags.max_length);
    // Times have whole milliseconds here.
    let [start_ms, end_ms] = [bounds.start_ns, bounds.end_ns].map(|ns| ns.div_euclid(NS_PER_MS));
    let span_ns = (end_ms - start_ms).saturating_mul(NS_PER_MS);
    if most_ns > 0 && span_ns > most_ns {
        let (asked, most) = (format_go(span_ns), format_prometheus(most_ns));
        return Err(LokiError::bad(format!(
            "the query time range exceeds the limit (query length: {asked}, limit: {most}) \
             (--logs.query.max-length)"
        )));
    }
    Ok(bounds)
}

/// Checks the windows of a query.
pub(super) fn check_windows(flags: &LogQueryFlags, expr: &Expr) -> Result<(), LokiError> {
    let most_ns = ns(flags.max_window);
    let longest_ns = match expr {
        Expr::Log(_) => 0,
        Expr::Metric(expr) => longest_window_ns(expr),
    };
    if most_ns > 0 && longest_ns > most_ns {
        let (asked, most) = (format_prometheus(longest_ns), format_prometheus(most_ns));
        return Err(LokiError::bad(format!(
            "[interval] value exceeds limit: [{asked}] > [{most}] (--logs.query.max-window)"
        )));
    }
    Ok(())
}

fn longest_window_ns(expr: &MetricExpr) -> i64 {
    let mut longest_ns = 0;
    walk(expr, &mut |range_ns, _| {
        longest_ns = longest_ns.max(range_ns)
    });
    longest_ns
}

/// Visits the windows of an expression with what they look at.
pub(super) fn walk<'a>(expr: &'a MetricExpr, visit: &mut impl FnMut(i64, &'a LogExpr)) {
    // Expressions are as deep as the parser lets them be, which is not deep; a stack of
    // one's own is deep enough for any.
    let mut left = vec![expr];
    while let Some(expr) = left.pop() {
        match expr {
            MetricExpr::Range(range) => visit(range.range_ns, &range.log),
            MetricExpr::Vector(vector) => left.push(&vector.inner),
            MetricExpr::Binary(binary) => left.extend([&binary.lhs, &binary.rhs]),
            MetricExpr::LabelReplace(replace) => left.push(&replace.inner),
            MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kymo_query::logql::ast::{RangeExpr, RangeOp};

    use super::super::params::NS_PER_S;
    use super::*;

    const HOUR_NS: i64 = 3600 * NS_PER_S;

    fn flags() -> LogQueryFlags {
        LogQueryFlags {
            max_entries: 5000,
            max_log_series: 0,
            max_length: Duration::from_secs(721 * 3600),
            max_lookback: Duration::ZERO,
            max_window: Duration::ZERO,
            max_tails: 10,
            max_volume_series: 1000,
        }
    }

    #[test]
    fn entries_are_limited() {
        assert_eq!(check_entries(&flags(), 5000), Ok(()));
        let error = check_entries(&flags(), 6000).unwrap_err();
        let expected = "max entries limit per query exceeded, limit > \
                        max_entries_limit_per_query (6000 > 5000)";
        assert!(error.text.starts_with(expected), "{}", error.text);
        let none = LogQueryFlags {
            max_entries: 0,
            ..flags()
        };
        assert_eq!(check_entries(&none, u32::MAX), Ok(()));
    }

    #[test]
    fn the_range_is_limited_in_length_and_age() {
        let bounds = |start_h: i64, end_h: i64| Bounds {
            start_ns: start_h * HOUR_NS,
            end_ns: end_h * HOUR_NS,
        };
        let now_ns = 1000 * HOUR_NS;
        let whole = bounds(0, 721);
        assert_eq!(check_span(&flags(), whole, now_ns), Ok(whole));
        let error = check_span(&flags(), bounds(0, 800), now_ns).unwrap_err();
        let expected =
            "the query time range exceeds the limit (query length: 800h0m0s, limit: 30d1h)";
        assert!(error.text.starts_with(expected), "{}", error.text);
        let between_ms = Bounds {
            start_ns: 1_999_999,
            end_ns: 800 * HOUR_NS,
        };
        let error = check_span(&flags(), between_ms, now_ns).unwrap_err();
        assert!(
            error.text.contains("(query length: 799h59m59.999s,"),
            "{}",
            error.text
        );
        let recent = LogQueryFlags {
            max_lookback: Duration::from_secs(100 * 3600),
            ..flags()
        };
        let cut = check_span(&recent, bounds(0, 1000), now_ns);
        assert_eq!(cut, Ok(bounds(900, 1000)));
        let error = check_span(&recent, bounds(0, 800), now_ns).unwrap_err();
        let expected = "this data is no longer available, it is past now - max_query_lookback";
        assert!(error.text.starts_with(expected), "{}", error.text);
    }

    #[test]
    fn windows_are_limited() {
        let range = |range_ns| {
            Expr::Metric(MetricExpr::Range(RangeExpr {
                op: RangeOp::Count,
                parameter: None,
                log: LogExpr {
                    matchers: Vec::new(),
                    stages: Vec::new(),
                },
                unwrap: None,
                range_ns,
                offset_ns: 0,
                grouping: None,
            }))
        };
        let five = range(300 * NS_PER_S);
        assert_eq!(check_windows(&flags(), &five), Ok(()));
        let minute = LogQueryFlags {
            max_window: Duration::from_secs(60),
            ..flags()
        };
        let error = check_windows(&minute, &five).unwrap_err();
        let expected = "[interval] value exceeds limit: [5m] > [1m]";
        assert!(error.text.starts_with(expected), "{}", error.text);
        assert_eq!(check_windows(&minute, &range(60 * NS_PER_S)), Ok(()));
    }
}
