//! A YAML document as a tree that knows where each part stands.
//!
//! Configuration files are read in two steps: the text becomes [`Node`]s here, then
//! the readers of `fields` take values out by name. That keeps the exact
//! text of scalars (`regex: 1e3` stays `1e3`), gives every complaint a line, and
//! finds all mistakes of a file at once; a derived reader stops at the first.
//! Scalars mean what they mean to Go's YAML package, which is 1.1 with `yes` and `on`.
//!
//! Only the first document of a text is read, as Prometheus does it; the rest need not
//! even be YAML. Aliases are expanded in place, so the number of nodes is bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

/// Most nodes of one document, copies by aliases included. A hundred thousand
/// targets stay far below it; a bomb of nested aliases does not.
const MAX_NODES: usize = 2_000_000;

/// A place in a file; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A part of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub at: Position,
    /// What it holds.
    pub value: Value,
}

/// What a [`Node`] holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: an empty place, `~` or `null`.
    Null,
    /// A text.
    Scalar {
        /// The text after quoting and folding are resolved.
        text: String,
        /// Whether it was written without quotes, so that it may mean a number or a boolean.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Pairs in the order of the file; a key may stand there twice.
    Map(Vec<(Node, Node)>),
}

/// The first document of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it holds; [`Value::Null`] where the text is empty.
    pub root: Node,
    /// Where the text goes on behind the document's end, which nobody reads.
    pub unread: Option<Position>,
}

/// A text that is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where reading stopped.
    pub at: Position,
    /// Why.
    pub message: String,
}

/// Reads the first document of a text.
///
/// # Errors
/// The first violation of YAML's syntax in it, or too many nodes.
pub fn parse(text: &str) -> Result<Document, SyntaxError> {
    let mut builder = Builder {
        source: text,
        flow_depth: 0,
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut root = Node {
        at: Position { line: 1, column: 1 },
        value: Value::Null,
    };
    while let Some((event, span)) = builder.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => break,
            event => root = builder.node(event, span)?,
        }
    }
    let unread = match builder.next() {
        Ok(None | Some((Event::StreamEnd, _))) => None,
        Ok(Some((_, span))) => Some(start_of(span)),
        Err(error) => Some(error.at),
    };
    Ok(Document { root, unread })
}

impl Node {
    /// Tells whether there is nothing here.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Tells whether the node says nothing: null, an empty list or an empty map.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar { .. } => false,
            Value::List(items) => items.is_empty(),
            Value::Map(pairs) => pairs.is_empty(),
        }
    }

    /// Returns the text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns the value under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(pairs) = &self.value else {
            return None;
        };
        let pair = pairs.iter().find(|(k, _)| k.text() == Some(key));
        pair.map(|(_, value)| value)
    }

    /// Returns where a key of a map stands, or the map itself where it is not there.
    pub fn position_of(&self, key: &str) -> Position {
        let Value::Map(pairs) = &self.value else {
            return self.at;
        };
        let pair = pairs.iter().find(|(k, _)| k.text() == Some(key));
        pair.map_or(self.at, |(key, _)| key.at)
    }

    fn count(&self) -> usize {
        1 + match &self.value {
            Value::Null | Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(pairs) => pairs.iter().map(|(k, v)| k.count() + v.count()).sum(),
        }
    }
}

