//! Results of rules on their way into the store, and alerts on theirs to receivers.

use kymo_query::rules::{Alert, Language, Rule, RuleError, RuleExpr, RuleSink, RuleWriter};
use kymo_query::{PointValue, QueryStats};
use kymo_storage::AppendError;
use kymo_storage::metrics::{Appender, SeriesRef};
use kymo_storage::model::histogram::{FloatHistogram, Histogram};
use kymo_storage::model::{Labels, stale_marker};
use parking_lot::{Mutex, MutexGuard};
use tracing::{debug, warn};

use super::evaluator::Context;
use super::running::Running;
use crate::clock;
use crate::http::error::with_causes;
use crate::notify::OutgoingAlert;
use crate::work::memory::Refused;
use crate::work::query_log::{Logged, Origin};
use crate::work::query_stats;

const NS_PER_MS: i64 = 1_000_000;

/// Most samples of a group that wait for their commit.
const MAX_HELD: usize = 10_000;

/// Takes the results of one group.
pub(super) struct StoreSink<'a> {
    context: &'a Context,
    running: &'a Running,
    /// The results of rules that nobody waits for yet; `None` where each rule's are
    /// committed at once.
    held: Option<Mutex<Held<'a>>>,
}

/// A transaction of several rules.
#[derive(Default)]
struct Held<'a> {
    appender: Option<Appender<'a>>,
    n_samples: usize,
}

impl<'a> StoreSink<'a> {
    /// Returns a sink that commits the results of each rule at once.
    pub(super) fn new(context: &'a Context, running: &'a Running) -> StoreSink<'a> {
        StoreSink {
            context,
            running,
            held: None,
        }
    }

    /// Returns a sink that holds results back until [`StoreSink::commit`], for rules that
    /// are evaluated one after the other.
    pub(super) fn holding(context: &'a Context, running: &'a Running) -> StoreSink<'a> {
        StoreSink {
            held: Some(Mutex::default()),
            ..StoreSink::new(context, running)
        }
    }

    /// Tells whether there is no more room for results that wait.
    pub(super) fn is_full(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.lock().n_samples >= MAX_HELD)
    }

    /// Makes visible what is held back.
    pub(super) fn commit(&self) -> Result<(), String> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let held = std::mem::take(&mut *held.lock());
        match held.appender {
            Some(appender) => commit(appender, self.running),
            None => Ok(()),
        }
    }
}

fn begin(context: &Context) -> Appender<'_> {
    let mut appender = context.store.appender();
    // A series that another rule or sender goes on with is not broken by ours.
    appender.discard_late();
    appender
}

fn commit(appender: Appender<'_>, running: &Running) -> Result<(), String> {
    appender.commit().map(|_| ()).map_err(|error| {
        let error = with_causes(&error);
        let (file, group) = (running.group().file(), running.group().name());
        warn!(file, group, error, "rule sample appending failed");
        error
    })
}

impl RuleSink for StoreSink<'_> {
    fn begin<'s>(&'s self, rule: Option<&'s Rule>) -> Box<dyn RuleWriter + 's> {
        let full = self.context.memory.admit(Refused::Rule).err();
        Box::new(StoreWriter {
            refused: full.map(|full| full.to_string()),
            transaction: match &self.held {
                Some(held) => Transaction::Shared(self.context, held.lock()),
                None => Transaction::Own(begin(self.context)),
            },
            running: self.running,
            rule,
            out_of_order: 0,
            too_old: 0,
            duplicates: 0,
        })
    }

    fn queried(&self, rule: &Rule, t_ms: i64, outcome: Result<QueryStats, &RuleError>) {
        let log = &self.context.query_log;
        if !log.is_on() {
            return;
        }
        let (group, took) = (self.running.group(), self.running.took_so_far(rule));
        let entry = Logged {
            language: match &rule.definition().expr {
                RuleExpr::Metrics(_) => Language::PromQl,
                RuleExpr::Logs(_) => Language::LogQl,
            },
            query: rule.query().to_owned(),
            start_ms: t_ms,
            end_ms: t_ms,
            step_ms: 0,
            error: outcome.err().map(ToString::to_string),
            stats: query_stats::of_rule(took, outcome.unwrap_or_default()),
            origin: Origin::Rule {
                file: group.file().to_owned(),
                group: group.name().to_owned(),
            },
        };
        log.write(&entry, clock::now_ms());
    }

    fn send(&self, rule: &Rule, alerts: Vec<Alert>) {
        let external = &self.running.group().settings().external_url;
        let query = query_escape(rule.query());
        let generator_url = match &rule.definition().expr {
            RuleExpr::Metrics(_) => format!("{external}/graph?g0.expr={query}&g0.tab=1"),
            RuleExpr::Logs(_) => format!("{external}/logs?q={query}"),
        };
        let outgoing = alerts.into_iter().map(|alert| OutgoingAlert {
            starts_at_ms: alert.fired_at_ns.unwrap_or_default().div_euclid(NS_PER_MS),
            ends_at_ms: alert.ends_at_ns().unwrap_or_default().div_euclid(NS_PER_MS),
            annotations: Labels::from_pairs(alert.annotations.iter().map(|(n, v)| (n, v))),
            labels: alert.labels,
            generator_url: generator_url.clone(),
        });
        self.context.alerts.send(outgoing.collect());
    }
}

