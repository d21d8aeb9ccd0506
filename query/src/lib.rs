//! PromQL over any source of series, and LogQL over any source of log streams.
//!
//! The crate evaluates queries and nothing else: no files, sockets, clocks or
//! async. A caller implements [`Source`] over its data, or uses the one for
//! `kymo_storage`, and runs queries through the engine.
//!
//! Over a store:
//!
//! ```
//! use kymo_query::{Cancel, Engine, EngineOptions, QueryOptions, Value};
//! use kymo_storage::StoreOptions;
//! use kymo_storage::metrics::MetricStore;
//! use kymo_storage::model::Labels;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let (store, _recovery) = MetricStore::open(&StoreOptions::new(dir.path()))?;
//! let mut appender = store.appender();
//! let series = appender.series(&Labels::from_pairs([("__name__", "requests_total")]))?;
//! for i in 0..=6 {
//!     appender.append(series, i * 10_000, i as f64 * 50.0)?;
//! }
//! appender.commit()?;
//!
//! let engine = Engine::new(EngineOptions::default());
//! let (options, cancel) = (QueryOptions::default(), Cancel::new());
//! let query = "rate(requests_total[1m])";
//! let result = engine.instant(&store, query, 60_000, &options, &cancel)?;
//! let Value::Vector(samples) = result.value else {
//!     return Err("an instant query for a rate gives a vector".into());
//! };
//! assert_eq!(samples.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Over data of one's own, here a single series that exists at all times:
//!
//! ```
//! use kymo_query::{
//!     Cancel, Engine, EngineOptions, QueryOptions, SampleBuf, SelectHints, SeriesSet, Source,
//!     SourceError, Value,
//! };
//! use kymo_storage::model::{Labels, Matcher, TimeRange};
//!
//! struct Minutes;
//!
//! struct Selected(Vec<Labels>, TimeRange);
//!
//! impl Source for Minutes {
//!     fn select(
//!         &self,
//!         matchers: &[Matcher],
//!         range: TimeRange,
//!         _hints: &SelectHints<'_>,
//!     ) -> Result<Box<dyn SeriesSet>, SourceError> {
//!         let labels = Labels::from_pairs([("__name__", "minutes")]);
//!         let value = |name| labels.get(name).unwrap_or("");
//!         let found = matchers.iter().all(|m| m.matches(value(m.name())));
//!         let series = if found { vec![labels.clone()] } else { Vec::new() };
//!         Ok(Box::new(Selected(series, range)))
//!     }
//! }
//!
//! impl SeriesSet for Selected {
//!     fn len(&self) -> usize {
//!         self.0.len()
//!     }
//!
//!     fn labels(&self, index: usize) -> Labels {
//!         self.0[index].clone()
//!     }
//!
//!     fn read(&self, _index: usize, into: &mut SampleBuf) -> Result<(), SourceError> {
//!         into.clear();
//!         let first = self.1.start_ms.div_euclid(60_000) + 1;
//!         for minute in first..=self.1.end_ms.div_euclid(60_000) {
//!             into.push(minute * 60_000, minute as f64);
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let engine = Engine::new(EngineOptions::default());
//! let (options, cancel) = (QueryOptions::default(), Cancel::new());
//! let query = "scalar(sum_over_time(minutes[3m]))";
//! let result = engine.instant(&Minutes, query, 600_000, &options, &cancel)?;
//! assert_eq!(result.value, Value::Scalar { t_ms: 600_000, value: 8.0 + 9.0 + 10.0 });
//! # Ok::<(), kymo_query::QueryError>(())
//! ```

pub mod histogram;
pub mod logql;
pub mod promql;
pub mod rules;
pub mod template;

mod cache;
mod error;
mod limits;
mod memory;
mod source;
mod stats;
mod store;
mod syntax;
mod workers;

pub use cache::{CacheOptions, CacheStats, ResultCache};
pub use error::QueryError;
pub use limits::{Cancel, MemoryGrant, MemoryPool};
pub use memory::MemorySource;
pub use promql::{
    Engine, EngineOptions, Explanation, PointValue, QueryOptions, QueryResult, RangeQuery, Series,
    StepSamples, Value, VectorSample,
};
pub use source::{
    Changes, HistogramSample, SampleBuf, SelectHints, SeriesSet, Source, SourceError, Times,
};
pub use stats::QueryStats;
pub use workers::Workers;
