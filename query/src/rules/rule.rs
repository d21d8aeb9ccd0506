//! One rule with its state: evaluated again and again, read by others meanwhile.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use kymo_storage::metrics::SeriesRef;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME};
use parking_lot::Mutex;

use super::alert::{Alert, AlertState};
use super::alerting::{ALERT_NAME, Alerts, Found, Turn};
use super::definition::{AlertSettings, Pairs, RuleDefinition, RuleExpr, RuleKind};
use super::error::RuleError;
use super::expand::Expansion;
use super::group::{Evaluation, GroupSettings};
use super::recording::Recorder;
use super::sink::{RuleSink, RuleWriter};
use crate::promql::ast::Expr;
use crate::promql::{PointValue, QueryOptions, Value, VectorSample};
use crate::stats::QueryStats;

const NS_PER_MS: i64 = 1_000_000;

/// Whether a rule can be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    /// The last evaluation went well.
    Good,
    /// The last evaluation has failed, or not all of its result could be stored.
    Bad,
}

impl Health {
    /// Returns the word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        }
    }
}

/// How the last evaluation of a rule went.
#[derive(Debug, Clone, Default)]
pub struct RuleStatus {
    /// Whether it went well.
    pub health: Health,
    /// What went wrong.
    pub last_error: Option<String>,
    /// When it began by the caller's clock, in nanoseconds since the epoch.
    pub evaluated_at_ns: Option<i64>,
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
}

/// A rule of a [`Group`](super::Group). It can be read while it is evaluated; two
/// evaluations at a time wait for each other.
#[derive(Debug)]
pub struct Rule {
    definition: RuleDefinition,
    /// Labels of rule and group.
    labels: Pairs,
    /// The expression as printed.
    query: String,
    status: Mutex<RuleStatus>,
    alerts: Mutex<AlertsState>,
    work: Mutex<Work>,
}

#[derive(Debug, Default)]
struct AlertsState {
    alerts: Alerts,
    /// Whether an earlier run has nothing more to say.
    is_restored: bool,
}

/// What only the evaluation itself needs from one time to the next.
#[derive(Debug, Default)]
struct Work {
    recorder: Recorder,
    /// The series stored last.
    written: Vec<Written>,
}

#[derive(Debug, Clone)]
struct Written {
    labels: Labels,
    series: Option<SeriesRef>,
}

impl Rule {
    pub(super) fn new(definition: RuleDefinition, labels: Pairs, is_restored: bool) -> Rule {
        Rule {
            query: definition.expr.to_string(),
            labels,
            definition,
            status: Mutex::default(),
            alerts: Mutex::new(AlertsState {
                alerts: Alerts::default(),
                is_restored,
            }),
            work: Mutex::default(),
        }
    }

    /// Returns the name of the recorded series or of the alert.
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Returns the expression as its language prints it.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Returns the labels of rule and group as written.
    pub fn labels(&self) -> &Pairs {
        &self.labels
    }

    /// Returns what only alerting rules have.
    pub fn alert_settings(&self) -> Option<&AlertSettings> {
        match &self.definition.kind {
            RuleKind::Recording => None,
            RuleKind::Alerting(settings) => Some(settings),
        }
    }

    /// Returns what the rule says.
    pub fn definition(&self) -> &RuleDefinition {
        &self.definition
    }

    /// Returns how the last evaluation went.
    pub fn status(&self) -> RuleStatus {
        self.status.lock().clone()
    }

    /// Notes when an evaluation began and how long it took. The crate has no clock.
    pub fn set_timing(&self, evaluated_at_ns: i64, took_ns: u64) {
        let mut status = self.status.lock();
        status.evaluated_at_ns = Some(evaluated_at_ns);
        status.took_ns = took_ns;
    }

    /// Returns the pending and firing alerts, sorted by labels.
    pub fn active_alerts(&self) -> Vec<Alert> {
        self.alerts.lock().alerts.active()
    }

