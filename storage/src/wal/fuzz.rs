//! The log over arbitrary bytes: the body of the fuzz target `wal_reader`, and of a
//! test that runs its seeds on every build.

use std::sync::Arc;

use super::format::{
    FrameKind, HEADER_BYTES, Header, VERSION, begin_frame, finish_frame, segment_name,
};
use super::{Entry, Wal, WalError, WalOptions};
use crate::fs::Dir;
use crate::fs::memory::MemoryDir;

const OPTIONS: WalOptions = WalOptions {
    shard: 0,
    segment_bytes: 1 << 20,
};

/// Opens a log made of `data`, commits a sample, and opens it again.
///
/// The first byte says what the rest is: a segment file as it is, or frames whose
/// headers and checksums are put right, so that the record decoders are reached.
///
/// # Panics
/// When the log breaks a promise; that is what it is for.
pub fn check_reader(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else {
        return;
    };
    let bytes = if mode & 1 == 0 {
        rest.to_vec()
    } else {
        framed(rest)
    };
    let memory = MemoryDir::new("wal");
    memory.put(&segment_name(1), bytes);
    let dir: Arc<dyn Dir> = Arc::new(memory);

    let mut before = Vec::new();
    let mut wal = match Wal::open(dir.clone(), OPTIONS, &mut |entry| {
        collect(&entry, &mut before)
    }) {
        Ok((wal, _)) => wal,
        Err(WalError::Version { .. } | WalError::Shard { .. }) => return,
        Err(other) => unreachable!("memory does not fail: {other}"),
    };
    wal.float(1, 77, 0.25);
    assert!(
        wal.commit().is_ok(),
        "a sample is committed to whatever was found"
    );
    drop(wal);
    before.push((1, 77, 0.25f64.to_bits()));

    let mut after = Vec::new();
    let opened = Wal::open(dir, OPTIONS, &mut |entry| collect(&entry, &mut after));
    let replayed = opened.map(|(_, replayed)| replayed);
    assert!(
        replayed.is_ok_and(|r| r.torn.is_none()),
        "the tail was repaired"
    );
    assert_eq!(
        before, after,
        "replay finds what it found before, and the new sample"
    );
}

fn collect(entry: &Entry<'_>, out: &mut Vec<(u32, i64, u64)>) {
    match entry {
        Entry::Series(found) => {
            out.extend(
                found
                    .texts()
                    .map(|(id, labels)| (id, -1, labels.len() as u64)),
            );
        }
        Entry::Floats { ids, t_ms, values } | Entry::Late { ids, t_ms, values } => {
            assert!(ids.len() == t_ms.len() && ids.len() == values.len());
            let samples = ids.iter().zip(*t_ms).zip(*values);
            out.extend(samples.map(|((&id, &t), value)| (id, t, value.to_bits())));
        }
        Entry::Tombstones(deleted) => {
            assert!(deleted.iter().all(|(_, at)| at.start_ms <= at.end_ms));
            let ranges = deleted.iter();
            out.extend(ranges.map(|&(id, at)| (id, at.start_ms, at.end_ms as u64)));
        }
        Entry::Histograms(found) => out.extend(found.iter().map(|logged| {
            assert_eq!(logged.flat.counts.len(), logged.flat.shape.n_buckets());
            (logged.id, logged.t_ms, logged.flat.sum)
        })),
        Entry::Exemplars(found) => out.extend(found.iter().map(|logged| {
            assert!(logged.exemplar.has_short_labels());
            (
                logged.id,
                logged.exemplar.t_ms,
                logged.exemplar.value.to_bits(),
            )
        })),
        Entry::Metadata(found) => {
            let texts = found
                .iter()
                .map(|m| m.name.len() + m.help.len() + m.unit.len());
            out.extend(texts.map(|len| (0, -2, len as u64)));
        }
        Entry::Entries(found) => out.extend(found.rows.iter().map(|row| {
            let len = row.content(found.payload).len();
            (row.stream, row.t_ns, len as u64)
        })),
        Entry::Deletion(number) => out.push((0, -3, *number)),
    }
}

/// Reads `data` as frames of `kind u8 | flags u8 | n u8 | len u8 | body`.
fn framed(mut data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + data.len());
    bytes.extend_from_slice(
        &Header {
            version: VERSION,
            shard: 0,
            seq: 1,
        }
        .encode(),
    );
    while let Some((&[kind, flags, n, len], rest)) = data.split_first_chunk() {
        let body = rest.get(..usize::from(len)).unwrap_or(rest);
        data = &rest[body.len()..];
        let kind = match kind % 8 {
            0 => FrameKind::Series,
            1 => FrameKind::Floats,
            2 => FrameKind::Late,
            3 => FrameKind::Tombstones,
            4 => FrameKind::Exemplars,
            5 => FrameKind::Metadata,
            6 => FrameKind::Entries,
            _ => FrameKind::Deletion,
        };
        let start = begin_frame(&mut bytes);
        bytes.extend_from_slice(body);
        finish_frame(&mut bytes, start, kind, flags & 3, u16::from(n));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// Frames of every kind with short bodies, which are often nearly right.
        #[test]
        fn arbitrary_frames_break_no_promise(
            frames in proptest::collection::vec(
                (0u8..5, 0u8..4, 0u8..4, proptest::collection::vec(0u8..8, 0..12)),
                0..6,
            ),
        ) {
            let mut data = vec![1];
            for (kind, flags, n, body) in frames {
                data.extend([kind, flags, n, body.len() as u8]);
                data.extend(body);
            }
            super::check_reader(&data);
        }
    }

    /// What the fuzzer once found, and where it starts from.
    #[test]
    fn the_seeds_of_the_fuzz_target_pass() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/wal_reader");
        let mut n = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::check_reader(&std::fs::read(seed.unwrap().path()).unwrap());
            n += 1;
        }
        assert!(n > 0, "there are seeds in {seeds}");
    }
}
