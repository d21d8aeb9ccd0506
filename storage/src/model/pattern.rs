//! What a regular-expression matcher does to a value, without a regular expression
//! wherever that is possible.
//!
//! A pattern always has to match the whole value. Most that users write then are a
//! choice of values, or pieces of text with `.*` between them; those are found in the
//! parsed tree and tested as text. All else runs the engine, behind a test of the
//! text it must start and end with.

use memchr::{memchr, memmem};
use regex_syntax::hir::Look;

use crate::compat::regex::{Dot, Node, RegexError, WholeMatch, parse};

/// A choice that comes of classes, counts and groups is left to the engine beyond this
/// many values. Alternatives that are each written out may be more: dashboards send
/// hundreds.
const MAX_SET: usize = 256;

/// Bound of the texts of a choice taken together.
const MAX_SET_BYTES: usize = 1 << 20;

/// A pattern of a matcher, compiled.
#[derive(Clone)]
pub(super) struct Pattern {
    test: Test,
}

/// How a value is tested.
#[derive(Clone)]
enum Test {
    /// Is one of these values; sorted, each once.
    Set(Vec<String>),
    /// Is this ASCII text in any case, and the text has no letter that folds beyond
    /// ASCII.
    FoldEqual(String),
    /// Anything.
    All,
    /// Anything but the empty text.
    NonEmpty,
    /// Anything without a line feed.
    OneLine,
    /// Pieces in this order with anything between.
    Pieces(Pieces),
    /// One of several.
    Any(Vec<Test>),
    /// What the engine says, for values with this start and end.
    Engine {
        prefix: String,
        suffix: String,
        regex: Box<WholeMatch>,
    },
}

/// `prefix.*middle.*suffix`; each piece may be empty, the middles are not.
#[derive(Clone, Default)]
struct Pieces {
    prefix: String,
    middles: Vec<memmem::Finder<'static>>,
    suffix: String,
}

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn new(pattern: &str) -> Result<Pattern, RegexError> {
        let parsed = parse(pattern, Dot::Any)?;
        let test = match text_test(&parsed.node) {
            Some(test) => test,
            None => {
                let flat = anchored_parts(&parsed.node);
                Test::Engine {
                    prefix: literal_run(flat.iter().copied()),
                    suffix: literal_run(flat.iter().rev().copied())
                        .chars()
                        .rev()
                        .collect(),
                    regex: Box::new(WholeMatch::new(pattern, &parsed.node)?),
                }
            }
        };
        Ok(Pattern { test })
    }

    /// Tells whether the whole value matches.
    pub(super) fn matches(&self, value: &str) -> bool {
        self.test.matches(value)
    }

    /// Returns the values that match, where they are few and all known.
    pub(super) fn set(&self) -> Option<&[String]> {
        match &self.test {
            Test::Set(set) => Some(set),
            _ => None,
        }
    }

    /// Returns text that every matching value starts with, empty where none is known.
    pub(super) fn prefix(&self) -> &str {
        match &self.test {
            Test::Pieces(pieces) => &pieces.prefix,
            Test::Engine { prefix, .. } => prefix,
            _ => "",
        }
    }

    /// Tells whether values are tested by running the expression.
    pub(super) fn needs_engine(&self) -> bool {
        matches!(self.test, Test::Engine { .. })
    }

    /// Tells whether every value matches.
    pub(super) fn matches_all(&self) -> bool {
        matches!(self.test, Test::All)
    }

    /// Tells whether exactly the values that are not empty match.
    pub(super) fn matches_nonempty(&self) -> bool {
        matches!(self.test, Test::NonEmpty)
    }
}

impl Test {
    fn matches(&self, value: &str) -> bool {
        match self {
            Test::Set(set) => match set.as_slice() {
                [only] => only == value,
                set => set.binary_search_by(|one| one.as_str().cmp(value)).is_ok(),
            },
            Test::FoldEqual(text) => text.eq_ignore_ascii_case(value),
            Test::All => true,
            Test::NonEmpty => !value.is_empty(),
            Test::OneLine => memchr(b'\n', value.as_bytes()).is_none(),
            Test::Pieces(pieces) => pieces.matches(value.as_bytes()),
            Test::Any(tests) => tests.iter().any(|test| test.matches(value)),
            Test::Engine {
                prefix,
                suffix,
                regex,
            } => value.starts_with(prefix) && value.ends_with(suffix) && regex.is_match(value),
        }
    }
}

