//! The values of a line of pairs `key=value` and `key="value"`.

use memchr::memchr2;

use super::{Form, Split};

/// Finds the values; false where the line is not pairs from its first byte to its last.
pub(super) fn split(line: &[u8], into: &mut Split) -> bool {
    pairs(line, into).is_some_and(|n| n >= 2)
}

fn pairs(line: &[u8], into: &mut Split) -> Option<usize> {
    let (mut at, mut n) = (0, 0);
    loop {
        let start = at;
        while is_key(*line.get(at)?) {
            at += 1;
        }
        if at == start || line[at] != b'=' {
            return None;
        }
        let key = into.key(start, at, 0);
        at += 1;
        let (value, form) = if line.get(at) == Some(&b'"') {
            let value = quoted(line, at + 1)?;
            at = value.1 + 1;
            (value, Form::Quoted)
        } else {
            let start = at;
            while line.get(at).is_some_and(|&byte| is_bare(byte)) {
                at += 1;
            }
            ((start, at), Form::Bare)
        };
        if !into.value(value.0, value.1, form, key) {
            return None;
        }
        n += 1;
        match line.get(at) {
            None => return Some(n),
            Some(b' ') => {}
            Some(_) => return None,
        }
        while line.get(at) == Some(&b' ') {
            at += 1;
        }
    }
}

/// Returns where the characters of a quoted value are.
fn quoted(line: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut at = start;
    loop {
        at += memchr2(b'"', b'\\', line.get(at..)?)?;
        if line[at] == b'"' {
            return Some((start, at));
        }
        at += 2;
    }
}

fn is_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'@' | b':')
}

fn is_bare(byte: u8) -> bool {
    byte > b' ' && byte != b'"' && byte != b'=' && byte != 0x7f
}
