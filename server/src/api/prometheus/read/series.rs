//! What both forms of an answer share: labels, and the memory that an answer holds.

use std::sync::Arc;

use kymo_ingest::wire::writer::{put_bytes, put_message};
use kymo_query::{MemoryGrant, SampleBuf};
use kymo_storage::StorageError;
use kymo_storage::metrics::Selection;
use kymo_storage::model::Labels;

use super::Failure;
use crate::work::memory::Memory;

/// Calls `with` for the labels of a series and the external ones that it does not have,
/// in order of their names.
pub(super) fn for_each_label<'a>(
    labels: &'a Labels,
    external: &'a Labels,
    mut with: impl FnMut(&'a str, &'a str),
) {
    let mut external = external.iter().peekable();
    for (name, value) in labels.iter() {
        while let Some((other, value)) = external.next_if(|(other, _)| *other < name) {
            with(other, value);
        }
        let _same = external.next_if(|(other, _)| *other == name);
        with(name, value);
    }
    for (name, value) in external {
        with(name, value);
    }
}

/// Appends the labels of a series as fields 1 of its message.
pub(super) fn put_labels(out: &mut Vec<u8>, labels: &Labels, external: &Labels) {
    for_each_label(labels, external, |name, value| {
        put_message(out, 1, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    });
}

/// Reads the samples of a series.
pub(super) fn read(
    selection: &Selection,
    index: usize,
    buf: &mut SampleBuf,
) -> Result<(), StorageError> {
    buf.histograms.clear();
    selection.read(index, &mut buf.timestamps, &mut buf.values)?;
    Ok(())
}

/// Memory that is taken step by step while an answer grows.
#[derive(Debug)]
pub(super) struct Growing {
    memory: Arc<Memory>,
    grants: Vec<Arc<MemoryGrant>>,
    held_bytes: usize,
}

/// Bytes that are taken at least.
const STEP_BYTES: usize = 64 << 10;

impl Growing {
    pub(super) fn new(memory: &Arc<Memory>) -> Growing {
        Growing {
            memory: Arc::clone(memory),
            grants: Vec::new(),
            held_bytes: 0,
        }
    }

    /// Takes what is missing up to `bytes`.
    ///
    /// # Errors
    /// There is not so much left.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Failure> {
        if bytes > self.held_bytes {
            let step = (bytes - self.held_bytes)
                .max(self.held_bytes)
                .max(STEP_BYTES);
            let grant = self.memory.for_answer(step).ok_or(Failure::NoMemory)?;
            self.grants.push(grant);
            self.held_bytes += step;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_stand_between_those_of_the_series_that_win() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_sorted(pairs.iter().copied());
        let own = labels(&[("b", "1"), ("d", "2")]);
        let external = labels(&[("a", "x"), ("b", "x"), ("c", "x"), ("e", "x")]);
        let mut all = Vec::new();
        for_each_label(&own, &external, |name, value| all.push((name, value)));
        assert_eq!(
            all,
            [("a", "x"), ("b", "1"), ("c", "x"), ("d", "2"), ("e", "x")]
        );
    }

    #[test]
    fn an_answer_that_finds_no_memory_is_refused() {
        let memory = Arc::new(Memory::new(1 << 20));
        let mut growing = Growing::new(&memory);
        growing.grow_to(1000).unwrap();
        growing.grow_to(60_000).unwrap();
        assert!(matches!(growing.grow_to(1 << 20), Err(Failure::NoMemory)));
    }
}