impl Pieces {
    fn matches(&self, value: &[u8]) -> bool {
        let Some(rest) = value.strip_prefix(self.prefix.as_bytes()) else {
            return false;
        };
        let Some(mut rest) = rest.strip_suffix(self.suffix.as_bytes()) else {
            return false;
        };
        for middle in &self.middles {
            // The first place leaves the most room for what follows.
            let Some(at) = middle.find(rest) else {
                return false;
            };
            rest = &rest[at + middle.needle().len()..];
        }
        true
    }
}

/// Finds a test of the text that says the same as the expression.
fn text_test(node: &Node) -> Option<Test> {
    let parts = anchored_parts(node);
    if let Some(set) = choices_of(&parts) {
        return Some(Test::Set(sorted(set)));
    }
    match parts.as_slice() {
        [only] if is_any(only, 1) => return Some(Test::NonEmpty),
        [
            Node::Repeat {
                min: 0,
                max: None,
                sub,
                ..
            },
        ] if matches!(**sub, Node::Any { newline: false }) => return Some(Test::OneLine),
        [Node::Alternate(branches)] => return alternatives(branches),
        _ => {}
    }
    pieces(&parts).or_else(|| fold_equal(&parts))
}

fn alternatives(branches: &[Node]) -> Option<Test> {
    let (mut tests, mut set) = (Vec::new(), Vec::new());
    for branch in branches {
        match text_test(branch)? {
            Test::All => return Some(Test::All),
            // Values are looked up together, whichever branch they come from.
            Test::Set(values) => set.extend(values),
            test => tests.push(test),
        }
    }
    if !set.is_empty() {
        tests.push(Test::Set(sorted(set)));
    }
    Some(Test::Any(tests))
}

fn sorted(mut set: Vec<String>) -> Vec<String> {
    set.sort_unstable();
    set.dedup();
    set
}

/// Returns the parts of an expression one after the other, groups opened. Positions at
/// the very start and end are left out where the anchors already say the same.
fn anchored_parts(node: &Node) -> Vec<&Node> {
    let mut parts = Vec::new();
    flatten(node, &mut parts);
    while let [Node::Look(Look::Start | Look::StartLF), rest @ ..] = parts.as_slice() {
        parts = rest.to_vec();
    }
    while let [.., Node::Look(Look::End | Look::EndLF)] = parts.as_slice() {
        parts.pop();
    }
    parts
}

fn flatten<'n>(node: &'n Node, parts: &mut Vec<&'n Node>) {
    match node {
        Node::Empty => {}
        Node::Group { sub, .. } => flatten(sub, parts),
        Node::Concat(subs) => subs.iter().for_each(|sub| flatten(sub, parts)),
        other => parts.push(other),
    }
}

/// Lists every text that a sequence matches, `None` where they are too many.
fn choices_of(parts: &[&Node]) -> Option<Vec<String>> {
    let mut set = vec![String::new()];
    for part in parts {
        set = product(&set, &choices(part)?)?;
    }
    Some(set)
}

