//! The language of LogQL test scripts: entries are loaded, metric queries evaluated, and
//! their answers compared with what the script expects.
//!
//! It is Loki's `logqltest` language, so its scripts run here unchanged. The module knows no
//! files: text in ([`Script::parse`]), report out ([`run`]).
//!
//! ```text
//! load
//!   {app="a"} "took={{.i}}ms" @ 10s [repeat every 10s for 3] [metadata pod="p"]
//!
//! eval instant at 30s sum(count_over_time({app="a"}[1m]))
//!   {} 3
//! ```

mod parse;
mod run;

pub use parse::{Command, Eval, Expected, Failure, Load, Script, ScriptError, When};
pub use run::{EvalReport, Report, run};
