//! A condition on one label, as in `{name=~"value"}`.

use std::fmt;
use std::sync::Arc;

use super::pattern::Pattern;
use crate::compat::name::is_legacy_label_name;
use crate::compat::quote::push_quoted;
use crate::compat::regex::{Automaton, RegexError, replace_invalid};

/// The four ways to compare a label with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchOp {
    /// Returns the operator as written in a selector.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// The pattern of a regular-expression matcher does not compile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MatcherError {
    /// The reason in Go's words, such as `error parsing regexp: missing closing ): ...`.
    pub message: String,
}

impl From<RegexError> for MatcherError {
    fn from(error: RegexError) -> MatcherError {
        MatcherError {
            message: error.to_string(),
        }
    }
}

/// A condition on one label of a series. An absent label counts as empty.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    /// Present for the two regular-expression operators.
    pattern: Option<Arc<Pattern>>,
}

impl Matcher {
    /// Builds a matcher.
    ///
    /// # Errors
    /// The value of a regular-expression matcher is not valid RE2 syntax.
    pub fn new(
        op: MatchOp,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Pattern::new(&value)?)),
        };
        Ok(Matcher {
            name,
            op,
            value,
            pattern,
        })
    }

    /// Returns the label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how the label is compared.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// Returns the value or pattern as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Tells whether a label with this value satisfies the condition.
    #[inline]
    pub fn matches(&self, value: &str) -> bool {
        self.holds(value) != self.is_negative()
    }

    /// Tells whether a value that need not be UTF-8 satisfies the condition. To a
    /// regular expression each byte that is not UTF-8 is one replacement character.
    pub fn matches_bytes(&self, value: &[u8]) -> bool {
        match str::from_utf8(value) {
            Ok(value) => self.matches(value),
            Err(_) if self.pattern.is_none() => self.is_negative(),
            Err(_) => self.matches(&replace_invalid(value)),
        }
    }

    /// Tells whether a series without the label satisfies the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Tells whether the operator is `!=` or `!~`: the condition holds for what the
    /// value or pattern does *not* fit.
    pub fn is_negative(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// Returns the values that fit the value or pattern, where they are few and all
    /// known: sorted, each once. For `!=` and `!~` they are the ones excluded.
    pub fn set_matches(&self) -> Option<&[String]> {
        match &self.pattern {
            None => Some(std::slice::from_ref(&self.value)),
            Some(pattern) => pattern.set(),
        }
    }

    /// Returns text that every value that fits the pattern starts with, `None` where
    /// nothing is known. For `!~` that is about the values excluded.
    pub fn prefix(&self) -> Option<&str> {
        let prefix = self.pattern.as_ref()?.prefix();
        (!prefix.is_empty()).then_some(prefix)
    }

    /// Returns the pattern as an automaton, to be run through a sorted set of values.
    /// `None` where testing value by value is better: the test is one of text, or the
    /// automaton would be large.
    pub(crate) fn automaton(&self) -> Option<Automaton> {
        let pattern = self.pattern.as_ref()?;
        pattern
            .needs_engine()
            .then(|| Automaton::new(&self.value))?
    }

    /// Tells whether every value satisfies the condition, as for `=~".*"`.
    pub fn matches_all(&self) -> bool {
        match &self.pattern {
            Some(pattern) => match self.op {
                MatchOp::Regex => pattern.matches_all(),
                _ => pattern.set().is_some_and(<[String]>::is_empty),
            },
            None => false,
        }
    }

    /// Tells whether no value satisfies the condition, as for `!~".*"`.
    pub fn matches_none(&self) -> bool {
        match &self.pattern {
            Some(pattern) => match self.op {
                MatchOp::Regex => pattern.set().is_some_and(<[String]>::is_empty),
                _ => pattern.matches_all(),
            },
            None => false,
        }
    }

    /// Tells whether exactly the values that are not empty satisfy the condition, as
    /// for `!=""` and `=~".+"`.
    pub fn matches_nonempty(&self) -> bool {
        match self.op {
            MatchOp::Equal => false,
            MatchOp::Regex => self
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches_nonempty()),
            MatchOp::NotEqual | MatchOp::NotRegex => {
                matches!(self.set_matches(), Some([only]) if only.is_empty())
            }
        }
    }

    /// Tells whether a value fits the value or pattern, the negation left out.
    #[inline]
    fn holds(&self, value: &str) -> bool {
        match &self.pattern {
            None => self.value == value,
            Some(pattern) => pattern.matches(value),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

/// Prints as in a selector, `name=~"value"`; a name outside the old alphabet is quoted.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.name.len() + self.value.len() + 4);
        if is_legacy_label_name(&self.name) {
            text.push_str(&self.name);
        } else {
            push_quoted(&mut text, &self.name);
        }
        text.push_str(self.op.as_str());
        push_quoted(&mut text, &self.value);
        f.write_str(&text)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
