//! A regular expression that is looked for in the lines of a log, without running it
//! wherever that is possible.
//!
//! Most of what users look for is text: a word, one of several words, words with `.*`
//! around them. Those are found as text. The reductions are Loki's, also where they are
//! not quite what the expression says: of a condition on a label, `err.*` finds its text
//! anywhere in the value, and the empty expression fits all values. Dashboards rely on
//! the latter.
//!
//! Upstream source: `pkg/logql/log/filter.go` of Loki.

use memchr::memmem;

use super::{Dot, Node, Regex, RegexError, parse, replace_invalid};

/// Texts beyond which a set of required texts is not kept.
const MAX_NEEDLES: usize = 64;

/// An expression that is looked for in lines, or tested against values of labels.
#[derive(Debug, Clone)]
pub struct LineSearch {
    test: Test,
    needles: Option<Vec<RequiredText>>,
}

#[derive(Debug, Clone)]
enum Test {
    All,
    NonEmpty,
    Contains(Box<memmem::Finder<'static>>),
    /// Lower-case ASCII, found in any case.
    ContainsFolded(Vec<u8>),
    Equal(Vec<u8>),
    EqualFolded(Vec<u8>),
    Any(Vec<Test>),
    Engine(Box<Regex>),
}

impl LineSearch {
    /// Compiles an expression that is looked for anywhere in a line.
    ///
    /// # Errors
    /// The expression is not in Go's syntax, or too large.
    pub fn new(pattern: &str) -> Result<LineSearch, RegexError> {
        LineSearch::compile(pattern, false)
    }

    /// Compiles the expression of a condition on a label: the whole value has to match.
    ///
    /// # Errors
    /// As [`LineSearch::new`].
    pub fn of_label(pattern: &str) -> Result<LineSearch, RegexError> {
        LineSearch::compile(pattern, true)
    }

    fn compile(pattern: &str, is_label: bool) -> Result<LineSearch, RegexError> {
        let parsed = parse(pattern, Dot::ExceptNewline)?;
        let shape = Shape::of(&parsed.node);
        let test = match shape.test(is_label) {
            Some(test) => test,
            None if is_label => Test::Engine(Box::new(Regex::new(&format!("^(?:{pattern})$"))?)),
            None => Test::Engine(Box::new(Regex::new(pattern)?)),
        };
        let needles = required(&parsed.node).filter(|needles| needles.len() <= MAX_NEEDLES);
        Ok(LineSearch { test, needles })
    }

    /// Tells whether the text, which need not be UTF-8, has what is looked for.
    #[inline]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.test.is_match(text)
    }

    /// Tells whether every text matches.
    pub fn matches_all(&self) -> bool {
        matches!(self.test, Test::All)
    }

    /// Returns texts of which each match has at least one, byte by byte; `None` where
    /// none are known.
    pub fn needles(&self) -> Option<&[RequiredText]> {
        self.needles.as_deref()
    }
}

impl Test {
    fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Test::All => true,
            Test::NonEmpty => !text.is_empty(),
            Test::Contains(finder) => finder.find(text).is_some(),
            Test::ContainsFolded(needle) => contains_folded(text, needle),
            Test::Equal(wanted) => text == wanted.as_slice(),
            Test::EqualFolded(wanted) => text.eq_ignore_ascii_case(wanted),
            Test::Any(tests) => tests.iter().any(|test| test.is_match(text)),
            Test::Engine(regex) => match str::from_utf8(text) {
                Ok(text) => regex.is_match(text),
                Err(_) => regex.is_match(&replace_invalid(text)),
            },
        }
    }

    fn any(mut tests: Vec<Test>) -> Test {
        if tests.iter().any(|test| matches!(test, Test::All)) {
            return Test::All;
        }
        match tests.len() {
            1 => tests.remove(0),
            _ => Test::Any(tests),
        }
    }

    fn contains(literal: &Literal) -> Option<Test> {
        if literal.text.is_empty() {
            return Some(Test::All);
        }
        let text = literal.text.as_bytes();
        match literal.fold {
            false => Some(Test::Contains(Box::new(
                memmem::Finder::new(text).into_owned(),
            ))),
            true if text.is_ascii() => Some(Test::ContainsFolded(text.to_ascii_lowercase())),
            true => None,
        }
    }

    fn equal(literal: &Literal) -> Option<Test> {
        let text = literal.text.as_bytes();
        match literal.fold {
            false => Some(Test::Equal(text.to_vec())),
            true if text.is_ascii() => Some(Test::EqualFolded(text.to_vec())),
            true => None,
        }
    }
}

