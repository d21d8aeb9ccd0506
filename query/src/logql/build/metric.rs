//! Metric expressions, and what is wrong with them.

use kymo_storage::compat::float;

use super::{
    Node, Read, Value, symbol, take, take_duration, take_filter, take_grouping, take_matchers,
    take_metric, take_names, take_stages, take_text, take_unwrap,
};
use crate::logql::ast::{
    BinaryExpr, BinaryOp, Conversion, Grouping, LabelReplace, LogExpr, MatchGroup, Matching,
    MetricExpr, RangeExpr, RangeOp, Unwrap, VectorExpr, VectorOp,
};
use crate::logql::check::{check_selector, label_replace_regex};
use crate::logql::error::ParseError;
use crate::logql::fold;
use crate::logql::grammar::{ABSENT, Meaning, Symbol};

/// The entries of a window.
pub(crate) struct RangeParts {
    log: LogExpr,
    unwrap: Option<Unwrap>,
    range_ns: i64,
    offset_ns: i64,
}

/// What stands between an operator and its right side.
#[derive(Default)]
pub(crate) struct Modifier {
    return_bool: bool,
    matching: Option<Matching>,
}

pub(super) fn apply(meaning: Meaning, args: &mut [Value]) -> Value {
    match meaning {
        Meaning::LogRange(places) => log_range(args, places),
        Meaning::Unwrap => unwrap(take_text(args, 2), Conversion::Number),
        Meaning::UnwrapConverted => {
            let conversion = match symbol(args, 2) {
                Some(Symbol::BytesConversion) => Conversion::Bytes,
                Some(Symbol::DurationConversion) => Conversion::Duration { seconds: false },
                _ => Conversion::Duration { seconds: true },
            };
            unwrap(take_text(args, 4), conversion)
        }
        Meaning::UnwrapFilter => {
            let mut unwrap = take_unwrap(args, 0);
            unwrap.filters.extend(take_filter(args, 2));
            Value::Unwrap(unwrap)
        }
        Meaning::RangeAggregation(places) => Value::Metric(range_aggregation(args, places)),
        Meaning::VectorAggregation(places) => Value::Metric(vector_aggregation(args, places)),
        Meaning::LabelReplace => Value::Metric(label_replace(args)),
        Meaning::BinaryExpr => Value::Metric(binary(args)),
        Meaning::OneToOne => Value::Modifier(Box::default()),
        Meaning::ReturnBool => Value::Modifier(Box::new(Modifier {
            return_bool: true,
            matching: None,
        })),
        Meaning::MatchOn | Meaning::MatchIgnoring => {
            let mut modifier = take_modifier(args, 0);
            modifier.matching = Some(Matching {
                on: meaning == Meaning::MatchOn,
                labels: take_names(args, 3),
                group: MatchGroup::OneToOne,
                include: Vec::new(),
            });
            Value::Modifier(modifier)
        }
        Meaning::GroupLeft | Meaning::GroupRight => {
            let mut modifier = take_modifier(args, 0);
            if let Some(matching) = &mut modifier.matching {
                matching.group = match meaning {
                    Meaning::GroupLeft => MatchGroup::Left,
                    _ => MatchGroup::Right,
                };
                matching.include = take_names(args, 3);
            }
            Value::Modifier(modifier)
        }
        Meaning::LiteralExpr => Value::Metric(literal_expr(args)),
        Meaning::Literal => Value::Number(literal(&take_text(args, 0))),
        Meaning::SignedLiteral => {
            let number = literal(&take_text(args, 1));
            Value::Number(match symbol(args, 0) {
                Some(Symbol::Sub) => number.map(|value| -value),
                _ => number,
            })
        }
        Meaning::VectorLiteral => Value::Metric(vector_literal(&take_text(args, 2))),
        Meaning::OffsetBy => Value::Offset(take_duration(args, 1)),
        _ => Value::Grouping(Grouping {
            without: meaning == Meaning::GroupWithout,
            labels: take_names(args, 2),
        }),
    }
}