struct Builder<'a> {
    source: &'a str,
    /// How many lists and maps in brackets are open.
    flow_depth: usize,
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, SyntaxError> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(SyntaxError {
                at: Position {
                    line: error.marker().line(),
                    column: error.marker().col() + 1,
                },
                message: error.info(),
            }),
        }
    }

    fn required(&mut self, at: Position) -> Result<(Event<'a>, Span), SyntaxError> {
        self.next()?.ok_or_else(|| SyntaxError {
            at,
            message: "the document ends inside a list or map".to_owned(),
        })
    }

    fn grow(&mut self, by: usize, at: Position) -> Result<(), SyntaxError> {
        self.nodes += by;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(SyntaxError {
            at,
            message: format!("the document has more than {MAX_NODES} parts, aliases expanded"),
        })
    }

    /// Builds the node that `event` begins. The parser bounds how deep nodes nest.
    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, SyntaxError> {
        let at = start_of(span);
        self.grow(1, at)?;
        self.refuse_tabs_in_front(span)?;
        let in_brackets = self.rest_at(span.start).starts_with(['[', '{']);
        self.flow_depth += usize::from(in_brackets);
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (
                    scalar(self.without_added_end(text, style, span), plain),
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, _) => (Value::List(self.list(at)?), anchor),
            Event::MappingStart(_, anchor, _) => (Value::Map(self.map(at)?), anchor),
            Event::Alias(anchor) => return self.alias(anchor, at),
            _ => {
                return Err(SyntaxError {
                    at,
                    message: "a value was expected here".to_owned(),
                });
            }
        };
        self.flow_depth -= usize::from(in_brackets);
        let node = Node { at, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Refuses indentation by tabs, which is allowed in brackets only. The parser is
    /// laxer than the one of Prometheus.
    fn refuse_tabs_in_front(&self, span: Span) -> Result<(), SyntaxError> {
        let Some(front) = span
            .start
            .byte_offset()
            .and_then(|at| self.source.get(..at))
        else {
            return Ok(());
        };
        let indent = front.rsplit('\n').next().unwrap_or("");
        let blank = indent.chars().all(|c| c == ' ' || c == '\t');
        match indent.find('\t') {
            Some(column) if blank && self.flow_depth == 0 => Err(SyntaxError {
                at: Position {
                    line: span.start.line(),
                    column: column + 1,
                },
                message: "found character that cannot start any token (a tab as indentation)"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Takes away the line end that the parser adds to a block of text which ends with
    /// the file.
    fn without_added_end(
        &self,
        text: Cow<'a, str>,
        style: ScalarStyle,
        span: Span,
    ) -> Cow<'a, str> {
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        if !block || self.source.ends_with('\n') || !self.rest_at(span.end).is_empty() {
            return text;
        }
        match text.strip_suffix('\n') {
            Some(shorter) => Cow::Owned(shorter.to_owned()),
            None => text,
        }
    }

    fn rest_at(&self, marker: Marker) -> &'a str {
        marker
            .byte_offset()
            .and_then(|at| self.source.get(at..))
            .unwrap_or("")
    }

    fn list(&mut self, at: Position) -> Result<Vec<Node>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.required(at)? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self, at: Position) -> Result<Vec<(Node, Node)>, SyntaxError> {
        let mut pairs = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.required(at)? {
                (Event::MappingEnd, _) => break,
                (event, span) => self.node(event, span)?,
            };
            let (event, span) = self.required(at)?;
            let value = self.node(event, span)?;
            if key.text() == Some("<<") {
                merged.push(value);
            } else {
                pairs.push((key, value));
            }
        }
        for value in merged {
            merge(&mut pairs, value)?;
        }
        Ok(pairs)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Node, SyntaxError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(SyntaxError {
                at,
                message: "an alias names the list or map it stands in".to_owned(),
            });
        };
        let count = node.count();
        // Complaints about the copy point to where the alias is used.
        let copy = Node {
            at,
            value: node.value.clone(),
        };
        self.grow(count, at)?;
        Ok(copy)
    }
}

