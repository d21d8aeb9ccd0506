use super::*;
use crate::codec::open::{self, Edit, OpenChunk};

/// Builds the tokens of ten samples from `start` on, 10 ms apart.
fn tokens(start: i64) -> Vec<u8> {
    let (mut open, mut tokens) = (OpenChunk::NEW, Vec::new());
    for i in 0..10 {
        match open.append(
            start + i * 10,
            (start + i) as f64,
            &mut open::Scratch::default(),
        ) {
            Edit::Push(token) => tokens.extend_from_slice(token),
            Edit::Increment => *tokens.last_mut().unwrap() += 1,
        }
    }
    tokens
}

#[test]
fn lists_are_read_back_and_end_at_dropped_pages() {
    let mut chunks = SealedChunks::default();
    let mut newest = [ChunkRef::NONE; 100];
    let mut scratch = Scratch::default();
    for round in 0..200i64 {
        for previous in &mut newest {
            let range = TimeRange::new(round * 1000, round * 1000 + 90);
            let chunk = Chunk {
                n: 10,
                range,
                tokens: &tokens(range.start_ms),
                exponent: None,
                previous: *previous,
            };
            *previous = chunks.push(&chunk, &mut scratch).unwrap();
        }
    }
    let before = chunks.pages(i64::MIN);
    let n_before = chunks.n_chunks();
    assert_eq!(n_before, 20_000);
    let dropped = chunks.truncate_before(150_000);
    assert!(dropped > 5_000, "{dropped}");
    assert_eq!(chunks.n_chunks(), n_before - dropped);
    let after = chunks.pages(150_000);
    for &newest in &newest {
        let read = |pages: &SealedPages, range| {
            let (mut records, mut t, mut v) = (Vec::new(), Vec::new(), Vec::new());
            pages.overlapping(newest, range, &mut records).unwrap();
            for &record in records.iter().rev() {
                let scratch = &mut ReadScratch::default();
                pages
                    .decode(record, range, scratch, &mut t, &mut v)
                    .unwrap();
            }
            t
        };
        assert_eq!(read(&before, TimeRange::ALL).len(), 2000);
        assert_eq!(read(&after, TimeRange::ALL).len(), 500);
        assert_eq!(
            read(&after, TimeRange::new(180_085, 181_005)),
            [180_090, 181_000]
        );
        assert!(after.any_overlaps(newest, TimeRange::new(151_000, 151_000)));
        assert!(!after.any_overlaps(newest, TimeRange::new(151_100, 151_900)));
        assert!(!after.any_overlaps(newest, TimeRange::new(0, 149_000)));
    }
}
