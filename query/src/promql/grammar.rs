//! The rules of PromQL, as a table.
//!
//! The table has the rules of Prometheus' grammar in its order, because order and
//! the places of the `Error` symbol decide what is said of a wrong query (see
//! `syntax`). What a rule means is named behind its arrow and done in `build`.

use std::sync::LazyLock;

use crate::syntax::tables::{Associativity, Automaton, Grammar, Precedence, Production};

macro_rules! symbols {
    (terminals: $($terminal:ident)*; nonterminals: $($nonterminal:ident)*;) => {
        /// The symbols of the grammar: tokens first, then what is made of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Symbol {
            $($terminal,)*
            $($nonterminal,)*
        }

        const TERMINALS: &[Symbol] = &[$(Symbol::$terminal),*];
        const NONTERMINALS: &[Symbol] = &[$(Symbol::$nonterminal),*];
    };
}

symbols! {
    terminals:
        End Error
        Eql Blank Colon Comma Comment Duration Eof Unreadable Identifier LeftBrace LeftBracket
        LeftParen OpenHist CloseHist MetricIdentifier Number RightBrace RightBracket RightParen
        Space Text Times
        SumDesc CountDesc SchemaDesc OffsetDesc NegativeOffsetDesc BucketsDesc
        NegativeBucketsDesc ZeroBucketDesc ZeroBucketWidthDesc CustomValuesDesc
        CounterResetHintDesc
        Add Div Eqlc EqlRegex Gte Gtr TrimUpper TrimLower Land Lor Lss Lte Lunless Mod Mul Neq
        NeqRegex Pow Sub At Atan2
        Avg Bottomk Count CountValues Group Max Min Quantile Stddev Stdvar Sum Topk Limitk
        LimitRatio
        Bool By GroupLeft GroupRight Fill FillLeft FillRight Ignoring Offset Smoothed Anchored
        On Without
        Start End_ Step Range MaxOf MinOf
        UnknownCounterReset CounterReset NotCounterReset GaugeType
        StartMetric StartSeriesDescription StartExpression StartMetricSelector;
    nonterminals:
        Accept Goal Expr AggregateExpr AggregateModifier BinaryExpr BinModifier BoolModifier
        OnOrIgnoring GroupModifiers FillModifiers GroupingLabels GroupingLabelList GroupingLabel
        FillValue FunctionCall FunctionCallBody FunctionCallArgs ParenExpr PositiveDurationExpr
        OffsetExpr AnchoredExpr SmoothedExpr StepInvariantExpr AtModifierPreprocessors
        MatrixSelector SubqueryExpr UnaryExpr VectorSelector LabelMatchers LabelMatchList
        LabelMatcher Metric MetricName LabelSet LabelSetList LabelSetItem SeriesDescription
        SeriesValues SeriesItem SeriesValue HistogramSeriesValue HistogramDescMap
        HistogramDescItem BucketSet BucketSetList CounterResetHint AggregateOp MaybeLabel UnaryOp
        MatchOp NumberDurationLiteral NumberValue SignedNumber SignedOrUnsignedNumber Uint Int
        StringLiteral StringIdentifier MaybeGroupingLabels OffsetDurationExpr MaxOfMinOf
        DurationExpr ParenDurationExpr;
}

impl Symbol {
    /// Tells whether the token is one of the words that modify an operator or selector.
    pub(crate) fn is_keyword(self) -> bool {
        (Symbol::Bool..=Symbol::Without).contains(&self)
    }

    /// Tells whether the token is an operator, `@` and those of matchers included.
    pub(crate) fn is_operator(self) -> bool {
        (Symbol::Add..=Symbol::Atan2).contains(&self)
    }

    /// Tells whether the token names an aggregation.
    pub(crate) fn is_aggregator(self) -> bool {
        (Symbol::Avg..=Symbol::LimitRatio).contains(&self)
    }
}

