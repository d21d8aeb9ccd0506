//! Common subexpressions: parts of a plan that are the same, and evaluated at the same
//! steps, so that one evaluation does for all.
//!
//! Parts are told apart by numbers: what a node does by itself, with the numbers of its
//! operands, is looked up in a table. Places in the text do not count. The walk is
//! without recursion, since plans may be deep.

use hashbrown::HashMap;

use crate::promql::plan::{Node, NodeKind, Selector};

/// Which parts of a plan come again. Belongs to the plan it was made of.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// By the address of a node.
    parts: HashMap<usize, Part>,
}

/// A part that is evaluated more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: usize,
    /// How often it is asked for in all.
    pub(crate) uses: usize,
}

impl Common {
    /// Finds the parts of a plan that come again.
    pub(crate) fn of(root: &Node) -> Common {
        let visits = visits(root);
        let selectors = visits.iter().filter(|visit| is_selector(visit.node));
        if selectors.count() < 2 {
            return Common::default();
        }
        let numbers = numbers(&visits);
        let mut uses: HashMap<usize, usize> = HashMap::new();
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            if visits[at].is_evaluated && numbers[at].reads {
                let met = uses.entry(numbers[at].number).or_default();
                *met += 1;
                // What is below a part that was met before is not evaluated again.
                if *met > 1 {
                    continue;
                }
            }
            next.extend(visits[at].operands.clone());
        }
        let mut parts = HashMap::new();
        for (visit, numbered) in visits.iter().zip(&numbers) {
            let number = numbered.number;
            if let Some(&uses) = uses.get(&number).filter(|&&uses| uses > 1)
                && visit.is_evaluated
            {
                parts.insert(address(visit.node), Part { number, uses });
            }
        }
        Common { parts }
    }

    /// Returns what is known of a node that comes again.
    #[inline]
    pub(crate) fn part(&self, node: &Node) -> Option<Part> {
        match self.parts.is_empty() {
            true => None,
            false => self.parts.get(&address(node)).copied(),
        }
    }
}

fn address(node: &Node) -> usize {
    std::ptr::from_ref(node).addr()
}

fn is_selector(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Vector(_) | NodeKind::Matrix(_))
}

/// A node and when it is evaluated.
struct Visit<'p> {
    node: &'p Node,
    /// Number of the steps that it is evaluated at: 0 for the query's.
    grid: usize,
    /// Whether its rows are asked for; where not, the node above reads it by itself.
    is_evaluated: bool,
    /// Where its operands are among the visits, behind it.
    operands: std::ops::Range<usize>,
}

/// Visits all nodes, each before its operands.
fn visits(root: &Node) -> Vec<Visit<'_>> {
    let mut grids: HashMap<(usize, String), usize> = HashMap::new();
    let mut visits = vec![Visit {
        node: root,
        grid: 0,
        is_evaluated: true,
        operands: 0..0,
    }];
    let mut at = 0;
    while at < visits.len() {
        let (node, mut grid) = (visits[at].node, visits[at].grid);
        let steps = match &node.kind {
            NodeKind::Subquery(of) => {
                Some(format!("{} {} {:?}", of.range_ms, of.step_ms, of.shift))
            }
            NodeKind::Invariant(_) => Some("once".to_owned()),
            _ => None,
        };
        if let Some(steps) = steps {
            let number = grids.len() + 1;
            grid = *grids.entry((grid, steps)).or_insert(number);
        }
        let from = visits.len();
        visits.extend(
            operands(node)
                .into_iter()
                .map(|(node, is_evaluated)| Visit {
                    node,
                    grid,
                    is_evaluated: is_evaluated && !node.is_matrix(),
                    operands: 0..0,
                }),
        );
        visits[at].operands = from..visits.len();
        at += 1;
    }
    visits
}

