//! The one-line form of a tree, as Loki prints it.
//!
//! Rules and errors show it. Where Loki's own form would say something else than the tree,
//! such as a size cut to two digits, ours says what the tree says.

use std::fmt::{self, Display, Formatter};

use kymo_storage::compat::quote::quote;
use kymo_storage::compat::{duration, float};
use kymo_storage::model::Matcher;

use crate::logql::ast::{
    BinaryExpr, Conversion, Expr, Extraction, Grouping, LabelChoice, LabelFilter, LabelFormat,
    LineFilter, LineOperand, LogExpr, MatchGroup, MetricExpr, RangeExpr, Stage, Unwrap, VectorExpr,
};
use crate::logql::size;
use crate::syntax::deep::grow;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Log(log) => log.fmt(f),
            Expr::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&selector(&self.matchers))?;
        for stage in &self.stages {
            write!(f, " {stage}")?;
        }
        Ok(())
    }
}

/// Writes a selector with its braces.
pub(super) fn selector(matchers: &[Matcher]) -> String {
    let texts: Vec<String> = matchers.iter().map(matcher).collect();
    format!("{{{}}}", texts.join(", "))
}

/// Writes `name="value"`. Names stay as they are: none can be quoted here.
fn matcher(matcher: &Matcher) -> String {
    let (name, op) = (matcher.name(), matcher.op().as_str());
    format!("{name}{op}{}", quote(matcher.value()))
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Stage::LineFilter(filter) => filter.fmt(f),
            Stage::Json(extractions) => {
                f.write_str("| json")?;
                write_extractions(f, extractions)
            }
            Stage::Logfmt {
                strict,
                keep_empty,
                extractions,
            } => {
                f.write_str("| logfmt")?;
                f.write_str(if *strict { " --strict" } else { "" })?;
                f.write_str(if *keep_empty { " --keep-empty" } else { "" })?;
                write_extractions(f, extractions)
            }
            Stage::Regexp(pattern) => write!(f, "| regexp {}", quote(pattern)),
            Stage::Pattern(pattern) => write!(f, "| pattern {}", quote(pattern)),
            Stage::Unpack => f.write_str("| unpack"),
            Stage::LabelFilter(filter) => write!(f, "| {filter}"),
            Stage::LineFormat(template) => write!(f, "| line_format {}", quote(template)),
            Stage::LabelFormat(formats) => {
                let format = |format: &LabelFormat| match format {
                    LabelFormat::Rename { to, from } => format!("{to}={from}"),
                    LabelFormat::Template { to, template } => {
                        format!("{to}={}", quote(template))
                    }
                };
                let formats: Vec<String> = formats.iter().map(format).collect();
                write!(f, "| label_format {}", formats.join(","))
            }
            Stage::Decolorize => f.write_str("| decolorize"),
            Stage::Drop(choices) => write!(f, "| drop {}", list(choices)),
            Stage::Keep(choices) => write!(f, "| keep {}", list(choices)),
        }
    }
}

fn list(choices: &[LabelChoice]) -> String {
    let text = |choice: &LabelChoice| match choice {
        LabelChoice::Name(name) => name.clone(),
        LabelChoice::Matcher(condition) => matcher(condition),
    };
    let texts: Vec<String> = choices.iter().map(text).collect();
    texts.join(",")
}

fn write_extractions(f: &mut Formatter<'_>, extractions: &[Extraction]) -> fmt::Result {
    for (index, extraction) in extractions.iter().enumerate() {
        let before = if index == 0 { " " } else { "," };
        let expression = quote(&extraction.expression);
        write!(f, "{before}{}={expression}", extraction.label)?;
    }
    Ok(())
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            match index {
                0 => write!(f, "{} ", self.op.as_str())?,
                // None of several is each of them not.
                _ if self.op.is_negative() => write!(f, " {} ", self.op.as_str())?,
                _ => f.write_str(" or ")?,
            }
            match operand {
                LineOperand::Text(text) => f.write_str(&quote(text))?,
                LineOperand::Ip(text) => write!(f, "ip({})", quote(text))?,
            }
        }
        Ok(())
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        grow(|| match self {
            LabelFilter::And(left, right) => write!(f, "( {left} , {right} )"),
            LabelFilter::Or(left, right) => write!(f, "( {left} or {right} )"),
            LabelFilter::Text(condition) => f.write_str(&matcher(condition)),
            LabelFilter::Number(name, op, value) => {
                write!(f, "{name}{}{}", op.as_str(), signed(*value, float::f))
            }
            LabelFilter::Duration(name, op, ns) => {
                write!(f, "{name}{}{}", op.as_str(), duration::format_go(*ns))
            }
            LabelFilter::Bytes(name, op, bytes) => {
                let short = size::format(*bytes);
                write!(f, "{name}{}", op.as_str())?;
                match size::parse(&short) == Some(*bytes) {
                    true => f.write_str(&short),
                    false => write!(f, "{bytes}B"),
                }
            }
            LabelFilter::Ip {
                name,
                pattern,
                equal,
            } => {
                let op = if *equal { "=" } else { "!=" };
                write!(f, "{name}{op}ip({})", quote(pattern))
            }
        })
    }
}

