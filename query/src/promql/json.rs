//! The tree as JSON, for the tree view of a user interface (`/api/v1/parse_query`).
//!
//! It is written straight to a text, because a value of JSON as deep as a query may be
//! could neither be written nor dropped. Fields stand in the order of their names.

use kymo_storage::compat::float;
use kymo_storage::model::Matcher;
use serde::Serialize;
use serde_json::{Value, json};

use crate::promql::ast::{
    Call, DurationExpr, DurationExprKind, Expr, ExprKind, NumberLiteral, TimeModifiers, ValueType,
    VectorMatching, VectorSelector,
};
use crate::promql::deep::grow;
use crate::promql::functions::function;

/// Writes a tree as JSON.
pub fn expr_json(expr: &Expr) -> String {
    let mut out = String::new();
    push_expr(&mut out, expr);
    out
}

/// An object being written.
struct Object<'a> {
    out: &'a mut String,
    next: char,
}

impl Object<'_> {
    fn open(out: &mut String) -> Object<'_> {
        Object { out, next: '{' }
    }

    fn key(&mut self, name: &str) -> &mut String {
        self.out.push(self.next);
        self.next = ',';
        push_value(self.out, name);
        self.out.push(':');
        self.out
    }

    fn value<T: Serialize>(&mut self, name: &str, value: T) {
        push_value(self.key(name), value);
    }

    fn expr(&mut self, name: &str, expr: &Expr) {
        push_expr(self.key(name), expr);
    }

    fn duration(&mut self, name: &str, expr: Option<&DurationExpr>) {
        push_duration(self.key(name), expr, Wrapped::No);
    }

    fn close(self) {
        self.out.push('}');
    }
}

/// Appends something flat. Texts, numbers and lists of them can always be written.
fn push_value<T: Serialize>(out: &mut String, value: T) {
    if let Ok(text) = serde_json::to_string(&value) {
        out.push_str(&text);
    }
}

fn push_expr(out: &mut String, expr: &Expr) {
    grow(|| push_level(out, expr));
}

fn push_level(out: &mut String, expr: &Expr) {
    let mut object = Object::open(out);
    match &expr.kind {
        ExprKind::Number(number) => {
            object.value("type", "numberLiteral");
            object.value("val", float::f(number.value));
        }
        ExprKind::String(text) => {
            object.value("type", "stringLiteral");
            object.value("val", text);
        }
        ExprKind::Paren(inner) => {
            object.expr("expr", inner);
            object.value("type", "parenExpr");
        }
        ExprKind::Unary(unary) => {
            object.expr("expr", &unary.expr);
            object.value("op", if unary.negative { "-" } else { "+" });
            object.value("type", "unaryExpr");
        }
        ExprKind::Binary(binary) => {
            object.value("bool", binary.return_bool);
            object.expr("lhs", &binary.lhs);
            object.value("matching", binary.matching.as_ref().map(matching_json));
            object.value("op", binary.op.as_str());
            object.expr("rhs", &binary.rhs);
            object.value("type", "binaryExpr");
        }
        ExprKind::Aggregate(aggregate) => {
            object.expr("expr", &aggregate.expr);
            object.value("grouping", &aggregate.grouping);
            object.value("op", aggregate.op.as_str());
            match &aggregate.param {
                Some(param) => object.expr("param", param),
                None => object.value("param", Value::Null),
            }
            object.value("type", "aggregation");
            object.value("without", aggregate.without);
        }
        ExprKind::Call(call) => {
            let args = object.key("args");
            args.push('[');
            for (at, arg) in call.args.iter().enumerate() {
                if at > 0 {
                    args.push(',');
                }
                push_expr(args, arg);
            }
            args.push(']');
            object.value("func", function_json(call));
            object.value("type", "call");
        }
        ExprKind::VectorSelector(selector) => {
            push_selector(&mut object, selector, None);
            object.value("type", "vectorSelector");
        }
        ExprKind::MatrixSelector(matrix) => {
            let range = (matrix.range_ms, matrix.range_expr.as_deref());
            push_selector(&mut object, &matrix.selector, Some(range));
            object.value("type", "matrixSelector");
        }
        ExprKind::Subquery(subquery) => {
            object.expr("expr", &subquery.expr);
            object.value("offset", subquery.time.offset_ms);
            object.duration("offsetExpr", subquery.time.offset_expr.as_deref());
            object.value("range", subquery.range_ms);
            object.duration("rangeExpr", subquery.range_expr.as_deref());
            object.value("startOrEnd", bound(&subquery.time));
            object.value("step", subquery.step_ms);
            object.duration("stepExpr", subquery.step_expr.as_deref());
            object.value("timestamp", subquery.time.at_ms);
            object.value("type", "subquery");
        }
    }
    object.close();
}

