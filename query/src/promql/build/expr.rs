//! Operators, calls, aggregations, groupings and literals.

use kymo_storage::compat::duration;
use kymo_storage::compat::quote::{quote, quote_bytes, unquote};

use super::{
    Clause, MAX_DEPTH, Modifier, Node, TooDeep, TreeBuilder, Value, take, take_names, token,
};
use crate::promql::ast::{
    AggregateExpr, AggregateOp, BinaryExpr, BinaryOp, Call, Cardinality, Expr, ExprKind,
    NumberLiteral, Span, UnaryExpr, VectorMatching,
};
use crate::promql::functions::function;
use crate::promql::grammar::{Meaning, Symbol};
use crate::promql::literal::parse_number;
use crate::promql::token::Token;

impl Node {
    /// Makes a node whose deepest part has `below` levels.
    pub(super) fn new(span: Span, kind: ExprKind, below: u32) -> Result<Node, TooDeep> {
        if below >= MAX_DEPTH {
            return Err(TooDeep);
        }
        Ok(Node {
            expr: Expr { span, kind },
            depth: below + 1,
            is_bad_range: false,
        })
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }
}

/// Takes the expression at `index`. Where an error left none, an empty text
/// stands in for it: nothing can be said of that, so no second error follows.
pub(super) fn take_node(args: &mut [Value], index: usize) -> Node {
    match take(args, index) {
        Value::Expr(node) => node,
        _ => stand_in(Span::default()),
    }
}

pub(super) fn stand_in(span: Span) -> Node {
    Node {
        expr: Expr {
            span,
            kind: ExprKind::String(String::new()),
        },
        depth: 1,
        is_bad_range: false,
    }
}

fn take_args(args: &mut [Value], index: usize) -> Vec<Node> {
    match take(args, index) {
        Value::Args(nodes) => nodes,
        _ => Vec::new(),
    }
}

fn take_modifier(args: &mut [Value], index: usize) -> Box<Modifier> {
    match take(args, index) {
        Value::Modifier(modifier) => modifier,
        _ => Box::new(Modifier {
            matching: VectorMatching {
                card: Cardinality::OneToOne,
                labels: Vec::new(),
                on: false,
                include: Vec::new(),
                fill_left: None,
                fill_right: None,
            },
            return_bool: false,
        }),
    }
}

pub(super) fn take_literal(args: &mut [Value], index: usize) -> (NumberLiteral, Span) {
    match take(args, index) {
        Value::Literal(literal, span) => (literal, span),
        _ => (nothing(), Span::default()),
    }
}

/// Returns the number that stands in for a wrong one.
pub(super) fn nothing() -> NumberLiteral {
    NumberLiteral {
        value: 0.0,
        is_duration: false,
    }
}

