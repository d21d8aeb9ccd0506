//! The tree as JSON, for the tree view of a user interface (`/api/v1/parse_query`).

use kymo_storage::compat::float;
use kymo_storage::model::Matcher;
use serde_json::{Value, json};

use crate::promql::ast::{
    DurationExpr, DurationExprKind, Expr, ExprKind, NumberLiteral, TimeModifiers, ValueType,
    VectorMatching, VectorSelector,
};
use crate::promql::functions::function;

/// Writes a tree as JSON.
pub fn expr_json(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({
            "type": "numberLiteral",
            "val": float::f(number.value),
        }),
        ExprKind::String(text) => json!({ "type": "stringLiteral", "val": text }),
        ExprKind::Paren(inner) => json!({ "type": "parenExpr", "expr": expr_json(inner) }),
        ExprKind::Unary(unary) => json!({
            "type": "unaryExpr",
            "op": if unary.negative { "-" } else { "+" },
            "expr": expr_json(&unary.expr),
        }),
        ExprKind::Binary(binary) => json!({
            "type": "binaryExpr",
            "op": binary.op.as_str(),
            "lhs": expr_json(&binary.lhs),
            "rhs": expr_json(&binary.rhs),
            "matching": binary.matching.as_ref().map(matching_json),
            "bool": binary.return_bool,
        }),
        ExprKind::Aggregate(aggregate) => json!({
            "type": "aggregation",
            "op": aggregate.op.as_str(),
            "expr": expr_json(&aggregate.expr),
            "param": aggregate.param.as_ref().map(expr_json),
            "grouping": aggregate.grouping,
            "without": aggregate.without,
        }),
        ExprKind::Call(call) => {
            let f = function(call.func);
            let arg_types: &[ValueType] = f.map_or(&[], |f| f.arg_types);
            let arg_types: Vec<_> = arg_types.iter().map(|t| t.as_str()).collect();
            json!({
                "type": "call",
                "func": {
                    "name": call.func,
                    "argTypes": arg_types,
                    "variadic": f.map_or(0, |f| f.variadic),
                    "returnType": expr.value_type().as_str(),
                },
                "args": call.args.iter().map(expr_json).collect::<Vec<_>>(),
            })
        }
        ExprKind::VectorSelector(selector) => {
            Value::Object(selector_fields(selector, "vectorSelector"))
        }
        ExprKind::MatrixSelector(matrix) => {
            let mut fields = selector_fields(&matrix.selector, "matrixSelector");
            fields.insert("range".to_owned(), json!(matrix.range_ms));
            fields.insert(
                "rangeExpr".to_owned(),
                duration_json(matrix.range_expr.as_deref()),
            );
            Value::Object(fields)
        }
        ExprKind::Subquery(subquery) => {
            let mut fields = time_fields(&subquery.time);
            let more = [
                ("type", json!("subquery")),
                ("expr", expr_json(&subquery.expr)),
                ("range", json!(subquery.range_ms)),
                ("rangeExpr", duration_json(subquery.range_expr.as_deref())),
                ("step", json!(subquery.step_ms)),
                ("stepExpr", duration_json(subquery.step_expr.as_deref())),
            ];
            fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
            Value::Object(fields)
        }
    }
}

type Fields = serde_json::Map<String, Value>;

fn time_fields(time: &TimeModifiers) -> Fields {
    let fields = [
        ("offset", json!(time.offset_ms)),
        ("offsetExpr", duration_json(time.offset_expr.as_deref())),
        ("timestamp", json!(time.at_ms)),
        (
            "startOrEnd",
            json!(time.at_bound.map(|bound| bound.as_str())),
        ),
    ];
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn selector_fields(selector: &VectorSelector, node_type: &str) -> Fields {
    let mut fields = time_fields(&selector.time);
    let matchers: Vec<_> = selector.matchers.iter().map(matcher_json).collect();
    let more = [
        ("type", json!(node_type)),
        ("name", json!(selector.name)),
        ("matchers", json!(matchers)),
        ("anchored", json!(selector.anchored)),
        ("smoothed", json!(selector.smoothed)),
    ];
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    fields
}

fn matcher_json(matcher: &Matcher) -> Value {
    json!({
        "name": matcher.name(),
        "value": matcher.value(),
        "type": matcher.op().as_str(),
    })
}

fn matching_json(matching: &VectorMatching) -> Value {
    json!({
        "card": matching.card.as_str(),
        "labels": matching.labels,
        "on": matching.on,
        "include": matching.include,
        "fillValues": {
            "lhs": matching.fill_left.map(fill_json),
            "rhs": matching.fill_right.map(fill_json),
        },
    })
}

/// Writes a fill value: a number, or a string for what JSON has no number for.
fn fill_json(value: f64) -> Value {
    if !value.is_finite() {
        return json!(float::f(value));
    }
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return json!(value as i64);
    }
    json!(value)
}

fn duration_json(expr: Option<&DurationExpr>) -> Value {
    expr.map_or(Value::Null, |expr| node_json(expr, false))
}

fn node_json(expr: &DurationExpr, wrapped: bool) -> Value {
    let node = |op: &str, lhs: Value, rhs: Value| json!({ "type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": wrapped });
    let child = |expr: &DurationExpr| node_json(expr, false);
    match &expr.kind {
        // Only an expression can be wrapped; a literal is made one by a plus sign.
        DurationExprKind::Literal(number) if wrapped => node("+", Value::Null, number_json(number)),
        DurationExprKind::Literal(number) => number_json(number),
        DurationExprKind::Unary { negative, expr } => {
            node(if *negative { "-" } else { "+" }, Value::Null, child(expr))
        }
        DurationExprKind::Binary { op, lhs, rhs } => node(op.as_str(), child(lhs), child(rhs)),
        DurationExprKind::MinOf(lhs, rhs) => node("min_of", child(lhs), child(rhs)),
        DurationExprKind::MaxOf(lhs, rhs) => node("max_of", child(lhs), child(rhs)),
        DurationExprKind::Step => node("step", Value::Null, Value::Null),
        DurationExprKind::Range => node("range", Value::Null, Value::Null),
        DurationExprKind::Paren(inner) => node_json(inner, true),
    }
}

fn number_json(number: &NumberLiteral) -> Value {
    json!({
        "type": "numberLiteral",
        "val": float::f(number.value),
        "duration": number.is_duration,
    })
}
