//! Functions over text.

use super::string;
use crate::template::function::Compiled;
use crate::template::value::Value;

pub(super) fn matches(regex: Compiled<'_>, arguments: &[Value]) -> Result<Value, String> {
    let regex = regex.map_err(|error| error.to_string())?;
    Ok(Value::Bool(regex.is_match(&string(&arguments[1]))))
}

pub(super) fn replace_all(regex: Compiled<'_>, arguments: &[Value]) -> Result<Value, String> {
    // Upstream panics with this text, and the template engine reports it.
    let regex = regex.map_err(|error| {
        let pattern = backquoted(&string(&arguments[0]));
        format!("regexp: Compile({pattern}): {error}")
    })?;
    let (with, text) = (string(&arguments[1]), string(&arguments[2]));
    Ok(regex.replace_all(&text, &with).into())
}

/// Quotes with backquotes where that is possible.
fn backquoted(text: &str) -> String {
    let plain = text
        .chars()
        .all(|c| (c >= ' ' && c != '`' && c != '\u{7f}') || c == '\t');
    match plain {
        true => format!("`{text}`"),
        false => kymo_storage::compat::quote::quote(text),
    }
}

/// Puts the first letter of each word into title case and leaves the others. Letters,
/// digits and underscores make words; one apostrophe, point or colon within a word
/// does not end it.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    let mut chars = text.chars().peekable();
    let mut was_joint = false;
    while let Some(c) = chars.next() {
        let cased = c.is_lowercase() || c.is_uppercase();
        if !inside && cased {
            push_title(&mut out, c);
            inside = true;
        } else {
            out.push(c);
        }
        let joint = is_joint(c);
        if joint {
            let goes_on = chars.peek().is_some_and(|&next| is_word(next));
            inside &= goes_on && !was_joint;
        } else if !is_word(c) {
            inside = false;
        }
        was_joint = joint;
    }
    out
}

fn push_title(out: &mut String, c: char) {
    match c {
        // These have a title case of their own.
        '\u{1c4}'..='\u{1c6}' => out.push('\u{1c5}'),
        '\u{1c7}'..='\u{1c9}' => out.push('\u{1c8}'),
        '\u{1ca}'..='\u{1cc}' => out.push('\u{1cb}'),
        '\u{1f1}'..='\u{1f3}' => out.push('\u{1f2}'),
        // Of several letters only the first is a capital.
        c => {
            let mut upper = c.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

fn is_word(c: char) -> bool {
    // Marks belong to the letter before them.
    c == '_' || c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}' | '\u{200d}')
}

fn is_joint(c: char) -> bool {
    matches!(
        c,
        '\'' | '.' | ':' | '\u{b7}' | '\u{2018}' | '\u{2019}' | '\u{2027}'
    )
}
