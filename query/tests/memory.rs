//! What queries hold is counted in bytes, bounded for each and for all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kymo_query::{
    Cancel, Engine, EngineOptions, MemoryPool, MemorySource, QueryError, QueryOptions, QueryResult,
};
use kymo_storage::model::Labels;

#[derive(Debug)]
struct Pool {
    limit: u64,
    used: AtomicU64,
}

impl MemoryPool for Pool {
    fn take(&self, bytes: u64) -> bool {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let order = Ordering::Relaxed;
        self.used.fetch_update(order, order, add).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

const SERIES: usize = 500;
const STEPS: i64 = 200;

fn source() -> MemorySource {
    let mut source = MemorySource::new();
    for n in 0..SERIES {
        let labels = Labels::from_pairs([("__name__", "m"), ("n", n.to_string().as_str())]);
        for step in 0..=STEPS {
            source.push(&labels, step * 1000, step as f64);
        }
    }
    source
}

fn run(pool: &Arc<Pool>, max_bytes: u64, query: &str) -> Result<QueryResult, QueryError> {
    let engine = Engine::new(EngineOptions {
        max_memory_bytes: max_bytes,
        memory: Some(Arc::clone(pool) as Arc<dyn MemoryPool>),
        ..EngineOptions::default()
    });
    let (options, cancel) = (QueryOptions::default(), Cancel::new());
    let end_ms = STEPS * 1000;
    engine.range(&source(), query, 0, end_ms, 1000, &options, &cancel)
}

#[test]
fn a_query_over_its_share_is_refused_and_what_folds_is_not() {
    let pool = Arc::new(Pool {
        limit: u64::MAX,
        used: AtomicU64::new(0),
    });
    // All series at all steps are 800 kB of values.
    let share = 400_000;
    for query in [
        "m",
        "m * 2",
        "rate(m[10s])",
        "sum by (n) (m)",
        "max_over_time(m[5s:1s])",
    ] {
        match run(&pool, share, query) {
            Err(QueryError::TooMuchMemory { limit_bytes }) => assert_eq!(limit_bytes, share),
            other => panic!("{query}: {other:?}"),
        }
        assert_eq!(pool.used.load(Ordering::Relaxed), 0, "{query}");
    }
    for query in [
        "sum(m)",
        "sum(rate(m[10s]))",
        "count(m) + count(m) + count(m)",
        "m{n=\"7\"}",
    ] {
        assert!(run(&pool, share, query).is_ok(), "{query}");
    }
    assert_eq!(pool.used.load(Ordering::Relaxed), 0);
}

#[test]
fn a_result_holds_its_memory_until_it_is_dropped() {
    let pool = Arc::new(Pool {
        limit: 4_400_000,
        used: AtomicU64::new(0),
    });
    let first = run(&pool, u64::MAX, "m").unwrap();
    let held = pool.used.load(Ordering::Relaxed);
    // 16 bytes a point, and labels.
    let points = (SERIES as u64) * (STEPS as u64 + 1);
    assert!(held >= points * 16 && held < points * 20, "{held}");
    assert_eq!(first.memory.bytes(), held);
    let copy = first.clone();
    drop(first);
    assert_eq!(pool.used.load(Ordering::Relaxed), held);
    let second = run(&pool, u64::MAX, "m").unwrap();
    let refused = run(&pool, u64::MAX, "m").unwrap_err();
    assert!(matches!(refused, QueryError::NoMemory), "{refused}");
    drop((copy, second));
    assert_eq!(pool.used.load(Ordering::Relaxed), 0);
    assert!(run(&pool, u64::MAX, "m").is_ok());
}