    /// Returns the most urgent state of the rule's alerts, of a rule that was evaluated.
    pub fn state(&self) -> AlertState {
        let state = self.alerts.lock();
        let most_urgent = state.alerts.all().map(|alert| alert.state).max();
        most_urgent.unwrap_or(AlertState::Inactive)
    }

    /// Evaluates the rule; returns how many samples it has made.
    pub(super) fn evaluate(
        &self,
        settings: &GroupSettings,
        limit: i64,
        evaluation: &Evaluation<'_>,
        sink: &dyn RuleSink,
    ) -> Result<usize, RuleError> {
        let mut work = self.work.lock();
        let result = self.result(settings, limit, evaluation, sink, &mut work.recorder);
        let samples = match result {
            Ok(samples) => samples,
            Err(error) => return Err(self.failed(error)),
        };
        {
            let mut status = self.status.lock();
            (status.health, status.last_error) = (Health::Good, None);
        }
        if self.definition.is_alerting() {
            let due = self.alerts.lock().alerts.take_due(
                evaluation.at_ns,
                settings.resend_delay_ms,
                settings.interval_ms,
            );
            if !due.is_empty() {
                sink.send(self, due);
            }
        }
        let t_ms = settings.query_ms(evaluation.at_ns);
        self.write(t_ms, &samples, sink, &mut work.written)
            .map_err(|error| self.failed(error))?;
        Ok(samples.len())
    }

    /// Notes that results which seemed to be stored are not.
    pub fn results_lost(&self, error: &str) {
        self.failed(RuleError::Store(error.to_owned()));
    }

    fn failed(&self, error: RuleError) -> RuleError {
        let mut status = self.status.lock();
        status.health = Health::Bad;
        status.last_error = Some(error.to_string());
        error
    }

    fn result(
        &self,
        settings: &GroupSettings,
        limit: i64,
        evaluation: &Evaluation<'_>,
        sink: &dyn RuleSink,
        recorder: &mut Recorder,
    ) -> Result<Vec<VectorSample>, RuleError> {
        let t_ms = settings.query_ms(evaluation.at_ns);
        let mut samples = self.samples(evaluation, sink, t_ms)?;
        match &self.definition.kind {
            RuleKind::Recording => {
                recorder.relabel(self.name(), &self.labels, limit, &mut samples)?;
                Ok(samples)
            }
            RuleKind::Alerting(alert) => {
                let found = self.found(alert, settings, evaluation, &samples)?;
                let mut state = self.alerts.lock();
                let turn = Turn {
                    at_ns: evaluation.at_ns,
                    t_ms,
                    limit,
                    writes: state.is_restored,
                };
                let (name, labels) = (self.name(), &self.labels);
                state.alerts.advance(name, labels, alert, found, turn)
            }
        }
    }

    /// Runs the query.
    fn samples(
        &self,
        evaluation: &Evaluation<'_>,
        sink: &dyn RuleSink,
        t_ms: i64,
    ) -> Result<Vec<VectorSample>, RuleError> {
        let result = match &self.definition.expr {
            RuleExpr::Metrics(expr) => self.ask_metrics(expr, evaluation, t_ms),
            RuleExpr::Logs(logs) => match evaluation.logs {
                Some(source) => source.query(logs.expr(), t_ms * NS_PER_MS, evaluation.cancel),
                None => Err(RuleError::NoLogs),
            },
        };
        sink.queried(self, t_ms, result.as_ref().map(|(_, stats)| *stats));
        Ok(result?.0)
    }

    fn ask_metrics(
        &self,
        expr: &Expr,
        evaluation: &Evaluation<'_>,
        t_ms: i64,
    ) -> Result<(Vec<VectorSample>, QueryStats), RuleError> {
        let result = evaluation.engine.instant_parsed(
            evaluation.source,
            &self.query,
            expr,
            t_ms,
            &QueryOptions::default(),
            evaluation.cancel,
        )?;
        let samples = match result.value {
            Value::Vector(samples) => samples,
            Value::Scalar { t_ms, value } => vec![VectorSample {
                labels: Labels::empty(),
                t_ms,
                value: PointValue::Float(value),
            }],
            Value::String { .. } | Value::Matrix(_) => return Err(RuleError::NoVector),
        };
        Ok((samples, result.stats))
    }

