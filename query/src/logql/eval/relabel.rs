//! `label_replace`.

use kymo_storage::compat::regex::Regex;

use super::Row;
use crate::logql::ast::LabelReplace;
use crate::logql::{LogQlError, ParseError};

/// Sets a label of each row from another one.
pub(super) fn label_replace(
    replace: &LabelReplace,
    mut rows: Vec<Row>,
) -> Result<Vec<Row>, LogQlError> {
    let regex = Regex::new(&format!("^(?:{})$", replace.regex))
        .map_err(|error| LogQlError::Parse(ParseError::new(error.to_string())))?;
    for row in &mut rows {
        let value = row.labels.get(&replace.src).unwrap_or_default();
        let Some(captures) = regex.captures(value) else {
            continue;
        };
        let mut new = String::new();
        captures.expand(&replace.replacement, &mut new);
        let labels = row.labels.filter(|_, value| !value.is_empty());
        row.labels = labels.with(&replace.dst, &new);
    }
    Ok(rows)
}
