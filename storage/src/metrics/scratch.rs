//! Buffers that the readers of a selection keep between series.
//!
//! Several threads may read one selection. Each comes back with the same buffer for its
//! samples, so where that lies tells which scratch it had the time before.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::shard;
use crate::block;

/// Readers at one time that find a scratch; more do with new ones.
const N_READERS: usize = 4;

/// What one reader keeps.
#[derive(Debug, Default)]
pub(super) struct ReadScratch {
    pub(super) block: block::ReadScratch,
    pub(super) head: shard::ReadScratch,
    pub(super) timestamps: Vec<i64>,
    pub(super) more_timestamps: Vec<i64>,
    pub(super) more_values: Vec<f64>,
}

impl ReadScratch {
    /// Returns room for samples beside those of the reader.
    pub(super) fn more(&mut self) -> (&mut Vec<i64>, &mut Vec<f64>) {
        (&mut self.more_timestamps, &mut self.more_values)
    }
}

/// The scratches of a selection.
#[derive(Debug, Default)]
pub(super) struct Scratches([Place; N_READERS]);

#[derive(Debug, Default)]
struct Place {
    /// Who had it last, see [`reader_of`]; 0 for nobody.
    reader: AtomicUsize,
    scratch: Mutex<ReadScratch>,
}

impl Scratches {
    /// Lends a scratch to a reader: the one it had, or one that nobody had, or any.
    pub(super) fn lend<R>(&self, reader: usize, read: impl FnOnce(&mut ReadScratch) -> R) -> R {
        let of = |reader| {
            let is_of = move |place: &&Place| place.reader.load(Ordering::Relaxed) == reader;
            self.0.iter().filter(is_of)
        };
        for place in of(reader).chain(of(0)).chain(&self.0) {
            if let Some(mut scratch) = place.scratch.try_lock() {
                place.reader.store(reader, Ordering::Relaxed);
                return read(&mut scratch);
            }
        }
        read(&mut ReadScratch::default())
    }
}

/// Returns a number for the reader whose buffer this is, which is not 0.
pub(super) fn reader_of<T>(buffer: &T) -> usize {
    std::ptr::from_ref(buffer).addr()
}
