//! What words and signs mean.

use crate::logql::grammar::Symbol::{self, *};

/// Finds what a lowercase word is where something is called by it.
pub(super) fn function(word: &str) -> Option<Symbol> {
    find(FUNCTIONS, word)
}

/// Finds what a lowercase word always is.
pub(super) fn keyword(word: &str) -> Option<Symbol> {
    find(KEYWORDS, word)
}

fn find(words: &[(&str, Symbol)], word: &str) -> Option<Symbol> {
    let found = words.iter().find(|(text, _)| *text == word);
    found.map(|(_, symbol)| *symbol)
}

/// Finds the sign of two characters.
pub(super) fn sign_of_two(first: char, second: char) -> Option<Symbol> {
    Some(match (first, second) {
        ('!', '=') => Neq,
        ('=', '~') => Re,
        ('!', '~') => Nre,
        ('!', '>') => Npa,
        ('|', '=') => PipeExact,
        ('|', '~') => PipeMatch,
        ('|', '>') => PipePattern,
        ('=', '=') => CmpEq,
        ('>', '=') => Gte,
        ('<', '=') => Lte,
        _ => return None,
    })
}

/// Finds the sign of one character.
pub(super) fn sign(c: char) -> Option<Symbol> {
    Some(match c {
        ',' => Comma,
        '.' => Dot,
        '{' => OpenBrace,
        '}' => CloseBrace,
        '=' => Eq,
        '|' => Pipe,
        '(' => OpenParen,
        ')' => CloseParen,
        ']' => CloseBracket,
        '+' => Add,
        '*' => Mul,
        '/' => Div,
        '%' => Mod,
        '^' => Pow,
        '>' => Gt,
        '<' => Lt,
        _ => return None,
    })
}

#[rustfmt::skip]
const FUNCTIONS: &[(&str, Symbol)] = &[
    ("rate", Rate), ("rate_counter", RateCounter), ("count_over_time", CountOverTime),
    ("bytes_rate", BytesRate), ("bytes_over_time", BytesOverTime),
    ("avg_over_time", AvgOverTime), ("sum_over_time", SumOverTime),
    ("min_over_time", MinOverTime), ("max_over_time", MaxOverTime),
    ("stdvar_over_time", StdvarOverTime), ("stddev_over_time", StddevOverTime),
    ("quantile_over_time", QuantileOverTime), ("first_over_time", FirstOverTime),
    ("last_over_time", LastOverTime), ("absent_over_time", AbsentOverTime),
    ("vector", Vector),
    ("sum", Sum), ("avg", Avg), ("max", Max), ("min", Min), ("count", Count),
    ("stddev", Stddev), ("stdvar", Stdvar), ("bottomk", Bottomk), ("topk", Topk),
    ("sort", Sort), ("sort_desc", SortDesc), ("approx_topk", ApproxTopk),
    ("label_replace", LabelReplace),
    ("bytes", BytesConversion), ("duration", DurationConversion),
    ("duration_seconds", DurationSecondsConversion),
    ("ip", Ip),
];

#[rustfmt::skip]
const KEYWORDS: &[(&str, Symbol)] = &[
    ("unwrap", Unwrap), ("by", By), ("without", Without), ("bool", Bool), ("offset", Offset),
    ("on", On), ("ignoring", Ignoring), ("group_left", GroupLeft), ("group_right", GroupRight),
    ("or", Or), ("and", And), ("unless", Unless),
    ("json", Json), ("regexp", Regexp), ("logfmt", Logfmt), ("unpack", Unpack),
    ("pattern", Pattern), ("label_format", LabelFormat), ("line_format", LineFormat),
    ("decolorize", Decolorize), ("drop", Drop), ("keep", Keep),
];
