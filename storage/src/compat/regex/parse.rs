//! A parser for Go's syntax of regular expressions, with Go's errors.
//!
//! The order of decisions follows what Go's parser does, because it decides which of
//! several mistakes is reported and which part of the text is quoted.

use regex_syntax::hir::{ClassUnicode, Look};

use super::class;
use super::tree::{MAX_HEIGHT, MAX_SIZE, Measured, Node, repeats_within};
use super::{RegexError, RegexErrorKind};

/// The largest count of a repetition, and of the copies that nested ones make.
const MAX_REPEAT: u32 = 1000;

/// An expression in parsed form.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The tree.
    pub(crate) node: Node,
    /// Names of the groups; the first entry is the whole match. Empty where a group
    /// has no name; a name may stand twice.
    pub(crate) group_names: Vec<String>,
}

/// Whether `.` matches a line feed before any flag says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dot {
    /// As in Go's `regexp.Compile`.
    ExceptNewline,
    /// As inside of `(?s:...)`, which Prometheus puts around matchers.
    Any,
}

/// Parses an expression.
///
/// # Errors
/// The expression is not in Go's syntax, or beyond Go's limits.
pub(crate) fn parse(pattern: &str, dot: Dot) -> Result<Parsed, RegexError> {
    Parser::new(pattern, dot).run()
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    fold: bool,
    any_newline: bool,
    multi_line: bool,
    swap_greed: bool,
}

/// An open group: where it began and what has been read in it.
struct Frame {
    /// The number of the group, `None` where it does not capture.
    index: Option<u32>,
    /// The flags that hold again behind the group.
    outer_flags: Flags,
    alternatives: Vec<Measured>,
    current: Vec<Measured>,
}

struct Parser<'a> {
    pattern: &'a str,
    flags: Flags,
    /// Open groups; the first is the expression itself.
    frames: Vec<Frame>,
    group_names: Vec<String>,
}

