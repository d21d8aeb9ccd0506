//! The functions of templates over log lines: `line_format` and `label_format`.
//!
//! Most are those of the Sprig library, with its argument order: the text that is
//! worked on comes last, so that it can be piped in. Some look odd next to their
//! neighbours (`trunc` cuts bytes, `regexReplaceAll` takes its source second); so they
//! are upstream.
//!
//! Upstream source: `pkg/logql/log/fmt.go` of Loki, and Sprig 3.3.

mod decimal;
mod encoding;
mod json;
mod number;
mod text;
mod time;

pub use number::parse_size;

use super::function::{Body, Function, Host};
use super::time::Time;
use super::value::{IntType, Text, Type, Value};

const STRING: Type = Type::String;
const INT: Type = Type::Int(IntType::Int);
const ANY: Type = Type::Any;
const ONE: &[Type] = &[STRING];
const TWO: &[Type] = &[STRING, STRING];
const THREE: &[Type] = &[STRING, STRING, STRING];
const NUMBERS: &[Type] = &[ANY, ANY];
const INT_AND_TEXT: &[Type] = &[INT, STRING];

/// What a template over a log line asks.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// The line as it is now.
    pub line: &'a [u8],
    /// The time of the entry, in nanoseconds since the epoch.
    pub timestamp_ns: i64,
    /// The time that `now` gives, in nanoseconds since the epoch.
    pub now_ns: i64,
}

impl Host for Line<'_> {
    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        match name {
            "__line__" => Ok(self.line.to_vec().into()),
            "__timestamp__" => Ok(Value::Time(Time::from_nanos(self.timestamp_ns))),
            "now" => Ok(Value::Time(Time::from_nanos(self.now_ns))),
            // What is no time is taken for the present.
            "date" => Ok(time::date(arguments, &Time::from_nanos(self.now_ns))),
            _ => Err(format!("{name} is not available here")),
        }
    }
}

/// Returns the labels of an entry as the data of its templates.
pub fn labels<'a, V: Into<Text>>(pairs: impl IntoIterator<Item = (&'a str, V)>) -> Value {
    super::alert::string_map(pairs)
}

const fn sized(
    name: &'static str,
    parameters: &'static [Type],
    body: fn(&[Value], usize) -> Result<Value, String>,
) -> Function {
    Function {
        name,
        parameters,
        variadic: false,
        body: Body::Sized(body),
    }
}