/// Writes a number so that it is read back as one: `-0` would be a duration.
fn signed(value: f64, write: impl Fn(f64) -> String) -> String {
    match write(value) {
        text if text == "-0" => "-0.0".to_owned(),
        text => text,
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        grow(|| match self {
            MetricExpr::Range(range) => range.fmt(f),
            MetricExpr::Vector(vector) => vector.fmt(f),
            MetricExpr::Binary(binary) => {
                write!(
                    f,
                    "({} {} {})",
                    binary.lhs,
                    Operator(binary, ","),
                    binary.rhs
                )
            }
            MetricExpr::LabelReplace(replace) => {
                let [dst, replacement, src, regex] = [
                    &replace.dst,
                    &replace.replacement,
                    &replace.src,
                    &replace.regex,
                ]
                .map(|text| quote(text));
                write!(
                    f,
                    "label_replace({},{dst},{replacement},{src},{regex})",
                    replace.inner
                )
            }
            MetricExpr::VectorLiteral(value) => write!(f, "vector({})", fixed(*value)),
            MetricExpr::Literal(value) => f.write_str(&signed(*value, float::g)),
        })
    }
}

/// Writes a number with six decimals, or with as many as it needs.
fn fixed(value: f64) -> String {
    let mut text = String::new();
    float::push_f_precision(&mut text, value, 6);
    match float::parse(&text) {
        Ok(read) if read.to_bits() == value.to_bits() => text,
        _ => float::f(value),
    }
}

impl Display for VectorExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        match &self.grouping {
            // By no labels is what aggregations do by themselves.
            Some(grouping) if grouping.without || !grouping.labels.is_empty() => {
                write!(f, " {grouping}")?;
            }
            _ => {}
        }
        f.write_str("(")?;
        if let Some(count) = self.parameter {
            write!(f, "{count},")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for RangeExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{},", float::f(parameter))?;
        }
        self.log.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
        }
        write!(f, "[{}]", duration::format_prometheus(self.range_ns))?;
        if self.offset_ns != 0 {
            write!(f, " offset {}", duration::format_go(self.offset_ns))?;
        }
        f.write_str(")")?;
        match &self.grouping {
            Some(grouping) => write!(f, " {grouping}"),
            None => Ok(()),
        }
    }
}

impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&unwrap_head(self))?;
        for filter in &self.filters {
            write!(f, " | {filter}")?;
        }
        Ok(())
    }
}

/// Writes `| unwrap duration(x)`.
pub(super) fn unwrap_head(unwrap: &Unwrap) -> String {
    let label = &unwrap.label;
    match unwrap.conversion {
        Conversion::Number => format!("| unwrap {label}"),
        Conversion::Duration { seconds: false } => format!("| unwrap duration({label})"),
        Conversion::Duration { seconds: true } => format!("| unwrap duration_seconds({label})"),
        Conversion::Bytes => format!("| unwrap bytes({label})"),
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.without { "without" } else { "by" };
        write!(f, "{word} ({})", self.labels.join(","))
    }
}

/// An operator with all that stands between its sides, and what stands between labels.
pub(super) struct Operator<'a>(pub(super) &'a BinaryExpr, pub(super) &'static str);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Operator(binary, comma) = self;
        f.write_str(binary.op.as_str())?;
        f.write_str(if binary.return_bool { " bool" } else { "" })?;
        let Some(matching) = &binary.matching else {
            return Ok(());
        };
        let group = match matching.group {
            MatchGroup::OneToOne => "",
            MatchGroup::Left => "group_left",
            MatchGroup::Right => "group_right",
        };
        if !matching.on && matching.labels.is_empty() && group.is_empty() {
            return Ok(());
        }
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} ({}) {group}", matching.labels.join(comma))?;
        // Without labels of its own a group would take the parenthesis of what follows.
        let is_open = !group.is_empty() && matches!(binary.rhs, MetricExpr::Binary(_));
        if is_open || !matching.include.is_empty() {
            write!(f, " ({})", matching.include.join(comma))?;
        }
        Ok(())
    }
}
