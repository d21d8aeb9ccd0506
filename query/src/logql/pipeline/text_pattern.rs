//! Patterns of text with holes: the stage `pattern` and the filters `|>` and `!>`.
//!
//! Upstream source: `pkg/logql/log/pattern` of Loki.

use memchr::memmem::{self, Finder};

use super::entry_labels::EntryLabels;
use super::hints::Hints;
use super::names::{NameId, Names};
use crate::logql::pattern::{Piece, parse_captures, parse_line_filter};

/// The stage `pattern`.
#[derive(Debug, Clone)]
pub(super) struct Captures {
    /// Text at the start of the line.
    start: Vec<u8>,
    /// Captures, each with the text behind it; the last may have none.
    holes: Vec<(Option<NameId>, Option<Finder<'static>>)>,
}

impl Captures {
    /// Compiles a pattern.
    pub(super) fn new(text: &str, names: &mut Names) -> Result<Captures, String> {
        let pieces = parse_captures(text).map_err(|error| error.to_string())?;
        let mut captures = Captures {
            start: Vec::new(),
            holes: Vec::new(),
        };
        for piece in pieces {
            match piece {
                Piece::Literal(text) => match captures.holes.last_mut() {
                    Some(hole) => hole.1 = Some(Finder::new(&text).into_owned()),
                    None => captures.start = text.into_bytes(),
                },
                Piece::Capture(name) => {
                    let name = name.map(|name| names.fix(&name));
                    captures.holes.push((name, None));
                }
            }
        }
        Ok(captures)
    }

    /// Extracts labels; tells whether the line is still wanted.
    pub(super) fn run(&self, line: &[u8], hints: &Hints, labels: &mut EntryLabels) -> bool {
        if hints.nothing_to_do(labels) || line.is_empty() {
            return true;
        }
        let Some(mut rest) = line.strip_prefix(self.start.as_slice()) else {
            return true;
        };
        for (name, end) in &self.holes {
            let found = end.as_ref().and_then(|end| {
                let at = end.find(rest)?;
                Some((at, at + end.needle().len()))
            });
            // Where the text behind it is missing, a capture takes all that is left.
            let (len, next) = found.unwrap_or((rest.len(), rest.len()));
            if let Some(name) = name {
                let mut name = *name;
                if labels.clashes(name) {
                    name = labels.names.extracted(name);
                }
                if hints.needs(name, labels) {
                    labels.set_parsed(name, &rest[..len]);
                    if !hints.keeps(name, labels) {
                        return false;
                    }
                }
            }
            if found.is_none() {
                break;
            }
            rest = &rest[next..];
        }
        true
    }
}

/// The pattern of a line filter.
#[derive(Debug, Clone)]
pub(super) struct LinePattern {
    texts: Vec<Vec<u8>>,
    /// Whether a hole stands in front of the first text.
    starts_open: bool,
    ends_open: bool,
    is_empty: bool,
}

impl LinePattern {
    /// Compiles a pattern.
    pub(super) fn new(text: &str) -> Result<LinePattern, String> {
        let pieces = parse_line_filter(text).map_err(|error| error.to_string())?;
        let is_hole = |piece: Option<&Piece>| matches!(piece, Some(Piece::Capture(_)));
        Ok(LinePattern {
            starts_open: is_hole(pieces.first()),
            ends_open: is_hole(pieces.last()),
            is_empty: pieces.is_empty(),
            texts: pieces
                .into_iter()
                .filter_map(|piece| match piece {
                    Piece::Literal(text) => Some(text.into_bytes()),
                    Piece::Capture(_) => None,
                })
                .collect(),
        })
    }

    /// Tells whether a line fits.
    pub(super) fn fits(&self, line: &[u8]) -> bool {
        if line.is_empty() || self.is_empty {
            return line.is_empty() && self.is_empty;
        }
        let mut rest = line;
        for (index, text) in self.texts.iter().enumerate() {
            let Some(at) = memmem::find(rest, text) else {
                return false;
            };
            // A hole takes a byte at least. What is before the first text need not be there.
            if at == 0 && (index > 0 || self.starts_open) {
                return false;
            }
            rest = &rest[at + text.len()..];
        }
        self.ends_open != rest.is_empty()
    }

    /// Returns the longest text that each fitting line has.
    pub(super) fn longest_text(&self) -> Option<&[u8]> {
        let texts = self.texts.iter().map(Vec::as_slice);
        texts
            .filter(|text| !text.is_empty())
            .max_by_key(|text| text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, line: &str) -> bool {
        LinePattern::new(pattern).unwrap().fits(line.as_bytes())
    }

    #[test]
    fn lines_fit_without_going_back() {
        assert!(fits("bar", "foo bar") && !fits("bar", "bar foo"));
        assert!(fits("<_> bar", "foo bar") && !fits("<_> bar", "foo bar bar"));
        assert!(!fits("<_> bar", " bar") && !fits("<_>x<_>", "x"));
        assert!(fits("foo <_>", "foo x") && !fits("foo <_>", "foo "));
        assert!(fits("<_>", "x") && !fits("<_>", ""));
        assert!(fits("", "") && !fits("", "x"));
        assert!(fits("<_>worker-<_>: done", "a worker-1: done"));
    }
}
