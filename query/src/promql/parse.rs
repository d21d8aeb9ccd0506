//! The ways into the parser.
//!
//! Texts are bytes here, because a query that arrives over the wire may be no
//! UTF-8 and then gets an error with a place like any other; `&str` is fine too.

use kymo_storage::model::{Labels, Matcher};

use crate::promql::ast::{Expr, ExprKind, Span};
use crate::promql::build::{TreeBuilder, Value};
use crate::promql::check::check;
use crate::promql::error::{ParseError, ParseErrors};
use crate::promql::features::Features;
use crate::promql::grammar::Symbol;
use crate::promql::series::SeriesValue;

/// Reads a query and checks its types.
///
/// # Errors
/// Everything that is wrong with the query, or that it is nested too deeply.
pub fn parse_expr<T: AsRef<[u8]> + ?Sized>(
    input: &T,
    features: &Features,
) -> Result<Expr, ParseErrors> {
    let input = input.as_ref();
    let mut expr = match read(input, Symbol::StartExpression, features)? {
        Value::Expr(node) => node.expr,
        _ => return Err(nothing_read(input)),
    };
    match ParseErrors::collect(check(input, &mut expr)) {
        None => Ok(expr),
        Some(errors) => Err(errors),
    }
}

/// Reads a selector without modifiers, as in `match[]`. The matcher for a name
/// before the braces is the last one.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_selector<T: AsRef<[u8]> + ?Sized>(
    input: &T,
    features: &Features,
) -> Result<Vec<Matcher>, ParseErrors> {
    let input = input.as_ref();
    match read(input, Symbol::StartMetricSelector, features)? {
        Value::Expr(node) => match node.expr.into_kind() {
            ExprKind::VectorSelector(selector) => Ok(selector.matchers),
            _ => Err(nothing_read(input)),
        },
        _ => Err(nothing_read(input)),
    }
}

/// Reads a label set: `name{label="value"}`.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_metric<T: AsRef<[u8]> + ?Sized>(input: &T) -> Result<Labels, ParseErrors> {
    let input = input.as_ref();
    match read(input, Symbol::StartMetric, &Features::default())? {
        Value::Labels(labels) => Ok(labels),
        _ => Err(nothing_read(input)),
    }
}

/// Reads a series line of a unit test: a label set and its values.
///
/// # Errors
/// Everything that is wrong with the text, or that it stands for more values than
/// a test could mean.
pub fn parse_series<T: AsRef<[u8]> + ?Sized>(
    input: &T,
) -> Result<(Labels, Vec<SeriesValue>), ParseErrors> {
    let input = input.as_ref();
    match read(input, Symbol::StartSeriesDescription, &Features::default())? {
        Value::Series(labels, values) => Ok((labels, values)),
        _ => Err(nothing_read(input)),
    }
}

fn read(input: &[u8], goal: Symbol, features: &Features) -> Result<Value, ParseErrors> {
    let (value, errors) = TreeBuilder::read(input, goal, features);
    match ParseErrors::collect(errors) {
        Some(errors) => Err(errors),
        None => value.ok_or_else(|| nothing_read(input)),
    }
}

/// The error for a text that is neither wrong nor anything; no text is known to be.
fn nothing_read(input: &[u8]) -> ParseErrors {
    let error = ParseError::new(input, Span::default(), "nothing could be read");
    ParseErrors::from(error)
}
