//! Carries a template out: walks its tree and writes what it says.
//!
//! The walk keeps the node that Go would blame for an error; texts and columns come
//! from there. It is bounded three ways: by the bytes of output, by steps, and by how
//! deep templates call each other. Values are never larger than the output may be.

use std::fmt::Display;
use std::sync::Arc;

use kymo_storage::compat::quote;

use super::function::Host;
use super::node::{Branch, Call, List, Node, Pipe, Place};
use super::regexes::CompiledRegex;
use super::value::{IntType, Type, UintType, Value};
use super::{Limits, MissingKey, Template, print};

/// How deep templates may call each other.
const MAX_CALLS: usize = 100;

/// Bytes of a text that cost as much as one step.
const BYTES_PER_STEP: usize = 16;

/// Items of a list or map that cost as much as one step.
const ITEMS_PER_STEP: usize = 4;

/// Steps that a call of the host costs: it may run a query.
const HOST_STEPS: usize = 100;

/// Steps that the compilation of a regular expression costs.
const COMPILE_STEPS: usize = 2_000;

/// Why a walk ends early.
pub(super) enum Stop {
    Break,
    Continue,
    Error(String),
}

impl From<String> for Stop {
    fn from(message: String) -> Stop {
        Stop::Error(message)
    }
}

/// A variable with the value it has now.
struct Variable<'t> {
    name: &'t str,
    value: Value,
    /// The type it is known under, where that is not the type of the value.
    known_as: Option<Type>,
}

/// One execution.
pub(super) struct Exec<'t> {
    pub(super) template: &'t Template,
    pub(super) host: &'t dyn Host,
    pub(super) missing_key: MissingKey,
    limits: Limits,
    steps: u64,
    pub(super) out: Vec<u8>,
    /// The name of the template being walked.
    name: &'t str,
    variables: Vec<Variable<'t>>,
    calls: usize,
    /// The type that the cursor is known under, where that is not the type of its value.
    pub(super) dot_known_as: Option<Type>,
    /// The node that is to blame for an error.
    at: Option<&'t dyn Place>,
}

