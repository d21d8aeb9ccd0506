//! Which rules of a group read what earlier ones write.
//!
//! A rule reads another one's series where one of its selectors matches the other's
//! name, or where it selects `ALERTS` or `ALERTS_FOR_STATE` of an alert. A selector
//! without a metric name may read anything, and then nothing is known.

use hashbrown::{HashMap, HashSet};
use kymo_storage::model::{METRIC_NAME, MatchOp, Matcher};

use super::alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::definition::{Pairs, RuleDefinition, RuleKind};
use crate::promql::ast::{Expr, ExprKind, VectorSelector};

/// What a group's rules have to do with each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Dependencies {
    /// Batches of rules: those of one may be evaluated at the same time, the batches one
    /// after the other. Empty where nothing is known, so that all rules have to be
    /// evaluated in their order.
    pub(super) batches: Vec<Vec<usize>>,
    /// For each rule the last earlier one whose results it may read or write again.
    pub(super) waits_for: Vec<Option<usize>>,
}

impl Dependencies {
    /// Looks at the rules of a group; `labels` are those of rule and group together.
    pub(super) fn of(rules: &[RuleDefinition], labels: &[Pairs]) -> Dependencies {
        let mut roles = vec![Role::default(); rules.len()];
        let mut waits_for: Vec<Option<usize>> = vec![None; rules.len()];
        let mut is_known = true;
        let names = Names::of(rules);
        for (at, rule) in rules.iter().enumerate() {
            // Rules over logs read no series.
            for selector in rule.expr.as_metrics().into_iter().flat_map(selectors) {
                let Some(reads) = Reads::of(selector) else {
                    is_known = false;
                    waits_for[at] = at.checked_sub(1);
                    continue;
                };
                // Later rules may read this one too, but nobody waits for them.
                names.each_read(&reads, at, rules, |earlier| {
                    roles[earlier].has_dependents = true;
                    roles[at].has_dependencies = true;
                    waits_for[at] = waits_for[at].max(Some(earlier));
                });
            }
            if asks_queries(rule, &labels[at]) {
                waits_for[at] = at.checked_sub(1);
            }
        }
        for (at, earlier) in collisions(rules, labels) {
            waits_for[at] = waits_for[at].max(Some(earlier));
        }
        Dependencies {
            batches: match is_known || rules.len() <= 1 {
                true => batches(&roles),
                false => Vec::new(),
            },
            waits_for,
        }
    }
}

/// Whether others wait for a rule and whether it waits for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Role {
    has_dependents: bool,
    has_dependencies: bool,
}

fn batches(roles: &[Role]) -> Vec<Vec<usize>> {
    let indexes = |wanted: fn(&Role) -> bool| -> Vec<usize> {
        let found = roles.iter().enumerate().filter(|(_, role)| wanted(role));
        found.map(|(index, _)| index).collect()
    };
    let first = indexes(|role| !role.has_dependencies);
    let between = indexes(|role| role.has_dependencies && role.has_dependents);
    let last = indexes(|role| role.has_dependencies && !role.has_dependents);
    let mut batches = vec![first];
    batches.extend(between.into_iter().map(|index| vec![index]));
    batches.push(last);
    batches.retain(|batch| !batch.is_empty());
    batches
}

/// Tells whether the templates of an alert may ask queries, which read anything.
fn asks_queries(rule: &RuleDefinition, labels: &Pairs) -> bool {
    let RuleKind::Alerting(settings) = &rule.kind else {
        return false;
    };
    let mut texts = labels.iter().chain(&settings.annotations);
    texts.any(|(_, text)| text.contains("{{") && text.contains("query"))
}

/// Finds pairs of a rule and an earlier one that may make the same series: they have the
/// same name, and their labels do not tell them apart.
fn collisions(rules: &[RuleDefinition], labels: &[Pairs]) -> Vec<(usize, usize)> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, rule) in rules.iter().enumerate() {
        by_name.entry(&rule.name).or_default().push(at);
    }
    let mut found = Vec::new();
    for same in by_name.values().filter(|same| same.len() > 1) {
        if !told_apart(same, labels) {
            found.extend(same.windows(2).map(|pair| (pair[1], pair[0])));
        }
    }
    found
}