/// What a rule means; `build` acts on it. `args` are the symbols of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The same as its first symbol.
    First,
    /// Its second symbol is the answer to the whole text.
    Finish,
    /// There is no expression at all.
    NothingFound,
    /// A token that cannot stand here: in what, and what could. Goes on as if the
    /// rule were its first symbol.
    Unexpected(&'static str, &'static str),
    /// The symbol between brackets or behind a keyword.
    Second,
    /// An empty list in brackets.
    EmptyList,

    LiteralExpr,
    TextExpr,
    DurationAsExpr,
    ParenExpr,
    UnaryExpr,
    BinaryExpr,
    /// Operator, grouping, arguments.
    AggregateGroupedBefore,
    /// Operator, arguments, grouping.
    AggregateGroupedBehind,
    AggregatePlain,
    AggregateWithoutArguments,
    GroupBy,
    GroupWithout,
    Call,
    FirstArgument,
    NextArgument,
    TrailingComma,

    OneToOne,
    ReturnBool,
    MatchIgnoring,
    MatchOn,
    GroupLeft,
    GroupRight,
    FillBoth,
    FillLeft,
    FillRight,
    FillLeftRight,
    FillRightLeft,
    FillValue,
    FillSignedValue,

    FirstLabel,
    NextLabel,
    GroupingName,
    GroupingText,

    OffsetBy,
    Anchored,
    Smoothed,
    AtTime,
    AtBound,
    MatrixSelector,
    SubqueryWithStep,
    Subquery,

    NamedSelectorWithMatchers,
    NamedSelector,
    UnnamedSelector,
    MatchersInBraces,
    NoMatchers,
    FirstMatcher,
    NextMatcher,
    Matcher,
    NameMatcher,

    NamedMetric,
    LabelsInBraces,
    NoLabels,
    FirstLabelPair,
    NextLabelPair,
    LabelPair,
    NameLabelPair,

    SeriesDescription,
    NoValues,
    MoreValues,
    Gap,
    Gaps,
    OneValue,
    RepeatedValue,
    RisingValues,
    OneHistogram,
    RepeatedHistogram,
    RisingHistograms,
    FallingHistograms,
    StaleValue,
    Histogram,
    EmptyHistogram,
    MergeDescriptors,
    HistogramPart,
    FirstBucket,
    NextBucket,

    NumberLiteral,
    DurationLiteral,
    NumberValue,
    DurationValue,
    Positive,
    Negative,
    Repetitions,
    NegativeInteger,
    PositiveInteger,
    StringLiteral,
    StringIdentifier,

    PositiveDuration,
    DurationFromLiteral,
    DurationFromSignedLiteral,
    DurationFunction,
    SignedDurationFunction,
    DurationMinMax,
    SignedDurationMinMax,
    SignedParenDuration,
    SignedDuration,
    DurationArithmetic,
    ParenDuration,
}

/// Rules for one nonterminal that stand together in the grammar.
struct Rules {
    lhs: Symbol,
    /// What each alternative consists of, the token whose precedence it has
    /// if that is not its last, and what it means.
    alternatives: &'static [(&'static [Symbol], Option<Symbol>, Meaning)],
}

macro_rules! rules {
    ($lhs:ident { $($($rhs:ident)* $(%prec $token:ident)? => $meaning:expr;)* }) => {
        Rules {
            lhs: Symbol::$lhs,
            alternatives: {
                use Meaning::*;
                &[$((&[$(Symbol::$rhs),*], rules!(@token $($token)?), $meaning)),*]
            },
        }
    };
    ($lhs:ident one of $($token:ident)*) => {
        Rules {
            lhs: Symbol::$lhs,
            alternatives: &[$((&[Symbol::$token], None, Meaning::First)),*],
        }
    };
    (@token) => { None };
    (@token $token:ident) => { Some(Symbol::$token) };
}

