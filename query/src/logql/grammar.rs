//! The rules of LogQL, as a table.
//!
//! The table has the shape of Loki's grammar, because the shape decides what is said of
//! a wrong query (see `syntax`). What a rule means is named behind its arrow and done in
//! `build`.

use std::sync::LazyLock;

use crate::syntax::tables::{Associativity, Automaton, Grammar, Precedence, Production};

macro_rules! symbols {
    (terminals: $($terminal:ident $name:literal)*; nonterminals: $($nonterminal:ident)*;) => {
        /// The symbols of the grammar: tokens first, then what is made of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Symbol {
            $($terminal,)*
            $($nonterminal,)*
        }

        const TERMINALS: &[(Symbol, &str)] = &[$((Symbol::$terminal, $name)),*];
        const NONTERMINALS: &[Symbol] = &[$(Symbol::$nonterminal),*];
    };
}

// The order of the tokens is the one in which errors list them; the texts are their names
// there.
symbols! {
    terminals:
        End "$end"
        Error "error"
        Bytes "BYTES"
        Identifier "IDENTIFIER"
        Text "STRING"
        Number "NUMBER"
        Flag "FUNCTION_FLAG"
        Duration "DURATION"
        Range "RANGE"
        Eq "="
        Re "=~"
        Nre "!~"
        Npa "!>"
        OpenBrace "{"
        CloseBrace "}"
        CloseBracket "]"
        Comma ","
        Dot "."
        PipeMatch "|~"
        PipeExact "|="
        PipePattern "|>"
        OpenParen "("
        CloseParen ")"
        By "by"
        Without "without"
        CountOverTime "COUNT_OVER_TIME"
        Rate "RATE"
        RateCounter "RATE_COUNTER"
        Sum "SUM"
        Sort "SORT"
        SortDesc "SORT_DESC"
        Avg "AVG"
        Max "MAX"
        Min "MIN"
        Count "COUNT"
        Stddev "STDDEV"
        Stdvar "STDVAR"
        Bottomk "BOTTOMK"
        Topk "TOPK"
        ApproxTopk "APPROX_TOPK"
        BytesOverTime "BYTES_OVER_TIME"
        BytesRate "BYTES_RATE"
        Bool "bool"
        Json "json"
        Regexp "regexp"
        Logfmt "logfmt"
        Pipe "|"
        LineFormat "line_format"
        LabelFormat "label_format"
        Unwrap "unwrap"
        AvgOverTime "AVG_OVER_TIME"
        SumOverTime "SUM_OVER_TIME"
        MinOverTime "MIN_OVER_TIME"
        MaxOverTime "MAX_OVER_TIME"
        StdvarOverTime "STDVAR_OVER_TIME"
        StddevOverTime "STDDEV_OVER_TIME"
        QuantileOverTime "QUANTILE_OVER_TIME"
        BytesConversion "BYTES_CONV"
        DurationConversion "DURATION_CONV"
        DurationSecondsConversion "DURATION_SECONDS_CONV"
        FirstOverTime "FIRST_OVER_TIME"
        LastOverTime "LAST_OVER_TIME"
        AbsentOverTime "ABSENT_OVER_TIME"
        Vector "VECTOR"
        LabelReplace "label_replace"
        Unpack "unpack"
        Offset "offset"
        Pattern "pattern"
        Ip "ip"
        On "on"
        Ignoring "ignoring"
        GroupLeft "group_left"
        GroupRight "group_right"
        Decolorize "decolorize"
        Drop "drop"
        Keep "keep"
        Or "or"
        And "and"
        Unless "unless"
        CmpEq "=="
        Neq "!="
        Lt "<"
        Lte "<="
        Gt ">"
        Gte ">="
        Add "+"
        Sub "-"
        Mul "*"
        Div "/"
        Mod "%"
        Pow "^";
    nonterminals:
        Accept Root Expr LogExpr MetricExpr LogRangeExpr UnwrapExpr ConversionOp
        RangeAggregationExpr VectorAggregationExpr LabelReplaceExpr Selector Matchers Matcher
        PipelineExpr PipelineStage Filter FilterOp OrFilter LineFilter LineFilters ParserFlags
        LogfmtParser LabelParser JsonExpressionParser LogfmtExpressionParser LineFormatExpr
        DecolorizeExpr LabelFormatPair LabelFormatPairs LabelFormatExpr LabelFilter Extraction
        Extractions IpLabelFilter UnitFilter DurationFilter BytesFilter NumberFilter NamedMatcher
        NamedMatchers DropLabelsExpr KeepLabelsExpr BinaryExpr BoolModifier OnOrIgnoringModifier
        BinaryModifier LiteralExpr VectorExpr VectorWord VectorOp RangeOp OffsetExpr Labels
        Grouping;
}

