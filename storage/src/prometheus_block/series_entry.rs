//! A series in the index, both ways.
//!
//! ```text
//! | length uvarint | body | CRC-32C of the body |        begins at a multiple of 16
//!
//! body     n labels uvarint | n x (symbol of name uvarint, of value uvarint)
//!          n chunks uvarint | first chunk | following chunks
//! first    least time varint | greatest - least uvarint | reference uvarint
//! follow   least - greatest before uvarint | greatest - least uvarint
//!          | reference - reference before varint
//! ```
//!
//! A symbol is named by its place in the sorted table.

use super::Result;
use super::scan::Scan;
use crate::codec::varint::{write_i64, write_u64};

/// Entries begin at multiples of this; the multiple is the number of the series.
pub(super) const ALIGN_BYTES: u64 = 16;

/// Where a chunk stands and which times it spans, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkMeta {
    pub(super) min_t_ms: i64,
    pub(super) max_t_ms: i64,
    pub(super) reference: u64,
}

/// Appends the part of a body that tells of the chunks.
pub(super) fn write_chunks(chunks: &[ChunkMeta], out: &mut Vec<u8>) {
    write_u64(out, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for chunk in chunks {
        match last {
            None => write_i64(out, chunk.min_t_ms),
            Some(last) => write_u64(out, chunk.min_t_ms.wrapping_sub(last.max_t_ms) as u64),
        }
        write_u64(out, chunk.max_t_ms.wrapping_sub(chunk.min_t_ms) as u64);
        match last {
            None => write_u64(out, chunk.reference),
            Some(last) => write_i64(out, chunk.reference.wrapping_sub(last.reference) as i64),
        }
        last = Some(chunk);
    }
}

/// Takes the labels off a body and hands their symbols to `label`.
pub(super) fn read_labels(
    body: &mut Scan<'_>,
    mut label: impl FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let n = body.count("number of labels")?;
    for _ in 0..n {
        let name = body.uvarint("symbol of a label's name")?;
        label(name, body.uvarint("symbol of a label's value")?)?;
    }
    Ok(())
}

/// Takes the chunks off a body. Chunks of one series stand behind each other in the
/// files and are at least in part after each other in time.
pub(super) fn read_chunks(
    body: &mut Scan<'_>,
    mut chunk: impl FnMut(ChunkMeta) -> Result<()>,
) -> Result<()> {
    let n = body.count("number of chunks")?;
    let mut last: Option<ChunkMeta> = None;
    for _ in 0..n {
        let min_t_ms = match last {
            None => body.varint("least time of a chunk")?,
            Some(last) => {
                let behind = body.uvarint("least time of a chunk")?;
                last.max_t_ms.wrapping_add(behind as i64)
            }
        };
        let span = body.uvarint("greatest time of a chunk")?;
        let max_t_ms = min_t_ms.wrapping_add(span as i64);
        if max_t_ms < min_t_ms {
            return Err(body.error(format!("a chunk ends at {max_t_ms}, before {min_t_ms}")));
        }
        let reference = match last {
            None => body.uvarint("reference of a chunk")?,
            Some(last) => {
                let behind = body.varint("reference of a chunk")?;
                let reference = last.reference.wrapping_add(behind as u64);
                if reference <= last.reference {
                    return Err(body.error("chunks of a series are not behind each other"));
                }
                reference
            }
        };
        let meta = ChunkMeta {
            min_t_ms,
            max_t_ms,
            reference,
        };
        chunk(meta)?;
        last = Some(meta);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_survive(parts in prop::collection::vec((any::<i64>(), 0i64..1 << 40, 1u64..1 << 34), 0..20)) {
            let mut reference = 0;
            let chunks: Vec<ChunkMeta> = parts
                .iter()
                .map(|&(min_t_ms, span, behind)| {
                    reference += behind;
                    let max_t_ms = min_t_ms.saturating_add(span);
                    ChunkMeta { min_t_ms, max_t_ms, reference }
                })
                .collect();
            let mut bytes = Vec::new();
            write_chunks(&chunks, &mut bytes);
            let mut read = Vec::new();
            let mut scan = Scan::at(Path::new("index"), &bytes, 0).unwrap();
            read_chunks(&mut scan, |chunk| {
                read.push(chunk);
                Ok(())
            })
            .unwrap();
            prop_assert!(scan.is_at_end());
            prop_assert_eq!(read, chunks);
        }
    }
}