impl<'t> Exec<'t> {
    pub(super) fn new(
        template: &'t Template,
        host: &'t dyn Host,
        missing_key: MissingKey,
        limits: Limits,
    ) -> Exec<'t> {
        Exec {
            template,
            host,
            missing_key,
            limits,
            steps: 0,
            out: Vec::new(),
            name: template.name(),
            variables: Vec::new(),
            calls: 0,
            dot_known_as: None,
            at: None,
        }
    }

    /// Walks a template of the set with its data.
    pub(super) fn run(&mut self, name: &'t str, list: &'t List, data: Value) -> Result<(), String> {
        self.name = name;
        self.variables.push(Variable {
            name: "$",
            value: data.clone(),
            known_as: None,
        });
        match self.walk(&data, list) {
            Ok(()) => Ok(()),
            Err(Stop::Error(message)) => Err(message),
            // The parser lets neither stand outside of a loop.
            Err(Stop::Break | Stop::Continue) => Ok(()),
        }
    }

    pub(super) fn at(&mut self, place: &'t dyn Place) {
        self.at = Some(place);
    }

    /// Returns the error of a message at the node that is to blame.
    pub(super) fn error(&self, message: impl Display) -> String {
        let Some(place) = self.at else {
            return format!("template: {}: {message}", self.name);
        };
        let (line, column) = self.template.line_and_column(place.pos());
        format!(
            "template: {}:{line}:{column}: executing {} at <{place}>: {message}",
            self.template.name(),
            quote::quote(self.name)
        )
    }

    pub(super) fn fail<T>(&self, message: impl Display) -> Result<T, String> {
        Err(self.error(message))
    }

    /// Pays for a step and for the bytes that it moves.
    fn pay_for_bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.pay(1 + bytes / BYTES_PER_STEP)
    }

    /// Pays for what a function may look at.
    pub(super) fn pay_for_argument(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.pay(text.len() / BYTES_PER_STEP),
            Value::List(list) => self.pay(list.items().len() / ITEMS_PER_STEP),
            Value::Map(map) => self.pay(map.entries().len() / ITEMS_PER_STEP),
            _ => Ok(()),
        }
    }

    pub(super) fn pay_for_host(&mut self) -> Result<(), String> {
        self.pay(HOST_STEPS)
    }

    /// Returns a regular expression, compiled where the template has not used it yet.
    pub(super) fn regex(&mut self, pattern: &Value) -> Result<Arc<CompiledRegex>, String> {
        let pattern = match pattern {
            Value::String(pattern) => pattern.to_str().into_owned(),
            _ => String::new(),
        };
        if let Some(known) = self.template.regexes.get(&pattern) {
            return Ok(known);
        }
        self.pay(COMPILE_STEPS)?;
        Ok(self.template.regexes.compile(pattern))
    }

    pub(super) fn pay(&mut self, steps: usize) -> Result<(), String> {
        self.steps = self.steps.saturating_add(steps as u64);
        if self.steps > self.limits.steps {
            let limit = self.limits.steps;
            return self.fail(format_args!("template takes more than {limit} steps"));
        }
        Ok(())
    }

    /// Returns the most bytes that one value may have.
    pub(super) fn value_limit(&self) -> usize {
        self.limits.output_bytes
    }

    /// Returns a value that a function gave, unless it is too large.
    pub(super) fn bounded(&mut self, value: Value) -> Result<Value, String> {
        if let Value::String(text) = &value {
            let len = text.len();
            self.pay_for_bytes(len)?;
            if len > self.limits.output_bytes {
                return self.too_large();
            }
        }
        Ok(value)
    }

    fn too_large<T>(&self) -> Result<T, String> {
        let limit = self.limits.output_bytes;
        self.fail(format_args!("output is larger than {limit} bytes"))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.pay_for_bytes(bytes.len())?;
        if self.out.len() + bytes.len() > self.limits.output_bytes {
            return self.too_large();
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Walks a list with another cursor.
    fn walk_at(&mut self, dot: &Value, known_as: Option<Type>, list: &'t List) -> Result<(), Stop> {
        let outer = std::mem::replace(&mut self.dot_known_as, known_as);
        let outcome = self.walk(dot, list);
        self.dot_known_as = outer;
        outcome
    }

    fn walk(&mut self, dot: &Value, list: &'t List) -> Result<(), Stop> {
        for node in &list.nodes {
            self.pay(1)?;
            match node {
                Node::Text(text) => self.write(text.as_bytes())?,
                Node::Action(pipe) => {
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.print(&value)?;
                    }
                }
                Node::If(branch) => self.branch(dot, branch, Cursor::Stays)?,
                Node::With(branch) => self.branch(dot, branch, Cursor::Moves)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Call(call) => self.call(dot, call)?,
                Node::Break => return Err(Stop::Break),
                Node::Continue => return Err(Stop::Continue),
            }
        }
        Ok(())
    }

    fn print(&mut self, value: &Value) -> Result<(), String> {
        if let Value::String(text) = value {
            return self.write(text.as_bytes());
        }
        let limit = self.limits.output_bytes - self.out.len();
        match print::printable(value, limit) {
            Some(text) => self.write(&text),
            None => self.too_large(),
        }
    }

    fn branch(&mut self, dot: &Value, branch: &'t Branch, cursor: Cursor) -> Result<(), Stop> {
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let outcome = if value.is_true() {
            match cursor {
                Cursor::Moves => self.walk_at(&value, None, &branch.list),
                Cursor::Stays => self.walk(dot, &branch.list),
            }
        } else if let Some(otherwise) = &branch.otherwise {
            self.walk(dot, otherwise)
        } else {
            Ok(())
        };
        self.variables.truncate(mark);
        outcome
    }

    fn range(&mut self, dot: &Value, branch: &'t Branch) -> Result<(), Stop> {
        let mark = self.variables.len();
        let outcome = self.iterate(dot, branch);
        self.variables.truncate(mark);
        match outcome {
            Err(Stop::Break) => Ok(()),
            other => other,
        }
    }

    fn iterate(&mut self, dot: &Value, branch: &'t Branch) -> Result<(), Stop> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let single = branch.pipe.variables.len() <= 1;
        let mut empty = true;
        let items = value.pointee().kind().and_then(Type::hides_items);
        match value.pointee() {
            Value::Int(end, _) | Value::Number(end, _) if single => {
                for index in 0..*end {
                    empty = false;
                    self.iteration(branch, Value::Invalid, like(value.pointee(), index), None)?;
                }
            }
            Value::Uint(end, kind) if single => {
                for index in 0..*end {
                    empty = false;
                    self.iteration(branch, Value::Invalid, Value::Uint(index, *kind), None)?;
                }
            }
            number @ (Value::Int(..) | Value::Number(..) | Value::Uint(..)) => {
                let text = self.text_of(number);
                return Err(self
                    .error(format_args!(
                        "can't use {text} to iterate over more than one variable"
                    ))
                    .into());
            }
            Value::List(list) => {
                for (index, item) in list.items().iter().enumerate() {
                    empty = false;
                    self.iteration(branch, Value::int(index as i64), item.clone(), items)?;
                }
            }
            Value::Map(map) => {
                for (key, item) in map.entries() {
                    empty = false;
                    self.iteration(branch, Value::String(key.clone()), item.clone(), items)?;
                }
            }
            Value::Invalid => {}
            Value::Nil(Type::Named(_)) => {}
            other => {
                let text = self.text_of(other);
                return Err(self
                    .error(format_args!("range can't iterate over {text}"))
                    .into());
            }
        }
        match &branch.otherwise {
            Some(otherwise) if empty => self.walk(dot, otherwise),
            _ => Ok(()),
        }
    }

    fn iteration(
        &mut self,
        branch: &'t Branch,
        index: Value,
        item: Value,
        known_as: Option<Type>,
    ) -> Result<(), Stop> {
        self.pay(1)?;
        let mark = self.variables.len();
        let variables = &branch.pipe.variables;
        let values = match variables.len() {
            0 => Vec::new(),
            1 => vec![(item.clone(), known_as)],
            _ => vec![(index, None), (item.clone(), known_as)],
        };
        for (slot, (name, (value, known_as))) in variables.iter().zip(values).enumerate() {
            if branch.pipe.assigns {
                self.assign(name, value, known_as)?;
            } else {
                // The pipeline declared the variables, last of all.
                let at = mark - variables.len() + slot;
                self.variables[at].value = value;
                self.variables[at].known_as = known_as;
            }
        }
        let outcome = self.walk_at(&item, known_as, &branch.list);
        self.variables.truncate(mark);
        match outcome {
            Err(Stop::Continue) => Ok(()),
            other => other,
        }
    }

    /// Returns a value as `%v` prints it, for an error.
    pub(super) fn text_of(&self, value: &Value) -> String {
        let text = print::sprint(std::slice::from_ref(value), self.limits.output_bytes);
        text.map_or_else(String::new, |text| super::value::decode(&text))
    }

    fn call(&mut self, dot: &Value, call: &'t Call) -> Result<(), Stop> {
        self.at(call);
        let Some((name, list)) = self.template.lookup(&call.name) else {
            let name = quote::quote(&call.name);
            return Err(self
                .error(format_args!("template {name} not defined"))
                .into());
        };
        if self.calls == MAX_CALLS {
            return Err(self
                .error(format_args!(
                    "exceeded maximum template depth ({MAX_CALLS})"
                ))
                .into());
        }
        let data = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Invalid,
        };
        // The called template sees none of the caller's variables.
        let variable = Variable {
            name: "$",
            value: data.clone(),
            known_as: None,
        };
        let outer_variables = std::mem::replace(&mut self.variables, vec![variable]);
        let outer_name = std::mem::replace(&mut self.name, name);
        self.calls += 1;
        let outcome = self.walk_at(&data, None, list);
        if let Err(Stop::Error(_)) = &outcome {
            return outcome;
        }
        self.calls -= 1;
        self.name = outer_name;
        self.variables = outer_variables;
        outcome
    }

    /// Evaluates a pipeline and gives its value to the variables it declares.
    pub(super) fn pipeline(&mut self, dot: &Value, pipe: &'t Pipe) -> Result<Value, String> {
        self.at(pipe);
        let mut last = None;
        for command in &pipe.commands {
            let value = self.command(dot, command, last)?;
            last = Some(value.out_of_interface());
        }
        let value = last.unwrap_or(Value::Invalid);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone(), None)?;
            } else {
                self.variables.push(Variable {
                    name,
                    value: value.clone(),
                    known_as: None,
                });
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: Value, known_as: Option<Type>) -> Result<(), String> {
        let found = self.variables.iter_mut().rev().find(|v| v.name == name);
        match found {
            Some(variable) => {
                variable.value = value;
                variable.known_as = known_as;
                Ok(())
            }
            None => self.fail(format_args!("undefined variable: {name}")),
        }
    }

    /// Returns the value of a variable, with the type it is known under.
    pub(super) fn variable(&self, name: &str) -> Result<(Value, Option<Type>), String> {
        let found = self.variables.iter().rev().find(|v| v.name == name);
        match found {
            Some(variable) => Ok((variable.value.clone(), variable.known_as)),
            None => self.fail(format_args!("undefined variable: {name}")),
        }
    }
}

/// Whether a branch makes its value the cursor.
#[derive(Clone, Copy)]
enum Cursor {
    Moves,
    Stays,
}

/// Returns a number of the type of another.
fn like(number: &Value, value: i64) -> Value {
    match number {
        Value::Number(_, named) => Value::Number(value, named),
        Value::Int(_, kind) => Value::Int(value, *kind),
        _ => Value::Int(value, IntType::Int),
    }
}

/// Returns the integer that a number constant of a type is.
pub(super) fn signed(value: i64, kind: Type) -> Option<Value> {
    match kind {
        Type::Int(int) => Some(Value::Int(value, int)),
        Type::Named(named) => match named.shape {
            super::value::Shape::Int(_) => Some(Value::Number(value, named)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the unsigned integer that a number constant of a type is.
pub(super) fn unsigned(value: u64, kind: UintType) -> Value {
    Value::Uint(value, kind)
}

/// Returns a pointer to a value.
pub(super) fn pointer(value: Value) -> Value {
    Value::Pointer(Arc::new(value))
}
