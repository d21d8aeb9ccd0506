//! What the rules of the grammar mean: makes the tree while the machine reads.
//!
//! Some mistakes end the reading (a regular expression of a matcher that does not
//! compile), others only spoil the node they are found in, as in Loki: then the outermost
//! and leftmost node speaks, and only if the rest of the text could be read. A syntax error
//! is heard before those, so the first one is kept.

mod filter;
mod metric;
mod stage;

use kymo_storage::model::{MatchOp, Matcher};

use crate::logql::ast::{
    Conversion, Expr, Extraction, Grouping, LabelChoice, LabelFilter, LabelFormat, LineFilter,
    LineOp, LineOperand, LogExpr, MetricExpr, Stage, Unwrap,
};
use crate::logql::error::ParseError;
use crate::logql::grammar::{AUTOMATON, MEANINGS, Meaning, Symbol};
use crate::logql::lex::{Lexer, Payload, Token};
use crate::syntax::machine::{self, Host};
use crate::syntax::tables::Automaton;

use metric::{Modifier, RangeParts};

/// The most tokens that an error lists as possible.
const MAX_EXPECTED: usize = 4;

/// What a symbol of the grammar stands for.
#[derive(Default)]
pub(crate) enum Value {
    #[default]
    Empty,
    Token(Token),
    Matcher(Matcher),
    Matchers(Vec<Matcher>),
    Log(LogExpr),
    Metric(Node),
    Expr(Read),
    LogRange(Box<RangeParts>),
    Unwrap(Unwrap),
    Offset(i64),
    Stage(Stage),
    Stages(Vec<Stage>),
    Operands(Vec<LineOperand>),
    LineFilter(LineOp, Vec<LineOperand>),
    LineFilters(Vec<LineFilter>),
    Flags(Flags),
    Extraction(Extraction),
    Extractions(Vec<Extraction>),
    Pair(LabelFormat),
    Pairs(Vec<LabelFormat>),
    Choice(LabelChoice),
    Choices(Vec<LabelChoice>),
    Filter(LabelFilter),
    Number(Result<f64, ParseError>),
    Names(Vec<String>),
    Grouping(Grouping),
    Modifier(Box<Modifier>),
}

/// The flags of `logfmt`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    strict: bool,
    keep_empty: bool,
}

/// A metric expression on its way into the tree.
pub(crate) struct Node {
    expr: MetricExpr,
    /// What is wrong with it or with a part of it.
    error: Option<ParseError>,
}

/// What a whole text stands for.
pub(crate) enum Read {
    Log(LogExpr),
    Metric(Node),
}

/// Reads one text.
pub(crate) struct TreeBuilder<'a> {
    lexer: Lexer<'a>,
    /// Where the token begins that was read last, and whether its line is known.
    last: (usize, bool),
    /// Whether the text could not be split further.
    is_unreadable: bool,
    result: Option<Read>,
    error: Option<ParseError>,
}

impl<'a> TreeBuilder<'a> {
    /// Reads a text.
    pub(crate) fn read(input: &'a str) -> Result<Read, ParseError> {
        let mut builder = TreeBuilder {
            lexer: Lexer::new(input),
            last: (0, true),
            is_unreadable: false,
            result: None,
            error: None,
        };
        machine::run(&AUTOMATON, &mut builder)?;
        match (builder.error, builder.result) {
            (Some(error), _) => Err(error),
            (None, Some(read)) => Ok(read),
            // No text is known to be neither wrong nor anything.
            (None, None) => Err(ParseError::new("nothing could be read")),
        }
    }

    /// Reports a mistake at the token that was read last. Only the first one is shown.
    fn report(&mut self, message: String) {
        let (start, has_line) = self.last;
        let (line, column) = self.lexer.place(start);
        self.error.get_or_insert(ParseError {
            place: (if has_line { line } else { 0 }, column),
            message,
        });
    }