/// Escapes a text as Go's `url.QueryEscape` does.
fn query_escape(text: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // The two disagree on these.
    escaped.replace('*', "%2A").replace("%7E", "~")
}

/// What the results of one rule are written to.
#[allow(
    clippy::large_enum_variant,
    reason = "one is alive at a time, on the heap already"
)]
enum Transaction<'s, 'a> {
    Own(Appender<'a>),
    Shared(&'a Context, MutexGuard<'s, Held<'a>>),
}

impl<'a> Transaction<'_, 'a> {
    fn appender(&mut self) -> &mut Appender<'a> {
        match self {
            Transaction::Own(appender) => appender,
            Transaction::Shared(context, held) => {
                held.n_samples += 1;
                held.appender.get_or_insert_with(|| begin(context))
            }
        }
    }
}

/// Writes the results of one rule.
struct StoreWriter<'s, 'a> {
    transaction: Transaction<'s, 'a>,
    running: &'s Running,
    rule: Option<&'s Rule>,
    /// Why nothing is stored at this time.
    refused: Option<String>,
    out_of_order: u64,
    too_old: u64,
    duplicates: u64,
}

impl StoreWriter<'_, '_> {
    fn append_value(
        &mut self,
        series: &mut Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: &Value,
    ) -> Result<(), AppendError> {
        let appender = self.transaction.appender();
        let append = |appender: &mut Appender<'_>, series| match value {
            Value::Float(value) => appender.append(series, t_ms, *value),
            Value::Histogram(histogram) => appender.append_histogram(series, t_ms, histogram),
        };
        if let Some(known) = *series {
            match append(appender, known) {
                // The series was removed since; its labels may name one again.
                Err(AppendError::UnknownSeries) => {}
                result => return result,
            }
        }
        let found = appender.series(labels)?;
        *series = Some(found);
        append(appender, found)
    }
}

/// A value as it is stored.
enum Value {
    Float(f64),
    Histogram(Histogram),
}

impl RuleWriter for StoreWriter<'_, '_> {
    fn append(
        &mut self,
        series: &mut Option<SeriesRef>,
        labels: &Labels,
        t_ms: i64,
        value: &PointValue,
    ) -> Result<(), String> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        let value = match value {
            PointValue::Float(value) => Value::Float(*value),
            PointValue::Histogram(histogram) => {
                Value::Histogram(Histogram::Float(FloatHistogram::clone(histogram)))
            }
            other => return Err(format!("a value of this kind cannot be stored: {other:?}")),
        };
        let result = self.append_value(series, labels, t_ms, &value);
        let Err(error) = result else {
            return Ok(());
        };
        match error {
            AppendError::OutOfOrder => self.out_of_order += 1,
            AppendError::TooOld => self.too_old += 1,
            _ if error.is_duplicate() => self.duplicates += 1,
            _ => {
                let (group, name) = (
                    self.running.group().name(),
                    self.rule.map_or("", Rule::name),
                );
                warn!(group, name, %labels, %error, "rule evaluation result discarded");
                return Err(error.to_string());
            }
        }
        let (group, name) = (
            self.running.group().name(),
            self.rule.map_or("", Rule::name),
        );
        debug!(group, name, %labels, %error, "rule evaluation result discarded");
        Err(error.to_string())
    }

    fn end(&mut self, labels: &Labels, t_ms: i64) {
        let result = self.append_value(&mut None, labels, t_ms, &Value::Float(stale_marker()));
        match result {
            // To be expected where the series comes from another rule now.
            Ok(()) | Err(AppendError::OutOfOrder | AppendError::TooOld) => {}
            Err(error) if error.is_duplicate() => {}
            Err(error) => {
                let group = self.running.group().name();
                warn!(group, %labels, %error, "adding stale sample failed");
            }
        }
    }

    fn commit(self: Box<Self>) -> Result<(), String> {
        let (file, group) = (self.running.group().file(), self.running.group().name());
        let name = self.rule.map_or("", Rule::name);
        for (num_dropped, what) in [
            (
                self.out_of_order,
                "error on ingesting out-of-order result from rule evaluation",
            ),
            (
                self.too_old,
                "error on ingesting too old result from rule evaluation",
            ),
            (
                self.duplicates,
                "error on ingesting results from rule evaluation with different value but same \
                 timestamp",
            ),
        ] {
            if num_dropped > 0 {
                warn!(file, group, name, num_dropped, "{what}");
            }
        }
        match self.transaction {
            Transaction::Own(appender) => commit(appender, self.running),
            Transaction::Shared(..) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_escaped_as_go_does() {
        assert_eq!(
            query_escape("vector(1.5) > 1 and up{job=~\"a|b*\"}"),
            "vector%281.5%29+%3E+1+and+up%7Bjob%3D~%22a%7Cb%2A%22%7D"
        );
    }
}