/// Returns the operands of a node, each with whether its rows are asked for.
fn operands(node: &Node) -> Vec<(&Node, bool)> {
    match &node.kind {
        NodeKind::Plus(inner) | NodeKind::Minus(inner) | NodeKind::Invariant(inner) => {
            vec![(inner, true)]
        }
        NodeKind::Binary(binary) => vec![(&binary.lhs, true), (&binary.rhs, true)],
        NodeKind::Aggregate(aggregate) => {
            // Rows of selectors and range functions are folded as they come.
            let is_streamed = match &aggregate.expr.kind {
                NodeKind::Vector(_) => true,
                NodeKind::Call(call) => call.args.iter().any(Node::is_matrix),
                _ => false,
            };
            let operand = (&aggregate.expr, !is_streamed);
            let param = aggregate.param.iter().map(|param| (param, true));
            std::iter::once(operand).chain(param).collect()
        }
        NodeKind::Call(call) => {
            let reads_by_itself = |at: usize, arg: &Node| match call.func {
                "info" => at > 0,
                "timestamp" | "start_timestamp" => matches!(arg.kind, NodeKind::Vector(_)),
                _ => false,
            };
            let args = call.args.iter().enumerate();
            args.map(|(at, arg)| (arg, !reads_by_itself(at, arg)))
                .collect()
        }
        NodeKind::Subquery(subquery) => vec![(&subquery.expr, true)],
        NodeKind::Number(_) | NodeKind::String(_) | NodeKind::Vector(_) | NodeKind::Matrix(_) => {
            Vec::new()
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Numbered {
    /// Equal for nodes that do the same at the same steps.
    number: usize,
    /// Whether it reads any series.
    reads: bool,
}

/// Numbers all visited nodes.
fn numbers(visits: &[Visit<'_>]) -> Vec<Numbered> {
    let mut known: HashMap<(usize, String, Vec<usize>), usize> = HashMap::new();
    let mut numbers = vec![Numbered::default(); visits.len()];
    for (at, visit) in visits.iter().enumerate().rev() {
        let operands = &numbers[visit.operands.clone()];
        let reads = is_selector(visit.node) || operands.iter().any(|operand| operand.reads);
        let operands = operands.iter().map(|operand| operand.number).collect();
        let next = known.len();
        let does = (visit.grid, doing(&visit.node.kind), operands);
        let number = *known.entry(does).or_insert(next);
        numbers[at] = Numbered { number, reads };
    }
    numbers
}

/// Returns what a node does by itself, as a text.
fn doing(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Number(number) => format!("number {:x}", number.to_bits()),
        NodeKind::String(text) => format!("string {text}"),
        NodeKind::Plus(_) => "plus".to_owned(),
        NodeKind::Minus(_) => "minus".to_owned(),
        NodeKind::Invariant(_) => "once".to_owned(),
        NodeKind::Binary(binary) => format!(
            "{:?} {} {:?}",
            binary.op, binary.return_bool, binary.matching
        ),
        NodeKind::Aggregate(aggregate) => format!(
            "{:?} {} {:?}",
            aggregate.op, aggregate.without, aggregate.grouping
        ),
        NodeKind::Call(call) => format!("call {}", call.func),
        NodeKind::Vector(selector) => format!("vector {}", selecting(selector)),
        NodeKind::Matrix(matrix) => {
            format!("matrix {} {}", matrix.range_ms, selecting(&matrix.selector))
        }
        NodeKind::Subquery(of) => format!("subquery {} {} {:?}", of.range_ms, of.step_ms, of.shift),
    }
}

fn selecting(selector: &Selector) -> String {
    format!(
        "{:?} {:?} {} {:?}",
        selector.shift, selector.edges, selector.stats_only, selector.matchers
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::features::Features;
    use crate::promql::plan::{Bounds, Plan};

    /// Returns how often each part that comes again is asked for.
    fn uses(query: &str) -> Vec<usize> {
        let expr = crate::promql::parse_expr(query, &Features::ALL).unwrap();
        let bounds = Bounds {
            start_ms: 0,
            end_ms: 60_000,
            step_ms: 1_000,
        };
        let plan = Plan::new(&expr, bounds).unwrap();
        let common = Common::of(&plan.root);
        let parts = common.parts.values().map(|part| (part.number, part.uses));
        let by_number: std::collections::BTreeMap<usize, usize> = parts.collect();
        by_number.into_values().collect()
    }

    #[test]
    fn equal_parts_at_equal_steps_are_one() {
        let cases: &[(&str, &[usize])] = &[
            ("x unless x > 100 or x > 140", &[3]),
            ("(x + y) / (x + y)", &[2]),
            ("(x / x) + (x / x)", &[2, 2]),
            ("abs(x{a=\"b\"}) + abs( x{a=\"b\"} )", &[2]),
            ("x offset 1m + x", &[]),
            ("x{a=\"b\"} + x{a=~\"b\"}", &[]),
            ("x > bool 1 + x > 1", &[2]),
            ("rate(x[5m]) / rate(x[5m])", &[2]),
            ("rate(x[5m]) / rate(x[6m])", &[]),
            // Aggregations read these themselves.
            ("sum(x) / count(x)", &[]),
            ("sum(rate(x[5m])) / sum(rate(x[5m]))", &[2]),
            ("sum(abs(x)) / count(abs(x))", &[2]),
            // The steps are others.
            ("x + max_over_time(x[5m:1m])", &[]),
            ("max_over_time(x[5m:1m]) + max_over_time(x[5m:1m])", &[2]),
            ("min_over_time((x + x)[5m:1m])", &[2]),
            ("x @ 10 + x @ 10 + x", &[2]),
            ("timestamp(x) - x", &[]),
            ("1 + 1", &[]),
        ];
        for (query, expected) in cases {
            assert_eq!(uses(query), *expected, "{query}");
        }
    }
}
