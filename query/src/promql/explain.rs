//! What an engine will do with a query: its plan, in words and as JSON.
//!
//! ```text
//! sum by (job)                      instant vector
//!   rate                            instant vector
//!     http_requests_total[5m]       range vector
//! ```
//!
//! It shows the plan that is run and not the tree that was parsed: durations are computed,
//! `@ start()` is a time, and what is the same at every step stands below `once`.

use std::fmt::{self, Display, Formatter};

use kymo_storage::compat::{duration, float, quote::quote, time::Instant};
use kymo_storage::model::{METRIC_NAME, MatchOp, Matcher, TimeRange};
use serde_json::{Map, Value as Json, json};

use crate::cache::Keeping;
use crate::error::QueryError;
use crate::promql::ast::{Cardinality, ValueType, VectorMatching};
use crate::promql::plan::{Aggregate, Binary, Edges, Node, NodeKind, Selector, Shift};
use crate::promql::print::matcher_text;

/// Most levels of a plan that is explained.
const MAX_LEVELS: usize = 256;

/// A query explained. `Display` writes it for people.
#[derive(Debug, Clone)]
pub struct Explanation {
    query: String,
    steps: usize,
    start_ms: i64,
    /// 0 for an instant query.
    step_ms: i64,
    whole: Option<TimeRange>,
    /// `None` for an instant query, of which nothing is kept.
    keeping: Option<Keeping>,
    root: Operation,
}

/// One operation of a plan.
#[derive(Debug, Clone)]
struct Operation {
    kind: &'static str,
    /// What it does, without what it does it to.
    does: String,
    value_type: &'static str,
    details: Map<String, Json>,
    inputs: Vec<Operation>,
}

impl Explanation {
    pub(crate) fn new(
        query: &str,
        root: &Node,
        (start_ms, step_ms, steps): (i64, i64, usize),
        whole: Option<TimeRange>,
        keeping: Option<Keeping>,
    ) -> Result<Explanation, QueryError> {
        Ok(Explanation {
            query: query.to_owned(),
            steps,
            start_ms,
            step_ms,
            whole,
            keeping,
            root: operation(root, MAX_LEVELS).ok_or_else(|| {
                QueryError::Invalid(format!(
                    "a query of more than {MAX_LEVELS} levels is not explained"
                ))
            })?,
        })
    }

    /// Returns the explanation as JSON. Times are in seconds since the epoch, durations
    /// in seconds.
    pub fn to_json(&self) -> Json {
        let mut all = Map::new();
        all.insert("query".to_owned(), json!(self.query));
        all.insert("steps".to_owned(), json!(self.steps));
        all.insert("start".to_owned(), seconds(self.start_ms));
        if self.step_ms > 0 {
            all.insert("step".to_owned(), seconds(self.step_ms));
        }
        if let Some(whole) = self.whole {
            let reads = json!({ "from": seconds(whole.start_ms), "to": seconds(whole.end_ms) });
            all.insert("reads".to_owned(), reads);
        }
        let cache = match self.keeping {
            None | Some(Keeping::Refused) => json!({ "kept": false }),
            Some(Keeping::Steps {
                back_ms,
                forward_ms,
                ordered,
            }) => json!({
                "kept": true,
                "looksBack": seconds(back_ms),
                "looksAhead": seconds(forward_ms),
                "dependsOnOrder": ordered,
            }),
        };
        all.insert("cache".to_owned(), cache);
        all.insert("plan".to_owned(), self.root.to_json());
        Json::Object(all)
    }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "query  {}", self.query)?;
        let start = Instant::from_ms(self.start_ms).rfc3339_nano();
        match self.step_ms {
            0 => writeln!(f, "at     {start}")?,
            step_ms => writeln!(
                f,
                "steps  {} from {start}, every {}",
                self.steps,
                length(step_ms)
            )?,
        }
        if let Some(whole) = self.whole {
            let from = Instant::from_ms(whole.start_ms).rfc3339_nano();
            let to = Instant::from_ms(whole.end_ms).rfc3339_nano();
            writeln!(f, "reads  {from} to {to}")?;
        }
        match self.keeping {
            None => {}
            Some(Keeping::Refused) => {
                writeln!(f, "cache  no step is kept: it may differ with the range")?;
            }
            Some(Keeping::Steps { back_ms, .. }) => writeln!(
                f,
                "cache  steps are kept, each made of the {} before it",
                length(back_ms)
            )?,
        }
        writeln!(f)?;
        self.root.write(f, 0)
    }
}

impl Operation {
    fn to_json(&self) -> Json {
        let mut all = Map::new();
        all.insert("kind".to_owned(), json!(self.kind));
        all.insert("does".to_owned(), json!(self.does));
        all.insert("type".to_owned(), json!(self.value_type));
        all.extend(self.details.clone());
        if !self.inputs.is_empty() {
            let inputs = self.inputs.iter().map(Operation::to_json);
            all.insert("inputs".to_owned(), Json::Array(inputs.collect()));
        }
        Json::Object(all)
    }

