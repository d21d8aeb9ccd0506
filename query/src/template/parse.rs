//! Builds the tree of a template from its tokens.
//!
//! Grammar, checks and error texts are those of Go's `text/template/parse`. An error
//! names the line of the last token that was looked at, which may lie behind the one
//! that is wrong; so does Go. Nesting is bounded, and with it the stack that parsing,
//! executing and dropping a tree need.

mod operand;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kymo_storage::compat::quote;

use super::Functions;
use super::lex::{Kind, Token, tokens};
use super::node::{Branch, Call, List, Node, Pipe};

/// How deep actions and parentheses may stand in each other.
const MAX_DEPTH: usize = 100;

/// The trees of a text by the name of their template.
pub(super) type Trees = BTreeMap<String, List>;

/// Parses a text. What stands outside of definitions is the template called `name`.
///
/// # Errors
/// The text is no template; the error is Go's, with name and line.
pub(super) fn parse(name: &str, text: &str, functions: Functions) -> Result<Trees, String> {
    let mut parser = Parser {
        name,
        functions,
        tokens: tokens(text),
        at: 0,
        seen: 0,
        depth: 0,
        scope: Scope::new(),
        trees: BTreeMap::new(),
    };
    let list = parser.top_level()?;
    parser.add(name.to_owned(), list)?;
    Ok(parser.trees)
}

/// What belongs to one template of the text.
struct Scope {
    variables: Vec<String>,
    /// The line of the action being read, 0 outside of actions.
    action_line: usize,
    ranges: usize,
}

impl Scope {
    fn new() -> Scope {
        Scope {
            variables: vec!["$".to_owned()],
            action_line: 0,
            ranges: 0,
        }
    }
}

struct Parser<'t> {
    name: &'t str,
    functions: Functions,
    tokens: Vec<Token<'t>>,
    /// The next token.
    at: usize,
    /// The furthest token that was looked at.
    seen: usize,
    depth: usize,
    scope: Scope,
    trees: Trees,
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn describe(self) -> &'static str {
        match self {
            Stop::End => "{{end}}",
            Stop::Else => "{{else}}",
        }
    }
}

