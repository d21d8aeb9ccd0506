//! Samples of a series as the chunks in which Prometheus stores and sends them.

use super::histogram;
use super::xor::{self, CHUNK_SAMPLES};
use crate::codec::CodecError;
use crate::codec::histogram::{Run, cut};
use crate::model::histogram::HistogramPoint;

/// A chunk of histograms is about so long; one histogram may be much longer.
const HISTOGRAM_CHUNK_BYTES: usize = 1024;

/// Histograms that a chunk has, however long they are, if there are so many.
const MIN_HISTOGRAMS: usize = 10;

/// How the samples of a chunk are coded; the number is the one that Prometheus gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Native histograms with whole counts.
    Histogram = histogram::ENCODING_INTEGER,
    /// Native histograms with floats for counts.
    FloatHistogram = histogram::ENCODING_FLOAT,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// How it is coded.
    pub encoding: Encoding,
    /// Time of its first sample.
    pub min_t_ms: i64,
    /// Time of its last sample.
    pub max_t_ms: i64,
    /// Its bytes, without encoding, length and checksum.
    pub payload: Vec<u8>,
}

/// Returns floats, in order of time, in chunks as long as Prometheus makes them.
pub fn encode_floats<'a>(
    timestamps: &'a [i64],
    values: &'a [f64],
) -> impl Iterator<Item = Chunk> + 'a {
    let columns = timestamps.chunks(CHUNK_SAMPLES);
    let columns = columns.zip(values.chunks(CHUNK_SAMPLES));
    columns.filter_map(|(timestamps, values)| {
        let (Some(&min_t_ms), Some(&max_t_ms)) = (timestamps.first(), timestamps.last()) else {
            return None;
        };
        let mut payload = Vec::new();
        xor::encode(timestamps, values, &mut payload);
        Some(Chunk {
            encoding: Encoding::Xor,
            min_t_ms,
            max_t_ms,
            payload,
        })
    })
}

/// Returns histograms, in order of time, in chunks as long as Prometheus makes them. Their
/// hints say where counters were reset, but for what their counts show.
///
/// # Errors
/// The spans of a histogram do not fit its buckets, or it has too many of them.
pub fn encode_histograms(points: &[HistogramPoint]) -> Result<Vec<Chunk>, CodecError> {
    let mut chunks = Vec::new();
    let mut rest = points;
    for run in cut(points, CHUNK_SAMPLES)? {
        let (points, more) = rest.split_at(run.len);
        rest = more;
        let whole = encode_run(points, &run)?;
        let n_pieces = whole.payload.len().div_ceil(HISTOGRAM_CHUNK_BYTES);
        let piece = points.len().div_ceil(n_pieces).max(MIN_HISTOGRAMS);
        if piece >= points.len() {
            chunks.push(whole);
            continue;
        }
        let mut begin = 0;
        for mut piece in cut(points, piece)? {
            if begin == 0 {
                // The others go on with the one before, as the cutter says.
                piece.layout.before = run.layout.before;
            }
            chunks.push(encode_run(&points[begin..begin + piece.len], &piece)?);
            begin += piece.len;
        }
    }
    Ok(chunks)
}

fn encode_run(points: &[HistogramPoint], run: &Run) -> Result<Chunk, CodecError> {
    let mut payload = Vec::new();
    histogram::encode(points, &run.layout, &mut payload)?;
    let time = |point: Option<&HistogramPoint>| point.map_or(0, |point| point.t_ms);
    Ok(Chunk {
        encoding: match run.layout.is_float {
            true => Encoding::FloatHistogram,
            false => Encoding::Histogram,
        },
        min_t_ms: time(points.first()),
        max_t_ms: time(points.last()),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::super::histogram::decode;
    use super::*;
    use crate::model::histogram::{CounterResetHint, Histogram, IntegerHistogram, Span};

    fn counter(n: i64, n_buckets: u32) -> Vec<HistogramPoint> {
        let point = |at: i64| {
            let histogram = IntegerHistogram {
                count: (at * at) as u64 * u64::from(n_buckets),
                sum: (at as f64).sqrt(),
                positive_spans: vec![Span {
                    offset: 0,
                    length: n_buckets,
                }],
                positive_deltas: std::iter::once(at * at)
                    .chain(vec![0; n_buckets as usize - 1])
                    .collect(),
                ..IntegerHistogram::default()
            };
            HistogramPoint {
                t_ms: at * 15_000,
                histogram: Histogram::Integer(histogram),
            }
        };
        (0..n).map(point).collect()
    }

    #[test]
    fn chunks_are_about_as_long_as_those_of_prometheus() {
        let mut found = Vec::new();
        let points = counter(500, 200);
        for chunk in encode_histograms(&points).unwrap() {
            assert!(chunk.payload.len() < 2 * HISTOGRAM_CHUNK_BYTES, "{chunk:?}");
            let from = found.len();
            let decoded = decode(chunk.encoding as u8, &chunk.payload, &mut found).unwrap();
            assert_eq!(decoded.n, found.len() - from);
            assert!((MIN_HISTOGRAMS..=CHUNK_SAMPLES).contains(&decoded.n) || found.len() == 500);
            let ends = (found[from].t_ms, found[found.len() - 1].t_ms);
            assert_eq!((chunk.min_t_ms, chunk.max_t_ms), ends);
            let hint = found[from].histogram.counter_reset_hint();
            let expected = match from {
                0 => CounterResetHint::Unknown,
                _ => CounterResetHint::NotReset,
            };
            assert_eq!(hint, expected, "a chunk goes on with the one before");
        }
        assert_eq!(found.len(), points.len());
        for (found, point) in found.iter().zip(&points) {
            let float = |point: &HistogramPoint| point.histogram.to_float().unwrap();
            assert!(float(found).is_same_data(&float(point)));
        }
        let wide = encode_histograms(&counter(25, 20_000)).unwrap();
        assert_eq!(wide.len(), 3, "ten histograms at least");
    }

    #[test]
    fn floats_are_cut_by_their_number() {
        let times: Vec<i64> = (0..250).collect();
        let values: Vec<f64> = times.iter().map(|t| *t as f64).collect();
        let chunks: Vec<Chunk> = encode_floats(&times, &values).collect();
        let ends: Vec<_> = chunks
            .iter()
            .map(|chunk| (chunk.min_t_ms, chunk.max_t_ms))
            .collect();
        assert_eq!(ends, [(0, 119), (120, 239), (240, 249)]);
    }
}