impl TreeBuilder<'_> {
    pub(super) fn apply_to_expr(
        &mut self,
        meaning: Meaning,
        args: &mut [Value],
    ) -> Result<Value, TooDeep> {
        use Meaning::*;
        let value = match meaning {
            LiteralExpr => {
                let (literal, span) = take_literal(args, 0);
                Value::Expr(Node::new(span, ExprKind::Number(literal), 0)?)
            }
            TextExpr => take(args, 0),
            // The grammar always finds an expression in what could be a duration.
            DurationAsExpr => Value::Expr(stand_in(Span::default())),
            ParenExpr => {
                let inner = take_node(args, 1);
                let span = Span {
                    start: token(args, 0).span.start,
                    end: token(args, 2).span.end,
                };
                let below = inner.depth;
                let kind = ExprKind::Paren(Box::new(inner.expr));
                Value::Expr(Node::new(span, kind, below)?)
            }
            UnaryExpr => Value::Expr(unary(token(args, 0), take_node(args, 1))?),
            BinaryExpr => {
                let op = token(args, 1).symbol;
                let modifier = take_modifier(args, 2);
                let (lhs, rhs) = (take_node(args, 0), take_node(args, 3));
                Value::Expr(self.binary(lhs, op, *modifier, rhs)?)
            }
            AggregateGroupedBefore => {
                let (grouping, clause) = take_grouping(args, 1);
                let nodes = take_args(args, 2);
                self.aggregate(token(args, 0), grouping, clause, nodes, self.last_closing)?
            }
            AggregateGroupedBehind => {
                let (grouping, clause) = take_grouping(args, 2);
                let nodes = take_args(args, 1);
                self.aggregate(token(args, 0), grouping, clause, nodes, self.last_closing)?
            }
            AggregatePlain => {
                let nodes = take_args(args, 1);
                let end = self.lexer.previous_right_paren(self.last_closing);
                self.aggregate(token(args, 0), Vec::new(), Clause::By, nodes, end)?
            }
            AggregateWithoutArguments => {
                self.unexpected("aggregation", "");
                let op = token(args, 0);
                self.aggregate(op, Vec::new(), Clause::By, Vec::new(), self.last_closing)?
            }
            GroupBy => Value::Grouping(take_names(args, 1), Clause::By),
            GroupWithout => Value::Grouping(take_names(args, 1), Clause::Without),
            Call => {
                let name = token(args, 0);
                let nodes = take_args(args, 1);
                Value::Expr(self.call(name, nodes)?)
            }
            FirstArgument => Value::Args(vec![take_node(args, 0)]),
            NextArgument => {
                let mut nodes = take_args(args, 0);
                nodes.push(take_node(args, 2));
                Value::Args(nodes)
            }
            TrailingComma => {
                let comma = token(args, 1).span;
                self.error(comma, "trailing commas not allowed in function call args");
                take(args, 0)
            }
            FirstLabel => Value::Names(take_name(args, 0).into_iter().collect()),
            NextLabel => {
                let mut names = take_names(args, 0);
                names.extend(take_name(args, 2));
                Value::Names(names)
            }
            GroupingName => {
                let name = token(args, 0);
                Value::Name(self.text(name), name)
            }
            GroupingText => {
                let quoted = token(args, 0);
                let bytes = unquote(&self.text(quoted)).unwrap_or_default();
                let name = String::from_utf8(bytes.clone()).unwrap_or_default();
                if name.is_empty() {
                    let name = quote_bytes(&bytes);
                    let message = format!("invalid label name for grouping: {name}");
                    self.error(quoted.span, message);
                }
                Value::Name(name, quoted)
            }
            FillValue => take(args, 1),
            FillSignedValue => {
                let (mut literal, span) = take_literal(args, 2);
                if token(args, 1).symbol == Symbol::Sub {
                    literal.value = -literal.value;
                }
                Value::Literal(literal, span)
            }
            _ => modified(meaning, args),
        };
        Ok(value)
    }

    fn binary(
        &mut self,
        lhs: Node,
        op: Symbol,
        modifier: Modifier,
        rhs: Node,
    ) -> Result<Node, TooDeep> {
        let span = Span {
            start: lhs.expr.span.start,
            end: rhs.expr.span.end,
        };
        let fills = modifier.matching.fill_left.or(modifier.matching.fill_right);
        if fills.is_some() && !self.features.binop_fill_modifiers {
            self.error(
                span,
                "binop fill modifiers are experimental and not enabled",
            );
        }
        let below = lhs.depth.max(rhs.depth);
        let binary = BinaryExpr {
            op: binary_op(op),
            lhs: lhs.expr,
            rhs: rhs.expr,
            matching: Some(modifier.matching),
            return_bool: modifier.return_bool,
        };
        Node::new(span, ExprKind::Binary(Box::new(binary)), below)
    }

    fn aggregate(
        &mut self,
        op_token: Token,
        grouping: Vec<String>,
        clause: Clause,
        nodes: Vec<Node>,
        end: usize,
    ) -> Result<Value, TooDeep> {
        let span = Span {
            start: op_token.span.start,
            end,
        };
        let op = aggregate_op(op_token.symbol);
        if nodes.is_empty() {
            self.error(span, "no arguments for aggregate expression provided");
            return Ok(Value::Expr(stand_in(span)));
        }
        if op.is_experimental() && !self.features.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            self.error(span, message);
            return Ok(Value::Expr(stand_in(span)));
        }
        let expected = if op.has_param() { 2 } else { 1 };
        if nodes.len() != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                nodes.len()
            );
            self.error(span, message);
            return Ok(Value::Expr(stand_in(span)));
        }
        let below = nodes.iter().map(Node::depth).max().unwrap_or(0);
        let mut nodes = nodes.into_iter();
        let param = if op.has_param() { nodes.next() } else { None };
        let expr = nodes.next().unwrap_or_else(|| stand_in(span));
        let aggregate = AggregateExpr {
            op,
            expr: expr.expr,
            param: param.map(|node| node.expr),
            grouping,
            without: clause == Clause::Without,
        };
        let kind = ExprKind::Aggregate(Box::new(aggregate));
        Ok(Value::Expr(Node::new(span, kind, below)?))
    }

    fn call(&mut self, name_token: Token, nodes: Vec<Node>) -> Result<Node, TooDeep> {
        let name = self.text(name_token);
        let known = function(&name);
        match known {
            None => {
                let message = format!("unknown function with name {}", quote(&name));
                self.error(name_token.span, message);
            }
            Some(f) if f.experimental && !self.features.experimental_functions => {
                self.error(
                    name_token.span,
                    format!("function {} is not enabled", quote(&name)),
                );
            }
            Some(_) => {}
        }
        let span = Span {
            start: name_token.span.start,
            end: self.last_closing,
        };
        let below = nodes.iter().map(Node::depth).max().unwrap_or(0);
        let call = Call {
            func: known.map_or("", |f| f.name),
            args: nodes.into_iter().map(|node| node.expr).collect(),
        };
        Node::new(span, ExprKind::Call(call), below)
    }

    pub(super) fn apply_to_literal(&mut self, meaning: Meaning, args: &mut [Value]) -> Value {
        use Meaning::*;
        let first = token(args, 0);
        match meaning {
            NumberLiteral => Value::Literal(
                crate::promql::ast::NumberLiteral {
                    value: self.number(first),
                    is_duration: false,
                },
                first.span,
            ),
            DurationLiteral => Value::Literal(
                crate::promql::ast::NumberLiteral {
                    value: self.duration_s(first),
                    is_duration: true,
                },
                first.span,
            ),
            NumberValue => Value::Number(self.number(first)),
            DurationValue => Value::Number(self.duration_s(first)),
            Positive => take(args, 1),
            Negative => Value::Number(-super::take_number(args, 1)),
            Repetitions => Value::Count(self.repetitions(first)),
            PositiveInteger | NegativeInteger => {
                let at = usize::from(meaning == NegativeInteger);
                let count = match take(args, at) {
                    Value::Count(count) => count as i64,
                    _ => 0,
                };
                Value::Integer(if at == 1 { count.wrapping_neg() } else { count })
            }
            StringLiteral => {
                let text = self.unquoted(first);
                Value::Expr(Node {
                    expr: Expr {
                        span: first.span,
                        kind: ExprKind::String(text),
                    },
                    depth: 1,
                    is_bad_range: false,
                })
            }
            _ => Value::Name(self.unquoted(first), first),
        }
    }

    fn number(&mut self, token: Token) -> f64 {
        parse_number(&self.text(token)).unwrap_or_else(|error| {
            self.error(self.last.span, format!("error parsing number: {error}"));
            0.0
        })
    }

    fn duration_s(&mut self, token: Token) -> f64 {
        let ns = duration::parse_prometheus(&self.text(token)).unwrap_or_else(|error| {
            self.error(token.span, error.to_string());
            0
        });
        // As Go: whole seconds and the rest apart, each exact.
        (ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9
    }

    fn repetitions(&mut self, token: Token) -> u64 {
        let text = self.text(token);
        if let Ok(count) = text.parse() {
            return count;
        }
        let why = if text.bytes().all(|b| b.is_ascii_digit()) {
            "value out of range"
        } else {
            "invalid syntax"
        };
        let message = format!(
            "invalid repetition in series values: strconv.ParseUint: parsing {}: {why}",
            quote(&text)
        );
        self.error(token.span, message);
        0
    }
}

