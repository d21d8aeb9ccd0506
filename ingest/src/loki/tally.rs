//! Counts of a push, and what is said of what was refused.
//!
//! Texts that are equal are told once with their number, as Loki groups them.

use super::limits::{Reason, Refusal};

/// Different texts that are told.
const MAX_TEXTS: usize = 64;

/// Entries and bytes refused for one reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discarded {
    /// How many entries.
    pub lines: u64,
    /// Bytes of their lines and metadata.
    pub bytes: u64,
}

/// Counts of a push.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Entries that came, refused ones included.
    pub lines: u64,
    /// Bytes of their lines.
    pub line_bytes: u64,
    /// Bytes of names and values of their metadata.
    pub metadata_bytes: u64,
    /// Entries accepted.
    pub accepted_lines: u64,
    /// Bytes of their lines and metadata.
    pub accepted_bytes: u64,
    /// Lines that were cut.
    pub cut_lines: u64,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
    /// Refused entries by reason, in the order of [`Reason::ALL`].
    pub discarded: [Discarded; Reason::ALL.len()],
    texts: Vec<(String, u64)>,
    /// Refusals with other texts than these.
    untold: u64,
    blocked: Option<String>,
    /// Something was refused because there is too much of it now.
    limited: bool,
}

impl Tally {
    /// Returns a copy without texts.
    pub(crate) fn clone_counts(&self) -> Tally {
        Tally {
            texts: Vec::new(),
            blocked: None,
            ..*self
        }
    }

    #[inline]
    pub(crate) fn receive(&mut self, line_bytes: usize, metadata_bytes: usize) {
        self.lines += 1;
        self.line_bytes += line_bytes as u64;
        self.metadata_bytes += metadata_bytes as u64;
    }

    #[inline]
    pub(crate) fn accept(&mut self, bytes: usize) {
        self.accepted_lines += 1;
        self.accepted_bytes += bytes as u64;
    }

    /// Takes back that entries were accepted.
    pub(crate) fn withdraw(&mut self, lines: u64, bytes: u64) {
        self.accepted_lines -= lines;
        self.accepted_bytes = self.accepted_bytes.saturating_sub(bytes);
    }

    pub(crate) fn cut(&mut self, bytes: usize) {
        self.cut_lines += 1;
        self.cut_bytes += bytes as u64;
    }

    /// Counts refused entries.
    pub(crate) fn discard(&mut self, reason: Reason, lines: u64, bytes: usize) {
        let discarded = &mut self.discarded[reason as usize];
        discarded.lines += lines;
        discarded.bytes += bytes as u64;
    }

    /// Counts refused entries and says why.
    #[cold]
    pub(crate) fn refuse(&mut self, refusal: &Refusal, lines: u64, bytes: usize) {
        self.discard(refusal.reason, lines, bytes);
        self.tell(refusal);
    }

    /// Remembers what is said of a refusal.
    pub(crate) fn tell(&mut self, refusal: &Refusal) {
        if refusal.reason == Reason::BlockedIngestion {
            self.blocked = Some(refusal.text.clone());
            return;
        }
        self.limited |= matches!(
            refusal.reason,
            Reason::StreamLimit | Reason::StreamRateLimit | Reason::RateLimited
        );
        let known = self
            .texts
            .iter()
            .position(|(text, _)| *text == refusal.text);
        match known {
            Some(at) => self.texts[at].1 += 1,
            None if self.texts.len() < MAX_TEXTS => self.texts.push((refusal.text.clone(), 1)),
            None => self.untold += 1,
        }
    }

    /// Returns the text for the sender, `None` where all was accepted or only blocked.
    pub fn refusals(&self) -> Option<String> {
        let single = self.texts.len() == 1 && self.untold == 0;
        let mut told = String::new();
        for (text, times) in &self.texts {
            if !told.is_empty() {
                told.push_str("; ");
            }
            if !single || *times > 1 {
                told.push_str(&format!("{times} errors like: "));
            }
            told.push_str(text);
        }
        if self.untold > 0 {
            told.push_str(&format!("; and {} errors more", self.untold));
        }
        (!told.is_empty()).then_some(told)
    }

    /// Tells whether something was refused because there is too much of it now.
    pub(crate) fn is_limited(&self) -> bool {
        self.limited
    }

    /// Returns what is said where nothing is accepted now.
    pub fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }
}