    /// Makes alerts of samples: labels and annotations are expanded.
    fn found(
        &self,
        alert: &AlertSettings,
        settings: &GroupSettings,
        evaluation: &Evaluation<'_>,
        samples: &[VectorSample],
    ) -> Result<BTreeMap<Labels, Found>, RuleError> {
        let mut found = BTreeMap::new();
        let mut builder = LabelsBuilder::new();
        for sample in samples {
            let rule = (self.name(), &self.definition.expr);
            let expansion = Expansion::new(rule, settings, evaluation, sample);
            builder.reset(&sample.labels);
            builder.remove(METRIC_NAME);
            for (name, text) in &self.labels {
                builder.set(name, &expansion.expand(text));
            }
            builder.set(ALERT_NAME, self.name());
            let labels = builder.labels();
            let annotations = alert.annotations.iter();
            let annotations = annotations
                .map(|(name, text)| (name.clone(), expansion.expand(text).into_owned()))
                .collect();
            let alert = Found {
                labels: labels.clone(),
                annotations,
                value: expansion.value(),
            };
            if found.insert(labels, alert).is_some() {
                return Err(RuleError::DuplicateAlerts);
            }
        }
        Ok(found)
    }

    /// Stores samples, and stale markers for the series that are gone.
    fn write(
        &self,
        t_ms: i64,
        samples: &[VectorSample],
        sink: &dyn RuleSink,
        written: &mut Vec<Written>,
    ) -> Result<(), RuleError> {
        if samples.is_empty() && written.is_empty() {
            return Ok(());
        }
        let mut writer = sink.begin(Some(self));
        let mut now = Vec::with_capacity(samples.len());
        let mut refusal = None;
        for (i, sample) in samples.iter().enumerate() {
            let before = written.get(i).filter(|w| w.labels == sample.labels);
            let mut series = before.and_then(|w| w.series);
            match writer.append(&mut series, &sample.labels, t_ms, &sample.value) {
                Ok(()) => now.push(Written {
                    labels: sample.labels.clone(),
                    series,
                }),
                Err(reason) => refusal = Some(reason),
            }
        }
        end_vanished(writer.as_mut(), t_ms, written, &now);
        writer.commit().map_err(RuleError::Store)?;
        *written = now;
        match refusal {
            // Not a failed evaluation, but not a good one either.
            Some(reason) => {
                self.failed(RuleError::Store(reason));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes over the state of an earlier version of the rule.
    pub(super) fn copy_from(&self, from: &Rule) {
        self.work.lock().written = from.work.lock().written.clone();
        if self.definition.is_alerting() && from.definition.is_alerting() {
            let earlier = from.alerts.lock().alerts.clone();
            self.alerts.lock().alerts.copy_from(&earlier);
        }
    }

    /// Returns the series that the rule has stored last.
    pub(super) fn written(&self) -> Vec<Labels> {
        let work = self.work.lock();
        work.written.iter().map(|w| w.labels.clone()).collect()
    }

    /// Changes the alerts, and lets their series be written from now on.
    pub(super) fn restore(&self, change: impl FnMut(&mut Alert)) {
        let mut state = self.alerts.lock();
        state.alerts.all_mut().for_each(change);
        state.is_restored = true;
    }

    /// Tells whether the state of an earlier run is restored or given up.
    pub fn is_restored(&self) -> bool {
        self.alerts.lock().is_restored
    }
}

fn end_vanished(writer: &mut dyn RuleWriter, t_ms: i64, before: &[Written], now: &[Written]) {
    let is_same =
        before.len() == now.len() && before.iter().zip(now).all(|(b, n)| b.labels == n.labels);
    if is_same || before.is_empty() {
        return;
    }
    let still: HashSet<&Labels> = now.iter().map(|w| &w.labels).collect();
    for gone in before.iter().filter(|w| !still.contains(&w.labels)) {
        writer.end(&gone.labels, t_ms);
    }
}
