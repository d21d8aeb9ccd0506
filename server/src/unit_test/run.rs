//! Running a test: series in memory, rules over them at times of the test, and what was
//! expected beside what was found.

use std::collections::BTreeMap;
use std::path::Path;

use kymo_ingest::discovery::glob;
use kymo_query::promql::{Features, SeriesValue, parse_metric, parse_series};
use kymo_query::rules::{
    AlertState, Evaluation, Group, GroupSettings, MemoryRules, Pairs, Restore,
};
use kymo_query::{Cancel, Engine, EngineOptions, PointValue, QueryOptions, Value, VectorSample};
use kymo_storage::compat::duration::{format_go, format_prometheus};
use kymo_storage::compat::float::push_e;
use kymo_storage::compat::quote::quote;
use kymo_storage::compat::regex::Regex;
use kymo_storage::model::Labels;

use super::file::{self, AlertCase, ExprCase, Test, TestFile};
use super::junit::{Case, Suite};
use super::print::{self, AlertTexts, Show};
use crate::rules::file::{self as rule_file, Accepted};
use crate::terminal::complain;

/// Between evaluations, where the file does not say.
const DEFAULT_INTERVAL_MS: i64 = 60_000;

const NS_PER_MS: i64 = 1_000_000;

/// How tests are run.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) features: Features,
    /// Whether keys of rule files that nobody knows are passed over.
    pub(super) unknown_keys: bool,
    pub(super) delayed_name_removal: bool,
    pub(super) show: Show,
    pub(super) debug: bool,
}

/// Runs the tests of a file, those whose name matches where `names` is given.
pub(super) fn file(name: &str, names: Option<&Regex>, options: &Options) -> Suite {
    let mut suite = Suite {
        file: name.to_owned(),
        ..Suite::default()
    };
    let file = match read(name) {
        Ok(file) => file,
        Err(error) => {
            suite.aborted = Some(error);
            return suite;
        }
    };
    let is_chosen = |test: &&(usize, &Test)| names.is_none_or(|names| names.is_match(&test.1.name));
    for (at, test) in file
        .tests
        .iter()
        .enumerate()
        .filter(|test| is_chosen(&test))
    {
        let name = match test.name.as_str() {
            "" => format!("unnamed#{at}"),
            name => name.to_owned(),
        };
        let failures = Running::new(&file, test, options)
            .and_then(|running| running.run(&name))
            .unwrap_or_else(|failures| failures);
        suite.cases.push(Case { name, failures });
    }
    suite
}

fn read(name: &str) -> Result<TestFile, String> {
    let bytes = rule_file::read_bounded(Path::new(name))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: invalid UTF-8"))?;
    let mut file = file::parse(&text)?;
    if file.interval_ms == 0 {
        file.interval_ms = DEFAULT_INTERVAL_MS;
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = file.group_order.iter().find(|name| !seen.insert(*name)) {
        return Err(format!("group name repeated in evaluation order: {twice}"));
    }
    let base = Path::new(name).parent().unwrap_or(Path::new(""));
    let mut paths = Vec::new();
    for pattern in &file.rule_files {
        let pattern = match pattern.as_str() {
            "" => String::new(),
            pattern => base.join(pattern).display().to_string(),
        };
        let found = glob(&pattern).map_err(|error| error.to_string())?;
        if found.is_empty() {
            complain(&format!("  WARNING: no file match pattern {pattern}\n"));
        }
        paths.extend(found.into_iter().map(|path| path.display().to_string()));
    }
    file.rule_files = paths;
    Ok(file)
}

/// A test with its rules.
struct Running<'a> {
    file: &'a TestFile,
    test: &'a Test,
    options: &'a Options,
    engine: Engine,
    groups: Vec<Group>,
    /// Input that has not come yet, the newest sample of each series last.
    input: Vec<(Labels, Vec<(i64, SeriesValue)>)>,
    data: MemoryRules,
}

