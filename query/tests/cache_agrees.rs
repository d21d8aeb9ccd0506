//! An answer put together from kept steps is the answer of an evaluation, bit for bit.
//!
//! Random histories of a store: scrapes, series that lag behind and catch up, samples
//! that come late, deletions, imports, compactions of a head with short blocks; and in
//! between queries whose ranges move, grow and jump, each answered by the cache and by
//! the engine alone. Values differ widely in size and many are equal, so that sums and
//! `topk` show their order.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole target is a test, its helper functions too"
)]

use std::ops::ControlFlow;

use kymo_query::promql::Features;
use kymo_query::{
    CacheOptions, Cancel, Engine, EngineOptions, QueryOptions, QueryResult, RangeQuery,
    ResultCache, Value,
};
use kymo_storage::StoreOptions;
use kymo_storage::metrics::{MetricStore, Retention};
use kymo_storage::model::histogram::{Histogram, IntegerHistogram, Span};
use kymo_storage::model::{Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;

const MINUTE_MS: i64 = 60_000;
const SCRAPE_MS: i64 = 30_000;
const START_MS: i64 = 1_700_000_400_000;
/// The last but one turns from floats to histograms and back, the last has histograms.
const SERIES: usize = 8;
const WINDOW_MS: i64 = 6 * MINUTE_MS;

const QUERIES: [&str; 33] = [
    "m_total",
    "sum(m_total)",
    "sum by (a) (m_total)",
    "avg without (b) (rate(m_total[3m]))",
    "topk(2, m_total)",
    "max by (b) (m_total)",
    "stddev(m_total)",
    "stddev by (a) (m_total)",
    "avg(m_total)",
    "stdvar(m_total offset 3m)",
    "bottomk(1, m_total)",
    "sum(rate(m_total[2m])) / sum(increase(m_total[7m]))",
    "sum by (a) (m_total) + on (a) sum by (a) (n)",
    "sum(m_total offset 10m)",
    "sum(m_total offset -2m)",
    "m_total - m_total offset 15m",
    "sum_over_time(sum(m_total)[6m:1m])",
    "max_over_time(rate(m_total[2m])[10m:])",
    "histogram_quantile(0.5, count by (le) (m_total))",
    "absent(m_total{a=\"x\"})",
    "count_over_time(n[5m]) * 2",
    "timestamp(m_total)",
    "m_total > 3",
    "quantile(0.3, m_total)",
    // Not kept where there are histograms.
    "rate(h[3m])",
    "histogram_quantile(0.9, sum(increase(h[2m])))",
    "histogram_count(h) + 1",
    // Not steady, or with annotations.
    "sum(sum by (a) (m_total))",
    "sum(m_total @ 1700001000)",
    "rate(m_total[2m]) + time()",
    "sum(m_total) + start()",
    "topk(1, m_total or n)",
    "count_values(\"v\", m_total)",
];

#[derive(Debug, Clone)]
enum Step {
    /// Some scrapes; series whose bit is set take no part.
    Scrapes {
        n: u8,
        lagging: u8,
    },
    /// A series that lags gets what it missed, in order.
    CatchUp {
        series: u8,
    },
    /// A sample so many seconds before the newest one.
    Late {
        series: u8,
        back_s: u16,
    },
    Delete {
        series: u8,
        from_back: u8,
        minutes: u8,
    },
    Import {
        series: u8,
        from_back: u8,
        samples: u8,
    },
    Compact,
    Query {
        query: u8,
        back: u8,
        minutes: u8,
        step: u8,
    },
    /// The query before, for a range that has moved on.
    Again {
        end_back: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u8..40, prop_oneof![3 => Just(0u8), 1 => any::<u8>()])
            .prop_map(|(n, lagging)| Step::Scrapes { n, lagging }),
        1 => any::<u8>().prop_map(|series| Step::CatchUp { series }),
        2 => (any::<u8>(), 0u16..2400).prop_map(|(series, back_s)| Step::Late { series, back_s }),
        1 => (any::<u8>(), 0u8..90, 0u8..30)
            .prop_map(|(series, from_back, minutes)| Step::Delete { series, from_back, minutes }),
        1 => (any::<u8>(), 20u8..100, 1u8..20)
            .prop_map(|(series, from_back, samples)| Step::Import { series, from_back, samples }),
        1 => Just(Step::Compact),
        3 => (any::<u8>(), 0u8..60, 1u8..90, 0u8..4)
            .prop_map(|(query, back, minutes, step)| Step::Query { query, back, minutes, step }),
        5 => (0u8..10).prop_map(|end_back| Step::Again { end_back }),
    ]
}

