//! What is suspicious in a rule file that is right.

use std::collections::HashMap;
use std::fmt::Write as _;

use kymo_query::promql::ast::{AggregateOp, Expr, ExprKind};
use kymo_query::rules::{Pairs, RuleDefinition, RuleKind};

use crate::commands::Program;
use crate::config::yaml::Position;
use crate::rules::file::RuleFile;

/// Functions that are right to read a counter with.
const COUNTER_FUNCTIONS: [&str; 11] = [
    "rate",
    "irate",
    "increase",
    "resets",
    "changes",
    "absent",
    "absent_over_time",
    "present_over_time",
    "count_over_time",
    "timestamp",
    "last_over_time",
];

/// One of the lints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lint {
    /// Two rules with one name and equal labels: one overwrites the other's series.
    DuplicateRules,
    /// A counter is read as it is, without rate or increase.
    RawCounter,
    /// A template reads a label that the expression takes away.
    UnusedLabel,
    /// An alert without `for` and `keep_firing_for`, whose expression looks at one sample.
    NoFor,
}

/// What a lint found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) at: Position,
    pub(super) message: String,
}

/// Lints by name.
#[derive(Debug, Default)]
pub(super) struct Lints {
    pub(super) chosen: Vec<Lint>,
    pub(super) unknown: Vec<String>,
}

/// Reads the value of `--lint`. To promtool `all` are those that it has.
pub(super) fn parse(names: &[String], program: Program) -> Lints {
    let mut lints = Lints::default();
    for name in names {
        let known = Lint::ALL.into_iter().find(|lint| lint.name() == name);
        match (name.as_str(), known) {
            ("all", _) if program == Program::Promtool => {
                lints.chosen = vec![Lint::DuplicateRules];
            }
            ("all", _) => lints.chosen = Lint::ALL.to_vec(),
            ("none" | "", _) => {}
            (_, Some(lint)) => lints.chosen.push(lint),
            _ => lints.unknown.push(name.clone()),
        }
    }
    lints
}

impl Lint {
    const ALL: [Lint; 4] = [
        Lint::DuplicateRules,
        Lint::RawCounter,
        Lint::UnusedLabel,
        Lint::NoFor,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Lint::DuplicateRules => "duplicate-rules",
            Lint::RawCounter => "raw-counter",
            Lint::UnusedLabel => "unused-label",
            Lint::NoFor => "no-for",
        }
    }

    /// Looks at a file.
    pub(super) fn run(self, file: &RuleFile) -> Vec<Found> {
        match self {
            Lint::DuplicateRules => duplicates(file),
            Lint::RawCounter => each(file, |rule, _| rule.expr.as_metrics().and_then(raw_counter)),
            Lint::UnusedLabel => each(file, unused_label),
            Lint::NoFor => each(file, no_for),
        }
    }

    /// Prints what was found. Duplicates are told as promtool tells them.
    pub(super) fn text(self, file: &str, found: &[Found]) -> String {
        let mut text = String::new();
        if self == Lint::DuplicateRules {
            let _ = writeln!(text, "lint error {} duplicate rule(s) found.", found.len());
            for one in found {
                text.push_str(&one.message);
            }
            text.push_str("Might cause inconsistency while recording expressions\n");
            return text;
        }
        for one in found {
            let Position { line, column } = one.at;
            let _ = writeln!(
                text,
                "{file}: {line}:{column}: lint {}: {}",
                self.name(),
                one.message
            );
        }
        text
    }
}

/// Asks about each rule of a file with its labels, those of its group among them.
fn each(file: &RuleFile, ask: impl Fn(&RuleDefinition, &Pairs) -> Option<String>) -> Vec<Found> {
    let mut found = Vec::new();
    for (group, place) in file.groups.iter().zip(&file.places) {
        for (rule, at) in group.rules.iter().zip(&place.rules) {
            let message = ask(rule, &group.labels_of(rule));
            found.extend(message.map(|message| Found {
                at: *at,
                message: format!("{}: {message}", rule.name),
            }));
        }
    }
    found
}

