//! Functions that change labels, and the labels of what is absent.

use std::collections::HashSet;

use kymo_storage::compat::name::NameValidation;
use kymo_storage::compat::regex::Regex;
use kymo_storage::model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp};

use super::row::{Grid, Row, merge_equal_labels};
use super::{Evaluator, Outcome};
use crate::error::QueryError;
use crate::promql::plan::{Node, NodeKind};

/// Longest label value that a function may make. Calls inside of calls can double a
/// value each time, so that a few lines of query would fill any memory.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// Longest text that is made to find out how long a value is.
const MAX_EXPANDED_BYTES: usize = 1 << 26;

impl Evaluator<'_> {
    /// Evaluates `label_replace(vector, dst, replacement, src, regex)`.
    pub(super) fn label_replace(&mut self, args: &[Node], grid: &Grid) -> Outcome {
        let text = |index: usize| args.get(index).and_then(Node::string).unwrap_or("");
        let (dst, replacement, src, pattern) = (text(1), text(2), text(3), text(4));
        let regex = Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| {
            QueryError::Execution(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ))
        })?;
        check_name(dst, "destination", "label_replace")?;

        let (mut rows, annotations) = self.eval(&args[0], grid)?;
        for row in &mut rows {
            self.check()?;
            let value = row.labels.get(src).unwrap_or("");
            let Some(captures) = regex.captures(value) else {
                continue;
            };
            // A reference has two bytes or more, and brings the whole value at most.
            let references = replacement.len() / 2;
            if references.saturating_mul(value.len()) > MAX_EXPANDED_BYTES {
                return Err(too_long("label_replace"));
            }
            let mut expanded = String::new();
            captures.expand(replacement, &mut expanded);
            if expanded.len() > MAX_VALUE_BYTES {
                return Err(too_long("label_replace"));
            }
            self.relabel(row, dst, &expanded)?;
            if dst == METRIC_NAME {
                row.drop_name = false;
            }
        }
        Ok((merge_equal_labels(rows, grid.steps)?, annotations))
    }

    /// Evaluates `label_join(vector, dst, separator, src...)`.
    pub(super) fn label_join(&mut self, args: &[Node], grid: &Grid) -> Outcome {
        let text = |index: usize| args.get(index).and_then(Node::string).unwrap_or("");
        let (dst, separator) = (text(1), text(2));
        let sources: Vec<&str> = (3..args.len()).map(text).collect();
        for source in &sources {
            check_name(source, "source", "label_join")?;
        }
        check_name(dst, "destination", "label_join")?;

        let (mut rows, annotations) = self.eval(&args[0], grid)?;
        for row in &mut rows {
            self.check()?;
            let values: Vec<&str> = sources
                .iter()
                .map(|source| row.labels.get(source).unwrap_or(""))
                .collect();
            let len: usize = values.iter().map(|v| v.len() + separator.len()).sum();
            if len > MAX_VALUE_BYTES {
                return Err(too_long("label_join"));
            }
            let joined = values.join(separator);
            self.relabel(row, dst, &joined)?;
            if dst == METRIC_NAME {
                row.drop_name = false;
            }
        }
        Ok((merge_equal_labels(rows, grid.steps)?, annotations))
    }

    /// Gives a row another label, and counts the memory that it grows by.
    fn relabel(&mut self, row: &mut Row, name: &str, value: &str) -> Result<(), QueryError> {
        let before = row.labels.memory_bytes();
        let mut builder = LabelsBuilder::from_labels(&row.labels);
        builder.set(name, value);
        row.labels = builder.labels();
        let grown = row.labels.memory_bytes().saturating_sub(before);
        self.budget.hold_bytes(grown)
    }
}

fn too_long(func: &str) -> QueryError {
    QueryError::Execution(format!(
        "{func}() would make a label value of more than {MAX_VALUE_BYTES} bytes"
    ))
}

fn check_name(name: &str, which: &str, func: &str) -> Result<(), QueryError> {
    if NameValidation::Utf8.is_label_name(name) {
        return Ok(());
    }
    Err(QueryError::Execution(format!(
        "invalid {which} label name in {func}(): {name}"
    )))
}

/// Returns the labels that `absent` can tell of its argument: those that the
/// selector's matchers fix to one value.
pub(super) fn absent(arg: &Node) -> Labels {
    let matchers = match &arg.kind {
        NodeKind::Vector(selector) => &selector.matchers,
        NodeKind::Matrix(selector) => &selector.selector.matchers,
        NodeKind::Invariant(inner) => return absent(inner),
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::new();
    let mut seen = HashSet::new();
    for matcher in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && seen.insert(matcher.name()) {
            builder.set(matcher.name(), matcher.value());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.labels()
}
