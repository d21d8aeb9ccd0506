//! The value of a command: operands, fields, methods and function calls.

use super::MissingKey;
use super::exec::{Exec, signed, unsigned};
use super::function::{Body, Function};
use super::node::{Command, Operand, OperandKind, Place};
use super::number::Number;
use super::value::{Shape, Type, Value};

use kymo_storage::compat::quote;

impl<'t> Exec<'t> {
    /// Evaluates a command. `last` is what is piped into it.
    pub(super) fn command(
        &mut self,
        dot: &Value,
        command: &'t Command,
        last: Option<Value>,
    ) -> Result<Value, String> {
        self.pay(1)?;
        let arguments = &command.operands[1..];
        let first = &command.operands[0];
        match &first.kind {
            OperandKind::Field(fields) => {
                self.at(first);
                let start = (dot.clone(), self.dot_known_as);
                self.fields(dot, start, first, fields, arguments, last)
            }
            OperandKind::Chain { of, fields } => {
                self.chain(dot, first, of, fields, arguments, last)
            }
            OperandKind::Function(function) => {
                self.at(first);
                self.function(dot, function, command, arguments, last)
            }
            OperandKind::Pipe(pipe) => {
                self.no_arguments(first, arguments, last.as_ref())?;
                self.pipeline(dot, pipe)
            }
            OperandKind::Variable(parts) => self.variable_node(dot, first, parts, arguments, last),
            _ => {
                self.at(first);
                self.no_arguments(first, arguments, last.as_ref())?;
                match &first.kind {
                    OperandKind::Nil => self.fail("nil is not a command"),
                    _ => self.constant(dot, first),
                }
            }
        }
    }

