//! Functions of the Sprig library that pipelines of followed logs have besides those of
//! `line_format`: choosing among values, quoting, expressions, lists and small maps.
//!
//! Upstream source: Sprig 3.3, whose generic functions Promtail's `template` stage has. Left
//! out are those about files, networks, certificates, the environment, versions and random
//! numbers, and those that walk whole trees.

use std::collections::HashSet;
use std::sync::Arc;

use kymo_storage::compat::quote::quote;

use super::builtins::over;
use super::function::{Body, Compiled, Function};
use super::print::sprint;
use super::time::DURATION;
use super::value::{ANY_LIST, IntType, List, Map, NamedType, Shape, Text, Type, Value};

const STRING: Type = Type::String;
const INT: Type = Type::Int(IntType::Int);
const ANY: Type = Type::Any;

/// `[]string`
static STRINGS: NamedType = NamedType::plain("[]string", Shape::List(Type::String));
/// `map[string]string`
static STRING_PAIRS: NamedType = NamedType::plain("map[string]string", Shape::Map(Type::String));
/// `map[string]interface {}`
static ANY_PAIRS: NamedType = NamedType::plain("map[string]interface {}", Shape::Map(Type::Any));

type Outcome = Result<Value, String>;

/// Longest text of a value that is compared or is a key.
const MOST_BYTES: usize = 1 << 20;

const fn sized(
    name: &'static str,
    parameters: &'static [Type],
    variadic: bool,
    body: fn(&[Value], usize) -> Outcome,
) -> Function {
    Function {
        name,
        parameters,
        variadic,
        body: Body::Sized(body),
    }
}

