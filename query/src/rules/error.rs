//! Why a rule gave no result.

use crate::error::QueryError;
use crate::logql::LogQlError;

/// A rule could not be evaluated, or not all of its result could be stored. The texts
/// are Prometheus' own.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The query has failed.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// The query over logs has failed.
    #[error("{0}")]
    Logs(#[from] LogQlError),
    /// The rule reads logs, and there are none here.
    #[error("the rule reads logs, which are not available here")]
    NoLogs,
    /// The expression gives a text or a range vector.
    #[error("rule result is not a vector or scalar")]
    NoVector,
    /// Two series of a recording rule are one under the rule's labels.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    DuplicateSeries,
    /// Two alerts are one under the rule's labels.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    DuplicateAlerts,
    /// A recording rule gives more series than its group allows.
    #[error("exceeded limit of {limit} with {found} series")]
    TooManySeries {
        /// The group's limit.
        limit: i64,
        /// How many there are.
        found: usize,
    },
    /// An alerting rule gives more alerts than its group allows.
    #[error("exceeded limit of {limit} with {found} alerts")]
    TooManyAlerts {
        /// The group's limit.
        limit: i64,
        /// How many there are.
        found: usize,
    },
    /// Results were not stored.
    #[error("{0}")]
    Store(String),
}

impl RuleError {
    /// Tells whether the evaluation was broken off from outside.
    pub fn is_canceled(&self) -> bool {
        matches!(
            self,
            RuleError::Query(QueryError::Canceled(_)) | RuleError::Logs(LogQlError::Canceled(_))
        )
    }
}
