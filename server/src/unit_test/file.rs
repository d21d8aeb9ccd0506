//! A file of unit tests, read strictly.

use kymo_query::rules::Pairs;
use kymo_storage::compat::duration::parse_prometheus;
use kymo_storage::compat::time;
use kymo_storage::model::Labels;

use crate::config::fields::{self, Fields, Problems};
use crate::config::yaml::{self, Node};
use crate::config::{Problem, ProblemKind};

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct TestFile {
    /// Patterns of rule files, as written.
    pub(super) rule_files: Vec<String>,
    /// Milliseconds between evaluations; 0 where the file does not say.
    pub(super) interval_ms: i64,
    /// Groups that are evaluated behind all others, in this order.
    pub(super) group_order: Vec<String>,
    /// Whether values of expressions may be off by the last bit.
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<Test>,
}

/// One test. Times of evaluation count from its start.
#[derive(Debug, Default)]
pub(super) struct Test {
    pub(super) name: String,
    /// Milliseconds between the values of input series; 0 leaves it to the file.
    pub(super) interval_ms: i64,
    /// Series and values, as written.
    pub(super) input: Vec<(String, String)>,
    pub(super) alerts: Vec<AlertCase>,
    pub(super) exprs: Vec<ExprCase>,
    pub(super) external_labels: Labels,
    pub(super) external_url: String,
    /// When the test begins, since the epoch.
    pub(super) start_ms: i64,
}

/// What alerts of one name fire at a time.
#[derive(Debug, Default)]
pub(super) struct AlertCase {
    pub(super) at_ns: i64,
    pub(super) name: String,
    /// Labels and annotations.
    pub(super) expected: Vec<(Pairs, Pairs)>,
}

/// What an expression gives at a time.
#[derive(Debug, Default)]
pub(super) struct ExprCase {
    pub(super) at_ns: i64,
    pub(super) expr: String,
    pub(super) expected: Vec<ExpectedSample>,
}

/// An element of a vector. Where a histogram is given, the value means nothing.
#[derive(Debug, Default)]
pub(super) struct ExpectedSample {
    pub(super) labels: String,
    pub(super) value: f64,
    pub(super) histogram: String,
}

/// Reads a text.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn parse(text: &str) -> Result<TestFile, String> {
    let document = yaml::parse(text).map_err(|error| texts(vec![error.into()]))?;
    let mut problems = Problems::default();
    let file = read(&document.root, &mut problems);
    match problems.is_empty() {
        true => Ok(file),
        false => Err(texts(problems.into_sorted())),
    }
}

/// Prints mistakes as Go's YAML package does.
fn texts(problems: Vec<Problem>) -> String {
    let is_shape = |problem: &Problem| problem.kind == ProblemKind::Shape;
    let mut lines = Vec::new();
    if problems.iter().any(is_shape) {
        lines.push("yaml: unmarshal errors:".to_owned());
    }
    for problem in &problems {
        let line = problem.at.line;
        lines.push(match problem.kind {
            ProblemKind::Syntax => format!("yaml: line {line}: {}", problem.message),
            _ => format!("  line {line}: {}", problem.message),
        });
    }
    lines.join("\n")
}

fn read(root: &Node, problems: &mut Problems) -> TestFile {
    let mut fields = Fields::open(root, "main.unitTestFile", problems);
    let file = TestFile {
        rule_files: strings(&mut fields, "rule_files", problems),
        interval_ms: milliseconds(&mut fields, "evaluation_interval", problems),
        group_order: strings(&mut fields, "group_eval_order", problems),
        fuzzy: fields.bool("fuzzy_compare", problems).unwrap_or(false),
        tests: items(&mut fields, "tests", "[]main.testGroup", problems, test),
    };
    fields.finish(problems);
    file
}