    fn write(&self, f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
        let line = format!("{:indent$}{}", "", self.does, indent = depth * 2);
        writeln!(f, "{line:<48} {}", self.value_type)?;
        for input in &self.inputs {
            input.write(f, depth + 1)?;
        }
        Ok(())
    }
}

/// Describes a node; `None` where it has more than `levels` levels.
fn operation(node: &Node, levels: usize) -> Option<Operation> {
    let levels = levels.checked_sub(1)?;
    let operation = |node: &Node| operation(node, levels);
    let mut details = Map::new();
    let (kind, does, inputs) = match &node.kind {
        NodeKind::Number(number) => ("number", float::f(*number), Vec::new()),
        NodeKind::String(text) => ("string", quote(text), Vec::new()),
        NodeKind::Plus(inner) => ("unary", "+".to_owned(), vec![operation(inner)?]),
        NodeKind::Minus(inner) => ("unary", "-".to_owned(), vec![operation(inner)?]),
        NodeKind::Binary(binary) => {
            let inputs = vec![operation(&binary.lhs)?, operation(&binary.rhs)?];
            ("binary", binary_text(binary), inputs)
        }
        NodeKind::Aggregate(aggregate) => {
            let param = aggregate.param.iter().map(operation);
            let inputs = param.chain([operation(&aggregate.expr)]);
            let inputs = inputs.collect::<Option<Vec<Operation>>>()?;
            ("aggregation", aggregate_text(aggregate), inputs)
        }
        NodeKind::Call(call) => {
            let inputs = call.args.iter().map(operation);
            let inputs = inputs.collect::<Option<Vec<Operation>>>()?;
            ("call", call.func.to_owned(), inputs)
        }
        NodeKind::Vector(selector) => {
            select_details(selector, &mut details);
            ("selector", selector_text(selector, 0), Vec::new())
        }
        NodeKind::Matrix(matrix) => {
            select_details(&matrix.selector, &mut details);
            details.insert("range".to_owned(), seconds(matrix.range_ms));
            let text = selector_text(&matrix.selector, matrix.range_ms);
            ("selector", text, Vec::new())
        }
        NodeKind::Subquery(subquery) => {
            details.insert("range".to_owned(), seconds(subquery.range_ms));
            let step = match subquery.step_ms {
                0 => String::new(),
                step_ms => {
                    details.insert("step".to_owned(), seconds(step_ms));
                    length(step_ms)
                }
            };
            shift_details(subquery.shift, &mut details);
            let range = length(subquery.range_ms);
            let text = format!("subquery [{range}:{step}]{}", shift_text(subquery.shift));
            ("subquery", text, vec![operation(&subquery.expr)?])
        }
        NodeKind::Invariant(inner) => ("once", "once".to_owned(), vec![operation(inner)?]),
    };
    Some(Operation {
        kind,
        does,
        value_type: match node.value_type {
            ValueType::String => "string",
            other => other.documented(),
        },
        details,
        inputs,
    })
}

fn aggregate_text(aggregate: &Aggregate) -> String {
    let op = aggregate.op.as_str();
    let labels = aggregate.grouping.join(", ");
    match (aggregate.without, labels.is_empty()) {
        (true, _) => format!("{op} without ({labels})"),
        (false, true) => op.to_owned(),
        (false, false) => format!("{op} by ({labels})"),
    }
}

fn binary_text(binary: &Binary) -> String {
    let mut text = binary.op.as_str().to_owned();
    if binary.return_bool {
        text.push_str(" bool");
    }
    let Some(matching) = &binary.matching else {
        return text;
    };
    let VectorMatching {
        card,
        labels,
        on,
        include,
        ..
    } = matching;
    if *on || !labels.is_empty() {
        let word = if *on { "on" } else { "ignoring" };
        text.push_str(&format!(" {word} ({})", labels.join(", ")));
    }
    let include = include.join(", ");
    match card {
        Cardinality::ManyToOne => text.push_str(&format!(" group_left ({include})")),
        Cardinality::OneToMany => text.push_str(&format!(" group_right ({include})")),
        Cardinality::OneToOne | Cardinality::ManyToMany => {}
    }
    text
}

fn selector_text(selector: &Selector, range_ms: i64) -> String {
    let is_name =
        |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let name = selector.matchers.iter().find(is_name);
    let rest = selector.matchers.iter().filter(|matcher| !is_name(matcher));
    let rest: Vec<String> = rest.map(matcher_text).collect();
    let mut text = name.map_or("", |name| name.value()).to_owned();
    if !rest.is_empty() {
        text.push_str(&format!("{{{}}}", rest.join(",")));
    }
    if range_ms > 0 {
        text.push_str(&format!("[{}]", length(range_ms)));
    }
    match selector.edges {
        Edges::Plain => {}
        Edges::Anchored => text.push_str(" anchored"),
        Edges::Smoothed => text.push_str(" smoothed"),
    }
    text.push_str(&shift_text(selector.shift));
    text
}