#[rustfmt::skip]
const RULES: &[Rules] = &[
    rules!(Accept { Goal => First; }),
    rules!(Goal {
        StartMetric Metric => Finish;
        StartSeriesDescription SeriesDescription => Finish;
        StartExpression Eof => NothingFound;
        StartExpression Expr => Finish;
        StartMetricSelector VectorSelector => Finish;
        Goal Eof => First;
        Error => Unexpected("", "");
    }),
    rules!(Expr {
        AggregateExpr => First;
        BinaryExpr => First;
        FunctionCall => First;
        MatrixSelector => First;
        NumberDurationLiteral => LiteralExpr;
        OffsetExpr => First;
        AnchoredExpr => First;
        SmoothedExpr => First;
        ParenExpr => First;
        StringLiteral => TextExpr;
        SubqueryExpr => First;
        UnaryExpr => First;
        VectorSelector => First;
        StepInvariantExpr => First;
        DurationExpr => DurationAsExpr;
    }),

    // Aggregations.
    rules!(AggregateExpr {
        AggregateOp AggregateModifier FunctionCallBody => AggregateGroupedBefore;
        AggregateOp FunctionCallBody AggregateModifier => AggregateGroupedBehind;
        AggregateOp FunctionCallBody => AggregatePlain;
        AggregateOp Error => AggregateWithoutArguments;
    }),
    rules!(AggregateModifier {
        By GroupingLabels => GroupBy;
        Without GroupingLabels => GroupWithout;
    }),

    // Binary operators. Precedence works on the tokens of a rule, so each operator
    // needs its own.
    rules!(BinaryExpr {
        Expr Add BinModifier Expr => BinaryExpr;
        Expr Atan2 BinModifier Expr => BinaryExpr;
        Expr Div BinModifier Expr => BinaryExpr;
        Expr Eqlc BinModifier Expr => BinaryExpr;
        Expr Gte BinModifier Expr => BinaryExpr;
        Expr Gtr BinModifier Expr => BinaryExpr;
        Expr TrimUpper BinModifier Expr => BinaryExpr;
        Expr TrimLower BinModifier Expr => BinaryExpr;
        Expr Land BinModifier Expr => BinaryExpr;
        Expr Lor BinModifier Expr => BinaryExpr;
        Expr Lss BinModifier Expr => BinaryExpr;
        Expr Lte BinModifier Expr => BinaryExpr;
        Expr Lunless BinModifier Expr => BinaryExpr;
        Expr Mod BinModifier Expr => BinaryExpr;
        Expr Mul BinModifier Expr => BinaryExpr;
        Expr Neq BinModifier Expr => BinaryExpr;
        Expr Pow BinModifier Expr => BinaryExpr;
        Expr Sub BinModifier Expr => BinaryExpr;
    }),
    rules!(BinModifier { FillModifiers => First; }),
    rules!(BoolModifier {
        => OneToOne;
        Bool => ReturnBool;
    }),
    rules!(OnOrIgnoring {
        BoolModifier Ignoring GroupingLabels => MatchIgnoring;
        BoolModifier On GroupingLabels => MatchOn;
    }),
    rules!(GroupModifiers {
        BoolModifier => First;
        OnOrIgnoring => First;
        OnOrIgnoring GroupLeft MaybeGroupingLabels => GroupLeft;
        OnOrIgnoring GroupRight MaybeGroupingLabels => GroupRight;
    }),
    rules!(FillModifiers {
        GroupModifiers => First;
        GroupModifiers Fill FillValue => FillBoth;
        GroupModifiers FillLeft FillValue => FillLeft;
        GroupModifiers FillRight FillValue => FillRight;
        GroupModifiers FillLeft FillValue FillRight FillValue => FillLeftRight;
        GroupModifiers FillRight FillValue FillLeft FillValue => FillRightLeft;
    }),
    rules!(GroupingLabels {
        LeftParen GroupingLabelList RightParen => Second;
        LeftParen GroupingLabelList Comma RightParen => Second;
        LeftParen RightParen => EmptyList;
        Error => Unexpected("grouping opts", "\"(\"");
    }),
    rules!(GroupingLabelList {
        GroupingLabelList Comma GroupingLabel => NextLabel;
        GroupingLabel => FirstLabel;
        GroupingLabelList Error => Unexpected("grouping opts", "\",\" or \")\"");
    }),
    rules!(GroupingLabel {
        MaybeLabel => GroupingName;
        Text => GroupingText;
        Error => Unexpected("grouping opts", "label");
    }),
    rules!(FillValue {
        LeftParen NumberDurationLiteral RightParen => FillValue;
        LeftParen UnaryOp NumberDurationLiteral RightParen => FillSignedValue;
    }),

    // Function calls.
    rules!(FunctionCall {
        Identifier FunctionCallBody => Call;
        AtModifierPreprocessors FunctionCallBody => Call;
        Step FunctionCallBody => Call;
        Range FunctionCallBody => Call;
        MaxOfMinOf FunctionCallBody => Call;
    }),
    rules!(FunctionCallBody {
        LeftParen FunctionCallArgs RightParen => Second;
        LeftParen RightParen => EmptyList;
    }),
    rules!(FunctionCallArgs {
        FunctionCallArgs Comma Expr => NextArgument;
        Expr => FirstArgument;
        FunctionCallArgs Comma => TrailingComma;
    }),
    rules!(ParenExpr { LeftParen Expr RightParen => ParenExpr; }),

    // Modifiers of selectors and subqueries.
    rules!(PositiveDurationExpr { DurationExpr => PositiveDuration; }),
    rules!(OffsetExpr {
        Expr Offset OffsetDurationExpr => OffsetBy;
        Expr Offset Error => Unexpected("offset", "number, duration, step(), or range()");
    }),
    rules!(AnchoredExpr { Expr Anchored => Anchored; }),
    rules!(SmoothedExpr { Expr Smoothed => Smoothed; }),
    rules!(StepInvariantExpr {
        Expr At SignedOrUnsignedNumber => AtTime;
        Expr At AtModifierPreprocessors LeftParen RightParen => AtBound;
        Expr At Error => Unexpected("@", "timestamp");
    }),
    rules!(AtModifierPreprocessors one of Start End_),
    rules!(MatrixSelector {
        Expr LeftBracket PositiveDurationExpr RightBracket => MatrixSelector;
    }),
    rules!(SubqueryExpr {
        Expr LeftBracket PositiveDurationExpr Colon PositiveDurationExpr RightBracket
            => SubqueryWithStep;
        Expr LeftBracket PositiveDurationExpr Colon RightBracket => Subquery;
        Expr LeftBracket PositiveDurationExpr Colon PositiveDurationExpr Error
            => Unexpected("subquery selector", "\"]\"");
        Expr LeftBracket PositiveDurationExpr Colon Error
            => Unexpected("subquery selector", "number, duration, step(), range(), or \"]\"");
        Expr LeftBracket PositiveDurationExpr Error
            => Unexpected("subquery or range", "\":\" or \"]\"");
        Expr LeftBracket Error
            => Unexpected("subquery or range selector", "number, duration, step(), or range()");
    }),
    rules!(UnaryExpr { UnaryOp Expr %prec Mul => UnaryExpr; }),

    // Selectors.
    rules!(VectorSelector {
        MetricName LabelMatchers => NamedSelectorWithMatchers;
        MetricName => NamedSelector;
        LabelMatchers => UnnamedSelector;
    }),
    rules!(LabelMatchers {
        LeftBrace LabelMatchList RightBrace => MatchersInBraces;
        LeftBrace LabelMatchList Comma RightBrace => MatchersInBraces;
        LeftBrace RightBrace => NoMatchers;
    }),
    rules!(LabelMatchList {
        LabelMatchList Comma LabelMatcher => NextMatcher;
        LabelMatcher => FirstMatcher;
        LabelMatchList Error => Unexpected("label matching", "\",\" or \"}\"");
    }),
    rules!(LabelMatcher {
        Identifier MatchOp Text => Matcher;
        StringIdentifier MatchOp Text => Matcher;
        StringIdentifier => NameMatcher;
        StringIdentifier MatchOp Error => Unexpected("label matching", "string");
        Identifier MatchOp Error => Unexpected("label matching", "string");
        Identifier Error => Unexpected("label matching", "label matching operator");
        Error => Unexpected("label matching", "identifier or \"}\"");
    }),

    // Label sets.
    rules!(Metric {
        MetricName LabelSet => NamedMetric;
        LabelSet => First;
    }),
    rules!(MetricName one of
        Avg Bottomk By Count CountValues Fill FillLeft FillRight Group Identifier Land Lor Lunless
        Max MetricIdentifier Min Offset Quantile Stddev Stdvar Sum Topk Without Start End_ Limitk
        LimitRatio Step Range Anchored Smoothed MaxOf MinOf),
    rules!(LabelSet {
        LeftBrace LabelSetList RightBrace => LabelsInBraces;
        LeftBrace LabelSetList Comma RightBrace => LabelsInBraces;
        LeftBrace RightBrace => NoLabels;
        => NoLabels;
    }),
    rules!(LabelSetList {
        LabelSetList Comma LabelSetItem => NextLabelPair;
        LabelSetItem => FirstLabelPair;
        LabelSetList Error => Unexpected("label set", "\",\" or \"}\"");
    }),
    rules!(LabelSetItem {
        Identifier Eql Text => LabelPair;
        StringIdentifier Eql Text => LabelPair;
        StringIdentifier => NameLabelPair;
        Identifier Eql Error => Unexpected("label set", "string");
        StringIdentifier Eql Error => Unexpected("label set", "string");
        Identifier Error => Unexpected("label set", "\"=\"");
        Error => Unexpected("label set", "identifier or \"}\"");
    }),

    // Series lines of unit tests.
    rules!(SeriesDescription { Metric SeriesValues => SeriesDescription; }),
    rules!(SeriesValues {
        => NoValues;
        SeriesValues Space SeriesItem => MoreValues;
        SeriesValues Space => First;
        Error => Unexpected("series values", "");
    }),
    rules!(SeriesItem {
        Blank => Gap;
        Blank Times Uint => Gaps;
        SeriesValue => OneValue;
        SeriesValue Times Uint => RepeatedValue;
        SeriesValue SignedNumber Times Uint => RisingValues;
        HistogramSeriesValue => OneHistogram;
        HistogramSeriesValue Times Uint => RepeatedHistogram;
        HistogramSeriesValue Add HistogramSeriesValue Times Uint => RisingHistograms;
        HistogramSeriesValue Sub HistogramSeriesValue Times Uint => FallingHistograms;
    }),
    rules!(SeriesValue {
        Identifier => StaleValue;
        NumberValue => First;
        SignedNumber => First;
    }),
    rules!(HistogramSeriesValue {
        OpenHist HistogramDescMap Space CloseHist => Histogram;
        OpenHist HistogramDescMap CloseHist => Histogram;
        OpenHist Space CloseHist => EmptyHistogram;
        OpenHist CloseHist => EmptyHistogram;
    }),
    rules!(HistogramDescMap {
        HistogramDescMap Space HistogramDescItem => MergeDescriptors;
        HistogramDescItem => First;
        HistogramDescMap Error => Unexpected(
            "histogram description",
            "histogram description key, e.g. buckets:[5 10 7]",
        );
    }),
    rules!(HistogramDescItem {
        SchemaDesc Colon Int => HistogramPart;
        SumDesc Colon SignedOrUnsignedNumber => HistogramPart;
        CountDesc Colon SignedOrUnsignedNumber => HistogramPart;
        ZeroBucketDesc Colon SignedOrUnsignedNumber => HistogramPart;
        ZeroBucketWidthDesc Colon NumberValue => HistogramPart;
        CustomValuesDesc Colon BucketSet => HistogramPart;
        BucketsDesc Colon BucketSet => HistogramPart;
        OffsetDesc Colon Int => HistogramPart;
        NegativeBucketsDesc Colon BucketSet => HistogramPart;
        NegativeOffsetDesc Colon Int => HistogramPart;
        CounterResetHintDesc Colon CounterResetHint => HistogramPart;
    }),
    rules!(BucketSet {
        LeftBracket BucketSetList Space RightBracket => Second;
        LeftBracket BucketSetList RightBracket => Second;
    }),
    rules!(BucketSetList {
        BucketSetList Space SignedOrUnsignedNumber => NextBucket;
        SignedOrUnsignedNumber => FirstBucket;
        BucketSetList Error => First;
    }),
    rules!(CounterResetHint one of UnknownCounterReset CounterReset NotCounterReset GaugeType),

    // Words.
    rules!(AggregateOp one of
        Avg Bottomk Count CountValues Group Max Min Quantile Stddev Stdvar Sum Topk Limitk
        LimitRatio),
    rules!(MaybeLabel one of
        Avg Bool Bottomk By Count CountValues Group GroupLeft GroupRight Fill FillLeft FillRight
        Identifier Ignoring Land Lor Lunless Max MetricIdentifier Min Offset On Quantile Stddev
        Stdvar Sum Topk Start End_ Atan2 Limitk LimitRatio Step Range Anchored Smoothed MaxOf
        MinOf),
    rules!(UnaryOp one of Add Sub),
    rules!(MatchOp one of Eql Neq EqlRegex NeqRegex),

    // Literals.
    rules!(NumberDurationLiteral {
        Number => NumberLiteral;
        Duration => DurationLiteral;
    }),
    rules!(NumberValue {
        Number => NumberValue;
        Duration => DurationValue;
    }),
    rules!(SignedNumber {
        Add NumberValue => Positive;
        Sub NumberValue => Negative;
    }),
    rules!(SignedOrUnsignedNumber {
        NumberValue => First;
        SignedNumber => First;
    }),
    rules!(Uint { Number => Repetitions; }),
    rules!(Int {
        Sub Uint => NegativeInteger;
        Uint => PositiveInteger;
    }),
    rules!(StringLiteral { Text => StringLiteral; }),
    rules!(StringIdentifier { Text => StringIdentifier; }),
    rules!(MaybeGroupingLabels {
        => EmptyList;
        GroupingLabels => First;
    }),

    // Duration expressions. An offset without parentheses takes one operand only, so
    // that `foo offset -2^2` is `(foo offset -2)^2`.
    rules!(OffsetDurationExpr {
        NumberDurationLiteral => DurationFromLiteral;
        UnaryOp NumberDurationLiteral => DurationFromSignedLiteral;
        Step LeftParen RightParen => DurationFunction;
        Range LeftParen RightParen => DurationFunction;
        UnaryOp Step LeftParen RightParen => SignedDurationFunction;
        UnaryOp Range LeftParen RightParen => SignedDurationFunction;
        MaxOfMinOf LeftParen DurationExpr Comma DurationExpr RightParen => DurationMinMax;
        UnaryOp MaxOfMinOf LeftParen DurationExpr Comma DurationExpr RightParen
            => SignedDurationMinMax;
        UnaryOp LeftParen DurationExpr RightParen %prec Mul => SignedParenDuration;
        DurationExpr => First;
    }),
    rules!(MaxOfMinOf one of MaxOf MinOf),
    rules!(DurationExpr {
        NumberDurationLiteral => DurationFromLiteral;
        UnaryOp DurationExpr %prec Mul => SignedDuration;
        DurationExpr Add DurationExpr => DurationArithmetic;
        DurationExpr Sub DurationExpr => DurationArithmetic;
        DurationExpr Mul DurationExpr => DurationArithmetic;
        DurationExpr Div DurationExpr => DurationArithmetic;
        DurationExpr Mod DurationExpr => DurationArithmetic;
        DurationExpr Pow DurationExpr => DurationArithmetic;
        Step LeftParen RightParen => DurationFunction;
        Range LeftParen RightParen => DurationFunction;
        MaxOfMinOf LeftParen DurationExpr Comma DurationExpr RightParen => DurationMinMax;
        ParenDurationExpr => First;
    }),
    rules!(ParenDurationExpr { LeftParen DurationExpr RightParen => ParenDuration; }),
];