    fn apply(&mut self, meaning: Meaning, args: &mut [Value]) -> Result<Value, ParseError> {
        use Meaning::*;
        match meaning {
            First => Ok(take(args, 0)),
            Second => Ok(take(args, 1)),
            Nothing => Ok(Value::Matchers(Vec::new())),
            Finish => {
                if let Value::Expr(read) = take(args, 0) {
                    self.result = Some(read);
                }
                Ok(Value::Empty)
            }
            Log => Ok(Value::Expr(Read::Log(take_log(args, 0)))),
            Metric => Ok(Value::Expr(Read::Metric(take_metric(args, 0)))),
            Selector => Ok(Value::Log(LogExpr {
                matchers: take_matchers(args, 0),
                stages: Vec::new(),
            })),
            SelectorWithPipeline => Ok(Value::Log(LogExpr {
                matchers: take_matchers(args, 0),
                stages: take_stages(args, 1),
            })),
            FirstMatcher => Ok(Value::Matchers(take_matcher(args, 0).into_iter().collect())),
            NextMatcher => {
                let mut matchers = take_matchers(args, 0);
                matchers.extend(take_matcher(args, 2));
                Ok(Value::Matchers(matchers))
            }
            Matcher => matcher(args),
            FirstLabel => Ok(Value::Names(vec![take_text(args, 0)])),
            NextLabel => {
                let mut names = take_names(args, 0);
                names.push(take_text(args, 2));
                Ok(Value::Names(names))
            }
            LogRange(_) | Unwrap | UnwrapConverted | UnwrapFilter | RangeAggregation(_)
            | VectorAggregation(_) | LabelReplace | BinaryExpr | OneToOne | ReturnBool
            | MatchOn | MatchIgnoring | GroupLeft | GroupRight | LiteralExpr | Literal
            | SignedLiteral | VectorLiteral | GroupBy | GroupWithout | OffsetBy => {
                Ok(metric::apply(meaning, args))
            }
            FilterStage | FilterText | FilterAnd(_) | FilterOr | FilterNumber | FilterDuration
            | FilterBytes | FilterIp => filter::apply(meaning, args),
            FirstStage
            | NextStage
            | LineFilters
            | FirstLineFilter
            | NextLineFilter
            | LineFilter
            | LineFilterIp
            | LineFilterOr
            | Operand
            | OperandAndMore
            | OperandIp
            | Flag
            | NextFlag
            | Logfmt
            | LogfmtWithFlags
            | LogfmtExtractions
            | LogfmtExtractionsWithFlags
            | Json
            | JsonExtractions
            | Regexp
            | Unpack
            | Pattern
            | LineFormat
            | Decolorize
            | LabelFormat
            | Rename
            | Template
            | FirstPair
            | NextPair
            | ExtractNamed
            | ExtractSame
            | FirstExtraction
            | NextExtraction
            | Drop
            | Keep
            | ChoiceOfName
            | ChoiceOfMatcher
            | FirstChoice
            | NextChoice => stage::apply(meaning, args),
        }
    }
}

impl Read {
    /// Returns the tree, unless a part of it is wrong.
    pub(crate) fn finish(self) -> Result<Expr, ParseError> {
        match self {
            Read::Log(log) => Ok(Expr::Log(log)),
            Read::Metric(Node { error: Some(e), .. }) => Err(e),
            Read::Metric(Node { expr, error: None }) => Ok(Expr::Metric(expr)),
        }
    }
}

impl Host for TreeBuilder<'_> {
    type Value = Value;
    type Stop = ParseError;

    fn next(&mut self) -> (u8, Value) {
        if self.is_unreadable {
            return (Symbol::End as u8, Value::Empty);
        }
        match self.lexer.next_token() {
            Ok(mut token) => {
                if let Some(defect) = token.defect.take() {
                    self.last = (token.start, true);
                    self.report(defect);
                }
                self.last = (token.start, token.has_line);
                (token.symbol as u8, Value::Token(token))
            }
            Err(error) => {
                self.last = (error.start, error.has_line);
                self.is_unreadable = true;
                self.report(error.message);
                (Symbol::End as u8, Value::Empty)
            }
        }
    }

    fn reduce(&mut self, rule: u16, args: &mut [Value]) -> Result<Value, ParseError> {
        let meaning = MEANINGS.get(usize::from(rule)).copied();
        self.apply(meaning.unwrap_or(Meaning::First), args)
    }

    fn unexpected(&mut self, automaton: &Automaton, state: u16, terminal: u8) {
        let mut message = format!("syntax error: unexpected {}", Symbol::name(terminal));
        let expected = automaton.expected(state, MAX_EXPECTED).unwrap_or_default();
        for (index, terminal) in expected.into_iter().enumerate() {
            message.push_str(if index == 0 { ", expecting " } else { " or " });
            message.push_str(Symbol::name(terminal));
        }
        self.report(message);
    }
}

