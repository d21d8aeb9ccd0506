//! What has to be right with a query beyond its grammar.
//!
//! A selector has to select something, and each stage has to be one that can be built: its
//! regular expressions, patterns, paths and templates are read here, so that a query that
//! was parsed can be run. A stage is checked in the place in which it runs, so line filters
//! are moved forward first; errors name the stage as it stands then.

use kymo_storage::compat::quote::quote;
use kymo_storage::compat::regex::{Regex, RegexError};
use kymo_storage::model::Matcher;

use crate::logql::address::Addresses;
use crate::logql::ast::{
    Expr, LabelFilter, LabelFormat, LineFilter, LineOp, LineOperand, MetricExpr, Stage,
};
use crate::logql::error::ParseError;
use crate::logql::pipeline::needed;
use crate::logql::{path, pattern};
use crate::syntax::deep::grow;
use crate::template::{Functions, Template};

/// The label that holds the kind of what went wrong with an entry.
const ERROR_LABEL: &str = "__error__";

/// Checks that a selector has a condition that a stream without the label does not meet:
/// otherwise it would read everything.
///
/// # Errors
/// There is none.
pub(crate) fn check_selector(matchers: &[Matcher]) -> Result<(), ParseError> {
    if matchers.iter().any(|matcher| !matcher.matches_empty()) {
        return Ok(());
    }
    Err(ParseError::new(
        "queries require at least one regexp or equality matcher that does not have an \
         empty-compatible value. For instance, app=~\".*\" does not meet this requirement, but \
         app=~\".+\" will",
    ))
}

/// Reads the expression of `label_replace`.
pub(crate) fn label_replace_regex(regex: &str) -> Result<Regex, RegexError> {
    Regex::new(&format!("^(?:{regex})$"))
}

/// Checks the expression of the `regexp` parser.
pub(crate) fn check_regexp(pattern: &str) -> Result<(), ParseError> {
    let wrong = |reason: String| ParseError::new(format!("invalid regexp parser: {reason}"));
    let regex = Regex::new(pattern).map_err(|error| wrong(error.to_string()))?;
    let names: Vec<&String> = regex
        .group_names()
        .iter()
        .filter(|n| !n.is_empty())
        .collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(wrong(format!("duplicate extracted label name '{name}'")));
        }
    }
    match names.is_empty() {
        true => Err(wrong(
            "at least one named capture must be supplied".to_owned(),
        )),
        false => Ok(()),
    }
}

/// Checks the pattern of the `pattern` parser.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), ParseError> {
    match pattern::parse_captures(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(ParseError::new(format!("invalid pattern parser: {error}"))),
    }
}

/// Checks all stages of a query.
///
/// # Errors
/// One of them cannot be built.
pub(crate) fn check_stages(expr: &Expr) -> Result<(), ParseError> {
    match expr {
        Expr::Log(log) => check_pipeline(&log.stages),
        Expr::Metric(metric) => check_metric(metric),
    }
}

fn check_metric(expr: &MetricExpr) -> Result<(), ParseError> {
    grow(|| match expr {
        // What is not run need not be one that can be built.
        MetricExpr::Range(range) => check_pipeline(&needed(&range.log.stages, range.op)),
        MetricExpr::Vector(vector) => check_metric(&vector.inner),
        MetricExpr::LabelReplace(replace) => check_metric(&replace.inner),
        MetricExpr::Binary(binary) => {
            check_metric(&binary.lhs)?;
            check_metric(&binary.rhs)
        }
        MetricExpr::VectorLiteral(_) | MetricExpr::Literal(_) => Ok(()),
    })
}

fn check_pipeline(stages: &[Stage]) -> Result<(), ParseError> {
    let (mut filters, mut others) = (Vec::new(), Vec::new());
    for stage in stages {
        let ends_group = match stage {
            Stage::LineFilter(filter) => {
                filters.push(filter);
                continue;
            }
            Stage::LabelFilter(_) => {
                check_group(&mut filters, &mut others)?;
                true
            }
            // What changes the line stays before the filters behind it.
            Stage::LineFormat(_) | Stage::Unpack => true,
            _ => false,
        };
        others.push(stage);
        if ends_group {
            check_group(&mut filters, &mut others)?;
        }
    }
    check_group(&mut filters, &mut others)
}

