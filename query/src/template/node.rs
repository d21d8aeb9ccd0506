//! The tree of a parsed template, and its printing for errors.
//!
//! A position is the byte where a node starts in the text it was parsed from. What is
//! printed is Go's text of a node: close to what was written, with spaces made even.

use std::fmt;

use kymo_storage::compat::quote;

use super::function::Function;
use super::number::Number;

/// What stands between two delimiters, in order.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) nodes: Vec<Node>,
}

/// One piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Call(Call),
    Break,
    Continue,
}

/// A condition or loop with what it guards.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) list: List,
    pub(super) otherwise: Option<List>,
}

/// The execution of another template.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) pos: usize,
    pub(super) name: String,
    pub(super) pipe: Option<Pipe>,
}

/// Commands of which each gives its value to the next.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) pos: usize,
    /// The variables that take the value.
    pub(super) variables: Vec<String>,
    /// Whether the variables exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand with its arguments. Never empty.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) pos: usize,
    pub(super) operands: Vec<Operand>,
}

/// A value, as it is written.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) pos: usize,
    pub(super) kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Function(&'static Function),
    /// Fields of the cursor.
    Field(Vec<String>),
    /// A variable with its dollar sign, and fields of it.
    Variable(Vec<String>),
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    String {
        quoted: String,
        value: super::Text,
    },
    Pipe(Pipe),
    /// Fields of something that is neither cursor nor variable.
    Chain {
        of: Box<Operand>,
        fields: Vec<String>,
    },
}

impl OperandKind {
    /// Tells whether nothing can be piped into the operand.
    pub(super) fn is_constant(&self) -> bool {
        matches!(
            self,
            OperandKind::Bool(_)
                | OperandKind::Dot
                | OperandKind::Nil
                | OperandKind::Number(_)
                | OperandKind::String { .. }
        )
    }
}

impl List {
    /// Tells whether there is nothing but spaces.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.iter().all(|node| match node {
            Node::Text(text) => text.trim().is_empty(),
            _ => false,
        })
    }
}

/// A node that an error can point at.
pub(super) trait Place: fmt::Display {
    /// Returns the byte where the node starts.
    fn pos(&self) -> usize;
}

impl Place for Pipe {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Place for Command {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Place for Operand {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl Place for Call {
    fn pos(&self) -> usize {
        self.pos
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote::quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, operand) in self.operands.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match &operand.kind {
                OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{operand}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Function(function) => f.write_str(function.name),
            OperandKind::Field(fields) => write_fields(f, fields),
            OperandKind::Variable(parts) => f.write_str(&parts.join(".")),
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number(number) => f.write_str(&number.text),
            OperandKind::String { quoted, .. } => f.write_str(quoted),
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
            OperandKind::Chain { of, fields } => {
                match &of.kind {
                    OperandKind::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{of}")?,
                }
                write_fields(f, fields)
            }
        }
    }
}

fn write_fields(f: &mut fmt::Formatter<'_>, fields: &[String]) -> fmt::Result {
    fields.iter().try_for_each(|field| write!(f, ".{field}"))
}
