//! Which rules of a group read what earlier ones write.
//!
//! A rule reads another one's series where one of its selectors matches the other's
//! name, or where it selects `ALERTS` or `ALERTS_FOR_STATE` of an alert. A selector
//! without a metric name may read anything, and then nothing is known.

use kymo_storage::model::{METRIC_NAME, Matcher};

use super::alerting::{ALERT_NAME, ALERTS, ALERTS_FOR_STATE};
use super::definition::RuleDefinition;
use crate::promql::ast::{Expr, ExprKind, VectorSelector};

/// For each rule of a group whether others wait for it and whether it waits for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Role {
    has_dependents: bool,
    has_dependencies: bool,
}

/// Splits rules into batches: the rules of one batch may be evaluated at the same time,
/// the batches one after the other. Empty where nothing is known, so that all rules have
/// to be evaluated in their order.
pub(super) fn batches(rules: &[RuleDefinition]) -> Vec<Vec<usize>> {
    let Some(roles) = roles(rules) else {
        return Vec::new();
    };
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

/// Returns the role of each rule; `None` where a rule may read anything.
fn roles(rules: &[RuleDefinition]) -> Option<Vec<Role>> {
    let mut roles = vec![Role::default(); rules.len()];
    if rules.len() <= 1 {
        return Some(roles);
    }
    for (at, rule) in rules.iter().enumerate() {
        for selector in selectors(&rule.expr) {
            let reads = Reads::of(selector)?;
            // Later rules may read this one too, but nobody waits for them.
            for (earlier, other) in rules.iter().enumerate().take(at) {
                if reads.matches(other) {
                    roles[earlier].has_dependents = true;
                    roles[at].has_dependencies = true;
                }
            }
        }
    }
    Some(roles)
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

    fn rules(rules: &[(&str, &str)]) -> Vec<RuleDefinition> {
        let rule = |(name, expr): &(&str, &str)| RuleDefinition {
            name: name.trim_start_matches('!').to_owned(),
            expr: parse_expr(*expr, &Features::default()).unwrap(),
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
        let cases: [(&[(&str, &str)], &[&[usize]]); 9] = [
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
            assert_eq!(batches(&rules(given)), expected, "{given:?}");
        }
        assert_eq!(
            batches(&rules(&[("a", "x"), ("b", "{__name__=~\"a|q\"}")])),
            [[0], [1]]
        );
    }
}
