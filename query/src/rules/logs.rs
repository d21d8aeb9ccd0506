//! Rules over logs: where their queries are answered.

use std::sync::Arc;

use kymo_storage::model::Labels;

use super::error::RuleError;
use crate::limits::Cancel;
use crate::logql::ast::{Expr, MetricExpr, RangeExpr};
use crate::logql::{
    Direction, LogEngine, LogQueryOptions, LogRangeQuery, LogSource, LogStream, LogValue,
};
use crate::promql::{PointValue, VectorSample};
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
        expr: &Expr,
        t_ns: i64,
        cancel: &Cancel,
    ) -> Result<(Vec<VectorSample>, QueryStats), RuleError>;

    /// Returns one line of those that a sample of the query was computed from, the newest
    /// that can be found. There is none where the sample does not come from lines, or that
    /// cannot be told.
    fn line(&self, expr: &Expr, labels: &Labels, t_ns: i64, cancel: &Cancel) -> Option<String>;
}

/// How many of the newest entries are looked at for the line of an alert.
const LINES_LOOKED_AT: usize = 1000;

/// The longest line that an alert gets; the rest is cut off.
const MAX_LINE_BYTES: usize = 1024;

/// Answers the queries of rules from a source of logs.
pub struct SourceLogs<S> {
    engine: LogEngine,
    source: Arc<S>,
}

impl<S: LogSource> SourceLogs<S> {
    /// Puts together what runs the queries and what they read.
    pub fn new(engine: LogEngine, source: Arc<S>) -> SourceLogs<S> {
        SourceLogs { engine, source }
    }
}

impl<S: LogSource + Send + Sync> RuleLogs for SourceLogs<S> {
    fn query(
        &self,
        expr: &Expr,
        t_ns: i64,
        cancel: &Cancel,
    ) -> Result<(Vec<VectorSample>, QueryStats), RuleError> {
        let options = LogQueryOptions {
            now_ns: t_ns,
            ..LogQueryOptions::default()
        };
        let source = self.source.as_ref();
        let result = self.engine.instant(source, expr, t_ns, &options, cancel)?;
        let sample = |labels, t_ms, value| VectorSample {
            labels,
            t_ms,
            value: PointValue::Float(value),
        };
        let samples = match result.value {
            LogValue::Vector(samples) => samples
                .into_iter()
                .map(|one| sample(one.labels.to_labels(), one.t_ms, one.value))
                .collect(),
            LogValue::Scalar { t_ms, value } => vec![sample(Labels::empty(), t_ms, value)],
            LogValue::Streams(_) | LogValue::Matrix(_) => return Err(RuleError::NoVector),
        };
        let stats = QueryStats {
            total_samples: result.stats.entries,
            samples_read: result.stats.lines,
            ..QueryStats::default()
        };
        Ok((samples, stats))
    }

    fn line(&self, expr: &Expr, labels: &Labels, t_ns: i64, cancel: &Cancel) -> Option<String> {
        let range = only_range(expr.as_metric()?)?;
        // The window has its end in it and its beginning not; a query the other way round.
        let end_ns = t_ns.saturating_sub(range.offset_ns).saturating_add(1);
        let query = LogRangeQuery {
            start_ns: end_ns.saturating_sub(range.range_ns),
            end_ns,
            step_ns: 1,
            interval_ns: 0,
            limit: LINES_LOOKED_AT,
            direction: Direction::Backward,
        };
        let options = LogQueryOptions {
            now_ns: t_ns,
            ..LogQueryOptions::default()
        };
        let log = Expr::Log(range.log.clone());
        let source = self.source.as_ref();
        let result = self.engine.range(source, &log, &query, &options, cancel);
        let LogValue::Streams(streams) = result.ok()?.value else {
            return None;
        };
        let fitting = streams.iter().filter(|stream| fits(stream, labels));
        let lines = fitting.flat_map(|stream| &stream.entries);
        let newest = lines.max_by_key(|line| line.t_ns)?;
        let len = newest.line.len().min(MAX_LINE_BYTES);
        let text = String::from_utf8_lossy(&newest.line[..len]);
        // A character that was cut through is left out.
        let is_cut = len < newest.line.len();
        let text = match is_cut {
            true => text.trim_end_matches('\u{fffd}'),
            false => &text,
        };
        Some(text.to_owned())
    }
}

