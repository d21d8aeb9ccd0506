//! The deepest queries that are accepted can also be evaluated.

use kymo_storage::model::Labels;

use crate::limits::Cancel;
use crate::memory::MemorySource;
use crate::promql::{Engine, EngineOptions, QueryOptions, Value};

/// What a thread that runs queries should have, as `MAX_DEPTH` says, twice over.
const STACK_BYTES: usize = 8 << 20;

#[test]
fn the_deepest_trees_fit_the_stack_of_a_query() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    thread.spawn(evaluate_deep_trees).unwrap().join().unwrap();
}

fn evaluate_deep_trees() {
    let mut source = MemorySource::new();
    source.push(&Labels::from_pairs([("__name__", "a")]), 0, 1.0);
    let engine = Engine::new(EngineOptions::default());
    let nested =
        |open: &str, close: &str, n: usize| format!("{}a{}", open.repeat(n), close.repeat(n));
    let queries = [
        nested("(", ")", 250),
        nested("", " + a", 250),
        nested("", " or a", 250),
        nested("abs(", ")", 250),
        nested("sum(", ")", 250),
        nested("max_over_time(", "[1m:])", 120),
    ];
    for query in &queries {
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let result = engine.instant(&source, query, 0, &options, &cancel);
        let Value::Vector(samples) = result.unwrap().value else {
            panic!("no vector");
        };
        assert_eq!(samples.len(), 1);
        let range = engine.range(&source, query, 0, 60_000, 60_000, &options, &cancel);
        assert!(range.is_ok());
    }
}