pub(super) const FUNCTIONS: &[Function] = &[
    // Choosing.
    Function::pure("ternary", &[ANY, ANY, Type::Bool], |a| {
        Ok(a[if a[2].is_true() { 0 } else { 1 }].clone())
    }),
    Function::variadic("coalesce", &[ANY], |a| {
        let found = a.iter().find(|value| value.is_true());
        Ok(found.cloned().unwrap_or(Value::Nil(ANY)))
    }),
    Function::pure("empty", &[ANY], |a| Ok(Value::Bool(!a[0].is_true()))),
    Function::variadic("all", &[ANY], |a| {
        Ok(Value::Bool(a.iter().all(Value::is_true)))
    }),
    Function::variadic("any", &[ANY], |a| {
        Ok(Value::Bool(a.iter().any(Value::is_true)))
    }),
    // Texts.
    sized("quote", &[ANY], true, |a, limit| {
        spaced(a, limit, |text| quote(&text))
    }),
    sized("squote", &[ANY], true, |a, limit| {
        spaced(a, limit, |text| format!("'{text}'"))
    }),
    sized("cat", &[ANY], true, |a, limit| {
        spaced(a, limit, |text| text)
    }),
    sized("toString", &[ANY], false, |a, limit| {
        Ok(text(&a[0], limit)?.into())
    }),
    Function::pure("nospace", &[STRING], |a| {
        let kept = string(&a[0])
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>();
        Ok(kept.into())
    }),
    Function::pure("trimall", &[STRING, STRING], |a| {
        let set = string(&a[0]);
        Ok(string(&a[1]).trim_matches(|c| set.contains(c)).into())
    }),
    Function::pure("plural", &[STRING, STRING, INT], |a| {
        Ok(a[if matches!(a[2], Value::Int(1, _)) {
            0
        } else {
            1
        }]
        .clone())
    }),
    Function::pure("atoi", &[STRING], |a| {
        Ok(Value::int(string(&a[0]).parse().unwrap_or(0)))
    }),
    Function::host("sha256sum", &[STRING]),
    // Seconds, where a line's own function of the name reads a duration.
    Function::pure("duration", &[ANY], |a| {
        let seconds = match &a[0] {
            Value::String(text) => text.to_str().parse().unwrap_or(0),
            Value::Int(seconds, IntType::Int64) => *seconds,
            _ => 0_i64,
        };
        Ok(Value::Number(
            seconds.wrapping_mul(1_000_000_000),
            &DURATION,
        ))
    }),
    // Expressions.
    Function::regex("regexMatch", &[STRING, STRING], |regex, a| {
        // What cannot be compiled matches nothing.
        Ok(Value::Bool(
            regex.is_ok_and(|regex| regex.is_match(&string(&a[1]))),
        ))
    }),
    Function::regex("regexFind", &[STRING, STRING], |regex, a| {
        let text = string(&a[1]);
        let found = compiled(regex)?.find(&text);
        Ok(found.map_or("", |range| &text[range]).into())
    }),
    Function::regex("regexFindAll", &[STRING, STRING, INT], |regex, a| {
        let text = string(&a[1]);
        let found = compiled(regex)?.captures_all(&text);
        let found = found.iter().filter_map(|captures| captures.get(0));
        strings(found.take(most(&a[2])).map(Value::from))
    }),
    Function::regex("regexSplit", &[STRING, STRING, INT], regex_split),
    Function::pure("regexQuoteMeta", &[STRING], |a| {
        let mut out = String::new();
        for c in string(&a[0]).chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                out.push('\\');
            }
            out.push(c);
        }
        Ok(out.into())
    }),
    // Lists.
    Function::variadic("list", &[ANY], |a| anys(a.to_vec())),
    Function::variadic("tuple", &[ANY], |a| anys(a.to_vec())),
    sized("join", &[STRING, ANY], false, join),
    Function::pure("splitList", &[STRING, STRING], |a| {
        strings(split(&a[0], &a[1], usize::MAX).into_iter().map(Value::from))
    }),
    Function::pure("split", &[STRING, STRING], |a| {
        numbered(split(&a[0], &a[1], usize::MAX))
    }),
    Function::pure("splitn", &[STRING, INT, STRING], |a| {
        numbered(split(&a[0], &a[2], most(&a[1])))
    }),
    Function::pure("first", &[ANY], |a| {
        Ok(items("first", &a[0])?
            .first()
            .cloned()
            .unwrap_or(Value::Nil(ANY)))
    }),
    Function::pure("last", &[ANY], |a| {
        Ok(items("last", &a[0])?
            .last()
            .cloned()
            .unwrap_or(Value::Nil(ANY)))
    }),
    Function::pure("rest", &[ANY], |a| {
        anys(items("rest", &a[0])?.get(1..).unwrap_or_default().to_vec())
    }),
    Function::pure("initial", &[ANY], |a| {
        let items = items("initial", &a[0])?;
        anys(items[..items.len().saturating_sub(1)].to_vec())
    }),
    Function::pure("reverse", &[ANY], |a| {
        anys(items("reverse", &a[0])?.iter().rev().cloned().collect())
    }),
    Function::pure("compact", &[ANY], |a| {
        let kept = items("compact", &a[0])?
            .iter()
            .filter(|value| value.is_true());
        anys(kept.cloned().collect())
    }),
    Function::pure("append", &[ANY, ANY], |a| {
        anys([items("append", &a[0])?, &a[1..]].concat())
    }),
    Function::pure("has", &[ANY, ANY], |a| {
        if matches!(a[1], Value::Nil(_)) {
            return Ok(Value::Bool(false));
        }
        let found = items("has", &a[1])?.iter().any(|value| same(value, &a[0]));
        Ok(Value::Bool(found))
    }),
    Function::pure("uniq", &[ANY], |a| {
        // A line may have very many parts: each is looked for in a set.
        let mut known = HashSet::new();
        let kept = items("uniq", &a[0])?.iter();
        let kept = kept.filter(|value| known.insert(identity(value)));
        anys(kept.cloned().collect())
    }),
    Function::variadic("without", &[ANY, ANY], |a| {
        let kept = items("without", &a[0])?.iter();
        let kept = kept.filter(|value| !a[1..].iter().any(|omitted| same(value, omitted)));
        anys(kept.cloned().collect())
    }),
    // Maps.
    Function::variadic("dict", &[ANY], |a| {
        let pairs = a.chunks(2).map(|pair| {
            let value = pair.get(1).cloned().unwrap_or(Value::from(""));
            Ok((Text::from(text(&pair[0], MOST_BYTES)?), value))
        });
        let map = Map::new(&ANY_PAIRS, pairs.collect::<Result<_, String>>()?)?;
        Ok(Value::Map(Arc::new(map)))
    }),
    Function::pure("get", &[ANY, STRING], |a| {
        Ok(map("get", &a[0])?
            .get(string(&a[1]).as_bytes())
            .cloned()
            .unwrap_or(Value::from("")))
    }),
    Function::pure("hasKey", &[ANY, STRING], |a| {
        Ok(Value::Bool(
            map("hasKey", &a[0])?
                .get(string(&a[1]).as_bytes())
                .is_some(),
        ))
    }),
];

fn string(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_str().into_owned(),
        _ => String::new(),
    }
}