/// Builds `name="value"` and its kin.
fn matcher(args: &mut [Value]) -> Result<Value, ParseError> {
    let op = match symbol(args, 1) {
        Some(Symbol::Neq) => MatchOp::NotEqual,
        Some(Symbol::Re) => MatchOp::Regex,
        Some(Symbol::Nre) => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    Matcher::new(op, take_text(args, 0), take_text(args, 2))
        .map(Value::Matcher)
        .map_err(|error| ParseError::new(error.to_string()))
}

/// Takes what the symbol at `index` of a rule stands for.
fn take(args: &mut [Value], index: usize) -> Value {
    args.get_mut(index).map(std::mem::take).unwrap_or_default()
}

fn symbol(args: &[Value], index: usize) -> Option<Symbol> {
    match args.get(index) {
        Some(Value::Token(token)) => Some(token.symbol),
        _ => None,
    }
}

fn take_text(args: &mut [Value], index: usize) -> String {
    match take(args, index) {
        Value::Token(Token {
            payload: Payload::Text(text),
            ..
        }) => text,
        _ => String::new(),
    }
}

fn take_duration(args: &mut [Value], index: usize) -> i64 {
    match take(args, index) {
        Value::Token(Token {
            payload: Payload::Duration(ns),
            ..
        })
        | Value::Offset(ns) => ns,
        _ => 0,
    }
}

macro_rules! takes {
    ($($name:ident -> $type:ty { $pattern:pat => $value:expr } else $default:expr;)*) => {
        $(
            fn $name(args: &mut [Value], index: usize) -> $type {
                match take(args, index) {
                    $pattern => $value,
                    _ => $default,
                }
            }
        )*
    };
}

takes! {
    take_matcher -> Option<Matcher> { Value::Matcher(m) => Some(m) } else None;
    take_matchers -> Vec<Matcher> { Value::Matchers(m) => m } else Vec::new();
    take_stage -> Option<Stage> { Value::Stage(s) => Some(s) } else None;
    take_stages -> Vec<Stage> { Value::Stages(s) => s } else Vec::new();
    take_names -> Vec<String> { Value::Names(n) => n } else Vec::new();
    take_operands -> Vec<LineOperand> { Value::Operands(o) => o } else Vec::new();
    take_line_filters -> Vec<LineFilter> { Value::LineFilters(f) => f } else Vec::new();
    take_flags -> Flags { Value::Flags(f) => f } else Flags::default();
    take_extractions -> Vec<Extraction> { Value::Extractions(e) => e } else Vec::new();
    take_pairs -> Vec<LabelFormat> { Value::Pairs(p) => p } else Vec::new();
    take_choices -> Vec<LabelChoice> { Value::Choices(c) => c } else Vec::new();
    take_filter -> Option<LabelFilter> { Value::Filter(f) => Some(f) } else None;
    take_grouping -> Option<Grouping> { Value::Grouping(g) => Some(g) } else None;
    take_log -> LogExpr { Value::Log(log) => log } else LogExpr {
        matchers: Vec::new(),
        stages: Vec::new(),
    };
    take_metric -> Node { Value::Metric(node) => node } else Node {
        expr: MetricExpr::VectorLiteral(f64::NAN),
        error: None,
    };
    take_unwrap -> Unwrap { Value::Unwrap(unwrap) => unwrap } else Unwrap {
        label: String::new(),
        conversion: Conversion::Number,
        filters: Vec::new(),
    };
}
