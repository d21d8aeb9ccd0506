//! Go's regular expressions (RE2 syntax) on the engine of `regex-automata`.
//!
//! The parser is ours, because the syntaxes differ in ways that users meet (`{` as a
//! plain character, ASCII `\d`, `\Q..\E`, `(?U)`, error texts); the engine is the one
//! of the `regex` crate. A text is matched as Go sees it: each byte that is not part
//! of valid UTF-8 counts as one replacement character.
//!
//! Matching takes time linear in the text. Compiled size is bounded.

mod automaton;
mod class;
mod expand;
mod parse;
mod search;
mod tree;

use std::fmt;
use std::ops::Range;

use regex_automata::meta::{self, Regex as Engine};
use regex_automata::util::captures::Captures as Slots;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, Look};

pub(crate) use automaton::Automaton;
pub(crate) use parse::{Dot, parse};
pub use search::{LineSearch, RequiredText};
pub(crate) use tree::Node;

/// Bound of a compiled expression, which a pattern of nested counts can reach.
const MAX_COMPILED_BYTES: usize = 16 << 20;

/// Why an expression is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegexErrorKind {
    /// A range that falls, or a class that does not exist.
    #[error("invalid character class range")]
    CharRange,
    /// An escape that does not exist.
    #[error("invalid escape sequence")]
    Escape,
    /// A name of a group that is no name.
    #[error("invalid named capture")]
    NamedCapture,
    /// Something behind `(?` that is not supported.
    #[error("invalid or unsupported Perl syntax")]
    PerlOp,
    /// Two repetition operators in a row.
    #[error("invalid nested repetition operator")]
    RepeatOp,
    /// A count that is too large.
    #[error("invalid repeat count")]
    RepeatSize,
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8")]
    Utf8,
    /// A class without end.
    #[error("missing closing ]")]
    MissingBracket,
    /// A group without end.
    #[error("missing closing )")]
    MissingParen,
    /// A repetition of nothing.
    #[error("missing argument to repetition operator")]
    MissingRepeatArgument,
    /// A backslash at the end.
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// A closing parenthesis too many.
    #[error("unexpected )")]
    UnexpectedParen,
    /// Groups within groups without number.
    #[error("expression nests too deeply")]
    NestingDepth,
    /// More than can be compiled.
    #[error("expression too large")]
    Large,
}

/// An expression that does not compile, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {kind}: `{text}`")]
pub struct RegexError {
    /// What is wrong.
    pub kind: RegexErrorKind,
    /// The part of the expression that is wrong.
    pub text: String,
}

/// A compiled regular expression.
#[derive(Clone)]
pub struct Regex {
    engine: Engine,
    pattern: String,
    group_names: Vec<String>,
}

impl Regex {
    /// Compiles an expression that matches anywhere in a text.
    ///
    /// # Errors
    /// The expression is not in Go's syntax, or too large.
    pub fn new(pattern: &str) -> Result<Regex, RegexError> {
        let parsed = parse(pattern, Dot::ExceptNewline)?;
        let engine = compile(pattern, &parsed.node.to_hir())?;
        Ok(Regex {
            engine,
            pattern: pattern.to_owned(),
            group_names: parsed.group_names,
        })
    }

    /// Compiles `^(?s:pattern)$`, as relabelling and `label_replace` use it. What an
    /// error quotes is part of that longer expression.
    ///
    /// # Errors
    /// The expression is not in Go's syntax, or too large.
    pub fn new_anchored(pattern: &str) -> Result<Regex, RegexError> {
        Regex::new(&format!("^(?s:{pattern})$"))
    }

    /// Returns the expression as it was compiled.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Tells whether the expression matches somewhere in a text.
    pub fn is_match(&self, text: &str) -> bool {
        self.engine.is_match(text)
    }

    /// Tells whether the expression matches somewhere in a text that need not be
    /// UTF-8.
    pub fn is_match_bytes(&self, text: &[u8]) -> bool {
        match str::from_utf8(text) {
            Ok(text) => self.is_match(text),
            Err(_) => self.is_match(&replace_invalid(text)),
        }
    }

    /// Returns where the first match lies.
    pub fn find(&self, text: &str) -> Option<Range<usize>> {
        self.engine.find(text).map(|found| found.range())
    }