fn test(node: &Node, problems: &mut Problems) -> Test {
    let mut fields = Fields::open(node, "main.testGroup", problems);
    let (input, alerts, exprs) = ("input_series", "alert_rule_test", "promql_expr_test");
    let test = Test {
        interval_ms: milliseconds(&mut fields, "interval", problems),
        input: items(&mut fields, input, "[]main.series", problems, series),
        alerts: items(
            &mut fields,
            alerts,
            "[]main.alertTestCase",
            problems,
            alert_case,
        ),
        exprs: items(
            &mut fields,
            exprs,
            "[]main.promqlTestCase",
            problems,
            expr_case,
        ),
        external_labels: Labels::from_pairs(pairs(&mut fields, "external_labels", problems)),
        external_url: fields.string("external_url", problems),
        name: fields.string("name", problems),
        start_ms: fields
            .parsed("start_timestamp", problems, time::parse_api)
            .map_or(0, |instant| instant.ms()),
    };
    fields.finish(problems);
    test
}

fn series(node: &Node, problems: &mut Problems) -> (String, String) {
    let mut fields = Fields::open(node, "main.series", problems);
    let series = fields.string("series", problems);
    let values = fields.string("values", problems);
    fields.finish(problems);
    (series, values)
}

fn alert_case(node: &Node, problems: &mut Problems) -> AlertCase {
    let mut fields = Fields::open(node, "main.alertTestCase", problems);
    let case = AlertCase {
        at_ns: nanoseconds(&mut fields, "eval_time", problems),
        name: fields.string("alertname", problems),
        expected: items(&mut fields, "exp_alerts", "[]main.alert", problems, alert),
    };
    fields.finish(problems);
    case
}

fn alert(node: &Node, problems: &mut Problems) -> (Pairs, Pairs) {
    let mut fields = Fields::open(node, "main.alert", problems);
    let labels = pairs(&mut fields, "exp_labels", problems);
    let annotations = pairs(&mut fields, "exp_annotations", problems);
    fields.finish(problems);
    (labels, annotations)
}

fn expr_case(node: &Node, problems: &mut Problems) -> ExprCase {
    let mut fields = Fields::open(node, "main.promqlTestCase", problems);
    let case = ExprCase {
        expr: fields.string("expr", problems),
        at_ns: nanoseconds(&mut fields, "eval_time", problems),
        expected: items(
            &mut fields,
            "exp_samples",
            "[]main.sample",
            problems,
            sample,
        ),
    };
    fields.finish(problems);
    case
}

fn sample(node: &Node, problems: &mut Problems) -> ExpectedSample {
    let mut fields = Fields::open(node, "main.sample", problems);
    let value = fields.take("value");
    let sample = ExpectedSample {
        labels: fields.string("labels", problems),
        value: value
            .and_then(|node| fields::float(node, problems))
            .unwrap_or(0.0),
        histogram: fields.string("histogram", problems),
    };
    fields.finish(problems);
    sample
}

fn items<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    go_type: &'static str,
    problems: &mut Problems,
    read: fn(&Node, &mut Problems) -> T,
) -> Vec<T> {
    let nodes = fields.list(name, go_type, problems);
    nodes.iter().map(|node| read(node, problems)).collect()
}

fn strings(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Vec<String> {
    let node = fields.take(name);
    node.map_or_else(Vec::new, |node| fields::strings(node, problems))
}

/// Takes texts by name, sorted by name.
fn pairs(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> Pairs {
    let Some(node) = fields.take(name) else {
        return Vec::new();
    };
    let mut pairs: Pairs = fields::pairs(node, "map[string]string", problems)
        .into_iter()
        .filter_map(|(_, name, value)| Some((name, fields::string(value, problems)?)))
        .collect();
    pairs.sort();
    pairs
}

fn nanoseconds(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> i64 {
    fields.parsed(name, problems, parse_prometheus).unwrap_or(0)
}

fn milliseconds(fields: &mut Fields<'_>, name: &'static str, problems: &mut Problems) -> i64 {
    nanoseconds(fields, name, problems) / 1_000_000
}
