//! Label filters.

use super::{Value, symbol, take, take_duration, take_filter, take_text};
use crate::logql::ast::{CompareOp, LabelFilter, Stage};
use crate::logql::error::ParseError;
use crate::logql::grammar::{Meaning, Symbol};
use crate::logql::lex::{Payload, Token};

pub(super) fn apply(meaning: Meaning, args: &mut [Value]) -> Result<Value, ParseError> {
    if meaning == Meaning::FilterStage {
        return Ok(match take_filter(args, 1) {
            Some(filter) => Value::Stage(Stage::LabelFilter(filter)),
            None => Value::Empty,
        });
    }
    let filter = match meaning {
        Meaning::FilterText => match take(args, 0) {
            Value::Matcher(matcher) => Some(LabelFilter::Text(matcher)),
            _ => None,
        },
        Meaning::FilterAnd(second) => both(args, usize::from(second), LabelFilter::And),
        Meaning::FilterOr => both(args, 2, LabelFilter::Or),
        Meaning::FilterNumber => {
            let number = match take(args, 2) {
                Value::Number(number) => number?,
                _ => 0.0,
            };
            Some(LabelFilter::Number(
                take_text(args, 0),
                compare_op(args),
                number,
            ))
        }
        Meaning::FilterDuration => {
            let ns = take_duration(args, 2);
            Some(LabelFilter::Duration(
                take_text(args, 0),
                compare_op(args),
                ns,
            ))
        }
        Meaning::FilterBytes => {
            let bytes = match take(args, 2) {
                Value::Token(Token {
                    payload: Payload::Bytes(bytes),
                    ..
                }) => bytes,
                _ => 0,
            };
            Some(LabelFilter::Bytes(
                take_text(args, 0),
                compare_op(args),
                bytes,
            ))
        }
        _ => Some(LabelFilter::Ip {
            name: take_text(args, 0),
            pattern: take_text(args, 4),
            equal: symbol(args, 1) == Some(Symbol::Eq),
        }),
    };
    Ok(filter.map_or(Value::Empty, Value::Filter))
}

fn both(
    args: &mut [Value],
    second: usize,
    make: fn(Box<LabelFilter>, Box<LabelFilter>) -> LabelFilter,
) -> Option<LabelFilter> {
    let (left, right) = (take_filter(args, 0)?, take_filter(args, second)?);
    Some(make(Box::new(left), Box::new(right)))
}

fn compare_op(args: &[Value]) -> CompareOp {
    match symbol(args, 1) {
        Some(Symbol::Neq) => CompareOp::NotEqual,
        Some(Symbol::Gt) => CompareOp::Greater,
        Some(Symbol::Gte) => CompareOp::GreaterOrEqual,
        Some(Symbol::Lt) => CompareOp::Less,
        Some(Symbol::Lte) => CompareOp::LessOrEqual,
        _ => CompareOp::Equal,
    }
}