/// Tells whether entries of a stream may count in a sample: no label is another one there.
fn fits(stream: &LogStream, labels: &Labels) -> bool {
    let differs = |(name, value): (&str, &str)| {
        let other = stream.labels.get(name);
        other.is_some_and(|other| other != value)
    };
    !labels.iter().any(differs)
}

/// Returns the window of an expression, if there is only one.
fn only_range(expr: &MetricExpr) -> Option<&RangeExpr> {
    let (mut open, mut found) = (vec![expr], None);
    while let Some(expr) = open.pop() {
        match expr {
            MetricExpr::Range(_) if found.is_some() => return None,
            MetricExpr::Range(range) => found = Some(range),
            MetricExpr::Vector(vector) => open.push(&vector.inner),
            MetricExpr::LabelReplace(replace) => open.push(&replace.inner),
            MetricExpr::Binary(binary) => open.extend([&binary.lhs, &binary.rhs]),
            MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::logql::{LogEngineOptions, MemoryLogSource, parse};
    use crate::promql::{QueryOptions, Value};
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
            expr: &Expr,
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

        fn line(&self, _: &Expr, labels: &Labels, _: i64, _: &Cancel) -> Option<String> {
            *self.lines.lock() += 1;
            Some(format!("out of {{{{tea}}}} in {}", labels.get("app")?))
        }
    }

    fn rule(name: &str, expr: &str, kind: RuleKind) -> RuleDefinition {
        let parsed = crate::logql::parse(expr).unwrap();
        RuleDefinition {
            name: name.to_owned(),
            expr: RuleExpr::Logs(LogsExpr::new(expr, parsed)),
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
        assert_eq!(texts, ["out of {{tea}} in shop", "22 7", "see shop"]);
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

    #[test]
    fn a_source_answers_and_finds_lines() {
        let mut source = MemoryLogSource::new();
        for (app, t_s, line) in [
            ("shop", 10, "level=error out of tea"),
            ("shop", 20, "level=info open"),
            ("bank", 25, "level=error out of money"),
        ] {
            let stream = Labels::from_pairs([("app", app), ("env", "prod")]);
            source.push(&stream, t_s * 1_000_000_000, line.as_bytes(), []);
        }
        let engine = LogEngine::new(LogEngineOptions::default());
        let logs = SourceLogs::new(engine, Arc::new(source));
        let cancel = Cancel::new();
        let text = "sum by (app, level) (count_over_time({env=\"prod\"} | logfmt [30s])) > 0";
        let expr = parse(text).unwrap();
        let at_ns = 30_000_000_000;
        let (samples, stats) = logs.query(&expr, at_ns, &cancel).unwrap();
        assert_eq!((samples.len(), stats.samples_read), (3, 3));
        let line = |labels: &[(&str, &str)], at_ns| {
            let labels = Labels::from_pairs(labels.iter().copied());
            logs.line(&expr, &labels, at_ns, &cancel)
        };
        let found = line(&[("app", "shop"), ("level", "error")], at_ns);
        assert_eq!(found.as_deref(), Some("level=error out of tea"));
        // The window has moved on.
        assert_eq!(
            line(&[("app", "shop"), ("level", "error")], at_ns * 2),
            None
        );
        assert_eq!(line(&[("app", "cafe")], at_ns), None);
        let number = parse("1 + 1").unwrap();
        assert_eq!(logs.query(&number, at_ns, &cancel).unwrap().0.len(), 1);
        assert_eq!(logs.line(&number, &Labels::empty(), at_ns, &cancel), None);
    }
}