fn function_json(call: &Call) -> Value {
    let f = function(call.func);
    let arg_types: &[ValueType] = f.map_or(&[], |f| f.arg_types);
    let arg_types: Vec<_> = arg_types.iter().map(|t| t.as_str()).collect();
    let return_type = f.map_or(ValueType::Vector, |f| f.return_type);
    json!({
        "name": call.func,
        "argTypes": arg_types,
        "variadic": f.map_or(0, |f| f.variadic),
        "returnType": return_type.as_str(),
    })
}

fn push_selector(
    object: &mut Object<'_>,
    selector: &VectorSelector,
    range: Option<(i64, Option<&DurationExpr>)>,
) {
    let matchers: Vec<_> = selector.matchers.iter().map(matcher_json).collect();
    object.value("anchored", selector.anchored);
    object.value("matchers", matchers);
    object.value("name", &selector.name);
    object.value("offset", selector.time.offset_ms);
    object.duration("offsetExpr", selector.time.offset_expr.as_deref());
    if let Some((range_ms, expr)) = range {
        object.value("range", range_ms);
        object.duration("rangeExpr", expr);
    }
    object.value("smoothed", selector.smoothed);
    object.value("startOrEnd", bound(&selector.time));
    object.value("timestamp", selector.time.at_ms);
}

fn bound(time: &TimeModifiers) -> Option<&'static str> {
    time.at_bound.map(|bound| bound.as_str())
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

/// Whether a duration stands in parentheses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrapped {
    No,
    Yes,
}

fn push_duration(out: &mut String, expr: Option<&DurationExpr>, wrapped: Wrapped) {
    match expr {
        None => out.push_str("null"),
        Some(expr) => grow(|| push_duration_level(out, expr, wrapped)),
    }
}

fn push_duration_level(out: &mut String, expr: &DurationExpr, wrapped: Wrapped) {
    let (op, lhs, rhs) = match &expr.kind {
        // Only an expression can be wrapped; a literal is made one by a plus sign.
        DurationExprKind::Literal(number) if wrapped == Wrapped::Yes => {
            let mut object = Object::open(out);
            object.value("lhs", Value::Null);
            object.value("op", "+");
            object.value("rhs", number_json(number));
            object.value("type", "durationExpr");
            object.value("wrapped", true);
            return object.close();
        }
        DurationExprKind::Literal(number) => return push_value(out, number_json(number)),
        DurationExprKind::Paren(inner) => return push_duration(out, Some(inner), Wrapped::Yes),
        DurationExprKind::Unary { negative, expr } => {
            let sign = if *negative { "-" } else { "+" };
            (sign, None, Some(&**expr))
        }
        DurationExprKind::Binary { op, lhs, rhs } => (op.as_str(), Some(&**lhs), Some(&**rhs)),
        DurationExprKind::MinOf(lhs, rhs) => ("min_of", Some(&**lhs), Some(&**rhs)),
        DurationExprKind::MaxOf(lhs, rhs) => ("max_of", Some(&**lhs), Some(&**rhs)),
        DurationExprKind::Step => ("step", None, None),
        DurationExprKind::Range => ("range", None, None),
    };
    let mut object = Object::open(out);
    object.duration("lhs", lhs);
    object.value("op", op);
    object.duration("rhs", rhs);
    object.value("type", "durationExpr");
    object.value("wrapped", wrapped == Wrapped::Yes);
    object.close();
}

fn number_json(number: &NumberLiteral) -> Value {
    json!({
        "type": "numberLiteral",
        "val": float::f(number.value),
        "duration": number.is_duration,
    })
}