/// Tells whether rules have the same names of labels, but each other values of them.
fn told_apart(rules: &[usize], labels: &[Pairs]) -> bool {
    let first = &labels[rules[0]];
    let mut seen = HashSet::with_capacity(rules.len());
    rules.iter().all(|&at| {
        let labels = &labels[at];
        let has_same_names = labels.len() == first.len()
            && labels
                .iter()
                .zip(first)
                .all(|((one, _), (other, _))| one == other);
        let is_fixed = |(_, value): &(String, String)| !value.is_empty() && !value.contains("{{");
        has_same_names && labels.iter().all(is_fixed) && seen.insert(labels)
    })
}

/// Rules by name, so that a group of many is looked through once.
struct Names<'r>(HashMap<&'r str, Vec<usize>>);

impl<'r> Names<'r> {
    fn of(rules: &'r [RuleDefinition]) -> Names<'r> {
        let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            names.entry(&rule.name).or_default().push(at);
        }
        Names(names)
    }

    /// Calls `found` for each rule before `at` that is read.
    fn each_read(
        &self,
        reads: &Reads<'_>,
        at: usize,
        rules: &[RuleDefinition],
        mut found: impl FnMut(usize),
    ) {
        let named = reads.name.only().filter(|_| reads.alerts.is_none());
        match named {
            Some(name) => {
                let named = self.0.get(name).into_iter().flatten();
                named
                    .take_while(|&&other| other < at)
                    .for_each(|&other| found(other));
            }
            None => {
                let earlier = rules.iter().enumerate().take(at);
                for (other, rule) in earlier {
                    if reads.matches(rule) {
                        found(other);
                    }
                }
            }
        }
    }
}

/// What a selector says of the names of metrics and alerts.
struct Reads<'e> {
    name: NameMatch<'e>,
    /// The condition on the name of the alert, of a selector of alerts; `Some(None)`
    /// where it has none.
    alerts: Option<Option<&'e Matcher>>,
}