enum Item {
    Node(Node),
    Stop(Stop),
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        // The last token, end or error, is given again and again.
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn peek(&mut self) -> Token<'t> {
        self.seen = self.seen.max(self.at);
        self.tokens[self.at].clone()
    }

    fn peek_kind(&mut self) -> Kind {
        self.seen = self.seen.max(self.at);
        self.tokens[self.at].kind
    }

    fn next_non_space(&mut self) -> Token<'t> {
        self.skip_space();
        self.next()
    }

    fn peek_non_space(&mut self) -> Token<'t> {
        self.skip_space();
        self.peek()
    }

    fn skip_space(&mut self) {
        while self.peek_kind() == Kind::Space {
            self.at += 1;
        }
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Result<T, String> {
        self.error_at(self.tokens[self.seen].line, message)
    }

    fn error_at<T>(&self, line: usize, message: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("template: {}:{line}: {message}", self.name))
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T, String> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.describe()));
        }
        let start = self.scope.action_line;
        if start == 0 || start == token.line {
            return self.error(&token.text);
        }
        // "unclosed action started", not "unclosed action in action started".
        let place = if token.text.ends_with(" action") {
            ""
        } else {
            " in action"
        };
        self.error(format!(
            "{}{place} started at {}:{start}",
            token.text, self.name
        ))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'t>, String> {
        let token = self.next_non_space();
        if token.kind != kind {
            return self.unexpected(&token, context);
        }
        Ok(token)
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("max expression depth exceeded");
        }
        Ok(())
    }

    fn add(&mut self, name: String, list: List) -> Result<(), String> {
        match self.trees.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(list);
            }
            Entry::Occupied(mut entry) if entry.get().is_empty() => {
                entry.insert(list);
            }
            Entry::Occupied(_) if list.is_empty() => {}
            Entry::Occupied(entry) => {
                let name = quote::quote(entry.key());
                return self.error(format!("template: multiple definition of template {name}"));
            }
        }
        Ok(())
    }

    fn top_level(&mut self) -> Result<List, String> {
        let mut list = List::default();
        while self.peek_kind() != Kind::Eof {
            if self.peek_kind() == Kind::LeftDelim {
                let delim = self.at;
                self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.at = delim;
            }
            match self.text_or_action()? {
                Item::Node(node) => list.nodes.push(node),
                Item::Stop(stop) => return self.error(format!("unexpected {}", stop.describe())),
            }
        }
        Ok(list)
    }

    /// Reads a definition whose keyword is past.
    fn definition(&mut self) -> Result<(), String> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        let (list, stop) = self.item_list()?;
        if stop != Stop::End {
            return self.error(format!("unexpected {} in {CONTEXT}", stop.describe()));
        }
        self.scope = outer;
        self.add(name, list)
    }

    fn template_name(&mut self, token: &Token<'_>, context: &str) -> Result<String, String> {
        match token.kind {
            Kind::String | Kind::RawString => {
                let name = self.unquote(&token.text)?;
                Ok(String::from_utf8_lossy(&name).into_owned())
            }
            _ => self.unexpected(token, context),
        }
    }

    fn unquote(&self, text: &str) -> Result<Vec<u8>, String> {
        match quote::unquote(text) {
            // Go drops carriage returns from raw strings.
            Ok(mut value) if text.starts_with('`') => {
                value.retain(|&byte| byte != b'\r');
                Ok(value)
            }
            Ok(value) => Ok(value),
            Err(error) => self.error(error),
        }
    }

    fn item_list(&mut self) -> Result<(List, Stop), String> {
        let mut list = List::default();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => list.nodes.push(node),
                Item::Stop(stop) => return Ok((list, stop)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Item, String> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.into_owned()))),
            Kind::LeftDelim => {
                self.scope.action_line = token.line;
                self.deeper()?;
                let item = self.action()?;
                self.depth -= 1;
                self.scope.action_line = 0;
                Ok(item)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item, String> {
        let token = self.peek_non_space();
        let node = match token.kind {
            Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Range
            | Kind::Template
            | Kind::With => {
                self.next();
                match token.kind {
                    Kind::Block => self.block()?,
                    Kind::Break => self.jump("{{break}}", Node::Break)?,
                    Kind::Continue => self.jump("{{continue}}", Node::Continue)?,
                    Kind::Else => return self.otherwise(),
                    Kind::End => {
                        self.expect(Kind::RightDelim, "end")?;
                        return Ok(Item::Stop(Stop::End));
                    }
                    Kind::If => Node::If(self.branch("if")?),
                    Kind::Range => Node::Range(self.branch("range")?),
                    Kind::Template => self.call()?,
                    _ => Node::With(self.branch("with")?),
                }
            }
            // Variables of an action live until the list around it ends.
            _ => Node::Action(self.pipeline("command", Kind::RightDelim)?),
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, keyword: &str, node: Node) -> Result<Node, String> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, keyword);
        }
        if self.scope.ranges == 0 {
            return self.error(format!("{keyword} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn otherwise(&mut self) -> Result<Item, String> {
        // "else if" and "else with" leave their second word for the branch.
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Item::Stop(Stop::Else))
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, String> {
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let loops = usize::from(context == "range");
        self.scope.ranges += loops;
        let (list, stop) = self.item_list()?;
        self.scope.ranges -= loops;
        let otherwise = match stop {
            Stop::End => None,
            Stop::Else => Some(self.else_list(context)?),
        };
        self.scope.variables.truncate(variables);
        Ok(Branch {
            pipe,
            list,
            otherwise,
        })
    }

    fn else_list(&mut self, context: &'static str) -> Result<List, String> {
        let next = self.peek();
        let chained = matches!(
            (context, next.kind),
            ("if", Kind::If) | ("with", Kind::With)
        );
        if chained {
            // The end of the inner branch is the end of both.
            self.next();
            self.deeper()?;
            let branch = self.branch(context)?;
            self.depth -= 1;
            let node = match context {
                "if" => Node::If(branch),
                _ => Node::With(branch),
            };
            return Ok(List { nodes: vec![node] });
        }
        let (list, stop) = self.item_list()?;
        if stop != Stop::End {
            return self.error(format!("expected end; found {}", stop.describe()));
        }
        Ok(list)
    }

    fn block(&mut self) -> Result<Node, String> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let line = self.tokens[self.seen].line;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let (list, stop) = self.item_list()?;
        if stop != Stop::End {
            // Go still stands at the block's own action here.
            let message = format!("unexpected {} in {CONTEXT}", stop.describe());
            return self.error_at(line, message);
        }
        self.scope = outer;
        self.add(name.clone(), list)?;
        Ok(Node::Call(Call {
            pos: token.pos,
            name,
            pipe: Some(pipe),
        }))
    }

    fn call(&mut self) -> Result<Node, String> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.next();
            None
        } else {
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Call(Call {
            pos: token.pos,
            name,
            pipe,
        }))
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        let mut pipe = Pipe {
            pos: self.peek_non_space().pos,
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.peek_non_space();
            match token.kind {
                kind if kind == end => {
                    self.next();
                    self.check(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        loop {
            let variable = self.peek_non_space();
            if variable.kind != Kind::Variable {
                return Ok(());
            }
            let start = self.at;
            self.next();
            let sign = self.peek_non_space();
            let comma = match sign.kind {
                Kind::Assign | Kind::Declare => false,
                Kind::Char if sign.text == "," => true,
                // The variable is an operand.
                _ => {
                    self.at = start;
                    return Ok(());
                }
            };
            if !comma {
                pipe.assigns = sign.kind == Kind::Assign;
            }
            self.next();
            pipe.variables.push(variable.text.to_string());
            self.scope.variables.push(variable.text.into_owned());
            if !comma {
                return Ok(());
            }
            if context != "range" || pipe.variables.len() >= 2 {
                return self.error(format!("too many declarations in {context}"));
            }
            match self.peek_non_space().kind {
                Kind::Variable | Kind::RightDelim | Kind::RightParen => {}
                _ => return self.error("range can only initialize variables"),
            }
        }
    }

    fn check(&self, pipe: &Pipe, context: &str) -> Result<(), String> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if command.operands[0].kind.is_constant() {
                let stage = index + 1;
                return self.error(format!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(())
    }
}
