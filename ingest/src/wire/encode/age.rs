//! Taking what has become too old out of a request that is to be sent again.

use super::super::reader::{BYTES, Reader, VARINT, WireError};
use super::put_bytes;

/// Which message a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// How many parts of a kind there are: samples, exemplars, native histograms.
pub type Counts = [u64; 3];

/// What a field of a series is.
enum Part {
    /// One of the kinds of [`Counts`], and the field its time stands in.
    Timed(usize, u32),
    Other,
}

impl Version {
    fn series_field(self) -> u32 {
        match self {
            Version::V1 => 1,
            Version::V2 => 5,
        }
    }

    fn part(self, field: u32) -> Part {
        match (self, field) {
            (_, 2) => Part::Timed(0, 2),
            (Version::V1, 3) | (Version::V2, 4) => Part::Timed(1, 3),
            (Version::V1, 4) | (Version::V2, 3) => Part::Timed(2, 15),
            _ => Part::Other,
        }
    }
}

/// Returns a request without what is older than `from_ms`, and what was taken out of it.
/// A series that has nothing left goes, too.
///
/// # Errors
/// The request is malformed.
pub fn drop_old(
    request: &[u8],
    version: Version,
    from_ms: i64,
) -> Result<(Vec<u8>, Counts), WireError> {
    let mut out = Vec::with_capacity(request.len());
    let mut dropped = Counts::default();
    let mut series = Vec::new();
    let mut reader = Reader::new(request);
    let mut start = reader.pos();
    while let Some(tag) = reader.tag("Request")? {
        if tag.field == version.series_field() && tag.wire_type == BYTES {
            series.clear();
            if keep_new(reader.bytes()?, version, from_ms, &mut series, &mut dropped)? {
                put_bytes(&mut out, tag.field, &series);
            }
        } else {
            reader.skip(tag)?;
            out.extend_from_slice(request.get(start..reader.pos()).unwrap_or_default());
        }
        start = reader.pos();
    }
    Ok((out, dropped))
}

/// Copies a series without what is old; tells whether anything is left.
fn keep_new(
    series: &[u8],
    version: Version,
    from_ms: i64,
    out: &mut Vec<u8>,
    dropped: &mut Counts,
) -> Result<bool, WireError> {
    let mut n_kept = 0;
    let mut reader = Reader::new(series);
    let mut start = reader.pos();
    while let Some(tag) = reader.tag("TimeSeries")? {
        let is_kept = match version.part(tag.field) {
            Part::Timed(kind, field) if tag.wire_type == BYTES => {
                let is_new = time_of(reader.bytes()?, field)? >= from_ms;
                n_kept += usize::from(is_new);
                if let Some(dropped) = dropped.get_mut(kind) {
                    *dropped += u64::from(!is_new);
                }
                is_new
            }
            _ => {
                reader.skip(tag)?;
                true
            }
        };
        if is_kept {
            out.extend_from_slice(series.get(start..reader.pos()).unwrap_or_default());
        }
        start = reader.pos();
    }
    Ok(n_kept > 0)
}

fn time_of(message: &[u8], field: u32) -> Result<i64, WireError> {
    let mut reader = Reader::new(message);
    let mut t_ms = 0;
    while let Some(tag) = reader.tag("Sample")? {
        if tag.field == field && tag.wire_type == VARINT {
            t_ms = reader.varint()?.cast_signed();
        } else {
            reader.skip(tag)?;
        }
    }
    Ok(t_ms)
}

#[cfg(test)]
mod tests {
    use super::super::{RequestBuilder, Symbols, WriteRequestBuilder};
    use super::*;

    struct Names;

    impl Symbols for Names {
        fn text(&self, symbol: u32) -> &str {
            ["__name__", "a", "b"].get(symbol as usize).unwrap_or(&"")
        }
    }

    #[test]
    fn what_is_left_is_what_would_have_been_written_without_the_old() {
        let all = [(1u32, vec![10, 20, 30]), (2, vec![15])];
        for from_ms in [0, 11, 16, 21, 31] {
            let write = |from_ms: i64| {
                let mut v1 = WriteRequestBuilder::default();
                let mut v2 = RequestBuilder::default();
                for (name, times) in &all {
                    v1.begin_series(&[(0, *name)], &Names);
                    v2.begin_series(&[(0, *name)], &Names);
                    let mut n = 0;
                    for &t_ms in times.iter().filter(|&&t_ms| t_ms >= from_ms) {
                        v1.sample(t_ms, 1.5);
                        v2.sample(t_ms, 1.5);
                        n += 1;
                    }
                    if n > 0 {
                        v1.end_series();
                        v2.end_series();
                    }
                }
                [v1.finish(<[u8]>::to_vec), v2.finish(<[u8]>::to_vec)]
            };
            let whole = write(0);
            let n_old = all.iter().flat_map(|(_, times)| times);
            let n_old = n_old.filter(|&&t_ms| t_ms < from_ms).count() as u64;
            for (version, (whole, want)) in [Version::V1, Version::V2]
                .into_iter()
                .zip(whole.iter().zip(write(from_ms)))
            {
                let (left, dropped) = drop_old(whole, version, from_ms).unwrap();
                assert_eq!(
                    (left, dropped),
                    (want, [n_old, 0, 0]),
                    "{version:?} {from_ms}"
                );
            }
        }
        assert!(drop_old(&[0x0a, 5, 1], Version::V1, 0).is_err());
    }
}