impl Symbol {
    /// Returns the name of a terminal in error texts.
    pub(crate) fn name(terminal: u8) -> &'static str {
        let found = TERMINALS.get(usize::from(terminal));
        found.map_or("$unk", |(_, name)| name)
    }
}

/// What a rule means; `build` acts on it. Numbers are the places of the parts that matter
/// among the symbols of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The same as its first symbol.
    First,
    /// The same as its second symbol.
    Second,
    /// Nothing: an empty list, or a rule that only recovers from an error.
    Nothing,
    /// Its first symbol is the answer to the whole text.
    Finish,

    Log,
    Metric,
    Selector,
    SelectorWithPipeline,
    /// Where selector, pipeline, unwrap, window and offset stand; 9 where there is none.
    LogRange([u8; 5]),

    Unwrap,
    UnwrapConverted,
    UnwrapFilter,

    /// Where parameter, entries and grouping stand; 9 where there is none.
    RangeAggregation([u8; 3]),
    /// The same for parameter, inner expression and grouping.
    VectorAggregation([u8; 3]),
    LabelReplace,
    BinaryExpr,
    OneToOne,
    ReturnBool,
    /// `on` or `ignoring` with labels at the fourth place, if any.
    MatchOn,
    MatchIgnoring,
    GroupLeft,
    GroupRight,
    LiteralExpr,
    Literal,
    SignedLiteral,
    VectorLiteral,
    GroupBy,
    GroupWithout,
    OffsetBy,

    FirstMatcher,
    NextMatcher,
    Matcher,
    FirstStage,
    NextStage,
    LineFilters,
    FirstLineFilter,
    NextLineFilter,
    LineFilter,
    LineFilterIp,
    LineFilterOr,
    Operand,
    OperandAndMore,
    OperandIp,

    Flag,
    NextFlag,
    Logfmt,
    LogfmtWithFlags,
    LogfmtExtractions,
    LogfmtExtractionsWithFlags,
    Json,
    JsonExtractions,
    Regexp,
    Unpack,
    Pattern,
    LineFormat,
    Decolorize,
    LabelFormat,
    Rename,
    Template,
    FirstPair,
    NextPair,
    ExtractNamed,
    ExtractSame,
    FirstExtraction,
    NextExtraction,
    Drop,
    Keep,
    ChoiceOfName,
    ChoiceOfMatcher,
    FirstChoice,
    NextChoice,

    FilterStage,
    FilterText,
    FilterAnd(u8),
    FilterOr,
    FilterNumber,
    FilterDuration,
    FilterBytes,
    FilterIp,

    FirstLabel,
    NextLabel,
}

/// Stands for a part that a rule does not have.
pub(crate) const ABSENT: u8 = 9;

/// Rules for one nonterminal that stand together in the grammar.
struct Rules {
    lhs: Symbol,
    /// What each alternative consists of and what it means.
    alternatives: &'static [(&'static [Symbol], Meaning)],
}

macro_rules! rules {
    ($lhs:ident { $($($rhs:ident)* => $meaning:expr;)* }) => {
        Rules {
            lhs: Symbol::$lhs,
            alternatives: {
                #[allow(unused_imports, reason = "not every table names a meaning")]
                use Meaning::*;
                &[$((&[$(Symbol::$rhs),*], $meaning)),*]
            },
        }
    };
    ($lhs:ident one of $($token:ident)*) => {
        Rules {
            lhs: Symbol::$lhs,
            alternatives: &[$((&[Symbol::$token], Meaning::First)),*],
        }
    };
}

