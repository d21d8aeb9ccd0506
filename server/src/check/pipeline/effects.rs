//! What stages did to one line, as a tree: stages within a stage are below it.

use std::collections::BTreeMap;

use kymo_ingest::pipeline::{Done, Entry, Watcher};
use parking_lot::Mutex;

/// One stage at work.
#[derive(Debug)]
pub(super) struct Effect {
    pub(super) stage: &'static str,
    /// What it was given; `None` where it gives what it held back.
    pub(super) before: Option<Entry>,
    /// What became of that, where it goes on.
    pub(super) on: Option<Entry>,
    /// Other entries that it gave.
    pub(super) given: Vec<Entry>,
    /// Whether it holds back what it was given.
    pub(super) held: bool,
    /// Stages that it runs.
    pub(super) within: Vec<Effect>,
}

impl Effect {
    fn of(done: Done<'_>, within: Vec<Effect>) -> Effect {
        let from = done.before.map(|entry| entry.from);
        let (mut on, mut given) = (None, Vec::new());
        for entry in done.after {
            match on.is_none() && Some(entry.from) == from {
                true => on = Some(entry.clone()),
                false => given.push(entry.clone()),
            }
        }
        Effect {
            stage: done.stage,
            before: done.before.cloned(),
            held: done.before.is_some() && on.is_none() && done.holds,
            on,
            given,
            within,
        }
    }

    /// Tells whether what it was given ends here.
    pub(super) fn is_drop(&self) -> bool {
        let ends = self.before.is_some() && self.on.is_none() && !self.held;
        // Where others went on instead, it is a part of one of them.
        ends && self.given.is_empty()
    }

    /// Returns what it changed; nothing where stages within it tell.
    pub(super) fn changes(&self) -> Changes {
        match (&self.before, &self.on, self.within.is_empty()) {
            (Some(before), Some(on), true) => Changes::between(before, on),
            _ => Changes::default(),
        }
    }

    /// Tells whether it did anything.
    pub(super) fn is_something(&self) -> bool {
        let own = self.is_drop() || self.held || !self.given.is_empty();
        own || !self.changes().is_empty() || self.within.iter().any(Effect::is_something)
    }

    /// Leaves the stages of these names, and those that run them; tells whether there is one.
    pub(super) fn keep_only(&mut self, names: &[String]) -> bool {
        if names.iter().any(|name| name == self.stage) {
            return self.is_something();
        }
        self.within.retain_mut(|effect| effect.keep_only(names));
        !self.within.is_empty()
    }
}

/// Collects what stages do.
#[derive(Debug, Default)]
pub(super) struct Effects(Mutex<Open>);

/// What is not finished.
#[derive(Debug, Default)]
struct Open {
    done: Vec<Effect>,
    /// What is done within each stage that has begun, the innermost last.
    within: Vec<Vec<Effect>>,
}

impl Effects {
    /// Returns what was done since the last call.
    pub(super) fn take(&self) -> Vec<Effect> {
        std::mem::take(&mut self.0.lock().done)
    }
}

impl Watcher for Effects {
    fn begins(&self, _stage: &'static str) {
        self.0.lock().within.push(Vec::new());
    }

    fn ends(&self, done: Done<'_>) {
        let mut open = self.0.lock();
        let within = open.within.pop().unwrap_or_default();
        let effect = Effect::of(done, within);
        // At the end all stages are asked, and most have held nothing back.
        if effect.before.is_none() && !effect.is_something() {
            return;
        }
        match open.within.last_mut() {
            Some(outer) => outer.push(effect),
            None => open.done.push(effect),
        }
    }
}

/// Names with what was there before and what is there now.
pub(super) type Pairs = Vec<(String, Option<String>, Option<String>)>;

/// How two states of an entry differ.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Extracted values. One without text is there as `null`.
    pub(super) values: Pairs,
    pub(super) labels: Pairs,
    pub(super) metadata: Pairs,
    pub(super) time: Option<(i64, i64)>,
    pub(super) line: Option<(Vec<u8>, Vec<u8>)>,
}

impl Changes {
    fn between(before: &Entry, after: &Entry) -> Changes {
        let values = |entry: &Entry| -> BTreeMap<String, String> {
            let values = entry.extracted.iter();
            let text = |value: &kymo_ingest::pipeline::Value| {
                value
                    .text()
                    .map_or("null".to_owned(), |text| text.into_owned())
            };
            values.map(|(n, v)| ((**n).to_owned(), text(v))).collect()
        };
        Changes {
            values: differing(values(before), values(after)),
            labels: differing(labels(before), labels(after)),
            metadata: differing(metadata(before), metadata(after)),
            time: (before.t_ns != after.t_ns).then_some((before.t_ns, after.t_ns)),
            line: (before.line != after.line).then(|| (before.line.clone(), after.line.clone())),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

/// Returns the labels of an entry.
pub(super) fn labels(entry: &Entry) -> BTreeMap<String, String> {
    let pairs = entry.labels.iter();
    pairs
        .map(|(name, value)| ((**name).to_owned(), (**value).to_owned()))
        .collect()
}

/// Returns the structured metadata of an entry; of one name the last counts.
pub(super) fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let pairs = entry.metadata.iter();
    pairs
        .map(|(name, value)| ((**name).to_owned(), (**value).to_owned()))
        .collect()
}

fn differing(mut before: BTreeMap<String, String>, after: BTreeMap<String, String>) -> Pairs {
    let mut pairs = Pairs::new();
    for (name, value) in after {
        let old = before.remove(&name);
        if old.as_ref() != Some(&value) {
            pairs.push((name, old, Some(value)));
        }
    }
    let gone = before
        .into_iter()
        .map(|(name, old)| (name, Some(old), None));
    pairs.extend(gone);
    pairs.sort();
    pairs
}
