//! The words and signs of the language, for those who ask what it has.

use super::Features;
use super::token::KEYWORDS;

/// What a word or sign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordKind {
    /// Says how operators and selectors work: `by`, `offset`.
    Keyword,
    /// Stands between or before expressions: `+`, `unless`.
    Operator,
    /// Aggregates: `sum`.
    Aggregator,
}

/// One word or sign of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As it is written.
    pub text: &'static str,
    /// What it is.
    pub kind: WordKind,
    /// Whether the features that are switched on have it.
    pub enabled: bool,
}

/// Operators that are not words; those that trim histograms are among them.
const SIGNS: [&str; 16] = [
    "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "=~", "!~", "</", ">/",
];

/// Returns all words and signs of the language, those that must be switched on included.
pub fn words(features: &Features) -> impl Iterator<Item = Word> {
    let signs = SIGNS.iter().chain(&["@"]).map(|text| Word {
        text,
        kind: WordKind::Operator,
        enabled: true,
    });
    let features = *features;
    let words = KEYWORDS.iter().filter_map(move |(text, symbol)| {
        let kind = if symbol.is_keyword() {
            WordKind::Keyword
        } else if symbol.is_operator() {
            WordKind::Operator
        } else if symbol.is_aggregator() {
            WordKind::Aggregator
        } else {
            return None;
        };
        let enabled = match *text {
            "anchored" | "smoothed" => features.extended_range_selectors,
            "fill" | "fill_left" | "fill_right" => features.binop_fill_modifiers,
            "limitk" | "limit_ratio" => features.experimental_functions,
            _ => true,
        };
        Some(Word {
            text,
            kind,
            enabled,
        })
    });
    signs.chain(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::parse_expr;

    fn enabled(features: Features, kind: WordKind) -> Vec<&'static str> {
        let mut found: Vec<&str> = words(&features)
            .filter(|word| word.kind == kind && word.enabled)
            .map(|word| word.text)
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn every_aggregator_and_every_operator_between_vectors_parses_where_it_is_enabled() {
        for features in [Features::default(), Features::ALL] {
            for word in enabled(features, WordKind::Aggregator) {
                let query = match word {
                    "topk" | "bottomk" | "limitk" | "quantile" | "limit_ratio" => {
                        format!("{word}(1, a)")
                    }
                    "count_values" => format!("{word}(\"x\", a)"),
                    _ => format!("{word}(a)"),
                };
                assert!(parse_expr(&query, &features).is_ok(), "{query}");
            }
            for word in enabled(features, WordKind::Operator) {
                if !matches!(word, "@" | "=~" | "!~") {
                    let query = format!("a {word} b");
                    assert!(parse_expr(&query, &features).is_ok(), "{query}");
                }
            }
        }
    }

    #[test]
    fn what_must_be_switched_on_is_known_and_disabled() {
        let by_default = enabled(Features::default(), WordKind::Keyword);
        assert_eq!(
            by_default,
            [
                "bool",
                "by",
                "group_left",
                "group_right",
                "ignoring",
                "offset",
                "on",
                "without"
            ]
        );
        let all = enabled(Features::ALL, WordKind::Keyword);
        assert_eq!(all.len(), by_default.len() + 5);
        let aggregators = enabled(Features::default(), WordKind::Aggregator);
        assert!(!aggregators.contains(&"limitk") && aggregators.contains(&"sum"));
    }
}