impl<'a> Parser<'a> {
    fn new(pattern: &'a str, dot: Dot) -> Parser<'a> {
        let flags = Flags {
            fold: false,
            any_newline: dot == Dot::Any,
            multi_line: false,
            swap_greed: false,
        };
        Parser {
            pattern,
            flags,
            frames: vec![Frame::new(None, flags)],
            group_names: vec![String::new()],
        }
    }

    fn run(mut self) -> Result<Parsed, RegexError> {
        let mut rest = self.pattern;
        // Where the repetition operator just read began: two in a row are an error.
        let mut last_repeat: Option<&str> = None;
        while let Some(c) = rest.chars().next() {
            let mut repeat = None;
            let behind = &rest[c.len_utf8()..];
            match c {
                '(' if behind.starts_with('?') => rest = self.group_or_flags(rest)?,
                '(' => {
                    self.open(Some(String::new()));
                    rest = behind;
                }
                '|' => {
                    self.frame().end_alternative();
                    rest = behind;
                }
                ')' => {
                    self.close()?;
                    rest = behind;
                }
                '^' => {
                    self.push_look(if self.flags.multi_line {
                        Look::StartLF
                    } else {
                        Look::Start
                    })?;
                    rest = behind;
                }
                '$' => {
                    self.push_look(if self.flags.multi_line {
                        Look::EndLF
                    } else {
                        Look::End
                    })?;
                    rest = behind;
                }
                '.' => {
                    let newline = self.flags.any_newline;
                    self.push(Measured::leaf(Node::Any { newline }))?;
                    rest = behind;
                }
                '[' => {
                    let (class, behind) = self.class(rest)?;
                    self.push(Measured::leaf(Node::Class(class)))?;
                    rest = behind;
                }
                '*' | '+' | '?' => {
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    repeat = Some(rest);
                    rest = self.repeat(min, max, false, rest, behind, last_repeat)?;
                }
                '{' => match repeat_counts(rest) {
                    None => {
                        self.push_literal(u32::from('{'))?;
                        rest = behind;
                    }
                    Some((counts, behind)) => {
                        let Some((min, max)) = counts else {
                            return Err(error(RegexErrorKind::RepeatSize, consumed(rest, behind)));
                        };
                        repeat = Some(rest);
                        rest = self.repeat(min, max, true, rest, behind, last_repeat)?;
                    }
                },
                '\\' => rest = self.backslash(rest)?,
                c => {
                    self.push_literal(u32::from(c))?;
                    rest = behind;
                }
            }
            last_repeat = repeat;
        }
        if self.frames.len() > 1 {
            return Err(error(RegexErrorKind::MissingParen, self.pattern));
        }
        let root = self.frame().finish();
        self.check(&root)?;
        Ok(Parsed {
            node: root.node,
            group_names: self.group_names,
        })
    }

    /// The innermost open group. There is always one: the outermost is never closed.
    fn frame(&mut self) -> &mut Frame {
        self.frames
            .last_mut()
            .expect("invariant: the outermost frame is never popped")
    }

    fn push(&mut self, node: Measured) -> Result<(), RegexError> {
        self.check(&node)?;
        self.frame().current.push(node);
        Ok(())
    }

    fn push_look(&mut self, look: Look) -> Result<(), RegexError> {
        self.push(Measured::leaf(Node::Look(look)))
    }

    fn push_literal(&mut self, code: u32) -> Result<(), RegexError> {
        let node = Node::Literal {
            c: char::from_u32(code),
            fold: self.flags.fold,
        };
        self.push(Measured::leaf(node))
    }

    fn check(&self, node: &Measured) -> Result<(), RegexError> {
        if node.height > MAX_HEIGHT {
            return Err(error(RegexErrorKind::NestingDepth, self.pattern));
        }
        if node.size > MAX_SIZE {
            return Err(error(RegexErrorKind::Large, self.pattern));
        }
        Ok(())
    }

    /// Opens a group; one with a name (which may be empty) captures.
    fn open(&mut self, name: Option<String>) {
        let index = name.map(|name| {
            self.group_names.push(name);
            (self.group_names.len() - 1) as u32
        });
        self.frames.push(Frame::new(index, self.flags));
    }

    fn close(&mut self) -> Result<(), RegexError> {
        // The outermost frame is the expression itself and is never closed.
        let open_group = match self.frames.len() {
            0 | 1 => None,
            _ => self.frames.pop(),
        };
        let Some(mut frame) = open_group else {
            return Err(error(RegexErrorKind::UnexpectedParen, self.pattern));
        };
        self.flags = frame.outer_flags;
        let inner = frame.finish();
        self.check(&inner)?;
        self.push(match frame.index {
            Some(index) => inner.group(index),
            None => inner,
        })
    }

    /// Repeats the last node. `before` starts at the operator, `after` behind it.
    fn repeat<'t>(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        before: &'t str,
        after: &'t str,
        last_repeat: Option<&'t str>,
    ) -> Result<&'t str, RegexError> {
        let lazy = after.starts_with('?');
        let after = after.strip_prefix('?').unwrap_or(after);
        if let Some(last) = last_repeat {
            return Err(error(RegexErrorKind::RepeatOp, consumed(last, after)));
        }
        let greedy = lazy == self.flags.swap_greed;
        let Some(sub) = self.frame().current.pop() else {
            let text = consumed(before, after);
            return Err(error(RegexErrorKind::MissingRepeatArgument, text));
        };
        let node = sub.repeat(min, max, greedy, counted);
        self.check(&node)?;
        let many = min >= 2 || max.is_some_and(|max| max >= 2);
        if counted && many && !repeats_within(&node.node, MAX_REPEAT) {
            let text = consumed(before, after);
            return Err(error(RegexErrorKind::RepeatSize, text));
        }
        self.frame().current.push(node);
        Ok(after)
    }

    /// Reads what starts with `(?`: a named group, or flags with or without a group.
    fn group_or_flags<'t>(&mut self, text: &'t str) -> Result<&'t str, RegexError> {
        let name_at = if text.len() > 4 && text[2..].starts_with("P<") {
            Some(4)
        } else if text.len() > 3 && text[2..].starts_with('<') {
            Some(3)
        } else {
            None
        };
        if let Some(name_at) = name_at {
            let Some(end) = text.find('>') else {
                return Err(error(RegexErrorKind::NamedCapture, text));
            };
            let name = &text[name_at.min(end)..end];
            let valid = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
            if name.is_empty() || !name.bytes().all(valid) {
                return Err(error(RegexErrorKind::NamedCapture, &text[..=end]));
            }
            self.open(Some(name.to_owned()));
            return Ok(&text[end + 1..]);
        }
        let mut flags = self.flags;
        let (mut switch_on, mut seen_flag) = (true, false);
        let mut rest = &text[2..];
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                'i' => flags.fold = switch_on,
                'm' => flags.multi_line = switch_on,
                's' => flags.any_newline = switch_on,
                'U' => flags.swap_greed = switch_on,
                '-' if switch_on => {
                    switch_on = false;
                    seen_flag = false;
                    continue;
                }
                ':' | ')' if switch_on || seen_flag => {
                    if c == ':' {
                        self.open(None);
                    }
                    self.flags = flags;
                    return Ok(rest);
                }
                _ => break,
            }
            seen_flag = true;
        }
        Err(error(RegexErrorKind::PerlOp, consumed(text, rest)))
    }

    /// Reads what starts with a backslash outside of a class.
    fn backslash<'t>(&mut self, text: &'t str) -> Result<&'t str, RegexError> {
        let behind = text.get(2..).unwrap_or("");
        match text.as_bytes().get(1) {
            Some(b'A') => self.push_look(Look::Start)?,
            Some(b'z') => self.push_look(Look::End)?,
            Some(b'b') => self.push_look(Look::WordAscii)?,
            Some(b'B') => self.push_look(Look::WordAsciiNegate)?,
            Some(b'C') => return Err(error(RegexErrorKind::Escape, &text[..2])),
            Some(b'Q') => {
                let (literal, behind) = behind.split_once("\\E").unwrap_or((behind, ""));
                for c in literal.chars() {
                    self.push_literal(u32::from(c))?;
                }
                return Ok(behind);
            }
            _ => {
                let mut class = ClassUnicode::empty();
                if let Some(behind) = self.class_escape(text, &mut class)? {
                    self.push(Measured::leaf(Node::Class(class)))?;
                    return Ok(behind);
                }
                let (code, behind) = escape(text)?;
                self.push_literal(code)?;
                return Ok(behind);
            }
        }
        Ok(behind)
    }

    /// Reads `\pN`, `\p{Name}`, `\d` and their kind at the start of `text`, and adds
    /// the characters. Returns the text behind, `None` where there is no such escape.
    fn class_escape<'t>(
        &self,
        text: &'t str,
        class: &mut ClassUnicode,
    ) -> Result<Option<&'t str>, RegexError> {
        let Some(escaped) = text.strip_prefix('\\') else {
            return Ok(None);
        };
        let Some(letter) = escaped.chars().next() else {
            return Ok(None);
        };
        if letter != 'p' && letter != 'P' {
            let Some((group, negated)) = class::perl(letter) else {
                return Ok(None);
            };
            self.add(class, group, negated);
            return Ok(Some(&escaped[1..]));
        }
        let Some(first) = escaped[1..].chars().next() else {
            return Err(error(RegexErrorKind::CharRange, text));
        };
        let (whole, name) = if first == '{' {
            let Some(end) = text.find('}') else {
                return Err(error(RegexErrorKind::CharRange, text));
            };
            (&text[..=end], &text[3..end])
        } else {
            let end = 2 + first.len_utf8();
            (&text[..end], &text[2..end])
        };
        let (name, caret) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let Some(group) = class::unicode(name) else {
            return Err(error(RegexErrorKind::CharRange, whole));
        };
        self.add(class, group, (letter == 'P') != caret);
        Ok(Some(&text[whole.len()..]))
    }

    /// Adds a group to a class: case is folded first, then the group negated.
    fn add(&self, class: &mut ClassUnicode, mut group: ClassUnicode, negated: bool) {
        if self.flags.fold {
            group.case_fold_simple();
        }
        if negated {
            group.negate();
        }
        class.union(&group);
    }

    /// Reads a class in brackets; returns it and the text behind.
    fn class<'t>(&self, text: &'t str) -> Result<(ClassUnicode, &'t str), RegexError> {
        let mut rest = &text[1..];
        let negated = rest.starts_with('^');
        rest = rest.strip_prefix('^').unwrap_or(rest);
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || !rest.starts_with(']') {
            first = false;
            if rest.len() > 2
                && rest.starts_with("[:")
                && let Some(end) = rest[2..].find(":]")
            {
                let whole = &rest[..end + 4];
                let name = &rest[2..end + 2];
                let (name, caret) = match name.strip_prefix('^') {
                    Some(name) => (name, true),
                    None => (name, false),
                };
                let Some(group) = class::posix(name) else {
                    return Err(error(RegexErrorKind::CharRange, whole));
                };
                self.add(&mut class, group, caret);
                rest = &rest[whole.len()..];
                continue;
            }
            if let Some(behind) = self.class_escape(rest, &mut class)? {
                rest = behind;
                continue;
            }
            let range_start = rest;
            let (low, behind) = class_char(rest, text)?;
            rest = behind;
            let mut high = low;
            if rest.len() >= 2 && rest.starts_with('-') && !rest[1..].starts_with(']') {
                (high, rest) = class_char(&rest[1..], text)?;
                if high < low {
                    let range = consumed(range_start, rest);
                    return Err(error(RegexErrorKind::CharRange, range));
                }
            }
            let mut range = ClassUnicode::empty();
            class::push_range(&mut range, low, high);
            self.add(&mut class, range, false);
        }
        if negated {
            class.negate();
        }
        Ok((class, &rest[1..]))
    }
}

