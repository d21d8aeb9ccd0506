//! Buffers that the readers of a selection keep between series.
//!
//! Several threads may read one selection. Each comes back with the same buffer for its
//! samples, so where that lies tells which scratch it had the time before.

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

/// The scratches of a selection.
#[derive(Debug, Default)]
pub(super) struct Scratches([Mutex<ReadScratch>; N_READERS]);

impl Scratches {
    /// Lends a scratch to a reader; see [`reader_of`].
    pub(super) fn lend<R>(&self, reader: usize, read: impl FnOnce(&mut ReadScratch) -> R) -> R {
        for at in 0..N_READERS {
            if let Some(mut scratch) = self.0[reader.wrapping_add(at) % N_READERS].try_lock() {
                return read(&mut scratch);
            }
        }
        read(&mut ReadScratch::default())
    }
}

/// Returns a number for the reader whose buffer this is.
pub(super) fn reader_of<T>(buffer: &T) -> usize {
    // Buffers of two threads are seldom in one page.
    std::ptr::from_ref(buffer).addr() >> 12
}