/// Finds lower-case ASCII in any case.
fn contains_folded(text: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else {
        return true;
    };
    let Some(last_start) = text.len().checked_sub(needle.len()) else {
        return false;
    };
    let starts = &text[..=last_start];
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), starts)
        .any(|at| text[at..at + needle.len()].eq_ignore_ascii_case(needle))
}

/// A run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Literal {
    text: String,
    fold: bool,
}

/// What of an expression can be text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Empty,
    Literal(Literal),
    /// `.*`
    AnyRun,
    /// `.+`
    SomeRun,
    /// One of some characters.
    Class,
    Concat(Vec<Shape>),
    Alternate(Vec<Shape>),
    /// Nothing to be said.
    Other,
}

impl Shape {
    fn of(node: &Node) -> Shape {
        match node {
            Node::Empty => Shape::Empty,
            Node::Literal { c: Some(c), fold } => Shape::Literal(Literal {
                text: c.to_string(),
                fold: *fold,
            }),
            Node::Class(_) => Shape::Class,
            Node::Group { sub, .. } => Shape::of(sub),
            Node::Repeat {
                min: min @ (0 | 1),
                max: None,
                sub,
                ..
            } if matches!(**sub, Node::Any { newline: false }) => match min {
                0 => Shape::AnyRun,
                _ => Shape::SomeRun,
            },
            Node::Concat(parts) => Shape::concat(parts),
            Node::Alternate(parts) => Shape::alternate(parts.iter().map(Shape::of).collect()),
            _ => Shape::Other,
        }
    }

    /// Joins characters to runs, as far as they are not in a group.
    fn concat(parts: &[Node]) -> Shape {
        let mut shapes: Vec<Shape> = Vec::new();
        let mut is_open = false;
        for part in parts {
            let shape = Shape::of(part);
            let is_bare = matches!(part, Node::Literal { .. });
            match (shapes.last_mut(), shape) {
                (_, Shape::Empty) => continue,
                (Some(Shape::Literal(run)), Shape::Literal(next))
                    if is_open && is_bare && run.fold == next.fold =>
                {
                    run.text.push_str(&next.text);
                }
                (_, shape) => shapes.push(shape),
            }
            is_open = is_bare;
        }
        match shapes.len() {
            0 => Shape::Empty,
            1 => shapes.remove(0),
            _ => Shape::Concat(shapes),
        }
    }

    /// Takes out what alternatives begin with, as Go does when it reads them.
    fn alternate(parts: Vec<Shape>) -> Shape {
        let mut factored: Vec<Shape> = Vec::new();
        let mut run: Vec<Shape> = Vec::new();
        let mut shared = Literal::default();
        let mut flush = |run: &mut Vec<Shape>, shared: &Literal| match run.len() {
            0 => {}
            1 => factored.append(run),
            _ => {
                let n = shared.text.len();
                let rests = run.drain(..).map(|shape| shape.without_start(n)).collect();
                factored.push(Shape::Concat(vec![
                    Shape::Literal(shared.clone()),
                    Shape::alternate(rests),
                ]));
            }
        };
        for part in parts {
            let start = part.start().cloned().unwrap_or_default();
            let n = match run.is_empty() || start.fold != shared.fold {
                true => 0,
                false => common_len(&start.text, &shared.text),
            };
            if n > 0 {
                shared.text.truncate(n);
            } else {
                flush(&mut run, &shared);
                shared = start;
            }
            run.push(part);
        }
        flush(&mut run, &shared);
        // Single characters side by side are a class.
        let is_one = |shape: &Shape| match shape {
            Shape::Class => true,
            Shape::Literal(literal) => literal.text.chars().count() == 1,
            _ => false,
        };
        let mut merged: Vec<Shape> = Vec::new();
        for shape in factored {
            match merged.last_mut() {
                Some(last) if is_one(last) && is_one(&shape) => *last = Shape::Class,
                Some(Shape::Empty) if shape == Shape::Empty => {}
                _ => merged.push(shape),
            }
        }
        match merged.len() {
            1 => merged.remove(0),
            _ => Shape::Alternate(merged),
        }
    }

