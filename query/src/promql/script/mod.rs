//! The language of PromQL test scripts: series are loaded, queries evaluated, and
//! their answers compared with what the script expects.
//!
//! It is Prometheus' `promqltest` language, so its scripts run here unchanged. The
//! module knows no files: text in ([`Script::parse`]), report out ([`run`]).
//!
//! ```text
//! load 1m
//!   requests{job="a"} 0+10x5
//!
//! eval instant at 5m sum(requests)
//!   {} 50
//! ```

mod compare;
mod line;
mod nhcb;
mod parse;
mod run;
mod store;
#[cfg(test)]
mod tests;
mod variants;

pub use parse::{
    Clause, Command, Eval, Expected, ExpectedSeries, Load, LoadedSeries, Script, ScriptError, When,
};
pub use run::{EvalReport, Outcome, Report, run};
pub use store::{LoadError, TestSample, TestStore};