fn duplicates(file: &RuleFile) -> Vec<Found> {
    let mut seen: HashMap<(&str, Pairs), usize> = HashMap::new();
    let mut found = Vec::new();
    for (group, place) in file.groups.iter().zip(&file.places) {
        for (rule, at) in group.rules.iter().zip(&place.rules) {
            let labels = group.labels_of(rule);
            let times = seen.entry((&rule.name, labels.clone())).or_default();
            *times += 1;
            if *times == 2 {
                let mut message = format!("Metric: {}\nLabel(s):\n", rule.name);
                for (name, value) in &labels {
                    let _ = writeln!(message, "\t{name}: {value}");
                }
                found.push((rule.name.clone(), labels, Found { at: *at, message }));
            }
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    found.into_iter().map(|(_, _, found)| found).collect()
}

/// Looks for a counter that is read without one of the functions for counters. Sums and
/// the like inside such a function's argument are subqueries and count as read by it.
fn raw_counter(expr: &Expr) -> Option<String> {
    let mut open = vec![(expr, false)];
    while let Some((expr, is_read)) = open.pop() {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::MatrixSelector(_) => {}
            ExprKind::Paren(inner) => open.push((inner, is_read)),
            ExprKind::Unary(unary) => open.push((&unary.expr, is_read)),
            ExprKind::Binary(binary) => {
                open.extend([(&binary.rhs, is_read), (&binary.lhs, is_read)]);
            }
            ExprKind::Aggregate(aggregate) => {
                // How many there are is a fair question about counters, too.
                let counts = matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group);
                open.push((&aggregate.expr, is_read || counts));
            }
            ExprKind::Call(call) => {
                let reads = is_read || COUNTER_FUNCTIONS.contains(&call.func);
                open.extend(call.args.iter().map(|arg| (arg, reads)));
            }
            ExprKind::VectorSelector(selector) => {
                let name = &selector.name;
                if name.ends_with("_total") && !is_read {
                    return Some(format!(
                        "{name} is a counter and is read as it is: it grows for ever and starts \
                         anew at each restart; use rate() or increase()"
                    ));
                }
            }
            ExprKind::Subquery(subquery) => open.push((&subquery.expr, is_read)),
        }
    }
    None
}

/// Looks for `$labels.x` in the templates of an alert where the outermost aggregation
/// leaves no label `x`.
fn unused_label(rule: &RuleDefinition, labels: &Pairs) -> Option<String> {
    let RuleKind::Alerting(settings) = &rule.kind else {
        return None;
    };
    let kept = kept_labels(rule.expr.as_metrics()?)?;
    let texts = settings.annotations.iter().chain(&rule.labels);
    for (_, text) in texts {
        for name in labels_read(text) {
            let is_there = kept.iter().any(|one| one == name)
                || name == "alertname"
                || labels.iter().any(|(own, _)| own == name);
            if !is_there {
                return Some(format!(
                    "a template reads $labels.{name}, which the expression takes away; it is \
                     always empty. Add {name} to by ({})",
                    kept.join(", ")
                ));
            }
        }
    }
    None
}

/// Returns the labels that the value of an expression may have; `None` where any may.
fn kept_labels(mut expr: &Expr) -> Option<Vec<String>> {
    loop {
        expr = match &expr.kind {
            ExprKind::Paren(inner) => inner,
            ExprKind::Unary(unary) => &unary.expr,
            ExprKind::Aggregate(aggregate) => {
                let adds_none = !matches!(
                    aggregate.op,
                    AggregateOp::Topk
                        | AggregateOp::Bottomk
                        | AggregateOp::Limitk
                        | AggregateOp::LimitRatio
                        | AggregateOp::CountValues
                );
                let is_known = adds_none && !aggregate.without;
                return is_known.then(|| aggregate.grouping.clone());
            }
            // A comparison with a number keeps the labels of the other side.
            ExprKind::Binary(binary) => {
                let is_number = |expr: &Expr| matches!(expr.kind, ExprKind::Number(_));
                match (is_number(&binary.lhs), is_number(&binary.rhs)) {
                    (false, true) => &binary.lhs,
                    (true, false) => &binary.rhs,
                    _ => return None,
                }
            }
            _ => return None,
        };
    }
}