impl<'a> Running<'a> {
    fn new(
        file: &'a TestFile,
        test: &'a Test,
        options: &'a Options,
    ) -> Result<Running<'a>, Vec<String>> {
        let one = |error: String| vec![error];
        let nameless = test.alerts.iter().find(|case| case.name.is_empty());
        if let Some(case) = nameless {
            let at = format_prometheus(case.at_ns);
            let of = match test.name.as_str() {
                "" => String::new(),
                name => format!(" (in TestGroup {name})"),
            };
            return Err(one(format!(
                "an item under alert_rule_test misses required attribute alertname at eval_time \
                 {at}{of}"
            )));
        }
        let interval_ms = match test.interval_ms {
            0 => file.interval_ms,
            own => own,
        };
        let mut input = Vec::with_capacity(test.input.len());
        for (series, values) in &test.input {
            let text = format!("{series} {values}");
            let (labels, values) = parse_series(&text).map_err(|error| one(error.to_string()))?;
            let times =
                (0..).map(|n: i64| test.start_ms.saturating_add(n.saturating_mul(interval_ms)));
            let mut samples: Vec<(i64, SeriesValue)> = times.zip(values).collect();
            samples.reverse();
            input.push((labels, samples));
        }
        Ok(Running {
            engine: Engine::new(EngineOptions {
                default_step_ms: file.interval_ms,
                enable: options.features,
                delayed_name_removal: options.delayed_name_removal,
                ..EngineOptions::default()
            }),
            groups: groups(file, test, interval_ms, options)?,
            file,
            test,
            options,
            input,
            data: MemoryRules::default(),
        })
    }

    /// Runs the test and returns what failed; as an error where it ended early.
    fn run(mut self, name: &str) -> Result<Vec<String>, Vec<String>> {
        if self.options.debug {
            complain(&format!("DEBUG: Starting test {name}\n"));
        }
        let alert_times = self.test.alerts.iter().map(|case| case.at_ns);
        let expr_times = self.test.exprs.iter().map(|case| case.at_ns);
        let end_ns = alert_times.chain(expr_times).max().unwrap_or(0);
        let mut by_time: BTreeMap<i64, Vec<&AlertCase>> = BTreeMap::new();
        for case in &self.test.alerts {
            by_time.entry(case.at_ns).or_default().push(case);
        }
        let mut due = by_time.into_iter().peekable();
        let interval_ns = self.file.interval_ms.saturating_mul(NS_PER_MS);
        let mut failures = Vec::new();
        let mut at_ns = 0i64;
        while at_ns <= end_ns {
            self.load_until(self.test.start_ms + at_ns / NS_PER_MS)?;
            self.evaluate(at_ns)?;
            let next_ns = at_ns.saturating_add(interval_ns);
            while let Some((case_ns, cases)) = due.next_if(|(case_ns, _)| *case_ns < next_ns) {
                for case in cases {
                    failures.extend(self.check_alerts(case_ns, case));
                }
            }
            at_ns = next_ns;
        }
        for case in &self.test.exprs {
            failures.extend(self.check_expr(case));
        }
        if self.options.debug {
            self.dump(end_ns);
        }
        Ok(failures)
    }

    /// Makes the input up to a time visible.
    fn load_until(&mut self, until_ms: i64) -> Result<(), Vec<String>> {
        let mut series = self.data.series.write();
        for (labels, left) in &mut self.input {
            while let Some((t_ms, value)) = left.pop_if(|(t_ms, _)| *t_ms <= until_ms) {
                match value {
                    SeriesValue::Gap => {}
                    SeriesValue::Float(value) => series.push(labels, t_ms, value),
                    SeriesValue::Histogram(histogram) => {
                        series.push_histogram(labels, t_ms, histogram.histogram.as_ref().clone());
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&self, at_ns: i64) -> Result<(), Vec<String>> {
        let evaluation = Evaluation {
            engine: &self.engine,
            source: &self.data,
            logs: None,
            cancel: &Cancel::new(),
            at_ns: self.test.start_ms * NS_PER_MS + at_ns,
        };
        let mut failures = Vec::new();
        for group in &self.groups {
            let outcomes = group.evaluate(&evaluation, &self.data);
            for (rule, outcome) in group.rules().iter().zip(outcomes) {
                if let Err(error) = outcome {
                    let (name, at) = (rule.name(), format_go(evaluation.at_ns));
                    failures.push(format!("    rule: {name}, time: {at}, err: {error}"));
                }
            }
        }
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures),
        }
    }

    fn check_alerts(&self, at_ns: i64, case: &AlertCase) -> Option<String> {
        let rules = self.groups.iter().flat_map(Group::rules);
        let of_name =
            rules.filter(|rule| rule.alert_settings().is_some() && rule.name() == case.name);
        let mut found: Vec<AlertTexts> = of_name
            .flat_map(|rule| rule.active_alerts())
            .filter(|alert| alert.state == AlertState::Firing)
            .map(|alert| (own_pairs(&alert.labels), alert.annotations.as_ref().clone()))
            .collect();
        let mut expected = case.expected.clone();
        for (labels, _) in &mut expected {
            // Written are the labels of the rule; this one is always there.
            labels.retain(|(name, _)| name != "alertname");
            labels.push(("alertname".to_owned(), case.name.clone()));
            labels.sort();
        }
        found.sort();
        expected.sort();
        if found == expected {
            return None;
        }
        Some(format!(
            "{}    alertname: {}, time: {}, \n{}",
            self.named(),
            case.name,
            format_prometheus(at_ns),
            print::alerts(&expected, &found, self.options.show)
        ))
    }

    fn named(&self) -> String {
        match self.test.name.as_str() {
            "" => String::new(),
            name => format!("    name: {name},\n"),
        }
    }

    fn check_expr(&self, case: &ExprCase) -> Option<String> {
        let at = format_prometheus(case.at_ns);
        let head = format!("    expr: {}, time: {at},", quote(&case.expr));
        let failed = |error: String| Some(format!("{head} err: {error}"));
        let mut found = match self.query(&case.expr, case.at_ns) {
            Ok(found) => found,
            Err(error) => return failed(error),
        };
        let mut expected = Vec::with_capacity(case.expected.len());
        for sample in &case.expected {
            let of_labels = |error| format!("labels {}: {error}", quote(&sample.labels));
            let labels = match parse_metric(&sample.labels) {
                Ok(labels) => labels,
                Err(error) => return failed(of_labels(error.to_string())),
            };
            let point = match sample.histogram.as_str() {
                "" => Point::Float(sample.value),
                text => match written_histogram(text) {
                    Ok(histogram) => histogram,
                    Err(error) => return failed(of_labels(error)),
                },
            };
            expected.push((labels, point));
        }
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let is_same = expected.len() == found.len()
            && expected
                .iter()
                .zip(&found)
                .all(|(a, b)| a.0 == b.0 && self.is_same(&a.1, &b.1));
        if is_same {
            return None;
        }
        let (expected, found) = (samples_text(&expected), samples_text(&found));
        Some(format!(
            "{head}\n        exp: {expected}\n        got: {found}"
        ))
    }

    fn is_same(&self, a: &Point, b: &Point) -> bool {
        match (a, b) {
            (Point::Float(a), Point::Float(b)) => {
                a == b || self.file.fuzzy && (a.next_up() == *b || a.next_down() == *b)
            }
            (Point::Histogram(a), Point::Histogram(b)) => a == b,
            _ => false,
        }
    }

    /// Evaluates an expression; a scalar is an element without labels.
    fn query(&self, expr: &str, at_ns: i64) -> Result<Vec<(Labels, Point)>, String> {
        let t_ms = self.test.start_ms + at_ns / NS_PER_MS;
        let options = QueryOptions::default();
        let result = self
            .engine
            .instant(&self.data, expr, t_ms, &options, &Cancel::new());
        let sample = |sample: VectorSample| match sample.value {
            PointValue::Float(value) => Ok((sample.labels, Point::Float(value))),
            PointValue::Histogram(histogram) => {
                let text = histogram.to_test_notation();
                Ok((sample.labels, Point::Histogram(text)))
            }
            _ => Err("rule result is not a vector or scalar".to_owned()),
        };
        match result.map_err(|error| error.to_string())?.value {
            Value::Vector(samples) => samples.into_iter().map(sample).collect(),
            Value::Scalar { value, .. } => Ok(vec![(Labels::empty(), Point::Float(value))]),
            _ => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// Prints all series.
    fn dump(&self, end_ns: i64) {
        let end_ms = self.test.start_ms + end_ns / NS_PER_MS + 1000;
        let range_ms = end_ns / NS_PER_MS + 1000;
        let expr = format!("{{__name__=~\".+\"}}[{range_ms}ms]");
        let options = QueryOptions::default();
        let result = self
            .engine
            .instant(&self.data, &expr, end_ms, &options, &Cancel::new());
        let mut text = String::from("DEBUG: Dump of all data (input_series and rules):\n");
        match result.map(|result| result.value) {
            Ok(Value::Matrix(series)) => {
                for series in series {
                    text.push_str(&format!("{} =>\n", series.labels));
                    let floats = &series.floats;
                    for (t_ms, value) in floats.timestamps.iter().zip(&floats.values) {
                        text.push_str(&format!("{value} @[{t_ms}]\n"));
                    }
                }
            }
            Ok(_) => {}
            Err(error) => text.push_str(&format!("failed: {error}\n")),
        }
        complain(&text);
    }
}

/// Reads the rule files: groups in the order of files, those of the wanted order last.
fn groups(
    file: &TestFile,
    test: &Test,
    interval_ms: i64,
    options: &Options,
) -> Result<Vec<Group>, Vec<String>> {
    let accepted = Accepted {
        promql: options.features,
        unknown_keys: options.unknown_keys,
        ..Accepted::default()
    };
    let settings = GroupSettings {
        interval_ms,
        external_labels: test.external_labels.clone(),
        external_url: test.external_url.clone(),
        ..GroupSettings::default()
    };
    let (mut groups, mut failures) = (Vec::new(), Vec::new());
    for name in &file.rule_files {
        match rule_file::load(name, &accepted) {
            Ok(read) => {
                let made = read
                    .groups
                    .into_iter()
                    .map(|group| Group::new(name.as_str(), group, &settings, Restore::Nothing));
                groups.extend(made);
            }
            Err(error) => failures.extend(error.texts()),
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    // A group that is not listed counts as the first one.
    let order = |group: &Group| {
        let at = file
            .group_order
            .iter()
            .position(|name| name == group.name());
        at.unwrap_or(0)
    };
    groups.sort_by_key(order);
    Ok(groups)
}

fn own_pairs(labels: &Labels) -> Pairs {
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    labels.iter().map(own).collect()
}

/// A value that is compared.
#[derive(Debug, Clone, PartialEq)]
enum Point {
    Float(f64),
    /// In the notation of tests.
    Histogram(String),
}

/// Reads a histogram in the notation of tests.
fn written_histogram(text: &str) -> Result<Point, String> {
    let (_, values) = parse_series(&format!("{{}} {text}")).map_err(|error| error.to_string())?;
    match values.as_slice() {
        [SeriesValue::Histogram(one)] => Ok(Point::Histogram(one.histogram.to_test_notation())),
        [_] => Err(format!("expected histogram, got {text}")),
        several => Err(format!("expected 1 value, got {}", several.len())),
    }
}

fn samples_text(samples: &[(Labels, Point)]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let one = |(labels, point): &(Labels, Point)| match point {
        Point::Float(value) => {
            let mut number = String::new();
            push_e(&mut number, *value);
            match value.is_finite() {
                true => format!("{labels} {}", number.to_uppercase()),
                false => format!("{labels} {number}"),
            }
        }
        Point::Histogram(text) => format!("{labels} {text}"),
    };
    samples.iter().map(one).collect::<Vec<_>>().join(", ")
}