fn unary(op: Token, mut node: Node) -> Result<Node, TooDeep> {
    let negative = op.symbol == Symbol::Sub;
    if let ExprKind::Number(literal) = &mut node.expr.kind {
        if negative {
            literal.value = -literal.value;
        }
        node.expr.span.start = op.span.start;
        return Ok(node);
    }
    let span = Span {
        start: op.span.start,
        end: node.expr.span.end,
    };
    let below = node.depth;
    let expr = Box::new(node.expr);
    Node::new(span, ExprKind::Unary(UnaryExpr { negative, expr }), below)
}

fn take_grouping(args: &mut [Value], index: usize) -> (Vec<String>, Clause) {
    match take(args, index) {
        Value::Grouping(labels, clause) => (labels, clause),
        _ => (Vec::new(), Clause::By),
    }
}

fn take_name(args: &mut [Value], index: usize) -> Option<String> {
    match take(args, index) {
        Value::Name(name, _) => Some(name),
        _ => None,
    }
}

/// Applies the rules between a binary operator and its right side.
fn modified(meaning: Meaning, args: &mut [Value]) -> Value {
    use Meaning::*;
    let mut modifier = take_modifier(args, 0);
    let matching = &mut modifier.matching;
    let mut fill = |index| Some(take_literal(args, index).0.value);
    match meaning {
        ReturnBool => modifier.return_bool = true,
        MatchIgnoring => matching.labels = take_names(args, 2),
        MatchOn => {
            matching.on = true;
            matching.labels = take_names(args, 2);
        }
        GroupLeft => {
            matching.card = Cardinality::ManyToOne;
            matching.include = take_names(args, 2);
        }
        GroupRight => {
            matching.card = Cardinality::OneToMany;
            matching.include = take_names(args, 2);
        }
        FillBoth => {
            matching.fill_left = fill(2);
            matching.fill_right = matching.fill_left;
        }
        FillLeft => matching.fill_left = fill(2),
        FillRight => matching.fill_right = fill(2),
        FillLeftRight => {
            matching.fill_left = fill(2);
            matching.fill_right = fill(4);
        }
        FillRightLeft => {
            matching.fill_right = fill(2);
            matching.fill_left = fill(4);
        }
        _ => {}
    }
    Value::Modifier(modifier)
}

