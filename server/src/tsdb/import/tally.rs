//! What came of an import: counts, and what was refused, and why.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::clock;

/// Time between two lines about how far it is.
const EVERY: Duration = Duration::from_secs(2);

/// Why a line was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The format says otherwise.
    Syntax,
    /// A sample has no time.
    NoTime,
    /// A time that no block holds.
    Time,
    /// No labels, or such as no series has.
    Labels,
    /// Values and times do not go together.
    Lengths,
    /// Longer than is taken.
    TooLong,
    /// The text ends where it should not.
    Truncated,
}

impl Reason {
    fn describe(self) -> &'static str {
        match self {
            Reason::Syntax => "not in the format",
            Reason::NoTime => "without a timestamp",
            Reason::Time => "with a timestamp out of range",
            Reason::Labels => "with labels that no series has",
            Reason::Lengths => "with more values than timestamps, or fewer",
            Reason::TooLong => "too long",
            Reason::Truncated => "missing at the end",
        }
    }
}

/// What is done about a line that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistakes {
    /// It is counted, and the next line is read.
    Counted,
    /// It ends the import before anything is stored.
    End,
}

/// Lines of one reason.
#[derive(Debug)]
struct Refused {
    lines: u64,
    /// Where the first is, and what is wrong with it.
    first: String,
}

/// Counts what is read and refused.
#[derive(Debug)]
pub(super) struct Tally {
    mistakes: Mistakes,
    read: u64,
    refused: BTreeMap<Reason, Refused>,
    /// Whether somebody watches.
    is_watched: bool,
    told: Instant,
}

impl Tally {
    pub(super) fn new(mistakes: Mistakes) -> Tally {
        Tally {
            mistakes,
            read: 0,
            refused: BTreeMap::new(),
            is_watched: io::stderr().is_terminal(),
            told: clock::monotonic(),
        }
    }

    /// Returns the samples that were read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Notes samples of the input `name`, which is at `line`.
    pub(super) fn samples(&mut self, n_samples: usize, name: &str, line: u64) {
        self.read += n_samples as u64;
        let read = self.read;
        self.tell(|| format!("{name}: line {line}, {read} samples read"));
    }

    /// Tells how far it is, where somebody watches and was not told just now.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if !self.is_watched {
            return;
        }
        let now = clock::monotonic();
        if now.duration_since(self.told) >= EVERY {
            self.told = now;
            // Who cannot be told is not worth ending the import for.
            let _ = writeln!(io::stderr(), "kymo tsdb: {}", what());
        }
    }

    /// Refuses a line of the input `name`.
    pub(super) fn refuse(
        &mut self,
        reason: Reason,
        name: &str,
        line: u64,
        detail: &str,
    ) -> anyhow::Result<()> {
        let first = format!("{name}: line {line}: {detail}");
        if self.mistakes == Mistakes::End {
            bail!(first);
        }
        let refused = self.refused.entry(reason);
        refused.or_insert(Refused { lines: 0, first }).lines += 1;
        Ok(())
    }

    /// Returns how many lines were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.values().map(|refused| refused.lines).sum()
    }

    /// Prints why lines were refused.
    pub(super) fn write_refused(&self, out: &mut dyn Write) -> io::Result<()> {
        for (reason, Refused { lines, first }) in &self.refused {
            let reason = reason.describe();
            writeln!(
                out,
                "  refused: {lines} lines {reason}; the first is {first}"
            )?;
        }
        Ok(())
    }
}
