//! Stages that let some entries through: `match`, `drop`, `limit` and `sampling`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kymo_storage::compat::regex::Regex;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::super::config::{
    DropCondition, DropConfig, Excess, LimitConfig, MatchAction, MatchConfig,
};
use super::super::languages::Selector;
use super::super::rate::Bucket;
use super::super::stats::PipelineStats;
use super::super::{Entry, Pipeline, Stage, Step, Tools};
use super::{Nested, compile};

const LIMIT_REASON: &str = "ratelimit_drop_stage";

/// Reads a size in bytes: a number and a unit of 1,024, in any case.
///
/// # Errors
/// The text is no size.
pub fn parse_byte_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("\"{text}\" is no size in bytes, such as 8KB");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << (10 * power)).ok_or_else(wrong)
}

/// Runs stages on what a selector takes, or drops it.
pub(super) struct Match {
    selector: Arc<dyn Selector>,
    action: Action,
    stats: Arc<PipelineStats>,
}

enum Action {
    Run(Nested),
    Drop(Arc<str>),
}

impl Match {
    pub(super) fn new(config: &MatchConfig, tools: &Tools) -> Result<Match, String> {
        if config.selector.is_empty() {
            return Err("selector statement required for match stage".to_owned());
        }
        let action = match &config.action {
            MatchAction::Keep(stages) if stages.is_empty() => {
                return Err(
                    "match stage requires at least one additional stage to be defined in '- stages'"
                        .to_owned(),
                );
            }
            MatchAction::Keep(stages) => Action::Run(Nested(
                Pipeline::new(stages, tools).map_err(|e| e.to_string())?,
            )),
            MatchAction::Drop(reason) => Action::Drop(reason.as_str().into()),
        };
        let selector = tools.languages.selector(&config.selector);
        let selector =
            selector.map_err(|e| format!("invalid selector syntax for match stage: {e}"))?;
        Ok(Match {
            selector: selector.into(),
            action,
            stats: Arc::clone(&tools.stats),
        })
    }
}

impl Stage for Match {
    fn process(&mut self, entry: Entry) -> Step {
        let label = |name: &str| entry.labels.get(name).cloned();
        if !self.selector.takes(&label, &entry.line) {
            return Step::On(entry);
        }
        match &mut self.action {
            Action::Run(stages) => stages.process(entry),
            Action::Drop(reason) => {
                self.stats.dropped(reason);
                Step::Away
            }
        }
    }

    fn tick(&mut self, now_ns: i64) -> Vec<Entry> {
        match &mut self.action {
            Action::Run(stages) => stages.tick(now_ns),
            Action::Drop(_) => Vec::new(),
        }
    }

    fn flush(&mut self) -> Vec<Entry> {
        match &mut self.action {
            Action::Run(stages) => stages.flush(),
            Action::Drop(_) => Vec::new(),
        }
    }

    fn held_from(&self) -> Option<u64> {
        match &self.action {
            Action::Run(stages) => stages.held_from(),
            Action::Drop(_) => None,
        }
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Match {
            selector: Arc::clone(&self.selector),
            action: match &self.action {
                Action::Run(stages) => Action::Run(Nested(stages.0.fresh())),
                Action::Drop(reason) => Action::Drop(Arc::clone(reason)),
            },
            stats: Arc::clone(&self.stats),
        })
    }
}

/// Drops entries that all conditions hold for.
#[derive(Clone)]
pub(super) struct Drop {
    config: Arc<DropConfig>,
    condition: Option<Condition>,
    older_than_ns: Option<i64>,
    stats: Arc<PipelineStats>,
}

#[derive(Clone)]
enum Condition {
    Matches(Arc<Regex>),
    Is(Arc<str>),
}

impl Drop {
    pub(super) fn new(config: &DropConfig, tools: &Tools) -> Result<Drop, String> {
        let expression = matches!(config.condition, Some(DropCondition::Expression(_)));
        let value = matches!(config.condition, Some(DropCondition::Value(_)));
        let sourced = config.source.is_some();
        let measured = config.older_than.is_some() || config.longer_than.is_some();
        if value && !sourced {
            return Err(
                "drop stage config must contain `source` if `value` is specified".to_owned(),
            );
        }
        if !expression && !sourced && !measured {
            return Err(
                "drop stage config must contain at least one of `source`, `expression`, \
                        `older_than` or `longer_than`"
                    .to_owned(),
            );
        }
        let condition = match &config.condition {
            None => None,
            Some(DropCondition::Value(value)) => Some(Condition::Is(value.as_str().into())),
            Some(DropCondition::Expression(expression)) => {
                // An empty expression matches anything, as Go's do.
                let regex = match expression.as_str() {
                    "" => compile("(?:)"),
                    expression => compile(expression),
                };
                Some(Condition::Matches(
                    regex.map_err(|e| format!("drop stage {e}"))?,
                ))
            }
        };
        let nanos = |age: Duration| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
        Ok(Drop {
            condition,
            older_than_ns: config.older_than.map(nanos),
            config: Arc::new(config.clone()),
            stats: Arc::clone(&tools.stats),
        })
    }

