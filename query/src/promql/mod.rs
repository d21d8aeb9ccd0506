//! PromQL as Prometheus 3.14 speaks it.
//!
//! Text becomes tokens (`lex`), tokens a tree (`grammar` has the rules, `build` what
//! they mean), and the tree is checked (`check`) before anybody sees it. `print`,
//! `pretty` and `json` write it down again. `plan` makes it ready to be run, and
//! `eval` runs it: series by series, in columns over the steps of the query.

mod annotations;
pub mod ast;
mod build;
mod check;
mod common;
mod engine;
mod error;
pub(crate) mod eval;
mod explain;
mod features;
mod functions;
mod grammar;
mod json;
mod lex;
mod literal;
mod parse;
mod plan;
mod pretty;
mod print;
mod reach;
pub mod script;
mod series;
mod stats_only;
mod time;
mod token;
mod tree;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use crate::syntax::deep;
pub(crate) use engine::Prepared;
pub use engine::{Engine, EngineOptions, QueryOptions, QueryResult, RangeQuery, StepSamples};
pub use error::{ParseError, ParseErrors};
pub(crate) use eval::Sum;
pub use explain::Explanation;
pub use features::Features;
pub use functions::{Function, function, functions};
pub use json::expr_json;
pub use parse::{parse_expr, parse_metric, parse_selector, parse_series};
pub use pretty::{pretty, pretty_len};
pub use print::matcher_text;
pub use series::{SeriesHistogram, SeriesValue};
pub use value::{PointValue, Series, Value, VectorSample};
pub use words::{Word, WordKind, words};
