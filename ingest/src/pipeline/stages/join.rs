//! Stages that join lines: `multiline`, and `cri` for the parts of a container's lines.
//!
//! They hold entries back and say so. What they hold is bounded: in bytes for each entry,
//! in number of label sets for each source.

use std::collections::BTreeMap;
use std::sync::Arc;

use kymo_storage::compat::regex::Regex;

use super::super::config::{CriConfig, MultilineConfig};
use super::super::entry::LabelSet;
use super::super::value::Value;
use super::super::{Entry, Stage, Step, Tools};
use super::{Nested, compile};

/// Longest entry that lines are joined to, in bytes.
const MAX_JOINED_BYTES: usize = 4 << 20;

/// Most label sets of one source that a stage knows.
const MAX_SETS: usize = 1000;

/// Joins lines to the first one of a block.
pub(super) struct Multiline {
    firstline: Arc<Regex>,
    max_wait_ns: i64,
    max_lines: u64,
    blocks: BTreeMap<LabelSet, Block>,
}

/// Lines of one label set, from the first line on that was seen.
struct Block {
    /// The entry of the last first line, which gives time and labels, also to lines that
    /// come after the block was given away.
    first: Entry,
    /// The lines, none where there is nothing to give.
    text: Vec<u8>,
    lines: u64,
    from: u64,
    to: u64,
    /// When the last line came.
    touched_ns: i64,
}

impl Block {
    fn take(&mut self) -> Option<Entry> {
        if self.lines == 0 {
            return None;
        }
        self.lines = 0;
        let mut entry = self.first.clone();
        entry.line = std::mem::take(&mut self.text);
        entry.from = self.from;
        entry.to = self.to;
        // An empty block is none, as in Promtail.
        (!entry.line.is_empty()).then_some(entry)
    }
}

impl Multiline {
    pub(super) fn new(config: &MultilineConfig, _tools: &Tools) -> Result<Multiline, String> {
        let firstline = compile(&config.firstline);
        Ok(Multiline {
            firstline: firstline.map_err(|e| format!("multiline stage first line {e}"))?,
            max_wait_ns: i64::try_from(config.max_wait.as_nanos()).unwrap_or(i64::MAX),
            max_lines: config.max_lines,
            blocks: BTreeMap::new(),
        })
    }
}

impl Stage for Multiline {
    fn process(&mut self, entry: Entry) -> Step {
        let first = self.firstline.is_match_bytes(&entry.line);
        let mut out = Vec::new();
        if !self.blocks.contains_key(&entry.labels) {
            if !first {
                return Step::On(entry);
            }
            if self.blocks.len() >= MAX_SETS {
                out.extend(self.flush());
                self.blocks.clear();
            }
            let block = Block {
                first: entry.clone(),
                text: Vec::new(),
                lines: 0,
                from: entry.from,
                to: entry.to,
                touched_ns: entry.read_ns,
            };
            self.blocks.insert(entry.labels.clone(), block);
        }
        let Some(block) = self.blocks.get_mut(&entry.labels) else {
            return Step::On(entry);
        };
        let too_long = block.text.len() + entry.line.len() >= MAX_JOINED_BYTES;
        if first || too_long {
            out.extend(block.take());
        }
        let (from, to, read_ns) = (entry.from, entry.to, entry.read_ns);
        if block.lines == 0 {
            block.from = from;
        }
        if !block.text.is_empty() {
            block.text.push(b'\n');
        }
        block.text.extend_from_slice(&entry.line);
        if first {
            block.first = entry;
        }
        block.lines += 1;
        block.to = to;
        block.touched_ns = read_ns;
        if block.lines == self.max_lines {
            out.extend(block.take());
        }
        Step::Many(out)
    }

    fn tick(&mut self, now_ns: i64) -> Vec<Entry> {
        let due_ns = now_ns.saturating_sub(self.max_wait_ns);
        let due = self.blocks.values_mut().filter(|b| b.touched_ns <= due_ns);
        due.filter_map(Block::take).collect()
    }

    fn flush(&mut self) -> Vec<Entry> {
        self.blocks.values_mut().filter_map(Block::take).collect()
    }

    fn held_from(&self) -> Option<u64> {
        let held = self.blocks.values().filter(|block| block.lines > 0);
        held.map(|block| block.from).min()
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Multiline {
            firstline: Arc::clone(&self.firstline),
            max_wait_ns: self.max_wait_ns,
            max_lines: self.max_lines,
            blocks: BTreeMap::new(),
        })
    }
}

/// Reads lines of the CRI's format and joins the parts of long ones.
pub(super) struct Cri {
    base: Nested,
    config: CriConfig,
    partial: BTreeMap<LabelSet, Entry>,
}

impl Cri {
    pub(super) fn new(base: Nested, config: &CriConfig) -> Cri {
        Cri {
            base,
            config: config.clone(),
            partial: BTreeMap::new(),
        }
    }

    /// Puts what came before of a line in front of it.
    fn joined(&mut self, mut entry: Entry) -> Entry {
        if let Some(before) = self.partial.remove(&entry.labels) {
            let mut line = before.line;
            line.append(&mut entry.line);
            entry.line = line;
            entry.from = before.from;
        }
        let longest = match self.config.truncate_at {
            Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
            None => MAX_JOINED_BYTES,
        };
        entry.line.truncate(longest);
        entry
    }

    fn one(&mut self, entry: Entry, out: &mut Vec<Entry>) {
        let partial = entry.extracted.get("flags") == Some(&Value::Text("P".to_owned()));
        if !partial {
            out.push(self.joined(entry));
            return;
        }
        if self.partial.len() >= self.config.max_partial_lines
            && !self.partial.contains_key(&entry.labels)
        {
            out.extend(self.flush());
        }
        let entry = self.joined(entry);
        self.partial.insert(entry.labels.clone(), entry);
    }
}

impl Stage for Cri {
    fn process(&mut self, entry: Entry) -> Step {
        let mut out = Vec::with_capacity(1);
        for entry in self.base.run(entry) {
            self.one(entry, &mut out);
        }
        Step::Many(out)
    }

    fn flush(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.partial).into_values().collect()
    }

    fn held_from(&self) -> Option<u64> {
        self.partial.values().map(|entry| entry.from).min()
    }

    fn fresh(&self) -> Box<dyn Stage> {
        Box::new(Cri {
            base: Nested(self.base.0.fresh()),
            config: self.config.clone(),
            partial: BTreeMap::new(),
        })
    }
}