/// Lists every text that a node matches, `None` where they are too many.
fn choices(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Empty => Some(vec![String::new()]),
        Node::Literal { c: Some(c), fold } => {
            if !fold || !folds(*c) {
                return Some(vec![c.to_string()]);
            }
            let mut class = regex_syntax::hir::ClassUnicode::empty();
            class.push(regex_syntax::hir::ClassUnicodeRange::new(*c, *c));
            class.case_fold_simple();
            class_choices(&class)
        }
        Node::Literal { c: None, .. } => Some(Vec::new()),
        Node::Class(class) => class_choices(class),
        Node::Group { sub, .. } => choices(sub),
        Node::Concat(subs) => choices_of(&subs.iter().collect::<Vec<_>>()),
        Node::Alternate(subs) => {
            let mut set = Vec::with_capacity(subs.len());
            for sub in subs {
                set.extend(choices(sub)?);
                if set.len() > MAX_SET + subs.len() {
                    return None;
                }
            }
            Some(sorted(set))
        }
        Node::Repeat {
            min,
            max: Some(max),
            sub,
            ..
        } => {
            let once = choices(sub)?;
            let mut power = vec![String::new()];
            let mut set = Vec::new();
            for count in 0..=*max {
                if count >= *min {
                    set.extend_from_slice(&power);
                    set = sorted(set);
                }
                if set.len() > MAX_SET {
                    return None;
                }
                if count < *max {
                    power = product(&power, &once)?;
                }
            }
            Some(set)
        }
        Node::Any { .. } | Node::Look(_) | Node::Repeat { .. } => None,
    }
}

fn class_choices(class: &regex_syntax::hir::ClassUnicode) -> Option<Vec<String>> {
    let count: usize = class.iter().map(|range| range.len()).sum();
    (count <= MAX_SET).then(|| {
        class
            .iter()
            .flat_map(|range| range.start()..=range.end())
            .map(String::from)
            .collect()
    })
}

/// Appends each of `behind` to each of `set`; each text once.
fn product(set: &[String], behind: &[String]) -> Option<Vec<String>> {
    let count = set.len() * behind.len();
    if count > MAX_SET && set.len() > 1 && behind.len() > 1 {
        return None;
    }
    let len_bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    if len_bytes(set) * behind.len() + len_bytes(behind) * set.len() > MAX_SET_BYTES {
        return None;
    }
    let mut joined = Vec::with_capacity(count);
    for first in set {
        for second in behind {
            joined.push([first.as_str(), second.as_str()].concat());
        }
    }
    Some(sorted(joined))
}

/// Tells whether ignoring case lets a character match others.
fn folds(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphabetic()
}

fn is_any(node: &Node, least: u32) -> bool {
    match node {
        Node::Repeat {
            min,
            max: None,
            sub,
            ..
        } => *min == least && matches!(**sub, Node::Any { newline: true }),
        _ => false,
    }
}

/// Reads literal text with `.*` between.
fn pieces(parts: &[&Node]) -> Option<Test> {
    let (mut texts, mut text) = (Vec::new(), String::new());
    for part in parts {
        match part {
            Node::Literal { c: Some(c), fold } if !fold || !folds(*c) => text.push(*c),
            part if is_any(part, 0) => texts.push(std::mem::take(&mut text)),
            _ => return None,
        }
    }
    if texts.is_empty() {
        return None;
    }
    let suffix = text;
    let prefix = texts.remove(0);
    texts.retain(|text| !text.is_empty());
    if prefix.is_empty() && suffix.is_empty() && texts.is_empty() {
        return Some(Test::All);
    }
    let middles = texts
        .iter()
        .map(|text| memmem::Finder::new(text).into_owned())
        .collect();
    Some(Test::Pieces(Pieces {
        prefix,
        middles,
        suffix,
    }))
}

/// Reads ASCII text of which no letter matches anything beyond ASCII in any case:
/// `k` and `s` do.
fn fold_equal(parts: &[&Node]) -> Option<Test> {
    let mut text = String::with_capacity(parts.len());
    for part in parts {
        match part {
            Node::Literal { c: Some(c), fold }
                if c.is_ascii()
                    && (*fold && !matches!(c.to_ascii_lowercase(), 'k' | 's') || !folds(*c)) =>
            {
                text.push(*c);
            }
            _ => return None,
        }
    }
    Some(Test::FoldEqual(text))
}

/// Returns the literal characters that a sequence begins with.
fn literal_run<'n>(parts: impl Iterator<Item = &'n Node>) -> String {
    parts
        .map_while(|part| match part {
            Node::Literal { c: Some(c), fold } if !fold || !folds(*c) => Some(*c),
            _ => None,
        })
        .collect()
}
