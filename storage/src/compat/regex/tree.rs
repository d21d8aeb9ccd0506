//! The tree of a parsed expression, its limits, and its translation for the engine.

use regex_syntax::hir::{
    self, Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition,
};

/// Go refuses trees higher than this.
pub(super) const MAX_HEIGHT: usize = 1000;

/// Go refuses expressions of more instructions than this (128 MiB of them).
pub(super) const MAX_SIZE: u64 = (128 << 20) / 40;

/// One node of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// Matches the empty text.
    Empty,
    /// One character; with `fold` in any case.
    Literal {
        /// The character, `None` for a surrogate, which no text holds.
        c: Option<char>,
        /// Whether case is ignored.
        fold: bool,
    },
    /// One character of a class.
    Class(ClassUnicode),
    /// One character, a line feed too where `newline` says so.
    Any {
        /// Whether a line feed matches.
        newline: bool,
    },
    /// A position.
    Look(Look),
    /// A capturing group.
    Group {
        /// The number of the group, from 1.
        index: u32,
        /// What is captured.
        sub: Box<Node>,
    },
    /// A repetition.
    Repeat {
        /// Least count.
        min: u32,
        /// Largest count, `None` for no limit.
        max: Option<u32>,
        /// Whether as many as possible are taken first.
        greedy: bool,
        /// Whether written as `{n,m}`: only those count for the limit.
        counted: bool,
        /// What is repeated.
        sub: Box<Node>,
    },
    /// One after the other; at least two.
    Concat(Vec<Node>),
    /// The first that matches; at least two.
    Alternate(Vec<Node>),
}

/// A node with what its limits need, so that they cost nothing to check.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) node: Node,
    pub(super) height: usize,
    pub(super) size: u64,
}

impl Measured {
    /// Wraps a node without children.
    pub(super) fn leaf(node: Node) -> Measured {
        Measured {
            node,
            height: 1,
            size: 1,
        }
    }

    /// Joins nodes one after the other.
    pub(super) fn concat(parts: Vec<Measured>) -> Measured {
        Measured::join(parts, Node::Concat, Node::Empty)
    }

    /// Joins alternatives.
    pub(super) fn alternate(parts: Vec<Measured>) -> Measured {
        Measured::join(parts, Node::Alternate, Node::Empty)
    }

    fn join(mut parts: Vec<Measured>, make: fn(Vec<Node>) -> Node, empty: Node) -> Measured {
        match parts.len() {
            0 => Measured::leaf(empty),
            1 => parts.remove(0),
            _ => Measured {
                height: 1 + parts.iter().map(|part| part.height).max().unwrap_or(0),
                size: parts.iter().map(|part| part.size).sum::<u64>(),
                node: make(parts.into_iter().map(|part| part.node).collect()),
            },
        }
    }

    /// Makes a capturing group of a node.
    pub(super) fn group(self, index: u32) -> Measured {
        Measured {
            height: self.height + 1,
            size: self.size + 2,
            node: Node::Group {
                index,
                sub: Box::new(self.node),
            },
        }
    }

    /// Repeats a node.
    pub(super) fn repeat(
        self,
        min: u32,
        max: Option<u32>,
        greedy: bool,
        counted: bool,
    ) -> Measured {
        let copies = u64::from(max.unwrap_or(min).max(1));
        Measured {
            height: self.height + 1,
            size: self.size.saturating_mul(copies).saturating_add(copies + 1),
            node: Node::Repeat {
                min,
                max,
                greedy,
                counted,
                sub: Box::new(self.node),
            },
        }
    }
}

/// Tells whether nested counted repetitions make at most `limit` copies.
pub(super) fn repeats_within(node: &Node, limit: u32) -> bool {
    match node {
        Node::Repeat {
            min,
            max,
            counted,
            sub,
            ..
        } => {
            let mut limit = limit;
            if *counted {
                let copies = max.unwrap_or(*min);
                if *max == Some(0) {
                    return true;
                }
                if copies > limit {
                    return false;
                }
                limit = limit.checked_div(copies).unwrap_or(limit);
            }
            repeats_within(sub, limit)
        }
        Node::Group { sub, .. } => repeats_within(sub, limit),
        Node::Concat(subs) | Node::Alternate(subs) => {
            subs.iter().all(|sub| repeats_within(sub, limit))
        }
        _ => true,
    }
}

impl Node {
    /// Translates the tree for the engine. Group names are not given on: unlike the
    /// engine, Go takes the same name twice.
    pub(crate) fn to_hir(&self) -> Hir {
        match self {
            Node::Empty => Hir::empty(),
            Node::Literal { c: None, .. } => Hir::fail(),
            Node::Literal {
                c: Some(c),
                fold: false,
            } => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Node::Literal {
                c: Some(c),
                fold: true,
            } => {
                let mut class = ClassUnicode::new([ClassUnicodeRange::new(*c, *c)]);
                class.case_fold_simple();
                Hir::class(Class::Unicode(class))
            }
            Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
            Node::Any { newline: true } => Hir::dot(hir::Dot::AnyChar),
            Node::Any { newline: false } => Hir::dot(hir::Dot::AnyCharExceptLF),
            Node::Look(look) => Hir::look(*look),
            Node::Group { index, sub } => Hir::capture(Capture {
                index: *index,
                name: None,
                sub: Box::new(sub.to_hir()),
            }),
            Node::Repeat {
                min,
                max,
                greedy,
                sub,
                ..
            } => Hir::repetition(Repetition {
                min: *min,
                max: *max,
                greedy: *greedy,
                sub: Box::new(sub.to_hir()),
            }),
            Node::Concat(subs) => Hir::concat(subs.iter().map(Node::to_hir).collect()),
            Node::Alternate(subs) => Hir::alternation(subs.iter().map(Node::to_hir).collect()),
        }
    }
}