    fn holds(&self, entry: &Entry) -> bool {
        if let Some(longest) = self.config.longer_than
            && entry.line.len() as u64 <= longest
        {
            return false;
        }
        if let Some(age_ns) = self.older_than_ns
            && entry.t_ns >= entry.read_ns.saturating_sub(age_ns)
        {
            return false;
        }
        let fits = |text: &str| match &self.condition {
            None => true,
            Some(Condition::Matches(regex)) => regex.is_match(text),
            Some(Condition::Is(value)) => text == &**value,
        };
        match (&self.config.source, &self.condition) {
            (None, None) => true,
            (None, Some(_)) => fits(&String::from_utf8_lossy(&entry.line)),
            (Some(names), None) => names
                .iter()
                .all(|name| entry.extracted.contains_key(name.as_str())),
            (Some(names), Some(_)) => {
                let mut found = Vec::new();
                for value in names.iter().filter_map(|n| entry.extracted.get(n.as_str())) {
                    match value.text() {
                        Some(text) => found.push(text),
                        None => return false,
                    }
                }
                let separator = self.config.separator.as_deref().unwrap_or(";");
                fits(&found.join(separator))
            }
        }
    }
}

impl Stage for Drop {
    fn process(&mut self, entry: Entry) -> Step {
        if !self.holds(&entry) {
            return Step::On(entry);
        }
        self.stats.dropped(&self.config.reason);
        Step::Away
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Lets entries through at a rate that all sources share.
#[derive(Clone)]
pub(super) struct Limit {
    config: Arc<LimitConfig>,
    one: Arc<Mutex<Bucket>>,
    by_value: Arc<Mutex<Generations>>,
    tools: Tools,
}

/// Buckets by value: when there are too many, those that were not used since the last time
/// there were are forgotten.
#[derive(Default)]
struct Generations {
    young: BTreeMap<Arc<str>, Bucket>,
    old: BTreeMap<Arc<str>, Bucket>,
}

impl Limit {
    pub(super) fn new(config: &LimitConfig, tools: &Tools) -> Result<Limit, String> {
        if !(config.rate > 0.0 && config.rate.is_finite()) || config.burst == 0 {
            return Err("limit stage failed to parse rate or burst".to_owned());
        }
        let bucket = Bucket::new(config.rate, config.burst as f64);
        Ok(Limit {
            config: Arc::new(config.clone()),
            one: Arc::new(Mutex::new(bucket)),
            by_value: Arc::default(),
            tools: tools.clone(),
        })
    }

    fn takes(&self, entry: &Entry) -> bool {
        match &self.config.excess {
            Excess::Drop => self.one.lock().take(1.0, entry.read_ns),
            Excess::Wait => {
                let wait = self.one.lock().take_late(1.0, (self.tools.clock)());
                if !wait.is_zero() {
                    (self.tools.wait)(wait);
                }
                true
            }
            Excess::DropBy {
                label,
                max_distinct,
            } => {
                let Some(value) = entry.labels.get(label) else {
                    return true;
                };
                let mut buckets = self.by_value.lock();
                let buckets = &mut *buckets;
                if !buckets.young.contains_key(value) {
                    if buckets.young.len() >= (*max_distinct).max(1) {
                        buckets.old = std::mem::take(&mut buckets.young);
                    }
                    let bucket = buckets
                        .old
                        .remove(value)
                        .unwrap_or_else(|| Bucket::new(self.config.rate, self.config.burst as f64));
                    buckets.young.insert(Arc::clone(value), bucket);
                }
                let bucket = buckets.young.get_mut(value);
                bucket.is_none_or(|bucket| bucket.take(1.0, entry.read_ns))
            }
        }
    }
}

impl Stage for Limit {
    fn process(&mut self, entry: Entry) -> Step {
        if self.takes(&entry) {
            return Step::On(entry);
        }
        self.tools.stats.dropped(LIMIT_REASON);
        Step::Away
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}

/// Lets a share of the entries through. The choice follows from the entry alone.
#[derive(Clone)]
pub(super) struct Sampling {
    /// Hashes up to here go through.
    bound: u64,
    reason: Arc<str>,
    stats: Arc<PipelineStats>,
}

impl Sampling {
    pub(super) fn new(rate: f64, reason: &str, tools: &Tools) -> Result<Sampling, String> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(format!(
                "sampling stage failed to parse rate,Sampling Rate must be between 0.0 and 1.0, \
                 received {rate:.6}"
            ));
        }
        Ok(Sampling {
            bound: (rate * u64::MAX as f64) as u64,
            reason: reason.into(),
            stats: Arc::clone(&tools.stats),
        })
    }
}

impl Stage for Sampling {
    fn process(&mut self, entry: Entry) -> Step {
        let seed = entry.read_ns.cast_unsigned() ^ entry.from.rotate_left(32);
        let hash = xxh3_64_with_seed(&entry.line, seed);
        // Zero is a rate at which nothing goes through.
        if hash <= self.bound && self.bound > 0 {
            return Step::On(entry);
        }
        self.stats.dropped(&self.reason);
        Step::Away
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
