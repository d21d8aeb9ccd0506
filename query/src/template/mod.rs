//! Go's text templates: what alert annotations, log lines and notifications are
//! written in.
//!
//! ```text
//! text --lex--> tokens --parse--> trees --exec, eval--> bytes
//!                                   ^          |
//!                       functions --+          +--> print (Go's fmt)
//! ```
//!
//! A [`Template`] is parsed once, with a table of [`Functions`] that it may call, and
//! executed any number of times over a [`Value`]. What a function cannot know by
//! itself, such as the answer of a query, it asks the [`Host`] of the execution.
//! [`alert::Expander`] puts it together for alerts.
//!
//! Behaviour, error texts with their lines and columns included, is that of
//! `text/template` and `fmt` of Go. Two things differ on purpose: an execution is
//! bounded (see [`Limits`]), and how deep things may nest is smaller, so that no
//! template can exhaust the stack.
//!
//! Invariant: no text, whatever it holds, makes parsing or executing panic.

pub mod alert;
pub mod logs;

mod builtins;
mod compare;
mod eval;
mod exec;
mod fields;
mod function;
mod histogram;
mod lex;
mod node;
mod number;
mod parse;
mod print;
mod prometheus;
mod regexes;
mod sprig;
mod stamp;
mod time;
mod unicode;
mod value;

pub(crate) use fields::PlainPart;
pub use function::{Body, Compiled, Function, Functions, Host, NoHost};
pub use prometheus::Sample;
pub use stamp::TimeLayout;
pub use time::Time;
pub(crate) use unicode::{is_digit, is_letter};
pub use value::{
    ANY_LIST, ANY_MAP, IntType, List, Map, NamedType, STRING_LIST, STRING_MAP, Shape, Struct, Text,
    Type, UintType, Value,
};

use node::List as Nodes;

/// What an execution may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of output, and of any one value on the way.
    pub output_bytes: usize,
    /// The most steps. Each node and command takes one, texts take more by their length,
    /// calls of the host and new regular expressions many.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            output_bytes: 1 << 20,
            steps: 1_000_000,
        }
    }
}

/// What a template gets for a key that a map does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// No value, which prints as `<no value>`.
    #[default]
    Invalid,
    /// The zero value of the map's values.
    Zero,
    /// An error.
    Error,
}

/// A template that cannot be parsed or executed, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// The text is no template.
    #[error("{0}")]
    Parse(String),
    /// The execution failed.
    #[error("{0}")]
    Exec(String),
}

/// A parsed template with the templates that its text defines.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    trees: parse::Trees,
    regexes: regexes::Regexes,
}

impl Template {
    /// Parses a text. The name stands in errors.
    ///
    /// # Errors
    /// [`TemplateError::Parse`], as `template: NAME:LINE: ...`.
    pub fn parse(name: &str, text: &str, functions: Functions) -> Result<Template, TemplateError> {
        let trees = parse::parse(name, text, functions).map_err(TemplateError::Parse)?;
        Ok(Template {
            name: name.to_owned(),
            text: text.to_owned(),
            trees,
            regexes: regexes::Regexes::default(),
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Executes the template over data.
    ///
    /// # Errors
    /// [`TemplateError::Exec`], as `template: NAME:LINE:COLUMN: executing ...`.
    pub fn execute(
        &self,
        data: Value,
        host: &dyn Host,
        missing_key: MissingKey,
        limits: Limits,
    ) -> Result<Vec<u8>, TemplateError> {
        let mut exec = exec::Exec::new(self, host, missing_key, limits);
        if let Some((name, list)) = self.lookup(&self.name) {
            exec.run(name, list, data).map_err(TemplateError::Exec)?;
        }
        Ok(exec.out)
    }

    fn lookup(&self, name: &str) -> Option<(&str, &Nodes)> {
        let (name, list) = self.trees.get_key_value(name)?;
        Some((name.as_str(), list))
    }

    /// Returns the line, from one, and the byte in it, from zero, of a position.
    fn line_and_column(&self, pos: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..pos.min(self.text.len())];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let line_start = before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1);
        (lines + 1, before.len() - line_start)
    }
}
