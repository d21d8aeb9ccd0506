//! Conditions on lines.
//!
//! Upstream source: `pkg/logql/log/filter.go` of Loki.

use kymo_storage::compat::quote::quote;
use kymo_storage::compat::regex::LineSearch;
use memchr::memmem::Finder;

use super::ip;
use super::text_pattern::LinePattern;
use crate::logql::address::Addresses;
use crate::logql::ast::{LineFilter as Tree, LineOp, LineOperand};
use crate::logql::source::{LineNeedle, LineNeedles};

/// A condition on a line, ready to be tested.
#[derive(Debug, Clone)]
pub(super) struct LineFilter {
    /// One of them has to hold; or none, where `negative`.
    tests: Vec<Test>,
    negative: bool,
}

#[derive(Debug, Clone)]
enum Test {
    All,
    Contains(Box<Finder<'static>>),
    Search(Box<LineSearch>),
    Pattern(LinePattern),
    Ip(Addresses),
}

impl LineFilter {
    /// Compiles a condition.
    pub(super) fn new(tree: &Tree) -> Result<LineFilter, String> {
        let negative = matches!(
            tree.op,
            LineOp::NotContains | LineOp::NotMatches | LineOp::NotPattern
        );
        let mut tests = Vec::with_capacity(tree.operands.len());
        for operand in &tree.operands {
            tests.push(Test::new(tree.op, operand)?);
        }
        // Beside others, what is true of every line says nothing.
        if !negative && tests.iter().any(|test| !matches!(test, Test::All)) {
            tests.retain(|test| !matches!(test, Test::All));
        }
        Ok(LineFilter { tests, negative })
    }

    /// Tells whether every line satisfies the condition.
    pub(super) fn is_always_true(&self) -> bool {
        !self.negative && self.tests.iter().any(|test| matches!(test, Test::All))
    }

    /// Tells whether a line satisfies the condition.
    #[inline]
    pub(super) fn keeps(&self, line: &[u8]) -> bool {
        self.tests.iter().any(|test| test.holds(line)) != self.negative
    }

    /// How much a test costs, to put cheap ones first.
    pub(super) fn cost(&self) -> usize {
        let cost = |test: &Test| match test {
            Test::All => 0,
            Test::Contains(_) => 1,
            Test::Pattern(_) => 2,
            Test::Ip(_) => 4,
            Test::Search(_) => 8,
        };
        self.tests.iter().map(cost).sum()
    }

    /// Returns texts of which each line has one that satisfies the condition.
    pub(super) fn needles(&self) -> Option<LineNeedles> {
        if self.negative {
            return None;
        }
        let mut any_of: Vec<LineNeedle> = Vec::new();
        for test in &self.tests {
            match test {
                Test::All | Test::Ip(_) => return None,
                Test::Contains(finder) => any_of.push(LineNeedle::exact(finder.needle())),
                Test::Search(search) => {
                    let needles = search.needles()?.iter();
                    any_of.extend(needles.map(|needle| LineNeedle {
                        text: needle.text.as_bytes().to_vec(),
                        fold: needle.fold,
                    }));
                }
                Test::Pattern(pattern) => any_of.push(LineNeedle::exact(pattern.longest_text()?)),
            }
        }
        let is_useful = !any_of.is_empty() && any_of.iter().all(|needle| !needle.text.is_empty());
        is_useful.then_some(LineNeedles { any_of })
    }
}

impl Test {
    fn new(op: LineOp, operand: &LineOperand) -> Result<Test, String> {
        Ok(match (op, operand) {
            (LineOp::Contains | LineOp::NotContains, LineOperand::Ip(text)) => {
                let addresses = Addresses::parse(text);
                Test::Ip(addresses.ok_or_else(|| format!("ip: invalid pattern: {}", quote(text)))?)
            }
            (_, LineOperand::Ip(_)) => return Err("ip: invalid operation".to_owned()),
            (LineOp::Contains | LineOp::NotContains, LineOperand::Text(text)) => {
                match text.is_empty() {
                    true => Test::All,
                    false => Test::Contains(Box::new(Finder::new(text).into_owned())),
                }
            }
            (LineOp::Matches | LineOp::NotMatches, LineOperand::Text(text)) => {
                let search = LineSearch::new(text).map_err(|error| error.to_string())?;
                match search.matches_all() {
                    true => Test::All,
                    false => Test::Search(Box::new(search)),
                }
            }
            (LineOp::Pattern | LineOp::NotPattern, LineOperand::Text(text)) => {
                Test::Pattern(LinePattern::new(text)?)
            }
        })
    }

    #[inline]
    fn holds(&self, line: &[u8]) -> bool {
        match self {
            Test::All => true,
            Test::Contains(finder) => finder.find(line).is_some(),
            Test::Search(search) => search.is_match(line),
            Test::Pattern(pattern) => pattern.fits(line),
            Test::Ip(addresses) => ip::holds(line, addresses),
        }
    }
}
