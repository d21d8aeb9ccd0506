//! Go's templates for replacements: `$1`, `${1}`, `$name`, `${name}`, `$$`.

use super::{Captures, class};

/// Appends `template` with the groups filled in.
pub(super) fn expand(
    captures: &Captures<'_, '_>,
    group_names: &[String],
    template: &str,
    out: &mut String,
) {
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = behind.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        let Some((name, behind)) = reference(behind) else {
            // What is no reference stays as it is.
            out.push('$');
            rest = behind;
            continue;
        };
        rest = behind;
        let text = match number(name) {
            Some(index) => captures.get(index),
            None => group_names
                .iter()
                .enumerate()
                .filter(|(_, group)| *group == name)
                .find_map(|(index, _)| captures.get(index)),
        };
        out.push_str(text.unwrap_or(""));
    }
    out.push_str(rest);
}

/// Reads a reference behind its dollar sign; returns the name and the text behind.
fn reference(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{');
    let named = inner.unwrap_or(text);
    let end = named
        .find(|c: char| c != '_' && !class::is_letter_or_digit(c))
        .unwrap_or(named.len());
    let (name, mut behind) = named.split_at(end);
    if name.is_empty() {
        return None;
    }
    if inner.is_some() {
        behind = behind.strip_prefix('}')?;
    }
    Some((name, behind))
}

/// Returns the number of a group, `None` where the name is no number. A leading zero
/// makes a name, and so do more than nine digits.
fn number(name: &str) -> Option<usize> {
    let zero_led = name.len() > 1 && name.starts_with('0');
    if zero_led || name.len() > 9 || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}