/// Hashes of a salt and a text, which the host computes.
pub(super) const HASHES: &[Function] =
    &[Function::host("Hash", TWO), Function::host("Sha2Hash", TWO)];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::host("__line__", &[]),
    Function::host("__timestamp__", &[]),
    Function::host("now", &[]),
    Function::host("date", &[STRING, ANY]),
    // The old names, with Go's argument order.
    Function::pure("ToLower", ONE, text::lower),
    Function::pure("ToUpper", ONE, text::upper),
    sized("Replace", &[STRING, STRING, STRING, INT], text::go_replace),
    Function::pure("Trim", TWO, |a| {
        Ok(text::trim_set(&a[0], &a[1], text::Side::Both))
    }),
    Function::pure("TrimLeft", TWO, |a| {
        Ok(text::trim_set(&a[0], &a[1], text::Side::Left))
    }),
    Function::pure("TrimRight", TWO, |a| {
        Ok(text::trim_set(&a[0], &a[1], text::Side::Right))
    }),
    Function::pure("TrimPrefix", TWO, |a| Ok(text::trim_prefix(&a[0], &a[1]))),
    Function::pure("TrimSuffix", TWO, |a| Ok(text::trim_suffix(&a[0], &a[1]))),
    Function::pure("TrimSpace", ONE, text::trim_space),
    // Case, cutting and searching.
    Function::pure("lower", ONE, text::lower),
    Function::pure("upper", ONE, text::upper),
    Function::pure("title", ONE, text::title),
    Function::pure("trunc", INT_AND_TEXT, text::trunc),
    Function::pure("substr", &[INT, INT, STRING], text::substr),
    Function::pure("contains", TWO, text::contains),
    Function::pure("hasPrefix", TWO, text::has_prefix),
    Function::pure("hasSuffix", TWO, text::has_suffix),
    sized("indent", INT_AND_TEXT, text::indent),
    sized("nindent", INT_AND_TEXT, text::nindent),
    sized("replace", THREE, text::replace),
    sized("repeat", INT_AND_TEXT, text::repeat),
    Function::pure("trim", ONE, text::trim_space),
    Function::pure("trimAll", TWO, |a| {
        Ok(text::trim_set(&a[1], &a[0], text::Side::Both))
    }),
    Function::pure("trimPrefix", TWO, |a| Ok(text::trim_prefix(&a[1], &a[0]))),
    Function::pure("trimSuffix", TWO, |a| Ok(text::trim_suffix(&a[1], &a[0]))),
    sized("alignLeft", INT_AND_TEXT, text::align_left),
    sized("alignRight", INT_AND_TEXT, text::align_right),
    // Regular expressions.
    Function::regex("regexReplaceAll", THREE, text::regex_replace_all),
    Function::regex(
        "regexReplaceAllLiteral",
        THREE,
        text::regex_replace_all_literal,
    ),
    Function::regex("count", TWO, text::count),
    // Encodings.
    Function::pure("b64enc", ONE, encoding::base64_encode),
    Function::pure("b64dec", ONE, encoding::base64_decode),
    Function::pure("urlencode", ONE, encoding::url_encode),
    Function::pure("urldecode", ONE, encoding::url_decode),
    Function::pure("fromJson", ONE, encoding::from_json),
    // Numbers.
    Function::pure("int", &[ANY], |a| Ok(Value::int(number::int(&a[0])))),
    Function::pure("float64", &[ANY], |a| {
        Ok(Value::Float(number::float(&a[0])))
    }),
    Function::variadic("add", &[ANY], number::add),
    Function::pure("sub", NUMBERS, number::sub),
    Function::variadic("mul", NUMBERS, number::mul),
    Function::pure("div", NUMBERS, number::div),
    Function::pure("mod", NUMBERS, number::modulo),
    Function::variadic("addf", &[ANY], number::add_float),
    Function::variadic("subf", NUMBERS, number::sub_float),
    Function::variadic("mulf", NUMBERS, number::mul_float),
    Function::variadic("divf", NUMBERS, number::div_float),
    Function::variadic("max", NUMBERS, number::max),
    Function::variadic("min", NUMBERS, number::min),
    Function::variadic("maxf", NUMBERS, number::max_float),
    Function::variadic("minf", NUMBERS, number::min_float),
    Function::pure("ceil", &[ANY], |a| {
        Ok(Value::Float(number::float(&a[0]).ceil()))
    }),
    Function::pure("floor", &[ANY], |a| {
        Ok(Value::Float(number::float(&a[0]).floor()))
    }),
    Function::variadic("round", &[ANY, INT, Type::Float], number::round),
    Function::pure("bytes", ONE, number::bytes),
    Function::pure("duration", ONE, number::duration),
    Function::pure("duration_seconds", ONE, number::duration),
    // Times.
    Function::pure("toDate", TWO, time::to_date),
    Function::pure("toDateInZone", THREE, time::to_date_in_zone),
    Function::pure("unixEpoch", time::ONE, time::unix_epoch),
    Function::pure("unixEpochMillis", time::ONE, time::unix_epoch_millis),
    Function::pure("unixEpochNanos", time::ONE, time::unix_epoch_nanos),
    Function::pure("unixToTime", ONE, time::unix_to_time),
    Function::variadic("default", NUMBERS, |a| {
        let given = a.get(1).filter(|given| given.is_true());
        Ok(given.unwrap_or(&a[0]).clone())
    }),
];

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::String(text) => text.as_bytes(),
        _ => b"",
    }
}

fn string(value: &Value) -> String {
    super::value::decode(bytes(value))
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(value, _) => *value,
        _ => 0,
    }
}
