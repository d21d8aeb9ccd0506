//! The ways into the parser.

use kymo_storage::model::Matcher;

use crate::logql::ast::{Expr, LogExpr, MetricExpr};
use crate::logql::build::{Read, TreeBuilder};
use crate::logql::check::{check_selector, check_stages};
use crate::logql::error::{LogQlError, ParseError};
use crate::logql::pretty::pretty;

/// The length from which on a query is refused.
pub const MAX_QUERY_BYTES: usize = 131_072;

/// Reads a query and checks all of it.
///
/// # Errors
/// [`LogQlError::Parse`]: the first thing that is wrong with it.
pub fn parse(text: &str) -> Result<Expr, LogQlError> {
    let expr = read_checked(text)?;
    check_stages(&expr)?;
    Ok(expr)
}

/// Reads a query for one time, which has to give numbers. That is looked at before its
/// stages are.
///
/// # Errors
/// Those of [`parse`], and [`LogQlError::InstantEntries`] for a query for entries.
pub fn parse_instant(text: &str) -> Result<Expr, LogQlError> {
    let expr = read_checked(text)?;
    if matches!(expr, Expr::Log(_)) {
        return Err(LogQlError::InstantEntries);
    }
    check_stages(&expr)?;
    Ok(expr)
}

/// Reads a query for entries, with nothing counted.
///
/// # Errors
/// Those of [`parse`], and [`LogQlError::OnlyEntries`] for a metric query.
pub fn parse_log(text: &str) -> Result<LogExpr, LogQlError> {
    match parse(text)? {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(LogQlError::OnlyEntries),
    }
}

/// Reads a query for entries whose selector may be `{}`, or fit streams without any of its
/// labels: it is no query of a store, but says which of some entries are meant.
///
/// # Errors
/// As of [`parse_log`].
pub fn parse_any_log(text: &str) -> Result<LogExpr, LogQlError> {
    let expr = read(text)?;
    check_stages(&expr)?;
    match expr {
        Expr::Log(log) => Ok(log),
        Expr::Metric(_) => Err(LogQlError::OnlyEntries),
    }
}

/// Reads a selector alone, which has to select something.
///
/// # Errors
/// [`LogQlError::Parse`] for what is no query, [`LogQlError::OnlyMatchers`] for what is
/// more than a selector.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, LogQlError> {
    let expr = read_checked(text)?;
    only_matchers(expr)
}

/// Reads a selector alone, which may be `{}` or fit streams without any of its labels.
///
/// # Errors
/// As of [`parse_matchers`].
pub fn parse_any_matchers(text: &str) -> Result<Vec<Matcher>, LogQlError> {
    match read_tree(text)? {
        Read::Log(log) => only_matchers(Expr::Log(log)),
        // Whatever may be wrong with it.
        Read::Metric(_) => Err(LogQlError::OnlyMatchers),
    }
}

/// Checks that a selector selects something: that one of its conditions does not hold for
/// a label that is absent.
///
/// # Errors
/// [`LogQlError::Parse`] where it does not.
pub fn require_selection(matchers: &[Matcher]) -> Result<(), LogQlError> {
    Ok(check_selector(matchers)?)
}

/// Writes a query in the form that one can read: in one line if that is short, else in
/// several with indentation. Sizes are those that Loki's API compares with.
///
/// # Errors
/// [`LogQlError::Parse`] for what is no query. Stages are written as they are, also those
/// that could not be run.
pub fn format_query(text: &str) -> Result<String, LogQlError> {
    Ok(pretty(&read_checked(text)?.with_rounded_sizes()))
}

fn only_matchers(expr: Expr) -> Result<Vec<Matcher>, LogQlError> {
    match expr {
        Expr::Log(log) if log.stages.is_empty() => Ok(log.matchers),
        _ => Err(LogQlError::OnlyMatchers),
    }
}

fn read_checked(text: &str) -> Result<Expr, ParseError> {
    let expr = read(text)?;
    if let Expr::Log(log) = &expr {
        check_selector(&log.matchers)?;
    }
    Ok(expr)
}

fn read(text: &str) -> Result<Expr, ParseError> {
    read_tree(text)?.finish()
}

fn read_tree(text: &str) -> Result<Read, ParseError> {
    let len = text.len();
    if len >= MAX_QUERY_BYTES {
        let message = format!("input size too long ({len} > {MAX_QUERY_BYTES})");
        return Err(ParseError::new(message));
    }
    if text.is_empty() {
        // Without a character there is no place.
        return Err(ParseError::new("syntax error: unexpected $end"));
    }
    TreeBuilder::read(text)
}

impl Expr {
    /// Returns the metric expression, if the query is one.
    pub fn as_metric(&self) -> Option<&MetricExpr> {
        match self {
            Expr::Metric(metric) => Some(metric),
            Expr::Log(_) => None,
        }
    }

    /// Returns the query for entries, if the query is one.
    pub fn as_log(&self) -> Option<&LogExpr> {
        match self {
            Expr::Log(log) => Some(log),
            Expr::Metric(_) => None,
        }
    }
}