fn shift_text(shift: Shift) -> String {
    let at = shift.at_ms.map(|at_ms| {
        let at = Instant::from_ms(at_ms).rfc3339_nano();
        format!(" @ {at}")
    });
    let offset = (shift.offset_ms != 0).then(|| format!(" offset {}", length(shift.offset_ms)));
    at.unwrap_or_default() + &offset.unwrap_or_default()
}

fn select_details(selector: &Selector, details: &mut Map<String, Json>) {
    let matchers = selector
        .matchers
        .iter()
        .map(|matcher| json!(matcher_text(matcher)));
    details.insert("matchers".to_owned(), Json::Array(matchers.collect()));
    shift_details(selector.shift, details);
}

fn shift_details(shift: Shift, details: &mut Map<String, Json>) {
    if let Some(at_ms) = shift.at_ms {
        details.insert("at".to_owned(), seconds(at_ms));
    }
    if shift.offset_ms != 0 {
        details.insert("offset".to_owned(), seconds(shift.offset_ms));
    }
}

fn seconds(ms: i64) -> Json {
    match ms % 1000 {
        0 => json!(ms / 1000),
        _ => json!(ms as f64 / 1000.0),
    }
}

fn length(ms: i64) -> String {
    let ns = ms.unsigned_abs().saturating_mul(1_000_000);
    let text = duration::format_prometheus(i64::try_from(ns).unwrap_or(i64::MAX));
    if ms < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use crate::promql::{Engine, EngineOptions, QueryOptions, RangeQuery};

    fn explain(query: &str, step_ms: i64) -> super::Explanation {
        let asked = RangeQuery {
            query,
            start_ms: 1_700_000_000_000,
            end_ms: 1_700_000_600_000,
            step_ms,
        };
        let engine = Engine::new(EngineOptions::default());
        engine.explain(&asked, &QueryOptions::default()).unwrap()
    }

    #[test]
    fn the_text_shows_what_is_done_to_what() {
        let query =
            "sum by (job) (rate(hits{code=~\"5..\"}[5m] offset 1h)) / on (job) group_left limit";
        let text = explain(query, 60_000).to_string();
        let plan: Vec<&str> = text
            .lines()
            .map(|line| line.split("   ").next().unwrap_or(""))
            .collect();
        assert_eq!(plan[0], format!("query  {query}"));
        assert!(
            text.contains("steps  11 from 2023-11-14T22:13:20Z, every 1m\n"),
            "{text}"
        );
        assert!(text.contains("reads  2023-11-14T21:08:20.001Z to 2023-11-14T22:23:20Z\n"));
        assert!(text.contains("cache  steps are kept, each made of the 1h5m before it\n"));
        assert!(text.contains("\n/ on (job) group_left () "), "{text}");
        assert!(text.contains("\n  sum by (job) "), "{text}");
        assert!(text.contains("\n    rate "), "{text}");
        assert!(
            text.contains("\n      hits{code=~\"5..\"}[5m] offset 1h "),
            "{text}"
        );
        assert!(text.contains("\n  limit "), "{text}");
    }

    #[test]
    fn json_has_times_in_seconds() {
        let explained = explain("a @ end() + max_over_time(b[1m:15s]) - 1.5", 60_000).to_json();
        assert_eq!(explained["steps"], 11);
        assert_eq!(explained["step"], 60);
        assert_eq!(explained["cache"]["kept"], false);
        let plan = &explained["plan"];
        assert_eq!(plan["kind"], "binary");
        assert_eq!(plan["does"], "-");
        let once = &plan["inputs"][0]["inputs"][0];
        assert_eq!(once["kind"], "once");
        assert_eq!(once["inputs"][0]["at"], 1_700_000_600);
        let subquery = &plan["inputs"][0]["inputs"][1]["inputs"][0];
        assert_eq!(
            (&subquery["range"], &subquery["step"]),
            (&60.into(), &15.into())
        );
        assert_eq!(plan["inputs"][1]["does"], "1.5");
        let instant = explain("sum(a)", 0);
        assert!(instant.to_json().get("step").is_none());
        assert!(
            instant
                .to_string()
                .contains("at     2023-11-14T22:13:20Z\n")
        );
    }

    #[test]
    fn a_plan_that_is_too_deep_is_refused() {
        let query = format!("{}a{}", "-(".repeat(300), ")".repeat(300));
        let asked = RangeQuery {
            query: &query,
            start_ms: 0,
            end_ms: 0,
            step_ms: 0,
        };
        let engine = Engine::new(EngineOptions::default());
        let refused = engine.explain(&asked, &QueryOptions::default());
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("256 levels"), "{text}");
    }
}
