//! What templates can call: a name, what it takes, and what it does.
//!
//! Tables of functions are constant. A function that depends on where the template
//! runs, such as the one that asks a query, is carried out by the [`Host`] that the
//! execution was given.

use kymo_storage::compat::regex::{Regex, RegexError};

use super::value::{Type, Value};

/// A function or method that templates can call.
#[derive(Debug)]
pub struct Function {
    /// The name in templates.
    pub name: &'static str,
    /// The types of the parameters. The last one of a variadic function may be given
    /// any number of times.
    pub parameters: &'static [Type],
    /// Whether the last parameter repeats.
    pub variadic: bool,
    /// What calling it does.
    pub body: Body,
}

/// A regular expression, or why there is none.
pub type Compiled<'a> = Result<&'a Regex, &'a RegexError>;

/// What calling a function does.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// It computes something from its arguments. The error completes the sentence
    /// `error calling NAME: ...`.
    Pure(fn(&[Value]) -> Result<Value, String>),
    /// It computes something whose size its arguments say; the second argument is the
    /// most bytes that the result may have.
    Sized(fn(&[Value], usize) -> Result<Value, String>),
    /// It applies the regular expression that its first argument is.
    Regex(fn(Compiled<'_>, &[Value]) -> Result<Value, String>),
    /// It is carried out by the host.
    Host,
    /// It returns its first false argument, or the last; the others are not evaluated.
    And,
    /// It returns its first true argument, or the last; the others are not evaluated.
    Or,
    /// It calls its first argument, of which there is no kind yet that can be called.
    Call,
}

impl Function {
    /// Returns a function that computes something from its arguments.
    pub const fn pure(
        name: &'static str,
        parameters: &'static [Type],
        body: fn(&[Value]) -> Result<Value, String>,
    ) -> Function {
        Function {
            name,
            parameters,
            variadic: false,
            body: Body::Pure(body),
        }
    }

    /// Returns a function that applies the expression that its first argument is.
    pub const fn regex(
        name: &'static str,
        parameters: &'static [Type],
        body: fn(Compiled<'_>, &[Value]) -> Result<Value, String>,
    ) -> Function {
        Function {
            name,
            parameters,
            variadic: false,
            body: Body::Regex(body),
        }
    }

    /// Returns a function whose last parameter repeats.
    pub const fn variadic(
        name: &'static str,
        parameters: &'static [Type],
        body: fn(&[Value]) -> Result<Value, String>,
    ) -> Function {
        Function {
            name,
            parameters,
            variadic: true,
            body: Body::Pure(body),
        }
    }

    /// Returns a function of the host.
    pub const fn host(name: &'static str, parameters: &'static [Type]) -> Function {
        Function {
            name,
            parameters,
            variadic: false,
            body: Body::Host,
        }
    }
}

/// Where a template runs: what its functions of the host ask.
pub trait Host {
    /// Calls a function of the host with arguments of the types it asks for.
    ///
    /// # Errors
    /// The text completes the sentence `error calling NAME: ...`.
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String>;
}

/// A host without functions.
pub struct NoHost;

impl Host for NoHost {
    fn call(&self, name: &str, _arguments: &[Value]) -> Result<Value, String> {
        Err(format!("{name} is not available here"))
    }
}

/// The functions that a template may call besides Go's own.
#[derive(Debug, Clone, Copy)]
pub struct Functions {
    tables: &'static [&'static [Function]],
}

impl Functions {
    /// Go's own functions alone.
    pub const BUILTIN: Functions = Functions { tables: &[] };
    /// Those of Prometheus' alerts.
    pub const PROMETHEUS: Functions = Functions {
        tables: &[super::prometheus::FUNCTIONS],
    };

    /// Those of `line_format` and `label_format`.
    pub const LOGS: Functions = Functions {
        tables: &[super::logs::FUNCTIONS],
    };

    /// Those of pipelines of followed logs: hashes, which the host carries out, and more of
    /// Sprig, besides those of log lines.
    pub const PIPELINE: Functions = Functions {
        tables: &[
            super::logs::FUNCTIONS,
            super::logs::HASHES,
            super::sprig::FUNCTIONS,
        ],
    };

    /// Returns the function of a name; later tables hide earlier ones and Go's own.
    pub(super) fn find(self, name: &str) -> Option<&'static Function> {
        let tables = self.tables.iter().rev().copied();
        tables
            .chain([super::builtins::FUNCTIONS, super::compare::FUNCTIONS])
            .flatten()
            .find(|function| function.name == name)
    }

    /// Returns the names of the functions besides Go's own.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.tables
            .iter()
            .copied()
            .flatten()
            .map(|function| function.name)
    }
}
