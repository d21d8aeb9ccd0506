//! Recording and alerting rules: evaluated over any source of series, results and alerts
//! to any sink.
//!
//! ```text
//! definitions --Group--> for each rule in order:
//!    query --+--> recording: the result under a new name --------+--> RuleSink
//!            |                                                   |     samples, stale markers
//!            +--> alerting: labels and annotations expanded,     |     alerts to send
//!                 states of alerts, ALERTS, ALERTS_FOR_STATE ----+
//! ```
//!
//! It is rules as Prometheus evaluates them, and no more: there is no clock, no file
//! and no thread here. A rule reads metrics, in PromQL, or logs, in LogQL ([`RuleLogs`]);
//! what becomes of the result is the same. Whoever evaluates a [`Group`] passes the time, and chooses
//! times by its [`Schedule`]. A rule's results are committed before the next rule is
//! evaluated, so that it can read them. State lives in the group; its rules can be
//! looked at while it is evaluated.
//!
//! ```
//! use kymo_query::promql::{Features, parse_expr};
//! use kymo_query::rules::{
//!     AlertSettings, Evaluation, Group, GroupDefinition, GroupSettings, Language, MemoryRules,
//!     Restore, RuleDefinition, RuleKind,
//! };
//! use kymo_query::{Cancel, Engine, EngineOptions};
//! use kymo_storage::model::Labels;
//!
//! let rule = |name: &str, expr: &str, kind| RuleDefinition {
//!     name: name.to_owned(),
//!     expr: parse_expr(expr, &Features::default()).expect("a valid expression").into(),
//!     labels: Vec::new(),
//!     kind,
//! };
//! let definition = GroupDefinition {
//!     name: "site".to_owned(),
//!     language: Language::PromQl,
//!     interval_ms: Some(15_000),
//!     query_offset_ms: None,
//!     limit: 0,
//!     labels: vec![("team".to_owned(), "energy".to_owned())],
//!     rules: vec![
//!         rule("site:power:sum", "sum by (site) (power_watts)", RuleKind::Recording),
//!         rule(
//!             "SiteDark",
//!             "site:power:sum == 0",
//!             RuleKind::Alerting(AlertSettings {
//!                 for_ms: 30_000,
//!                 annotations: vec![("text".to_owned(), "{{ $labels.site }} is dark".to_owned())],
//!                 ..AlertSettings::default()
//!             }),
//!         ),
//!     ],
//! };
//! let group = Group::new("site.yml", definition, &GroupSettings::default(), Restore::Nothing);
//!
//! let data = MemoryRules::default();
//! let power = Labels::from_pairs([("__name__", "power_watts"), ("site", "roof")]);
//! let (engine, cancel) = (Engine::new(EngineOptions::default()), Cancel::new());
//! for step in 0..4 {
//!     data.series.write().push(&power, step * 15_000, 0.0);
//!     let evaluation = Evaluation {
//!         engine: &engine,
//!         source: &data,
//!         logs: None,
//!         cancel: &cancel,
//!         at_ns: step * 15_000_000_000,
//!     };
//!     for outcome in group.evaluate(&evaluation, &data) {
//!         outcome?;
//!     }
//! }
//! let alerts = group.rules()[1].active_alerts();
//! assert_eq!(alerts[0].labels.get("team"), Some("energy"));
//! assert_eq!(alerts[0].annotations[0].1, "roof is dark");
//! assert_eq!(alerts[0].fired_at_ns, Some(30_000_000_000));
//! // power_watts, site:power:sum, and what tells of the alert: ALERTS while it was
//! // pending and while it fires, and ALERTS_FOR_STATE.
//! assert_eq!(data.series.read().len(), 5);
//! # Ok::<(), kymo_query::rules::RuleError>(())
//! ```

mod alert;
mod alerting;
mod definition;
mod dependencies;
mod error;
mod expand;
mod group;
mod logs;
mod memory;
mod recording;
mod restore;
mod rule;
mod schedule;
mod sink;

#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertState};
pub use definition::{
    AlertSettings, GroupDefinition, Language, LogsExpr, Pairs, RuleDefinition, RuleExpr, RuleKind,
};
pub use error::RuleError;
pub use group::{Evaluation, Group, GroupSettings, Restore};
pub use logs::{RuleLogs, SourceLogs};
pub use memory::MemoryRules;
pub use restore::RestoreOptions;
pub use rule::{Health, Rule, RuleStatus};
pub use schedule::Schedule;
pub use sink::{RuleSink, RuleWriter};
