//! What the rules of the grammar mean: makes the tree while the machine reads.
//!
//! The errors found here and their order are Prometheus'. A node that is wrong is
//! replaced by something harmless and reading goes on, so that the errors behind it
//! are found too; where there is any error the tree is never shown.

mod duration;
mod expr;
mod selector;
mod series;

use kymo_storage::compat::quote::{quote, unquote};
use kymo_storage::model::{Labels, Matcher};

use crate::promql::ast::{DurationExpr, Expr, NumberLiteral, Span, VectorMatching};
use crate::promql::error::{ParseError, report};
use crate::promql::features::Features;
use crate::promql::grammar::{AUTOMATON, MEANINGS, Meaning, Symbol};
use crate::promql::lex::{Dialect, Lexer};
use crate::promql::series::SeriesValue;
use crate::promql::token::{self, Token};
use crate::syntax::machine::{self, Host};

use series::{HistogramPart, WrittenHistogram};

/// How many levels a tree may have. Passes over a tree take their stack from the heap
/// where it is deep; this bounds how much that can be.
pub(crate) const MAX_DEPTH: u32 = 100_000;

/// What a symbol of the grammar stands for.
#[derive(Default)]
pub(crate) enum Value {
    #[default]
    Empty,
    Token(Token),
    /// A quoted text that stands for a name, and where it begins.
    Name(String, Token),
    Literal(NumberLiteral, Span),
    Expr(Node),
    Args(Vec<Node>),
    Duration(DurationNode),
    Names(Vec<String>),
    Grouping(Vec<String>, Clause),
    Modifier(Box<Modifier>),
    Matcher(Matcher),
    Matchers(Vec<Matcher>),
    Braces(Vec<Matcher>, Span),
    Pair(String, String),
    Pairs(Vec<(String, String)>),
    Labels(Labels),
    Number(f64),
    Count(u64),
    Integer(i64),
    Buckets(Vec<f64>),
    HistogramParts(Vec<(Symbol, HistogramPart)>),
    Histogram(WrittenHistogram),
    SeriesValues(Vec<SeriesValue>),
    Series(Labels, Vec<SeriesValue>),
}

/// An expression on its way into the tree.
pub(crate) struct Node {
    pub(crate) expr: Expr,
    /// How many levels it has.
    depth: u32,
    /// Whether it is a range of something that is no selector.
    is_bad_range: bool,
}

/// A duration on its way into the tree.
pub(crate) struct DurationNode {
    expr: DurationExpr,
    depth: u32,
}

/// `by` or `without`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clause {
    By,
    Without,
}

/// What stands between a binary operator and its right side.
pub(crate) struct Modifier {
    matching: VectorMatching,
    return_bool: bool,
}

/// The tree would get too deep.
pub(crate) struct TooDeep;

/// Reads one text.
pub(crate) struct TreeBuilder<'a> {
    input: &'a [u8],
    lexer: Lexer<'a>,
    features: &'a Features,
    /// The symbol that says what the text is to be, until it has been read.
    goal: Option<Symbol>,
    /// The token that was read last, which may be one ahead of the rules.
    last: Token,
    /// Whether the text could not be split at the last token.
    last_is_unreadable: bool,
    /// Where the last token ended that could close an expression.
    last_closing: usize,
    result: Option<Value>,
    errors: Vec<ParseError>,
}

impl<'a> TreeBuilder<'a> {
    /// Reads a text as the kind of thing that `goal` says. Returns what it stands
    /// for, if anything, and everything that is wrong with it.
    pub(crate) fn read(
        input: &'a [u8],
        goal: Symbol,
        features: &'a Features,
    ) -> (Option<Value>, Vec<ParseError>) {
        let dialect = match goal {
            Symbol::StartSeriesDescription => Dialect::Series,
            _ => Dialect::Query,
        };
        let nothing = Token {
            symbol: Symbol::End,
            span: Span::default(),
        };
        let mut builder = TreeBuilder {
            input,
            lexer: Lexer::new(input, dialect),
            features,
            goal: Some(goal),
            last: nothing,
            last_is_unreadable: false,
            last_closing: 0,
            result: None,
            errors: Vec::new(),
        };
        if let Err(TooDeep) = machine::run(&AUTOMATON, &mut builder) {
            let what =
                format!("query is nested too deeply, at most {MAX_DEPTH} levels are allowed");
            // Said alone: errors before it may be of a part that was cut off.
            let error = ParseError::new(input, builder.last.span, what);
            return (None, vec![error]);
        }
        (builder.result, builder.errors)
    }

    fn error(&mut self, span: Span, message: impl Into<String>) {
        report(&mut self.errors, self.input, span, message);
    }

    /// Reports that the token that was read last cannot stand here.
    fn unexpected(&mut self, context: &str, expected: &str) {
        if self.last_is_unreadable {
            // The lexer has reported it.
            return;
        }
        let mut message = format!(
            "unexpected {}",
            token::describe(self.last.symbol, &self.text(self.last))
        );
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(self.last.span, message);
    }

    /// Returns the text of a token.
    fn text(&self, token: Token) -> String {
        let bytes = self.input.get(token.span.start..token.span.end);
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    }

