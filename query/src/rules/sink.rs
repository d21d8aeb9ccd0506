//! Where the results of rules go.

use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::Labels;

use super::alert::Alert;
use super::error::RuleError;
use super::rule::Rule;
use crate::promql::PointValue;
use crate::stats::QueryStats;

/// Takes what rules make. Rules that are evaluated at the same time use it at the same
/// time.
pub trait RuleSink: Sync {
    /// Begins to write the results of one rule; without one, the ends of series whose
    /// rules are gone.
    fn begin<'s>(&'s self, rule: Option<&'s Rule>) -> Box<dyn RuleWriter + 's>;

    /// Is told of each query of a rule: its time in milliseconds, and what it has cost or
    /// why it failed.
    fn queried(&self, _rule: &Rule, _t_ms: i64, _outcome: Result<QueryStats, &RuleError>) {}

    /// Takes alerts that are to be sent, in order of their labels.
    fn send(&self, _rule: &Rule, _alerts: Vec<Alert>) {}
}

/// Writes the results of one rule. Nothing of it is visible before
/// [`RuleWriter::commit`]; it may stay so for longer, as [`Group::waits_for`] tells.
///
/// [`Group::waits_for`]: super::Group::waits_for
pub trait RuleWriter {
    /// Adds a sample. `series` may name the series that the same labels had last time,
    /// and takes its name for the next time.
    ///
    /// # Errors
    /// Why the sample is not stored; the others may be.
    fn append(
        &mut self,
        series: &mut Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: &PointValue,
    ) -> Result<(), String>;

    /// Marks the end of a series that the rule made before. That another rule goes on
    /// with the series is no mistake.
    fn end(&mut self, labels: &Labels, t_ms: i64);

    /// Ends the results of the rule.
    ///
    /// # Errors
    /// Why nothing of it is stored.
    fn commit(self: Box<Self>) -> Result<(), String>;
}