/// Adds the pairs of `<<: *other` whose keys the map does not have itself.
fn merge(pairs: &mut Vec<(Node, Node)>, value: Node) -> Result<(), SyntaxError> {
    match value.value {
        Value::Map(others) => {
            for (key, value) in others {
                if !pairs.iter().any(|(known, _)| known.value == key.value) {
                    pairs.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|map| merge(pairs, map)),
        _ => Err(SyntaxError {
            at: value.at,
            message: "map merge requires map or sequence of maps as the value".to_owned(),
        }),
    }
}

fn scalar(text: Cow<'_, str>, plain: bool) -> Value {
    let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
    if null {
        return Value::Null;
    }
    Value::Scalar {
        text: text.into_owned(),
        plain,
    }
}

fn start_of(span: Span) -> Position {
    Position {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tabs_indent_only_within_brackets() {
        assert_eq!(shape("\t- a"), "1:1");
        assert_eq!(shape("a:\n \tb: 1"), "2:2");
        assert_eq!(shape("a: [\n \tb,\t{c:\td} ]"), "{a=[b {c=d}]}");
        assert_eq!(shape("a: |\n  b\n  \tc\n"), "{a=\"b\\n\\tc\\n\"}");
    }

    #[test]
    fn a_block_of_text_ends_as_its_file_ends() {
        assert_eq!(shape("a: |\n  b"), "{a=\"b\"}");
        assert_eq!(shape("a: |\n  b\n"), "{a=\"b\\n\"}");
        assert_eq!(shape("- |\n  b\n- c"), "[\"b\\n\" c]");
    }

    fn shape(text: &str) -> String {
        match parse(text) {
            Ok(document) => shape_of(&document.root),
            Err(error) => format!("{}:{}", error.at.line, error.at.column),
        }
    }

    fn shape_of(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar { text, plain: true } => text.clone(),
            Value::Scalar { text, plain: false } => format!("{text:?}"),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(shape_of).collect();
                format!("[{}]", items.join(" "))
            }
            Value::Map(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(k, v)| format!("{}={}", shape_of(k), shape_of(v)))
                    .collect();
                format!("{{{}}}", pairs.join(" "))
            }
        }
    }

    #[test]
    fn documents_become_trees() {
        for (text, expected) in [
            ("", "null"),
            ("# only a comment\n", "null"),
            ("a: 1\nb: 'x'\n", "{a=1 b=\"x\"}"),
            ("rule_files:\n  # - none\n", "{rule_files=null}"),
            ("a: [x, ~, 'null']", "{a=[x null \"null\"]}"),
            ("a: &x {b: 1}\nc: *x\n", "{a={b=1} c={b=1}}"),
            (
                "a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n",
                "{a={b=1 d=2} c={b=3 d=2}}",
            ),
            ("a: 1\na: 2\n", "{a=1 a=2}"),
            ("r: 1e3\n", "{r=1e3}"),
        ] {
            assert_eq!(shape(text), expected, "{text:?}");
        }
    }

    #[test]
    fn broken_documents_name_a_place() {
        for (text, line) in [("a: [1", 1), ("a:\n  - b\n c\n", 3)] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at.line, line, "{text:?}: {error:?}");
            assert!(!error.message.is_empty());
        }
    }

    #[test]
    fn only_the_first_document_is_read() {
        for (text, unread) in [
            ("a: 1\n", None),
            ("---\na: 1\n...\n", None),
            ("a: 1\n---\nb: 2\n", Some(2)),
            ("a: 1\n---\nb: [\n", Some(2)),
        ] {
            let document = parse(text).unwrap();
            assert_eq!(shape_of(&document.root), "{a=1}", "{text:?}");
            assert_eq!(document.unread.map(|at| at.line), unread, "{text:?}");
        }
    }

    #[test]
    fn positions_are_those_of_an_editor() {
        let document = parse("global:\n  scrape_interval: 5s\n").unwrap();
        let global = document.root.get("global").unwrap();
        assert_eq!(
            global.position_of("scrape_interval"),
            Position { line: 2, column: 3 }
        );
        let value = global.get("scrape_interval").unwrap();
        assert_eq!(
            value.at,
            Position {
                line: 2,
                column: 20
            }
        );
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..10 {
            let previous = vec![format!("*a{}", i - 1); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{previous}]\n"));
        }
        assert!(parse(&text).unwrap_err().message.contains("more than"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tree_or_an_error(text in "[ -~\n]{0,200}") {
            let _ = parse(&text);
        }
    }
}
