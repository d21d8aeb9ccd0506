//! What both forms of an answer share: labels, and the memory that an answer holds.

use std::sync::Arc;

use kymo_ingest::wire::writer::{put_bytes, put_message};
use kymo_query::MemoryGrant;
use kymo_storage::StorageError;
use kymo_storage::metrics::Selection;
use kymo_storage::model::Labels;
use kymo_storage::model::histogram::HistogramPoint;
use kymo_storage::prometheus_block::chunk::{Chunk, encode_floats, encode_histograms};

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

/// Samples of one series, used again for the next: floats in columns, and histograms in the
/// form in which they came.
#[derive(Debug, Default)]
pub(super) struct SeriesSamples {
    pub(super) timestamps: Vec<i64>,
    pub(super) values: Vec<f64>,
    pub(super) histograms: Vec<HistogramPoint>,
}

impl SeriesSamples {
    /// Reads the samples of a series.
    pub(super) fn read(&mut self, selection: &Selection, index: usize) -> Result<(), StorageError> {
        selection.read(index, &mut self.timestamps, &mut self.values)?;
        selection.read_points(index, &self.timestamps, &mut self.histograms)
    }

    /// Returns how many samples there are.
    pub(super) fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// Returns the samples in chunks, in order of time: one holds floats or histograms.
    ///
    /// # Errors
    /// A histogram is not valid.
    pub(super) fn chunks(&self) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::new();
        let (mut floats, mut points) = (0, 0);
        while floats < self.timestamps.len() || points < self.histograms.len() {
            let next = self.histograms.get(points).map_or(i64::MAX, |p| p.t_ms);
            let ahead = self.timestamps[floats..].iter();
            let n_floats = ahead.take_while(|&&t_ms| t_ms < next).count();
            let run = floats..floats + n_floats;
            floats = run.end;
            chunks.extend(encode_floats(
                &self.timestamps[run.clone()],
                &self.values[run],
            ));
            let next = self.timestamps.get(floats).copied().unwrap_or(i64::MAX);
            let ahead = self.histograms[points..].iter();
            // At one time there is a float or a histogram; whatever else there may be
            // must not keep this from ending.
            let n_points = ahead.take_while(|point| point.t_ms <= next).count();
            let run = points..points + n_points;
            points = run.end;
            let coded = encode_histograms(&self.histograms[run]);
            chunks.extend(coded.map_err(|error| Failure::Failed(error.to_string()))?);
            if n_floats + n_points == 0 {
                break;
            }
        }
        Ok(chunks)
    }
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
    use kymo_storage::model::histogram::{Histogram, IntegerHistogram};
    use kymo_storage::prometheus_block::chunk::Encoding;

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
    fn chunks_are_in_order_of_time_whatever_they_hold() {
        let histogram = |t_ms| HistogramPoint {
            t_ms,
            histogram: Histogram::Integer(IntegerHistogram::default()),
        };
        let samples = SeriesSamples {
            timestamps: vec![1, 2, 5, 6, 9],
            values: vec![0.0; 5],
            histograms: [3, 4, 7, 10].map(histogram).to_vec(),
        };
        assert_eq!(samples.len(), 9);
        let chunks = samples.chunks().unwrap();
        let times: Vec<(Encoding, i64, i64)> = chunks
            .iter()
            .map(|chunk| (chunk.encoding, chunk.min_t_ms, chunk.max_t_ms))
            .collect();
        use Encoding::{Histogram as H, Xor};
        assert_eq!(
            times,
            [
                (Xor, 1, 2),
                (H, 3, 4),
                (Xor, 5, 6),
                (H, 7, 7),
                (Xor, 9, 9),
                (H, 10, 10)
            ]
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