/// Operators from the loosest to the tightest, as the grammar declares them.
#[rustfmt::skip]
const PRECEDENCES: &[(Associativity, &[Symbol])] = {
    use Symbol::*;
    &[
        (Associativity::Left, &[Lor]),
        (Associativity::Left, &[Land, Lunless]),
        (Associativity::Left, &[Eqlc, Gte, Gtr, Lss, Lte, Neq, TrimUpper, TrimLower]),
        (Associativity::Left, &[Add, Sub]),
        (Associativity::Left, &[Mul, Div, Mod, Atan2]),
        (Associativity::Right, &[Pow]),
        (Associativity::None, &[Offset]),
        // A bracket always begins a range or subquery of what stands before it.
        (Associativity::Right, &[LeftBracket]),
    ]
};

/// The automaton of the grammar; it depends on nothing but the tables above.
pub(crate) static AUTOMATON: LazyLock<Automaton> = LazyLock::new(|| {
    let precedences: Vec<_> = TERMINALS.iter().map(|t| precedence(*t)).collect();
    let mut productions = Vec::new();
    for rules in RULES {
        for (rhs, token, _) in rules.alternatives {
            let is_terminal = |s: &&Symbol| (**s as usize) < TERMINALS.len();
            let last = rhs.iter().rfind(is_terminal).copied();
            productions.push(Production {
                lhs: rules.lhs as u8,
                rhs: rhs.iter().map(|s| *s as u8).collect(),
                precedence: token.or(last).and_then(precedence),
            });
        }
    }
    Automaton::build(&Grammar {
        productions,
        n_terminals: TERMINALS.len() as u8,
        n_symbols: (TERMINALS.len() + NONTERMINALS.len()) as u8,
        precedences,
    })
});

/// What each rule of the automaton means, by its number.
pub(crate) static MEANINGS: LazyLock<Vec<Meaning>> = LazyLock::new(|| {
    let alternatives = RULES.iter().flat_map(|rules| rules.alternatives);
    alternatives.map(|(_, _, meaning)| *meaning).collect()
});

fn precedence(token: Symbol) -> Option<Precedence> {
    let found = (1u8..)
        .zip(PRECEDENCES)
        .find(|(_, (_, tokens))| tokens.contains(&token));
    found.map(|(level, (associativity, _))| Precedence {
        level,
        associativity: *associativity,
    })
}