/// Returns the names behind `$labels.` and `.Labels.` in a template.
fn labels_read(template: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for marker in ["$labels.", ".Labels."] {
        for (at, _) in template.match_indices(marker) {
            let rest = &template[at + marker.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            names.push(&rest[..end.unwrap_or(rest.len())]);
        }
    }
    names
}

/// Looks for alerts that fire on a single bad sample.
fn no_for(rule: &RuleDefinition, _labels: &Pairs) -> Option<String> {
    let RuleKind::Alerting(settings) = &rule.kind else {
        return None;
    };
    // Rules over logs always look at a range.
    let waits = settings.for_ms > 0 || rule.expr.as_metrics().is_none_or(looks_back);
    (!waits).then(|| {
        "there is no 'for', so that a single sample fires the alert; wait for a few \
         evaluations, or look at a range"
            .to_owned()
    })
}

/// Tells whether an expression looks at more than one moment.
fn looks_back(expr: &Expr) -> bool {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::VectorSelector(_) => {}
            ExprKind::Paren(inner) => open.push(inner),
            ExprKind::Unary(unary) => open.push(&unary.expr),
            ExprKind::Binary(binary) => open.extend([&binary.lhs, &binary.rhs]),
            ExprKind::Aggregate(aggregate) => open.push(&aggregate.expr),
            ExprKind::Call(call) if call.func == "absent" => return true,
            ExprKind::Call(call) => open.extend(&call.args),
            ExprKind::MatrixSelector(_) | ExprKind::Subquery(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::file::{self, Accepted};

    fn found(lint: Lint, rules: &str) -> Vec<String> {
        let text = format!("groups:\n- name: g\n  labels: {{team: a}}\n  rules:\n{rules}");
        let file = file::parse("f.yml", &text, &Accepted::default()).unwrap();
        lint.run(&file)
            .into_iter()
            .map(|found| found.message)
            .collect()
    }

    #[test]
    fn duplicates_are_counted_once_and_labels_of_the_group_count() {
        let rule = |labels: &str| format!("  - {{record: 'a:b', expr: x, labels: {{{labels}}}}}\n");
        let rules = [
            rule("x: 1"),
            rule("x: 1"),
            rule("x: 1"),
            rule("x: 2"),
            rule("team: a, x: 2"),
        ];
        assert_eq!(
            found(Lint::DuplicateRules, &rules.concat()),
            [
                "Metric: a:b\nLabel(s):\n\tteam: a\n\tx: 1\n",
                "Metric: a:b\nLabel(s):\n\tteam: a\n\tx: 2\n",
            ]
        );
    }

    #[test]
    fn counters_read_as_they_are_stand_out() {
        for (expr, is_raw) in [
            ("errors_total > 5", true),
            ("sum(errors_total) > 5", true),
            ("avg_over_time(sum(errors_total)[5m:])", true),
            ("rate(errors_total[5m]) > 5", false),
            ("increase(sum(errors_total)[5m:])", false),
            ("count(errors_total) < 3", false),
            ("absent(errors_total)", false),
            ("temperature > 5", false),
        ] {
            let rules = format!("  - {{record: 'a:b', expr: '{expr}'}}\n");
            assert_eq!(
                found(Lint::RawCounter, &rules).len(),
                usize::from(is_raw),
                "{expr}"
            );
        }
    }

    #[test]
    fn labels_that_are_gone_stand_out() {
        for (expr, text, is_wrong) in [
            ("sum by (job) (x) > 1", "{{ $labels.instance }}", true),
            ("sum(x) > 1", "on {{ .Labels.instance }}", true),
            (
                "sum by (job) (x) > 1",
                "{{ $labels.job }} {{ $labels.team }}",
                false,
            ),
            ("sum without (job) (x) > 1", "{{ $labels.instance }}", false),
            ("topk(3, x) > 1", "{{ $labels.instance }}", false),
            ("x > 1", "{{ $labels.instance }}", false),
        ] {
            let rules =
                format!("  - alert: A\n    expr: '{expr}'\n    annotations: {{text: '{text}'}}\n");
            assert_eq!(
                found(Lint::UnusedLabel, &rules).len(),
                usize::from(is_wrong),
                "{expr}"
            );
        }
    }

    #[test]
    fn alerts_on_one_sample_stand_out() {
        let alert = |expr: &str, more: &str| format!("  - {{alert: A, expr: '{expr}'{more}}}\n");
        assert_eq!(found(Lint::NoFor, &alert("up == 0", "")).len(), 1);
        assert!(found(Lint::NoFor, &alert("up == 0", ", for: 30s")).is_empty());
        assert!(found(Lint::NoFor, &alert("increase(x[10m]) > 5", "")).is_empty());
    }
}
