//! Rules over logs: where their queries are answered.

use kymo_storage::model::Labels;

use super::error::RuleError;
use crate::limits::Cancel;
use crate::logql::ast::MetricExpr;
use crate::promql::VectorSample;
use crate::stats::QueryStats;

/// Answers what rules over logs ask. The results are samples like those of rules over
/// metrics.
pub trait RuleLogs: Send + Sync {
    /// Answers a query at a time in nanoseconds since the epoch.
    ///
    /// # Errors
    /// It has failed.
    fn query(
        &self,
        expr: &MetricExpr,
        t_ns: i64,
        cancel: &Cancel,
    ) -> Result<(Vec<VectorSample>, QueryStats), RuleError>;

    /// Returns one line of those that a sample of the query was computed from, the newest
    /// that can be found. There is none where the sample does not come from lines, or that
    /// cannot be told.
    fn line(
        &self,
        expr: &MetricExpr,
        labels: &Labels,
        t_ns: i64,
        cancel: &Cancel,
    ) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::promql::{PointValue, QueryOptions, Value};
    use crate::rules::{
        AlertSettings, AlertState, Evaluation, Group, GroupDefinition, GroupSettings, Language,
        LogsExpr, MemoryRules, Restore, RuleDefinition, RuleExpr, RuleKind,
    };
    use crate::{Engine, EngineOptions};

    /// Answers every query with one sample, and keeps what it was asked.
    #[derive(Default)]
    struct OneAnswer {
        asked: Mutex<Vec<(String, i64)>>,
        lines: Mutex<usize>,
    }

    impl RuleLogs for OneAnswer {
        fn query(
            &self,
            expr: &MetricExpr,
            t_ns: i64,
            _cancel: &Cancel,
        ) -> Result<(Vec<VectorSample>, QueryStats), RuleError> {
            self.asked.lock().push((expr.to_string(), t_ns));
            let sample = VectorSample {
                labels: Labels::from_pairs([("app", "shop")]),
                t_ms: t_ns / 1_000_000,
                value: PointValue::Float(7.0),
            };
            Ok((vec![sample], QueryStats::default()))
        }

        fn line(&self, _: &MetricExpr, labels: &Labels, _: i64, _: &Cancel) -> Option<String> {
            *self.lines.lock() += 1;
            Some(format!("out of {{{{tea}}}} in {}", labels.get("app")?))
        }
    }

    fn rule(name: &str, expr: &str, kind: RuleKind) -> RuleDefinition {
        let parsed = crate::logql::parse(expr).unwrap();
        let metric = parsed.as_metric().unwrap().clone();
        RuleDefinition {
            name: name.to_owned(),
            expr: RuleExpr::Logs(LogsExpr::new(expr, metric)),
            labels: Vec::new(),
            kind,
        }
    }

    fn group(rules: Vec<RuleDefinition>) -> Group {
        let definition = GroupDefinition {
            name: "logs".to_owned(),
            language: Language::LogQl,
            interval_ms: Some(10_000),
            query_offset_ms: Some(2_000),
            limit: 0,
            labels: Vec::new(),
            rules,
        };
        let settings = GroupSettings::default();
        Group::new("logs.yml", definition, &settings, Restore::Nothing)
    }

    fn evaluate(
        group: &Group,
        logs: Option<&dyn RuleLogs>,
        data: &MemoryRules,
        at_s: i64,
    ) -> Vec<Result<usize, RuleError>> {
        let evaluation = Evaluation {
            engine: &Engine::new(EngineOptions::default()),
            source: data,
            logs,
            cancel: &Cancel::new(),
            at_ns: at_s * 1_000_000_000,
        };
        group.evaluate(&evaluation, data)
    }

    #[test]
    fn results_are_metrics_and_alerts_know_a_line() {
        let alert = AlertSettings {
            for_ms: 10_000,
            annotations: vec![
                ("line".to_owned(), "{{ $line }}".to_owned()),
                (
                    "same".to_owned(),
                    "{{ .Line | len }} {{ $value }}".to_owned(),
                ),
                ("plain".to_owned(), "see {{ $labels.app }}".to_owned()),
            ],
            ..AlertSettings::default()
        };
        let group = group(vec![
            rule(
                "app:errors:rate",
                "rate( {a=\"b\"} [1m] )",
                RuleKind::Recording,
            ),
            rule("Errors", "rate({a=\"b\"}[1m])>0", RuleKind::Alerting(alert)),
        ]);
        let (logs, data) = (OneAnswer::default(), MemoryRules::default());
        for at_s in [100, 110] {
            let outcomes = evaluate(&group, Some(&logs), &data, at_s);
            assert!(matches!(outcomes[..], [Ok(1), Ok(2)]), "{outcomes:?}");
        }
        let asked = logs.asked.lock();
        assert_eq!(asked[0], ("rate({a=\"b\"}[1m])".to_owned(), 98_000_000_000));
        assert_eq!(asked[1].0, "(rate({a=\"b\"}[1m]) > 0)");
        // Asked once for each evaluation, however many texts want it.
        assert_eq!(*logs.lines.lock(), 2);
        let alerts = group.rules()[1].active_alerts();
        assert_eq!(alerts[0].state, AlertState::Firing);
        let texts: Vec<&str> = alerts[0]
            .annotations
            .iter()
            .map(|(_, t)| t.as_str())
            .collect();
        assert_eq!(texts, ["out of {{tea}} in shop", "see shop", "22 7"]);
        let (engine, cancel) = (Engine::new(EngineOptions::default()), Cancel::new());
        let options = QueryOptions::default();
        let recorded = engine.instant(&data, "app:errors:rate", 108_000, &options, &cancel);
        let Ok(Value::Vector(samples)) = recorded.map(|result| result.value) else {
            panic!("no vector");
        };
        assert_eq!(samples[0].labels.get("app"), Some("shop"));
        assert_eq!(samples[0].value, PointValue::Float(7.0));
        // Beside it there are ALERTS in two states and ALERTS_FOR_STATE.
        assert_eq!(data.series.read().len(), 4);
    }

    #[test]
    fn without_logs_the_rule_has_failed() {
        let rules = vec![rule("r", "vector(1)", RuleKind::Recording)];
        let group = group(rules);
        let outcomes = evaluate(&group, None, &MemoryRules::default(), 10);
        assert!(matches!(outcomes[..], [Err(RuleError::NoLogs)]));
    }
}