fn take_modifier(args: &mut [Value], index: usize) -> Box<Modifier> {
    match take(args, index) {
        Value::Modifier(modifier) => modifier,
        _ => Box::default(),
    }
}

/// Tells where a part of a rule stands, if it has it.
fn place(place: u8) -> Option<usize> {
    (place != ABSENT).then_some(usize::from(place))
}

fn log_range(args: &mut [Value], [selector, pipeline, unwrap, range, offset]: [u8; 5]) -> Value {
    let stages = place(pipeline).map(|at| take_stages(args, at));
    Value::LogRange(Box::new(RangeParts {
        log: LogExpr {
            matchers: take_matchers(args, usize::from(selector)),
            stages: stages.unwrap_or_default(),
        },
        unwrap: place(unwrap).map(|at| take_unwrap(args, at)),
        range_ns: take_duration(args, usize::from(range)),
        offset_ns: place(offset).map_or(0, |at| take_duration(args, at)),
    }))
}

fn unwrap(label: String, conversion: Conversion) -> Value {
    Value::Unwrap(Unwrap {
        label,
        conversion,
        filters: Vec::new(),
    })
}

/// A node that is wrong; what stands in it is never shown.
fn wrong(message: impl Into<String>) -> Node {
    spoiled(ParseError::new(message))
}

fn spoiled(error: ParseError) -> Node {
    Node {
        // Anything but a literal, which operators look for.
        expr: MetricExpr::VectorLiteral(f64::NAN),
        error: Some(error),
    }
}

fn range_aggregation(args: &mut [Value], [parameter, entries, grouping]: [u8; 3]) -> Node {
    let op = range_op(args);
    let parameter = place(parameter).map(|at| take_text(args, at));
    let grouping = place(grouping).and_then(|at| take_grouping(args, at));
    let Value::LogRange(parts) = take(args, usize::from(entries)) else {
        return wrong("no entries to aggregate");
    };
    let name = op.as_str();
    let parameter = match (&parameter, op) {
        (Some(text), RangeOp::Quantile) => match float::parse(text) {
            Ok(parameter) => Some(parameter),
            Err(error) => {
                return wrong(format!("invalid parameter for operation {name}: {error}"));
            }
        },
        (Some(text), _) => {
            return wrong(format!(
                "parameter {text} not supported for operation {name}"
            ));
        }
        (None, RangeOp::Quantile) => {
            return wrong(format!("parameter required for operation {name}"));
        }
        (None, _) => None,
    };
    if grouping.is_some() && !op.takes_grouping() {
        return wrong(format!("grouping not allowed for {name} aggregation"));
    }
    match &parts.unwrap {
        Some(_) if !op.takes_numbers() => {
            return wrong(format!("invalid aggregation {name} with unwrap"));
        }
        None if !op.takes_lines() => {
            return wrong(format!("invalid aggregation {name} without unwrap"));
        }
        _ => {}
    }
    let error = check_selector(&parts.log.matchers).err();
    let expr = MetricExpr::Range(RangeExpr {
        op,
        parameter,
        log: parts.log,
        unwrap: parts.unwrap,
        range_ns: parts.range_ns,
        offset_ns: parts.offset_ns,
        grouping,
    });
    Node { expr, error }
}

