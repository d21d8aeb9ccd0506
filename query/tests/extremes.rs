//! Queries at the ends of time, over ages, and at more steps than fit in memory get an
//! answer or an error. Whoever may send a query could end the process otherwise.

use kymo_query::promql::Features;
use kymo_query::{
    Cancel, Engine, EngineOptions, MemorySource, QueryError, QueryOptions, QueryResult,
};
use kymo_storage::model::Labels;

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for (instance, offset) in [("a", 0), ("b", 7)] {
        let labels = Labels::from_pairs([("__name__", "m_total"), ("instance", instance)]);
        for scrape in 0..20 {
            source.push(&labels, scrape * 15_000 + offset, scrape as f64);
        }
    }
    for (end, t_ms) in [("first", i64::MIN), ("last", i64::MAX)] {
        let labels = Labels::from_pairs([("__name__", "m_total"), ("end", end)]);
        source.push(&labels, t_ms, 1.0);
    }
    source
}

fn engine() -> Engine {
    Engine::new(EngineOptions {
        enable: Features::ALL,
        max_samples: 100_000,
        ..EngineOptions::default()
    })
}

fn instant(query: &str, t_ms: i64) -> Result<QueryResult, QueryError> {
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    engine().instant(&source(), query, t_ms, &options, &cancel)
}

fn range(query: &str, start: i64, end: i64, step: i64) -> Result<QueryResult, QueryError> {
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    engine().range(&source(), query, start, end, step, &options, &cancel)
}

/// Every way to look at a series, each with its own arithmetic on times.
const QUERIES: &[&str] = &[
    "m_total",
    "m_total offset 292y",
    "m_total offset -292y",
    "m_total @ 9223372036854775",
    "m_total @ -9223372036854775 offset 292y",
    "m_total smoothed",
    "m_total @ start() offset 1ms",
    "timestamp(m_total)",
    "rate(m_total[292y])",
    "rate(m_total[5m] @ 9223372036854775 offset -292y)",
    "increase(m_total[292y] anchored)",
    "delta(m_total[292y] smoothed)",
    "changes(m_total[5m] anchored offset 292y)",
    "irate(m_total[292y])",
    "predict_linear(m_total[5m] @ 0, 1)",
    "predict_linear(m_total[292y] offset -292y, 1)",
    "deriv(m_total[292y])",
    "max_over_time(m_total[5m:1m] offset 292y)",
    "max_over_time(m_total[292y:1y])",
    "max_over_time(m_total[292y:290y] @ -9223372036854775)",
    "max_over_time(max_over_time(m_total[292y:1y])[292y:1y])",
    "absent_over_time(m_total[292y:1y])",
    "time() + start() + end() + range() + step()",
    "rate(m_total[range()])",
    "m_total offset range()",
    "rate(m_total[step() * 1000])",
    "year(m_total) + hour() + days_in_month()",
    "histogram_quantile(0.5, m_total)",
    "topk(9e18, m_total) + quantile(-1e308, m_total)",
];

#[test]
fn the_ends_of_time_are_answered_or_refused() {
    const ENDS: &[i64] = &[
        i64::MIN,
        i64::MIN + 1,
        i64::MIN + 300_000,
        i64::MIN / 2,
        0,
        i64::MAX / 2,
        i64::MAX - 300_000,
        i64::MAX - 1,
        i64::MAX,
    ];
    for query in QUERIES {
        for &t_ms in ENDS {
            let result = instant(query, t_ms);
            assert!(!matches!(result, Err(QueryError::Parse(_))), "{query}");
            let _ = range(query, t_ms, t_ms, 1);
            let _ = range(query, t_ms, t_ms, i64::MAX);
            let _ = range(query, t_ms, t_ms.saturating_add(600_000), 60_000);
            let _ = range(query, t_ms.saturating_sub(600_000), t_ms, 60_000);
            for &end in ENDS.iter().filter(|&&end| end >= t_ms) {
                let _ = range(query, t_ms, end, i64::MAX / 2);
                let _ = range(query, t_ms, end, i64::MAX);
            }
        }
    }
}

#[test]
fn what_fits_in_time_is_answered() {
    for query in QUERIES {
        let result = range(query, 0, 300_000, 60_000);
        let named = query.contains("9223372036854775") || query.contains("max_over_time(max");
        assert!(result.is_ok() || named, "{query}: {:?}", result.err());
    }
}

#[test]
fn times_out_of_range_are_an_error() {
    let result = instant("max_over_time(m_total[292y:1y])", i64::MIN);
    assert!(
        matches!(result, Err(QueryError::Execution(_))),
        "{result:?}"
    );
    let result = range("m_total", i64::MIN, i64::MAX, i64::MAX);
    assert!(matches!(result, Err(QueryError::Invalid(_))), "{result:?}");
}

#[test]
fn more_steps_than_samples_may_be_held_are_refused() {
    let queries = [
        "max_over_time(m_total[292y:1ms])",
        "max_over_time(none[292y:1ms])",
        "absent_over_time(none[292y:1ms])",
        "max_over_time(absent(none)[292y:1ms])",
        "m_total[292y:1ms]",
        "max_over_time(count_values(\"v\", m_total)[292y:1ms])",
        "max_over_time((m_total * on (instance) m_total)[292y:1ms])",
    ];
    for query in queries {
        let result = instant(query, 300_000);
        assert!(
            matches!(result, Err(QueryError::TooManySamples)),
            "{query}: {result:?}"
        );
    }
    for query in ["m_total", "none", "1", "sum(none)", "topk(1, m_total)"] {
        let result = range(query, 0, i64::MAX, 1);
        assert!(
            matches!(result, Err(QueryError::TooManySamples)),
            "{query}: {result:?}"
        );
    }
}

#[test]
fn label_values_that_double_at_each_call_are_refused() {
    let doublings = [
        ("label_join(", ", \"x\", \"\", \"x\", \"x\")"),
        ("label_replace(", ", \"x\", \"$1$1\", \"x\", \"(.*)\")"),
    ];
    for (open, close) in doublings {
        let seed = "label_replace(m_total, \"x\", \"12345678\", \"\", \"\")";
        let doubled = |times| format!("{}{seed}{}", open.repeat(times), close.repeat(times));
        assert!(instant(&doubled(10), 300_000).is_ok());
        let refused = instant(&doubled(40), 300_000);
        assert!(
            matches!(refused, Err(QueryError::Execution(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn few_steps_are_answered_whatever_may_be_held() {
    let engine = Engine::new(EngineOptions {
        max_samples: 10,
        ..EngineOptions::default()
    });
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let result = engine.range(&source(), "none", 0, 10_999, 1, &options, &cancel);
    assert!(result.is_ok(), "{result:?}");
}