enum NameMatch<'e> {
    Is(&'e str),
    Matches(&'e Matcher),
}

impl<'e> Reads<'e> {
    /// Returns `None` for a selector without a metric name.
    fn of(selector: &'e VectorSelector) -> Option<Reads<'e>> {
        let by_label = |name: &str| selector.matchers.iter().find(|m| m.name() == name);
        let name = match selector.name.as_str() {
            "" => NameMatch::Matches(by_label(METRIC_NAME)?),
            name => NameMatch::Is(name),
        };
        let of_alerts = name.matches(ALERTS) || name.matches(ALERTS_FOR_STATE);
        Some(Reads {
            alerts: of_alerts.then(|| by_label(ALERT_NAME)),
            name,
        })
    }

    fn matches(&self, rule: &RuleDefinition) -> bool {
        if self.name.matches(&rule.name) {
            return true;
        }
        let Some(alert_name) = self.alerts else {
            return false;
        };
        rule.is_alerting() && alert_name.is_none_or(|m| m.matches(&rule.name))
    }
}

impl NameMatch<'_> {
    /// Returns the only name that matches, if it is so simple.
    fn only(&self) -> Option<&str> {
        match self {
            NameMatch::Is(known) => Some(known),
            NameMatch::Matches(matcher) if matcher.op() == MatchOp::Equal => Some(matcher.value()),
            NameMatch::Matches(_) => None,
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            NameMatch::Is(known) => *known == name,
            NameMatch::Matches(matcher) => matcher.matches(name),
        }
    }
}

/// Returns all selectors of an expression.
fn selectors(expr: &Expr) -> Vec<&VectorSelector> {
    let mut found = Vec::new();
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::Paren(inner) => open.push(inner),
            ExprKind::Unary(unary) => open.push(&unary.expr),
            ExprKind::Binary(binary) => open.extend([&binary.lhs, &binary.rhs]),
            ExprKind::Aggregate(aggregate) => {
                open.push(&aggregate.expr);
                open.extend(&aggregate.param);
            }
            ExprKind::Call(call) => open.extend(&call.args),
            ExprKind::VectorSelector(selector) => found.push(selector),
            ExprKind::MatrixSelector(matrix) => found.push(&matrix.selector),
            ExprKind::Subquery(subquery) => open.push(&subquery.expr),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::{Features, parse_expr};
    use crate::rules::{AlertSettings, RuleKind};

    /// A name with `!` is that of an alert.
    type NameAndExpr = (&'static str, &'static str);

    fn rules(rules: &[NameAndExpr]) -> Vec<RuleDefinition> {
        let rule = |(name, expr): &NameAndExpr| RuleDefinition {
            name: name.trim_start_matches('!').to_owned(),
            expr: parse_expr(*expr, &Features::default()).unwrap().into(),
            labels: Vec::new(),
            kind: match name.starts_with('!') {
                true => RuleKind::Alerting(AlertSettings::default()),
                false => RuleKind::Recording,
            },
        };
        rules.iter().map(rule).collect()
    }

    #[test]
    fn rules_that_read_nothing_of_the_group_come_first_and_those_nobody_reads_last() {
        let cases: [(&[NameAndExpr], &[&[usize]]); 9] = [
            (&[], &[]),
            (&[("a", "x")], &[&[0]]),
            (&[("a", "x"), ("b", "y"), ("!C", "z > 0")], &[&[0, 1, 2]]),
            (&[("a", "x"), ("b", "a")], &[&[0], &[1]]),
            (
                &[
                    ("a", "x"),
                    ("b", "sum(a) / sum(x)"),
                    ("c", "rate(b[5m])"),
                    ("d", "a"),
                ],
                &[&[0], &[1], &[2, 3]],
            ),
            // A rule that reads a later one does not wait for it.
            (&[("a", "b"), ("b", "x")], &[&[0, 1]]),
            (
                &[
                    ("!Up", "x"),
                    ("b", "ALERTS{alertname=\"Up\"}"),
                    ("c", "ALERTS{alertname=\"Z\"}"),
                ],
                &[&[0, 2], &[1]],
            ),
            (
                &[
                    ("!Up", "x"),
                    ("b", "max_over_time(ALERTS_FOR_STATE[1h:1m])"),
                ],
                &[&[0], &[1]],
            ),
            // Without a metric name nothing is known.
            (&[("a", "x"), ("b", "{job=\"y\"}")], &[]),
        ];
        for (given, expected) in cases {
            assert_eq!(dependencies(&rules(given)).batches, expected, "{given:?}");
        }
        let by_regex = rules(&[("a", "x"), ("b", "{__name__=~\"a|q\"}")]);
        assert_eq!(dependencies(&by_regex).batches, [[0], [1]]);
    }

    fn dependencies(rules: &[RuleDefinition]) -> Dependencies {
        let labels: Vec<Pairs> = rules.iter().map(|rule| rule.labels.clone()).collect();
        Dependencies::of(rules, &labels)
    }

    #[test]
    fn a_rule_waits_for_what_it_may_read_or_write_again() {
        let cases: [(&[NameAndExpr], &[Option<usize>]); 5] = [
            (
                &[("a", "x"), ("b", "y"), ("c", "a + 1")],
                &[None, None, Some(0)],
            ),
            (
                &[("a", "x"), ("b", "{job=\"y\"}"), ("c", "z")],
                &[None, Some(0), None],
            ),
            (
                &[("a", "x"), ("b", "y"), ("a", "z")],
                &[None, None, Some(0)],
            ),
            (
                &[("!A", "x"), ("b", "ALERTS"), ("c", "a")],
                &[None, Some(0), None],
            ),
            (&[("a", "b"), ("b", "{__name__=\"a\"}")], &[None, Some(0)]),
        ];
        for (given, expected) in cases {
            assert_eq!(dependencies(&rules(given)).waits_for, expected, "{given:?}");
        }
        // Labels tell rules of one name apart, unless one has another set of them.
        let mut same = rules(&[("a", "x"), ("a", "y"), ("a", "z")]);
        for (number, rule) in same.iter_mut().enumerate() {
            rule.labels = vec![("number".to_owned(), number.to_string())];
        }
        assert_eq!(dependencies(&same).waits_for, [None; 3]);
        same[1].labels.push(("zone".to_owned(), "b".to_owned()));
        assert_eq!(dependencies(&same).waits_for, [None, Some(0), Some(1)]);
        // A template that asks a query may read anything.
        let mut asking = rules(&[("a", "x"), ("!B", "y")]);
        asking[1].labels = vec![("l".to_owned(), "{{ query \"a\" }}".to_owned())];
        assert_eq!(dependencies(&asking).waits_for, [None, Some(0)]);
    }
}