struct World {
    _dir: tempfile::TempDir,
    store: MetricStore,
    engine: Engine,
    cache: ResultCache,
    now_ms: i64,
    /// Time of the next sample of each series.
    next_ms: [i64; SERIES],
    n_values: u64,
    query: (&'static str, i64, i64, i64),
}

fn labels(series: usize) -> Labels {
    Labels::from_pairs([
        (
            "__name__",
            ["m_total", "n", "h"][(series / 5) + (series / 7)],
        ),
        ("a", ["x", "y"][series % 2]),
        ("b", ["3", "2", "1"][series % 3]),
        ("le", ["5", "1", "+Inf", "10", "100"][series % 5]),
    ])
}

/// A counter that begins anew now and then.
fn histogram(t_ms: i64) -> Histogram {
    let n = (t_ms - START_MS) / 1000 % 1500 + 1;
    Histogram::Integer(IntegerHistogram {
        count: 2 * n as u64,
        sum: n as f64 / 3.0,
        positive_spans: vec![Span {
            offset: (n % 3) as i32,
            length: 2,
        }],
        positive_deltas: vec![n, 0],
        ..IntegerHistogram::default()
    })
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::new(dir.path());
        options.shards = 2;
        options.block_range_ms = 20 * MINUTE_MS;
        options.out_of_order_window_ms = WINDOW_MS;
        let (store, _) = MetricStore::open(&options).unwrap();
        let features = Features {
            experimental_functions: true,
            ..Features::default()
        };
        World {
            _dir: dir,
            store,
            engine: Engine::new(EngineOptions {
                enable: features,
                ..EngineOptions::default()
            }),
            cache: ResultCache::new(CacheOptions {
                max_bytes: 1 << 20,
                memory: None,
            }),
            now_ms: START_MS,
            next_ms: [START_MS; SERIES],
            n_values: 0,
            query: (QUERIES[1], START_MS, START_MS + 30 * MINUTE_MS, MINUTE_MS),
        }
    }

    /// Returns values of which sums depend on their order: the great ones take each other
    /// away and leave a sum of errors, which is not compensated any more. Many are equal.
    fn value(&mut self) -> f64 {
        self.n_values += 1;
        let mixed = self.n_values.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        match mixed % 8 {
            0 => 1e32,
            1 => -1e32,
            2 => 1e16,
            3 => 1e16 + 2.0,
            4 => self.n_values as f64 / 3.0,
            5 => 2.0,
            _ => 1.0,
        }
    }

    /// Appends what is older than anybody expects.
    fn append_late(&mut self, samples: &[(usize, i64)]) {
        self.store.set_out_of_order_window_ms(60 * MINUTE_MS);
        self.append(samples);
        self.store.set_out_of_order_window_ms(WINDOW_MS);
    }

    fn append(&mut self, samples: &[(usize, i64)]) {
        let values: Vec<f64> = samples.iter().map(|_| self.value()).collect();
        let mut appender = self.store.appender();
        for (&(series, t_ms), value) in samples.iter().zip(values) {
            let of = appender.series(&labels(series)).unwrap();
            // A sample may be a duplicate or too old.
            let _ = match series {
                7 => appender.append_histogram(of, t_ms, &histogram(t_ms)),
                6 if t_ms % 7 == 0 => appender.append_histogram(of, t_ms, &histogram(t_ms)),
                _ => appender.append(of, t_ms, value),
            };
        }
        appender.commit().unwrap();
    }

