//! Queries of many levels are read, written, evaluated and dropped on a small stack.

use kymo_storage::model::Labels;

use crate::limits::Cancel;
use crate::memory::MemorySource;
use crate::promql::ast::{Expr, ValueType};
use crate::promql::{
    Engine, EngineOptions, Features, PointValue, QueryOptions, RangeQuery, Value, expr_json,
    parse_expr, pretty_len,
};

/// Less than any thread has that runs queries.
const STACK_BYTES: usize = 1 << 20;

fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}

fn nested(open: &str, inner: &str, close: &str, n: usize) -> String {
    format!("{}{inner}{}", open.repeat(n), close.repeat(n))
}

fn parse(query: &str) -> Expr {
    parse_expr(query, &Features::ALL).unwrap_or_else(|error| panic!("{error}"))
}

/// One query for each kind of node that can hold another, `n` levels deep.
fn shapes(n: usize) -> Vec<String> {
    vec![
        nested("(", "a", ")", n),
        nested("", "a", " + a", n),
        nested("", "a", " or a", n),
        nested("a * (", "a", ")", n / 2),
        nested("a - -", "a", "", n / 2),
        nested("2 ^ ", "a", "", n),
        nested("abs(", "a", ")", n),
        nested("sum(", "a", ")", n),
        nested("topk(1, ", "a", ")", n),
        nested("vector(scalar(", "a", "))", n / 2),
        nested("label_replace(", "a", ", \"b\", \"c\", \"d\", \"e\")", n),
    ]
}

#[test]
fn deep_trees_are_evaluated() {
    on_a_small_stack(|| {
        let mut source = MemorySource::new();
        source.push(&Labels::from_pairs([("__name__", "a")]), 0, 1.0);
        let engine = Engine::new(EngineOptions::default());
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let mut queries = shapes(2_000);
        queries.push(nested("(", "a", ")", 10_000));
        queries.push(nested("", "a", " or a", 10_000));
        // The steps of the inner ones are as many as the levels around them.
        queries.push(nested("max_over_time(", "a", "[1m:])", 300));
        for query in &queries {
            let result = engine.instant(&source, query, 0, &options, &cancel);
            let Value::Vector(samples) = result.unwrap().value else {
                panic!("no vector");
            };
            assert_eq!(samples.len(), 1);
            let range = engine.range(&source, query, 0, 60_000, 60_000, &options, &cancel);
            let Value::Matrix(series) = range.unwrap().value else {
                panic!("no matrix");
            };
            assert_eq!(series[0].floats.values.len(), 2);
        }
        // Others explain themselves, and are kept for later.
        let deep = RangeQuery {
            query: &queries[0],
            start_ms: 0,
            end_ms: 60_000,
            step_ms: 60_000,
        };
        let refused = engine.explain(&deep, &options).unwrap_err();
        assert!(refused.to_string().contains("too deeply to be explained"));
        // What comes out is what arithmetic says.
        let chain = nested("", "a", " + a", 9_999);
        let result = engine.instant(&source, &chain, 0, &options, &cancel);
        let Value::Vector(samples) = result.unwrap().value else {
            panic!("no vector");
        };
        assert_eq!(samples[0].value, PointValue::Float(10_000.0));
    });
}

#[test]
fn deep_trees_are_copied_compared_written_and_dropped() {
    on_a_small_stack(|| {
        let mut queries = shapes(10_000);
        queries.push(nested("max_over_time(", "a", "[1m:])", 10_000));
        let deep_duration = nested("-(1s + ", "5m", ")", 5_000);
        queries.push(format!("rate(a[5m] offset ({deep_duration}))"));
        for query in &queries {
            let expr = parse(query);
            let copy = expr.clone();
            assert!(copy == expr);
            assert_eq!(expr.value_type(), ValueType::Vector);
            let printed = expr.to_string();
            assert!(parse(&printed).to_string() == printed);
            assert!(format!("{expr:?}").len() > printed.len());
            assert!(pretty_len(&expr) > printed.len());
            let json = expr_json(&expr);
            assert_eq!(json.matches('{').count(), json.matches('}').count());
            let mut n = 0;
            expr.walk(&mut |_| n += 1);
            assert!(n > 5_000 || query.contains("offset"), "{n}");
            drop((expr, copy));
        }
    });
}

#[test]
fn one_level_too_many_is_refused_by_name() {
    on_a_small_stack(|| {
        assert!(parse_expr(&nested("(", "a", ")", 99_999), &Features::ALL).is_ok());
        let deepest = [
            nested("(", "a", ")", 100_000),
            nested("", "a", " + a", 100_000),
            format!("a offset ({})", nested("-(1s + ", "5m", ")", 50_000)),
        ];
        for query in &deepest {
            let errors = parse_expr(query, &Features::ALL).unwrap_err();
            assert!(
                errors
                    .to_string()
                    .contains("query is nested too deeply, at most 100000 levels are allowed"),
                "{errors}"
            );
        }
    });
}

#[test]
fn the_stack_of_a_deep_evaluation_is_taken_from_the_query_s_memory() {
    let source = MemorySource::new();
    let engine = Engine::new(EngineOptions {
        max_memory_bytes: 1 << 20,
        ..EngineOptions::default()
    });
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let run = |query: &str| engine.instant(&source, query, 0, &options, &cancel);
    assert!(run(&nested("abs(", "a", ")", 200)).is_ok());
    let error = run(&nested("abs(", "a", ")", 2_000)).unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");
    // Parentheses and chains take none.
    assert!(run(&nested("(", "a", ")", 50_000)).is_ok());
    assert!(run(&nested("", "a", " or a", 50_000)).is_ok());
}