fn vector_aggregation(args: &mut [Value], [parameter, inner, grouping]: [u8; 3]) -> Node {
    let op = vector_op(args);
    let parameter = place(parameter).map(|at| take_text(args, at));
    let grouping = place(grouping).and_then(|at| take_grouping(args, at));
    let name = op.as_str();
    let count = match (&parameter, op.takes_count()) {
        (None, true) => return wrong(format!("parameter required for operation {name}")),
        (Some(text), false) => {
            return wrong(format!(
                "unsupported parameter for operation {name}({text},"
            ));
        }
        (None, false) => None,
        (Some(text), true) => match text.parse::<i64>().map(usize::try_from) {
            Err(_) => return wrong(format!("invalid parameter {name}({text},")),
            Ok(Err(_) | Ok(0)) => {
                return wrong(format!(
                    "invalid parameter (must be greater than 0) {name}({text}"
                ));
            }
            Ok(Ok(count)) => Some(count),
        },
    };
    if op == VectorOp::ApproxTopk && grouping.is_some() {
        return wrong(format!("grouping not allowed for {name} aggregation"));
    }
    let names_labels = grouping.as_ref().is_some_and(|g| !g.labels.is_empty());
    if matches!(op, VectorOp::Sort | VectorOp::SortDesc) && names_labels {
        return wrong("sort and sort_desc doesn't allow grouping by ");
    }
    let inner = take_metric(args, usize::from(inner));
    Node {
        error: inner.error,
        expr: MetricExpr::Vector(Box::new(VectorExpr {
            op,
            parameter: count,
            inner: inner.expr,
            grouping,
        })),
    }
}

fn label_replace(args: &mut [Value]) -> Node {
    let regex = take_text(args, 10);
    if let Err(error) = label_replace_regex(&regex) {
        return wrong(format!("invalid regex in label_replace: {error}"));
    }
    let inner = take_metric(args, 2);
    Node {
        error: inner.error,
        expr: MetricExpr::LabelReplace(Box::new(LabelReplace {
            inner: inner.expr,
            dst: take_text(args, 4),
            replacement: take_text(args, 6),
            src: take_text(args, 8),
            regex,
        })),
    }
}

fn binary(args: &mut [Value]) -> Node {
    let op = binary_op(args);
    let modifier = take_modifier(args, 2);
    let (lhs, rhs) = match (leg(args, 0, op, "left"), leg(args, 3, op, "right")) {
        (Ok(lhs), Ok(rhs)) => (lhs, rhs),
        (Err(error), _) | (_, Err(error)) => return spoiled(error),
    };
    let literals = [&lhs, &rhs].map(|leg| match leg.expr {
        MetricExpr::Literal(value) => Some((value, leg.error.clone())),
        _ => None,
    });
    for (_, error) in literals.iter().flatten() {
        if let Some(error) = error {
            return spoiled(error.clone());
        }
    }
    let literals = literals.map(|leg| leg.map(|(value, _)| value));
    if op.is_set_operator() {
        for (leg, side) in literals.iter().zip(["left", "right"]) {
            if let Some(value) = leg {
                return wrong(format!(
                    "unexpected literal for {side} leg of logical/set binary operation ({}): {}",
                    op.as_str(),
                    fixed(*value),
                ));
            }
        }
    }
    if let [Some(left), Some(right)] = literals {
        return Node {
            expr: MetricExpr::Literal(fold::apply(op, left, right)),
            error: None,
        };
    }
    Node {
        error: lhs.error.or(rhs.error),
        expr: MetricExpr::Binary(Box::new(BinaryExpr {
            op,
            return_bool: modifier.return_bool,
            matching: modifier.matching,
            lhs: lhs.expr,
            rhs: rhs.expr,
        })),
    }
}

/// Returns `value` as C's `%f` writes it.
fn fixed(value: f64) -> String {
    let mut text = String::new();
    float::push_f_precision(&mut text, value, 6);
    text
}

/// Takes a side of an operator, which has to be made of numbers.
fn leg(args: &mut [Value], index: usize, op: BinaryOp, side: &str) -> Result<Node, ParseError> {
    match take(args, index) {
        Value::Expr(Read::Metric(node)) => Ok(node),
        Value::Expr(Read::Log(log)) => Err(ParseError::new(format!(
            "unexpected type for {side} leg of binary operation ({}): *syntax.{}",
            op.as_str(),
            if log.stages.is_empty() {
                "MatchersExpr"
            } else {
                "PipelineExpr"
            },
        ))),
        _ => Err(ParseError::new("no expression beside an operator")),
    }
}

