//! Go's `fmt`: values as text.
//!
//! [`Printer`] holds the flags of the verb at hand and the bytes written so far; it
//! stops growing at a limit and says so in the end. `verbs` chooses how a value looks
//! under a verb, `number` writes numbers and texts, `printf` reads formats.

mod number;
mod printf;
mod verbs;

use super::value::{Type, Value};

pub(super) use printf::sprintf;

/// The flags, width and precision of a verb.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`
    plus_v: bool,
    /// `%#v`
    sharp_v: bool,
}

/// Writes values.
struct Printer {
    out: Vec<u8>,
    limit: usize,
    /// Whether there was more to write than the limit allows.
    over: bool,
    flags: Flags,
    /// Whether an error form is being written: values do not print themselves then.
    erroring: bool,
}

impl Printer {
    fn new(limit: usize) -> Printer {
        Printer {
            out: Vec::new(),
            limit,
            over: false,
            flags: Flags::default(),
            erroring: false,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.out.len() + bytes.len() > self.limit {
            self.over = true;
            return;
        }
        self.out.extend_from_slice(bytes);
    }

    fn write_str(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    fn write_char(&mut self, c: char) {
        self.write(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn finish(self) -> Option<Vec<u8>> {
        (!self.over).then_some(self.out)
    }
}

/// Returns what an action writes for a value; `None` beyond the limit.
pub(super) fn printable(value: &Value, limit: usize) -> Option<Vec<u8>> {
    sprint(&[printable_value(value)], limit)
}

/// Returns the values as Go's `Sprint` prints them: with a space between two of which
/// neither is a string.
pub(super) fn sprint(values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut printer = Printer::new(limit);
    let mut was_string = true;
    for value in values {
        let is_string = matches!(value, Value::String(_));
        if !is_string && !was_string {
            printer.write_char(' ');
        }
        printer.argument(value, 'v');
        was_string = is_string;
    }
    printer.finish()
}

/// Returns the values with spaces between them and a newline behind.
pub(super) fn sprintln(values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let mut printer = Printer::new(limit);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.write_char(' ');
        }
        printer.argument(value, 'v');
    }
    printer.write_char('\n');
    printer.finish()
}

/// Returns the text that escaping functions work on.
pub(super) fn escapable(values: &[Value], limit: usize) -> Option<Vec<u8>> {
    let values: Vec<Value> = values.iter().map(printable_value).collect();
    sprint(&values, limit)
}

/// Returns the value that is printed for a value: pointers are followed, unless what
/// they point to prints itself.
fn printable_value(value: &Value) -> Value {
    match value {
        Value::Invalid | Value::Nil(Type::Any | Type::Reflect) => Value::from("<no value>"),
        Value::Pointer(to) => match to.kind() {
            Some(Type::Named(named)) if named.stringer_on_pointer => value.clone(),
            _ => Value::clone(to),
        },
        other => other.clone(),
    }
}
