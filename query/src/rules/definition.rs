//! What a rule file says, without where it stood and without any state.

use std::fmt;
use std::sync::Arc;

use crate::logql::ast::Expr as LogQlExpr;
use crate::promql::ast::Expr;

/// Names and values as written, sorted by name, each name once. Unlike a label set it
/// keeps empty values: they take a label away.
pub type Pairs = Vec<(String, String)>;

/// What the expressions of rules are written in, and so what they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Language {
    /// Metrics.
    #[default]
    PromQl,
    /// Logs. Results are metrics all the same.
    LogQl,
}

/// Rules that are evaluated together, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupDefinition {
    /// Name, unique in its file.
    pub name: String,
    /// The language of all its rules.
    pub language: Language,
    /// Milliseconds between evaluations; `None` leaves it to whoever evaluates.
    pub interval_ms: Option<i64>,
    /// How many milliseconds before the time of the evaluation queries look and results
    /// are stored; `None` leaves it to whoever evaluates.
    pub query_offset_ms: Option<i64>,
    /// Most series or alerts of one rule; 0 and below: no limit.
    pub limit: i64,
    /// Labels of all rules that do not have them themselves.
    pub labels: Pairs,
    /// The rules.
    pub rules: Vec<RuleDefinition>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleDefinition {
    /// Name of the recorded series or of the alert.
    pub name: String,
    /// What is evaluated.
    pub expr: RuleExpr,
    /// The rule's own labels. Those of an alert are templates.
    pub labels: Pairs,
    /// What is made of the result.
    pub kind: RuleKind,
}

/// The expression of a rule.
#[derive(Debug, Clone)]
pub enum RuleExpr {
    /// Reads metrics.
    Metrics(Expr),
    /// Reads logs.
    Logs(LogsExpr),
}

/// An expression over logs, as it was written and as it was understood.
#[derive(Debug, Clone)]
pub struct LogsExpr {
    text: String,
    expr: Arc<LogQlExpr>,
}

impl LogsExpr {
    /// Puts together a text and what it means, which is to give numbers.
    pub fn new(text: impl Into<String>, expr: LogQlExpr) -> LogsExpr {
        LogsExpr {
            text: text.into(),
            expr: Arc::new(expr),
        }
    }

    /// Returns the expression as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what it means.
    pub fn expr(&self) -> &LogQlExpr {
        &self.expr
    }
}

impl RuleExpr {
    /// Returns the expression if it reads metrics.
    pub fn as_metrics(&self) -> Option<&Expr> {
        match self {
            RuleExpr::Metrics(expr) => Some(expr),
            RuleExpr::Logs(_) => None,
        }
    }
}

impl From<Expr> for RuleExpr {
    fn from(expr: Expr) -> RuleExpr {
        RuleExpr::Metrics(expr)
    }
}

impl PartialEq for RuleExpr {
    fn eq(&self, other: &RuleExpr) -> bool {
        match (self, other) {
            (RuleExpr::Metrics(one), RuleExpr::Metrics(other)) => one == other,
            (RuleExpr::Logs(one), RuleExpr::Logs(other)) => one.text == other.text,
            _ => false,
        }
    }
}

impl fmt::Display for RuleExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleExpr::Metrics(expr) => expr.fmt(f),
            RuleExpr::Logs(logs) => logs.expr.fmt(f),
        }
    }
}

/// What is made of the result of a rule's expression.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleKind {
    /// New series.
    Recording,
    /// Alerts.
    Alerting(AlertSettings),
}

/// What only alerting rules have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertSettings {
    /// Milliseconds that an alert is pending before it fires.
    pub for_ms: i64,
    /// Milliseconds that an alert goes on firing after its cause is gone.
    pub keep_firing_for_ms: i64,
    /// Templates for people to read.
    pub annotations: Pairs,
}

impl GroupDefinition {
    /// Returns the labels of one of the group's rules: its own over the group's.
    pub fn labels_of(&self, rule: &RuleDefinition) -> Pairs {
        let inherited = self
            .labels
            .iter()
            .filter(|(name, _)| !rule.labels.iter().any(|(own, _)| own == name));
        let mut all: Pairs = inherited.chain(&rule.labels).cloned().collect();
        all.sort();
        all
    }
}

impl RuleDefinition {
    /// Tells whether the rule makes alerts.
    pub fn is_alerting(&self) -> bool {
        matches!(self.kind, RuleKind::Alerting(_))
    }
}