fn literal(text: &str) -> Result<f64, ParseError> {
    float::parse(text)
        .map_err(|error| ParseError::new(format!("unable to parse literal as a float: {error}")))
}

fn literal_expr(args: &mut [Value]) -> Node {
    let (value, error) = match take(args, 0) {
        Value::Number(Ok(value)) => (value, None),
        Value::Number(Err(error)) => (f64::NAN, Some(error)),
        _ => (f64::NAN, None),
    };
    Node {
        expr: MetricExpr::Literal(value),
        error,
    }
}

fn vector_literal(text: &str) -> Node {
    match float::parse(text) {
        Ok(value) => Node {
            expr: MetricExpr::VectorLiteral(value),
            error: None,
        },
        Err(error) => wrong(format!("unable to parse vectorExpr as a float: {error}")),
    }
}

fn range_op(args: &[Value]) -> RangeOp {
    match symbol(args, 0) {
        Some(Symbol::Rate) => RangeOp::Rate,
        Some(Symbol::RateCounter) => RangeOp::RateCounter,
        Some(Symbol::BytesOverTime) => RangeOp::Bytes,
        Some(Symbol::BytesRate) => RangeOp::BytesRate,
        Some(Symbol::AvgOverTime) => RangeOp::Avg,
        Some(Symbol::SumOverTime) => RangeOp::Sum,
        Some(Symbol::MinOverTime) => RangeOp::Min,
        Some(Symbol::MaxOverTime) => RangeOp::Max,
        Some(Symbol::StdvarOverTime) => RangeOp::Stdvar,
        Some(Symbol::StddevOverTime) => RangeOp::Stddev,
        Some(Symbol::QuantileOverTime) => RangeOp::Quantile,
        Some(Symbol::FirstOverTime) => RangeOp::First,
        Some(Symbol::LastOverTime) => RangeOp::Last,
        Some(Symbol::AbsentOverTime) => RangeOp::Absent,
        _ => RangeOp::Count,
    }
}

fn vector_op(args: &[Value]) -> VectorOp {
    match symbol(args, 0) {
        Some(Symbol::Avg) => VectorOp::Avg,
        Some(Symbol::Count) => VectorOp::Count,
        Some(Symbol::Max) => VectorOp::Max,
        Some(Symbol::Min) => VectorOp::Min,
        Some(Symbol::Stddev) => VectorOp::Stddev,
        Some(Symbol::Stdvar) => VectorOp::Stdvar,
        Some(Symbol::Bottomk) => VectorOp::Bottomk,
        Some(Symbol::Topk) => VectorOp::Topk,
        Some(Symbol::Sort) => VectorOp::Sort,
        Some(Symbol::SortDesc) => VectorOp::SortDesc,
        Some(Symbol::ApproxTopk) => VectorOp::ApproxTopk,
        _ => VectorOp::Sum,
    }
}

fn binary_op(args: &[Value]) -> BinaryOp {
    match symbol(args, 1) {
        Some(Symbol::Or) => BinaryOp::Or,
        Some(Symbol::And) => BinaryOp::And,
        Some(Symbol::Unless) => BinaryOp::Unless,
        Some(Symbol::Sub) => BinaryOp::Sub,
        Some(Symbol::Mul) => BinaryOp::Mul,
        Some(Symbol::Div) => BinaryOp::Div,
        Some(Symbol::Mod) => BinaryOp::Mod,
        Some(Symbol::Pow) => BinaryOp::Pow,
        Some(Symbol::CmpEq) => BinaryOp::Equal,
        Some(Symbol::Neq) => BinaryOp::NotEqual,
        Some(Symbol::Gt) => BinaryOp::Greater,
        Some(Symbol::Gte) => BinaryOp::GreaterOrEqual,
        Some(Symbol::Lt) => BinaryOp::Less,
        Some(Symbol::Lte) => BinaryOp::LessOrEqual,
        _ => BinaryOp::Add,
    }
}