impl Frame {
    fn new(index: Option<u32>, outer_flags: Flags) -> Frame {
        Frame {
            index,
            outer_flags,
            alternatives: Vec::new(),
            current: Vec::new(),
        }
    }

    fn end_alternative(&mut self) {
        let current = std::mem::take(&mut self.current);
        self.alternatives.push(Measured::concat(current));
    }

    fn finish(&mut self) -> Measured {
        self.end_alternative();
        Measured::alternate(std::mem::take(&mut self.alternatives))
    }
}

fn error(kind: RegexErrorKind, text: &str) -> RegexError {
    RegexError {
        kind,
        text: text.to_owned(),
    }
}

/// Returns the part of `from` in front of `rest`, which is its end.
fn consumed<'t>(from: &'t str, rest: &str) -> &'t str {
    &from[..from.len() - rest.len()]
}

/// Counts of a repetition; `None` where they are too large or fall.
type Counts = Option<(u32, Option<u32>)>;

/// Reads `{n}`, `{n,}` or `{n,m}`; returns the counts and the text behind, or `None`
/// where the brace is a plain character.
fn repeat_counts(text: &str) -> Option<(Counts, &str)> {
    let (min, mut rest) = count(text.strip_prefix('{')?)?;
    let mut max = Some(min);
    if let Some(behind) = rest.strip_prefix(',') {
        rest = behind;
        max = None;
        if !rest.starts_with('}') {
            let (value, behind) = count(rest)?;
            max = Some(value);
            rest = behind;
        }
    }
    let rest = rest.strip_prefix('}')?;
    let largest = max.unwrap_or(min);
    let valid = min <= MAX_REPEAT && largest <= MAX_REPEAT && min <= largest;
    Some((valid.then_some((min, max)), rest))
}

