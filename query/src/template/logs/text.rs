//! Functions over text.

use kymo_storage::compat::letter_case;

use super::{bytes, integer, string};
use crate::template::builtins::over;
use crate::template::function::Compiled;
use crate::template::unicode;
use crate::template::value::Value;

type Outcome = Result<Value, String>;

/// Which ends of a text are trimmed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Left,
    Right,
}

pub(super) fn lower(a: &[Value]) -> Outcome {
    Ok(letter_case::to_lower(&string(&a[0])).into())
}

pub(super) fn upper(a: &[Value]) -> Outcome {
    Ok(letter_case::to_upper(&string(&a[0])).into())
}

/// Puts every letter behind a separator into title case.
pub(super) fn title(a: &[Value]) -> Outcome {
    let mut separated = true;
    let titled = string(&a[0])
        .chars()
        .map(|c| {
            let out = if separated { to_title(c) } else { c };
            separated = is_separator(c);
            out
        })
        .collect::<String>();
    Ok(titled.into())
}

fn to_title(c: char) -> char {
    match c {
        // These have a title case of their own.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        c => letter_case::to_upper(c.encode_utf8(&mut [0; 4]))
            .chars()
            .next()
            .unwrap_or(c),
    }
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_alphanumeric() && c != '_';
    }
    !unicode::is_letter(c) && !unicode::is_digit(c) && is_space(c)
}

/// Tells whether Go counts a character as space.
fn is_space(c: char) -> bool {
    c.is_whitespace()
}

pub(super) fn trim_space(a: &[Value]) -> Outcome {
    let text = bytes(&a[0]);
    let Ok(text) = str::from_utf8(text) else {
        return Ok(text.trim_ascii().to_vec().into());
    };
    Ok(text.trim_matches(is_space).into())
}

/// Trims the characters of a set.
pub(super) fn trim_set(text: &Value, set: &Value, side: Side) -> Value {
    let (text, set) = (string(text), string(set));
    let in_set = |c: char| set.contains(c);
    let mut trimmed = text.as_str();
    if side != Side::Right {
        trimmed = trimmed.trim_start_matches(in_set);
    }
    if side != Side::Left {
        trimmed = trimmed.trim_end_matches(in_set);
    }
    trimmed.into()
}

pub(super) fn trim_prefix(text: &Value, prefix: &Value) -> Value {
    let text = bytes(text);
    text.strip_prefix(bytes(prefix))
        .unwrap_or(text)
        .to_vec()
        .into()
}

pub(super) fn trim_suffix(text: &Value, suffix: &Value) -> Value {
    let text = bytes(text);
    text.strip_suffix(bytes(suffix))
        .unwrap_or(text)
        .to_vec()
        .into()
}

/// Cuts to a number of bytes; a negative one keeps the end.
pub(super) fn trunc(a: &[Value]) -> Outcome {
    let (count, text) = (integer(&a[0]), bytes(&a[1]));
    let len = text.len() as i64;
    let cut = if count < 0 && len.saturating_add(count) > 0 {
        &text[(len + count) as usize..]
    } else if count >= 0 && len > count {
        &text[..count as usize]
    } else {
        text
    };
    Ok(cut.to_vec().into())
}

/// Returns the bytes from one to before another; out of range is an error of Go's.
pub(super) fn substr(a: &[Value]) -> Outcome {
    let (start, end, text) = (integer(&a[0]), integer(&a[1]), bytes(&a[2]));
    let len = text.len() as i64;
    let out_of_range =
        |range: String| Err(format!("runtime error: slice bounds out of range {range}"));
    let (start, end) = if start < 0 {
        if end < 0 {
            return out_of_range(format!("[:{end}]"));
        }
        if end > len {
            return out_of_range(format!("[:{end}] with length {len}"));
        }
        (0, end)
    } else if end < 0 || end > len {
        (start, len)
    } else {
        (start, end)
    };
    if start > end {
        return out_of_range(format!("[{start}:{end}]"));
    }
    Ok(text[start as usize..end as usize].to_vec().into())
}

pub(super) fn contains(a: &[Value]) -> Outcome {
    Ok(Value::Bool(find(bytes(&a[1]), bytes(&a[0])).is_some()))
}

pub(super) fn has_prefix(a: &[Value]) -> Outcome {
    Ok(Value::Bool(bytes(&a[1]).starts_with(bytes(&a[0]))))
}

pub(super) fn has_suffix(a: &[Value]) -> Outcome {
    Ok(Value::Bool(bytes(&a[1]).ends_with(bytes(&a[0]))))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, what)
}