#[rustfmt::skip]
const RULES: &[Rules] = &[
    rules!(Accept { Root => First; }),
    rules!(Root { Expr => Finish; }),
    rules!(Expr {
        LogExpr => Log;
        MetricExpr => Metric;
    }),
    rules!(LogExpr {
        Selector => Selector;
        Selector PipelineExpr => SelectorWithPipeline;
        OpenParen LogExpr CloseParen => Second;
    }),
    rules!(MetricExpr {
        RangeAggregationExpr => First;
        VectorAggregationExpr => First;
        BinaryExpr => First;
        LiteralExpr => LiteralExpr;
        LabelReplaceExpr => First;
        VectorExpr => First;
        OpenParen MetricExpr CloseParen => Second;
    }),

    // Entries of a window. The numbers: selector, pipeline, unwrap, window, offset.
    rules!(LogRangeExpr {
        Selector Range => LogRange([0, 9, 9, 1, 9]);
        Selector Range OffsetExpr => LogRange([0, 9, 9, 1, 2]);
        OpenParen Selector CloseParen Range => LogRange([1, 9, 9, 3, 9]);
        OpenParen Selector CloseParen Range OffsetExpr => LogRange([1, 9, 9, 3, 4]);
        Selector Range UnwrapExpr => LogRange([0, 9, 2, 1, 9]);
        Selector Range OffsetExpr UnwrapExpr => LogRange([0, 9, 3, 1, 2]);
        OpenParen Selector CloseParen Range UnwrapExpr => LogRange([1, 9, 4, 3, 9]);
        OpenParen Selector CloseParen Range OffsetExpr UnwrapExpr => LogRange([1, 9, 5, 3, 4]);
        Selector UnwrapExpr Range => LogRange([0, 9, 1, 2, 9]);
        Selector UnwrapExpr Range OffsetExpr => LogRange([0, 9, 1, 2, 3]);
        OpenParen Selector UnwrapExpr CloseParen Range => LogRange([1, 9, 2, 4, 9]);
        OpenParen Selector UnwrapExpr CloseParen Range OffsetExpr => LogRange([1, 9, 2, 4, 5]);
        Selector PipelineExpr Range => LogRange([0, 1, 9, 2, 9]);
        Selector PipelineExpr Range OffsetExpr => LogRange([0, 1, 9, 2, 3]);
        OpenParen Selector PipelineExpr CloseParen Range => LogRange([1, 2, 9, 4, 9]);
        OpenParen Selector PipelineExpr CloseParen Range OffsetExpr => LogRange([1, 2, 9, 4, 5]);
        Selector PipelineExpr UnwrapExpr Range => LogRange([0, 1, 2, 3, 9]);
        Selector PipelineExpr UnwrapExpr Range OffsetExpr => LogRange([0, 1, 2, 3, 4]);
        OpenParen Selector PipelineExpr UnwrapExpr CloseParen Range => LogRange([1, 2, 3, 5, 9]);
        OpenParen Selector PipelineExpr UnwrapExpr CloseParen Range OffsetExpr
            => LogRange([1, 2, 3, 5, 6]);
        Selector Range PipelineExpr => LogRange([0, 2, 9, 1, 9]);
        Selector Range OffsetExpr PipelineExpr => LogRange([0, 3, 9, 1, 2]);
        Selector Range PipelineExpr UnwrapExpr => LogRange([0, 2, 3, 1, 9]);
        Selector Range OffsetExpr PipelineExpr UnwrapExpr => LogRange([0, 3, 4, 1, 2]);
        OpenParen LogRangeExpr CloseParen => Second;
        LogRangeExpr Error => First;
    }),
    rules!(UnwrapExpr {
        Pipe Unwrap Identifier => Unwrap;
        Pipe Unwrap ConversionOp OpenParen Identifier CloseParen => UnwrapConverted;
        UnwrapExpr Pipe LabelFilter => UnwrapFilter;
    }),
    rules!(ConversionOp one of BytesConversion DurationConversion DurationSecondsConversion),

    // Aggregations.
    rules!(RangeAggregationExpr {
        RangeOp OpenParen LogRangeExpr CloseParen => RangeAggregation([9, 2, 9]);
        RangeOp OpenParen Number Comma LogRangeExpr CloseParen => RangeAggregation([2, 4, 9]);
        RangeOp OpenParen LogRangeExpr CloseParen Grouping => RangeAggregation([9, 2, 4]);
        RangeOp OpenParen Number Comma LogRangeExpr CloseParen Grouping
            => RangeAggregation([2, 4, 6]);
    }),
    rules!(VectorAggregationExpr {
        VectorOp OpenParen MetricExpr CloseParen => VectorAggregation([9, 2, 9]);
        VectorOp Grouping OpenParen MetricExpr CloseParen => VectorAggregation([9, 3, 1]);
        VectorOp OpenParen MetricExpr CloseParen Grouping => VectorAggregation([9, 2, 4]);
        VectorOp OpenParen Number Comma MetricExpr CloseParen => VectorAggregation([2, 4, 9]);
        VectorOp OpenParen Number Comma MetricExpr CloseParen Grouping
            => VectorAggregation([2, 4, 6]);
        VectorOp Grouping OpenParen Number Comma MetricExpr CloseParen
            => VectorAggregation([3, 5, 1]);
    }),
    rules!(LabelReplaceExpr {
        LabelReplace OpenParen MetricExpr Comma Text Comma Text Comma Text Comma Text CloseParen
            => LabelReplace;
    }),

    // Selectors.
    rules!(Selector {
        OpenBrace Matchers CloseBrace => Second;
        OpenBrace Matchers Error => Second;
        OpenBrace CloseBrace => Nothing;
    }),
    rules!(Matchers {
        Matcher => FirstMatcher;
        Matchers Comma Matcher => NextMatcher;
    }),
    rules!(Matcher {
        Identifier Eq Text => Matcher;
        Identifier Neq Text => Matcher;
        Identifier Re Text => Matcher;
        Identifier Nre Text => Matcher;
    }),

    // Pipelines.
    rules!(PipelineExpr {
        PipelineStage => FirstStage;
        PipelineExpr PipelineStage => NextStage;
    }),
    rules!(PipelineStage {
        LineFilters => LineFilters;
        Pipe LogfmtParser => Second;
        Pipe LabelParser => Second;
        Pipe JsonExpressionParser => Second;
        Pipe LogfmtExpressionParser => Second;
        Pipe LabelFilter => FilterStage;
        Pipe LineFormatExpr => Second;
        Pipe DecolorizeExpr => Second;
        Pipe LabelFormatExpr => Second;
        Pipe DropLabelsExpr => Second;
        Pipe KeepLabelsExpr => Second;
    }),
    rules!(Filter one of PipeMatch PipeExact PipePattern Nre Neq Npa),
    rules!(FilterOp one of Ip),
    rules!(OrFilter {
        Text => Operand;
        Text Or OrFilter => OperandAndMore;
        FilterOp OpenParen Text CloseParen => OperandIp;
    }),
    rules!(LineFilter {
        Filter Text => LineFilter;
        Filter FilterOp OpenParen Text CloseParen => LineFilterIp;
        LineFilter Or OrFilter => LineFilterOr;
    }),
    rules!(LineFilters {
        LineFilter => FirstLineFilter;
        LineFilters LineFilter => NextLineFilter;
    }),
    rules!(ParserFlags {
        Flag => Flag;
        ParserFlags Flag => NextFlag;
    }),
    rules!(LogfmtParser {
        Logfmt => Logfmt;
        Logfmt ParserFlags => LogfmtWithFlags;
    }),
    rules!(LabelParser {
        Json => Json;
        Regexp Text => Regexp;
        Unpack => Unpack;
        Pattern Text => Pattern;
    }),
    rules!(JsonExpressionParser { Json Extractions => JsonExtractions; }),
    rules!(LogfmtExpressionParser {
        Logfmt ParserFlags Extractions => LogfmtExtractionsWithFlags;
        Logfmt Extractions => LogfmtExtractions;
    }),
    rules!(LineFormatExpr { LineFormat Text => LineFormat; }),
    rules!(DecolorizeExpr { Decolorize => Decolorize; }),
    rules!(LabelFormatPair {
        Identifier Eq Identifier => Rename;
        Identifier Eq Text => Template;
    }),
    rules!(LabelFormatPairs {
        LabelFormatPair => FirstPair;
        LabelFormatPairs Comma LabelFormatPair => NextPair;
        LabelFormatPairs Comma Error => First;
    }),
    rules!(LabelFormatExpr { LabelFormat LabelFormatPairs => LabelFormat; }),

    // Label filters. Only `and` and `or` bind differently; what follows a comma or
    // nothing at all is read to its end first.
    rules!(LabelFilter {
        Matcher => FilterText;
        IpLabelFilter => First;
        UnitFilter => First;
        NumberFilter => First;
        OpenParen LabelFilter CloseParen => Second;
        LabelFilter LabelFilter => FilterAnd(1);
        LabelFilter And LabelFilter => FilterAnd(2);
        LabelFilter Comma LabelFilter => FilterAnd(2);
        LabelFilter Or LabelFilter => FilterOr;
    }),
    rules!(Extraction {
        Identifier Eq Text => ExtractNamed;
        Identifier => ExtractSame;
    }),
    rules!(Extractions {
        Extraction => FirstExtraction;
        Extractions Comma Extraction => NextExtraction;
    }),
    rules!(IpLabelFilter {
        Identifier Eq Ip OpenParen Text CloseParen => FilterIp;
        Identifier Neq Ip OpenParen Text CloseParen => FilterIp;
    }),
    rules!(UnitFilter {
        DurationFilter => First;
        BytesFilter => First;
    }),
    rules!(DurationFilter {
        Identifier Gt Duration => FilterDuration;
        Identifier Gte Duration => FilterDuration;
        Identifier Lt Duration => FilterDuration;
        Identifier Lte Duration => FilterDuration;
        Identifier Neq Duration => FilterDuration;
        Identifier Eq Duration => FilterDuration;
        Identifier CmpEq Duration => FilterDuration;
    }),
    rules!(BytesFilter {
        Identifier Gt Bytes => FilterBytes;
        Identifier Gte Bytes => FilterBytes;
        Identifier Lt Bytes => FilterBytes;
        Identifier Lte Bytes => FilterBytes;
        Identifier Neq Bytes => FilterBytes;
        Identifier Eq Bytes => FilterBytes;
        Identifier CmpEq Bytes => FilterBytes;
    }),
    rules!(NumberFilter {
        Identifier Gt LiteralExpr => FilterNumber;
        Identifier Gte LiteralExpr => FilterNumber;
        Identifier Lt LiteralExpr => FilterNumber;
        Identifier Lte LiteralExpr => FilterNumber;
        Identifier Neq LiteralExpr => FilterNumber;
        Identifier Eq LiteralExpr => FilterNumber;
        Identifier CmpEq LiteralExpr => FilterNumber;
    }),
    rules!(NamedMatcher {
        Identifier => ChoiceOfName;
        Matcher => ChoiceOfMatcher;
    }),
    rules!(NamedMatchers {
        NamedMatcher => FirstChoice;
        NamedMatchers Comma NamedMatcher => NextChoice;
    }),
    rules!(DropLabelsExpr { Drop NamedMatchers => Drop; }),
    rules!(KeepLabelsExpr { Keep NamedMatchers => Keep; }),

    // Binary operators. Precedence works on the tokens of a rule, so each operator needs
    // its own.
    rules!(BinaryExpr {
        Expr Or BinaryModifier Expr => BinaryExpr;
        Expr And BinaryModifier Expr => BinaryExpr;
        Expr Unless BinaryModifier Expr => BinaryExpr;
        Expr Add BinaryModifier Expr => BinaryExpr;
        Expr Sub BinaryModifier Expr => BinaryExpr;
        Expr Mul BinaryModifier Expr => BinaryExpr;
        Expr Div BinaryModifier Expr => BinaryExpr;
        Expr Mod BinaryModifier Expr => BinaryExpr;
        Expr Pow BinaryModifier Expr => BinaryExpr;
        Expr CmpEq BinaryModifier Expr => BinaryExpr;
        Expr Neq BinaryModifier Expr => BinaryExpr;
        Expr Gt BinaryModifier Expr => BinaryExpr;
        Expr Gte BinaryModifier Expr => BinaryExpr;
        Expr Lt BinaryModifier Expr => BinaryExpr;
        Expr Lte BinaryModifier Expr => BinaryExpr;
    }),
    rules!(BoolModifier {
        => OneToOne;
        Bool => ReturnBool;
    }),
    rules!(OnOrIgnoringModifier {
        BoolModifier On OpenParen Labels CloseParen => MatchOn;
        BoolModifier On OpenParen CloseParen => MatchOn;
        BoolModifier Ignoring OpenParen Labels CloseParen => MatchIgnoring;
        BoolModifier Ignoring OpenParen CloseParen => MatchIgnoring;
    }),
    rules!(BinaryModifier {
        BoolModifier => First;
        OnOrIgnoringModifier => First;
        OnOrIgnoringModifier GroupLeft => GroupLeft;
        OnOrIgnoringModifier GroupLeft OpenParen CloseParen => GroupLeft;
        OnOrIgnoringModifier GroupLeft OpenParen Labels CloseParen => GroupLeft;
        OnOrIgnoringModifier GroupRight => GroupRight;
        OnOrIgnoringModifier GroupRight OpenParen CloseParen => GroupRight;
        OnOrIgnoringModifier GroupRight OpenParen Labels CloseParen => GroupRight;
    }),

    // Literals and words.
    rules!(LiteralExpr {
        Number => Literal;
        Add Number => SignedLiteral;
        Sub Number => SignedLiteral;
    }),
    rules!(VectorExpr { VectorWord OpenParen Number CloseParen => VectorLiteral; }),
    rules!(VectorWord one of Vector),
    rules!(VectorOp one of
        Sum Avg Count Max Min Stddev Stdvar Bottomk Topk Sort SortDesc ApproxTopk),
    rules!(RangeOp one of
        CountOverTime Rate RateCounter BytesOverTime BytesRate AvgOverTime SumOverTime MinOverTime
        MaxOverTime StdvarOverTime StddevOverTime QuantileOverTime FirstOverTime LastOverTime
        AbsentOverTime),
    rules!(OffsetExpr { Offset Duration => OffsetBy; }),
    rules!(Labels {
        Identifier => FirstLabel;
        Labels Comma Identifier => NextLabel;
    }),
    rules!(Grouping {
        By OpenParen Labels CloseParen => GroupBy;
        Without OpenParen Labels CloseParen => GroupWithout;
        By OpenParen CloseParen => GroupBy;
        Without OpenParen CloseParen => GroupWithout;
    }),
];