    /// Returns what a quoted text says.
    fn unquoted(&mut self, token: Token) -> String {
        let text = self.text(token);
        match unquote(&text).map(String::from_utf8) {
            Ok(Ok(unquoted)) => unquoted,
            // Prometheus takes such texts, which can equal no label of any series.
            // Ours cannot hold them, and taking another text instead would lie.
            Ok(Err(_)) => {
                let message = format!("string {text} is not valid UTF-8, which is not supported");
                self.error(token.span, message);
                String::new()
            }
            Err(error) => {
                let message = format!("error unquoting string {}: {error}", quote(&text));
                self.error(self.last.span, message);
                String::new()
            }
        }
    }

    fn apply(&mut self, meaning: Meaning, args: &mut [Value]) -> Result<Value, TooDeep> {
        use Meaning::*;
        match meaning {
            First => Ok(take(args, 0)),
            Second => Ok(take(args, 1)),
            EmptyList => Ok(Value::Empty),
            Finish => {
                self.result = Some(take(args, 1));
                Ok(Value::Empty)
            }
            NothingFound => {
                self.error(Span::default(), "no expression found in input");
                Ok(Value::Empty)
            }
            Unexpected(context, expected) => {
                self.unexpected(context, expected);
                Ok(take(args, 0))
            }
            LiteralExpr
            | TextExpr
            | DurationAsExpr
            | ParenExpr
            | UnaryExpr
            | BinaryExpr
            | AggregateGroupedBefore
            | AggregateGroupedBehind
            | AggregatePlain
            | AggregateWithoutArguments
            | GroupBy
            | GroupWithout
            | Call
            | FirstArgument
            | NextArgument
            | TrailingComma
            | OneToOne
            | ReturnBool
            | MatchIgnoring
            | MatchOn
            | GroupLeft
            | GroupRight
            | FillBoth
            | FillLeft
            | FillRight
            | FillLeftRight
            | FillRightLeft
            | FillValue
            | FillSignedValue
            | FirstLabel
            | NextLabel
            | GroupingName
            | GroupingText => self.apply_to_expr(meaning, args),
            OffsetBy
            | Anchored
            | Smoothed
            | AtTime
            | AtBound
            | MatrixSelector
            | SubqueryWithStep
            | Subquery
            | NamedSelectorWithMatchers
            | NamedSelector
            | UnnamedSelector
            | MatchersInBraces
            | NoMatchers
            | FirstMatcher
            | NextMatcher
            | Matcher
            | NameMatcher => self.apply_to_selector(meaning, args),
            PositiveDuration
            | DurationFromLiteral
            | DurationFromSignedLiteral
            | DurationFunction
            | SignedDurationFunction
            | DurationMinMax
            | SignedDurationMinMax
            | SignedParenDuration
            | SignedDuration
            | DurationArithmetic
            | ParenDuration => self.apply_to_duration(meaning, args),
            NumberLiteral | DurationLiteral | NumberValue | DurationValue | Positive | Negative
            | Repetitions | NegativeInteger | PositiveInteger | StringLiteral
            | StringIdentifier => Ok(self.apply_to_literal(meaning, args)),
            NamedMetric | LabelsInBraces | NoLabels | FirstLabelPair | NextLabelPair
            | LabelPair | NameLabelPair | SeriesDescription | NoValues | MoreValues | Gap
            | Gaps | OneValue | RepeatedValue | RisingValues | OneHistogram | RepeatedHistogram
            | RisingHistograms | FallingHistograms | StaleValue | Histogram | EmptyHistogram
            | MergeDescriptors | HistogramPart | FirstBucket | NextBucket => {
                Ok(self.apply_to_series(meaning, args))
            }
        }
    }
}

impl Host for TreeBuilder<'_> {
    type Value = Value;
    type Stop = TooDeep;

    fn next(&mut self) -> (u8, Value) {
        if let Some(goal) = self.goal.take() {
            return (goal as u8, Value::Empty);
        }
        if self.last.symbol == Symbol::Eof || self.last_is_unreadable {
            return (Symbol::End as u8, Value::Empty);
        }
        match self.lexer.next_token() {
            Ok(token) => {
                use Symbol::*;
                self.last = token;
                if let RightBrace | RightParen | RightBracket | Duration | Number = token.symbol {
                    self.last_closing = token.span.end;
                }
                (token.symbol as u8, Value::Token(token))
            }
            Err(error) => {
                self.last.span = error.span;
                self.last_is_unreadable = true;
                self.error(error.span, error.message);
                (Symbol::End as u8, Value::Empty)
            }
        }
    }

    fn reduce(&mut self, rule: u16, args: &mut [Value]) -> Result<Value, TooDeep> {
        let meaning = MEANINGS.get(usize::from(rule)).copied();
        self.apply(meaning.unwrap_or(Meaning::First), args)
    }
}

/// Takes what the symbol at `index` of a rule stands for.
fn take(args: &mut [Value], index: usize) -> Value {
    args.get_mut(index).map(std::mem::take).unwrap_or_default()
}

fn token(args: &[Value], index: usize) -> Token {
    match args.get(index) {
        Some(Value::Token(token) | Value::Name(_, token)) => *token,
        _ => Token {
            symbol: Symbol::Error,
            span: Span::default(),
        },
    }
}

fn take_names(args: &mut [Value], index: usize) -> Vec<String> {
    match take(args, index) {
        Value::Names(names) => names,
        _ => Vec::new(),
    }
}

fn take_number(args: &mut [Value], index: usize) -> f64 {
    match take(args, index) {
        Value::Number(number) => number,
        _ => 0.0,
    }
}