/// Replaces up to `count` times, a negative count means always.
fn replaced(
    text: &[u8],
    what: &[u8],
    with: &[u8],
    count: i64,
    limit: usize,
) -> Result<Vec<u8>, String> {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut first = true;
    while left > 0 {
        // Nothing stands before and behind every character.
        let (before, behind) = match what.is_empty() {
            true if first => (0, 0),
            true => match first_char_len(rest) {
                0 => break,
                len => (len, len),
            },
            false => match find(rest, what) {
                Some(at) => (at, at + what.len()),
                None => break,
            },
        };
        out.extend_from_slice(&rest[..before]);
        out.extend_from_slice(with);
        if out.len() > limit {
            return Err(over(limit));
        }
        rest = &rest[behind..];
        left -= 1;
        first = false;
    }
    out.extend_from_slice(rest);
    Ok(out)
}

fn first_char_len(text: &[u8]) -> usize {
    match text.first() {
        None => 0,
        Some(byte) if byte.is_ascii() => 1,
        Some(_) => {
            let head = &text[..text.len().min(4)];
            let valid = head.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            valid.chars().next().map_or(1, char::len_utf8)
        }
    }
}

pub(super) fn go_replace(a: &[Value], limit: usize) -> Outcome {
    let count = integer(&a[3]);
    replaced(bytes(&a[0]), bytes(&a[1]), bytes(&a[2]), count, limit).map(Value::from)
}

pub(super) fn replace(a: &[Value], limit: usize) -> Outcome {
    replaced(bytes(&a[2]), bytes(&a[0]), bytes(&a[1]), -1, limit).map(Value::from)
}

fn repeated(count: i64, text: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count")?;
    match text.len().checked_mul(count) {
        Some(len) if len <= limit => Ok(text.repeat(count)),
        _ => Err(over(limit)),
    }
}

pub(super) fn repeat(a: &[Value], limit: usize) -> Outcome {
    repeated(integer(&a[0]), bytes(&a[1]), limit).map(Value::from)
}

pub(super) fn indent(a: &[Value], limit: usize) -> Outcome {
    indented(b"", a, limit)
}

pub(super) fn nindent(a: &[Value], limit: usize) -> Outcome {
    indented(b"\n", a, limit)
}

fn indented(before: &[u8], a: &[Value], limit: usize) -> Outcome {
    let padding = repeated(integer(&a[0]), b" ", limit)?;
    let newline = [b"\n".as_slice(), &padding].concat();
    let body = replaced(bytes(&a[1]), b"\n", &newline, -1, limit)?;
    Ok([before, &padding, &body].concat().into())
}

pub(super) fn align_left(a: &[Value], limit: usize) -> Outcome {
    let text = string(&a[1]);
    let Some(missing) = missing(integer(&a[0]), &text) else {
        return Ok(a[1].clone());
    };
    if missing > 0 {
        let padding = repeated(missing, b" ", limit)?;
        return Ok([text.as_bytes(), &padding].concat().into());
    }
    let keep = text
        .chars()
        .count()
        .saturating_sub(missing.unsigned_abs() as usize);
    Ok(text.chars().take(keep).collect::<String>().into())
}

pub(super) fn align_right(a: &[Value], limit: usize) -> Outcome {
    let text = string(&a[1]);
    let Some(missing) = missing(integer(&a[0]), &text) else {
        return Ok(a[1].clone());
    };
    if missing > 0 {
        let padding = repeated(missing, b" ", limit)?;
        return Ok([&padding, text.as_bytes()].concat().into());
    }
    let drop = missing.unsigned_abs() as usize;
    Ok(text.chars().skip(drop).collect::<String>().into())
}

/// Returns how many characters a text lacks to a width, `None` where it stays as it is.
fn missing(width: i64, text: &str) -> Option<i64> {
    let len = text.chars().count() as i64;
    (width >= 0 && width != len).then_some(width - len)
}

pub(super) fn regex_replace_all(regex: Compiled<'_>, a: &[Value]) -> Outcome {
    let regex = regex.map_err(|error| error.to_string())?;
    Ok(regex.replace_all(&string(&a[1]), &string(&a[2])).into())
}

pub(super) fn regex_replace_all_literal(regex: Compiled<'_>, a: &[Value]) -> Outcome {
    let regex = regex.map_err(|error| error.to_string())?;
    let literal = string(&a[2]).replace('$', "$$");
    Ok(regex.replace_all(&string(&a[1]), &literal).into())
}

pub(super) fn count(regex: Compiled<'_>, a: &[Value]) -> Outcome {
    let regex = regex.map_err(|error| error.to_string())?;
    let text = string(&a[1]);
    // Each match leaves one character behind, and nothing else stays.
    let marked = regex.replace_all(&text, "\0");
    let kept = regex.replace_all(&text, "");
    Ok(Value::int((marked.len() - kept.len()) as i64))
}
