//! Stages of a pipeline.

use super::{
    Flags, Value, symbol, take, take_choices, take_extractions, take_flags, take_line_filters,
    take_operands, take_pairs, take_stage, take_stages, take_text,
};
use crate::logql::ast::{
    Extraction, LabelChoice, LabelFormat, LineFilter, LineOp, LineOperand, Stage,
};
use crate::logql::check::{check_pattern, check_regexp};
use crate::logql::error::ParseError;
use crate::logql::grammar::{Meaning, Symbol};

pub(super) fn apply(meaning: Meaning, args: &mut [Value]) -> Result<Value, ParseError> {
    let value = match meaning {
        Meaning::FirstStage => Value::Stages(stages(take(args, 0))),
        Meaning::NextStage => {
            let mut all = take_stages(args, 0);
            all.append(&mut stages(take(args, 1)));
            Value::Stages(all)
        }
        Meaning::LineFilters => {
            let filters = take_line_filters(args, 0).into_iter();
            Value::Stages(filters.map(Stage::LineFilter).collect())
        }
        Meaning::FirstLineFilter => Value::LineFilters(line_filters(take(args, 0))),
        Meaning::NextLineFilter => {
            let mut all = take_line_filters(args, 0);
            all.append(&mut line_filters(take(args, 1)));
            Value::LineFilters(all)
        }
        Meaning::LineFilter => {
            Value::LineFilter(line_op(args), vec![LineOperand::Text(take_text(args, 1))])
        }
        Meaning::LineFilterIp => {
            Value::LineFilter(line_op(args), vec![LineOperand::Ip(take_text(args, 3))])
        }
        Meaning::LineFilterOr => {
            let mut more = take_operands(args, 2);
            match take(args, 0) {
                Value::LineFilter(op, mut operands) => {
                    operands.append(&mut more);
                    Value::LineFilter(op, operands)
                }
                _ => Value::Empty,
            }
        }
        Meaning::Operand => Value::Operands(vec![LineOperand::Text(take_text(args, 0))]),
        Meaning::OperandIp => Value::Operands(vec![LineOperand::Ip(take_text(args, 2))]),
        Meaning::OperandAndMore => {
            let mut operands = take_operands(args, 2);
            operands.insert(0, LineOperand::Text(take_text(args, 0)));
            Value::Operands(operands)
        }
        Meaning::Flag => Value::Flags(with_flag(Flags::default(), &take_text(args, 0))),
        Meaning::NextFlag => {
            let flags = take_flags(args, 0);
            Value::Flags(with_flag(flags, &take_text(args, 1)))
        }
        Meaning::FirstPair => match take(args, 0) {
            Value::Pair(pair) => Value::Pairs(vec![pair]),
            _ => Value::Empty,
        },
        Meaning::NextPair => {
            let mut pairs = take_pairs(args, 0);
            if let Value::Pair(pair) = take(args, 2) {
                pairs.push(pair);
            }
            Value::Pairs(pairs)
        }
        Meaning::Rename => Value::Pair(LabelFormat::Rename {
            to: take_text(args, 0),
            from: take_text(args, 2),
        }),
        Meaning::Template => Value::Pair(LabelFormat::Template {
            to: take_text(args, 0),
            template: take_text(args, 2),
        }),
        Meaning::ExtractNamed => Value::Extraction(Extraction {
            label: take_text(args, 0),
            expression: take_text(args, 2),
        }),
        Meaning::ExtractSame => {
            let label = take_text(args, 0);
            Value::Extraction(Extraction {
                expression: label.clone(),
                label,
            })
        }
        Meaning::FirstExtraction => match take(args, 0) {
            Value::Extraction(extraction) => Value::Extractions(vec![extraction]),
            _ => Value::Empty,
        },
        Meaning::NextExtraction => {
            let mut extractions = take_extractions(args, 0);
            if let Value::Extraction(extraction) = take(args, 2) {
                extractions.push(extraction);
            }
            Value::Extractions(extractions)
        }
        Meaning::ChoiceOfName => Value::Choice(LabelChoice::Name(take_text(args, 0))),
        Meaning::ChoiceOfMatcher => match take(args, 0) {
            Value::Matcher(matcher) => Value::Choice(LabelChoice::Matcher(matcher)),
            _ => Value::Empty,
        },
        Meaning::FirstChoice => match take(args, 0) {
            Value::Choice(choice) => Value::Choices(vec![choice]),
            _ => Value::Empty,
        },
        Meaning::NextChoice => {
            let mut choices = take_choices(args, 0);
            if let Value::Choice(choice) = take(args, 2) {
                choices.push(choice);
            }
            Value::Choices(choices)
        }
        _ => Value::Stage(whole_stage(meaning, args)?),
    };
    Ok(value)
}

