//! Tokens: what words and signs mean, and how error texts name them.

use crate::promql::ast::Span;
use crate::promql::grammar::Symbol;
use kymo_storage::compat::quote::quote;

/// A piece of the text that the grammar takes as one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) symbol: Symbol,
    pub(crate) span: Span,
}

/// Finds the keyword that a word is, in any case of its letters.
pub(crate) fn keyword(word: &[u8]) -> Option<Symbol> {
    find(KEYWORDS, word)
}

/// Finds the keyword of duration expressions that a word is.
pub(crate) fn duration_keyword(word: &[u8]) -> Option<Symbol> {
    use Symbol::*;
    keyword(word).filter(|s| matches!(s, Step | Range | MaxOf | MinOf))
}

/// Finds the key of a histogram description that a word is.
pub(crate) fn histogram_key(word: &[u8]) -> Option<Symbol> {
    find(HISTOGRAM_KEYS, word)
}

/// Finds the counter reset hint that a word is.
pub(crate) fn counter_reset_hint(word: &[u8]) -> Option<Symbol> {
    find(COUNTER_RESET_HINTS, word)
}

/// Returns the key as it is written in a histogram description.
pub(crate) fn histogram_key_text(symbol: Symbol) -> &'static str {
    let found = HISTOGRAM_KEYS.iter().find(|(_, s)| *s == symbol);
    found.map_or("", |(text, _)| text)
}

fn find(words: &[(&str, Symbol)], word: &[u8]) -> Option<Symbol> {
    let found = words
        .iter()
        .find(|(text, _)| text.as_bytes().eq_ignore_ascii_case(word));
    found.map(|(_, symbol)| *symbol)
}

/// Describes a token as error texts do: `<by>`, `identifier "x"`, `end of input`.
pub(crate) fn describe(symbol: Symbol, text: &str) -> String {
    use Symbol::*;
    match symbol {
        Eof | End => "end of input".to_owned(),
        Identifier => format!("identifier {}", quote(text)),
        MetricIdentifier => format!("metric identifier {}", quote(text)),
        Text => format!("string {}", shortened(text)),
        Number => format!("number {}", shortened(text)),
        Duration => format!("duration {}", shortened(text)),
        Comment => format!("comment {}", shortened(text)),
        _ if symbol.is_keyword() => format!("<{text}>"),
        _ if symbol.is_operator() => format!("<op:{text}>"),
        _ if symbol.is_aggregator() => format!("<aggr:{text}>"),
        // The words of histogram descriptions have no names, only numbers.
        _ => match yacc_number(symbol) {
            Some(number) => format!("\"<Item {number}>\" {}", shortened(text)),
            None => shortened(text),
        },
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let first: String = text.chars().take(10).collect();
    format!("{}...", quote(&first))
}

/// Returns the number that Prometheus' generated parser has for a token which is
/// shown by its number only.
fn yacc_number(symbol: Symbol) -> Option<u32> {
    const SUM_DESC: u32 = 57370;
    const UNKNOWN_COUNTER_RESET: u32 = 57445;
    let ranges = [
        (Symbol::SumDesc, Symbol::CounterResetHintDesc, SUM_DESC),
        (
            Symbol::UnknownCounterReset,
            Symbol::GaugeType,
            UNKNOWN_COUNTER_RESET,
        ),
    ];
    let (first, _, number) = ranges
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&symbol))?;
    Some(number + u32::from(symbol as u8 - *first as u8))
}

#[rustfmt::skip]
pub(super) const KEYWORDS: &[(&str, Symbol)] = &[
    ("and", Symbol::Land), ("or", Symbol::Lor), ("unless", Symbol::Lunless),
    ("atan2", Symbol::Atan2),
    ("sum", Symbol::Sum), ("avg", Symbol::Avg), ("count", Symbol::Count), ("min", Symbol::Min),
    ("max", Symbol::Max), ("group", Symbol::Group), ("stddev", Symbol::Stddev),
    ("stdvar", Symbol::Stdvar), ("topk", Symbol::Topk), ("bottomk", Symbol::Bottomk),
    ("count_values", Symbol::CountValues), ("quantile", Symbol::Quantile),
    ("limitk", Symbol::Limitk), ("limit_ratio", Symbol::LimitRatio),
    ("offset", Symbol::Offset), ("smoothed", Symbol::Smoothed), ("anchored", Symbol::Anchored),
    ("by", Symbol::By), ("without", Symbol::Without), ("on", Symbol::On),
    ("ignoring", Symbol::Ignoring), ("group_left", Symbol::GroupLeft),
    ("group_right", Symbol::GroupRight), ("fill", Symbol::Fill),
    ("fill_left", Symbol::FillLeft), ("fill_right", Symbol::FillRight), ("bool", Symbol::Bool),
    ("start", Symbol::Start), ("end", Symbol::End_), ("step", Symbol::Step),
    ("range", Symbol::Range), ("max_of", Symbol::MaxOf), ("min_of", Symbol::MinOf),
    ("inf", Symbol::Number), ("nan", Symbol::Number),
];

#[rustfmt::skip]
const HISTOGRAM_KEYS: &[(&str, Symbol)] = &[
    ("sum", Symbol::SumDesc), ("count", Symbol::CountDesc), ("schema", Symbol::SchemaDesc),
    ("offset", Symbol::OffsetDesc), ("n_offset", Symbol::NegativeOffsetDesc),
    ("buckets", Symbol::BucketsDesc), ("n_buckets", Symbol::NegativeBucketsDesc),
    ("z_bucket", Symbol::ZeroBucketDesc), ("z_bucket_w", Symbol::ZeroBucketWidthDesc),
    ("custom_values", Symbol::CustomValuesDesc),
    ("counter_reset_hint", Symbol::CounterResetHintDesc),
];

const COUNTER_RESET_HINTS: &[(&str, Symbol)] = &[
    ("unknown", Symbol::UnknownCounterReset),
    ("reset", Symbol::CounterReset),
    ("not_reset", Symbol::NotCounterReset),
    ("gauge", Symbol::GaugeType),
];