/// Operators from the loosest to the tightest.
#[rustfmt::skip]
const PRECEDENCES: &[(Associativity, &[Symbol])] = {
    use Symbol::*;
    &[
        (Associativity::Left, &[Or]),
        (Associativity::Left, &[And, Unless]),
        (Associativity::Left, &[CmpEq, Neq, Lt, Lte, Gt, Gte]),
        (Associativity::Left, &[Add, Sub]),
        (Associativity::Left, &[Mul, Div, Mod]),
        (Associativity::Right, &[Pow]),
    ]
};

/// The automaton of the grammar; it depends on nothing but the tables above.
pub(crate) static AUTOMATON: LazyLock<Automaton> = LazyLock::new(|| {
    let mut productions = Vec::new();
    for rules in RULES {
        for (rhs, _) in rules.alternatives {
            let is_terminal = |s: &&Symbol| (**s as usize) < TERMINALS.len();
            let last = rhs.iter().rfind(is_terminal).copied();
            productions.push(Production {
                lhs: rules.lhs as u8,
                rhs: rhs.iter().map(|s| *s as u8).collect(),
                precedence: last.and_then(precedence),
            });
        }
    }
    Automaton::build(&Grammar {
        productions,
        n_terminals: TERMINALS.len() as u8,
        n_symbols: (TERMINALS.len() + NONTERMINALS.len()) as u8,
        precedences: TERMINALS.iter().map(|(t, _)| precedence(*t)).collect(),
    })
});

/// What each rule of the automaton means, by its number.
pub(crate) static MEANINGS: LazyLock<Vec<Meaning>> = LazyLock::new(|| {
    let alternatives = RULES.iter().flat_map(|rules| rules.alternatives);
    alternatives.map(|(_, meaning)| *meaning).collect()
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