    fn go(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Scrapes { n, lagging } => {
                for _ in 0..n {
                    self.now_ms += SCRAPE_MS;
                    let mut samples = Vec::new();
                    for series in (0..SERIES).filter(|series| lagging >> series & 1 == 0) {
                        samples.push((series, self.now_ms));
                        self.next_ms[series] = self.now_ms + SCRAPE_MS;
                    }
                    self.append(&samples);
                }
            }
            Step::CatchUp { series } => {
                let series = usize::from(series) % SERIES;
                let mut missed = Vec::new();
                while self.next_ms[series] <= self.now_ms {
                    missed.push((series, self.next_ms[series]));
                    self.next_ms[series] += SCRAPE_MS;
                }
                self.append_late(&missed);
            }
            Step::Late { series, back_s } => {
                let series = usize::from(series) % SERIES;
                self.append_late(&[(series, self.now_ms - i64::from(back_s) * 1000 - 7)]);
            }
            Step::Delete {
                series,
                from_back,
                minutes,
            } => {
                let of = labels(usize::from(series) % SERIES);
                let matcher =
                    |name: &str| Matcher::new(MatchOp::Equal, name, of.get(name).unwrap()).unwrap();
                let sets = [vec![matcher("__name__"), matcher("a"), matcher("b")]];
                let start_ms = self.now_ms - i64::from(from_back) * MINUTE_MS;
                let range = TimeRange::new(start_ms, start_ms + i64::from(minutes) * MINUTE_MS);
                self.store.delete_series(&sets, range).unwrap();
            }
            Step::Import {
                series,
                from_back,
                samples,
            } => {
                let start_ms = self.now_ms - i64::from(from_back) * MINUTE_MS + 11;
                let range = TimeRange::new(start_ms, start_ms + i64::from(samples) * 20_000);
                for window in self.store.import_windows(range) {
                    let (mut times, mut values) = (Vec::new(), Vec::new());
                    let mut t_ms = window.start_ms;
                    while t_ms <= window.end_ms {
                        times.push(t_ms);
                        values.push(self.value());
                        t_ms += 20_000;
                    }
                    let of = labels(usize::from(series) % SERIES);
                    let mut import = self.store.import(window).unwrap();
                    import.series(of.iter(), &times, &values).unwrap();
                    import.finish().unwrap();
                }
            }
            Step::Compact => {
                let retention = Retention {
                    time_ms: Some(240 * MINUTE_MS),
                    size_bytes: None,
                };
                let mut pace = || ControlFlow::Continue(());
                self.store.compact(&retention, &mut pace).unwrap();
            }
            Step::Query {
                query,
                back,
                minutes,
                step,
            } => {
                let step_ms = [15_000, 30_000, 60_000, 77_000][usize::from(step)];
                let query = QUERIES[usize::from(query) % QUERIES.len()];
                let end_ms = self.now_ms - i64::from(back) * MINUTE_MS;
                let start_ms = end_ms - i64::from(minutes) * MINUTE_MS;
                let start_ms = start_ms - start_ms.rem_euclid(step_ms);
                self.query = (query, start_ms, end_ms, step_ms);
                self.compare()?;
            }
            Step::Again { end_back } => {
                let (query, start_ms, end_ms, step_ms) = self.query;
                let by_ms = self.now_ms - i64::from(end_back) * MINUTE_MS - end_ms;
                let by_ms = by_ms - by_ms.rem_euclid(step_ms);
                self.query = (query, start_ms + by_ms, end_ms + by_ms, step_ms);
                self.compare()?;
            }
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (query, start_ms, end_ms, step_ms) = self.query;
        let asked = RangeQuery {
            query,
            start_ms,
            end_ms,
            step_ms,
        };
        let (options, cancel) = (QueryOptions::default(), Cancel::new());
        let (engine, store, now_ms) = (&self.engine, &self.store, self.now_ms);
        let expected = engine
            .range(store, query, start_ms, end_ms, step_ms, &options, &cancel)
            .unwrap();
        for _ in 0..2 {
            let answer = self
                .cache
                .range(engine, store, &asked, &options, now_ms, &cancel);
            let (answer, told) = (told(&answer.unwrap()), told(&expected));
            prop_assert_eq!(answer, told, "{} from {} to {}", query, start_ms, end_ms);
        }
        Ok(())
    }
}

/// A series with times and the bits of its values, and its histograms.
type Bits = (Labels, Vec<(i64, u64)>, String);

/// Returns all of an answer: series, warnings, infos.
fn told(result: &QueryResult) -> (Vec<Bits>, Vec<String>, Vec<String>) {
    let Value::Matrix(all) = &result.value else {
        panic!("a range query gives a matrix");
    };
    let series = all.iter().map(|series| {
        let times = series.floats.timestamps.iter().copied();
        let bits = series.floats.values.iter().map(|value| value.to_bits());
        let histograms = format!("{:?}", series.histograms);
        (series.labels.clone(), times.zip(bits).collect(), histograms)
    });
    (
        series.collect(),
        result.warnings.clone(),
        result.infos.clone(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn kept_steps_are_those_of_an_evaluation(steps in prop::collection::vec(step(), 50)) {
        let mut world = World::new();
        world.go(&Step::Scrapes { n: 80, lagging: 0 })?;
        for step in &steps {
            world.go(step)?;
        }
    }
}

#[test]
fn a_range_that_moves_on_is_evaluated_at_its_end_only() {
    let mut world = World::new();
    world.go(&Step::Scrapes { n: 200, lagging: 0 }).unwrap();
    for query in [1u8, 3, 11, 16, 18] {
        world
            .go(&Step::Query {
                query,
                back: 0,
                minutes: 80,
                step: 2,
            })
            .unwrap();
        let before = world.cache.stats();
        world.go(&Step::Scrapes { n: 4, lagging: 0 }).unwrap();
        world.go(&Step::Again { end_back: 0 }).unwrap();
        let after = world.cache.stats();
        assert_eq!(after.misses, before.misses, "{query}");
        assert!(after.hit_steps - before.hit_steps >= 2 * 45, "{query}");
    }
    assert_eq!(world.cache.stats().invalidations, 0);
    assert!(world.cache.stats().bytes > 0);
}