/// Returns a value as it is printed.
fn text(value: &Value, limit: usize) -> Result<String, String> {
    if let Value::String(text) = value {
        return Ok(text.to_str().into_owned());
    }
    let printed = sprint(std::slice::from_ref(value), limit).ok_or_else(|| over(limit))?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// Joins values with spaces, those that are nothing left out.
fn spaced(values: &[Value], limit: usize, form: fn(String) -> String) -> Outcome {
    let mut out = String::new();
    let some = values
        .iter()
        .filter(|value| !matches!(value, Value::Nil(_) | Value::Invalid));
    for (at, value) in some.enumerate() {
        if at > 0 {
            out.push(' ');
        }
        out.push_str(&form(text(value, limit)?));
        if out.len() > limit {
            return Err(over(limit));
        }
    }
    Ok(out.into())
}

fn join(a: &[Value], limit: usize) -> Outcome {
    let separator = string(&a[0]);
    let values = match &a[1] {
        Value::List(list) => list.items(),
        Value::Nil(_) => &[],
        _ => &a[1..],
    };
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push_str(&separator);
        }
        out.push_str(&text(value, limit)?);
        if out.len() > limit {
            return Err(over(limit));
        }
    }
    Ok(out.into())
}

fn anys(items: Vec<Value>) -> Outcome {
    Ok(Value::List(Arc::new(List::new(&ANY_LIST, items)?)))
}

fn strings(items: impl Iterator<Item = Value>) -> Outcome {
    Ok(Value::List(Arc::new(List::new(&STRINGS, items.collect())?)))
}

/// Returns pieces as `_0`, `_1` and so on.
fn numbered(pieces: Vec<String>) -> Outcome {
    let pieces = pieces.into_iter().enumerate();
    let pairs = pieces.map(|(at, piece)| (Text::from(format!("_{at}")), Value::from(piece)));
    Ok(Value::Map(Arc::new(Map::new(
        &STRING_PAIRS,
        pairs.collect(),
    )?)))
}

/// Returns how many Go's functions are to find at most; a negative number is no limit.
fn most(count: &Value) -> usize {
    match count {
        Value::Int(count, _) => usize::try_from(*count).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

/// Splits as Go does: an empty separator stands between all characters.
fn split(separator: &Value, text: &Value, most: usize) -> Vec<String> {
    let (separator, text) = (string(separator), string(text));
    let owned = |piece: &str| piece.to_owned();
    match (separator.is_empty(), most) {
        (_, 0) => Vec::new(),
        (false, usize::MAX) => text.split(&separator).map(owned).collect(),
        (false, most) => text.splitn(most, &separator).map(owned).collect(),
        (true, most) => {
            let ends = text.char_indices().map(|(at, _)| at).skip(1).take(most - 1);
            let ends: Vec<usize> = ends.chain([text.len()]).collect();
            let mut from = 0;
            let pieces = ends.into_iter().map(|end| {
                let piece = owned(&text[from..end]);
                from = end;
                piece
            });
            pieces.filter(|piece| !piece.is_empty()).collect()
        }
    }
}

fn compiled(regex: Compiled<'_>) -> Result<&kymo_storage::compat::regex::Regex, String> {
    regex.map_err(|error| error.to_string())
}

fn regex_split(regex: Compiled<'_>, a: &[Value]) -> Outcome {
    let text = string(&a[1]);
    let most = most(&a[2]);
    let regex = compiled(regex)?;
    let mut pieces: Vec<Value> = Vec::new();
    let (mut from, mut ended_at) = (0, 0);
    for captures in regex.captures_all(&text) {
        let Some(range) = captures.range(0) else {
            continue;
        };
        if pieces.len().saturating_add(1) >= most {
            break;
        }
        // An empty match in front of everything splits nothing off.
        if range.end > 0 {
            pieces.push(text[from..range.start].into());
        }
        (from, ended_at) = (range.end, range.start);
    }
    // Nor does one behind everything.
    if most > 0 && (text.is_empty() || ended_at < text.len()) {
        pieces.push(text[from..].into());
    }
    strings(pieces.into_iter())
}

fn items<'v>(name: &str, value: &'v Value) -> Result<&'v [Value], String> {
    match value {
        Value::List(list) => Ok(list.items()),
        other => Err(format!("Cannot find {name} on type {}", kind(other))),
    }
}

fn map<'v>(name: &str, value: &'v Value) -> Result<&'v Map, String> {
    match value {
        Value::Map(map) => Ok(map),
        other => Err(format!("{name}: {} is no map", kind(other))),
    }
}

fn kind(value: &Value) -> String {
    value.kind().map_or("nil".to_owned(), Type::name)
}

/// Tells whether two values are of one type and print the same.
fn same(a: &Value, b: &Value) -> bool {
    identity(a) == identity(b)
}

/// Returns what is the same of values that are the same.
fn identity(value: &Value) -> (String, Option<String>) {
    (kind(value), text(value, MOST_BYTES).ok())
}