pub(super) fn binary_op(symbol: Symbol) -> BinaryOp {
    match symbol {
        Symbol::Sub => BinaryOp::Sub,
        Symbol::Mul => BinaryOp::Mul,
        Symbol::Div => BinaryOp::Div,
        Symbol::Mod => BinaryOp::Mod,
        Symbol::Pow => BinaryOp::Pow,
        Symbol::Atan2 => BinaryOp::Atan2,
        Symbol::Eqlc => BinaryOp::Eq,
        Symbol::Neq => BinaryOp::Ne,
        Symbol::Lss => BinaryOp::Lt,
        Symbol::Lte => BinaryOp::Le,
        Symbol::Gtr => BinaryOp::Gt,
        Symbol::Gte => BinaryOp::Ge,
        Symbol::Land => BinaryOp::And,
        Symbol::Lor => BinaryOp::Or,
        Symbol::Lunless => BinaryOp::Unless,
        Symbol::TrimLower => BinaryOp::TrimLower,
        Symbol::TrimUpper => BinaryOp::TrimUpper,
        _ => BinaryOp::Add,
    }
}

fn aggregate_op(symbol: Symbol) -> AggregateOp {
    match symbol {
        Symbol::Avg => AggregateOp::Avg,
        Symbol::Bottomk => AggregateOp::Bottomk,
        Symbol::Count => AggregateOp::Count,
        Symbol::CountValues => AggregateOp::CountValues,
        Symbol::Group => AggregateOp::Group,
        Symbol::Max => AggregateOp::Max,
        Symbol::Min => AggregateOp::Min,
        Symbol::Quantile => AggregateOp::Quantile,
        Symbol::Stddev => AggregateOp::Stddev,
        Symbol::Stdvar => AggregateOp::Stdvar,
        Symbol::Topk => AggregateOp::Topk,
        Symbol::Limitk => AggregateOp::Limitk,
        Symbol::LimitRatio => AggregateOp::LimitRatio,
        _ => AggregateOp::Sum,
    }
}