    /// Returns the text that the expression starts with.
    fn start(&self) -> Option<&Literal> {
        match self {
            Shape::Literal(literal) => Some(literal),
            Shape::Concat(parts) => parts.first()?.start_of_part(),
            _ => None,
        }
    }

    fn start_of_part(&self) -> Option<&Literal> {
        match self {
            Shape::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// Removes bytes of the text that the expression starts with.
    fn without_start(self, n: usize) -> Shape {
        match self {
            Shape::Literal(literal) if literal.text.len() <= n => Shape::Empty,
            Shape::Literal(literal) => Shape::Literal(Literal {
                text: literal.text.get(n..).unwrap_or_default().to_owned(),
                fold: literal.fold,
            }),
            Shape::Concat(mut parts) => {
                let first = parts.remove(0).without_start(n);
                if first != Shape::Empty {
                    parts.insert(0, first);
                }
                match parts.len() {
                    0 => Shape::Empty,
                    1 => parts.remove(0),
                    _ => Shape::Concat(parts),
                }
            }
            other => other,
        }
    }

    fn test(&self, is_label: bool) -> Option<Test> {
        match self {
            Shape::Empty | Shape::AnyRun => Some(Test::All),
            Shape::SomeRun => Some(Test::NonEmpty),
            Shape::Literal(literal) if is_label => Test::equal(literal),
            Shape::Literal(literal) => Test::contains(literal),
            Shape::Alternate(parts) => {
                let tests = parts.iter().map(|part| match part {
                    // Beside others, nothing means the empty value.
                    Shape::Empty if is_label => Some(Test::Equal(Vec::new())),
                    part => part.test(is_label),
                });
                tests.collect::<Option<Vec<_>>>().map(Test::any)
            }
            Shape::Concat(parts) => concat_test(parts, None),
            Shape::Class | Shape::Other => None,
        }
    }
}

/// The test of a text with `.*` around it, or of a text and alternatives for its rest.
fn concat_test(parts: &[Shape], base: Option<&Literal>) -> Option<Test> {
    if parts.len() > 3 {
        return None;
    }
    let mut text = base.cloned();
    let (mut n_literals, mut tests) = (0, Vec::new());
    for part in parts {
        match part {
            Shape::Empty | Shape::AnyRun => {}
            Shape::Literal(literal) => {
                n_literals += 1;
                let mut joined = text.take().unwrap_or(Literal {
                    text: String::new(),
                    fold: literal.fold,
                });
                if n_literals > 1 || joined.fold != literal.fold || !tests.is_empty() {
                    return None;
                }
                joined.text.push_str(&literal.text);
                text = Some(joined);
            }
            Shape::Alternate(rests) => {
                let start = text.as_ref()?;
                for rest in rests {
                    tests.push(rest_test(rest, start)?);
                }
            }
            _ => return None,
        }
    }
    // `.*` in the middle ends what is side by side.
    let is_split = parts.windows(2).any(|pair| {
        matches!(pair[0], Shape::AnyRun) && matches!(pair[1], Shape::Alternate(_))
            || base.is_some()
                && matches!(pair[0], Shape::AnyRun)
                && matches!(pair[1], Shape::Literal(_))
    });
    let starts_split =
        base.is_some() && matches!(parts.first(), Some(Shape::AnyRun)) && n_literals > 0;
    if is_split || starts_split {
        return None;
    }
    match tests.is_empty() {
        true => Test::contains(&text?),
        false => Some(Test::any(tests)),
    }
}

fn rest_test(rest: &Shape, start: &Literal) -> Option<Test> {
    match rest {
        Shape::Empty | Shape::AnyRun => Test::contains(start),
        Shape::Literal(literal) if literal.fold == start.fold => Test::contains(&Literal {
            text: format!("{}{}", start.text, literal.text),
            fold: start.fold,
        }),
        Shape::Concat(parts) => concat_test(parts, Some(start)),
        _ => None,
    }
}

/// Returns how many bytes two texts have in common at their starts.
fn common_len(a: &str, b: &str) -> usize {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// A text that matches of an expression have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredText {
    /// The text, in small letters where the case does not matter.
    pub text: String,
    /// Whether ASCII letters may be of either case.
    pub fold: bool,
}

impl RequiredText {
    fn exact(c: char) -> RequiredText {
        RequiredText {
            text: c.to_string(),
            fold: false,
        }
    }
}

/// Letters beyond ASCII that are a small letter of it in another case.
const ODD_CASES: [(char, char); 2] = [('s', '\u{17f}'), ('k', '\u{212a}')];

/// Characters side by side that each match has.
#[derive(Default)]
struct Run {
    text: String,
    /// Whether letters are of either case; `None` where there is none yet.
    fold: Option<bool>,
}

impl Run {
    /// Adds a character; false where that is not possible.
    fn push(&mut self, c: char, fold: bool) -> bool {
        let is_known = match c {
            // What is not UTF-8 in a line is replaced by it.
            '\u{fffd}' => false,
            c if c.is_ascii_alphabetic() => *self.fold.get_or_insert(fold) == fold,
            c => c.is_ascii() || !fold,
        };
        if is_known {
            match fold {
                true => self.text.push(c.to_ascii_lowercase()),
                false => self.text.push(c),
            }
        }
        is_known
    }

    /// Returns texts of which each match has one.
    fn take(&mut self) -> Option<Vec<RequiredText>> {
        let Run { text, fold } = std::mem::take(self);
        if text.is_empty() {
            return None;
        }
        let fold = fold == Some(true);
        let odd = ODD_CASES
            .iter()
            .filter(|(letter, _)| fold && text.contains(*letter));
        let odd: Vec<_> = odd.map(|(_, odd)| RequiredText::exact(*odd)).collect();
        Some([vec![RequiredText { text, fold }], odd].concat())
    }
}

/// Returns texts of which each match has one, the longest that are found.
fn required(node: &Node) -> Option<Vec<RequiredText>> {
    match node {
        Node::Literal { c: Some(c), fold } => {
            let mut run = Run::default();
            run.push(*c, *fold);
            run.take()
        }
        Node::Group { sub, .. } => required(sub),
        Node::Repeat { min: 1.., sub, .. } => required(sub),
        Node::Alternate(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.append(&mut required(part)?);
            }
            Some(all)
        }
        Node::Concat(parts) => {
            let mut sets: Vec<Vec<RequiredText>> = Vec::new();
            let mut run = Run::default();
            for part in parts {
                match part {
                    Node::Literal { c: Some(c), fold } => {
                        if !run.push(*c, *fold) {
                            sets.extend(run.take());
                            run.push(*c, *fold);
                        }
                    }
                    // A position takes no text, so the run goes on behind it.
                    Node::Look(_) | Node::Empty => {}
                    other => {
                        sets.extend(run.take());
                        sets.extend(required(other));
                    }
                }
            }
            sets.extend(run.take());
            let is_odd = |text: &str| ODD_CASES.iter().any(|(_, odd)| text.chars().eq([*odd]));
            let shortest = |set: &Vec<RequiredText>| {
                let texts = set.iter().filter(|required| !is_odd(&required.text));
                texts.map(|required| required.text.len()).min().unwrap_or(0)
            };
            sets.into_iter().max_by_key(shortest)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(pattern: &str, text: &str) -> bool {
        LineSearch::new(pattern).unwrap().is_match(text.as_bytes())
    }

    fn label(pattern: &str, text: &str) -> bool {
        LineSearch::of_label(pattern)
            .unwrap()
            .is_match(text.as_bytes())
    }

    fn is_text(pattern: &str) -> bool {
        !matches!(LineSearch::new(pattern).unwrap().test, Test::Engine(_))
    }

    #[test]
    fn text_is_found_as_text() {
        for pattern in [
            "foo",
            "foo|bar",
            "(foo|fobar)",
            ".*foo.*",
            "(?i)foo",
            "",
            ".*",
            ".+",
            "foo(bar|zap)",
        ] {
            assert!(is_text(pattern), "{pattern}");
        }
        for pattern in ["fo[ab]", "foo.bar", "^foo", "foo.*bar", "(?s).*", "foo{2}"] {
            assert!(!is_text(pattern), "{pattern}");
        }
        assert!(line("(?i)ErRor", "an ERROR here"));
        assert!(!line("(?i)error", "an err"));
        assert!(line("bar|b|buzz", "a b c"));
        assert!(line(".+", "x") && !line(".+", ""));
        assert!(!line("a.c", "a\nc") && line("(?s)a.c", "a\nc"));
        assert!(LineSearch::new("a.c").unwrap().is_match(b"a\xffc"));
    }

    #[test]
    fn values_of_labels_match_as_in_loki() {
        assert!(label("alpha", "alpha") && !label("alph", "alpha"));
        assert!(label("foo|bar", "bar") && !label("foo|bar", "xbar"));
        assert!(label("al.*", "al\npha") && label("", "x"));
        assert!(label("a|", "") && label("a|", "a") && !label("a|", "b"));
        assert!(!label("fo[ob]", "fooo"));
        assert!(label("(?i)foo", "FOO") && !label("(?i)foo", "FOOO"));
    }

    #[test]
    fn required_texts_are_known() {
        let needles = |pattern: &str| {
            let search = LineSearch::new(pattern).unwrap();
            let texts = search.needles()?.iter().map(|needle| match needle.fold {
                true => format!("(?i){}", needle.text),
                false => needle.text.clone(),
            });
            Some(texts.collect::<Vec<_>>())
        };
        let some = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(needles("code=5.."), some(&["code=5"]));
        assert_eq!(needles("err.r|w.*arn"), some(&["err", "arn"]));
        assert_eq!(needles(r"\bfoo(?:bar)+"), some(&["bar"]));
        assert_eq!(needles("(?i)Foo"), some(&["(?i)foo"]));
        assert_eq!(needles("(?i)FOO 7.*b"), some(&["(?i)foo 7"]));
        assert_eq!(
            needles("(?i)b.sk "),
            some(&["(?i)sk ", "\u{17f}", "\u{212a}"])
        );
        assert_eq!(needles("ab(?i)cde(?-i)f"), some(&["ab", "(?i)cde"][1..]));
        assert_eq!(needles("(?i)ü"), None);
        assert_eq!(needles("ü=\u{fffd}b"), some(&["ü="]));
        assert_eq!(needles("x*"), None);
        assert_eq!(needles("a?|b"), None);
    }

    proptest! {
        /// Without the liberties that are taken with labels, a search is the expression.
        #[test]
        fn a_search_is_its_expression(
            pieces in prop::collection::vec(
                prop::sample::select(vec!["a", "b", "ab", "|", ".*", ".", "(?:a|ab)", "(b)", "x?", "(?i:aS)", "(?i)"]),
                0..7,
            ),
            text in "[abxABsſ]{0,6}",
        ) {
            let pattern = pieces.concat();
            if let (Ok(search), Ok(regex)) = (LineSearch::new(&pattern), Regex::new(&pattern)) {
                let is_match = search.is_match(text.as_bytes());
                // Where it is text, letters beyond ASCII have no other case.
                prop_assert!(is_match == regex.is_match(&text) || text.contains('ſ') && !is_match, "{}", pattern);
                if regex.is_match(&text) && let Some(needles) = search.needles() {
                    let lower = text.to_ascii_lowercase();
                    let is_in = |needle: &RequiredText| match needle.fold {
                        true => lower.contains(&needle.text),
                        false => text.contains(&needle.text),
                    };
                    prop_assert!(needles.iter().any(is_in));
                }
            }
        }
    }
}