/// Builds a stage from its words behind the pipe.
fn whole_stage(meaning: Meaning, args: &mut [Value]) -> Result<Stage, ParseError> {
    let logfmt = |flags: Flags, extractions| Stage::Logfmt {
        strict: flags.strict,
        keep_empty: flags.keep_empty,
        extractions,
    };
    Ok(match meaning {
        Meaning::Logfmt => logfmt(Flags::default(), Vec::new()),
        Meaning::LogfmtWithFlags => logfmt(take_flags(args, 1), Vec::new()),
        Meaning::LogfmtExtractions => logfmt(Flags::default(), take_extractions(args, 1)),
        Meaning::LogfmtExtractionsWithFlags => {
            logfmt(take_flags(args, 1), take_extractions(args, 2))
        }
        Meaning::JsonExtractions => Stage::Json(take_extractions(args, 1)),
        Meaning::Regexp => {
            let pattern = take_text(args, 1);
            check_regexp(&pattern)?;
            Stage::Regexp(pattern)
        }
        Meaning::Pattern => {
            let pattern = take_text(args, 1);
            check_pattern(&pattern)?;
            Stage::Pattern(pattern)
        }
        Meaning::Unpack => Stage::Unpack,
        Meaning::LineFormat => Stage::LineFormat(take_text(args, 1)),
        Meaning::LabelFormat => Stage::LabelFormat(take_pairs(args, 1)),
        Meaning::Decolorize => Stage::Decolorize,
        Meaning::Drop => Stage::Drop(take_choices(args, 1)),
        Meaning::Keep => Stage::Keep(take_choices(args, 1)),
        _ => Stage::Json(Vec::new()),
    })
}

/// Returns the stages that a piece of a pipeline stands for: several where line filters
/// stand together.
fn stages(value: Value) -> Vec<Stage> {
    match value {
        Value::Stages(stages) => stages,
        stage => take_stage(&mut [stage], 0).into_iter().collect(),
    }
}

/// Returns the line filters that one with its `or` operands stands for. None of several
/// is each of them not.
fn line_filters(value: Value) -> Vec<LineFilter> {
    let Value::LineFilter(op, operands) = value else {
        return Vec::new();
    };
    if op.is_negative() {
        let each = operands.into_iter();
        let alone = |operand| LineFilter {
            op,
            operands: vec![operand],
        };
        return each.map(alone).collect();
    }
    vec![LineFilter { op, operands }]
}

fn line_op(args: &[Value]) -> LineOp {
    match symbol(args, 0) {
        Some(Symbol::PipeMatch) => LineOp::Matches,
        Some(Symbol::PipePattern) => LineOp::Pattern,
        Some(Symbol::Nre) => LineOp::NotMatches,
        Some(Symbol::Neq) => LineOp::NotContains,
        Some(Symbol::Npa) => LineOp::NotPattern,
        _ => LineOp::Contains,
    }
}

fn with_flag(mut flags: Flags, flag: &str) -> Flags {
    match flag {
        "--strict" => flags.strict = true,
        _ => flags.keep_empty = true,
    }
    flags
}