/// Reads a number without leading zeros; one too large to hold counts as the largest.
fn count(text: &str) -> Option<(u32, &str)> {
    let end = text
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let digits = &text[..end];
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), &text[end..]))
}

fn class_char<'t>(text: &'t str, whole_class: &str) -> Result<(u32, &'t str), RegexError> {
    match text.chars().next() {
        None => Err(error(RegexErrorKind::MissingBracket, whole_class)),
        Some('\\') => escape(text),
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}

/// Reads an escape that stands for one character.
fn escape(text: &str) -> Result<(u32, &str), RegexError> {
    let mut chars = text[1..].chars();
    let Some(c) = chars.next() else {
        return Err(error(RegexErrorKind::TrailingBackslash, ""));
    };
    let rest = chars.as_str();
    let simple = match c {
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        '0'..='7' => {
            let octal = |byte: u8| matches!(byte, b'0'..=b'7');
            // A single digit other than 0 would be a back reference.
            if c != '0' && !rest.bytes().next().is_some_and(octal) {
                return Err(error(RegexErrorKind::Escape, consumed(text, rest)));
            }
            let more = rest.bytes().take(2).take_while(|&byte| octal(byte)).count();
            let digits = &text[1..2 + more];
            return Ok((u32::from_str_radix(digits, 8).unwrap_or(0), &rest[more..]));
        }
        'x' => return hex_escape(text, rest),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return Err(error(RegexErrorKind::Escape, consumed(text, rest))),
    };
    Ok((simple, rest))
}

/// Reads `\xhh` or `\x{h...}`; `rest` is behind the x.
fn hex_escape<'t>(text: &'t str, rest: &'t str) -> Result<(u32, &'t str), RegexError> {
    let fail = |rest: &str| Err(error(RegexErrorKind::Escape, consumed(text, rest)));
    let mut chars = rest.chars();
    let Some(first) = chars.next() else {
        return fail(rest);
    };
    if first != '{' {
        let second = chars.next();
        let digits = (first.to_digit(16), second.and_then(|c| c.to_digit(16)));
        return match digits {
            (Some(high), Some(low)) => Ok((high * 16 + low, chars.as_str())),
            _ => fail(chars.as_str()),
        };
    }
    let (mut value, mut seen) = (0, false);
    loop {
        let digit = match chars.next() {
            Some('}') if seen => return Ok((value, chars.as_str())),
            Some(c) => c.to_digit(16),
            None => None,
        };
        let Some(digit) = digit else {
            return fail(chars.as_str());
        };
        value = value * 16 + digit;
        if value > 0x10_ffff {
            return fail(chars.as_str());
        }
        seen = true;
    }
}