fn check_group(filters: &mut Vec<&LineFilter>, others: &mut Vec<&Stage>) -> Result<(), ParseError> {
    // The last filter is looked at first.
    for filter in filters.iter().rev() {
        if let Err(reason) = check_line_filter(filter) {
            let texts: Vec<String> = filters.iter().map(|f| f.to_string()).collect();
            return Err(ParseError::stage(&texts.join(" "), reason));
        }
    }
    for stage in others.iter() {
        check_stage(stage).map_err(|reason| ParseError::stage(&stage.to_string(), reason))?;
    }
    filters.clear();
    others.clear();
    Ok(())
}

fn check_line_filter(filter: &LineFilter) -> Result<(), String> {
    for operand in &filter.operands {
        match (operand, filter.op) {
            (LineOperand::Ip(text), LineOp::Contains | LineOp::NotContains) => {
                check_addresses(text)?;
            }
            (LineOperand::Ip(_), _) => return Err("ip: invalid operation".to_owned()),
            (LineOperand::Text(_), LineOp::Contains | LineOp::NotContains) => {}
            (LineOperand::Text(text), LineOp::Matches | LineOp::NotMatches) => {
                Regex::new(text).map_err(|error| error.to_string())?;
            }
            (LineOperand::Text(text), LineOp::Pattern | LineOp::NotPattern) => {
                pattern::parse_line_filter(text).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

fn check_addresses(text: &str) -> Result<(), String> {
    match Addresses::parse(text) {
        Some(_) => Ok(()),
        None => Err(format!("ip: invalid pattern: {}", quote(text))),
    }
}

fn check_stage(stage: &Stage) -> Result<(), String> {
    match stage {
        Stage::Json(extractions) => {
            for extraction in extractions {
                let path = path::parse_json_path(&extraction.expression);
                path.map_err(|reason| wrong_path(&extraction.expression, &reason))?;
            }
            Ok(())
        }
        Stage::Logfmt { extractions, .. } => {
            for extraction in extractions {
                let key = path::parse_logfmt_key(&extraction.expression);
                key.map_err(|reason| wrong_path(&extraction.expression, &reason))?;
            }
            Ok(())
        }
        Stage::LabelFilter(filter) => match filter {
            // Inside of a larger condition addresses that are none fit nothing.
            LabelFilter::Ip { pattern, .. } => check_addresses(pattern),
            _ => Ok(()),
        },
        Stage::LineFormat(text) => match Template::parse("line", text, Functions::LOGS) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("invalid line template: {error}")),
        },
        Stage::LabelFormat(formats) => check_label_formats(formats),
        Stage::LineFilter(_)
        | Stage::Regexp(_)
        | Stage::Pattern(_)
        | Stage::Unpack
        | Stage::Decolorize
        | Stage::Drop(_)
        | Stage::Keep(_) => Ok(()),
    }
}

fn wrong_path(path: &str, reason: &str) -> String {
    format!("cannot parse expression [{path}]: {reason}")
}

fn check_label_formats(formats: &[LabelFormat]) -> Result<(), String> {
    let to = |format: &LabelFormat| match format {
        LabelFormat::Rename { to, .. } | LabelFormat::Template { to, .. } => to.clone(),
    };
    let mut names = std::collections::HashSet::new();
    for name in formats.iter().map(to) {
        if name == ERROR_LABEL {
            return Err(format!("{name} cannot be formatted"));
        }
        if names.contains(&name) {
            return Err(format!(
                "multiple label name '{name}' not allowed in a single format operation"
            ));
        }
        names.insert(name);
    }
    for format in formats {
        if let LabelFormat::Template { to, template } = format {
            Template::parse("label", template, Functions::LOGS)
                .map_err(|error| format!("invalid template for label '{to}': {error}"))?;
        }
    }
    Ok(())
}