    fn no_arguments(
        &self,
        operand: &Operand,
        arguments: &[Operand],
        last: Option<&Value>,
    ) -> Result<(), String> {
        if arguments.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format_args!(
            "can't give argument to non-function {operand}"
        ))
    }

    /// Returns the value of an operand whose type nothing around it decides.
    fn constant(&mut self, dot: &Value, operand: &'t Operand) -> Result<Value, String> {
        self.at(operand);
        match &operand.kind {
            OperandKind::Bool(value) => Ok(Value::Bool(*value)),
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::String { value, .. } => Ok(Value::String(value.clone())),
            OperandKind::Number(number) => self.ideal(number),
            _ => self.fail(format_args!("can't evaluate command {operand}")),
        }
    }

    /// Returns the value that the writing of a number suggests.
    fn ideal(&self, number: &Number) -> Result<Value, String> {
        if let Some((real, imaginary)) = number.complex {
            return Ok(Value::Complex(real, imaginary));
        }
        if let Some(value) = number.float.filter(|_| number.looks_like_float()) {
            return Ok(Value::Float(value));
        }
        match (number.int, number.uint) {
            (Some(value), _) => Ok(Value::int(value)),
            (None, Some(_)) => self.fail(format_args!("{} overflows int", number.text)),
            (None, None) => Ok(Value::Invalid),
        }
    }

    fn chain(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        of: &'t Operand,
        fields: &'t [String],
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value, String> {
        self.at(operand);
        if let OperandKind::Nil = of.kind {
            return self.fail(format_args!(
                "indirection through explicit nil in {operand}"
            ));
        }
        let receiver = match &of.kind {
            OperandKind::Pipe(pipe) => {
                self.at(of);
                self.pipeline(dot, pipe)?
            }
            _ => self.argument(dot, Type::Reflect, of)?,
        };
        self.fields(dot, (receiver, None), operand, fields, arguments, last)
    }

    fn variable_node(
        &mut self,
        dot: &Value,
        operand: &'t Operand,
        parts: &'t [String],
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value, String> {
        self.at(operand);
        let start = self.variable(&parts[0])?;
        if parts.len() == 1 {
            self.no_arguments(operand, arguments, last.as_ref())?;
            return Ok(start.0);
        }
        self.fields(dot, start, operand, &parts[1..], arguments, last)
    }

    /// Follows fields; the last one may be a method that takes the arguments.
    fn fields(
        &mut self,
        dot: &Value,
        start: (Value, Option<Type>),
        operand: &'t Operand,
        fields: &'t [String],
        arguments: &'t [Operand],
        mut last: Option<Value>,
    ) -> Result<Value, String> {
        let (mut receiver, mut known_as) = start;
        for (index, name) in fields.iter().enumerate() {
            let ends = index + 1 == fields.len();
            let arguments = if ends { arguments } else { &[] };
            let last = if ends { last.take() } else { None };
            let access = Access {
                name,
                operand,
                arguments,
                known_as,
            };
            (receiver, known_as) = self.field(dot, receiver, access, last)?;
        }
        Ok(receiver)
    }

    /// Evaluates one field or method. Returns it with the type that it is declared
    /// with, where that is not the type of its value.
    fn field(
        &mut self,
        dot: &Value,
        receiver: Value,
        access: Access<'t>,
        last: Option<Value>,
    ) -> Result<(Value, Option<Type>), String> {
        let name = access.name;
        let Some(kind) = receiver.kind() else {
            if self.missing_key == MissingKey::Error {
                let name = quote::quote(name);
                return self.fail(format_args!("nil data; no entry for key {name}"));
            }
            return Ok((Value::Invalid, None));
        };
        let kind_name = access.known_as.unwrap_or(kind).name();
        let kind_name = kind_name.as_str();
        if let Value::Nil(Type::Any | Type::Reflect) = receiver {
            return self.fail(format_args!("nil pointer evaluating {kind_name}.{name}"));
        }
        let named = match kind {
            Type::Named(named) | Type::Pointer(named) => named,
            _ => return self.no_field(name, kind_name),
        };
        let method = named.methods.iter().find(|method| method.name == name);
        if let Some(method) = method.filter(|_| !receiver.is_nil_pointer()) {
            let value = self.invoke(
                dot,
                method,
                Some(receiver.pointee().clone()),
                access.operand,
                access.arguments,
                last,
            )?;
            return Ok((value, None));
        }
        let has_arguments = !access.arguments.is_empty() || last.is_some();
        match named.shape {
            Shape::Struct(fields) => {
                let Some(index) = fields.iter().position(|(field, _)| *field == name) else {
                    return self.no_field(name, kind_name);
                };
                if receiver.is_nil_pointer() {
                    return self.fail(format_args!("nil pointer evaluating {kind_name}.{name}"));
                }
                if has_arguments {
                    return self.fail(format_args!(
                        "{name} has arguments but cannot be invoked as function"
                    ));
                }
                let value = match receiver.pointee() {
                    Value::Struct(of) => of.values().get(index).cloned(),
                    _ => None,
                };
                Ok((value.unwrap_or(Value::Invalid), fields[index].1.hiding()))
            }
            Shape::Map(items) if !receiver.is_nil_pointer() => {
                if has_arguments {
                    return self.fail(format_args!("{name} is not a method but has arguments"));
                }
                let found = match receiver.pointee() {
                    Value::Map(map) => map.get(name.as_bytes()).cloned(),
                    _ => None,
                };
                let value = match (found, self.missing_key) {
                    (Some(value), _) => value,
                    (None, MissingKey::Invalid) => return Ok((Value::Invalid, None)),
                    (None, MissingKey::Zero) => items.zero(),
                    (None, MissingKey::Error) => {
                        let name = quote::quote(name);
                        return self.fail(format_args!("map has no entry for key {name}"));
                    }
                };
                Ok((value, items.hiding()))
            }
            _ if receiver.is_nil_pointer() => {
                self.fail(format_args!("nil pointer evaluating {kind_name}.{name}"))
            }
            _ => self.no_field(name, kind_name),
        }
    }

    fn no_field<T>(&self, name: &str, kind_name: &str) -> Result<T, String> {
        self.fail(format_args!(
            "can't evaluate field {name} in type {kind_name}"
        ))
    }

    fn function(
        &mut self,
        dot: &Value,
        function: &'static Function,
        place: &'t dyn Place,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value, String> {
        self.invoke(dot, function, None, place, arguments, last)
    }

    /// Calls a function or method. An error of its own is blamed on `place`.
    fn invoke(
        &mut self,
        dot: &Value,
        function: &'static Function,
        receiver: Option<Value>,
        place: &'t dyn Place,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value, String> {
        let name = function.name;
        let parameters = function.parameters;
        let given = arguments.len() + usize::from(last.is_some());
        let fixed = if function.variadic {
            parameters.len() - 1
        } else {
            parameters.len()
        };
        if function.variadic && given < fixed {
            let len = arguments.len();
            return self.fail(format_args!(
                "wrong number of args for {name}: want at least {fixed} got {len}"
            ));
        }
        if !function.variadic && given != fixed {
            return self.fail(format_args!(
                "wrong number of args for {name}: want {fixed} got {given}"
            ));
        }
        if let Body::And | Body::Or = function.body {
            return self.short_circuit(dot, function, arguments, last);
        }
        let kind_of = |index: usize| parameters[index.min(parameters.len() - 1)];
        let mut values = Vec::with_capacity(given + 1);
        values.extend(receiver);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, kind_of(index), argument)?);
        }
        if let Some(last) = last {
            values.push(self.validate(last, kind_of(given - 1))?);
        }
        for value in &values {
            self.pay_for_argument(value)?;
        }
        let outcome = match function.body {
            Body::Pure(body) => body(&values),
            Body::Sized(body) => body(&values, self.value_limit()),
            Body::Regex(body) => {
                let compiled = self.regex(&values[0])?;
                body(compiled.as_ref().as_ref(), &values)
            }
            Body::Host => {
                self.pay_for_host()?;
                self.host.call(name, &values)
            }
            Body::Call => Err(not_callable(arguments, &values)),
            Body::And | Body::Or => Ok(Value::Invalid),
        };
        match outcome {
            Ok(value) => self.bounded(value),
            Err(message) => {
                self.at(place);
                self.fail(format_args!("error calling {name}: {message}"))
            }
        }
    }

    fn short_circuit(
        &mut self,
        dot: &Value,
        function: &'static Function,
        arguments: &'t [Operand],
        last: Option<Value>,
    ) -> Result<Value, String> {
        let stops_at = matches!(function.body, Body::Or);
        let mut value = Value::Invalid;
        for argument in arguments {
            value = self.argument(dot, Type::Reflect, argument)?;
            if value.is_true() == stops_at {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// Evaluates an argument for a parameter of a type.
    fn argument(&mut self, dot: &Value, kind: Type, operand: &'t Operand) -> Result<Value, String> {
        self.at(operand);
        let value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => {
                if !kind.can_be_nil() {
                    let kind = kind.name();
                    return self.fail(format_args!("cannot assign nil to {kind}"));
                }
                return Ok(nil(kind));
            }
            OperandKind::Field(fields) => {
                let start = (dot.clone(), self.dot_known_as);
                self.fields(dot, start, operand, fields, &[], None)?
            }
            OperandKind::Variable(parts) => self.variable_node(dot, operand, parts, &[], None)?,
            OperandKind::Pipe(pipe) => self.pipeline(dot, pipe)?,
            OperandKind::Function(function) => self.function(dot, function, operand, &[], None)?,
            OperandKind::Chain { of, fields } => self.chain(dot, operand, of, fields, &[], None)?,
            OperandKind::Bool(_) | OperandKind::Number(_) | OperandKind::String { .. } => {
                return self.literal(dot, kind, operand);
            }
        };
        self.validate(value, kind)
    }

    /// Returns a constant as a value of the type that a parameter asks for.
    fn literal(&mut self, dot: &Value, kind: Type, operand: &'t Operand) -> Result<Value, String> {
        let number = match &operand.kind {
            OperandKind::Number(number) => Some(number),
            _ => None,
        };
        let (value, wanted) = match (kind, &operand.kind) {
            (Type::Any | Type::Reflect, _) => return self.constant(dot, operand),
            (Type::Bool, OperandKind::Bool(value)) => (Some(Value::Bool(*value)), "bool"),
            (Type::Bool, _) => (None, "bool"),
            (Type::String, OperandKind::String { value, .. }) => {
                (Some(Value::String(value.clone())), "string")
            }
            (Type::String, _) => (None, "string"),
            (Type::Float, _) => {
                let value = number.and_then(|number| number.float);
                (value.map(Value::Float), "float")
            }
            (Type::Complex, _) => {
                let value = number.and_then(|number| number.complex);
                (value.map(|(re, im)| Value::Complex(re, im)), "complex")
            }
            (Type::Uint(uint), _) => {
                let value = number.and_then(|number| number.uint);
                (value.map(|value| unsigned(value, uint)), "unsigned integer")
            }
            (Type::Int(_), _) => {
                let value = number.and_then(|number| number.int);
                (value.and_then(|value| signed(value, kind)), "integer")
            }
            (Type::Named(named), _) if matches!(named.shape, Shape::Int(_)) => {
                let value = number.and_then(|number| number.int);
                (value.and_then(|value| signed(value, kind)), "integer")
            }
            (Type::Named(_) | Type::Pointer(_), _) => {
                let kind = kind.name();
                return self.fail(format_args!(
                    "can't handle {operand} for arg of type {kind}"
                ));
            }
        };
        match value {
            Some(value) => Ok(value),
            None => self.fail(format_args!("expected {wanted}; found {operand}")),
        }
    }

    /// Returns a value as one of the type that a parameter asks for.
    fn validate(&self, value: Value, kind: Type) -> Result<Value, String> {
        let Some(got) = value.kind() else {
            if kind.can_be_nil() {
                return Ok(nil(kind));
            }
            let kind = kind.name();
            return self.fail(format_args!("invalid value; expected {kind}"));
        };
        if got.assignable_to(kind) {
            return Ok(value);
        }
        // One step through a pointer may help.
        if let (Value::Pointer(to), Type::Pointer(of)) = (&value, got)
            && Type::Named(of).assignable_to(kind)
        {
            return Ok(Value::clone(to));
        }
        let (kind, got) = (kind.name(), got.name());
        self.fail(format_args!(
            "wrong type for value; expected {kind}; got {got}"
        ))
    }
}

/// One step along a chain of fields.
struct Access<'t> {
    name: &'t str,
    operand: &'t Operand,
    arguments: &'t [Operand],
    known_as: Option<Type>,
}

/// Returns the nil that is given to a parameter.
fn nil(kind: Type) -> Value {
    match kind {
        Type::Reflect => Value::Invalid,
        other => other.zero(),
    }
}

fn not_callable(arguments: &[Operand], values: &[Value]) -> String {
    let value = values.first().cloned().unwrap_or(Value::Invalid);
    // The callee is named as it was written; one from a pipe as its value is.
    let callee = match arguments.first() {
        Some(operand) => operand.to_string(),
        None => match &value {
            Value::String(text) => text.to_str().into_owned(),
            other => format!("<{} Value>", other.type_name()),
        },
    };
    match value.out_of_interface() {
        Value::Invalid => "call of nil".to_owned(),
        value => format!("non-function {callee} of type {}", value.type_name()),
    }
}