    /// Returns the first match with its groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'_, 't>> {
        let mut slots = self.engine.create_captures();
        self.engine.captures(text, &mut slots);
        slots.is_match().then_some(Captures {
            regex: self,
            text,
            slots,
        })
    }

    /// Returns all matches that do not overlap, each with its groups, as Go's
    /// `FindAllStringSubmatch` finds them.
    pub fn captures_all<'t>(&self, text: &'t str) -> Vec<Captures<'_, 't>> {
        let mut found = Vec::new();
        let mut ended_at = None;
        for slots in self.engine.captures_iter(text) {
            let Some(range) = slots.get_group(0) else {
                continue;
            };
            // Go leaves out an empty match right behind a match.
            if range.is_empty() && ended_at == Some(range.start) {
                continue;
            }
            ended_at = Some(range.end);
            found.push(Captures {
                regex: self,
                text,
                slots,
            });
        }
        found
    }

    /// Returns the names of the groups, that of the whole match (always empty)
    /// first; empty for a group without name.
    pub fn group_names(&self) -> &[String] {
        &self.group_names
    }

    /// Returns the text with every match replaced by the expanded template.
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied_to = 0;
        for slots in self.engine.captures_iter(text) {
            let Some(range) = slots.get_group(0) else {
                continue;
            };
            // Go leaves out an empty match right behind a match.
            if range.is_empty() && range.start == copied_to && copied_to > 0 {
                continue;
            }
            out.push_str(&text[copied_to..range.start]);
            copied_to = range.end;
            let captures = Captures {
                regex: self,
                text,
                slots,
            };
            captures.expand(template, &mut out);
        }
        out.push_str(&text[copied_to..]);
        out
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.pattern).finish()
    }
}

/// One match and its groups.
pub struct Captures<'r, 't> {
    regex: &'r Regex,
    text: &'t str,
    slots: Slots,
}

impl<'t> Captures<'_, 't> {
    /// Returns the text of a group, `None` where it took no part; 0 is the match.
    pub fn get(&self, index: usize) -> Option<&'t str> {
        let range = self.slots.get_group(index)?;
        Some(&self.text[range.range()])
    }

    /// Returns where the text of a group lies, `None` where it took no part; 0 is the
    /// match.
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        self.slots.get_group(index).map(|group| group.range())
    }

    /// Returns how many groups there are, that of the whole match among them.
    pub fn group_count(&self) -> usize {
        self.slots.group_len()
    }

    /// Appends a template with `$1`, `${1}`, `$name` and `${name}` replaced by what
    /// the groups hold, and `$$` by a dollar sign. Names are as long as they can be,
    /// so `$1x` is the group called `1x`; unknown groups are empty.
    pub fn expand(&self, template: &str, out: &mut String) {
        expand::expand(self, &self.regex.group_names, template, out);
    }
}

impl fmt::Debug for Captures<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = (0..self.slots.group_len()).map(|index| self.get(index));
        f.debug_list().entries(groups).finish()
    }
}

/// An expression that must match a text as a whole; it has no groups.
#[derive(Clone)]
pub(crate) struct WholeMatch {
    engine: Engine,
}

impl WholeMatch {
    /// Compiles a parsed expression; `pattern` is what an error quotes.
    pub(crate) fn new(pattern: &str, node: &Node) -> Result<WholeMatch, RegexError> {
        let engine = compile(pattern, &whole(node))?;
        Ok(WholeMatch { engine })
    }

    /// Tells whether the whole text matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        self.engine.is_match(input)
    }
}

/// The expression, at both ends of the text.
fn whole(node: &Node) -> Hir {
    Hir::concat(vec![
        Hir::look(Look::Start),
        node.to_hir(),
        Hir::look(Look::End),
    ])
}

fn compile(pattern: &str, hir: &Hir) -> Result<Engine, RegexError> {
    let config = meta::Config::new()
        .nfa_size_limit(Some(MAX_COMPILED_BYTES))
        .utf8_empty(true);
    Engine::builder()
        .configure(config)
        .build_from_hir(hir)
        .map_err(|_| RegexError {
            kind: RegexErrorKind::Large,
            text: pattern.to_owned(),
        })
}

/// Returns the text with each byte that is not part of valid UTF-8 replaced, as Go's
/// decoding sees it.
pub(crate) fn replace_invalid(text: &[u8]) -> String {
    let mut valid = String::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        valid.push_str(chunk.valid());
        for _ in chunk.invalid() {
            valid.push(char::REPLACEMENT_CHARACTER);
        }
    }
    valid
}

#[cfg(test)]
mod tests;
